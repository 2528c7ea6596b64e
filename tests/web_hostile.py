"""Texts that want to be more than text. Each that runs sets window.pwned, or loads /pwned."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from web_site import NOW, Site

from monitor.model import Article, Entry, Level, Source, Subscriber, Subscription, Topic
from storage import Example, Saved
from storage.audit import acting

RUN = "window.pwned=1"
TAGS = ("img", "svg", "body", "iframe", "video", "audio", "details", "input", "object", "marquee", "math", "a", "form")
EVENTS = ("onerror", "onload", "onclick", "onfocus", "ontoggle", "onmouseover", "onanimationstart")
SHAPES = (
    "<script>{run}</script>",
    "<ScRiPt >{run}</sCrIpT>",
    "</title><script>{run}</script>",
    "</textarea><script>{run}</script>",
    "</script><script>{run}</script>",
    "--><script>{run}</script><!--",
    "]]><script>{run}</script>",
    '"><script>{run}</script>',
    "'><script>{run}</script>",
    '" onmouseover="{run}" x="',
    "' autofocus onfocus='{run}' x='",
    "` onfocus=`{run}` x=`",
    "javascript:{run}",
    "<a href='javascript:{run}'>x</a>",
    "<svg><script>{run}</script></svg>",
    "<math><mtext><script>{run}</script>",
    "<template><script>{run}</script></template>",
    "<noscript><p title='</noscript><script>{run}</script>'>",
    "<iframe srcdoc='<script>parent.{run}</script>'></iframe>",
    "<base href='//evil.example/'>",
    "<meta http-equiv=refresh content='0;url=/pwned'>",
    "<link rel=stylesheet href=/pwned>",
    "<style>*{{background:url(/pwned)}}</style>",
    "<form action=/pwned><button formaction=/pwned>x</button></form>",
    "<img src=/pwned>",
    "<div hx-get=/pwned hx-trigger=load></div>",
    "<div data-hx-get=/pwned data-hx-trigger=load></div>",
    "<hx-partial hx-target=body><script>{run}</script></hx-partial>",
    "<button form=bench formaction=/pwned autofocus>x</button>",
    "&lt;script&gt;{run}&lt;/script&gt;",
    "&#60;script&#62;{run}&#60;/script&#62;",
    "\u003cscript\u003e{run}\u003c/script\u003e",
    "<<script>{run}//<</script>",
    "<scr\x00ipt>{run}</script>",
    "<img src=x onerror\x0b={run}>",
    "{{{{7*7}}}} {{% raw %}} ${{7*7}} #{{7*7}} <%= 7*7 %>",
    "\u202e<script>{run}</script>\u202c",
    "<mark></mark><script>{run}</script>",
    "=cmd|' /C calc'!A0",
    "mTOR <b>bold</b> & opioid tolerance <i",
)


def payloads() -> list[str]:
    """About a hundred and thirty."""
    plain = [shape.format(run=RUN) for shape in SHAPES]
    events = [f"<{tag} src=x href=x {event}={RUN} autofocus tabindex=0 open>mTOR" for tag in TAGS for event in EVENTS]
    return plain + events


async def fill_with_them(site: Site) -> None:
    """Every noun's every free text."""
    monitor = site.opened.monitor
    storage, texts = monitor.storage, payloads()
    joined = " ".join(texts[:30])
    source = await storage.sources.get("sample")
    await storage.sources.update(replace(source, name=texts[0]))
    await storage.sources.add(Source(slug="hostile", name=texts[7], url="https://x.example/'\"><script>", pages=False))
    revision = (await storage.topics.get("pain")).revision
    query = '("opioid tolerance" OR mTOR OR "<script>window.pwned=1</script>") NOT veterinary'
    topic = Topic(slug="pain", name=texts[3], query=query, revision=revision)
    saved = await monitor.tuning.save(topic, texts[9], texts[10], force=True)
    await storage.topics.add_example(
        Example(topic_id=saved.id, must_match=True, title=texts[4] + " mTOR", note=texts[5])
    )
    await monitor.sync_topics()
    found = []
    for number, text in enumerate(texts):
        url = f"https://sample.example.org/h{number}?{text[:20]}"
        article = Article(
            url=url, canonical_url=text if number % 2 else url, key=f"h{number}", title=f"{text} mTOR", byline=text,
            body=f"{joined} mTOR {text}", authors=(text, text), journal=text, category=text, citation=text,
            doi="", provider=text, publisher=text, language="en", source_slug="sample",
        )  # fmt: skip
        matches = tuple(monitor.matcher.match(article))
        found.append(Saved(entry=Entry(url=url, title=text), article=article, matches=matches))
    await storage.articles.save(source, found, NOW - timedelta(minutes=5))
    for number, text in enumerate(texts[:12]):
        await storage.notices.raise_once(f"source:{text}", f"c{number}", Level.ERROR, text, NOW)
        with acting(text, lambda: NOW):
            await storage.audit.note(text, text, text)
    await monitor.readers.add(
        Subscriber(email="hostile@example.org", name=texts[7]),
        Subscription(subscriber_id=0, topic_ids=(saved.id,)),
    )
