"""Why our mail may not arrive: what DNS says about the sender's domain, and what a received test mail shows.

SPF is RFC 7208, DKIM RFC 6376, DMARC RFC 7489; one-click unsubscribing (RFC 8058) wants both List headers signed.
"""

from __future__ import annotations

import base64
import binascii
import email
import re
from dataclasses import dataclass
from email.message import Message as Mail
from email.policy import compat32
from email.utils import parseaddr
from typing import Protocol

from monitor.deliver.replies import printable
from monitor.model import Level

SPF_LOOKUPS = 10
LONGEST_MAIL = 512 * 1024
_MUST_SIGN = ("from", "list-unsubscribe", "list-unsubscribe-post")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the checklist. `name` is "SPF", "DKIM", "DMARC", "DNS" or "mail"."""

    name: str
    level: Level
    text: str


class Resolver(Protocol):
    async def txt(self, name: str) -> list[str]:
        """The TXT records of a name, their strings joined; empty where there are none.

        Raises OSError where DNS gives no answer.
        """


class DnsResolver:
    """The system's resolver. Raises ImportError where dnspython is not installed, OSError where none is set up."""

    def __init__(self, timeout: float = 5.0) -> None:
        import dns.asyncresolver  # optional: only `doctor mail` asks DNS for TXT records
        import dns.exception

        try:
            self._resolver = dns.asyncresolver.Resolver()
        except dns.exception.DNSException as error:  # no resolv.conf
            raise OSError(str(error)) from error
        self._resolver.lifetime = timeout

    async def txt(self, name: str) -> list[str]:
        import dns.exception
        import dns.resolver

        try:
            answer = await self._resolver.resolve(name, "TXT")
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as error:
            raise OSError(f"{name}: {error}") from error
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


async def check_domain(domain: str, *, selector: str = "", resolver: Resolver | None = None) -> list[Finding]:
    """What DNS says about mail from `domain`. Without a `selector` the DKIM key is not looked up. Never raises."""
    try:
        resolver = resolver or DnsResolver()
    except ImportError:
        return [_warn("DNS", "not checked: install dnspython (pip install dnspython) and ask again")]
    except OSError as error:
        return [_warn("DNS", f"not checked: {printable(str(error))}")]
    findings: list[Finding] = []
    for name in ("SPF", "DKIM", "DMARC"):
        try:
            if name == "SPF":
                findings += await _spf(domain, resolver)
            elif name == "DKIM":
                findings += await _dkim(domain, selector, resolver)
            else:
                findings += await _dmarc(domain, resolver)
        except OSError as error:
            findings.append(_warn(name, f"not checked, DNS gives no answer: {printable(str(error))}"))
    return findings


def check_message(raw: bytes) -> list[Finding]:
    """What a test mail shows once it has arrived (its source, as the receiver keeps it)."""
    mail = email.message_from_bytes(raw[:LONGEST_MAIL], policy=compat32)
    sender = parseaddr(str(mail.get("From", "")))[1].rpartition("@")[2].lower()
    findings = [
        _error("mail", f"the header {name} is missing")
        for name in ("List-Unsubscribe", "List-Unsubscribe-Post")
        if name not in mail
    ]
    return findings + _signatures(mail, sender) + _results(mail)


# --- DNS ------------------------------------------------------------------------------------------------------


async def _spf(domain: str, resolver: Resolver) -> list[Finding]:
    records = [text for text in await resolver.txt(domain) if re.match(r"v=spf1( |$)", text, re.IGNORECASE)]
    if not records:
        return [_error("SPF", f'{domain} has no SPF record; publish: {domain} TXT "v=spf1 include:YOUR-RELAY -all"')]
    if len(records) > 1:
        return [_error("SPF", f"{domain} has {len(records)} SPF records; receivers then ignore all: keep one")]
    terms = records[0].lower().split()[1:]
    findings = []
    lookups = await _spf_lookups(terms, resolver, {domain.lower()})
    if lookups > SPF_LOOKUPS:
        findings.append(
            _error("SPF", f"needs more than {SPF_LOOKUPS} DNS look-ups; receivers then fail it: shorten it")
        )
    last = next((term for term in terms if term.lstrip("+-~?") == "all"), "")
    if last in ("all", "+all"):
        findings.append(_error("SPF", f"ends in {last}: anybody may send as {domain}"))
    elif last == "?all" or (not last and not any(term.startswith("redirect=") for term in terms)):
        findings.append(_warn("SPF", "says nothing about other senders; end it in ~all or -all"))
    return findings or [_ok("SPF", f"one record, {lookups} look-ups, {last or 'redirect'}")]


async def _spf_lookups(terms: list[str], resolver: Resolver, seen: set[str]) -> int:
    """How many DNS look-ups the record costs, those of included ones too. Stops counting a little above the limit."""
    count = 0
    for term in terms:
        name, _, target = term.lstrip("+-~?").partition("=" if term.startswith("redirect=") else ":")
        if name.partition("/")[0] not in ("include", "redirect", "a", "mx", "ptr", "exists"):
            continue
        count += 1
        follow = name in ("include", "redirect") and target and "%" not in target and target not in seen
        if follow and len(seen) <= SPF_LOOKUPS + 1:
            seen.add(target)
            texts = await resolver.txt(target)
            inner = next((text.lower().split()[1:] for text in texts if text.lower().startswith("v=spf1")), [])
            count += await _spf_lookups(inner, resolver, seen)
    return count


