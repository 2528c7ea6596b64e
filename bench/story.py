"""How fast and how right articles become stories, on generated text with planted syndications.

    python -m bench.story [--articles 20000] [--seed 1]

Each story is one invented release. Its copies: A site furniture around it, B its first 40 %, C 10 % of its words
edited under a new headline, D 20 % edited and a fifth of its sentences dropped. Half of all copies end in an "About us"
that their site puts under everything. Times are CPU times; datasketch (MinHash, LSH) in the same run if installed.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from statistics import median

from monitor.model import Article
from monitor.story.evidence import evidence
from monitor.story.settle import Known, settle

START = datetime(2026, 1, 5, tzinfo=UTC)
KINDS = "OABCD"
STOCK = 400  # phrases that everybody writes: "the findings were published in …"


@dataclass(frozen=True, slots=True)
class Sample:
    article: Article
    story: int
    kind: str
    at: datetime


class Writer:
    """Invented text: words by Zipf's law, a topic's own words in it, and stock phrases that everybody uses."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        letters = "bcdfghklmnprstvw"
        made: dict[str, None] = {}
        while len(made) < 12_000:
            made[
                "".join(self.dice.choice(letters) + self.dice.choice("aeiou") for _ in range(self.dice.randint(1, 4)))
            ] = None
        self.words = list(made)
        self.weights = list(accumulate(1 / (rank + 3) for rank in range(len(self.words))))
        self.stock = [" ".join(self.some(self.dice.randint(4, 9))) for _ in range(STOCK)]
        self.about = [self.paragraph(self.words[:3_000], 8) for _ in range(60)]
        self.furniture = [self.paragraph(self.words[:3_000], 10) for _ in range(60)]

    def some(self, number: int, words: Sequence[str] | None = None) -> list[str]:
        if words is not None:
            return [self.dice.choice(words) for _ in range(number)]
        return self.dice.choices(self.words, cum_weights=self.weights, k=number)

    def sentence(self, own: Sequence[str]) -> str:
        words = self.some(self.dice.randint(9, 22))
        words = [self.dice.choice(own) if self.dice.random() < 0.2 else word for word in words]
        if self.dice.random() < 0.35:
            words[self.dice.randrange(len(words)) : 0] = [self.dice.choice(self.stock)]
        return " ".join(words).capitalize() + "."

    def paragraph(self, own: Sequence[str], sentences: int) -> str:
        return " ".join(self.sentence(own) for _ in range(sentences))

    def release(self) -> tuple[str, list[str]]:
        own = self.some(30, self.words)
        title = " ".join(self.some(9) + self.some(2, own)).capitalize()
        return title, [self.sentence(own) for _ in range(self.dice.randint(14, 30))]

    def edited(self, sentence: str, share: float) -> str:
        return " ".join(self.some(1)[0] if self.dice.random() < share else word for word in sentence.split())


def samples(number: int, seed: int) -> list[Sample]:
    """In order of arrival: copies come within three days of the original, five stories in six have some."""
    writer = Writer(seed)
    dice = writer.dice
    made: list[Sample] = []
    story = 0
    while len(made) < number:
        story += 1
        title, sentences = writer.release()
        at = START + timedelta(minutes=story * 9)
        kinds = "O" + ("" if dice.random() < 1 / 6 else "".join(dice.sample("ABCD", dice.randint(1, 4))))
        for kind in kinds:
            site = dice.randrange(60)
            head = (
                title
                if kind in "OAB" and dice.random() < 0.5
                else f"{title.split(' ', 3)[3]} {' '.join(writer.some(4))}"
            )
            lines = list(sentences)
            if kind == "B":
                lines = lines[: max(4, round(len(lines) * 0.4))]
            if kind in "CD":
                lines = [writer.edited(line, 0.1 if kind == "C" else 0.2) for line in lines]
            if kind == "D":
                lines = [line for line in lines if dice.random() >= 0.2]
            body = " ".join(lines)
            if kind == "A":
                body = f"{writer.furniture[site]}\n\n{body}"
            if dice.random() < 0.5 or kind == "A":
                body += f"\n\n{writer.about[site]}"
            url = f"https://site{site}.example.org/{story}-{kind}"
            article = Article(url=url, canonical_url=url, key=url, title=head, body=body, source_id=site + 1)
            delay = timedelta(0) if kind == "O" else timedelta(hours=dice.randint(1, 72))
            made.append(Sample(article, story, kind, at + delay))
    return sorted(made[:number], key=lambda one: one.at)


