"""Refusals as HTTP: RFC 9457 problems with stable codes. Only this file knows statuses.

Every `Refusal` of the service is listed; a test compares the list with the code. A problem's title
is in the language that the caller prefers, its detail in English.
"""

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.routes import HTTPRoute

from benefits.actions import (
    agree,
    archive_month,
    claim,
    close_case,
    close_month,
    correct,
    enact,
    evaluate,
    fill_day,
    grant,
    keep_tiers,
    keyed,
    keys,
    look_back,
    measure_growth,
    pause_provider,
    read_code,
    redeem,
    replay,
    retry_order,
    run_jobs,
    see_stock,
    start_period,
)
from benefits.domain import (
    archive,
    assets,
    blocks,
    booking,
    choices,
    consents,
    corrections,
    eligibility,
    entitlement,
    exclusions,
    feeds,
    fills,
    growth,
    guard,
    ledger,
    merges,
    past,
    programme,
    proposals,
    rates,
    requests,
    signature,
    terms,
    tokens,
    units,
    use,
    waits,
    whitelists,
)
from benefits.domain.refusal import Refusal
from benefits.providers.provider import CallbackRefused
from benefits.store import db, envelope, feed, group, versions
from benefits.web import jwks
from benefits.web.document.titles import CHINESE, OWN
from benefits.web.language import LANGUAGE, hear

log = structlog.get_logger()

STATUSES: dict[type[Refusal], int] = {
    requests.KeyInvalid: 400,
    requests.KeyConflict: 422,
    keys.KeyUnknown: 401,
    keys.ScopeUnknown: 400,
    keys.NameInvalid: 400,
    keys.ProviderUnknown: 400,
    keys.KeyNotValid: 404,
    tokens.TokenInvalid: 401,
    jwks.IssuerUnavailable: 503,
    rates.RateLimited: 429,
    claim.UnknownMember: 404,
    replay.UnknownDecision: 404,
    claim.UnknownBenefit: 404,
    claim.QuantityInvalid: 422,
    grant.ValidDaysInvalid: 422,
    grant.ExpiresOnInvalid: 422,
    entitlement.MemberClosed: 409,
    entitlement.ContractEnded: 409,
    entitlement.GuestLimit: 409,
    use.ClaimWindow: 409,
    units.UnitsDrawn: 422,
    units.QuantityTooFine: 422,
    consents.ConsentRequired: 409,
    consents.ConsentUnknown: 404,
    choices.UnknownChoice: 404,
    choices.ChoiceNotOffered: 422,
    choices.ChoiceRepeated: 409,
    whitelists.WhitelistInvalid: 422,
    whitelists.WhitelistReplaced: 409,
    see_stock.UnknownStock: 404,
    whitelists.UnknownWhitelist: 404,
    eligibility.NotEligible: 409,
    eligibility.RuleInvalid: 422,
    exclusions.Excluded: 409,
    entitlement.RecipientIncomplete: 422,
    entitlement.CapReached: 409,
    waits.AlreadyWaiting: 409,
    waits.UnknownWait: 404,
    waits.WaitOver: 409,
    entitlement.StockExhausted: 409,
    entitlement.BudgetExhausted: 409,
    ledger.InsufficientUnits: 409,
    ledger.LotExpired: 409,
    assets.FileUnreadable: 422,
    assets.LineInvalid: 422,
    programme.ProgrammeInvalid: 422,
    terms.NoticeMissing: 409,
    terms.NoticeInvalid: 422,
    evaluate.MonthNotOver: 409,
    keep_tiers.EvaluationRunning: 409,
    start_period.PeriodStarting: 409,
    measure_growth.BaselineInvalid: 422,
    measure_growth.BaselineTaken: 409,
    measure_growth.UnknownBaseline: 404,
    growth.StepsInvalid: 422,
    evaluate.UnknownProgramme: 404,
    merges.MergedIntoItself: 422,
    merges.MergedElsewhere: 409,
    merges.MergedAway: 409,
    merges.MergerEnded: 409,
    close_case.UnknownCase: 404,
    retry_order.UnknownOrder: 404,
    pause_provider.UnknownProvider: 404,
    redeem.UnknownClaim: 404,
    redeem.UnknownRedemption: 404,
    redeem.RedeemedElsewhere: 409,
    redeem.OrderNotUsable: 409,
    redeem.PaymentMissing: 422,
    redeem.RedemptionOpen: 409,
    booking.BookingTime: 422,
    booking.NotCancellable: 409,
    booking.CancellationOpen: 409,
    booking.CancelledTooLate: 409,
    redeem.NotReversible: 409,
    redeem.RedemptionNotFinal: 409,
    close_case.CaseClosed: 409,
    retry_order.OrderInFlight: 409,
    retry_order.OrderEnded: 409,
    retry_order.ProviderWaits: 409,
    pause_provider.PauseInvalid: 422,
    corrections.CorrectionInvalid: 422,
    corrections.CorrectionExceeds: 409,
    corrections.OrderUnfit: 409,
    corrections.TargetUnknown: 404,
    correct.UnknownCorrection: 404,
    correct.CorrectionClosed: 409,
    correct.CorrectionStale: 409,
    agree.SamePerson: 403,
    close_month.MonthOpen: 409,
    close_month.MonthOutOfOrder: 409,
    close_month.WritesPending: 409,
    archive.MonthArchived: 409,
    archive.ArchiveUnfit: 422,
    archive_month.MonthNotClosed: 409,
    archive_month.BatchesUnsealed: 409,
    archive_month.HoldsOpen: 409,
    archive_month.MonthAbsent: 404,
    archive_month.LedgerBusy: 503,
    past.TimeInvalid: 422,
    feed.CursorLost: 409,
    feeds.FeedNotNamed: 422,
    feeds.FeedDateInvalid: 422,
    feeds.FeedUnknown: 404,
    feeds.FeedClosed: 409,
    fills.FillInvalid: 422,
    fills.FillTooEarly: 409,
    fills.DayNotMissing: 409,
    fills.NothingToCarry: 409,
    fill_day.UnknownFill: 404,
    fill_day.FillClosed: 409,
    fill_day.FillStale: 409,
    enact.UnknownProposal: 404,
    enact.ProposalClosed: 409,
    enact.ProposalStale: 409,
    proposals.ProposalInvalid: 422,
    blocks.BlockInvalid: 422,
    blocks.UnknownBlock: 404,
    blocks.Blocked: 409,
    guard.ComplianceForbidden: 422,
    guard.ComplianceUnapproved: 409,
    guard.TriggerUndeclared: 422,
    versions.UnknownVersion: 404,
    feeds.ChunkConflict: 409,
    feeds.ManifestInvalid: 422,
    feeds.ManifestConflict: 409,
    feeds.FeedRefused: 422,
    read_code.CodeAbsent: 409,
    read_code.CodeShown: 409,
    run_jobs.UnknownJob: 404,
    run_jobs.ListTooLong: 422,
    run_jobs.RowFailed: 500,
    signature.SignatureRefused: 401,
    CallbackRefused: 400,
    db.Busy: 503,
    db.Unavailable: 503,
    db.DatabaseUnsuitable: 503,
    look_back.BooksDiffer: 503,
    feed.EventsUnordered: 503,
    group.Overloaded: 503,
    envelope.EnvelopeBroken: 500,
}
BY_CODE: dict[str, type[Refusal]] = {}


