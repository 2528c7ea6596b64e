"""The command line of topics and synonyms, on a real database: what an admin types and reads."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from storage_samples import a_source, saved

from monitor import cli
from monitor.model import Article, Topic
from storage import Storage

Run = Callable[..., tuple[int, str, str]]
NOW = datetime.now(UTC)
BODIES = ["A zebra runs.", "A lion sleeps.", "A zebra and a lion.", "No animal.", "Zebras in the zoo, says [red]."]


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(sqlite_template, data / "monitor.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONITOR_DATA_DIR", str(data))
    monkeypatch.setenv("COLUMNS", "200")

    async def fill() -> None:
        async with Storage.open(f"sqlite:///{data / 'monitor.db'}") as storage:
            source = await storage.sources.add(a_source())
            await storage.topics.add(Topic(slug="animals", name="Animals", query="zebra"), "ada", "begin", NOW)
            found = [saved(n, title=f"News {n}", body=body, summary="") for n, body in enumerate(BODIES)]
            await storage.articles.save(source, found, NOW - timedelta(days=3))

    asyncio.run(fill())
    return f"sqlite:///{data / 'monitor.db'}"


@pytest.fixture
def monitor(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["monitor", *words])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        else:
            code = 0
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def articles(database: str) -> dict[str, Article]:
    async def read() -> list[Article]:
        async with Storage.open(database) as storage:
            return await storage.articles.candidates(None)

    return {article.title: article for article in asyncio.run(read())}


def test_try_shows_what_a_new_query_would_change(monitor, database):
    number = str(articles(database)["News 0"].id)
    assert monitor("topics", "label", "animals", number, "relevant")[0] == 0

    code, out, err = monitor("topics", "try", "animals", "lion OR zoo")

    assert code == 0
    assert "gains 1, loses 1, keeps 2; 3 matches before, 3 after" in out
    assert "1 of the lost are labelled relevant" in err
    assert "A »lion« sleeps." in out
    assert "A »zebra« runs." in out
    assert "says [red]." in out  # what looks like markup is shown as it is
    assert [line.split() for line in out.splitlines() if line.startswith("zoo ")] == [["zoo", "1", "1"]]


def test_try_as_json_has_stable_keys(monitor):
    code, out, _ = monitor("topics", "try", "animals", "lion NOT zebra", "--days", "0", "--json")

    told = json.loads(out)
    assert code == 0
    assert told["schema_version"] == 1
    assert {hit["title"] for hit in told["backtest"]["gained"]} == {"News 1"}
    assert set(told["backtest"]) == {"gained", "lost", "unchanged", "weeks", "terms"}
    assert next(term for term in told["backtest"]["terms"] if term["excludes"])["removed"] == 1


def test_wrong_query_is_shown_with_a_caret(monitor):
    code, _, err = monitor("topics", "try", "animals", "lion OR zebra AND zoo")

    assert code == 1
    assert "(column 15)" in err
    assert "\n  " + " " * 14 + "^^^\n" in err


def test_edit_restore_and_history_keep_every_revision(monitor):
    assert monitor("topics", "edit", "animals", "zebra OR lion", "--note", "cats too")[0] == 0
    assert monitor("topics", "restore", "animals", "1")[0] == 0

    _, out, _ = monitor("topics", "history", "animals", "--json")

    assert [(one["number"], one["topic"]["query"], one["note"]) for one in json.loads(out)["revisions"]] == [
        (3, "zebra", "restores revision 1"),
        (2, "zebra OR lion", "cats too"),
        (1, "zebra", "begin"),
    ]


def test_example_stops_an_edit_until_it_is_forced_with_a_note(monitor, tmp_path):
    (tmp_path / "lion.txt").write_text("The lion king\n\nA lion.", encoding="utf-8")
    assert monitor("topics", "examples", "add", "animals", "lion.txt", "--match")[0] == 0

    code, _, err = monitor("topics", "edit", "animals", "zebra OR zoo")
    forced, _, _ = monitor("topics", "edit", "animals", "zebra OR zoo", "--force")
    noted, _, _ = monitor("topics", "edit", "animals", "zebra OR zoo", "--force", "--note", "for now")

    assert (code, forced, noted) == (1, 1, 0)
    assert '"The lion king" is not matched' in err


def test_why_and_test_read_a_file_a_page_on_disk_and_stored_articles(monitor, tmp_path, database):
    (tmp_path / "a.txt").write_text("A horse\n\nIt runs.", encoding="utf-8")
    number = str(articles(database)["News 0"].id)

    assert monitor("topics", "test", "animals", number)[0] == 0
    assert monitor("topics", "test", "animals", "https://news.example.org/0")[0] == 0
    code, out, _ = monitor("topics", "test", "animals", "a.txt")
    assert (code, "does not match" in out) == (1, True)
    code, out, _ = monitor("topics", "why", "animals", "a.txt")
    assert "would match if `zebra` were added" in out
    code, _, err = monitor("topics", "why", "animals", "nowhere")
    assert (code, "no file, no address, and no stored article" in err) == (1, True)


def test_export_and_import_make_the_round_trip(monitor, tmp_path):
    for kind in ("yaml", "csv"):
        _, out, _ = monitor("topics", "export", "--format", kind)
        (tmp_path / f"topics.{kind}").write_text(out, encoding="utf-8", newline="")
        code, told, err = monitor("topics", "import", f"topics.{kind}", "--json")
        assert (code, [change["outcome"] for change in json.loads(told)["changes"]]) == (0, ["same"]), err


def test_import_shows_first_and_stores_then(monitor, tmp_path):
    (tmp_path / "t.yaml").write_text("- slug: animals\n  query: lion\n- slug: zoo\n  query: zoo\n", encoding="utf-8")

    code, dry, err = monitor("topics", "import", "t.yaml", "--dry-run")
    assert (code, "query: zebra -> lion" in dry, "nothing is stored" in err) == (0, True, True)
    assert monitor("topics", "import", "t.yaml")[0] == 0

    _, out, _ = monitor("topics", "list", "--json")
    assert [(one["slug"], one["query"], one["revision"]) for one in json.loads(out)["topics"]] == [
        ("animals", "lion", 2),
        ("zoo", "zoo", 1),
    ]


def test_check_names_file_line_and_column(monitor, tmp_path):
    (tmp_path / "t.yaml").write_text("- slug: a\n  query: lion OR zebra AND zoo\n", encoding="utf-8")
    (tmp_path / "q.txt").write_text("lion OR\nzebra AND zoo\n", encoding="utf-8")
    (tmp_path / "good.txt").write_text("lion OR zebra\n", encoding="utf-8")

    code, out, _ = monitor("topics", "check", "t.yaml")
    assert (code, out.startswith("t.yaml:2:24: AND and OR are mixed")) == (1, True)
    code, out, _ = monitor("topics", "check", "q.txt")
    assert (code, out.startswith("q.txt:2:7: AND and OR are mixed")) == (1, True)
    assert monitor("topics", "check", "good.txt")[0] == 0


def test_add_refuses_a_taken_or_strange_slug_and_reads_pubmed(monitor):
    assert monitor("topics", "add", "animals", "lion")[0] == 1
    assert monitor("topics", "add", "Big Cats", "lion")[0] == 1
    assert monitor("topics", "add", "cats", "lion[ti] OR tiger AND zoo", "--pubmed", "--language", "en")[0] == 0

    _, out, _ = monitor("topics", "show", "cats", "--json")
    topic = json.loads(out)["topic"]
    assert (topic["query"], topic["languages"], topic["name"]) == ("(title:lion OR tiger) AND zoo", ["en"], "Cats")


def test_weighted_topic_is_added_shown_and_matched(monitor, tmp_path):
    (tmp_path / "a.txt").write_text("The lion king and a zoo", encoding="utf-8")
    added = monitor("topics", "add", "cats", "--weight", "lion king=2", "--weight", "zoo=-1", "--threshold", "1")

    assert added[0] == 0, added
    assert '+2  "lion king"' in monitor("topics", "show", "cats")[1]
    assert monitor("topics", "test", "cats", "a.txt")[0] == 0
    assert monitor("topics", "add", "dogs", "--weight", "dog")[0] == 2


def test_rematch_measure_suggest_and_switches_answer(monitor, database):
    number = str(articles(database)["News 0"].id)
    monitor("topics", "label", "animals", number, "relevant")

    assert "animals matches 3 articles" in monitor("topics", "rematch", "animals")[1]
    assert "100% (21% to 100%) of 1" in monitor("topics", "measure", "animals")[1]
    assert monitor("topics", "suggest", "animals", "--json")[0] == 0
    assert monitor("topics", "disable", "animals")[1].strip() == "animals is off"
    assert monitor("topics", "label", "animals", number, "none")[1].startswith("took the label back")
    assert monitor("topics", "label", "animals", number, "perhaps")[0] == 2
    assert monitor("topics", "clone", "animals", "zoo")[1].strip() == "added zoo: Animals (copy)"


def test_vocabulary_is_imported_shown_and_expanded(monitor, tmp_path):
    text = (
        "format-version: 1.2\ndata-version: hp/releases/2026-02-16\nontology: hp\n\n"
        '[Term]\nid: HP:1\nname: Tachycardia\nsynonym: "Fast heart rate" EXACT []\nsynonym: "AF" EXACT []\n'
    )
    with gzip.open(tmp_path / "hp.obo.gz", "wb") as file:
        file.write(text.encode())
    (tmp_path / "broken.obo").write_text(text + "[Term]\nid: HP:2\n", encoding="utf-8")

    assert "imported 1 concepts of hp 2026" in monitor("synonyms", "import", "hp.obo.gz")[1]
    code, out, err = monitor("synonyms", "expand", "fast heart rates")
    assert (code, out.strip()) == (0, '(Tachycardia OR "Fast heart rate")')
    assert "left out, for they mean other things too: AF" in err
    code, _, err = monitor("synonyms", "import", "broken.obo", "--scope", "related")
    assert (code, "line 10: a [Term] without name" in err) == (1, True)
    assert "Tachycardia  (hp 2026, HP:1)" in monitor("synonyms", "show", "tachycardia")[1]
    assert "mechanistic target of rapamycin" in monitor("synonyms", "show", "mTOR")[1]
    assert monitor("synonyms", "show", "heart surgery")[0] == 1
    assert [one["source"] for one in json.loads(monitor("synonyms", "list", "--json")[1])["vocabularies"]] == [
        "builtin",
        "hp",
    ]
