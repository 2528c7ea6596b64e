"""python -m monitor.demo [--out DIRECTORY] [--json]"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from monitor import logs
from monitor.console import err, say, say_json, table, when
from monitor.demo.run import Outcome, demo


def main(
    out: Annotated[Path, typer.Option(help="Where the demo keeps its files; emptied first.")] = Path("demo-out"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the program's log.")] = False,
) -> None:
    """Run two weeks of the whole program, offline, and show what came of it."""
    logs.set_up("info" if verbose else "critical", "text")
    err.print("A sample newsroom and a mail server start on this machine; two weeks pass in less than a minute …")
    outcome = demo(out)
    if as_json:
        say_json(
            articles=outcome.articles,
            matches=outcome.matches,
            mails=[mail.recipients[0] for mail in outcome.arrived],
            digest=str(outcome.digest_html),
        )
    else:
        report(outcome)


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
    table(["since", "notice"], [(when(n.raised_at), n.text) for n in outcome.notices], title="\nWhat an admin is told")
    say(f"\nDone in {outcome.seconds:.0f} seconds. The digest: “{outcome.subject}”")
    say(f"  {outcome.digest_html}   open it in a browser")
    say(f"  {outcome.digest_eml}    the same as it arrived, for a mail program")
    say("\nNext: `make run` starts the program on real sources. Set MONITOR_FETCH__CONTACT to your address before;")
    say("`.venv/bin/monitor subscribers add you@example.org --topics all` makes you its first reader.")


if __name__ == "__main__":
    typer.run(main)
