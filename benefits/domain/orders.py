"""What we ask a provider, and what its answers say: operations, outcomes, schedule (V-2, V-3).

An *order* is one claim's request for the thing itself. A *request* to a provider has one number
for ever, the provider's idempotency key; *attempts* are its HTTP tries and share that number. Who
is to do something with an order that stands (confirm, revoke, redeem, reverse) makes a request of
its own. Invariant: silence is not failure: an unknown outcome is queried, or sent again under the
same number where that is the only way to ask, never under a new one (V-3). What outcomes do to an
order stands in `lattice`.
"""

import enum
import re
import zlib
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec


class Reason(enum.Enum):
    """Why a provider definitively says no (closed list)."""

    INVALID = "INVALID"
    NOT_ELIGIBLE = "NOT_ELIGIBLE"
    LIMIT = "LIMIT"
    STOCK_OUT = "STOCK_OUT"
    BUDGET = "BUDGET"
    ACCOUNT = "ACCOUNT"
    AUTH = "AUTH"
    CONFIG = "CONFIG"
    DUPLICATE_DIFFERENT = "DUPLICATE_DIFFERENT"
    NOT_FOUND = "NOT_FOUND"


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The provider delivered `at`: `reference` is its own number, `code` what the member shows.

    Of several pieces it `delivered` so many; all of them where that is not said.
    """

    at: datetime
    reference: str = ""
    code: str = ""
    delivered: int | None = None


class Used(msgspec.Struct, frozen=True, tag="used"):
    """The customer used it at the provider: redeemed. It implies that the provider delivered.

    How many pieces it `delivered` may be said of this, and of what follows; else nothing is.
    """

    at: datetime
    reference: str = ""
    delivered: int | None = None


class PartlyUsed(msgspec.Struct, frozen=True, tag="partly_used"):
    """Of several pieces the customer has used `used` by `at`, not all of them (V-5)."""

    at: datetime
    used: int
    reference: str = ""
    delivered: int | None = None


class Reversed(msgspec.Struct, frozen=True, tag="reversed"):
    """What had been used was undone `at`: the order can be used again."""

    at: datetime
    delivered: int | None = None


class Confirmed(msgspec.Struct, frozen=True, tag="confirmed"):
    """The provider, whose deliveries count only once confirmed, took our word for it `at`.

    Of several pieces it is of so many `delivered`; of all of them where that is not said.
    """

    at: datetime
    reference: str = ""
    delivered: int | None = None


class Expired(msgspec.Struct, frozen=True, tag="expired"):
    """What the provider had delivered ended `at`, unused, or with what was used until then.

    How many pieces that is, it may have told before: 0 says nothing of it.
    """

    at: datetime
    used: int = 0
    delivered: int | None = None


class Pending(msgspec.Struct, frozen=True, tag="pending"):
    """The provider accepted and will answer later."""

    reference: str = ""


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The provider definitively refused, with a code from the dialect's closed list.

    Where it keeps nothing under the number that it refused, the same number can be sent again.
    """

    reason: Reason
    code: str
    keeps_nothing: bool = False


class Revoked(msgspec.Struct, frozen=True, tag="revoked"):
    """The provider took back what it had delivered, unused."""

    at: datetime


class NotFound(msgspec.Struct, frozen=True, tag="not_found"):
    """A query was answered: no such number. Believed only after the grace (V-3)."""


class NotSent(msgspec.Struct, frozen=True, tag="not_sent"):
    """Provably nothing was done: the same number may be sent later, when `wait_s` are over."""

    evidence: str
    wait_s: int = 0


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """Everything else: the provider may or may not have acted; it asks us to wait `wait_s`."""

    evidence: str
    wait_s: int = 0


Outcome = (
    Done
    | Confirmed
    | Used
    | PartlyUsed
    | Reversed
    | Expired
    | Pending
    | Rejected
    | Revoked
    | NotFound
    | NotSent
    | Unknown
)


class Operation(enum.Enum):
    """What a call asks of a provider."""

    ISSUE = "ISSUE"
    CONFIRM = "CONFIRM"
    QUERY = "QUERY"
    REVOKE = "REVOKE"
    REDEEM = "REDEEM"
    REVERSE = "REVERSE"


