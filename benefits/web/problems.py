"""Refusals as HTTP: RFC 9457 problems with stable codes. Only this file knows statuses.

Every `Refusal` of the service is listed; a test compares the list with the code.
"""

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from benefits.actions import claim, evaluate, grant, keyed, keys, read_code
from benefits.domain import assets, catalogue, entitlement, ledger, requests, signature
from benefits.domain.refusal import Refusal
from benefits.providers.provider import CallbackRefused
from benefits.store import db, envelope, group

log = structlog.get_logger()

STATUSES: dict[type[Refusal], int] = {
    requests.KeyInvalid: 400,
    requests.KeyConflict: 422,
    keys.KeyUnknown: 401,
    keys.ScopeUnknown: 400,
    keys.NameInvalid: 400,
    keys.KeyNotValid: 404,
    claim.UnknownMember: 404,
    claim.UnknownBenefit: 404,
    claim.QuantityInvalid: 422,
    grant.ValidDaysInvalid: 422,
    entitlement.MemberClosed: 409,
    entitlement.RecipientIncomplete: 422,
    entitlement.CapReached: 409,
    entitlement.StockExhausted: 409,
    entitlement.BudgetExhausted: 409,
    ledger.InsufficientUnits: 409,
    ledger.LotExpired: 409,
    assets.FileUnreadable: 422,
    assets.LineInvalid: 422,
    catalogue.ProgrammeInvalid: 422,
    evaluate.MonthNotOver: 409,
    evaluate.UnknownProgramme: 404,
    read_code.CodeAbsent: 409,
    signature.SignatureRefused: 401,
    CallbackRefused: 400,
    db.Busy: 503,
    db.Unavailable: 503,
    db.DatabaseUnsuitable: 503,
    group.Overloaded: 503,
    envelope.EnvelopeBroken: 500,
}
BY_CODE: dict[str, type[Refusal]] = {}


class NotFound(Refusal):
    """Nothing is at this address, or it is not the caller's."""

    code = "not_found"
    words = "There is nothing here."


class Forbidden(Refusal):
    """The key is valid but may not do this."""

    code = "forbidden"
    words = "This API key may not do this."


class RequestInvalid(Refusal):
    """The request does not have the shape that the documentation gives."""

    code = "request_invalid"
    words = "The request is not as documented."


class CursorInvalid(Refusal):
    """The cursor is not one this service gave."""

    code = "cursor_invalid"
    words = "The cursor is not one that this service gave."


class PageSessionEnded(Refusal):
    """The page session is over, or its entry code was used or too old."""

    code = "page_session_ended"
    words = "The page has expired. Open it again from the bank's app."


STATUSES |= {
    NotFound: 404,
    Forbidden: 403,
    RequestInvalid: 400,
    CursorInvalid: 400,
    PageSessionEnded: 401,
}
BY_CODE |= {kind.code: kind for kind in STATUSES}
RETRY_AFTER_S = {"busy": 1, "overloaded": 2, "unavailable": 5}
MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An RFC 9457 problem; `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    incident: str = ""


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the problems of an operation for its documentation."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            media_type=MEDIA_TYPE,
            description=HTTPStatus(status).phrase,
            generate_examples=False,
        )
        for status in statuses
    }


READ = documented(400, 401, 403, 404, 503)
WRITE = documented(400, 401, 403, 404, 409, 413, 422, 503)


def problem(code: str, status: int, *, title: str, detail: str, incident: str = "") -> Any:
    """Return a problem as a response."""
    body = Problem(
        type=f"urn:benefits:problem:{code}",
        title=title,
        status=status,
        code=code,
        detail=detail,
        incident=incident,
    )
    headers = {"Retry-After": str(RETRY_AFTER_S[code])} if code in RETRY_AFTER_S else None
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def refused(refusal: Refusal) -> Response[Any]:
    """Return a refusal as a response."""
    kind = type(refusal)
    status = next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)
    return _of(kind, status, refusal.detail)


def stored(outcome: keyed.Refused) -> Response[Any]:
    """Return a stored refusal as a response; a replayed one says so."""
    kind = BY_CODE[outcome.code]
    response = _of(kind, STATUSES[kind], outcome.detail)
    if outcome.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _of(kind: type[Refusal], status: int, detail: str) -> Response[Any]:
    response: Response[Any] = problem(kind.code, status, title=kind.words, detail=detail)
    return response


def on_refusal(_: Request[Any, Any, Any], error: Refusal) -> Response[Any]:
    """Answer a refusal that was raised."""
    return refused(error)


_HTTP_CODES = {
    400: "request_invalid",
    401: "unauthenticated",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "media_type_unsupported",
}


def on_http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer the framework's own errors in our shape; what was sent is never repeated."""
    code = _HTTP_CODES.get(error.status_code, "request_invalid")
    detail = error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        said = [f"{e.get('key', 'body')}: {e.get('message', '')}" for e in error.extra]
        detail = "; ".join(said) or detail
    title = detail if error.status_code >= 500 else BY_CODE.get(code, RequestInvalid).words
    response: Response[Any] = problem(code, error.status_code, title=title, detail=detail)
    return response


def on_failure(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer what nobody foresaw: an incident id here, the story in the log."""
    if db.is_away(error):
        log.error("request.database_away", exc_info=error)
        return refused(db.Unavailable())
    incident = error.incident if isinstance(error, group.Failed) else uuid4().hex
    if not isinstance(error, group.Failed):
        log.error("request.failed", incident=incident, exc_info=error)
    response: Response[Any] = problem(
        "internal",
        500,
        title="Something went wrong on our side.",
        detail="Send the same request again; if it fails again, tell us the incident.",
        incident=incident,
    )
    return response


def on_undecodable(_: Request[Any, Any, Any], error: UnicodeDecodeError) -> Response[Any]:
    """Answer a body or address that is not UTF-8."""
    return refused(RequestInvalid(f"The request is not UTF-8: {error.reason}."))


HANDLERS: Any = {
    UnicodeDecodeError: on_undecodable,
    Refusal: on_refusal,
    HTTPException: on_http_error,
    Exception: on_failure,
}
