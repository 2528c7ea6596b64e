"""Journal of Sample Medicine: an RDF feed as HighWire and Nature write it, and landing pages with citation_* tags."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from monitor.demo.content import SampleArticle, blocks
from monitor.demo.sites.base import NewsSite, long_date, template, xml

_PRESS = ZoneInfo("America/Los_Angeles")  # where the feed's dates come from


class Journal(NewsSite):
    slug = "journal"
    name = "Journal of Sample Medicine"
    feed_path = "/rss/current.xml"
    feed_type = "application/rdf+xml; charset=utf-8"

    def __init__(self, origin: str, articles: Sequence[SampleArticle]) -> None:
        super().__init__(origin, articles)
        self._template = template("journal.html")

    def path(self, article: SampleArticle) -> str:
        return f"/content/12/{article.published.month}/e{article.number}"

    def feed(self, articles: Sequence[tuple[SampleArticle, bool]]) -> str:
        links = "".join(f'    <rdf:li rdf:resource="{self.url(article)}?rss=1"/>\n' for article, _ in articles)
        items = "".join(self._item(article) for article, _ in articles)
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/"
  xmlns:syn="http://purl.org/rss/1.0/modules/syndication/">
<channel rdf:about="{self.origin}/rss/current.xml">
  <title>{self.name} current issue</title>
  <link>{self.origin}/</link>
  <description>{self.name} RSS feed -- current issue</description>
  <prism:eIssn>2999-0001</prism:eIssn>
  <syn:updatePeriod>
    daily
  </syn:updatePeriod>
  <items><rdf:Seq>
{links}  </rdf:Seq></items>
</channel>
{items}</rdf:RDF>
"""

    def _item(self, article: SampleArticle) -> str:
        link = f"{self.url(article)}?rss=1"
        day = article.published.astimezone(_PRESS)
        return f"""<item rdf:about="{link}">
  <title><![CDATA[
    {article.heading}
  ]]></title>
  <link>
{link}
</link>
  <description><![CDATA[{_sections(article)}]]></description>
  <dc:creator><![CDATA[{", ".join(_inverted(name) for name in article.authors)}]]></dc:creator>
  <dc:date>{day.isoformat(timespec="seconds")}</dc:date>
  <dc:identifier>info:doi/{article.doi}</dc:identifier>
  <dc:identifier>hwp:resource-id:jsm;12/{day.month}/e{article.number}</dc:identifier>
  <dc:title><![CDATA[{article.heading}]]></dc:title>
  <dc:publisher>Sample Medical Association</dc:publisher>
  <prism:publicationName>{self.name}</prism:publicationName>
  <prism:publicationDate>{day:%Y-%m-%d}</prism:publicationDate>
  <prism:volume>12</prism:volume>
  <prism:section>{xml(" / ".join(article.trail))}</prism:section>
</item>
"""

    def page(self, article: SampleArticle, now: datetime) -> str:
        return self._template.substitute(
            title=escape(article.title),
            title_html=article.heading,
            summary=escape(article.summary),
            url=self.url(article),
            doi=article.doi,
            authors="\n".join(f'<meta name="citation_author" content="{escape(name)}">' for name in article.authors),
            contributors="".join(f"<li>{escape(name)}</li>" for name in article.authors),
            slashed_date=f"{article.published:%Y/%m/%d}",
            date=long_date(article.published),
            year=article.published.year,
            section=escape(" / ".join(article.trail)),
            body="\n".join(blocks(article)),
        )


def _sections(article: SampleArticle) -> str:
    """The abstract as these feeds write it: `<sec><st>Aim</st><p>…</p></sec>`."""
    text = "\n".join(blocks(article))
    if "<h2>" not in text:
        return text
    sections = text.replace("<h2>", "<sec><st>").replace("</h2>", "</st>").split("<sec>")
    return "".join(f"<sec>{section.strip()}</sec>" for section in sections if section.strip())


def _inverted(name: str) -> str:
    """`Mira J. Solheim` as `Solheim, M. J.`"""
    *given, family = name.split()
    return f"{family}, {' '.join(part[0] + '.' for part in given)}"
