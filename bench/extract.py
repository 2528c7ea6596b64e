"""How fast and how right articles and feeds are read, against trafilatura and feedparser in the same run.

    python -m bench.extract --corpus DIR

DIR holds `pages/N.html.gz` with `N.json` beside it (url, title, publish_date, main_content, `with` and `without`:
snippets that the text must and must not hold) and `feeds/`. Times are CPU times, the best of `--rounds`. The right DOI
is not among these values: it is looked up in the markup in the plainest way, so look at each disagreement yourself.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import feedparser
import trafilatura

from monitor.errors import ParseError
from monitor.model import Article
from monitor.parse import parse_article, parse_feed

Page = tuple[bytes, dict[str, Any]]
_WORDS = re.compile(r"\w+")
_META = re.compile(r"<meta\b[^>]*>", re.IGNORECASE)
_NAMES_DOI = re.compile(r"\b(?:citation_doi|prism\.doi|dc\.identifier|doi)\b", re.IGNORECASE)
_DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"'<>?#&]+")
_DOI_LINK = re.compile(r"href=[\"']?https?://(?:dx\.)?doi\.org/(10\.\d{4,9}/[^\s\"'<>?#&]+)", re.IGNORECASE)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--corpus", type=Path, required=True, help="a directory with pages/ and feeds/")
    options.add_argument("--rounds", type=int, default=3, help="take the best time of so many (3)")
    options.add_argument("--misses", action="store_true", help="list what was missed on which page")
    chosen = options.parse_args()
    pages, feeds = chosen.corpus / "pages", chosen.corpus / "feeds"
    if pages.is_dir():
        compare_pages([load(path) for path in sorted(pages.glob("*.json"))], chosen.rounds, chosen.misses)
    if feeds.is_dir():
        compare_feeds([path.read_bytes() for path in sorted(feeds.iterdir())], chosen.rounds)


def load(path: Path) -> Page:
    return gzip.decompress(path.with_suffix(".html.gz").read_bytes()), json.loads(path.read_text())


# --- pages ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Score:
    """Rates over all pages that have the value in question."""

    hits: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)

    def add(self, name: str, hit: float, note: str = "") -> None:
        self.hits[name] += hit  # type: ignore[assignment]
        self.asked[name] += 1
        if not hit:
            self.misses.append(f"{name}: {note}")

    def __getitem__(self, name: str) -> str:
        return f"{self.hits[name] / self.asked[name]:.3f}" if self.asked[name] else "-"


def compare_pages(pages: list[Page], rounds: int, misses: bool) -> None:
    ours, theirs = Score(), Score()
    for body, wanted in pages:
        article = read(body, wanted["url"])
        text = trafilatura.extract(body, fast=True, include_comments=False) or ""
        judge_text(ours, article.body if article else "", wanted)
        judge_text(theirs, text, wanted)
        judge_metadata(ours, article, wanted)
        judge_doi(ours, article, body, wanted["url"])
    bodies = [(body, wanted["url"]) for body, wanted in pages]
    our_time = best(rounds, lambda: [read(body, url) for body, url in bodies]) / len(pages)
    their_time = best(
        rounds, lambda: [trafilatura.extract(body, fast=True, include_comments=False) for body, _ in bodies]
    ) / len(pages)
    print(f"{len(pages)} pages           ours     trafilatura fast, text only")
    print(f"ms a page          {our_time * 1000:7.1f}  {their_time * 1000:7.1f}   ratio {our_time / their_time:.2f}")
    for name in ("word F1", "shingle F1", "with kept", "without dropped", "title", "date", "DOI"):
        print(f"{name:18} {ours[name]:>7}  {theirs[name]:>7}")
    print(f"{'no DOI invented':18} {ours['no DOI invented']:>7}")
    if misses:
        print("\n".join(ours.misses))


def read(body: bytes, url: str) -> Article | None:
    try:
        return parse_article(body, url=url)
    except ParseError:
        return None


def judge_text(score: Score, text: str, wanted: dict[str, Any]) -> None:
    if gold := wanted.get("main_content"):
        score.add("word F1", f1(words(text), words(gold)))
        score.add("shingle F1", f1(shingles(text), shingles(gold)))
    squeezed = squeeze(text)
    for snippet in wanted.get("with") or ():
        score.add("with kept", squeeze(snippet) in squeezed, f"{wanted['url']}: {snippet[:80]}")
    for snippet in wanted.get("without") or ():
        score.add("without dropped", squeeze(snippet) not in squeezed, f"{wanted['url']}: {snippet[:80]}")


def judge_metadata(score: Score, article: Article | None, wanted: dict[str, Any]) -> None:
    if title := wanted.get("title"):
        found = article.title if article else ""
        score.add("title", squeeze(found) == squeeze(title), f"{wanted['url']}: {found!r}, not {title!r}")
    if day := wanted.get("publish_date"):
        said = article.published.date().isoformat() if article and article.published else ""
        score.add("date", said == day[:10], f"{wanted['url']}: {said!r}, not {day!r}")


def judge_doi(score: Score, article: Article | None, body: bytes, url: str) -> None:
    stated, found = stated_doi(body.decode("utf-8", "replace")), article.doi if article else ""
    score.add(
        "DOI" if stated else "no DOI invented", found.lower() == stated.lower(), f"{url}: {found!r}, not {stated!r}"
    )


def stated_doi(markup: str) -> str:
    """By other means than the program's: in a meta element named after it, else the page's only doi.org link."""
    for element in _META.findall(markup):
        if _NAMES_DOI.search(element) and (found := _DOI.search(element)):
            return found.group()
    links = {link.lower() for link in _DOI_LINK.findall(markup)}
    return links.pop() if len(links) == 1 else ""


def words(text: str) -> Counter[str]:
    return Counter(_WORDS.findall(text.lower()))


def shingles(text: str, length: int = 4) -> Counter[str]:
    tokens = _WORDS.findall(text.lower())
    return Counter(" ".join(tokens[start : start + length]) for start in range(max(1, len(tokens) - length + 1)))


def f1(found: Counter[str], gold: Counter[str]) -> float:
    shared = sum((found & gold).values())
    return 2 * shared / (sum(found.values()) + sum(gold.values())) if shared else 0.0


def squeeze(text: str) -> str:
    return "".join(_WORDS.findall(text.lower()))


# --- feeds ----------------------------------------------------------------------------------------------------


def compare_feeds(feeds: list[bytes], rounds: int) -> None:
    ours = best(rounds, lambda: [entries(body) for body in feeds])
    theirs = best(rounds, lambda: [by_feedparser(body) for body in feeds])
    xml = [body for body in feeds if by_feedparser(body)]
    our_entries, their_entries = sum(map(entries, xml)), sum(map(by_feedparser, xml))
    all_ours = sum(map(entries, feeds))
    print(f"{len(feeds)} feeds: {our_entries} entries where feedparser finds {their_entries}")
    print(f"and {all_ours - our_entries} more in JSON feeds")
    our_speed, their_speed = all_ours / ours, their_entries / theirs
    print(f"entries/s: ours {our_speed:,.0f}, feedparser {their_speed:,.0f}: {our_speed / their_speed:.0f} x")


def entries(body: bytes) -> int:
    try:
        return len(parse_feed(body, url="https://example.org/feed").entries)
    except ParseError:
        return 0


def by_feedparser(body: bytes) -> int:
    return len(feedparser.parse(io.BytesIO(body)).entries)


def best(rounds: int, work: Callable[[], Iterable[object]]) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
