"""Sample Daily: a news site in the manner of ScienceDaily."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from monitor.demo.content import SampleArticle, blocks
from monitor.demo.sites.base import NEW_YORK, NewsSite, long_date, new_york_date, template, xml


class Daily(NewsSite):
    slug = "daily"
    name = "Sample Daily"
    feed_path = "/rss/health_medicine.xml"

    def __init__(self, origin: str, articles: Sequence[SampleArticle]) -> None:
        super().__init__(origin, articles)
        self._template = template("daily.html")

    def path(self, article: SampleArticle) -> str:
        """The address carries the time of submission, here a day before publication: it is no date to rely on."""
        stamp = article.published.astimezone(NEW_YORK) - timedelta(days=1)
        return f"/releases/{stamp:%Y/%m/%y%m%d%H%M%S}.htm"

    def feed(self, articles: Sequence[tuple[SampleArticle, bool]]) -> str:
        items = "".join(self._item(article) for article, _ in articles)
        built = new_york_date(articles[0][0].published) if articles else ""
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0">
<channel>
<title>Health &amp; Medicine News -- {self.name}</title>
<link>{self.origin}/news/health_medicine/</link>
<description>Invented health news from made-up universities.</description>
<language>en-us</language>
<lastBuildDate>{built}</lastBuildDate>
<ttl>60</ttl>
{items}</channel>
</rss>
"""

    def _item(self, article: SampleArticle) -> str:
        link = self.url(article)
        return f"""<item>
<title>{xml(article.title)}</title>
<link>{link}</link>
<description>{xml(article.summary)}</description>
<pubDate>{new_york_date(article.published)}</pubDate>
<guid isPermaLink="true">{link}</guid>
</item>
"""

    def page(self, article: SampleArticle, now: datetime) -> str:
        local = article.published.astimezone(NEW_YORK)
        first, *rest = blocks(article)
        url = self.url(article)
        return self._template.substitute(
            title=escape(article.title),
            title_html=article.heading,
            summary=escape(article.summary),
            url=url,
            bare_url=url.removeprefix("http://"),
            breadcrumb="".join(f"<li>{escape(name)}</li>" for name in article.trail),
            date=long_date(local),
            source=escape(article.provider),
            first=first.removeprefix("<p>").removesuffix("</p>"),
            body="\n".join(rest),
            references=_references(article),
            cited_date=f"{local.day} {local:%B} {local.year}",
            year=local.year,
            month_day=f"{local:%B} {local.day}",
            retrieved=f"{now:%B} {now.day}, {now.year}",
        )


def _references(article: SampleArticle) -> str:
    if not article.doi:
        return ""
    return (
        '<div id="journal_references"><p><strong>Journal Reference</strong>:</p><ol class="journal"><li>'
        f"{escape(', '.join(article.authors))}. <strong>{escape(article.more)}</strong>. "
        f"<em>{escape(article.journal)}</em>, {article.published.year}; DOI: "
        f'<a href="http://dx.doi.org/{article.doi}" rel="nofollow" target="_blank">{article.doi}</a></li></ol></div>'
    )
