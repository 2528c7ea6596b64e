"""What a thousand digests cost: compose, render and build, against the plain way, in one run.

    python bench/digest.py [--readers 1000] [--articles 30]

The plain way is what one would write first: a Jinja template rendered whole for each reader, and the standard library's
EmailMessage with two set_content. Both make the same articles for the same readers. CPU seconds of this process; the
last column is a stage's share of the plain way's total.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from time import process_time
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from digest_samples import LETTERHEAD, LINKS, READER, WEEKLY, many, weekly_digest  # noqa: E402

from monitor.digest import cards  # noqa: E402
from monitor.digest.render import build, pages_of  # noqa: E402
from monitor.digest.templates import HTML, TEXT  # noqa: E402
from monitor.model import Digest, Verdict  # noqa: E402

T = TypeVar("T")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--readers", type=int, default=1000)
    options.add_argument("--articles", type=int, default=30)
    chosen = options.parse_args()
    readers = [
        replace(READER, id=number, email=f"reader{number}@example.org") for number in range(1, chosen.readers + 1)
    ]
    found = many(chosen.articles)

    cards._memory.clear()
    compose_time, digests = timed(
        lambda: [
            weekly_digest(found=found, subscriber=reader, subscription=replace(WEEKLY, id=reader.id))
            for reader in readers
        ]
    )
    render_time, pages = timed(lambda: [pages_of(digest, LETTERHEAD, LINKS) for digest in digests])
    build_time, messages = timed(
        lambda: [build(digest, page, LETTERHEAD, LINKS) for digest, page in zip(digests, pages, strict=True)]
    )
    few = digests[: max(1, len(digests) // 20)]  # the plain way is measured on a twentieth and scaled
    scale = len(digests) / len(few)
    plain_html, texts = timed(lambda: [plain_render(digest) for digest in few])
    plain_mime, plain = timed(lambda: [plain_build(digest, *text) for digest, text in zip(few, texts, strict=True)])
    plain_total = (plain_html + plain_mime) * scale

    ours = compose_time + render_time + build_time
    print(f"{len(digests)} readers x {chosen.articles} articles, CPU seconds ({sys.version.split()[0]})")
    for name, seconds in (
        ("compose", compose_time),
        ("render: HTML and text", render_time),
        ("build: MIME, two sizes", build_time),
        ("ours, all", ours),
        ("plain: Jinja for each reader", plain_html * scale),
        ("plain: EmailMessage", plain_mime * scale),
        ("plain, all", plain_total),
    ):
        print(f"  {name:32}{seconds:8.2f}  {seconds / plain_total:6.0%}")
    print(f"  one message: ours {len(messages[0].data):,} bytes, HTML {len(messages[0].html.encode()):,};", end=" ")
    print(f"plain {len(plain[0]):,} bytes")
    print(f"  ratio ours / plain: {ours / plain_total:.2f}; per reader {ours / len(digests) * 1000:.2f} ms")
    return 0


def timed(work: Callable[[], T]) -> tuple[float, T]:
    start = process_time()
    result = work()
    return process_time() - start, result


def plain_render(digest: Digest) -> tuple[str, str]:
    """Every card through the same templates, for this reader alone."""
    html, text = [], []
    for item in digest.items:
        about = (digest.subscriber, item.match.topic_id, item.article.id)
        values = cards.values_of(item, LINKS) | {
            "number": f"{item.number:>2}.",
            "relevant": LINKS.feedback(*about, Verdict.RELEVANT),
            "not_relevant": LINKS.feedback(*about, Verdict.NOT_RELEVANT),
        }
        html.append(HTML.get_template("card.html").render(values))
        text.append(TEXT.get_template("card.txt").render(values))
    return "".join(html), "\n".join(text)


def plain_build(digest: Digest, html: str, text: str) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = LETTERHEAD.sender
    message["To"] = digest.subscriber.email
    message["Subject"] = "30 new: Opioid tolerance, mTOR (+3 topics), 17–23 Nov 2026"
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message.as_bytes()


if __name__ == "__main__":
    sys.exit(main())
