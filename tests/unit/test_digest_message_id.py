"""A digest's Message-ID: the key by which a second copy is known for one."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy

import pytest
from digest_samples import weekly_digest

from monitor.digest import Letterhead, Links, render

LETTERHEAD = Letterhead(sender="digest@example.org", list_domain="example.org")
LINKS = Links("", "a key")


@pytest.mark.parametrize("key", ["2026-W23", "2026-06-01T12:15", "2026-06-01T12:15:07Z"])
def test_a_message_id_is_one_by_rfc_5322_whatever_the_period(key: str) -> None:
    digest = weekly_digest()
    message = render(replace(digest, period=replace(digest.period, key=key)), LETTERHEAD, LINKS)

    read = message_from_bytes(message.data, policy=policy.default)

    assert str(read["Message-ID"]) == message.message_id
    assert read["Message-ID"].defects == ()
