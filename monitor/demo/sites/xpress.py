"""Sample Xpress: a news site in the manner of Science X, feed and 2019 page template, with its unclosed paragraphs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from html import escape
from itertools import count

from monitor.demo.content import SampleArticle, blocks
from monitor.demo.sites.base import NEW_YORK, NewsSite, long_date, new_york_date, template, xml

_AGAIN = "?utm_source=newsletter&utm_medium=rss&utm_campaign=weekly-picks"
_NOTES = """<div class="article__info-fc"><p>This article has been reviewed according to the site's editorial process.
  Editors have highlighted the following attributes while ensuring the content's credibility:</p>
  <ul><li>fact-checked</li><li>peer-reviewed publication</li><li>trusted source</li><li>proofread</li></ul></div>"""


class Xpress(NewsSite):
    slug = "xpress"
    name = "Sample Xpress"
    feed_path = "/rss-feed/"

    def __init__(self, origin: str, articles: Sequence[SampleArticle]) -> None:
        super().__init__(origin, articles)
        self._template = template("xpress.html")
        self._ad = count(1)  # pages differ at every fetch, as real ones do

    def path(self, article: SampleArticle) -> str:
        return f"/news/{article.published.astimezone(NEW_YORK):%Y-%m}-{article.slug}.html"

    def feed(self, articles: Sequence[tuple[SampleArticle, bool]]) -> str:
        items = "".join(self._item(article, again) for article, again in articles)
        return f"""<?xml version="1.0" encoding="utf-8" ?>
<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/">
<channel>
<title>{self.name} - latest medical and health news stories</title>
<link>{self.origin}/</link>
<language>en-us</language>
<description>Invented medical news for trying out a monitor.</description>
{items}</channel></rss>
"""

    def _item(self, article: SampleArticle, again: bool) -> str:
        link = self.url(article) + (_AGAIN if again else "")
        thumbnail = f"{self.origin}/csz/news/tmb/{article.published.year}/{article.slug}.jpg"
        return f"""<item>