async def _dkim(domain: str, selector: str, resolver: Resolver) -> list[Finding]:
    if not selector:
        return [_warn("DKIM", "key not checked: name the relay's selector (s= in a received mail's DKIM-Signature)")]
    name = f"{selector}._domainkey.{domain}"
    records = await resolver.txt(name)
    if not records:
        return [_error("DKIM", f"{name} has no key: signatures with this selector fail")]
    tags = _tags(records[0])
    try:
        key = base64.b64decode("".join(tags.get("p", "").split()), validate=True)
    except (binascii.Error, ValueError):
        return [_error("DKIM", f"{name}: the key (p=) is damaged")]
    if not key:
        return [_error("DKIM", f"{name}: the key is revoked (empty p=)")]
    findings = []
    if tags.get("k", "rsa").lower() == "rsa":
        bits = _rsa_bits(key)
        if bits < 1024:
            findings.append(_error("DKIM", f"{name}: an RSA key of {bits} bits is not accepted; use 2048"))
        elif bits < 2048:
            findings.append(_warn("DKIM", f"{name}: an RSA key of {bits} bits is weak; use 2048"))
    if "y" in tags.get("t", "").lower().split(":"):
        findings.append(_warn("DKIM", f"{name}: in test mode (t=y); receivers may ignore it"))
    return findings or [_ok("DKIM", f"{name} holds a key")]


def _rsa_bits(key: bytes) -> int:
    """Size of an RSA key in SubjectPublicKeyInfo form, from its length: some 38 bytes stand around the modulus."""
    bits = (len(key) - 38) * 8
    return max(0, round(bits / 128) * 128)


async def _dmarc(domain: str, resolver: Resolver) -> list[Finding]:
    labels = domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        holder = ".".join(labels[start:])
        records = [text for text in await resolver.txt(f"_dmarc.{holder}") if _tags(text).get("v", "") == "DMARC1"]
        if len(records) > 1:
            return [_error("DMARC", f"_dmarc.{holder} has {len(records)} records; receivers then ignore all: keep one")]
        if records:
            tags = _tags(records[0])
            policy = (tags.get("sp") if start else None) or tags.get("p", "")
            if policy.lower() not in ("none", "quarantine", "reject"):
                return [_error("DMARC", f"_dmarc.{holder}: p={printable(policy, 40)} is no policy")]
            return [_ok("DMARC", f"_dmarc.{holder} says p={policy.lower()}")]
    return [_error("DMARC", f'{domain} has no DMARC record; publish: _dmarc.{domain} TXT "v=DMARC1; p=none"')]


# --- a received mail ------------------------------------------------------------------------------------------


def _signatures(mail: Mail, sender: str) -> list[Finding]:
    signatures = [_tags(str(value)) for value in mail.get_all("DKIM-Signature", [])[:20]]
    if not signatures:
        return [_error("DKIM", "the mail is not signed: let the relay sign it")]
    aligned = [tags for tags in signatures if _aligned(tags.get("d", "").lower(), sender)]
    if not aligned:
        domains = ", ".join(sorted({printable(tags.get("d", "?"), 80) for tags in signatures}))
        return [_error("DMARC", f"signed by {domains}, which is not the sender's domain {printable(sender, 80)}")]
    best = min((_unsigned(tags) for tags in aligned), key=len)
    if best:
        return [
            _error("DKIM", f"the signature does not cover {', '.join(best)}: add them to the relay's list of headers")
        ]
    return [_ok("DKIM", f"signed by {printable(aligned[0]['d'], 80)}, both List headers covered")]


def _unsigned(tags: dict[str, str]) -> list[str]:
    signed = {name.strip().lower() for name in tags.get("h", "").split(":")}
    return [name for name in _MUST_SIGN if name not in signed]


def _aligned(signer: str, sender: str) -> bool:
    """Relaxed alignment, without a list of public suffixes: one is the other, or lies below it."""
    if signer.count(".") < 1 or not sender:
        return False
    return signer == sender or sender.endswith("." + signer) or signer.endswith("." + sender)


def _results(mail: Mail) -> list[Finding]:
    """What the receiver itself concluded (RFC 8601). Only the topmost header is the receiver's own."""
    header = " ".join(str(mail.get("Authentication-Results", ""))[:4000].split())
    findings = []
    for method in ("spf", "dkim", "dmarc"):
        results = re.findall(rf"\b{method}=([a-z]+)", header, re.IGNORECASE)
        if results:
            passed = "pass" in (result.lower() for result in results)
            make = _ok if passed else _error
            findings.append(make(method.upper(), f"the receiver says {'pass' if passed else results[0].lower()}"))
    return findings


def _tags(text: str) -> dict[str, str]:
    """`v=DKIM1; k=rsa; p=…` as a mapping; the first of two equal names counts."""
    tags: dict[str, str] = {}
    for part in text[:10_000].split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), " ".join(value.split()))
    return tags


def _ok(name: str, text: str) -> Finding:
    return Finding(name=name, level=Level.INFO, text=text)


def _warn(name: str, text: str) -> Finding:
    return Finding(name=name, level=Level.WARNING, text=text)


def _error(name: str, text: str) -> Finding:
    return Finding(name=name, level=Level.ERROR, text=text)
