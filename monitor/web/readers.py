"""A reader's own pages, opened by signed links from mail. They need no login and no script.

A GET never changes anything: mail gateways open every link. The page it shows has one button, and that POSTs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import PlainTextResponse

from monitor.app import Opened
from monitor.digest import Claim, Purpose, atom_feed, cite_text, to_bibtex, to_csl_json, to_ris
from monitor.errors import LinkError, MonitorError, NotFound
from monitor.model import Article, Subscriber, Subscription
from monitor.pipeline.readers import own
from monitor.web.pages import page
from monitor.web.wishes import MAX_FIELDS, WEEKDAYS, Wishes, read_date

router = APIRouter(default_response_class=Response)

FEED_ENTRIES = 50
REASONS = ("wrong topic", "duplicate", "low quality", "already known")
ONE_CLICK = f"/{Purpose.UNSUBSCRIBE}/"


def is_one_click(request: Request) -> bool:
    """RFC 8058: a mail provider's POST, from anywhere, with no cookie and no session."""
    return request.url.path.startswith(ONE_CLICK)


def _opened(request: Request) -> Opened:
    opened: Opened = request.app.state.opened
    return opened


async def _claimed(request: Request, purpose: Purpose, token: str) -> tuple[Opened, Claim, Subscriber]:
    """What the link says and the reader it speaks for. Raises LinkError for a forged, expired or revoked one."""
    opened = _opened(request)
    claim = opened.links.read(purpose, token, now=opened.monitor.now())
    try:
        reader = await opened.monitor.storage.readers.get_by_id(claim.subscriber_id)
    except NotFound as error:
        raise LinkError("this link is no longer valid") from error
    claim.check(reader)
    return opened, claim, reader


async def _subscription(opened: Opened, claim: Claim, reader: Subscriber) -> Subscription:
    return own(claim.subscription_id, await opened.monitor.storage.readers.subscriptions(reader.id))


# --- signing up -----------------------------------------------------------------------------------------------


@router.get("/signup")
async def signup_form(request: Request) -> Response:
    topics = await _opened(request).monitor.storage.topics.list(active=True)
    wishes = Wishes.of(Subscription(subscriber_id=0, topic_ids=()))
    return page("signup.html", topics=topics, weekdays=WEEKDAYS, wishes=wishes, error="", email="", name="")


@router.post("/signup")
async def signup(request: Request) -> Response:
    monitor = _opened(request).monitor
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    blank = Subscription(subscriber_id=0, topic_ids=())
    said = {name: str(form.get(name, ""))[:254] for name in ("email", "name")}
    wishes = Wishes.sent(form, blank)
    topics = await monitor.storage.topics.list(active=True)
    try:
        await monitor.readers.sign_up(said["email"], said["name"][:200], wishes.subscription(blank, topics))
    except MonitorError as error:
        return page(
            "signup.html", status=422, topics=topics, weekdays=WEEKDAYS, wishes=wishes, error=str(error), **said
        )
    text = (
        "If this address is new here, a mail with a link is on its way to it. Nothing is sent until you confirm there."
    )
    return page("message.html", title="Look into your mailbox", text=text)


@router.get("/confirm/{token}")
async def confirm_form(request: Request, token: str) -> Response:
    _, _, reader = await _claimed(request, Purpose.CONFIRM, token)
    return page(
        "button.html", title="Confirm your subscription", text=f"Send digests to {reader.email}?", button="Confirm"
    )


@router.post("/confirm/{token}")
async def confirm(request: Request, token: str) -> Response:
    opened, _, reader = await _claimed(request, Purpose.CONFIRM, token)
    await opened.monitor.readers.confirm(reader)
    return page("message.html", title="Confirmed", text="Your first digest comes at the next date that you chose.")


# --- leaving, pausing -----------------------------------------------------------------------------------------


@router.get("/u/{token}")
async def unsubscribe_form(request: Request, token: str) -> Response:
    opened, claim, reader = await _claimed(request, Purpose.UNSUBSCRIBE, token)
    topics = await opened.monitor.readers.topics_of([await _subscription(opened, claim, reader)])
    return page("unsubscribe.html", email=reader.email, topics=list(topics.values()))


@router.post("/u/{token}")
async def unsubscribe(request: Request, token: str) -> Response:
    """One click (RFC 8058) ends the link's subscription, the page's second button all. Always 200, no redirect."""
    opened, claim, reader = await _claimed(request, Purpose.UNSUBSCRIBE, token)
    form = await request.form(max_files=0, max_fields=10)
    everything = form.get("all") == "yes"
    await opened.monitor.readers.unsubscribe(reader, None if everything else claim.subscription_id)
    return page("message.html", title="Unsubscribed", text="You will get no more of these digests.")


