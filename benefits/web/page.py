"""The benefits page (财富权益): server-rendered, at phone size, in Chinese and English.

The bank's backend opens a session and sends the member's phone to its address; the code in it
works once and becomes a cookie. Everything below `/page` answers in HTML, is never cached, runs no
script, and never repeats who the member or a recipient is. Each form carries its session's token
and an idempotency key of its own, so that a double tap is one claim. The language stands in the
address; without it the browser's counts.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from benefits.actions.claim import ClaimUnits
from benefits.actions.keyed import Accepted
from benefits.actions.sessions import enter_session, open_session, recognise
from benefits.domain.catalogue import Catalogue
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store.db import Busy, Connection
from benefits.store.envelope import Envelope
from benefits.store.group import Failed, Overloaded
from benefits.store.sessions import PageSession
from benefits.web import problems
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.mobile import overview
from benefits.web.problems import STATUSES, Forbidden, NotFound, PageSessionEnded, documented
from benefits.web.shown import Offer, Shown, blank_offer
from benefits.web.tongue import STATIC, TONGUES, Message, Tongue, n_

Web = Request[Any, Any, Any]
Page = Response[Any]

COOKIE = "benefits_page"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_FIELD = "recipient."

REFUSED_WORDS: dict[str, Message] = {
    "member_closed": n_("Your relationship with the bank has ended, so nothing can be claimed."),
    "recipient_incomplete": n_("Please fill in every field of the form."),
    "cap_reached": n_("You have reached the limit for this benefit in this period."),
    "stock_exhausted": n_("This benefit is sold out. Nothing was taken from your units."),
    "budget_exhausted": n_("This benefit is not available at the moment. Please try later."),
    "insufficient_units": n_("You have no unit of this benefit left."),
    "expired": n_("Your units of this benefit have expired."),
    "unknown_benefit": n_("This benefit is no longer offered."),
    "unknown_member": n_("We cannot find your membership. Please ask your bank."),
    "quantity_invalid": n_("This number of units cannot be claimed."),
    "idempotency_key_conflict": n_(
        "This form was sent before with other details. Please see your claims below."
    ),
}
MESSAGES: dict[str, tuple[Message, Message]] = {
    "page_session_ended": (
        n_("This page has expired"),
        n_("To keep you safe it closes after a while. Please open it again from the bank's app."),
    ),
    "forbidden": (
        n_("This form is no longer valid"),
        n_("Nothing was claimed. Please go back to your benefits and try again."),
    ),
    "not_found": (
        n_("There is nothing here"),
        n_("The page you asked for does not exist."),
    ),
    "busy": (
        n_("Very busy at the moment"),
        n_("Please try again in a moment. However often you send a form, it is one claim."),
    ),
    "request_invalid": (
        n_("This could not be understood"),
        n_("Nothing was claimed. Please go back to your benefits and try again."),
    ),
    "internal": (
        n_("Something went wrong on our side"),
        n_("Please try again. If it fails again, tell your bank the number below."),
    ),
}


def tongue_of(request: Web) -> Tongue:
    """Return the language in the address, else the first of the browser's that we have."""
    wanted = [request.query_params.get("lang", "")]
    wanted += request.headers.get("accept-language", "").split(",")
    for tag in wanted:
        code = tag.strip()[:2].lower()
        if code in TONGUES:
            return TONGUES[code]
    return TONGUES["zh"]


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
    responses=documented(400, 401, 403, 404, 408, 413, 429, 503),
)
async def post_page_session(
    data: JSONBody[PageSessionRequest], request: Web, idempotency_key: IdempotencyKey = ""
) -> PageSessionView:
    """Open the benefits page for a member; its address works once, for a minute.

    Needs an Idempotency-Key; the same one again gives a fresh address, and the one before simply
    ends unused.
    """
    check_key(idempotency_key)
    state = request.app.state
    async with state.database.transaction() as conn:
        code = await open_session(conn, data.member_id, state.parts)
    query = {"code": code.text} | ({"lang": data.language} if data.language else {})
    return PageSessionView(url=f"/page/enter?{urlencode(query)}", expires_at=code.expires_at)


@get("/enter")
async def enter(request: Web, code: FromQuery[str] = "") -> Page:
    """Change the entry code for a cookie and go to the page."""
    state = request.app.state
    async with state.database.transaction() as conn:
        secret = await enter_session(conn, code, state.parts)
    if secret is None:
        raise PageSessionEnded
    response = _redirect(request, {})
    response.set_cookie(_cookie(request, secret.text))
    return response


def _cookie(request: Web, secret: str) -> Cookie:
    """Return the session's cookie, which no script reads and no other site's form sends.

    Lax and not Strict: the page is entered by a link or a redirect from the bank's own address,
    and a strict cookie would be missing on the way from there. Secure wherever the browser is not
    on this very machine, also when a proxy in front took the TLS off.
    """
    local = request.url.scheme == "http" and request.url.hostname in LOOPBACK
    return Cookie(COOKIE, "/page", secret, secure=not local, httponly=True, samesite="lax")


def _redirect(request: Web, notice: dict[str, str]) -> Page:
    query = urlencode({"lang": tongue_of(request).code} | notice)
    place = f"/page?{query}" + ("#notice" if notice else "")
    return Response(b"", status_code=303, headers=HEADERS | {"Location": place})


