"""Articles -> stories: the ladder by which an article joins those about the same study, first step first.

1. its address, DOI or PMID is a story's own; 2. its title is a story's of the last seven days; 3. enough of its text
is (streaming containment); 4. it names a stored paper's title, and its journal or an author. The first two steps and
the fourth are certain enough for any text; the third needs text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor.story.evidence import Evidence, Stage, is_preprint
from monitor.story.holders import Holders


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How near two articles must be: titles within `title`, texts within `text`, which share at least `share` of the
    shorter one's shingles, and `shared` of them.
    """

    title: timedelta = timedelta(days=7)
    text: timedelta = timedelta(days=14)
    share: float = 0.4
    shared: int = 4


@dataclass(frozen=True, slots=True)
class TitleSeen:
    story_id: int
    at: datetime
    source_id: int


@dataclass(slots=True)
class Known:
    """What the stories so far know that bears upon a batch of articles; kept up to date while the batch is settled.

    A story that has become part of another stays in these tables under its old number: `now` tells the new one.
    """

    bounds: Bounds = Bounds()
    names: dict[int, int] = field(default_factory=dict)  # name -> story
    titles: dict[int, TitleSeen] = field(default_factory=dict)
    works: dict[int, int] = field(default_factory=dict)  # title of a paper or preprint -> its article
    holders: Holders = field(default_factory=Holders)  # of shingles
    sizes: dict[int, int] = field(default_factory=dict)  # story -> how many shingles it holds
    dois: dict[int, set[str]] = field(default_factory=dict)  # story -> DOIs its articles name
    story_of: dict[int, int] = field(default_factory=dict)  # article -> story
    members: Counter[int] = field(default_factory=Counter)  # story -> how many articles
    apart: dict[int, set[int]] = field(default_factory=dict)  # article -> articles it must not meet
    part_of: dict[int, int] = field(default_factory=dict)  # story that is gone -> the one it is part of now

    def now(self, story: int) -> int:
        """The story that this one is today."""
        while story in self.part_of:
            story = self.part_of[story]
        return story

    def story(self, article: int) -> int | None:
        """The story of this article today."""
        found = self.story_of.get(article)
        return None if found is None else self.now(found)

    def merge(self, gone: int, kept: int) -> None:
        self.part_of[gone] = kept
        self.members[kept] += self.members.pop(gone, 0)
        self.sizes[kept] = self.sizes.get(kept, 0) + self.sizes.pop(gone, 0)
        self.dois.setdefault(kept, set()).update(self.dois.pop(gone, set()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an article went and why: `step` is "first", "name", "title", "text" or "cited"; `share` for "text"."""

    article_id: int
    story_id: int
    step: str
    share: float = 0.0
    shingles: int = 0  # that it brought into its story


@dataclass(slots=True)
class Settled:
    """What came of a batch: placements, and what is to be remembered of them."""

    placements: list[Placement] = field(default_factory=list)
    merged: list[tuple[int, int]] = field(default_factory=list)  # story, and the one it is part of now
    shingles: list[tuple[int, list[int]]] = field(default_factory=list)  # article, and those that it brought in


Vouch = Callable[[int, int], bool]


def settle(batch: Iterable[Evidence], known: Known, vouch: Vouch = lambda _article, _work: False) -> Settled:
    """Give each article its story, in order. A new story bears the number of its first article.

    An article that has a story already (its text or DOI came later) stays there, unless it alone is its story: then it
    may still join another. Two stories that turn out to share a name become one. `vouch(article, work)`: do these two
    articles, of which one names the other's title, fit by journal or authors?
    """
    settled = Settled()
    for one in batch:
        here = known.story(one.article_id)
        placement = _placed(one, known, vouch)
        if here is not None:
            placement = _moved(one, here, placement, known, settled)
        brought = _remember(one, placement.story_id, known)
        settled.shingles.append((one.article_id, brought))
        settled.placements.append(replace(placement, shingles=len(brought)))
    return settled


def _placed(one: Evidence, known: Known, vouch: Vouch) -> Placement:
    here = known.story(one.article_id)
    forbidden = {known.story(other) for other in known.apart.get(one.article_id, ())}

    def may(story: int) -> bool:
        return story != here and story not in forbidden

    for name in one.names:
        if name in known.names and may(story := known.now(known.names[name])):
            return Placement(article_id=one.article_id, story_id=story, step="name")
    for story in _by_title(one, known):
        if may(story) and not _contradicts(one, story, known):
            return Placement(article_id=one.article_id, story_id=story, step="title")
    for story, share in _by_text(one, known):
        if may(story) and not _contradicts(one, story, known):
            return Placement(article_id=one.article_id, story_id=story, step="text", share=share)
    for story in _by_work(one, known, vouch):
        if may(story) and not _contradicts(one, story, known):
            return Placement(article_id=one.article_id, story_id=story, step="cited")
    return Placement(article_id=one.article_id, story_id=one.article_id if here is None else here, step="first")


def _by_title(one: Evidence, known: Known) -> Iterator[int]:
    """The story with this title of the last week. A source does not copy itself: there it is a column's name."""
    seen = known.titles.get(one.title) if one.title is not None else None
    if seen and abs(one.at - seen.at) <= known.bounds.title and (seen.source_id != one.source_id or not one.source_id):
        yield known.now(seen.story_id)


def _by_text(one: Evidence, known: Known) -> Iterator[tuple[int, float]]:
    """Stories that hold enough of this text, the one that holds most first."""
    shared, furniture = known.holders.shared(one.shingles, known.part_of)
    own = len(one.shingles) - furniture
    for story, count in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0])):
        if count < known.bounds.shared:
            return
        share = count / min(own, known.sizes.get(story, 0) or own)
        if share >= known.bounds.share:
            yield story, share