@router.get("/pause/{token}")
async def pause_form(request: Request, token: str) -> Response:
    opened, claim, reader = await _claimed(request, Purpose.PAUSE, token)
    subscription = await _subscription(opened, claim, reader)
    return page("pause.html", until=subscription.paused_until)


@router.post("/pause/{token}")
async def pause(request: Request, token: str, until: Annotated[str, Form(max_length=10)] = "") -> Response:
    opened, claim, reader = await _claimed(request, Purpose.PAUSE, token)
    subscription = await _subscription(opened, claim, reader)
    day = read_date(until)
    await opened.monitor.readers.pause(subscription, day)
    text = (
        f"No digest before {day:%-d %B %Y}; what is found until then comes after it." if day else "Your digests go on."
    )
    return page("message.html", title="Paused" if day else "Not paused", text=text)


# --- preferences ----------------------------------------------------------------------------------------------


@router.get("/preferences/{token}")
async def preferences_form(request: Request, token: str) -> Response:
    return await _preferences(request, token)


async def _preferences(
    request: Request, token: str, *, status: int = 200, error: str = "", wishes: Mapping[int, Wishes] | None = None
) -> Response:
    """`wishes`: what was sent for a subscription and could not be stored."""
    opened, _, reader = await _claimed(request, Purpose.PREFERENCES, token)
    storage = opened.monitor.storage
    topics = await storage.topics.list(active=True)
    subscriptions = await storage.readers.subscriptions(reader.id)
    return page(
        "preferences.html",
        status=status,
        reader=reader,
        error=error,
        subscriptions=[(one, (wishes or {}).get(one.id) or Wishes.of(one, topics)) for one in subscriptions],
        names=await opened.monitor.readers.topics_of(subscriptions),
        topics=topics,
        weekdays=WEEKDAYS,
        address_action=f"/{Purpose.PREFERENCES}/{token}/address",
        feed=opened.links.feed(reader) if opened.links.web else "",
        topic_feeds={topic.name: opened.links.topic_feed(topic.id) for topic in topics} if opened.links.web else {},
    )


@router.post("/preferences/{token}")
async def preferences(request: Request, token: str) -> Response:
    """Store one subscription's form; one that was ended begins again."""
    opened, _, reader = await _claimed(request, Purpose.PREFERENCES, token)
    monitor = opened.monitor
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    number = str(form.get("subscription", ""))
    old = own(int(number) if number.isdecimal() else 0, await monitor.storage.readers.subscriptions(reader.id))
    wishes = Wishes.sent(form, old)
    try:
        changed = wishes.subscription(old, await monitor.storage.topics.list(active=True))
        stored = await monitor.readers.change(replace(changed, active=True))
    except MonitorError as error:
        return await _preferences(request, token, status=422, error=str(error), wishes={old.id: wishes})
    text = f"Your next digest comes on {stored.next_digest_at:%-d %B %Y at %H:%M} UTC." if stored.next_digest_at else ""
    return page("message.html", title="Saved", text=text)


@router.post("/preferences/{token}/address")
async def ask_new_address(request: Request, token: str, email: Annotated[str, Form(max_length=254)]) -> Response:
    opened, _, reader = await _claimed(request, Purpose.PREFERENCES, token)
    await opened.monitor.readers.ask_new_address(reader, email)
    text = "A mail with a link is on its way to the new address. Nothing changes until you confirm there."
    return page("message.html", title="Look into your new mailbox", text=text)


@router.get("/address/{token}")
async def new_address_form(request: Request, token: str) -> Response:
    _, claim, _ = await _claimed(request, Purpose.ADDRESS, token)
    return page("button.html", title="Change your address", text=f"Send digests to {claim.email}?", button="Change")


@router.post("/address/{token}")
async def new_address(request: Request, token: str) -> Response:
    opened, claim, reader = await _claimed(request, Purpose.ADDRESS, token)
    await opened.monitor.readers.take_new_address(reader, claim.email)
    return page("message.html", title="Changed", text=f"Digests now go to {claim.email}.")


# --- judging --------------------------------------------------------------------------------------------------


@router.get("/f/{token}")
async def feedback_form(request: Request, token: str) -> Response:
    opened, claim, _ = await _claimed(request, Purpose.FEEDBACK, token)
    article = await opened.monitor.storage.articles.get(claim.article_id)
    topics = await opened.monitor.storage.topics.get_many([claim.topic_id])
    return page(
        "feedback.html",
        title=article.title,
        topic=topics[0].name if topics else "",
        relevant=claim.verdict == "relevant",
        reasons=REASONS,
        recorded=False,
    )