<title>{xml(article.title_html or article.title)}</title>
<description>{xml(article.summary)}</description>
<link>{xml(link)}</link>
<category></category>
<pubDate>{new_york_date(article.published)}</pubDate>
<guid isPermaLink="false">news{article.number + (5_000_000 if again else 0)}</guid>
<media:thumbnail url="{thumbnail}" width="90" height="90" />
</item>
"""

    def page(self, article: SampleArticle, now: datetime) -> str:
        local = article.published.astimezone(NEW_YORK)
        title, url = escape(article.title), self.url(article)
        return self._template.substitute(
            title=title,
            title_html=article.heading,
            summary=escape(article.summary),
            short_summary=escape(article.summary[:80].rsplit(" ", 1)[0] + " ..."),
            url=url,
            amp=url.replace(".html", ".amp"),
            origin=self.origin,
            year=local.year,
            slug=article.slug,
            nid=article.number,
            json_ld=self._json_ld(article),
            category_slug=(article.trail or ("health",))[-1].lower().replace(" ", "-"),
            breadcrumb=_trail(article.trail) + (_trail(article.second_trail) if article.second_trail else ""),
            badge=f'<a href="/editorials/"><span class="badge">{article.badge}</span></a>' if article.badge else "",
            archive_day=f"{local:%d-%m-%Y}",
            date=long_date(local) + (f'\n     <span class="badge">{article.badge}</span>' if article.badge else ""),
            byline=self._byline(article),
            editors_notes=_NOTES if local.year >= 2023 else "",
            figure=self._figure(article),
            body=self._body(article),
            explore=self._explore(article),
            more=self._more(article),
            provided=self._provided(article),
            cited_date=f"{local.year}, {local:%B} {local.day}",
            retrieved=f"{now.day} {now:%B} {now.year}",
            cited_url=article.cited_url or url,
        )

    def _json_ld(self, article: SampleArticle) -> str:
        moment = article.published.astimezone(NEW_YORK).isoformat(timespec="seconds")
        headline = escape(article.title)  # entities stay escaped inside the JSON, as on the real pages
        by = article.authors[0] if article.authors and not article.provider else "Sample Xpress staff"
        data = {
            "@context": "http://schema.org",
            "@type": "NewsArticle",
            "mainEntityOfPage": {"@type": "WebPage", "@id": self.url(article)},
            "headline": headline,
            "datePublished": moment,
            "dateModified": moment,
            "author": {"@type": "Person", "name": by},
            "publisher": {"@type": "Organization", "name": self.name},
            "description": escape(article.summary),
        }
        return json.dumps(data, ensure_ascii=False)

    def _byline(self, article: SampleArticle) -> str:
        if article.provider:
            return (
                f'by     <a class="article-byline__link" href="http://www.example.org/" target="_blank">'
                f"{escape(article.provider)}</a>"
            )
        return f"by {escape(', '.join(article.authors) or 'Staff')}\n     , {self.name}"

    def _figure(self, article: SampleArticle) -> str:
        if not article.figure:
            return ""
        caption = escape(article.figure)
        image = f"{self.origin}/csz/news/800/{article.published.year}/{article.slug}.jpg"
        return (
            f'<div class="article-gallery lightGallery"><div data-sub-html="{caption}"><figure class="article-img">'
            f'<img src="{image}" alt=""><figcaption>{caption}</figcaption></figure></div></div>'
        )

    def _body(self, article: SampleArticle) -> str:
        if article.page == "stub":
            return '\n   <div class="paywall-offer"><span>Members only.</span> <a href="/account/">Log in</a></div>'
        first, *rest = blocks(article, tag_url=f"{self.origin}/tags/")
        rest[-1] = rest[-1].removesuffix("</p>")
        ad = f"div-gpt-ad-{next(self._ad)}"
        banner = (
            f"<section class=\"article-banner first-banner ads\"><div id='{ad}'>"
            f"<script>googletag.cmd.push(function() {{ googletag.display('{ad}'); }});</script></div></section>"
        )
        return "\n   ".join([first.removesuffix("</p>"), banner, *rest])

    def _explore(self, article: SampleArticle) -> str:
        others = [other for other in self.articles if other.appears_at < article.appears_at] or [self.articles[-1]]
        return (
            '<div class="article-main__explore my-4 d-print-none"><p class="text-bold mb-0 ml-2">Explore further</p>\n'
            f'     <a class="text-medium text-info mt-2 d-inline-block" href="{self.url(others[-1])}">'
            f"{others[-1].heading}</a></div>"
        )

    def _more(self, article: SampleArticle) -> str:
        if not (article.more or article.doi):
            return ""
        doi = journal = ""
        if article.doi:
            doi = f'<a data-doi="1" href="https://dx.doi.org/{article.doi}" target="_blank">DOI: {article.doi}</a>'
        if article.journal:
            link = f"{self.origin}/journals/{article.journal.lower().replace(' ', '-')}/"
            journal = (  # the stray </p> is the template's own
                f'<div class="mt-3"><strong>Journal information:</strong> <a href="{link}"><cite>'
                f'{escape(article.journal)}</cite></a> <a class="icon_open" href="http://www.example.org/"></a></p></div>'
            )
        return (
            '<div class="article-main__more p-4"><strong>More information:</strong>\n'
            f"     {escape(article.more, quote=False)} {doi}\n     {journal}</div>"
        )

    def _provided(self, article: SampleArticle) -> str:
        if not article.provider:
            year = article.published.year
            return f'<p class="article-main__note mt-4">&copy; {year} Sample Xpress Network</p>'
        link = f"{self.origin}/partners/{article.provider.lower().replace(' ', '-')}/"
        return (
            '<div class="d-inline-block text-medium my-4">\n      Provided by\n      '
            f'<a href="{link}">{escape(article.provider)}</a> <a class="icon_open" href="http://www.example.org/"></a></div>'
        )


def _trail(names: tuple[str, ...]) -> str:
    return "".join(
        f'<li class="breadcrumb-item" itemscope><a href="/"><span itemprop="title">{escape(name)}</span></a></li>'
        for name in ("Home", *names)
    )