def _by_work(one: Evidence, known: Known, vouch: Vouch) -> Iterator[int]:
    """The story of a paper that this news story names; of a preprint, or the paper, with the same title."""
    titles = (one.work,) if one.work is not None else one.quoted
    for title in titles:
        work = known.works.get(title)
        if work is not None and work != one.article_id and vouch(one.article_id, work):
            story = known.story(work)
            if story is not None:
                yield story


def _contradicts(one: Evidence, story: int, known: Known) -> bool:
    """Two published papers are two studies, and so are stories about two papers, however alike their words are."""
    if not one.doi:
        return False
    if one.stage is Stage.PREPRINT or is_preprint(one.doi):
        return False
    dois = known.dois.get(story, set())
    return one.doi not in dois and not all(map(is_preprint, dois))


def _moved(one: Evidence, here: int, wish: Placement, known: Known, settled: Settled) -> Placement:
    """An article that has a story: only a name moves company; one that is alone may follow any step."""
    alone = known.members[here] == 1
    stays = Placement(article_id=one.article_id, story_id=here, step="first")
    if wish.story_id == here or (wish.step != "name" and not alone) or _must_stay_apart(here, wish.story_id, known):
        return stays
    kept, gone = sorted((here, wish.story_id))
    settled.merged.append((gone, kept))
    known.merge(gone, kept)
    return Placement(article_id=one.article_id, story_id=kept, step=wish.step, share=wish.share)


def _must_stay_apart(one: int, other: int, known: Known) -> bool:
    return any(
        {known.story(article), known.story(partner)} == {one, other}
        for article, partners in known.apart.items()
        for partner in partners
    )


def _remember(one: Evidence, story: int, known: Known) -> list[int]:
    """Let the story know this article; the shingles that are new to it."""
    if one.article_id not in known.story_of:
        known.members[story] += 1
    known.story_of[one.article_id] = story
    for name in one.names:
        known.names.setdefault(name, story)
    if one.title is not None:
        known.titles[one.title] = TitleSeen(story, one.at, one.source_id)
    if one.work is not None:
        known.works.setdefault(one.work, one.article_id)
    if one.doi:
        known.dois.setdefault(story, set()).add(one.doi)
    new = known.holders.put(one.shingles, story, known.part_of)
    known.sizes[story] = known.sizes.get(story, 0) + len(new)
    return new


def also_covered(names: Collection[str], own: str) -> tuple[str, ...]:
    """The other sources of a story, each once, in order of arrival."""
    return tuple(name for name in dict.fromkeys(names) if name and name != own)