@router.post("/f/{token}")
async def feedback(
    request: Request,
    token: str,
    reason: Annotated[str, Form(max_length=200)] = "",
    undo: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    opened, claim, reader = await _claimed(request, Purpose.FEEDBACK, token)
    if claim.verdict is None:
        raise LinkError("this link is damaged: copy it whole from the mail")
    if undo:
        await opened.monitor.readers.unjudge(reader, claim.topic_id, claim.article_id)
        return page("message.html", title="Taken back", text="Your judgement of this article is forgotten.")
    await opened.monitor.readers.judge(
        reader, claim.topic_id, claim.article_id, claim.verdict, reason if reason in REASONS else ""
    )
    article = await opened.monitor.storage.articles.get(claim.article_id)
    topics = await opened.monitor.storage.topics.get_many([claim.topic_id])
    return page(
        "feedback.html",
        title=article.title,
        topic=topics[0].name if topics else "",
        relevant=claim.verdict == "relevant",
        reasons=REASONS,
        recorded=True,
    )


# --- taking along ---------------------------------------------------------------------------------------------

WRITERS = {
    "ris": (to_ris, "application/x-research-info-systems"),
    "bib": (to_bibtex, "application/x-bibtex"),
    "json": (to_csl_json, "application/vnd.citationstyles.csl+json"),
}


@router.get("/cite/{token}")
async def cite(request: Request, token: str, style: str = "") -> Response:
    """One article's citation as a page, or as a file with ?style=ris, bib or json."""
    opened = _opened(request)
    claim = opened.links.read(Purpose.CITE, token)
    article = await opened.monitor.storage.articles.get(claim.article_id)
    if style in WRITERS:
        return _download([article], style, f"article-{article.id}")
    return page(
        "cite.html", article=article, citation=cite_text(article), ris=to_ris([article]), bibtex=to_bibtex([article])
    )


@router.get("/view/{token}")
async def view(request: Request, token: str, style: str = "") -> Response:
    """The web view of a digest: exactly what was mailed; or its citations with ?style=ris, bib or json."""
    opened, claim, reader = await _claimed(request, Purpose.VIEW, token)
    outbox = opened.monitor.storage.outbox
    wanted = (claim.subscription_id, claim.period_key)
    kept = [sent.delivery for sent in await outbox.digests(reader.id, limit=1000)]
    number = next((d.id for d in kept if (d.subscription_id, d.period_key) == wanted), None)
    if number is None:
        raise LinkError("this digest is not kept any more")
    sent = await outbox.digest(number)
    if style in WRITERS:
        articles = await opened.monitor.storage.articles.get_many(sent.article_ids)
        return _download(articles, style, f"digest-{claim.period_key}")
    # styles on the cells are what mail needs; scripts stay forbidden, and the sandbox has no origin
    csp = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; "
        "sandbox allow-popups allow-top-navigation-by-user-activation"
    )
    return Response(sent.delivery.message.html, media_type="text/html", headers={"Content-Security-Policy": csp})


@router.get("/feed/{token}")
async def personal_feed(request: Request, token: str) -> Response:
    """The reader's last digests as an Atom feed (RFC 4287)."""
    opened, _, reader = await _claimed(request, Purpose.FEED, token)
    storage = opened.monitor.storage
    articles: list[Article] = []
    for sent in await storage.outbox.digests(reader.id, limit=10):
        articles += await storage.articles.get_many(sent.article_ids)
    feed = atom_feed("Your medical news", opened.links.feed(reader), articles, updated=opened.monitor.now())
    return Response(feed, media_type="application/atom+xml")


@router.get("/topic-feed/{token}")
async def topic_feed(request: Request, token: str) -> Response:
    """What a topic matched lately, as an Atom feed (RFC 4287)."""
    opened = _opened(request)
    claim = opened.links.read(Purpose.TOPIC, token)
    storage = opened.monitor.storage
    topics = await storage.topics.get_many([claim.topic_id])
    if not topics:
        raise LinkError("this topic does not exist any more")
    found = await storage.topics.matches(claim.topic_id, limit=FEED_ENTRIES)
    address = opened.links.topic_feed(claim.topic_id)
    feed = atom_feed(topics[0].name, address, [one.article for one in found], updated=opened.monitor.now())
    return Response(feed, media_type="application/atom+xml")


def _download(articles: Sequence[Article], style: str, name: str) -> Response:
    write, media_type = WRITERS[style]
    safe = "".join(c if c.isalnum() or c in "-." else "-" for c in name)
    headers = {"Content-Disposition": f'attachment; filename="{safe}.{style}"'}
    return PlainTextResponse(write(articles), media_type=media_type, headers=headers)