async def _session(request: Web, conn: Connection) -> PageSession:
    """Return the session the cookie belongs to (PageSessionEnded)."""
    secret = request.cookies.get(COOKIE, "")
    session = await recognise(conn, secret, request.app.state.parts)
    if session is None:
        raise PageSessionEnded
    return session


def _form_secret(request: Web) -> bytes:
    return b"form " + request.cookies.get(COOKIE, "").encode()


def _form_token(request: Web) -> str:
    """Return what only this session's own forms know."""
    token: bytes = request.app.state.parts.envelope.hash(_form_secret(request))
    return token.hex()


def _is_own_form(request: Web, token: str) -> bool:
    try:
        given = bytes.fromhex(token)
    except ValueError:
        return False
    envelope: Envelope = request.app.state.parts.envelope
    return envelope.matches(_form_secret(request), given)


@get("/")
async def show(request: Web, done: FromQuery[str] = "", refused: FromQuery[str] = "") -> Page:
    """Show what the member has."""
    state = request.app.state
    async with state.database.transaction() as conn:
        session = await _session(request, conn)
        catalogue = await state.parts.catalogue.current(conn)
        view = await overview(conn, session.member_id, state.parts.catalogue, state.parts.clock())
    tongue = tongue_of(request)
    shown = Shown(tongue, catalogue, view)
    return _render(
        tongue,
        "page.html",
        shown=shown,
        token=_form_token(request),
        done=shown.done(done),
        refused=tongue.word(REFUSED_WORDS[refused]) if refused in REFUSED_WORDS else "",
    )


@post("/claims")
async def post_claim(request: Web) -> Page:
    """Claim a unit as the form says, and go back to the page; again when it was not decided."""
    state = request.app.state
    async with state.database.transaction() as conn:
        session = await _session(request, conn)
        catalogue = await state.parts.catalogue.current(conn)
    texts = [(k, v) for k, v in (await request.form()).multi_items() if isinstance(v, str)]
    form = dict(texts)
    if not _is_own_form(request, form.get("token", "")):
        raise Forbidden
    state.rates.member(request.scope, session.member_id)
    command = ClaimUnits(
        caller="system:page",
        key=check_key(form.get("key")),
        member_id=session.member_id,
        benefit=form.get("benefit", ""),
        recipient={k.removeprefix(_FIELD): v.strip() for k, v in texts if k.startswith(_FIELD)},
    )
    try:
        outcome = await state.claims.submit(command)
    except (Busy, Overloaded, Failed) as error:
        return _again(request, catalogue, command, error)
    if isinstance(outcome, Accepted):
        return _redirect(request, {"done": outcome.ids["claim_id"]})
    return _redirect(request, {"refused": outcome.code})


def _again(request: Web, catalogue: Catalogue, command: ClaimUnits, error: Exception) -> Page:
    """Offer the same form under the same key; what was typed into it is not repeated."""
    tongue = tongue_of(request)
    offer = None
    if command.benefit in catalogue.offers:
        _, benefit = catalogue.offers[command.benefit]
        offer = msgspec.structs.replace(blank_offer(tongue, benefit), key=command.key)
    if isinstance(error, Failed):
        return _message(request, "internal", 500, incident=error.incident, offer=offer)
    return _message(request, "busy", 503, offer=offer)


@get("/static/{name:str}")
async def static(name: FromPath[str]) -> Page:
    """Return a style sheet or picture; its name changes with its content."""
    if name not in STATIC:
        raise NotFound
    media_type, content = STATIC[name]
    headers = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=media_type, headers=headers)


@get("/{rest:path}")
async def nothing(rest: FromPath[str]) -> Page:  # noqa: ARG001 - whatever it is
    """Say that nothing is at any other address."""
    raise NotFound


def _render(tongue: Tongue, template: str, status: int = 200, **context: Any) -> Page:
    html = tongue.render(template, **context)
    return Response(html, media_type="text/html", status_code=status, headers=HEADERS)


def _message(
    request: Web, code: str, status: int, *, incident: str = "", offer: Offer | None = None
) -> Page:
    tongue = tongue_of(request)
    title, words = (tongue.word(message) for message in MESSAGES[code])
    return _render(
        tongue,
        "message.html",
        status,
        title=title,
        words=words,
        incident=incident,
        offer=offer,
        token=_form_token(request) if offer else "",
        is_over=code == "page_session_ended",
    )


def _on_refusal(request: Web, refusal: Refusal) -> Page:
    status = next(STATUSES[kind] for kind in type(refusal).__mro__ if kind in STATUSES)
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        return _message(request, "busy", status)
    general = "internal" if status >= 500 else "request_invalid"
    return _message(request, refusal.code if refusal.code in MESSAGES else general, status)


def _on_http_error(request: Web, error: HTTPException) -> Page:
    status = error.status_code
    return _message(request, "request_invalid" if status < 500 else "internal", status)


def _on_failure(request: Web, error: Exception) -> Page:
    incident = problems.on_failure(request, error).content.incident
    return _message(request, "internal", 500, incident=incident)


PAGE = Router(
    "/page",
    route_handlers=[enter, show, post_claim, static, nothing],
    exception_handlers={
        Refusal: _on_refusal,
        HTTPException: _on_http_error,
        Exception: _on_failure,
    },
    include_in_schema=False,
)
HANDLERS: list[Any] = [post_page_session, PAGE]
