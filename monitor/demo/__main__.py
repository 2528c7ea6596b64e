"""python -m monitor.demo [--out DIRECTORY] [--json] [--keep]"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from monitor import logs
from monitor.app import Opened
from monitor.console import err, say, say_json, table, when
from monitor.demo.run import Outcome, demo


def main(
    out: Annotated[Path, typer.Option(help="Where the demo keeps its files; emptied first.")] = Path("demo-out"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    keep: Annotated[bool, typer.Option(help="Leave the web pages up with what was found, until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="With --keep: where the pages are.")] = 8000,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the program's log.")] = False,
) -> None:
    """Run two weeks of the whole program, offline, and show what came of it."""
    logs.set_up("info" if verbose else "critical", "text")
    err.print("A sample newsroom and a mail server start on this machine; two weeks pass in less than a minute …")
    if keep:
        with contextlib.suppress(KeyboardInterrupt):
            demo(out, lambda opened, outcome: keep_up(opened, outcome, port))
        return
    outcome = demo(out)
    if as_json:
        say_json(
            articles=outcome.articles,
            matches=outcome.matches,
            stories_merged=outcome.merged,
            retractions_told=outcome.retractions,
            mails=[mail.recipients[0] for mail in outcome.arrived],
            digest=str(outcome.digest_html),
        )
    else:
        report(outcome)


async def keep_up(opened: Opened, outcome: Outcome, port: int) -> None:
    """Report, then serve the pages with a login made for this demo."""
    from monitor.web import make_app, serve

    report(outcome)
    users, password = opened.monitor.users, secrets.token_urlsafe(12)
    await users.use_link(await users.setup_link(), password, email="admin@example.org", name="Demo")
    say(f"\nThe pages are at  http://127.0.0.1:{port}/")
    say(f"  log in as admin@example.org with the password {password}")
    say("  a good first look: Topics, then “mTOR”; change a word of its query. Ctrl-C ends it.")
    await serve(make_app(opened), "127.0.0.1", port)


def report(outcome: Outcome) -> None:
    table(
        ["source", "last success", "what is wrong with it"],
        [
            (s.name, when(s.last_success_at), s.last_error if s.failures or not s.active else "")
            for s in outcome.sources
        ],
        title="\nSources",
    )
    table(["topic", "articles"], outcome.matches.items(), title=f"\nMatches among {outcome.articles} articles")
    states = Counter((delivery.message.recipient, delivery.state) for delivery in outcome.deliveries)
    table(
        ["reader", "state", "digests"], [(who, state, n) for (who, state), n in sorted(states.items())], title="\nMail"
    )
    say(
        f"\n{outcome.merged} studies that several sources covered are one card each; {outcome.retractions} readers were"
        " told of the retraction of a paper that they had been sent."
    )
    table(["since", "notice"], [(when(n.raised_at), n.text) for n in outcome.notices], title="\nWhat an admin is told")
    say(f"\nDone in {outcome.seconds:.0f} seconds. The digest: “{outcome.subject}”")
    say(f"  {outcome.digest_html}   open it in a browser")
    say(f"  {outcome.digest_eml}    the same as it arrived, for a mail program")
    say("\nTo look around in its web pages:  make demo DEMO=--keep")
    say("Next: `make run` starts the program on real sources. Set MONITOR_FETCH__CONTACT to your address before;")
    say("`.venv/bin/monitor subscribers add you@example.org --topics all` makes you its first reader.")


if __name__ == "__main__":
    typer.run(main)
