"""Callbacks come in: kept once, acknowledged after commit, worked off later (V-4)."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from benefits.actions.answers import Answer
from benefits.actions.parts import Parts
from benefits.actions.resolve import resolve
from benefits.domain.orders import Notice, Operation
from benefits.store import claims, inbox, orders
from benefits.store.claims import Case
from benefits.store.db import Connection
from benefits.store.inbox import Received


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was verified on its raw bytes."""

    provider: str
    notice: Notice
    raw: bytes


async def receive(conn: Connection, callbacks: Sequence[Callback], parts: Parts) -> int:
    """Keep callbacks and return how many are new; a known one is acknowledged all the same."""
    now = parts.clock()
    received = [
        Received(
            callback.provider,
            callback.notice.event_id,
            callback.notice.number,
            parts.envelope.seal(callback.raw),
            parts.envelope.seal(msgspec.json.encode(callback.notice)),
            now,
        )
        for callback in callbacks
    ]
    return await inbox.put(conn, received)


Waiting = tuple[str, str, bytes]


async def waiting(conn: Connection, *, buckets: tuple[int, int], limit: int) -> list[Waiting]:
    """Return the callbacks that nobody has worked off, oldest first."""
    return await inbox.waiting(conn, buckets, limit)


async def work_off(conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int) -> int:
    """Apply waiting callbacks, return how many; one for an unknown order opens a case."""
    taken = await inbox.waiting(conn, buckets, limit)
    await _apply(conn, parts, taken)
    return len(taken)


async def work_off_one(conn: Connection, parts: Parts, provider: str, event_id: str) -> None:
    """Apply one callback alone, unless somebody else does."""
    sealed = await inbox.take(conn, provider, event_id)
    if sealed is not None:
        await _apply(conn, parts, [(provider, event_id, sealed)])


async def give_up(conn: Connection, parts: Parts, provider: str, event_id: str) -> None:
    """Leave a callback that cannot be applied to a person; its raw body stays."""
    if await inbox.take(conn, provider, event_id) is not None:
        now = parts.clock()
        case = _case(parts, (provider, event_id), "callback_failed", "It could not be applied.")
        await claims.open_cases(conn, [case])
        await inbox.done(conn, [(provider, event_id)], now)


async def _apply(conn: Connection, parts: Parts, taken: Sequence[Waiting]) -> None:
    if not taken:
        return
    notices = [
        (provider, msgspec.json.decode(parts.envelope.open(sealed), type=Notice))
        for provider, _, sealed in taken
    ]
    numbers = {notice.number: _request_id(notice.number) for _, notice in notices}
    known = await orders.by_id(conn, sorted({id_ for id_ in numbers.values() if id_ is not None}))
    answers, cases = list[Answer](), list[Case]()
    for provider, notice in notices:
        id_ = numbers[notice.number]
        request = known.get(id_) if id_ is not None else None
        if request is None or request.provider != provider:
            detail = f"{provider} speaks of number {notice.number[:64]!r}."
            cases.append(_case(parts, (provider, notice.event_id), "unknown_order", detail))
            continue
        answers.append(
            Answer(
                claim_id=request.claim_id,
                operation=Operation.ISSUE,
                outcome=notice.outcome,
                actor=f"provider:{provider}",
            )
        )
    await resolve(conn, answers, parts)
    await claims.open_cases(conn, cases)
    await inbox.done(
        conn, [(provider, event_id) for provider, event_id, _ in taken], parts.clock()
    )


def _case(parts: Parts, callback: tuple[str, str], kind: str, detail: str) -> Case:
    now = parts.clock()
    case_id = parts.new_id(now, inbox.bucket(*callback))
    return Case(case_id, None, None, kind, detail, now)


def _request_id(number: str) -> UUID | None:
    try:
        id_ = UUID(hex=number)
    except ValueError:
        return None
    return id_ if id_.hex == number else None
