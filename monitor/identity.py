"""Which two things are the same: the canonical URL, the key that articles are compared by, DOIs and titles.

Three forms of an address are kept apart: as given (to fetch), `canonical_url` (to show), `url_key` (to compare).
Two articles wrongly merged lose one of them, wrongly kept apart they show twice: every rule here leans to the latter.
Nothing here raises on hostile text, and everything is linear in its length.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import unquote, urlsplit

_MAX_URL = 8_000  # browsers and servers end there
_MAX_KEY_BYTES = 1_000  # a PostgreSQL index row ends at 2,704

# --- addresses ------------------------------------------------------------------------------------------------

# Parameters that only ever say where a reader came from.
_TRACKERS = re.compile(
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|yclid|igshid|mc_[ce]id|_hs(?:enc|mi)|__hs\w+"
    r"|at_(?:medium|campaign|campaign_type|custom\d|link_\w+|ptr_name|format|bbc_team)|wt\.mc_id|wt\.feed_name",
    re.IGNORECASE,
)
# Parameters that mean something elsewhere, but on these sites only say where a reader came from.
_SITE_TRACKERS: dict[str, frozenset[str]] = {
    "medscape.com": frozenset({"src", "faf", "ecd", "uac", "impid"}),
    "biorxiv.org": frozenset({"rss"}),
    "medrxiv.org": frozenset({"rss"}),
    "bmj.com": frozenset({"rss"}),
    "thelancet.com": frozenset({"rss"}),
    "cell.com": frozenset({"rss"}),
    "nejm.org": frozenset({"query", "rss"}),
    "jamanetwork.com": frozenset({"utm", "linkid"}),
    "pubmed.ncbi.nlm.nih.gov": frozenset({"fc", "ff", "v"}),
    "theguardian.com": frozenset({"cmp"}),
    "statnews.com": frozenset({"rss"}),
}
_SCIENCE_X = frozenset({"medicalxpress.com", "phys.org", "techxplore.com"})
_HEX = re.compile(r"%([0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[^!-~]|[\"<>\\^`{|}]")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_INDEX = re.compile(r"/(?:index\.(?:html?|php|aspx?|jsp)|default\.aspx?)$", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9._-]+")
_BLANKS = re.compile(r"[\x00-\x20\x7f]+")
# Nearly all addresses: what `urlsplit` makes of them, at a fraction of its price. Scheme, host, port, path, query.
_PLAIN_URL = re.compile(
    r"(https?)://([a-z0-9-]+(?:\.[a-z0-9-]+)*)(?::([1-5]?[0-9]{1,4}))?(/[!-\"$->@-~]*)?(?:\?([!-\"$-~]*))?(?:#[!-~]*)?"
)
_VARIANTS = ("www.", "m.", "mobile.", "amp.", "lofi.")


def canonical_url(url: str) -> str:
    """The address to show: without fragment, credentials, default port and tracking parameters, escapes in one form.

    An address that is not http(s), or that cannot be read, comes back stripped of blanks only.
    """
    parts = _split(url)
    if parts is None:
        return _BLANKS.sub("", url)
    scheme, host, path, query = parts
    return f"{scheme}://{host}{path}" + (f"?{'&'.join(query)}" if query else "")


@lru_cache(maxsize=16_384)  # asked twice for a new entry, and again at each poll while its feed lists it
def url_key(url: str) -> str:
    """The form to compare addresses by: `canonical_url` without scheme, mobile and AMP variants, index pages, order.

    Empty for an empty address. It is not an address: never fetch it. At most 1,000 bytes (longer ones end in a hash).
    """
    parts = _split(url)
    if parts is None:
        return _bounded(_BLANKS.sub("", url))
    _, host, path, query = parts
    host = _without_variant(host)
    path = _INDEX.sub("/", path)
    for tail in ("/amp/", "/amp", ".amp"):
        path = path.removesuffix(tail)
    parameters = sorted(part.replace("%20", "+") for part in query if part not in ("amp", "amp=1", "outputType=amp"))
    return _bounded(host + path.rstrip("/") + (f"?{'&'.join(parameters)}" if parameters else ""))


def host_of(url: str) -> str:
    """The host without `www.`, `m.`, `amp.` (and `lofi.`), in lower case; empty where there is none."""
    parts = _split(url)
    return _without_variant(parts[1]) if parts else ""


def same_site(one: str, other: str) -> bool:
    """Do both addresses belong to one registrable domain (as far as that can be told without a list of suffixes)?"""
    first, second = _site(host_of(one)), _site(host_of(other))
    return bool(first) and first == second


@lru_cache(maxsize=2_048)  # an article asks four times: is it known, to show, to compare, for the host
def _split(url: str) -> tuple[str, str, str, tuple[str, ...]] | None:
    """Scheme, host with a port that is not the default, path, and the parameters that are no trackers."""
    if len(url) > _MAX_URL:
        return None
    if plain := _PLAIN_URL.fullmatch(url):
        scheme, host, digits, path, parameters = plain.groups("")
        port = int(digits or 0)
    else:
        try:
            parts = urlsplit(_BLANKS.sub("", url))
            scheme, host, port = parts.scheme.lower(), (parts.hostname or "").rstrip("."), parts.port or 0
        except ValueError:  # a bad port, half an IPv6 address, a host that changes under NFKC
            return None
        path, parameters = parts.path, parts.query
    if scheme not in ("http", "https") or not host:
        return None
    host = _ascii_host(host)
    if ":" in host:
        host = f"[{host}]"
    path = _dots(_escapes(path)) or "/"
    bare = _without_variant(host)
    if bare in _SCIENCE_X:
        host = bare
        path = path.removesuffix(".amp") + ".html" if path.endswith(".amp") else path
    if port and port != (443 if scheme == "https" else 80):
        host = f"{host}:{port}"
    if not parameters:
        return scheme, host, path, ()
    ours = _site_trackers(bare)
    query = tuple(
        part for part in _escapes(parameters).split("&") if part and not _is_tracker(part.partition("=")[0], part, ours)
    )
    return scheme, host, path, query


def _is_tracker(name: str, part: str, ours: frozenset[str]) -> bool:
    return _TRACKERS.fullmatch(name) is not None or part == "af=R" or name.lower() in ours


def _site_trackers(host: str) -> frozenset[str]:
    while host:
        if host in _SITE_TRACKERS:
            return _SITE_TRACKERS[host]
        host = host.partition(".")[2]
    return frozenset()


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        encoded = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return host.lower()
    return encoded if _HOST.fullmatch(encoded) else host.lower()


def _without_variant(host: str) -> str:
    if not host.startswith(_VARIANTS):
        return host
    for prefix in _VARIANTS:
        if host.startswith(prefix) and "." in host[len(prefix) :]:
            return host[len(prefix) :]
    return host


def _site(host: str) -> str:
    labels = host.partition(":")[0].split(".")
    if host.startswith("[") or (labels[-1].isdigit() and len(labels) == 4):
        return host
    second_level = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-3:] if second_level else labels[-2:])


_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "gouv", "net", "nhs", "or", "org"})


def _escapes(text: str) -> str:
    """Percent-escapes in upper case, none where none is needed, all where one is (RFC 3986, section 6.2.2)."""
    if _UNSAFE.search(text):
        text = _UNSAFE.sub(lambda found: _percent(found.group()), text)
    if "%" in text:
        text = _HEX.sub(_escape, text)
    return text


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))


def _escape(found: re.Match[str]) -> str:
    byte = int(found.group(1), 16)
    return chr(byte) if byte in _UNRESERVED else found.group().upper()


def _dots(path: str) -> str:
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


def _bounded(key: str) -> str:
    data = key.encode("utf-8", "replace")
    if len(data) <= _MAX_KEY_BYTES:
        return data.decode()
    return data[: _MAX_KEY_BYTES - 70].decode("utf-8", "ignore") + "#" + sha256(data).hexdigest()


# --- articles -------------------------------------------------------------------------------------------------


def article_key(*, url: str, guid: str, doi: str, title: str, provider: str, published: datetime | None) -> str:
    """What one article is known by, wherever it was found: its own DOI, else its address, else guid or title.

    `doi` must be the entry's own (named by its feed, or by its page as the page's), never that of a paper which a news
    story reports: two stories on one paper are two articles. `guid` and `title` hold within their `provider` only.
    """
    if own := normal_doi(doi):
        return _bounded(f"doi:{own}")
    if key := url_key(url):
        return key
    if guid:
        return _bounded(f"guid:{provider.casefold()}|{guid}")
    day = published.astimezone(UTC).date().isoformat() if published else ""
    return _bounded(f"title:{normal_title(title)}|{provider.casefold()}|{day}")


def normal_title(title: str) -> str:
    """A title to compare by: no case, accents or punctuation, single blanks."""
    if title.isascii():
        return " ".join(_WORDS.findall(title.lower()))
    plain = unicodedata.normalize("NFKD", title)
    letters = "".join(char for char in plain if not unicodedata.combining(char))
    return " ".join(_WORDS.findall(letters.casefold()))


_WORDS = re.compile(r"[^\W_]+")

# --- DOIs -----------------------------------------------------------------------------------------------------

# Crossref's pattern (2015) unanchored, with old SICI forms such as 10.1002/(SICI)…17:15/16<1661::AID-SIM968>3.0.CO;2-2.
_DOI = re.compile(
    r"(?<!\d)10\.\d{4,9}/[-._;()/:\[\]+A-Za-z0-9]{1,200}"
    r"(?:<[0-9A-Za-z]{1,10}:[-0-9A-Za-z:.]{0,40}>[-._;()/:A-Za-z0-9]{1,100})?"
)
_PREPRINT = re.compile(r"(10\.(?:1101|64898)/[\w.]+?)v\d+(?:[./].*)?$", re.IGNORECASE)
# What publishers' addresses append to a DOI.
_VIEWS = re.compile(
    r"(?:/(?:full|fulltext|abstract|pdf|epdf|pdfdirect|html|meta|summary|references|suppl|tables?|figures?)|\.(?:full|abstract|pdf|html?))+$",
    re.IGNORECASE,
)
_CLOSING = {")": "(", "]": "["}


def find_doi(text: str) -> str:
    """The first DOI in running text as it is printed there, without the sentence's punctuation; empty if none."""
    found = _DOI.search(text)
    return _trimmed(found.group()) if found else ""


