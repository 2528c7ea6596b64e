"""Sources and topics of the first run, from TOML. Imported once into storage, which is the truth from then on."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitor.errors import ConfigError
from monitor.model import Source, SourceKind, Topic, WeightedTerm
from monitor.parse.harvesters import BASES, wrong_options

HERE = Path(__file__).parent


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid")

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    name: str = Field(min_length=1, max_length=200)
    url: str = Field(default="", pattern=r"^(?:https?://.*)?$", max_length=2000)
    kind: SourceKind = SourceKind.FEED
    options: dict[str, str] = {}
    confidence: Literal["", "high", "medium", "low"] = ""
    pages: bool = True
    active: bool = True
    interval_minutes: int | None = Field(default=None, ge=1)
    weight: float = Field(default=1.0, ge=0.1, le=10)

    @model_validator(mode="after")
    def _complete(self) -> _Source:
        if not (self.url or self.kind in BASES):
            raise ValueError("url is needed")
        if wrong := wrong_options(self.kind, self.options):
            raise ValueError(wrong)
        return self


class _Weight(BaseModel):
    model_config = ConfigDict(extra="forbid")

    term: str
    weight: float


class _Topic(BaseModel):
    model_config = ConfigDict(extra="forbid")

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    name: str = Field(min_length=1, max_length=200)
    query: str = ""
    weights: list[_Weight] = []
    threshold: float = 0.0
    sources: list[str] = []
    languages: list[str] = []


def load_sources(path: Path = HERE / "sources.toml", *, interval: timedelta = timedelta(hours=1)) -> list[Source]:
    """Raises ConfigError that names the file, the entry and the field. `interval` is for sources that name none."""
    found = [_checked(_Source, entry, path, "source", number) for number, entry in enumerate(_read(path, "source"), 1)]
    _no_twins([source.slug for source in found], path)
    return [
        Source(
            slug=source.slug,
            name=source.name,
            url=source.url or BASES[source.kind],
            kind=source.kind,
            options=tuple(source.options.items()),
            confidence=source.confidence,
            pages=source.pages,
            active=source.active,
            weight=source.weight,
            interval=timedelta(minutes=source.interval_minutes) if source.interval_minutes else interval,
        )
        for source in found
    ]


def load_topics(path: Path = HERE / "topics.toml") -> list[Topic]:
    """Raises ConfigError that names the file, the entry and the field. Queries are checked by the caller."""
    found = [_checked(_Topic, entry, path, "topic", number) for number, entry in enumerate(_read(path, "topic"), 1)]
    _no_twins([topic.slug for topic in found], path)
    return [
        Topic(
            slug=topic.slug,
            name=topic.name,
            query=topic.query,
            weights=tuple(WeightedTerm(term=weight.term, weight=weight.weight) for weight in topic.weights),
            threshold=topic.threshold,
            sources=tuple(topic.sources),
            languages=tuple(topic.languages),
        )
        for topic in found
    ]


def _read(path: Path, table: str) -> list[dict[str, Any]]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    entries = values.pop(table, [])
    if values or not isinstance(entries, list):
        raise ConfigError(f"{path}: expected only [[{table}]] tables, found {', '.join(sorted(values)) or table}")
    return entries


M = TypeVar("M", bound=BaseModel)


def _checked(model: type[M], entry: dict[str, Any], path: Path, table: str, number: int) -> M:
    try:
        return model(**entry)
    except (ValidationError, TypeError) as error:
        detail = (
            "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise ConfigError(f"{path}: [[{table}]] number {number} ({entry.get('slug', 'no slug')}): {detail}") from error


def _no_twins(slugs: list[str], path: Path) -> None:
    twins = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twins:
        raise ConfigError(f"{path}: the slug {twins[0]!r} is used twice")