def b_cubed(truth: Sequence[int], found: Sequence[int]) -> tuple[float, float]:
    """Precision and recall, the mean over articles (Bagga and Baldwin, 1998)."""
    together = Counter(zip(truth, found, strict=True))
    sizes_true, sizes_found = Counter(truth), Counter(found)
    precision = sum(n * n / sizes_found[cluster] for (_, cluster), n in together.items()) / len(truth)
    recall = sum(n * n / sizes_true[story] for (story, _), n in together.items()) / len(truth)
    return precision, recall


def ours(made: Sequence[Sample], step: int = 200) -> tuple[list[int], list[float]]:
    """Each article's cluster, and microseconds an article in each batch."""
    articles = [replace(one.article, id=number) for number, one in enumerate(made, 1)]
    gc.collect()
    gc.freeze()  # what was made to measure with is not to be looked through again and again
    known = Known()
    found: list[int] = []
    times: list[float] = []
    seen: dict[int, datetime] = {}
    for start in range(0, len(made), step):
        some = made[start : start + step]
        begun = time.process_time()
        batch = [evidence(articles[start + index], one.at) for index, one in enumerate(some)]
        settled = settle(batch, known)
        times.append((time.process_time() - begun) / len(some) * 1e6)
        found += [placement.story_id for placement in settled.placements]
        for _, brought in settled.shingles:
            seen.update(dict.fromkeys(brought, some[-1].at))
        gone = (
            [shingle for shingle, at in seen.items() if at < some[-1].at - timedelta(days=14)]
            if start % 2_000 == 0
            else []
        )
        known.holders.forget(gone)
        for shingle in gone:
            del seen[shingle]
    return found, times


def minhash(made: Sequence[Sample], threshold: float) -> tuple[list[int], float] | None:
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        return None
    index = MinHashLSH(threshold=threshold, num_perm=128)
    cluster: dict[str, int] = {}
    found = []
    begun = time.process_time()
    for number, one in enumerate(made):
        words = one.article.body.lower().split()
        sketch = MinHash(num_perm=128)
        sketch.update_batch([" ".join(gram).encode() for gram in zip(words, words[1:], words[2:], strict=False)])
        near = [cluster[key] for key in index.query(sketch)]
        mine = Counter(near).most_common(1)[0][0] if near else number
        cluster[str(number)] = mine
        index.insert(str(number), sketch)
        found.append(mine)
    return found, (time.process_time() - begun) / len(made) * 1e6


def report(label: str, made: Sequence[Sample], found: Sequence[int], microseconds: float) -> None:
    precision, recall = b_cubed([one.story for one in made], found)
    original = {one.story: cluster for one, cluster in zip(made, found, strict=True) if one.kind == "O"}
    joined: dict[str, list[bool]] = defaultdict(list)
    for one, cluster in zip(made, found, strict=True):
        if one.kind != "O" and one.story in original:
            joined[one.kind].append(original[one.story] == cluster)
    shares = "  ".join(f"{kind} {sum(joined[kind]) / max(1, len(joined[kind])):.2f}" for kind in "ABCD")
    print(f"{label:34} {microseconds:6.0f} us/article  P {precision:.3f}  R {recall:.3f}   {shares}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--articles", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--minhash", type=int, default=4_000, help="articles for datasketch, which is slower")
    chosen = options.parse_args()
    made = samples(chosen.articles, chosen.seed)
    print(f"{len(made):,} articles in {len({one.story for one in made}):,} stories")
    found, times = ours(made)
    report("shingle containment (ours)", made, found, median(times))
    tenth = max(1, len(times) // 10)
    least = [min(times[at : at + tenth]) for at in range(0, len(times), tenth)]  # a busy machine only ever adds
    print("  growth: us/article of the best batch in each tenth: " + " ".join(f"{one:.0f}" for one in least))
    some = made[: chosen.minhash]
    for threshold in (0.5, 0.4):
        theirs = minhash(some, threshold)
        if theirs is None:
            print("datasketch is not installed: no comparison")
            break
        report(f"datasketch MinHash LSH {threshold} ({len(some):,})", some, *theirs)


if __name__ == "__main__":
    main()
