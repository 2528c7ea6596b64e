"""Programs that ask the REST API: with a token of any scopes, and a site that holds one of everything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from web_site import Site, open_site

from monitor.model import Role
from monitor.pipeline.users import SCOPES


async def program(site: Site, scopes: Iterable[str] = SCOPES, role: Role = Role.ADMIN) -> httpx.AsyncClient:
    """As a program asks: no cookie, no Fetch Metadata, no Origin."""
    users = site.opened.monitor.users
    known = {one.email: one for one in await users.storage.users.list()}
    user = known.get(f"{role.value}@example.org") or await site.user(role)
    _, token = await users.add_token(user, f"program {len(await users.storage.users.tokens(user.id))}", scopes)
    client = site.client()
    client.headers = httpx.Headers({"Authorization": f"Bearer {token}"})
    return client


@asynccontextmanager
async def open_full_site(tmp_path: Path) -> AsyncIterator[Site]:
    """A site with a digest in its outbox, an example, a label, a story of two and a notice."""
    async with open_site(tmp_path) as site:
        monitor = site.opened.monitor
        storage = monitor.storage
        reader = (await storage.readers.list())[0]
        await monitor.publisher.send_now(reader, (await storage.readers.subscriptions(reader.id))[0])
        await monitor.tell_stories()
        await monitor.merge_stories(site.articles[0].id, site.articles[1].id)
        topic = await storage.topics.get("pain")
        await monitor.tuning.add_example(topic, site.articles[0], must_match=True)
        yield site
