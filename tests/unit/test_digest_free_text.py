"""A card leads to the free full text of its paper, where one is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from digest_samples import weekly_digest

from monitor.digest import Links
from monitor.digest.cards import card

LINKS = Links("https://news.example.org", "secret")


def shown(url: str) -> str:
    item = weekly_digest().items[0]
    item = replace(item, article=replace(item.article, open_access_url=url))
    return "".join(card(item, LINKS).full.filled(1, "", ""))


def test_the_free_full_text_is_one_click_away() -> None:
    text = shown("https://pmc.example.org/PMC1/")

    assert '<a href="https://pmc.example.org/PMC1/"' in text
    assert "Free full text: https://pmc.example.org/PMC1/" in text


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "https://a@b.example.org/"])
def test_without_a_safe_address_there_is_no_such_link(url: str) -> None:
    assert "Free full text" not in shown(url)


def test_what_the_title_leads_to_anyway_is_not_said_twice() -> None:
    assert "Free full text" not in shown(weekly_digest().items[0].article.canonical_url)
