"""How long one article takes against 10 to 10,000 topics, and how long other ways take in the same run.

    python bench/match.py [--topics 10,100,1000,10000] [--articles 300]

Everything is generated from a fixed seed: articles of about 700 words whose frequencies follow Zipf, and topics of one
to three AND-groups of one to eight alternatives, a third with an exclusion, some with prefixes, NEAR, title: and exact
case. Times are CPU time of this process, the least of several rounds. Compare ratios, not microseconds.
"""

from __future__ import annotations

import argparse
import gc
import random
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from monitor.match import Matcher, index_query, parse_query
from monitor.model import Article, IndexQuery, Topic
from monitor.text import index_text, tokens

FUNCTION_WORDS = """the of and in to with a for was were that is by as on at from or be this are an had after not than
between which these we patients study treatment group during who have may been more all also their compared using
clinical results associated effect effects significant risk disease increased however showed found both data years
health medical among two there reported outcomes new cases use analysis high other methods levels no its before one
when has into over most only first further higher lower could each such early severe common long while where under
without through because against about three less did do same well should can within being those some""".split()  # noqa: SIM905
STARTS = """cardi neur nephr hepat gastr derm oste arthr my hem onc path immun pharmac toxic psych ophthalm ot rhin
laryng pulmon bronch pneum vascul angi phleb lymph thromb aden carcin sarc lip gluc insul thyr pituit ovar uter prost
test ren urethr cyst col proct chol pancre splen cran cereb enceph mening spin neuron myel bacter vir fung parasit
micr macr hyper hypo endo exo inter intra trans peri para anti pro""".split()  # noqa: SIM905
MIDDLES = ["o", "a", "i", "ono", "oto", "ido", "ero", "ina", "oxi", "uli", "emo", "ara", "ito", "alo"]
ENDS = """logy pathy itis osis oma ectomy plasty scopy gram graphy metry tomy stomy emia uria algia genesis lysis penia
phagia phasia plegia pnea rrhea sclerosis spasm stasis therapy trophy ase ine ol mab nib pril sartan statin cillin
mycin azole vir cyclin tide dopa zepam caine gen cyte blast kine phil""".split()  # noqa: SIM905
ACRONYMS = "ALS SSRI COPD GERD mTOR IL-6 TNFα HbA1c BRCA1 COVID-19 CD4 p53 HER2 NSAID PTSD ADHD WHO ACT".split()  # noqa: SIM905
SPECIAL = ["µg", "β", "α", "Sjögren’s", "Parkinson’s", "naïve", "±", "≥", "–", "“so-called”"]


@dataclass(frozen=True)
class Spec:
    """One topic, as the engine gets it and as the other ways get it: groups of plain keywords, and exclusions."""

    query: str
    groups: tuple[tuple[str, ...], ...]
    excluded: tuple[str, ...]


