"""What every view of the benefits page shares: headers, language, session, forms, errors.

Everything below `/page` answers in HTML, is never cached, loads nothing from another host and runs
one script of ours. Whatever goes wrong is told in the page's words, also what the router refuses.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException

from benefits.actions.sessions import recognise
from benefits.domain.refusal import Refusal
from benefits.store.db import Connection
from benefits.store.envelope import Envelope
from benefits.store.sessions import PageSession
from benefits.web import problems
from benefits.web.problems import STATUSES, Forbidden, PageSessionEnded
from benefits.web.tongue import TONGUES, Message, Tongue, n_

Web = Request[Any, Any, Any]
Page = Response[Any]

COOKIE = "benefits_page"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
        "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MESSAGES: dict[str, tuple[Message, Message]] = {
    "page_session_ended": (
        n_("This page has expired"),
        n_("To keep you safe it closes after a while. Please open it again from the bank's app."),
    ),
    "link_ended": (
        n_("This link is no longer valid"),
        n_("This link works once, within a minute. Please open the page again from the app."),
    ),
    "forbidden": (
        n_("This form is no longer valid"),
        n_("Nothing was claimed. Please go back to your benefits and try again."),
    ),
    "not_found": (
        n_("There is nothing here"),
        n_("The page you asked for does not exist."),
    ),
    "code_absent": (
        n_("There is no code to show"),
        n_("It was not delivered yet, or it was taken back. Please look at your claim again."),
    ),
    "busy": (
        n_("Very busy at the moment"),
        n_("Please try again in a moment. However often you send a form, it is one claim."),
    ),
    "read_only": (
        n_("Nothing can be claimed at the moment"),
        n_("Your benefits are safe. Please try again later."),
    ),
    "request_invalid": (
        n_("This could not be understood"),
        n_("Nothing was claimed. Please go back to your benefits and try again."),
    ),
    "internal": (
        n_("Something went wrong on our side"),
        n_(
            "Please try again later. "
            "If it still fails, give our customer service the number below."
        ),
    ),
}
_BY_STATUS = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "not_found",
    HTTPStatus.TOO_MANY_REQUESTS: "busy",
    HTTPStatus.SERVICE_UNAVAILABLE: "busy",
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


def address(tongue: Tongue, path: str = "", **query: str) -> str:
    """Return the address of a view below `/page` in a language."""
    given = {name: value for name, value in query.items() if value}
    return f"/page{quote(path)}?{urlencode({'lang': tongue.code} | given)}"


def render(
    tongue: Tongue,
    template: str,
    status: int = 200,
    *,
    path: str = "",
    query: Mapping[str, str] | None = None,
    posted: bool = False,
    **context: Any,
) -> Page:
    """Return a view; `path` and `query` are where it is found again in the other language.

    What was `posted` must not be sent again by going back or loading anew: the script then puts
    that address into the browser's history.
    """
    other = TONGUES["en" if tongue.code == "zh" else "zh"]
    html = tongue.render(
        template,
        zones=context.pop("zones", []),
        other=other,
        place=address(tongue, path) if posted else "",
        switch=address(other, path, **(query or {})),
        link=lambda path="", **query: address(tongue, path, **query),
        **context,
    )
    return Response(html, media_type="text/html", status_code=status, headers=HEADERS)


def redirect(request: Web, path: str = "", *, notice: str = "", **query: str) -> Page:
    """Send the browser on to a view, after a form to the `notice` on it."""
    place = address(tongue_of(request), path, **query) + (f"#{notice}" if notice else "")
    return Response(b"", status_code=303, headers=HEADERS | {"Location": place})


def cookie(request: Web, secret: str) -> Cookie:
    """Return the session's cookie, which no script reads and no other site's form sends.

    Lax and not Strict: the page is entered by a link or a redirect from the bank's own address,
    and a strict cookie would be missing on the way from there. Secure wherever the browser is not
    on this very machine, also when a proxy in front took the TLS off.
    """
    local = request.url.scheme == "http" and request.url.hostname in LOOPBACK
    return Cookie(COOKIE, "/page", secret, secure=not local, httponly=True, samesite="lax")


async def session_of(request: Web, conn: Connection) -> PageSession:
    """Return the session the cookie belongs to (PageSessionEnded)."""
    secret = request.cookies.get(COOKIE, "")
    session = await recognise(conn, secret, request.app.state.parts)
    if session is None:
        raise PageSessionEnded
    return session


async def member_of(request: Web) -> UUID:
    """Return whose session it is, before anything else of the request is read."""
    async with request.app.state.database.transaction() as conn:
        return (await session_of(request, conn)).member_id


def _form_secret(request: Web) -> bytes:
    return b"form " + request.cookies.get(COOKIE, "").encode()


def form_token(request: Web) -> str:
    """Return what only this session's own forms know."""
    token: bytes = request.app.state.parts.envelope.hash(_form_secret(request))
    return token.hex()