def normal_doi(text: str) -> str:
    """The form to compare DOIs by: lower case, no `doi:` or resolver before it, no version after a preprint's."""
    found = find_doi(unquote(text) if "%" in text else text)
    return _PREPRINT.sub(r"\1", found).lower()


def doi_in_url(url: str) -> str:
    """The DOI that an article's own address carries (`/doi/10…`, `/content/10…v1?rss=1`, `?id=10…`), or empty."""
    if "10." not in url:
        return ""
    found = find_doi(unquote(url.partition("#")[0]))
    return _PREPRINT.sub(r"\1", _VIEWS.sub("", found))


def _trimmed(doi: str) -> str:
    """Cut trailing punctuation, and closing brackets that the DOI itself did not open."""
    surplus = {close: doi.count(close) - doi.count(opening) for close, opening in _CLOSING.items()}
    end = len(doi)
    while end:
        last = doi[end - 1]
        if last in _CLOSING:
            if surplus[last] <= 0:
                break
            surplus[last] -= 1
        elif last in "([":
            surplus[")" if last == "(" else "]"] += 1
        elif last not in ".,;:/-_":
            break
        end -= 1
    return doi[:end] if "/" in doi[:end] else ""


# --- clinical trials ------------------------------------------------------------------------------------------

_TRIAL = re.compile(
    r"\b(?:(?P<nct>NCT)\s?(?P<nct_number>\d{8})|(?P<isrctn>ISRCTN)\s?(?P<isrctn_number>\d{8})"
    r"|(?P<eudract>(?:19|20)\d{2}-\d{6}-\d{2}))(?![\d-])",
    re.IGNORECASE,
)


def trial_ids(text: str) -> tuple[str, ...]:
    """The registration numbers in a text (NCT…, ISRCTN…, EudraCT's YYYY-NNNNNN-NN), each once, at most 50."""
    found: dict[str, None] = {}
    for match in _TRIAL.finditer(text):
        if match["nct"]:
            found[f"NCT{match['nct_number']}"] = None
        elif match["isrctn"]:
            found[f"ISRCTN{match['isrctn_number']}"] = None
        else:
            found[match["eudract"]] = None
        if len(found) == 50:
            break
    return tuple(found)