class World:
    def __init__(self, articles: int, topics: int) -> None:
        self.random = random.Random(20_261)
        invented = sorted({start + middle + end for start in STARTS for middle in MIDDLES for end in ENDS}, key=len)
        usual = invented[:15_000]
        self.random.shuffle(usual)
        self.words = FUNCTION_WORDS + usual
        self.unseen = invented[15_000:]  # most of what topics look for is not in most articles
        self.weights = list(accumulate(1 / (rank + 3) ** 1.15 for rank in range(len(self.words))))
        self.articles = [self._article(number) for number in range(articles)]
        seen = Counter(word for article in self.articles for word in set(index_text(article.body).split()))
        self.df, self.documents = dict(seen), articles
        runs = [tokens(article.body) for article in self.articles[:100]]
        self.frequent = [
            " ".join(run[at : at + self.random.choice((1, 2, 2, 3))]) for run in runs for at in range(50, 60)
            if all(token.isalpha() and token not in FUNCTION_WORDS for token in run[at : at + 3])
        ]  # fmt: skip
        self.topics = [self._topic() for _ in range(topics)]

    def _article(self, number: int) -> Article:
        words = self.random.choices(self.words, cum_weights=self.weights, k=self.random.randint(450, 950))
        for _ in range(10):
            words[self.random.randrange(len(words))] = self.random.choice(SPECIAL)
        for _ in range(2):
            words[self.random.randrange(len(words))] = self.random.choice(ACRONYMS)
        sentences, at = [], 0
        while at < len(words):
            size = self.random.randint(12, 30)
            sentence = words[at : at + size]
            sentence[0] = sentence[0][:1].upper() + sentence[0][1:]
            sentences.append(" ".join(sentence).replace(" which", ", which") + ".")
            at += size
        paragraphs = [" ".join(sentences[i : i + 5]) for i in range(0, len(sentences), 5)]
        title = " ".join(self.random.choices(self.words, cum_weights=self.weights, k=12)).capitalize()
        return Article(id=number, url="", canonical_url="", key="", title=title, body="\n\n".join(paragraphs))

    def _term(self) -> str:
        if self.random.random() < 0.01:
            return self.random.choice(self.frequent)
        if self.random.random() < 0.01:
            return self.random.choice(ACRONYMS)
        length = self.random.choices((1, 2, 3, 4), weights=(33, 33, 22, 12))[0]
        seldom = self.unseen if self.random.random() < 0.6 else self.words[2000:]
        rare = [self.random.choice(seldom)]
        rest = [self.words[int(len(self.words) * self.random.random() ** 3)] for _ in range(length - 1)]
        return " ".join(rare + rest)

    def _topic(self) -> Spec:
        groups = [
            [self._term() for _ in range(self.random.randint(1, 8))] for _ in range(self.random.choice((1, 1, 2, 3)))
        ]
        excluded = [self._term() for _ in range(self.random.randint(1, 3))] if self.random.random() < 0.35 else []
        shown = []
        for group in groups:
            terms = [self._shown(term) for term in group]
            shown.append(f"({' OR '.join(terms)})" if len(terms) > 1 else terms[0])
        joint = f" NEAR/{self.random.randint(3, 20)} " if len(groups) == 2 and self.random.random() < 0.1 else " AND "
        joint = " AND " if "title:" in "".join(shown) or len(groups) != 2 else joint
        query = joint.join(shown) + "".join(f' NOT "{term}"' for term in excluded)
        return Spec(query, tuple(map(tuple, groups)), tuple(excluded))

    def _shown(self, term: str) -> str:
        draw = self.random.random()
        if " " not in term and term.isalpha() and len(term) > 9 and draw < 0.08:
            return f"{term[:-2]}*"
        if draw > 0.97:
            return f'title:"{term}"'
        return f'="{term}"' if term.isupper() and draw > 0.5 else f'"{term}"'


def resident() -> float:
    """MB of memory in use, where the system tells."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 / 1e6 if statm.exists() else 0.0


def fastest(work: Callable[[], object], rounds: int = 5) -> float:
    """Least CPU seconds of one round."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def topic(number: int, spec: Spec) -> Topic:
    return Topic(id=number, slug=f"t{number}", name="", query=spec.query)


def engine(world: World, count: int) -> tuple[float, int]:
    """Build, match, change; prints a row and returns microseconds an article and the number of matches."""
    topics = [topic(number, spec) for number, spec in enumerate(world.topics[:count], 1)]
    gc.collect()
    before, started = resident(), time.process_time()
    gc.disable()  # as the program does while it loads (Monitor.sync_topics)
    matcher = Matcher(world.df, world.documents)
    for one in topics:
        matcher.add(one)
    built = time.process_time() - started
    gc.enable()
    gc.freeze()
    memory = resident() - before
    matches = sum(len(matcher.match(article)) for article in world.articles)
    terms = matcher.terms
    micros = fastest(lambda: [matcher.match(article) for article in world.articles]) / len(world.articles) * 1e6
    reading = fastest(lambda: [matcher.read(article) for article in world.articles]) / len(world.articles) * 1e6
    changes = [topic(number, world.topics[-number]) for number in range(1, min(count, 200) + 1)]
    started = time.process_time()
    for changed in changes:
        matcher.add(changed)
    change = (time.process_time() - started) / len(changes)
    started = time.process_time()
    for changed in changes:
        matcher.remove(changed.id)
    removal = (time.process_time() - started) / len(changes)
    print(
        f"{count:>7,}  {micros:>8.0f}  {reading:>8.0f}  {matches / len(world.articles):>8.2f}  {terms:>8,}"
        f"  {built:>7.2f}  {memory:>6.0f}  {change * 1e6:>7.0f}  {removal * 1e6:>7.0f}"
    )
    return micros, matches