class QueryBy(enum.Enum):
    """By what a provider can be asked about an order.

    Where nothing can be asked yet, or ever, the same request is sent again under its number.
    """

    NUMBER = "NUMBER"
    REFERENCE = "REFERENCE"
    NONE = "NONE"


class RedeemBy(enum.Enum):
    """Who says that a customer used it: we tell the provider, it tells us, or it is on issue."""

    US = "US"
    PROVIDER = "PROVIDER"
    ON_ISSUE = "ON_ISSUE"


class Callbacks(enum.Enum):
    """What a verified callback is worth: it decides, or it is a reason to ask, or none comes."""

    AUTHORITATIVE = "AUTHORITATIVE"
    HINT = "HINT"
    NONE = "NONE"


class LateSuccess(enum.Enum):
    """What to do when a provider delivers after we believed it had refused (G-CB-4)."""

    REISSUE = "REISSUE"
    REVOKE = "REVOKE"


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a provider may be called by all workers together: on average, and at once."""

    per_second: Annotated[float, msgspec.Meta(ge=0.01, le=10_000)]
    burst: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider can do and how patient to be with it; seconds where a name ends in `_s`."""

    not_found_grace_s: Annotated[int, msgspec.Meta(ge=0, le=604_800)] = 600
    query_schedule_s: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1, le=604_800)], ...], msgspec.Meta(min_length=1)
    ] = (15, 30, 60, 180, 600, 1800, 3600, 21600, 43200, 86400)
    deadline_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 15.0
    late_success: LateSuccess = LateSuccess.REISSUE
    two_phase: bool = False
    query: QueryBy = QueryBy.NUMBER
    query_min_interval_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    revoke: bool = True
    redeem_by: RedeemBy = RedeemBy.PROVIDER
    reverse: bool = False
    callbacks: Callbacks = Callbacks.AUTHORITATIVE
    lane: bool = True
    rate: Rate | None = None


def can_query(capabilities: Capabilities, reference: str) -> bool:
    """Say whether a provider can be asked about an order of which it gave us the `reference`."""
    match capabilities.query:
        case QueryBy.NUMBER:
            return True
        case QueryBy.REFERENCE:
            return bool(reference)
        case QueryBy.NONE:
            return False


class IssueRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What we ask for; `recipient` holds only the fields the benefit needs (X-4).

    Of `quantity` pieces one is the member's for every `companions` of those who come along. A
    booking is for a time.
    """

    sku: str
    quantity: int
    companions: int = 0
    recipient: dict[str, str] = {}
    booked_for: datetime | None = None


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """A use that the bank tells the provider of: when, where, and of a sale of which amount.

    `payment` is the number of the payment at which it was used, at whoever took the payment.
    """

    at: datetime
    place: str = ""
    amount_minor: int | None = None
    payment: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to be made; numbers are 32 characters `[0-9a-f]`.

    `number` is the one the provider knows the order by. A request that does something to an order
    has a number of its `own`, which is the same for each of its attempts; for the request to issue
    the two are one. `reference` is what the provider called the order, once it has. `request` is
    what was ordered, whatever is asked now. `redemption` comes with REDEEM, and with REVERSE,
    whose redemption had the number `undoes`; also with the QUERY about either.
    """

    number: str
    operation: Operation
    request: IssueRequest
    own: str = ""
    reference: str = ""
    code: str = ""
    redemption: Redemption | None = None
    undoes: str = ""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified callback says of an order; `event_id` is the provider's.

    The order is the one we gave the `number`; of a provider who does not know it, the one that it
    gave the `reference`. Where it tells of what others order there, too, `sku` says of what it is.
    """

    event_id: str
    number: str = ""
    reference: str = ""
    sku: str = ""
    outcome: Outcome


def believed(
    outcome: Outcome,
    *,
    sent_by: datetime,
    now: datetime,
    grace_s: int,
    is_resent: bool = False,
) -> Outcome:
    """Return what an answer is worth: "not found" is a refusal only after the grace (V-3).

    So is the refusal of an order that `is_resent`: the send before may still arrive, and be done.
    The grace runs from `sent_by`, when the last byte had left; before it ends the outcome stays
    unknown.
    """
    is_over = now - sent_by >= timedelta(seconds=grace_s)
    match outcome:
        case NotFound():
            if is_over:
                return Rejected(Reason.NOT_FOUND, "not_found")
            return Unknown("not found, within the grace")
        case Rejected() if is_resent and not is_over:
            return Unknown(f"sent again and refused, within the grace: {outcome.code}")
        case _:
            return outcome


class OrderState(enum.Enum):
    """Where an order stands (V-2)."""

    HELD = "HELD"
    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    MANUAL = "MANUAL"
    ISSUED = "ISSUED"
    CONFIRMED = "CONFIRMED"
    PARTLY_REDEEMED = "PARTLY_REDEEMED"
    REDEEMED = "REDEEMED"
    COMPENSATED = "COMPENSATED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


OPEN = frozenset(
    {
        OrderState.HELD,
        OrderState.SUBMITTED,
        OrderState.PENDING,
        OrderState.UNKNOWN,
        OrderState.MANUAL,
    }
)
USABLE = frozenset({OrderState.ISSUED, OrderState.CONFIRMED, OrderState.PARTLY_REDEEMED})
DELIVERED = USABLE | {OrderState.REDEEMED}


def next_query_at(
    queries: int, schedule_s: tuple[int, ...], now: datetime, request_id: UUID
) -> datetime | None:
    """Return when to ask again after `queries` queries; None: a person must decide (V-3)."""
    if queries >= len(schedule_s):
        return None
    return now + spread(timedelta(seconds=schedule_s[queries]), request_id, queries)


SLACK = timedelta(hours=1)  # for calls under way and what else there is to do


def patience(able: Capabilities) -> timedelta:
    """Return how long a provider is asked about what it never answers: then a person is (V-3)."""
    pauses_s = (max(pause_s, able.query_min_interval_s) for pause_s in able.query_schedule_s)
    return timedelta(seconds=sum(pauses_s)) + SLACK


def backoff(attempt: int, request_id: UUID) -> timedelta:
    """Return the wait after an attempt that never left: 5 s, doubling, at most 10 minutes."""
    wait = timedelta(seconds=min(5 * 2 ** min(attempt - 1, 10), 600))
    return spread(wait, request_id, attempt)


def spread(wait: timedelta, request_id: UUID, turn: int) -> timedelta:
    """Return a request's wait, up to a fifth shorter, the same in each reckoning (C-7).

    What a provider failed to answer at one instant does not come back to it at one instant; nor
    does anything come back later than it was to.
    """
    drawn = zlib.crc32(request_id.bytes + turn.to_bytes(4, "big"))
    return wait * (1 - drawn / 2**32 / 5)


_TELLING = re.compile(r"\b(?=[\w-]*[0-9])[\w-]{6,}\b")


def redacted(evidence: str) -> str:
    """Return what may be kept of why an attempt failed: no word that could be of a person.

    Providers put what they like into answers: phone numbers, card codes, openids.
    """
    return _TELLING.sub("…", evidence)


# What the answer to a question says of what was asked for: it did not happen yet.
_NOT_YET = {
    Operation.CONFIRM: frozenset({"done", "pending"}),
    Operation.REDEEM: frozenset({"done", "confirmed", "reversed"}),
    Operation.REVERSE: frozenset({"used"}),
}


def next_operation(
    asked: Operation, last: Operation | None, outcome: str, *, can_query: bool = True
) -> Operation:
    """Return what an attempt does: no second issue unless the first provably never left (V-3).

    `last` and `outcome` are of the attempt before; an empty outcome means that it was never told,
    as after a crash. Where the provider cannot be queried about the order, the same request is
    sent again: its number makes it the same. What is done to an order that stands is done again
    when a query says that it did not happen. To take an order back is asked again, unless the
    provider took the request without a word of what became of it: then the order is asked about.
    """
    if last is None or not can_query:
        return asked
    if asked is Operation.REVOKE and (last is not asked or outcome != "pending"):
        return asked
    if last is asked and outcome == "not_sent":
        return asked
    if last is Operation.QUERY and outcome in _NOT_YET.get(asked, ()):
        return asked
    return Operation.QUERY
