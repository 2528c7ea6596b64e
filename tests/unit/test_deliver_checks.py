"""The checklist of `doctor mail`: what DNS says, and what a received test mail shows."""

from __future__ import annotations

import base64
import builtins
from collections.abc import Mapping
from typing import Any

import pytest

from monitor.deliver.checks import Finding, check_domain, check_message
from monitor.model import Level

KEY_2048 = base64.b64encode(bytes(294)).decode()
KEY_1024 = base64.b64encode(bytes(162)).decode()
KEY_512 = base64.b64encode(bytes(94)).decode()

GOOD = {
    "news.example.org": ["v=spf1 include:relay.example ~all", "some-site-verification=1"],
    "relay.example": ["v=spf1 ip4:192.0.2.0/24 -all"],
    "s1._domainkey.news.example.org": [f"v=DKIM1; k=rsa; p={KEY_2048}"],
    "_dmarc.example.org": ["v=DMARC1; p=none; rua=mailto:d@example.org"],
}


class Dns:
    """TXT records from a table; None is a server that does not answer."""

    def __init__(self, table: dict[str, list[str] | None]) -> None:
        self.table = table
        self.asked: list[str] = []

    async def txt(self, name: str) -> list[str]:
        self.asked.append(name)
        records = self.table.get(name, [])
        if records is None:
            raise OSError(f"{name}: timed out")
        return records


async def findings(changes: Mapping[str, list[str] | None], selector: str = "s1") -> dict[str, list[Finding]]:
    table = {**GOOD, **changes}
    found: dict[str, list[Finding]] = {}
    for finding in await check_domain("news.example.org", selector=selector, resolver=Dns(table)):
        found.setdefault(finding.name, []).append(finding)
    return found


async def test_a_domain_in_order_has_nothing_to_mend() -> None:
    found = await findings({})

    assert [finding.level for group in found.values() for finding in group] == [Level.INFO] * 3
    assert list(found) == ["SPF", "DKIM", "DMARC"]


@pytest.mark.parametrize(
    ("records", "level", "words"),
    [
        ([], Level.ERROR, "no SPF record"),
        (["v=spf10 -all"], Level.ERROR, "no SPF record"),
        (["v=spf1 -all", "v=spf1 mx -all"], Level.ERROR, "2 SPF records"),
        (["v=spf1 mx +all"], Level.ERROR, "anybody"),
        (["v=spf1 mx all"], Level.ERROR, "anybody"),
        (["v=spf1 mx ?all"], Level.WARNING, "other senders"),
        (["v=spf1 mx"], Level.WARNING, "other senders"),
        (["v=spf1 redirect=relay.example"], Level.INFO, "1 look-ups"),
        (["V=SPF1 MX ~ALL"], Level.INFO, "one record"),
        (["v=spf1 " + "a:x.example " * 11 + "-all"], Level.ERROR, "more than 10"),
        (["v=spf1 " + "ip4:192.0.2.1 " * 30 + "-all"], Level.INFO, "0 look-ups"),
    ],
)
async def test_spf(records: list[str], level: Level, words: str) -> None:
    [finding] = (await findings({"news.example.org": records}))["SPF"]

    assert (finding.level, words in finding.text) == (level, True), finding.text


async def test_look_ups_of_included_records_count_and_a_circle_ends() -> None:
    circle: dict[str, list[str]] = {
        f"n{x}.example": [f"v=spf1 include:n{(x + 1) % 30}.example -all"] for x in range(30)
    }

    [finding] = (await findings({"news.example.org": ["v=spf1 include:n0.example -all"], **circle}))["SPF"]

    assert finding.level is Level.ERROR
    assert "more than 10" in finding.text


async def test_a_record_that_includes_itself_ends() -> None:
    [finding] = (await findings({"news.example.org": ["v=spf1 include:news.example.org -all"]}))["SPF"]

    assert "1 look-ups" in finding.text


@pytest.mark.parametrize(
    ("records", "level", "words"),
    [
        ([], Level.ERROR, "no key"),
        (["v=DKIM1; p="], Level.ERROR, "revoked"),
        (["v=DKIM1; p=$$$"], Level.ERROR, "damaged"),
        ([f"v=DKIM1; p={KEY_512}"], Level.ERROR, "512 bits"),
        ([f"p={KEY_1024}"], Level.WARNING, "1024 bits"),
        ([f"v=DKIM1; t=s:y; p={KEY_2048}"], Level.WARNING, "test mode"),
        ([f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(32)).decode()}"], Level.INFO, "holds a key"),
        ([f"v=DKIM1; p={KEY_2048[:50]} {KEY_2048[50:]}"], Level.INFO, "holds a key"),
    ],
)
async def test_dkim(records: list[str], level: Level, words: str) -> None:
    [finding] = (await findings({"s1._domainkey.news.example.org": records}))["DKIM"]

    assert (finding.level, words in finding.text) == (level, True), finding.text