class NotFound(Refusal):
    """Nothing is at this address, or it is not the caller's."""

    code = "not_found"
    words = "There is nothing here."


class Forbidden(Refusal):
    """The key or token is valid but may not do this."""

    code = "forbidden"
    words = "This API key or token may not do this."


class RequestInvalid(Refusal):
    """The request does not have the shape that the documentation gives."""

    code = "request_invalid"
    words = "The request is not as documented."


class RequestTooSlow(Refusal):
    """The body did not arrive in time."""

    code = "request_too_slow"
    words = "The body of the request did not arrive in time."


class HeadTooLarge(Refusal):
    """The address and headers of the request are too long, or too many."""

    code = "headers_too_large"
    words = "The address and headers of a request are at most 32 KiB, in at most 100 headers."


class TimedOut(Refusal):
    """The answer was not found in time; what was not decided by then may be decided later."""

    code = "timed_out"
    words = "This took too long. Send the same request again, under the same key."


class CursorInvalid(Refusal):
    """The cursor is not one this service gave."""

    code = "cursor_invalid"
    words = "The cursor is not one that this service gave."


class PageSessionEnded(Refusal):
    """The page session is over, or its entry code was used or too old."""

    code = "page_session_ended"
    words = "The page has expired. Open it again from the bank's app."


class ReadOnly(Refusal):
    """The books were wrong at the start, so nothing is written until somebody has looked."""

    code = "read_only"
    words = "Nothing can be changed at the moment. What is there can be read."


STATUSES |= {
    NotFound: 404,
    Forbidden: 403,
    RequestInvalid: 400,
    RequestTooSlow: 408,
    HeadTooLarge: 431,
    TimedOut: 503,
    CursorInvalid: 400,
    PageSessionEnded: 401,
    ReadOnly: 503,
}
BY_CODE |= {kind.code: kind for kind in STATUSES}
RETRY_AFTER_S = {
    "busy": 1,
    "overloaded": 2,
    "unavailable": 5,
    "issuer_unavailable": 5,
    "timed_out": 2,
    "read_only": 60,
}
# What a caller who may not enter is told to bring (RFC 6750).
CHALLENGES = {
    "unauthenticated": 'Bearer realm="benefits"',
    "token_invalid": 'Bearer realm="benefits", error="invalid_token"',
    "forbidden": 'Bearer realm="benefits", error="insufficient_scope"',
}
MEDIA_TYPE = "application/problem+json"

# What is said of a handler that is no GET and yet leaves the books alone.
LEAVES_BOOKS = {"leaves_books": True}


