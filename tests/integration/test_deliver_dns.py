"""TXT records over the wire, from a name server of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from monitor.deliver.checks import DnsResolver, check_domain
from monitor.model import Level

RECORDS = {
    "news.example.org.": '"v=spf1 include:relay" ".example ~all"',  # one record in two strings
    "relay.example.": '"v=spf1 ip4:192.0.2.0/24 -all"',
}


class NameServer(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        name = question.question[0].name.to_text()
        if name in RECORDS:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", RECORDS[name]))
        elif name.startswith("broken"):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name.startswith("silent"):
            return
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def resolver() -> AsyncIterator[DnsResolver]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    found = DnsResolver(timeout=0.5)
    found._resolver.nameservers = ["127.0.0.1"]
    found._resolver.port = transport.get_extra_info("sockname")[1]
    yield found
    transport.close()


async def test_the_strings_of_a_record_are_joined(resolver: DnsResolver) -> None:
    assert await resolver.txt("news.example.org") == ["v=spf1 include:relay.example ~all"]


async def test_a_name_that_does_not_exist_has_no_records(resolver: DnsResolver) -> None:
    assert await resolver.txt("nothing.example") == []


@pytest.mark.parametrize("name", ["broken.example", "silent.example", "a" * 70 + ".example", "a..b"])
async def test_no_answer_is_an_error_and_not_an_absence(resolver: DnsResolver, name: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        await resolver.txt(name)


async def test_a_domain_is_checked_over_the_wire(resolver: DnsResolver) -> None:
    found = {finding.name: finding for finding in await check_domain("news.example.org", resolver=resolver)}

    assert found["SPF"].level is Level.INFO
    assert found["DMARC"].level is Level.ERROR