def regex_loop(world: World, count: int) -> float:
    """A compiled regular expression for each keyword, stopped as soon as a topic is decided. Sampled."""
    specs = world.topics[: min(count, 200)]
    compiled = {
        term: re.compile(rf"\b{re.escape(term)}\b", re.IGNORECASE)
        for spec in specs for term in [*(t for group in spec.groups for t in group), *spec.excluded]
    }  # fmt: skip
    articles = world.articles[:10]

    def work() -> None:
        for article in articles:
            text = article.body
            for spec in specs:
                if all(any(compiled[t].search(text) for t in group) for group in spec.groups):
                    any(compiled[t].search(text) for t in spec.excluded)

    return fastest(work, 2) / len(articles) / len(specs) * count * 1e6


def in_loop(world: World, count: int) -> float:
    """`keyword in text`, the text lowered once. Sampled."""
    specs = world.topics[: min(count, 1000)]
    articles = world.articles[:20]
    lowered = [
        ([[t.lower() for t in group] for group in spec.groups], [t.lower() for t in spec.excluded]) for spec in specs
    ]

    def work() -> None:
        for article in articles:
            text = article.body.lower()
            for groups, excluded in lowered:
                if all(any(t in text for t in group) for group in groups):
                    any(t in text for t in excluded)

    return fastest(work, 2) / len(articles) / len(specs) * count * 1e6


def fts5(world: World, count: int) -> float:
    """The articles as one table in memory, each topic one MATCH; filling the table is counted."""
    expressions = [
        fts_expression(found) for spec in world.topics[:count] if (found := index_query(parse_query(spec.query)))
    ]
    folded = [(article.id, index_text(f"{article.title}\n\n{article.body}")) for article in world.articles]

    def work() -> None:
        database = sqlite3.connect(":memory:")
        database.execute("create virtual table text using fts5(folded, content='', tokenize='ascii')")
        database.executemany("insert into text(rowid, folded) values (?, ?)", folded)
        for expression in expressions:
            database.execute("select rowid from text where text match ?", (expression,)).fetchall()
        database.close()

    return fastest(work, 1 if count > 1000 else 3) / len(world.articles) * 1e6


def fts_expression(query: IndexQuery) -> str:
    if query.op in ("all", "any"):
        joint = " AND " if query.op == "all" else " OR "
        return f"({joint.join(fts_expression(part) for part in query.parts)})"
    return f'"{" ".join(query.tokens)}"' + ("*" if query.op == "prefix" else "")


def aho_corasick(world: World, count: int) -> float | None:
    """pyahocorasick over the folded text, keywords between spaces; terms only, no AND, NOT or places."""
    try:
        import ahocorasick
    except ImportError:
        return None
    automaton = ahocorasick.Automaton()
    for spec in world.topics[:count]:
        for term in [*(t for group in spec.groups for t in group), *spec.excluded]:
            words = f" {index_text(term)} "
            automaton.add_word(words, words)
    automaton.make_automaton()

    def work() -> None:
        for article in world.articles:
            for _ in automaton.iter(f" {index_text(article.body)} "):
                pass

    return fastest(work, 3) / len(world.articles) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--topics", default="10,100,1000,10000")
    parser.add_argument("--articles", type=int, default=300)
    options = parser.parse_args()
    sizes = [int(size) for size in options.topics.split(",")]
    world = World(options.articles, max(sizes))
    words = sum(len(tokens(article.body)) for article in world.articles) / len(world.articles)
    print(f"Python {sys.version.split()[0]}, {len(world.articles)} articles of {words:.0f} words\n")
    print(" topics  us/artic  of which  matches/     terms    add     RSS   change   remove")
    print("                    reading   article                s      MB       us       us")
    ours = {size: engine(world, size)[0] for size in sizes}
    print("\nmicroseconds an article, and times ours (s: extrapolated from a sample of topics)")
    print(" topics        ours  regex each (s)      kw in text (s)      SQLite FTS5         pyahocorasick")
    for size in sizes:
        row = [f"{size:>7,}  {ours[size]:>10.0f}"]
        for way in (regex_loop, in_loop, fts5, aho_corasick):
            micros = way(world, size)
            row.append("  not installed     " if micros is None else f"  {micros:>10,.0f} {micros / ours[size]:>6.1f}x")
        print("".join(row))


if __name__ == "__main__":
    main()