async def listen(request: Request[Any, Any, Any]) -> Response[None] | None:
    """Do so before a handler runs, in its own context; take no body that is packed.

    Where the books are wrong nothing is written (ReadOnly); a provider then sends its callback
    again, which is better than to keep it where nobody may work it off.
    """
    hear(request)
    if request.method == "OPTIONS":
        return _options(request)
    writes = request.method != "GET" and not request.route_handler.opt.get("leaves_books")
    if writes and request.app.state.wrong:
        raise ReadOnly
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(
            status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail="Send the body as it is."
        )
    return None


def _options(request: Request[Any, Any, Any]) -> Response[None]:
    """Tell all methods of an address; the framework knows those of its first handler only."""
    path = request.scope["path_template"]
    methods = {
        method
        for route in request.app.routes
        if isinstance(route, HTTPRoute) and route.path_format == path
        for method in route.methods
    }
    return Response(None, status_code=204, headers={"Allow": ", ".join(sorted(methods))})


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An RFC 9457 problem; `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    incident: str = ""


def titles(code: str) -> dict[str, str]:
    """Return what a code is called in each language."""
    english = OWN[code] if code in OWN else BY_CODE[code].words
    return {"en": english, "zh": CHINESE[code]}


def problem(code: str, status: int, *, detail: str, incident: str = "") -> Any:
    """Return a problem as a response."""
    language = LANGUAGE.get()
    title = titles(code)[language]
    body = Problem(
        type=f"urn:benefits:problem:{code}",
        title=title,
        status=status,
        code=code,
        detail=detail,
        incident=incident,
    )
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    if code in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[code])
    if code in CHALLENGES:
        headers["WWW-Authenticate"] = CHALLENGES[code]
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def refused(refusal: Refusal) -> Response[Any]:
    """Return a refusal as a response."""
    kind = type(refusal)
    status = next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)
    response = _of(kind, status, refusal.detail)
    if isinstance(refusal, rates.RateLimited):
        response.headers["Retry-After"] = str(refusal.after_s)
    if isinstance(refusal, RequestTooSlow):
        response.headers["Connection"] = "close"  # the rest of the body is not waited for
    return response


def stored(outcome: keyed.Refused) -> Response[Any]:
    """Return a stored refusal as a response; a replayed one says so."""
    kind = BY_CODE[outcome.code]
    response = _of(kind, STATUSES[kind], outcome.detail)
    if outcome.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _of(kind: type[Refusal], status: int, detail: str) -> Response[Any]:
    response: Response[Any] = problem(kind.code, status, detail=detail)
    return response


def on_refusal(request: Request[Any, Any, Any], error: Refusal) -> Response[Any]:
    """Answer a refusal that was raised."""
    hear(request)
    return refused(error)


HTTP_CODES = {
    400: "request_invalid",
    401: "unauthenticated",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "media_type_unsupported",
}


# What the caller calls a parameter whose name is another here.
CALLED = {
    "in_state": "state",
    "of_provider": "provider",
    "of_kind": "kind",
    "start": "from",
    "end": "to",
    "format_": "format",
}


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer the framework's own errors in our shape; what was sent is never repeated."""
    hear(request)
    code = HTTP_CODES.get(error.status_code, "request_invalid")
    detail = error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        keys = [CALLED.get(key := e.get("key", "body"), key) for e in error.extra]
        said = [f"{k}: {e.get('message', '')}" for k, e in zip(keys, error.extra, strict=True)]
        detail = "; ".join(said) or detail
    response: Response[Any] = problem(code, error.status_code, detail=detail)
    if allowed := (error.headers or {}).get("allow"):
        response.headers["Allow"] = allowed
    return response


def on_failure(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer what nobody foresaw: an incident id here, the story in the log."""
    hear(request)
    if db.is_away(error):
        log.error("request.database_away", exc_info=error)
        return refused(db.Unavailable())
    if db.is_busy(error):
        return refused(db.Busy())
    if isinstance(error, RecursionError):
        return refused(RequestInvalid("The body is nested too deeply."))
    incident = error.incident if isinstance(error, group.Failed) else uuid4().hex
    if not isinstance(error, group.Failed):
        log.error("request.failed", incident=incident, exc_info=error)
    response: Response[Any] = problem(
        "internal",
        500,
        detail="Send the same request again; if it fails again, tell us the incident.",
        incident=incident,
    )
    return response


def on_undecodable(request: Request[Any, Any, Any], error: UnicodeDecodeError) -> Response[Any]:
    """Answer a body or address that is not UTF-8."""
    hear(request)
    return refused(RequestInvalid(f"The request is not UTF-8: {error.reason}."))


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer what the service raised where no framework asks for it."""
    if isinstance(error, Refusal):
        return on_refusal(request, error)
    if isinstance(error, UnicodeDecodeError):
        return on_undecodable(request, error)
    return on_failure(request, error)


HANDLERS: Any = {
    UnicodeDecodeError: on_undecodable,
    Refusal: on_refusal,
    HTTPException: on_http_error,
    Exception: on_failure,
}
