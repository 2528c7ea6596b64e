# ruff: noqa: E501 (documents are easier to judge in one piece)
"""Which part of a page is the article, what of it is text, and what is furniture. Whole pages: test_parse_quality.py."""

from __future__ import annotations

import time

import pytest

from monitor.parse import parse_article
from monitor.parse.blocks import blocks, main_part, reading
from monitor.parse.body import page_text
from monitor.parse.furniture import without_lines
from monitor.parse.page import read_page

URL = "https://www.example.org/news/2026/naps"
PROSE = [
    f"Volunteer {n} of an invented trial slept for {n} minutes after lunch and then learned a list of words by heart."
    for n in range(1, 7)
]
TEXT = "".join(f"<p>{line}</p>" for line in PROSE)


def lines(body: str, head: str = "") -> list[str]:
    page = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"
    return [line.removeprefix("- ") for line in page_text(read_page(page.encode(), url=URL)).split("\n\n")]


def plain(body: str) -> list[str]:
    tree = read_page(f"<html><body>{body}</body></html>".encode(), url=URL).pruned
    found = blocks(tree)
    return reading(found, main_part(tree, found)).split("\n\n")


def part_of(body: str) -> str | None:
    tree = read_page(f"<html><body>{body}</body></html>".encode(), url=URL).pruned
    return main_part(tree, blocks(tree)).get("id")


def test_the_part_with_most_prose_is_the_article() -> None:
    beside = "<div><p>Write to us about anything that you have seen in a ward.</p></div>"

    assert part_of(f"<div><div id=a>{TEXT}</div>{beside}</div>") == "a"


def test_links_make_no_article() -> None:
    teasers = "".join(f"<p><a href=/{n}>{line} {line}</a></p>" for n, line in enumerate(PROSE))

    assert part_of(f"<div id=teasers>{teasers}</div><div id=a>{TEXT}</div>") == "a"


def test_sections_of_one_kind_stay_together() -> None:
    sections = f'<div class="s one">{TEXT}</div><div class="s two"><p>{PROSE[0]} Two.</p></div>'

    assert part_of(f"<div id=a>{sections}</div>") == "a"


def test_a_short_article_is_found_where_the_page_marks_it() -> None:
    offer = "".join(f"<p>Stay on top of the news of sleep with our letter, edition {n}.</p>" for n in range(5))

    assert part_of(f"<div id=offer>{offer}</div><div><main id=a><p>{PROSE[0]}</p>{TEXT[:400]}</p></main></div>") == "a"


def test_a_marked_part_without_the_prose_is_not_believed() -> None:
    assert part_of(f"<main id=tools><p>Tools and settings for this page.</p></main><div id=a>{TEXT}</div>") == "a"


def test_a_tables_row_is_one_line() -> None:
    table = "<table><tr><th>Dose</th><th>Slept</th></tr><tr><td><p>5 mg</p></td><td>41 min</td></tr></table>"

    assert plain(TEXT + table)[-2:] == ["Dose | Slept", "5 mg | 41 min"]


def test_a_table_that_lays_out_the_page_is_no_table() -> None:
    page = f"<table><tr><td><ul><li>Home</li></ul></td><td>{TEXT}</td></tr></table>"

    assert [line for line in plain(page) if line in PROSE] == PROSE


def test_a_table_that_trafilatura_loses_is_kept() -> None:
    table = "<table><tr><th>Dose</th><th>Slept</th></tr>" + "<tr><td>5 mg</td><td>41 min</td></tr>" * 4 + "</table>"

    found = lines(f"<div class=x><div>{TEXT}<div class=w-embed>{table}</div></div></div>")

    assert "5 mg | 41 min" in [line.strip("| ") for line in found]


def test_text_without_paragraphs_is_parted_at_double_breaks() -> None:
    assert plain("<div>" + "<br>\n<br>".join(PROSE) + "</div>") == PROSE


