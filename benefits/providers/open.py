"""The neutral contract `open`: signed JSON over HTTP, published as `openapi/provider.json`.

Requests, answers and callbacks are signed with one shared secret as in Standard Webhooks. Each
request names its operation in the signed body and has an id of its own, and the answer carries
that id, so that nothing signed can be passed off as something else. Invariants: an outcome other
than Unknown or NotSent is read only from an answer that is signed, fresh, well-formed and about
our number (V-3); the tables of statuses and reasons are closed; a number that exists with other
parameters is a reason to query, never a failure; a part of an order is not the order, and what
becomes of it a person agrees with the provider.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from benefits.domain.orders import (
    Call,
    Confirmed,
    Done,
    Expired,
    NotFound,
    Notice,
    NotSent,
    Operation,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.domain.signature import SignatureRefused, signed_headers, verify
from benefits.providers.client import Response
from benefits.providers.http import Moment, Outgoing
from benefits.providers.provider import Acknowledgement, CallbackRefused, RawCallback

Number = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Text = Annotated[str, msgspec.Meta(max_length=256, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]

# `duplicate_different` is absent on purpose: the number may have been delivered, so we must query.
REASONS = {
    "invalid": Reason.INVALID,
    "not_eligible": Reason.NOT_ELIGIBLE,
    "limit": Reason.LIMIT,
    "stock_out": Reason.STOCK_OUT,
    "budget": Reason.BUDGET,
    "account": Reason.ACCOUNT,
    "auth": Reason.AUTH,
    "config": Reason.CONFIG,
}

# Which HTTP status may carry which status of the order; any other pair is Unknown.
_CARRIES = {
    200: {
        *("issued", "confirmed", "partly_issued", "pending", "rejected", "redeemed"),
        *("partly_redeemed", "reversed", "expired", "revoked"),
    },
    202: {"pending"},
    404: {"not_found"},
    409: {"rejected"},
    422: {"rejected"},
    429: {"not_processed"},
}
_TOLD = frozenset(
    {
        *("issued", "confirmed", "rejected", "redeemed", "partly_redeemed", "reversed"),
        *("expired", "pending"),
    }
)
_MAY_ASK_TO_WAIT = frozenset({429, 503})
WAIT_MAX_S = 86_400

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says about a number, in an answer."""

    number: Number
    status: Text
    reference: Text = ""
    code: Text = ""
    at: Instant | None = None
    reason: Text = ""
    delivered: int = 0
    used: int = 0


