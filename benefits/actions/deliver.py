"""Deliver requests: lease (one transaction), call with none open, record (one transaction).

The attempt is committed before anything is sent. A request whose last attempt never told its
outcome is asked about, not sent again (V-3).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits import traces
from benefits.actions import gate, lanes
from benefits.actions.answers import Answer, Attempted, is_first, lapses, unsent
from benefits.actions.gate import Turned
from benefits.actions.parts import Parts
from benefits.actions.resolve import resolve
from benefits.domain.circuits import Heard, fault_of
from benefits.domain.orders import (
    OPEN,
    Call,
    Capabilities,
    Confirmed,
    Done,
    Expired,
    IssueRequest,
    NotFound,
    NotSent,
    Operation,
    OrderState,
    Outcome,
    PartlyUsed,
    Pending,
    Redemption,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
    believed,
    can_query,
    next_operation,
    redacted,
)
from benefits.domain.programme import Programme
from benefits.domain.requests import is_said
from benefits.store import claims, due, members, orders
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection, Together, Writer
from benefits.store.due import Room
from benefits.store.envelope import EnvelopeBroken
from benefits.store.orders import Leased, RequestRow

Said = TypeVar("Said")
LEASE_MARGIN_S = 30
GIVEN_UP = Unknown("given up, not sent again")
CHANGED = "what is kept of the request is not what it was, not sent"
SHUT = "what is kept of the request opens with none of the keys, not sent"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to be made: the call, its provider, and the leased request it belongs to.

    `capabilities` are those the claim was made under; `is_send` as in `Attempted`. A probe decides
    whether others go again. Where it would not say what its request said at first, or that cannot
    be read, it is `unsaid`, for that reason.
    """

    provider: str
    capabilities: Capabilities
    call: Call
    request: RequestRow
    is_send: bool
    is_probe: bool = False
    unsaid: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """What came of a piece of work; `asked` says whether there was anybody to call."""

    work: Work
    outcome: Outcome
    asked: bool = True

    @property
    def heard(self) -> Heard:
        """What it tells of its provider."""
        is_probe = self.work.is_probe
        return Heard(self.outcome, self.work.request.leased_until if is_probe else None)


async def lease(
    conn: Connection,
    parts: Parts,
    *,
    buckets: tuple[int, int],
    limit: int,
    under_way: Mapping[str, int] | None = None,
) -> list[Work]:
    """Take due requests for one attempt each, so that no provider has more than `limit` under way.

    The holds of what is taken have no deadline from here on. Where the attempt would send again
    what was given up, or something else than before, it is none: nothing is heard, and the order
    waits for its next.
    """
    catalogue = await parts.catalogue.current(conn)
    limits, began = gate.rates(catalogue), parts.clock()
    room = Room(limit, under_way or {})
    open_to = await gate.look(conn, limits, now=began, room=room)
    candidates = await _due(conn, buckets, began, open_to, room=room, laneless=catalogue.laneless)
    if not candidates:
        return []
    locked, busy = await members.lock_persons(
        conn, {member_id for member_id, _ in candidates}, wait=False
    )
    now = parts.clock()
    longest = max((able.deadline_s for able in catalogue.capabilities.values()), default=0.0)
    until = now + timedelta(seconds=longest + LEASE_MARGIN_S)
    ids = [id_ for member_id, id_ in candidates if member_id in locked and member_id not in busy]
    ids = await lanes.of_persons(conn, ids, locked, now=now, laneless=catalogue.laneless)
    leased = await orders.lease(conn, ids, now, until, laneless=catalogue.laneless)
    found = await claims.by_id(conn, [one.request.claim_id for one in leased])
    lapsed = [r for r in (one.request for one in leased) if lapses(r, found[r.claim_id], now)]
    await orders.schedule(conn, [unsent(request) for request in lapsed])
    leased = [one for one in leased if one.request not in lapsed]
    requests = [one.request for one in leased]
    await gate.went(conn, open_to, requests, until)
    works = await _begin(conn, leased, found, parts, probes=open_to.probes)
    told = [(work, _unheard(work, found[work.request.claim_id])) for work in works]
    silent = [Attempt(replace(one, is_send=False), heard) for one, heard in told if heard]
    await _record(conn, silent, parts)
    return [work for work, heard in told if heard is None]