async def test_without_a_selector_the_key_is_said_to_be_unchecked() -> None:
    [finding] = (await findings({}, selector=""))["DKIM"]

    assert finding.level is Level.WARNING
    assert "selector" in finding.text


@pytest.mark.parametrize(
    ("records", "level", "words"),
    [
        ([], Level.ERROR, "no DMARC record"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], Level.ERROR, "2 records"),
        (["v=DMARC1; p=maybe"], Level.ERROR, "no policy"),
        (["v=DMARC1; rua=mailto:x@y"], Level.ERROR, "no policy"),
        (["v=DMARC1; p=reject; sp=quarantine"], Level.INFO, "quarantine"),
    ],
)
async def test_dmarc(records: list[str], level: Level, words: str) -> None:
    [finding] = (await findings({"_dmarc.example.org": records}))["DMARC"]

    assert (finding.level, words in finding.text) == (level, True), finding.text


async def test_the_domains_own_dmarc_record_comes_before_its_parents() -> None:
    [finding] = (await findings({"_dmarc.news.example.org": ["v=DMARC1; p=reject; sp=none"]}))["DMARC"]

    assert "p=reject" in finding.text


async def test_a_silent_name_server_is_told_apart_from_a_missing_record() -> None:
    found = await findings({"news.example.org": None})

    assert found["SPF"][0].level is Level.WARNING
    assert "no answer" in found["SPF"][0].text
    assert found["DMARC"][0].level is Level.INFO


async def test_without_dnspython_the_checklist_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "dns":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)

    [finding] = await check_domain("news.example.org")

    assert finding.level is Level.WARNING
    assert "dnspython" in finding.text


# --- a received mail ------------------------------------------------------------------------------------------


def received(signature: str = "", results: str = "", lists: bool = True) -> bytes:
    lines = [f"Authentication-Results: {results}"] if results else []
    lines += [f"DKIM-Signature: {signature}"] if signature else []
    lines += ["From: Medical News Monitor <digest@news.example.org>", "To: ann@uni.example", "Subject: [TEST]"]
    if lists:
        lines += ["List-Unsubscribe: <https://x/u/t>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"]
    return "\r\n".join([*lines, "", "text", ""]).encode()


FULL = "v=1; a=rsa-sha256; d=example.org; s=s1;\r\n\th=From:Subject:List-Unsubscribe:\r\n\t List-Unsubscribe-Post; b=x"


def test_a_mail_signed_over_both_list_headers_is_in_order() -> None:
    [finding] = check_message(received(FULL))

    assert finding.level is Level.INFO


@pytest.mark.parametrize(
    ("raw", "name", "words"),
    [
        (received(), "DKIM", "not signed"),
        (received("v=1; d=relay.example; h=From:List-Unsubscribe:List-Unsubscribe-Post"), "DMARC", "relay.example"),
        (received("v=1; d=org; h=From:List-Unsubscribe:List-Unsubscribe-Post"), "DMARC", "not the sender's"),
        (received("v=1; d=ample.org; h=From:List-Unsubscribe:List-Unsubscribe-Post"), "DMARC", "not the sender's"),
        (received("v=1; d=example.org; h=From:List-Unsubscribe"), "DKIM", "list-unsubscribe-post"),
        (received("v=1; d=example.org; h=List-Unsubscribe-Post"), "DKIM", "from, list-unsubscribe:"),
        (received(FULL, lists=False), "mail", "List-Unsubscribe is missing"),
        (received(FULL, "mx.uni.example; spf=fail; dkim=pass"), "SPF", "fail"),
        (received(FULL, "mx.uni.example; dkim=neutral; dmarc=fail (p=none)"), "DMARC", "fail"),
        (b"", "DKIM", "not signed"),
    ],
)
def test_what_is_wrong_with_a_mail_is_named(raw: bytes, name: str, words: str) -> None:
    wrong = [finding for finding in check_message(raw) if finding.level is Level.ERROR]

    assert any(finding.name == name and words in finding.text for finding in wrong), wrong


def test_one_good_signature_of_two_is_enough() -> None:
    raw = received("v=1; d=example.org; h=From").replace(b"DKIM-Sig", f"DKIM-Signature: {FULL}\r\nDKIM-Sig".encode(), 1)

    assert [finding.level for finding in check_message(raw)] == [Level.INFO]


def test_the_receivers_own_verdict_is_shown() -> None:
    raw = received(FULL, "mx.uni.example; spf=pass smtp.mailfrom=x; dkim=fail; dkim=pass; dmarc=pass")

    assert [(f.name, f.level) for f in check_message(raw)][1:] == [
        ("SPF", Level.INFO),
        ("DKIM", Level.INFO),
        ("DMARC", Level.INFO),
    ]