class CallbackData(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says about a number, in a callback."""

    number: Number
    at: Instant
    reference: Text = ""
    code: Text = ""
    reason: Text = ""
    delivered: int = 0
    used: int = 0


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of a callback."""

    type: Text
    timestamp: Instant
    data: CallbackData


class IssueBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to issue."""

    operation: Literal["issue"] = "issue"
    number: str
    sku: str
    quantity: int
    companions: int | UnsetType = UNSET
    booked_for: datetime | UnsetType = UNSET
    recipient: dict[str, str]


class NumberBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to confirm, query or revoke: the number alone, the rest is known (X-4)."""

    operation: Literal["confirm", "query", "revoke"]
    number: str


class RedeemBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to redeem: the use has a number of its own."""

    operation: Literal["redeem"] = "redeem"
    number: str
    redemption: str
    at: datetime
    place: str | UnsetType = UNSET
    amount_minor: int | UnsetType = UNSET
    payment: str | UnsetType = UNSET


class ReverseBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to undo a use: the undoing has a number of its own, too."""

    operation: Literal["reverse"] = "reverse"
    number: str
    reversal: str
    redemption: str


class OpenDialect:
    """The neutral contract, spoken to a provider at `base_url`."""

    def __init__(self, *, base_url: str, secrets: Sequence[bytes]) -> None:
        if not secrets:
            msg = "the open contract needs a signing secret"
            raise ValueError(msg)
        self._base = base_url.rstrip("/")
        self._secrets = tuple(secrets)

    def request(self, call: Call, moment: Moment) -> Outgoing:
        """Write a call: the same parameters whenever it is made again under its number."""
        path, id_, content = _encoded(call)
        headers = signed_headers(self._secrets, id_, int(moment.now.timestamp()), content)
        return Outgoing(
            url=self._base + path,
            headers={**headers, "content-type": "application/json"},
            body=content,
        )

    def read(self, call: Call, response: Response, moment: Moment) -> Outcome:
        """Read the answer to a call; Unknown unless it is certain what it means (V-3)."""
        outcome = self._believed(call, response, moment)
        if isinstance(outcome, NotSent | Unknown):
            wait_s = _asked_to_wait_s(response, moment.now)
            return msgspec.structs.replace(outcome, wait_s=wait_s)
        return outcome

    def _believed(self, call: Call, response: Response, moment: Moment) -> Outcome:
        """Return what an answer says, if it is the provider's answer to this request."""
        now_unix = int(moment.now.timestamp())
        try:
            signed_id = verify(self._secrets, response.headers, response.body, now_unix=now_unix)
        except SignatureRefused as refusal:
            return Unknown(f"HTTP {response.status}, {refusal.detail}")
        _, id_, _ = _encoded(call)
        if signed_id != id_:
            return Unknown("the answer belongs to another request")
        return _read(response, call)

    def receive(self, raw: RawCallback) -> tuple[Notice, ...]:
        """Check and read a callback, or refuse: SignatureRefused, CallbackRefused (V-4)."""
        received = int(raw.received_at.timestamp())
        event_id = verify(self._secrets, raw.headers, raw.body, now_unix=received)
        return (self.understand(event_id, raw.body),)

    def understand(self, event_id: str, told: bytes) -> Notice:
        """Read a callback that was verified when it came, or refuse: CallbackRefused (V-4)."""
        try:
            callback = msgspec.json.decode(told.decode(), type=Callback)
        except _UNREADABLE as error:
            raise CallbackRefused from error
        outcome = _callback_outcome(callback)
        return Notice(event_id=event_id, number=callback.data.number, outcome=outcome)

    def ack(self) -> Acknowledgement:
        """Return what tells the provider that we have kept its callback (V-4)."""
        return Acknowledgement(b"ok")

    def refused(self, status: int, words: str) -> None:
        """Leave it to the problem that everybody gets; the contract asks for nothing else."""


def _encoded(call: Call) -> tuple[str, str, bytes]:
    """Return the path, the request's id and the body: always the same for the same call."""
    number, asked = call.number, call.request
    match call.operation:
        case Operation.ISSUE:
            recipient = dict(sorted(asked.recipient.items()))
            issue = IssueBody(
                number=number,
                sku=asked.sku,
                quantity=asked.quantity,
                companions=asked.companions or UNSET,
                booked_for=asked.booked_for or UNSET,
                recipient=recipient,
            )
            return "/orders", number, msgspec.json.encode(issue)
        case Operation.QUERY:
            query = NumberBody(operation="query", number=number)
            return "/orders/query", f"{number}-query", msgspec.json.encode(query)
        case Operation.REVOKE:
            revoke = NumberBody(operation="revoke", number=number)
            return "/orders/revoke", f"{number}-revoke", msgspec.json.encode(revoke)
        case Operation.CONFIRM:
            confirm = NumberBody(operation="confirm", number=number)
            return "/orders/confirm", f"{number}-confirm", msgspec.json.encode(confirm)
        case Operation.REDEEM:
            assert call.redemption is not None, "a redemption says when"
            used = call.redemption
            redeem = RedeemBody(
                number=number,
                redemption=call.own,
                at=used.at,
                place=used.place or UNSET,
                amount_minor=UNSET if used.amount_minor is None else used.amount_minor,
                payment=used.payment or UNSET,
            )
            return "/orders/redeem", call.own, msgspec.json.encode(redeem)
        case Operation.REVERSE:
            undo = ReverseBody(number=number, reversal=call.own, redemption=call.undoes)
            return "/orders/reverse", call.own, msgspec.json.encode(undo)
        case never:
            assert_never(never)


def _read(response: Response, call: Call) -> Outcome:
    try:
        state = msgspec.json.decode(response.body, type=State)
    except _UNREADABLE:
        return Unknown(f"HTTP {response.status}, not an answer of the contract")
    if state.number != call.number:
        return Unknown("the answer is about another number")
    if state.status not in _CARRIES.get(response.status, ()):
        return Unknown(f"HTTP {response.status} with status {state.status!r}")
    if state.status == "not_found":
        if call.operation is Operation.ISSUE:
            return Unknown("asked to issue, answered not found")
        return NotFound()
    if state.status == "partly_issued":
        return _partly(state, call.request.quantity)
    if state.status == "not_processed":
        return NotSent("HTTP 429, not processed")
    return _outcome(state.status, state)


def _partly(state: State, quantity: int) -> Outcome:
    """Return what a delivery of some pieces says, if it is of some and not of all."""
    issued = _happened("issued", state)
    if not isinstance(issued, Done) or not 0 < state.delivered < quantity:
        return Unknown(f"partly issued: {state.delivered} of {quantity}")
    return msgspec.structs.replace(issued, delivered=state.delivered)


def _asked_to_wait_s(response: Response, now: datetime) -> int:
    """Return the seconds of a `Retry-After`, in either form, at most a day; 0 without one."""
    text = response.headers.get("retry-after", "").strip()
    if response.status not in _MAY_ASK_TO_WAIT or not text:
        return 0
    if text.isascii() and text.isdecimal():
        return min(int(text[:9]), WAIT_MAX_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)  # "-0000", which means the same
    return min(max(ceil((at - now).total_seconds()), 0), WAIT_MAX_S)


def _callback_outcome(callback: Callback) -> Outcome:
    group, _, status = callback.type.partition(".")
    if group != "order" or status not in _TOLD:
        return Unknown(f"callback of the type {callback.type!r}")
    return _outcome(status, callback.data)


def _outcome(status: str, told: State | CallbackData) -> Outcome:
    match status:
        case "pending":
            return Pending(told.reference)
        case "rejected":
            reason = REASONS.get(told.reason)
            return (
                Rejected(reason, told.reason)
                if reason is not None
                else Unknown(f"rejected for {told.reason!r}")
            )
        case _:
            return _happened(status, told)


def _happened(status: str, told: State | CallbackData) -> Outcome:
    # The bounds keep every conversion between zones in range.
    if told.at is None or not 2000 <= told.at.year < 2200:
        return Unknown(f"{status} without a credible instant")
    at, delivered = told.at.astimezone(UTC), told.delivered if told.delivered > 0 else None
    happened: dict[str, Outcome] = {
        "issued": Done(at, told.reference, told.code),
        "confirmed": Confirmed(at, told.reference, delivered),
        "redeemed": Used(at, told.reference, delivered),
        "reversed": Reversed(at, delivered),
        "expired": Expired(at, max(told.used, 0), delivered),
        "revoked": Revoked(at),
    }
    if status == "partly_redeemed" and told.used > 0:
        return PartlyUsed(at, told.used, told.reference, delivered)
    return happened.get(status, Unknown(f"status {status!r}"))
