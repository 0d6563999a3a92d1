"""Callbacks come in: kept once, acknowledged after commit, worked off later (V-4)."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec

from benefits import measures, traces
from benefits.actions.answers import Answer
from benefits.actions.hints import ask_now
from benefits.actions.parts import Parts
from benefits.actions.resolve import resolve
from benefits.domain.orders import Callbacks, Notice, Operation
from benefits.store import claims, inbox, orders
from benefits.store.claims import Case
from benefits.store.db import Connection
from benefits.store.inbox import Received, Waiting

# A provider may call back by its own reference before our call has told us that.
UNKNOWN_FOR = timedelta(minutes=10)
LOOK_AGAIN = timedelta(seconds=10)


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was verified on its raw bytes."""

    provider: str
    notice: Notice
    raw: bytes
    traceparent: str = msgspec.field(default_factory=traces.place)

    @property
    def sender(self) -> str:
        """Whose callbacks stand alone when one of them fails."""
        return self.provider


async def receive(
    conn: Connection,
    callbacks: Sequence[Callback],
    parts: Parts,
    *,
    wait: bool = False,  # noqa: ARG001 - what a group says to its action; here no member is locked
) -> list[bool]:
    """Keep callbacks, and say of each whether it is new; a known one is acknowledged as well."""
    now = parts.clock()
    with traces.each("callback keep", await _places(conn, callbacks)) as places:
        received = [
            Received(
                callback.provider,
                callback.notice.event_id,
                callback.notice.number or callback.notice.reference,
                parts.envelope.seal(callback.raw),
                parts.envelope.seal(msgspec.json.encode(callback.notice)),
                now,
                place,
            )
            for callback, place in zip(callbacks, places, strict=True)
        ]
        new = await inbox.put(conn, received)
    outcomes = list[bool]()
    for callback in callbacks:  # of one that came twice at once, the first is new
        place = (callback.provider, callback.notice.event_id)
        outcomes.append(place in new)
        new.discard(place)
    return outcomes


async def _places(conn: Connection, callbacks: Sequence[Callback]) -> list[str]:
    """Return in which traces the callbacks' orders were placed; looked up only for traces."""
    numbers = [_request_id(callback.notice.number) for callback in callbacks]
    wanted = sorted({id_ for id_ in numbers if id_ is not None}) if traces.on() else []
    known = await orders.by_id(conn, wanted) if wanted else {}
    return [
        known[id_].traceparent
        if id_ in known and known[id_].provider == callback.provider
        else callback.traceparent
        for id_, callback in zip(numbers, callbacks, strict=True)
    ]


