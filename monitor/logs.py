"""What `monitor run` prints: one line an event, on stderr, with secrets and people's addresses made unreadable."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

ADDRESS = re.compile(r"\b([A-Za-z0-9])[A-Za-z0-9._%+-]{0,63}@([A-Za-z0-9.-]{1,253})")
QUERY = re.compile(r"(https?://[^\s?#]{1,2000})\?[^\s]{1,2000}")
CREDENTIALS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{1,30}://)[^\s/]{1,500}@")
BEARER = re.compile(r"(?i)\b(bearer|basic)\s{1,4}[A-Za-z0-9._~+/=-]{8,}")
TOKEN = re.compile(r"/(u|confirm|address|preferences|f|view|feed|topic-feed|pause|cite)/[A-Za-z0-9_.~%-]{16,}")
FIELD = re.compile(r"(?: |^)([a-z_]+)=%(?:\.\d)?[sdfr](?= |$)")  # of a format: the data behind its phrase
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def redact(text: str) -> str:
    """Mail addresses keep one letter and the domain, URLs lose login and query, links and headers a token."""
    text = CREDENTIALS.sub(r"\1…@", text)
    text = BEARER.sub(r"\1 …", text)
    text = ADDRESS.sub(r"\1***@\2", text)
    text = QUERY.sub(r"\1?…", text)
    return TOKEN.sub(r"/\1/…", text)


class JsonLines(logging.Formatter):
    """One JSON object a line: ts (RFC 3339, UTC), level, logger, event, the event's own fields, error.

    `log.info("refreshed source=%s new=%d", …)` is the event "refreshed" with `source` and `new`, to be asked for.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **_event(record),
        }
        if record.exc_info:
            entry["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


def _event(record: logging.LogRecord) -> dict[str, object]:
    """Phrase and fields where the line is written so; else the whole line."""
    names = FIELD.findall(str(record.msg))
    phrase = FIELD.sub("", str(record.msg)).strip()
    if not names or "%" in phrase or not isinstance(record.args, tuple) or len(names) != len(record.args):
        return {"event": redact(record.getMessage())}
    values = (one if isinstance(one, int | float | None) else redact(str(one)) for one in record.args)
    return {
        "event": phrase or redact(record.getMessage()),
        **{f"{name}_" if name in RESERVED else name: v for name, v in zip(names, values, strict=True)},
    }


RESERVED = frozenset({"ts", "level", "logger", "event", "error"})


class Lines(logging.Formatter):
    """For people: time, level, message; control characters from outside are shown, not obeyed."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        text = CONTROL.sub(lambda c: f"\\x{ord(c[0]):02x}", redact(record.getMessage()))
        line = f"{at} {record.levelname.lower():7} {text}"
        return line + ("\n" + redact(self.formatException(record.exc_info)) if record.exc_info else "")


def set_up(level: str, style: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    json_lines = style == "json" or (style == "auto" and not sys.stderr.isatty())
    handler.setFormatter(JsonLines() if json_lines else Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in (
        "apscheduler",
        "procrastinate",
        "httpx",
        "aiosmtplib",
        "asyncio",
        "alembic",
        "trafilatura",
        "htmldate",
        "opentelemetry",
        "urllib3",
    ):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
