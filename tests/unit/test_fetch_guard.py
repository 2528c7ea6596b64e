"""Which addresses may be asked: a case for every row of the ranges, and for every way around others fell for."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.errors import FetchRefused
from monitor.fetch.guard import check_url, follow, why_not_public

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
    "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "198.51.99.255", "203.0.114.0", "223.255.255.255", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1",
    "2001:200::1", "2003::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "3ffe:ffff::1",
]  # fmt: skip
NOT_PUBLIC = [
    # the first and the last address of every row
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255",
    "127.0.0.0", "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.0", "169.254.169.254", "169.254.255.255",
    "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255", "192.0.2.0", "192.0.2.255",
    "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0",
    "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.255",
    "::", "::1", "::2", "::7f00:1", "::808:808", "64:ff9b:1::1", "64:ff9b:1:ffff::808:808", "100::", "100::1",
    "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:1ff:ffff::1",
    "2001:db8::1", "2001:db8:ffff::1", "3fff::1", "3fff:fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1",
    "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "feff::1", "ff02::1", "ffff::1", "4000::1", "1fff::1",
    # IPv4 inside IPv6
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:a00:1::1",
    "not an address", "", "1.2.3", "0x7f.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert why_not_public(address) == ""


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_every_address_that_is_not_public_has_a_reason(address: str) -> None:
    assert why_not_public(address)


ORDINARY = [
    ("http://example.org", "http://example.org", "example.org", 80),
    ("HTTPS://Example.ORG/Feed?a=1#top", "https://example.org/Feed?a=1", "example.org", 443),
    ("http://example.org:443/", "http://example.org:443/", "example.org", 443),
    ("https://example.org/a b", "https://example.org/a%20b", "example.org", 443),
    ("https://example.org/ä?q=ü", "https://example.org/%C3%A4?q=%C3%BC", "example.org", 443),
    ("https://bücher.example/", "https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
    ("https://feeds_1.example.org./x", "https://feeds_1.example.org./x", "feeds_1.example.org.", 443),
    ("https://8.8.8.8/dns", "https://8.8.8.8/dns", "8.8.8.8", 443),
    ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/", "2606:4700::1111", 443),
    ("https://example.org/a@b:c", "https://example.org/a@b:c", "example.org", 443),
    ("https://dx.example.org/10.1002/(SICI)1<1::AID>3.0;2-Q", None, "dx.example.org", 443),
]


@pytest.mark.parametrize(("url", "sent", "host", "port"), ORDINARY)
def test_ordinary_addresses_pass_in_one_spelling(url: str, sent: str | None, host: str, port: int) -> None:
    target = check_url(url)

    assert (target.host, target.port) == (host, port)
    assert sent is None or target.url.rstrip("/") == sent.rstrip("/")
    assert check_url(target.url) == target


REFUSED = {
    "no scheme": "example.org/feed",
    "empty": "",
    "file": "file:///etc/passwd",
    "FILE": "FILE:///etc/passwd",
    "blank before the scheme": " file:///etc/passwd",
    "newline in the scheme": "ht\ntp://example.org/",
    "ftp": "ftp://example.org/",
    "gopher": "gopher://example.org:70/_x",
    "data": "data:text/html,x",
    "javascript": "javascript:alert(1)",
    "source:": "source:file:///etc/passwd",
    "view-source": "view-source://example.org",
    "one slash": "http:/example.org",
    "no host": "http:///feed",
    "only a port": "http://:80/",
    "backslash, two readers": "http://169.254.169.254\\@example.org/",
    "backslash in the path": "http://example.org\\.internal/",
    "user": "http://user@example.org/",
    "user and password": "http://user:secret@example.org/",
    "empty user": "http://@example.org/",
    "NUL": "http://example.org/\x00",
    "CR LF": "http://example.org/\r\nHost: x",
    "tab in the host": "http://exa\tmple.org/",
    "blank in the host": "http://exam ple.org/",
    "line separator": "http://example.org/\u2028",
    "surrogate": "http://example.org/\ud800",
    "surrogate host": "http://ex\ud800.org/",
    "encoded host": "http://%31%32%37.0.0.1/",
    "ideographic dots": "http://127。0。0。1/",
    "half-width dots": "http://127｡0｡0｡1/",
    "full-width dots": "http://127．0．0．1/",
    "full-width digits": "http://１２７.0.0.1/",
    "circled digits": "http://①②⑦.0.0.1/",
    "decimal": "http://2130706433/",
    "hexadecimal": "http://0x7f000001/",
    "hexadecimal parts": "http://0x7f.0x0.0x0.0x1/",
    "hexadecimal last part": "http://127.0.0.0x1/",
    "octal": "http://0177.0.0.1/",
    "leading zeros": "http://127.000.000.001/",
    "short": "http://127.1/",
    "shorter": "http://127.0.1/",
    "five parts": "http://1.2.3.4.5/",
    "too large": "http://256.256.256.256/",
    "dot at the end": "http://127.0.0.1./",
    "loopback": "http://127.0.0.1/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "alibaba metadata": "http://100.100.100.200/",
    "loopback v6": "http://[::1]/",
    "mapped": "http://[::ffff:127.0.0.1]/",
    "mapped, hexadecimal": "http://[::ffff:7f00:1]/",
    "scope": "http://[fe80::1%25eth0]/",
    "v6 without end": "http://[::1/",
    "v6 with more": "http://[::1]x/",
    "v7": "http://[v7.1]/",
    "port": "http://example.org:22/",
    "port of a public address": "http://8.8.8.8:8080/",
    "port 0": "http://example.org:0/",
    "port too large": "http://example.org:99999/",
    "port 65616 is 80 in 16 bits": "http://example.org:65616/",
    "port of letters": "http://example.org:http/",
    "port in other digits": "http://example.org:٨٠/",
    "negative port": "http://example.org:-1/",
    "empty label": "http://example..org/",
    "long label": f"http://{'a' * 64}.org/",
    "long host": f"http://{'a.' * 130}org/",
    "hyphen first": "http://-example.org/",
    "star": "http://*.example.org/",
    "too long": "http://example.org/" + "a" * 10_000,
    "bad IDNA": "http://xn--\u0300.org/",
    "zero-width": "http://exam\u200bple.org:1/",
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_addresses_that_are_doubtful_or_not_public_are_refused(url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        check_url(url)

    assert refused.value.reason
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 700


def test_a_refusal_says_what_and_why_and_how_to_allow_it() -> None:
    with pytest.raises(FetchRefused, match=r"10\.1\.2\.3 is not a public address \(private network\)") as refused:
        check_url("http://10.1.2.3/feed")

    assert "list 10.1.2.3:80 in MONITOR_FETCH__ALLOW" in str(refused.value)


ALLOWED = frozenset({"127.0.0.1:8000", "[::1]:8000", "intranet.example:8080", "10.1.2.3:80"})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/", "http://[::1]:8000/", "https://intranet.example:8080/feed", "http://10.1.2.3/",
        "http://INTRANET.example:8080/", "http://intranet.example.:8080/",
    ],
)  # fmt: skip
def test_listed_servers_pass(url: str) -> None:
    assert check_url(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8001/", "http://127.0.0.1/", "http://127.0.0.1:80001/", "http://127.0.0.2:8000/",
        "http://xintranet.example:8080/", "http://intranet.example.evil.org:8080/", "http://10.1.2.3:443/",
        "http://10.1.2.30/", "http://[::ffff:127.0.0.1]:8000/", "http://2130706433:8000/", "http://localhost:8000/",
        "http://127.1:8000/", "http://u@127.0.0.1:8000/",
    ],
)  # fmt: skip
def test_the_list_is_compared_exactly(url: str) -> None:
    with pytest.raises(FetchRefused):
        check_url(url, ALLOWED)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/b", "https://example.org/b"),
        ("b?c", "https://example.org/x/b?c"),
        ("//other.org/b", "https://other.org/b"),
        ("HTTP://other.org/b#c", "http://other.org/b"),
        ("?page=2", "https://example.org/x/a?page=2"),
    ],
)
def test_redirects_are_resolved_against_their_page(location: str, expected: str) -> None:
    assert follow(check_url("https://example.org/x/a"), location).url == expected


@pytest.mark.parametrize(
    "location",
    [
        "//127.0.0.1/", "http://169.254.169.254/", "file:///etc/passwd", "//169.254.169.254\\@example.org",
        "/\\127.0.0.1", "http:/\\127.0.0.1/", "//user@example.org", "http://[::1", "javascript:x", "/a\x00b",
        "//1.1:80",
        "http:127.0.0.1", "//example.org:6379/",
    ],
)  # fmt: skip
def test_redirects_are_checked_like_any_address(location: str) -> None:
    with pytest.raises(FetchRefused):
        follow(check_url("https://example.org/x/a"), location)


@given(
    st.one_of(
        st.text(max_size=60),
        st.text(max_size=40).map("http://{}".format),
        st.from_regex(r"https?://[\[\]0-9a-fx.:@%\\]{1,30}/?"),
    )
)
@example("http://[v1.::]/")
@example("http://ﬀ.org/")
def test_any_text_is_a_target_or_a_refusal(url: str) -> None:
    try:
        target = check_url(url)
    except FetchRefused:
        return

    assert target.port in (80, 443)
    assert target.url.isascii()
    assert check_url(target.url) == target
    assert ":" not in target.host or why_not_public(target.host) == ""
