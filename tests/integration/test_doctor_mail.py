"""`monitor doctor mail --arrived FILE`: does the relay's signature cover what one-click unsubscribing needs?"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor import cli
from monitor.digest import Letterhead, Links
from monitor.digest.letters import delivery_test

LETTERHEAD = Letterhead(sender="digest@example.org", list_domain="example.org")
COVERED = "from:to:subject:list-unsubscribe:list-unsubscribe-post"


def arrived(tmp_path: Path, signed: str) -> Path:
    """The test mail as a relay signs it and a mailbox keeps it."""
    test = delivery_test("a@example.com", LETTERHEAD, Links("", "key"), now=datetime(2026, 11, 24, tzinfo=UTC))
    signature = (
        f"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=mail; c=relaxed/relaxed; h={signed}; bh=AAAA; b=BBBB\r\n"
        "Authentication-Results: mx.example.com; spf=pass smtp.mailfrom=example.org; dkim=pass header.d=example.org; "
        "dmarc=pass header.from=example.org\r\n"
    )
    path = tmp_path / "arrived.eml"
    path.write_bytes(signature.encode() + test.data)
    return path


@pytest.mark.parametrize(
    ("signed", "code"),
    [(COVERED, 0), ("from:to:subject:list-unsubscribe", 1)],
    ids=["both List headers", "one is missing"],
)
def test_a_signature_must_cover_both_list_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signed: str, code: int
) -> None:
    monkeypatch.setattr(sys, "argv", ["monitor", "doctor", "mail", "--arrived", str(arrived(tmp_path, signed))])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == code, capsys.readouterr().out
