"""A reader, five topics and what a week brought, in our own words: for tests, bench and pictures of the digest."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from monitor.digest import Letterhead, Links, compose
from monitor.model import (
    Article,
    Coverage,
    Digest,
    Field,
    Found,
    Match,
    Period,
    Span,
    Subscriber,
    Subscription,
    Topic,
    Unchecked,
)

NOW = datetime(2026, 11, 23, 7, 0, 12, tzinfo=UTC)
WEEK = Period(key="2026-W47", start=datetime(2026, 11, 16, 6, tzinfo=UTC), end=datetime(2026, 11, 23, 6, tzinfo=UTC))
LINKS = Links("https://news.example.org", "a key for tests only")
NO_WEB = Links("", "a key for tests only")
LETTERHEAD = Letterhead(
    sender="digest@news.example.org",
    sender_name="Medical News Monitor",
    reply_to="library@example.org",
    bounce_address="bounces@news.example.org",
    list_domain="news.example.org",
    postal_address="University Library, 12 Harbour Street, Exampletown",
    contact="library@example.org",
    version="0.1.0",
)
READER = Subscriber(id=7, email="ada.weber@example.org", name="Dr Ada Weber", token_epoch=2)
TOPICS = (
    Topic(id=1, slug="opioid-tolerance", name="Opioid tolerance", query='"opioid tolerance" OR morphine'),
    Topic(id=2, slug="mtor", name="mTOR", query="mTOR OR rapamycin"),
    Topic(id=3, slug="glp-1", name="GLP-1 and obesity", query="semaglutide OR tirzepatide"),
    Topic(id=4, slug="antibiotic-resistance", name="Antibiotic resistance", query='"antibiotic resistance"'),
    Topic(id=5, slug="long-covid", name="Long COVID", query='"long covid"'),
)
WEEKLY = Subscription(
    id=31,
    subscriber_id=7,
    topic_ids=(1, 2, 3, 4, 5),
    weekday=0,
    at=time(7),
    timezone="Europe/Berlin",
    max_items=60,
)
COVERAGE = Coverage(
    sources_checked=42,
    unchecked=(
        Unchecked(name="MedPage Daily", since=NOW - timedelta(days=3), reason="the server answers 503"),
        Unchecked(name="Journal of Slow Science", since=NOW - timedelta(hours=7), reason="no answer within 20 s"),
    ),
    articles_seen=812,
    articles_matched=31,
)
HISTORY = {1: (3, 2, 4, 1, 2, 3, 2, 2), 2: (5, 6, 4, 7, 3, 8, 6, 5), 3: (9, 12, 10, 8, 14, 11, 16, 13), 4: (1, 0, 2, 1)}
LAST_NEWS = {5: datetime(2026, 11, 3, 9, tzinfo=UTC)}

ACCEPTANCE = Article(
    id=101,
    url="https://medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html",
    canonical_url="https://medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html",
    key="medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor",
    title="Opioid tolerance and pain hypersensitivity associated with mTOR activation",
    published=datetime(2014, 1, 2, 17, 0, tzinfo=UTC),
    summary="Why strong painkillers lose their force: a protein in the spinal cord is switched on by repeated doses.",
    body=(
        "Strong painkillers lose their force when they are given again and again.\n\nA team in Baltimore has now "
        "followed this opioid tolerance to a protein of the spinal cord. Repeated doses of morphine switched on "
        "mTOR in neurons of the dorsal horn, and with it the making of new proteins. Blocking mTOR kept the drug "
        "working and took away the heightened pain that long treatment brings.\n\nThe work was done in rats; "
        "whether it holds for patients has to be tested."
    ),
    category="Neuroscience",
    doi="10.1172/JCI70236",
    journal="J Clin Invest",
    provider="Journal of Clinical Investigation",
    citation=(
        "Citation: Opioid tolerance and pain hypersensitivity associated with mTOR activation (2014, January 2) "
        "retrieved 4 May 2024 from "
        "https://medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html"
    ),
    source_slug="medical-xpress",
)

_WEEK_OF_NEWS: tuple[tuple[str, str, str, str, tuple[str, ...], str, int, tuple[tuple[int, float], ...], str], ...] = (
    (
        "Sublingual buprenorphine slows the rise of morphine dose in a year-long ward trial",
        "Among 412 people treated for chronic pain, those who changed to buprenorphine early needed a third less "
        "morphine after twelve months. Opioid tolerance, measured by dose at equal pain scores, grew in both "
        "arms but far more slowly in the buprenorphine arm. Drop-outs were few and evenly spread.",
        "Annals of Ward Medicine",
        "10.5555/awm.2026.0412",
        ("Ines Duarte", "Koji Mori", "Fatou Sarr", "Peter Lindqvist"),
        "41230981",
        1,
        ((1, 9.1),),
        "Annals of Ward Medicine",
    ),
    (
        "Microglia remember: a spinal switch behind opioid tolerance",
        "Cells that guard the spinal cord keep a trace of each dose. In mice, removing that trace for two weeks "
        "restored the effect of morphine to that of the first day, without touching the neurons themselves.",
        "",
        "",
        ("Newsroom",),
        "",
        2,
        ((1, 7.4),),
        "Science Desk",
    ),
    (
        "Low-dose rapamycin and the ageing immune system: a randomised trial in 204 volunteers",
        "Half a milligram of rapamycin a day for sixteen weeks raised antibody titres after vaccination by a "
        "fifth. mTOR signalling in T cells fell, as intended; mouth ulcers were the commonest complaint. The "
        "authors call for a trial with infections as its end point.",
        "Trials in Ageing",
        "10.5555/tia.77.1203",
        ("M. Okafor", "L. Haas", "S. Petrova"),
        "41230455",
        1,
        ((2, 8.8),),
        "Trials in Ageing",
    ),
    (
        "How cells choose between growth and repair",
        "A new map of the protein machine mTORC1 shows two doors where one was drawn before. The second opens "
        "only when amino acids run low, and it is there that rapamycin fails to reach.",
        "",
        "",
        (),
        "",
        3,
        ((2, 6.2),),
        "Medical Xpress",
    ),
    (
        "Tirzepatide withdrawal: weight returns, blood pressure less so",
        "Two years after stopping tirzepatide, participants had regained 61 % of the weight they had lost. "
        "Systolic pressure, however, stayed 4 mm Hg below where it began. Semaglutide users in a parallel arm "
        "showed the same shape.",
        "Metabolism Letters",
        "10.5555/ml.2026.88",
        ("Yusuf Demir", "Anna Kowalska", "Li Wei", "J. P. Grant", "Rosa Blanco"),
        "41229117",
        0,
        ((3, 9.9),),
        "Metabolism Letters",
    ),
    (
        "Semaglutide and the kidney: what three registries agree on",
        "In 48,000 people followed for a median of four years, starting semaglutide went with a slower loss of "
        "kidney function. The three registries disagree on size, and agree on direction.",
        "Registry Medicine",
        "10.5555/rm.19.4.330",
        ("C. Nwosu", "T. Eriksen"),
        "41228003",
        4,
        ((3, 8.0),),
        "Registry Medicine",
    ),
    (
        "Weekly injection, daily life: patients on semaglutide speak",
        "Forty interviews show what trials do not count: the meals no longer shared, the quiet in the head, the cost.",
        "",
        "",
        ("Harriet Cole",),
        "",
        2,
        ((3, 4.1),),
        "Science Desk",
    ),
    (
        "Hospital sinks as a reservoir of antibiotic resistance: a two-year count",
        "Drains in 31 wards were sampled each month. Antibiotic resistance genes were found in nine of ten, and "
        "the same strains in patients of the same ward a median of five weeks later. Replacing the traps helped "
        "for a season.",
        "Infection Control Quarterly",
        "10.5555/icq.2026.31",
        ("B. Almeida", "D. Novák", "K. Tanaka"),
        "41227754",
        5,
        ((4, 7.7),),
        "Infection Control Quarterly",
    ),
)


def spans_of(article: Article, *terms: str) -> tuple[Span, ...]:
    """Where the terms stand in title and body, as a matcher would say it."""
    return tuple(
        Span(field=field, start=hit.start(), end=hit.end(), term=term)
        for term in terms
        for field, text in ((Field.TITLE, article.title), (Field.BODY, article.body))
        for hit in re.finditer(re.escape(term), text, re.IGNORECASE)
    )


TERMS = {
    1: ("opioid tolerance", "morphine"),
    2: ("mTOR", "mTORC1", "rapamycin"),
    3: ("semaglutide", "tirzepatide"),
    4: ("antibiotic resistance",),
}


def match(article: Article, topic_id: int, score: float) -> Match:
    spans = spans_of(article, *TERMS.get(topic_id, ()))
    return Match(topic_id=topic_id, revision_id=topic_id, article_id=article.id, score=score, spans=spans)


def week_of_news() -> tuple[Found, ...]:
    found = [
        Found(
            article=ACCEPTANCE,
            matches=(match(ACCEPTANCE, 1, 40.0), match(ACCEPTANCE, 2, 21.0)),
            source_name="Medical Xpress",
        )
    ]
    for index, (title, body, journal, doi, authors, pmid, days, scores, source) in enumerate(_WEEK_OF_NEWS):
        slug = re.sub(r"[^a-z]+", "-", title.lower())[:60].strip("-")
        article = Article(
            id=200 + index,
            url=f"https://example.com/{slug}",
            canonical_url=f"https://example.com/{slug}",
            key=f"example.com/{slug}",
            title=title,
            published=datetime(2026, 11, 22, 9, tzinfo=UTC) - timedelta(days=days),
            authors=authors,
            body=body,
            doi=doi,
            pmid=pmid,
            journal=journal,
            source_slug="example",
        )
        matches = tuple(match(article, topic_id, score) for topic_id, score in scores)
        found.append(Found(article=article, matches=matches, source_name=source))
    return tuple(found)


def weekly_digest(**changes: object) -> Digest:
    values: dict[str, object] = {
        "period": WEEK,
        "coverage": COVERAGE,
        "last_news": LAST_NEWS,
        "history": HISTORY,
        "next_at": datetime(2026, 11, 30, 6, tzinfo=UTC),
        "now": NOW,
    } | changes
    subscriber = values.pop("subscriber", READER)
    subscription = values.pop("subscription", WEEKLY)
    found = values.pop("found", week_of_news())
    return compose(subscriber, subscription, TOPICS, found, **values)  # type: ignore[arg-type]


def many(number: int, *, title: str = "", body: str = "", topics: int = 5) -> tuple[Found, ...]:
    """`number` articles dealt over `topics` topics, each as long as real ones (or as long as you say)."""
    found = []
    for index in range(number):
        topic_id = index % topics + 1
        article = Article(
            id=1000 + index,
            url=f"https://journal.example.org/articles/{index}",
            canonical_url=f"https://journal.example.org/articles/{index}",
            key=f"journal.example.org/articles/{index:04}",
            title=title or f"Study {index}: what semaglutide and rapamycin did to weight, mood in 1,200 adults",
            published=WEEK.end - timedelta(hours=index),
            authors=("Ines Duarte", "Koji Mori", "Fatou Sarr", "Peter Lindqvist"),
            body=body
            or (
                f"In trial number {index}, semaglutide lowered weight by a tenth within a year while opioid "
                "tolerance and antibiotic resistance played no part. Rapamycin did nothing of the kind. Long "
                "covid was an exclusion. "
            )
            * 6,
            doi=f"10.5555/example.{index}",
            pmid=str(40_000_000 + index),
            journal="Journal of Long Studies",
            source_slug="jls",
        )
        spans = spans_of(article, "semaglutide", "rapamycin", "opioid tolerance", "long covid")
        one = Match(topic_id=topic_id, revision_id=1, article_id=article.id, score=5.0 + index % 7, spans=spans)
        found.append(Found(article=article, matches=(one,), source_name="Journal of Long Studies"))
    return tuple(found)
