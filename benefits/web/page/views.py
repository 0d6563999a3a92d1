"""The benefits page (财富权益): server-rendered, at phone size, in Chinese and English.

The bank's backend opens a session and sends the member's phone to its address; the code in it
works once and becomes a cookie. Every view works without a script; with it, a claim under way
moves by itself. The language stands in the address; without it the browser's counts. The views of
claims stand in `claims.py`, those of choices in `choices.py`, the history in `history.py`, what
explains a tier in `tiers.py`.
"""

from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from benefits.actions.sessions import enter_session, open_session
from benefits.domain.requests import check_key
from benefits.web import rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.page import choices, claims, history, tiers, waits
from benefits.web.page.facts import Facts, nothing_to_claim, read_facts
from benefits.web.page.frame import (
    ERRORS,
    HEADERS,
    Page,
    Web,
    cookie,
    form_token,
    message,
    redirect,
    render,
    session_of,
    tongue_of,
)
from benefits.web.page.shown import coming, groups
from benefits.web.page.shown_benefit import offer, refused_words
from benefits.web.page.shown_tier import tier_cards
from benefits.web.problems import LEAVES_BOOKS, NotFound
from benefits.web.tongue import STATIC


class PageSessionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose page is to be opened, and in which language; without one the phone's own counts."""

    member_id: UUID
    language: Literal["zh", "en"] | None = None


class PageSessionView(msgspec.Struct, kw_only=True):
    """Where to send the member's browser, once, before `expires_at`."""

    url: str
    expires_at: datetime


@post(
    "/v1/page-sessions",
    guards=[needs("mobile")],
    tags=["page"],
    operation_id="open_page",
    opt=LEAVES_BOOKS,
)
async def post_page_session(
    data: JSONBody[PageSessionRequest],
    request: Web,
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> PageSessionView:
    """Open the benefits page for a member; its address works once, for a minute.

    Needs an Idempotency-Key; the same one again gives a fresh address, and the one before simply
    ends unused.
    """
    check_key(idempotency_key)
    parts = request.app.state.parts
    async with rehearsal.database(request, dry_run=dry_run).transaction() as conn:
        code = await open_session(conn, data.member_id, parts)
    query = {"code": code.text} | ({"lang": data.language} if data.language else {})
    return PageSessionView(url=f"/page/enter?{urlencode(query)}", expires_at=code.expires_at)


@get("/enter")
async def enter(request: Web, code: FromQuery[str] = "") -> Page:
    """Change the entry code for a cookie and go to the page."""
    state = request.app.state
    async with state.database.transaction() as conn:
        secret = await enter_session(conn, code, state.parts)
    if secret is None:
        if request.client:
            state.rates.failure(request.client.host, "entry codes")
        return message(request, "link_ended", 401)
    response = redirect(request)
    response.set_cookie(cookie(request, secret.text))
    return response


async def _facts(request: Web) -> Facts:
    """Read what the session's member has."""
    state = request.app.state
    async with state.database.transaction() as conn:
        session = await session_of(request, conn)
        facts = await read_facts(conn, session.member_id, state.parts)
    return nothing_to_claim(facts) if state.wrong else facts


@get("/")
async def show(request: Web, refused: FromQuery[str] = "") -> Page:
    """Show what the member has: tiers, then benefits and claims by state."""
    facts = await _facts(request)
    tongue = tongue_of(request)
    zones = {programme.tz for programme in facts.catalogue.programmes.values()}
    return render(
        tongue,
        "page.html",
        cards=tier_cards(tongue, facts),
        groups=groups(tongue, facts),
        coming=coming(tongue, facts),
        refused=refused_words(tongue, refused),
        zones=[tongue.zone(zone) for zone in sorted(zones, key=str)],
    )


@get("/benefits/{code:str}")
async def show_benefit(request: Web, code: FromPath[str], refused: FromQuery[str] = "") -> Page:
    """Show one benefit: its units, its rules, and the form, or why there is none."""
    facts = await _facts(request)
    if code not in facts.catalogue.offers:
        raise NotFound
    tongue = tongue_of(request)
    programme, _ = facts.catalogue.offers[code]
    return render(
        tongue,
        "benefit.html",
        path=f"/benefits/{code}",
        offer=offer(tongue, facts, code),
        token=form_token(request),
        typed={},
        companions=0,
        booked_for="",
        refused=refused_words(tongue, refused),
        zones=[tongue.zone(programme.tz)],
    )


@get("/static/{name:str}")
async def static(name: FromPath[str]) -> Page:
    """Return the style sheet, the script or a picture; a name changes with its content."""
    if name not in STATIC:
        raise NotFound
    media_type, content = STATIC[name]
    headers = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=media_type, headers=headers)


PAGE = Router(
    "/page",
    route_handlers=[
        enter,
        show,
        show_benefit,
        static,
        *choices.HANDLERS,
        *claims.HANDLERS,
        *history.HANDLERS,
        *tiers.HANDLERS,
        *waits.HANDLERS,
    ],
    exception_handlers=ERRORS,
    include_in_schema=False,
)
HANDLERS: list[Any] = [post_page_session, PAGE]