async def form_of(request: Web) -> dict[str, str]:
    """Return the texts of one of this session's own forms (Forbidden)."""
    fields = (await request.form()).multi_items()
    form = {name: value for name, value in fields if isinstance(value, str)}
    try:
        given = bytes.fromhex(form.get("token", ""))
    except ValueError:
        raise Forbidden from None
    envelope: Envelope = request.app.state.parts.envelope
    if not envelope.matches(_form_secret(request), given):
        raise Forbidden
    return form


def message(
    request: Web, code: str, status: int, *, incident: str = "", again: Any = None
) -> Page:
    """Tell what went wrong; `again` is a claim that may be sent once more as it was."""
    tongue = tongue_of(request)
    title, words = (tongue.word(message) for message in MESSAGES[code])
    return render(
        tongue,
        "message.html",
        status,
        title=title,
        words=words,
        incident=incident,
        again=again,
        token=form_token(request) if again else "",
        is_timed_out=code == "page_session_ended",
        is_over=code in {"page_session_ended", "link_ended"},
    )


def _on_refusal(request: Web, refusal: Refusal) -> Page:
    status = next(STATUSES[kind] for kind in type(refusal).__mro__ if kind in STATUSES)
    code = refusal.code
    if code not in MESSAGES:
        code = _BY_STATUS.get(HTTPStatus(status), "request_invalid")
    if code == "request_invalid" and status >= 500:
        return _on_failure(request, refusal)
    return message(request, code, status)


def _on_http_error(request: Web, error: HTTPException) -> Page:
    general = "request_invalid" if error.status_code < 500 else "internal"
    code = _BY_STATUS.get(HTTPStatus(error.status_code), general)
    return message(request, code, error.status_code)


def _on_undecodable(request: Web, _: UnicodeDecodeError) -> Page:
    return message(request, "request_invalid", 400)


def _on_failure(request: Web, error: Exception) -> Page:
    answer = problems.on_failure(request, error)
    if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return message(request, "busy", 503)
    return message(request, "internal", 500, incident=answer.content.incident)


ERRORS: dict[Any, Any] = {
    UnicodeDecodeError: _on_undecodable,
    Refusal: _on_refusal,
    HTTPException: _on_http_error,
    Exception: _on_failure,
}


def in_html(handlers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the service's handlers of errors, which answer in HTML below `/page`.

    What the router itself refuses (an unknown address, a wrong method) never reaches the page's
    own handlers.
    """

    def either(kind: Any) -> Callable[[Web, Any], Any]:
        def handle(request: Web, error: Any) -> Any:
            path = request.url.path
            is_page = path == "/page" or path.startswith("/page/")
            return (ERRORS if is_page else handlers)[kind](request, error)

        return handle

    return {**handlers, **{kind: either(kind) for kind in ERRORS if kind in handlers}}