def test_a_heading_stands_only_above_text() -> None:
    page = f"<h2>Results</h2><h3>Money</h3><h3>Words</h3>{TEXT}<h3>Sleep and money</h3><h3>Sleep and love</h3>"

    assert plain(page) == ["Results", "Words", *PROSE]


def test_names_dates_and_captions_between_paragraphs_are_no_text() -> None:
    page = f"<div>By Jo Invented</div><div>May 4, 2026</div><figure><figcaption>A bed in a sleep laboratory, from above.</figcaption></figure>{TEXT}<p>Nobody complained.</p>"

    assert plain(page) == [*PROSE, "Nobody complained."]


@pytest.mark.parametrize(
    "box",
    [
        "<div><h3>Related articles</h3><div><p>How to sleep on a train without a pillow and without shame.</p></div></div>",
        "<section><div><h4>About the author:</h4></div><p>Jo Invented has written about sleep for twenty years.</p></section>",
        "<div><h2>Free Sleep Newsletter</h2><p>Enter your address and read us every morning before you rise.</p></div>",
        "<div><h3>You might also be interested in…</h3><p>A guide to yoga for people who have never touched their toes.</p></div>",
        "<h2>More from Invented Wire</h2><p>We are a wire of forty people in three towns that you have never heard of.</p>",
        "<h2>About the author</h2><p>Jo Invented has written about sleep for years.</p><h2>Read next</h2><p>How to sleep on a train without any pillow.</p>",
    ],
    ids=["related", "author", "newsletter", "also", "at the end", "two at the end"],
)  # fmt: skip
def test_boxes_are_known_by_their_headings(box: str) -> None:
    assert lines(f"<article><div>{TEXT}{box}</div></article>") == PROSE


@pytest.mark.parametrize(
    "heading",
    [
        "More on side effects",
        "You may also need an operation",
        "Recent advances",
        "Comment",
        "Latest evidence",
        "Share of naps",
    ],
)
def test_a_heading_that_only_resembles_a_boxs_heads_its_section(heading: str) -> None:
    section = f"<h2>{heading}</h2><p>One volunteer in nine woke with a headache that was gone by the evening.</p>"

    found = lines(f"<article><div>{TEXT}{section}</div></article>")

    assert found[-2:] == [heading, "One volunteer in nine woke with a headache that was gone by the evening."]


def test_a_box_between_paragraphs_takes_none_of_them_along() -> None:
    found = lines(
        f"<article>{TEXT}{TEXT}<h3>Related articles</h3><p>{PROSE[0]} Again.</p><h2>Results</h2><p>{PROSE[1]} Again.</p></article>"
    )

    assert [f"{PROSE[0]} Again.", f"{PROSE[1]} Again."] == [line for line in found if line.endswith("Again.")]


def test_what_holds_most_of_the_page_is_no_box() -> None:
    assert [line for line in lines(f"<div><h2>Latest news</h2>{TEXT}</div>") if line in PROSE] == PROSE


def test_a_papers_list_of_references_is_no_text() -> None:
    works = "".join(f"<li>Old A, Older B. Naps of {n} invented sailors. J Inv. 19{n}0;1:1-9.</li>" for n in range(1, 8))

    assert lines(f"<article>{TEXT}<section><h2>5. References</h2><ol>{works}</ol></section></article>") == PROSE


def test_the_paper_that_a_release_reports_stays_in_its_text() -> None:
    work = "Old A, Older B. Naps of sailors. J Inv. 2026;1:1-9. doi:10.5555/j.2026.1"

    assert lines(f"<article>{TEXT}<section><h2>Reference</h2><p>{work}</p></section></article>")[-2:] == [
        "Reference",
        work,
    ]


def test_an_abstract_beside_the_papers_text_is_kept() -> None:
    abstract = "<section class=hlFld-Abstract><p>Naps of ten minutes gave the volunteers eleven words.</p></section>"

    assert part_of(f"<div id=a>{abstract}<div class=full>{TEXT}{TEXT}</div></div>") == "a"