async def _begin(
    conn: Connection,
    leased: Sequence[Leased],
    found: Mapping[UUID, ClaimRow],
    parts: Parts,
    *,
    probes: Collection[tuple[str, str]],
) -> list[Work]:
    """Write down that attempts are about to be made, and return them."""
    agreed = {
        id_: (await parts.catalogue.made_under(conn, claim))[0] for id_, claim in found.items()
    }
    works = [
        (one.request, _operation(one, found[one.request.claim_id], agreed[one.request.claim_id]))
        for one in leased
    ]
    together = Together(conn)
    await orders.begin_attempts(together, works, parts.clock())
    await _submit(together, found.values(), parts)
    await together.send()
    calls = await _calls(conn, works, found, parts)
    return [
        Work(
            provider=request.provider,
            capabilities=_agreed(agreed[request.claim_id], request),
            call=call,
            request=request,
            is_probe=(request.provider, request.sku) in probes,
            is_send=_is_send(call, request, agreed[request.claim_id]),
            unsaid=unsaid,
        )
        for (request, _), (call, unsaid) in zip(works, calls, strict=True)
    ]


async def _due(
    conn: Connection,
    buckets: tuple[int, int],
    now: datetime,
    open_to: gate.Gate,
    *,
    room: Room,
    laneless: Sequence[str],
) -> list[tuple[UUID, UUID]]:
    """Return (member, request) of requests that are due where we may go (gate)."""
    stopped = open_to.stopped
    found = await due.first_by(
        conn, buckets, now, ways=open_to.ways, stopped=stopped, laneless=laneless
    )
    found += await due.first(
        conn,
        buckets,
        now,
        room=room,
        without=open_to.without,
        stopped=stopped,
        laneless=laneless,
    )
    return found


def _agreed(programme: Programme, request: RequestRow) -> Capabilities:
    return programme.providers[request.provider].capabilities


def _is_send(call: Call, request: RequestRow, programme: Programme) -> bool:
    """Say whether a call does what its request wants, in the words of a question perhaps."""
    if call.operation is request.operation:
        return True
    resent = programme.providers[request.provider].sends_again(call.request.sku, call.code)
    return resent and call.operation is Operation.QUERY and request.operation is Operation.ISSUE


def _unheard(work: Work, claim: ClaimRow) -> Outcome | None:
    """Return what is heard of an attempt that is not made; None of all others (V-3, V-10).

    What the member has given up is not sent again; nor is anything said, or asked about, but what
    was to be said at first. What this process has no key for waits for one that has.
    """
    if work.unsaid:
        waits = work.unsaid == SHUT or is_first(work.request)
        return NotSent(work.unsaid) if waits else Unknown(work.unsaid)
    issues = work.is_send and work.request.operation is Operation.ISSUE
    return GIVEN_UP if issues and claim.cancelled_at is not None else None


def _operation(leased: Leased, claim: ClaimRow, programme: Programme) -> Operation:
    """Return what an attempt does; nothing is sent or confirmed whose order is decided.

    Nor is confirmed what the member has given up; of a part the rest is.
    """
    request = leased.request
    agreed = _agreed(programme, request)
    asks = next_operation(
        request.operation,
        leased.last_operation,
        leased.last_outcome,
        can_query=can_query(agreed, claim.provider_reference),
    )
    is_open = claim.state in OPEN or (asks is Operation.CONFIRM and claim.rest_until is not None)
    if asks in {Operation.ISSUE, Operation.CONFIRM} and not is_open:
        return Operation.QUERY
    if asks is Operation.CONFIRM and claim.cancelled_at is not None:
        return Operation.QUERY
    return asks


async def _calls(
    conn: Connection,
    works: Sequence[tuple[RequestRow, Operation]],
    found: Mapping[UUID, ClaimRow],
    parts: Parts,
) -> list[tuple[Call, str]]:
    """Return what is to be said in attempts, and why it is not said, if it is not.

    Of the order it is what was ordered, whatever is asked.
    """
    requests = {request.request_id: request for request, _ in works}
    later = [r for r in requests.values() if r.operation is not Operation.ISSUE]
    pairs = [(r.member_id, r.claim_id) for r in later]
    asked = await orders.of_claims(conn, pairs) if pairs else {}
    for each in (r for of in asked.values() for r in of):
        requests.setdefault(each.request_id, each)
    issued = {r.claim_id: r for r in requests.values() if r.operation is Operation.ISSUE}
    calls = list[tuple[Call, str]]()
    for request, operation in works:
        order, claim = issued[request.claim_id], found[request.claim_id]
        use = requests[request.undoes] if request.undoes else request
        ordered, unsaid = _said(order, IssueRequest, parts)
        # What the provider gave for the member to show; empty while it gave nothing.
        redemption, (code, unread) = None, _opened(claim.code_sealed, parts)
        if use.operation is Operation.REDEEM:
            redemption, why = _said(use, Redemption, parts)
            unsaid = unsaid or why
        call = Call(
            number=order.number,
            operation=operation,
            request=ordered or IssueRequest(sku=order.sku, quantity=claim.wanted),
            own=request.number,
            reference=claim.provider_reference,
            code=(code or b"").decode(),
            redemption=redemption,
            undoes=use.number if request.undoes else "",
        )
        calls.append((call, unsaid or unread))
    return calls


