"""`monitor users`: who may log in to the web pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from monitor.app import Opened, web_address
from monitor.cli.context import Json, run
from monitor.console import note, say, say_json, table, when
from monitor.errors import MonitorError
from monitor.model import Role

app = typer.Typer(no_args_is_help=True, help="Who may log in to the web pages.")


@app.command()
def create(
    email: str,
    role: Annotated[Role, typer.Option(help="viewer looks, editor changes topics, admin does all.")] = Role.VIEWER,
    name: Annotated[str, typer.Option(help="As pages show it.")] = "",
) -> None:
    """Add somebody, and print the link that sets their password. It works once, within a day."""

    async def body(opened: Opened) -> None:
        user, token = await opened.monitor.users.add(email, name, role)
        note(f"{user.email} is {user.role.value}; give them this link, it works once, within a day:")
        say(setup_address(opened, token))

    run(body)


@app.command("list")
def list_users(as_json: Json = False) -> None:
    """Everybody who may log in."""

    async def body(opened: Opened) -> None:
        users = await opened.monitor.storage.users.list()
        if as_json:
            say_json(users=users)
            return
        table(
            ["address", "name", "role", "", "password", "since"],
            [
                (
                    u.email,
                    u.name,
                    u.role,
                    "on" if u.active else "off",
                    "set" if u.has_password else "not yet",
                    when(u.created_at),
                )
                for u in users
            ],
        )

    run(body)


@app.command()
def reset(email: str) -> None:
    """Print a link with which somebody chooses a new password. The old one works until it is used."""

    async def body(opened: Opened) -> None:
        user = await opened.monitor.storage.users.get(email)
        token = await opened.monitor.users.setup_link(user)
        say(setup_address(opened, token))

    run(body)


@app.command("setup-link")
def setup_link() -> None:
    """Print the link that makes the first admin. Each new one replaces the one before."""

    async def body(opened: Opened) -> None:
        say(setup_address(opened, await opened.monitor.users.setup_link()))

    run(body)


@app.command()
def change(
    email: str,
    role: Annotated[Role | None, typer.Option(help="The new role.")] = None,
    active: Annotated[bool | None, typer.Option("--on/--off", help="May they log in?")] = None,
) -> None:
    """Change a role, or end somebody's access with all sessions and tokens."""

    async def body(opened: Opened) -> None:
        before = await opened.monitor.storage.users.get(email)
        if role is None and active is None:
            raise MonitorError("give --role, --on or --off")
        wanted = replace(before, role=role or before.role, active=before.active if active is None else active)
        after = await opened.monitor.storage.users.change(wanted)
        say(f"{after.email}: {after.role.value}, {'on' if after.active else 'off'}")

    run(body)


def setup_address(opened: Opened, token: str) -> str:
    """Where a set-up link is opened."""
    return f"{web_address(opened.settings)}/setup/{token}"


async def invite_first_admin(opened: Opened) -> str:
    """The link that makes the first admin; empty when there is somebody who may log in."""
    if await opened.monitor.storage.users.list():
        return ""
    return setup_address(opened, await opened.monitor.users.setup_link())