def test_navigation_by_its_role_is_no_text() -> None:
    menu = (
        "<div role=navigation>"
        + "".join(f"<p>Department {n} for the sleepless and their families</p>" for n in range(9))
        + "</div>"
    )

    assert lines(menu + f"<div>{TEXT}</div>") == PROSE


def test_an_open_button_does_not_swallow_the_article() -> None:
    assert lines(f"<header role=banner><button class=menu>Menu<main><article>{TEXT}</article></main></header>") == PROSE


def test_a_question_that_unfolds_its_answer_is_kept() -> None:
    questions = "".join(
        f"<h3><button>Why nap {n}?</button></h3><div hidden><p>{line}</p></div>" for n, line in enumerate(PROSE)
    )

    assert [line for line in lines(f"<main>{questions}</main>") if "Why" in line] == [f"Why nap {n}?" for n in range(6)]


def test_an_aside_of_text_stays_and_one_of_links_goes() -> None:
    tip = "Do not nap after four! Those who did lay awake until two."
    links = "<aside><p>From our shop: <a href=/b>beds for people who sleep after lunch</a> and much else that you may need</p></aside>"

    found = lines(f"<article>{TEXT}<aside><p>{tip}</p></aside>{links}<p>{PROSE[0]} Again.</p></article>")

    assert found == [*PROSE, tip, f"{PROSE[0]} Again."]


def test_a_lively_discussion_is_not_the_article() -> None:
    comments = "".join(
        f"<article class=comment-body><p>{line} I know it, I was there myself.</p></article>" * 5 for line in PROSE
    )

    assert lines(f"<div><div class=story>{TEXT}</div><div id=comments>{comments}</div></div>") == PROSE


def test_an_article_that_is_open_for_comments_is_one() -> None:
    assert lines(f'<article class="post comments-open has-comments"><div>{TEXT}</div></article>') == PROSE


def test_a_thread_is_the_text_of_a_page_that_has_no_other() -> None:
    posts = "".join(f"<div class=comment><form><p>{line}</p></form></div>" for line in PROSE)
    around = "<div><p>Read the rules of this place before you post.</p></div><div><p>By using it you accept the agreement.</p></div>"

    assert lines(f"{around}<div class=commentarea>{posts}</div>") == PROSE


def test_what_is_there_for_wide_and_narrow_screens_is_read_once() -> None:
    line = "The volunteers who slept for ten minutes learned eleven words more than those who had stayed awake and had read the paper of the day."

    assert without_lines(f"{line}\n\nResults\n\n{line}\n\nResults") == f"{line}\n\nResults\n\nResults"


def test_the_standfirst_belongs_to_the_text() -> None:
    lead = "Ten minutes after lunch are enough for eleven words, an invented trial says"

    assert lines(f"<main><div><h1>Naps</h1><h2>{lead}</h2></div><div>{TEXT}</div></main>") == [lead, *PROSE]


@pytest.mark.parametrize(
    "line",
    ["Reviewed by Toni Invented, MD, Editor in Chief, Invented Sleep Watch, Invented Wire", f"{PROSE[0]} " * 8, "A day in May"],
    ids=["names", "a transcript", "a date"],
)  # fmt: skip
def test_what_else_stands_under_a_headline_does_not(line: str) -> None:
    assert lines(f"<main><div class=top><h1>Naps</h1><p>{line}</p></div><div>{TEXT * 9}</div></main>")[0] == PROSE[0]


@pytest.mark.parametrize("tag", ["noscript", "template"])
def test_text_for_readers_without_script_counts_where_there_is_no_other(tag: str) -> None:
    assert lines(f"<div id=app>Loading</div><{tag}><article>{TEXT}</article></{tag}>") == PROSE
    assert lines(f"<article>{TEXT}</article><{tag}><p>{PROSE[0]} Again.</p></{tag}>") == PROSE