def _said(request: RequestRow, type_: type[Said], parts: Parts) -> tuple[Said | None, str]:
    """Return what a request says, and why that is not said, if so; None if nobody can read it."""
    told, unread = _opened(request.body_sealed, parts)
    if told is None:
        return None, unread
    said = msgspec.json.decode(told, type=type_)
    return said, "" if is_said(told, said, request.body_hash) else CHANGED


def _opened(sealed: bytes | None, parts: Parts) -> tuple[bytes | None, str]:
    """Return what is sealed, nothing of nothing; None if it cannot be read, and why."""
    try:
        return parts.envelope.open(sealed) if sealed else b"", ""
    except EnvelopeBroken:
        assert sealed is not None, "nothing is never broken"
        return None, SHUT if parts.envelope.lacks_key(sealed) else CHANGED


async def _submit(writer: Writer, found: Iterable[ClaimRow], parts: Parts) -> None:
    """Mark held claims as submitted: from here on only the order's outcome ends their holds."""
    held = [claim for claim in found if claim.state is OrderState.HELD]
    now = parts.clock()
    for claim in held:
        claim.state = OrderState.SUBMITTED
        claim.deadline = None
        claim.changed_at = now
    await claims.update(writer, held)


async def record(conn: Connection, attempts: Sequence[Attempt], parts: Parts) -> Sequence[Attempt]:
    """Record what attempts learned and apply it, also what came after its lease.

    Returns those whose member somebody else holds: of them nothing is recorded yet.
    """
    with traces.each("deliver record", [a.work.request.traceparent for a in attempts]):
        return await _record(conn, attempts, parts)


async def _record(
    conn: Connection, attempts: Sequence[Attempt], parts: Parts
) -> Sequence[Attempt]:
    now = parts.clock()
    learned = list[Attempted]()
    for attempt in attempts:
        work = attempt.work
        sendable = _sendable(work, attempt.outcome)
        outcome = believed(
            sendable,
            sent_by=work.request.sent_by or now,
            now=now,
            grace_s=work.capabilities.not_found_grace_s,
            is_resent=work.call.operation is Operation.ISSUE and not is_first(work.request),
        )
        learned.append(
            Attempted(
                request=work.request,
                operation=work.call.operation,
                is_send=work.is_send and not isinstance(sendable, Rejected),
                is_changed=work.unsaid == CHANGED,
                came_to=(str(outcome.__struct_config__.tag), _evidence(outcome)),
                answer=Answer(
                    claim_id=work.request.claim_id,
                    operation=work.request.operation,
                    outcome=outcome,
                    actor=f"provider:{work.provider}",
                    asked_at=work.request.created_at,
                ),
            )
        )
    left = await resolve(conn, (), parts, attempts=learned)
    return [attempt for attempt in attempts if attempt.work.request.claim_id in left]


def _sendable(work: Work, outcome: Outcome) -> Outcome:
    """Return a refusal for a fault of ours as not sent, where the number can be sent again.

    The customer has no part in it: the order waits until the fault is mended (V-3).
    """
    issues = work.call.operation is Operation.ISSUE
    if issues and isinstance(outcome, Rejected) and outcome.keeps_nothing and fault_of(outcome):
        return NotSent(_evidence(outcome))
    return outcome


async def hear(conn: Connection, attempts: Sequence[Attempt], parts: Parts) -> list[Turned]:
    """Count what attempts tell of their providers; return the breakers that turned."""
    told = [((a.work.provider, a.work.request.sku), a.heard) for a in attempts if a.asked]
    return await gate.hear(conn, told, parts.clock())


def _evidence(outcome: Outcome) -> str:
    """Return what may be kept of an outcome: never a card code, never a recipient."""
    match outcome:
        case NotSent() | Unknown():
            return redacted(outcome.evidence)
        case Rejected():
            return f"{outcome.reason.value}: {outcome.code}"
        case Done() | Confirmed() | Used() | PartlyUsed() | Pending():
            return outcome.reference
        case Reversed() | Expired() | Revoked() | NotFound():
            return ""