async def waiting(
    conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> list[Waiting]:
    """Return the callbacks that nobody has worked off, oldest first."""
    return await inbox.waiting(conn, buckets, parts.clock(), limit)


async def work_off(conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int) -> int:
    """Apply waiting callbacks, return how many; one for an unknown order opens a case.

    One of what we never order there is another's, and opens none. One whose member somebody else
    holds waits on.
    """
    taken = await inbox.waiting(conn, buckets, parts.clock(), limit)
    return await _apply(conn, parts, taken)


async def work_off_one(conn: Connection, parts: Parts, provider: str, event_id: str) -> None:
    """Apply one callback alone, unless somebody else does."""
    one = await inbox.take(conn, provider, event_id)
    if one is not None:
        await _apply(conn, parts, [one])


async def give_up(conn: Connection, parts: Parts, provider: str, event_id: str) -> None:
    """Leave a callback that cannot be applied to a person; its raw body stays."""
    if await inbox.take(conn, provider, event_id) is not None:
        now = parts.clock()
        case = _case(parts, (provider, event_id), "callback_failed", "It could not be applied.")
        await claims.open_cases(conn, [case])
        await inbox.done(conn, [(provider, event_id)], now)


async def _apply(conn: Connection, parts: Parts, taken: Sequence[Waiting]) -> int:
    if not taken:
        return 0
    with traces.each("callback apply", [one.traceparent for one in taken]):
        return await _apply_all(conn, parts, taken)


async def _apply_all(conn: Connection, parts: Parts, taken: Sequence[Waiting]) -> int:
    now, catalogue = parts.clock(), await parts.catalogue.current(conn)
    able = catalogue.capabilities
    notices = [
        msgspec.json.decode(parts.envelope.open(one.notice_sealed), type=Notice) for one in taken
    ]
    found = await _claims(conn, taken, notices)
    answers, strangers = list[Answer](), set[tuple[str, str]]()
    hints, waiting_on = set[UUID](), set[tuple[str, str]]()
    for one, notice in zip(taken, notices, strict=True):
        claim_id = found.get((one.provider, one.event_id))
        if claim_id is None and not notice.number and now - one.received_at < UNKNOWN_FOR:
            waiting_on.add((one.provider, one.event_id))
        elif claim_id is None and notice.sku and (one.provider, notice.sku) not in catalogue.skus:
            measures.CALLBACKS.labels(one.provider, "of_others").inc()
        elif claim_id is None:
            strangers.add((one.provider, (notice.number or notice.reference)[:64]))
        elif one.provider in able and able[one.provider].callbacks is not Callbacks.AUTHORITATIVE:
            hints.add(claim_id)
        else:
            answers.append(
                Answer(
                    claim_id=claim_id,
                    operation=Operation.ISSUE,
                    outcome=notice.outcome,
                    actor=f"provider:{one.provider}",
                )
            )
    left = await resolve(conn, answers, parts) | await ask_now(conn, hints, parts)
    await _ask_about(conn, parts, sorted(strangers))
    places = [(one.provider, one.event_id) for one in taken]
    done = [p for p in places if found.get(p) not in left and p not in waiting_on]
    await inbox.done(conn, done, now)
    await inbox.later(conn, sorted(waiting_on), now + LOOK_AGAIN)
    return len(done)


async def _claims(
    conn: Connection, taken: Sequence[Waiting], notices: Sequence[Notice]
) -> dict[tuple[str, str], UUID]:
    """Return the claims that callbacks speak of, by (provider, event id): of the one asked."""
    numbers = {notice.number: _request_id(notice.number) for notice in notices if notice.number}
    known = await orders.asked(conn, sorted({id_ for id_ in numbers.values() if id_ is not None}))
    named = {
        (one.provider, notice.reference)
        for one, notice in zip(taken, notices, strict=True)
        if not notice.number and notice.reference
    }
    referred = await orders.referred(conn, sorted(named)) if named else {}
    found = dict[tuple[str, str], UUID]()
    for one, notice in zip(taken, notices, strict=True):
        place, id_ = (one.provider, one.event_id), numbers.get(notice.number)
        if id_ in known and known[id_][0] == one.provider:
            found[place] = known[id_][1]
        elif not notice.number and (one.provider, notice.reference) in referred:
            found[place] = referred[one.provider, notice.reference]
    return found


async def _ask_about(conn: Connection, parts: Parts, strangers: Sequence[tuple[str, str]]) -> None:
    """Open a case about each (provider, number) nobody knows, unless one is open."""
    cases = [
        _case(parts, one, "unknown_order", f"{one[0]} speaks of number {one[1]!r}.")
        for one in strangers
    ]
    await claims.open_cases(conn, await claims.not_open(conn, cases))


def _case(parts: Parts, about: tuple[str, str], kind: str, detail: str) -> Case:
    """Return a case about a (provider, event id) or (provider, number), placed by it."""
    now = parts.clock()
    case_id = parts.new_id(now, inbox.bucket(*about))
    return Case(case_id, None, None, kind, detail, now)


def _request_id(number: str) -> UUID | None:
    try:
        id_ = UUID(hex=number)
    except ValueError:
        return None
    return id_ if id_.hex == number else None