def test_a_request_for_script_is_no_article() -> None:
    assert lines("<div id=app></div><noscript>You need to enable JavaScript to run this app.</noscript>") == [""]


def test_the_whole_text_in_json_ld_is_taken_where_the_page_shows_its_beginning() -> None:
    whole = " ".join(PROSE)
    head = f'<script type="application/ld+json">{{"@type": "NewsArticle", "headline": "Naps", "articleBody": "{whole}"}}</script>'
    page = f"<html><head>{head}</head><body><article><h1>Naps</h1><p>{PROSE[0]}</p></article><form><input type=password></form></body></html>"

    assert parse_article(page.encode(), url=URL).body == whole


def test_an_excerpt_in_json_ld_is_not_taken_for_the_text() -> None:
    head = f'<script type="application/ld+json">{{"@type": "NewsArticle", "headline": "Naps", "articleBody": "{PROSE[0]}"}}</script>'
    page = f"<html><head>{head}</head><body><article><h1>Naps</h1>{TEXT}</article></body></html>"

    assert parse_article(page.encode(), url=URL).body.split("\n\n") == PROSE


@pytest.mark.parametrize(
    "body",
    [
        "<div>" * 240 + f"<p>{PROSE[0]}" * 20_000,
        "<aside>" * 240 + f"<p>{PROSE[0]}" * 20_000,
        ("<div>" * 7 + "<h3>Related articles</h3>" + "</div>" * 7) * 3_000 + TEXT,
        "<table><tr><td>" * 80 + f"<p>{PROSE[0]}" * 20_000,
        "<div class=comment>" * 240 + f"<p>{PROSE[0]}" * 10_000,
        f"<div class='{'a ' * 100_000}'>{TEXT}</div>" * 5,
    ],
    ids=["deep", "asides", "boxes", "tables", "comments", "classes"],
)
def test_a_hostile_page_is_read_in_time(body: str) -> None:
    before = time.process_time()

    lines(body)

    assert time.process_time() - before < 10


def title(h1: str, og: str, extra: str = "") -> str:
    head = f'<meta property="og:title" content="{og}"><meta property="og:site_name" content="The Invented Journal of Sleep">{extra}'
    page = f"<html><head>{head}</head><body><main>{h1}{TEXT}</main></body></html>"
    return parse_article(page.encode(), url=URL).title


def test_the_only_h1_is_the_headline_whatever_social_media_are_told() -> None:
    assert (
        title("<h1>After forty nights we chose these beds</h1>", "The 5 best mattresses")
        == "After forty nights we chose these beds"
    )


@pytest.mark.parametrize(
    "h1",
    ["<h1>Sleep</h1>", "<h1>The Invented Journal of Sleep</h1>", "<h1>After forty nights we chose</h1><h1>Beds for all of us here</h1>"],
    ids=["a section", "the site", "one of two"],
)  # fmt: skip
def test_an_h1_that_may_name_something_else_is_not(h1: str) -> None:
    assert title(h1, "Naps help volunteers") == "Naps help volunteers"


def test_a_section_page_is_named_without_what_is_for_search_engines() -> None:
    og_type = '<meta property="og:type" content="website">'

    assert title("<h1>Sleep</h1>", "Sleep News, Naps and Research", og_type) == "Sleep"
    assert title("<h1>Sleep</h1>", "Sleep News, Naps and Research") == "Sleep News, Naps and Research"


def test_control_characters_behind_what_is_dropped_stop_nothing() -> None:
    article = f"<article><h1>Itch and sleep</h1>\x00\x01 {'Mice that itch sleep badly. ' * 30}</article>"

    text = page_text(read_page(article.encode(), url=URL))

    assert "Mice that itch sleep badly." in text
    assert "Itch and sleep" not in text
