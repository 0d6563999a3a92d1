"""Callbacks come in: kept once, acknowledged after commit, worked off later (V-4)."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from benefits.actions.parts import Parts
from benefits.actions.resolve import Answer, resolve
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


async def work_off(conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int) -> int:
    """Apply waiting callbacks, return how many; one for an unknown order opens a case."""
    waiting = [
        (provider, msgspec.json.decode(parts.envelope.open(sealed), type=Notice))
        for provider, sealed in await inbox.waiting(conn, buckets, limit)
    ]
    if not waiting:
        return 0
    numbers = {notice.number: _request_id(notice.number) for _, notice in waiting}
    known = await orders.by_id(conn, sorted({id_ for id_ in numbers.values() if id_ is not None}))
    answers, unknown = list[Answer](), list[tuple[str, Notice]]()
    for provider, notice in waiting:
        id_ = numbers[notice.number]
        request = known.get(id_) if id_ is not None else None
        if request is None or request.provider != provider:
            unknown.append((provider, notice))
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
    now = parts.clock()
    await claims.open_cases(
        conn,
        [
            Case(
                parts.new_id(now, inbox.bucket(provider, notice.event_id)),
                None,
                None,
                "unknown_order",
                f"{provider} speaks of number {notice.number[:64]!r}.",
                now,
            )
            for provider, notice in unknown
        ],
    )
    await inbox.done(conn, [(provider, notice.event_id) for provider, notice in waiting], now)
    return len(waiting)


def _request_id(number: str) -> UUID | None:
    try:
        id_ = UUID(hex=number)
    except ValueError:
        return None
    return id_ if id_.hex == number else None
