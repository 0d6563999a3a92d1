"""End waits, and tell it: by their claims, by the member's word, by their time (K-1)."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from benefits.actions.keyed import Accepted, Decided, once
from benefits.actions.parts import Parts
from benefits.actions.queues import queue_key
from benefits.domain.entitlement import CounterUse
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.waits import Reason, UnknownWait, WaitOver
from benefits.store import counters, members, merged, waits
from benefits.store.counters import Change
from benefits.store.db import Connection, run
from benefits.store.ledger import Journal
from benefits.store.requests import RequestKey
from benefits.store.waits import Ended

OPERATION = "stop_waiting"
PATIENCE = "SET LOCAL lock_timeout = '2s'"


class StopWaiting(msgspec.Struct, frozen=True, kw_only=True):
    """A member's wish to wait no longer."""

    caller: str
    key: str
    member_id: UUID
    wait_id: UUID


async def close_waits(conn: Connection, ended: Sequence[Ended], parts: Parts) -> None:
    """End waits whose members are held; no counter is locked but those of their queues."""
    if not ended:
        return
    queued = Counter(one.wait.queue for one in ended if one.wait.queue)
    keys = {queue_key(queue): -count for queue, count in queued.items()}
    if keys:
        await counters.lock(conn, keys)
        await counters.add(conn, {key: Change(CounterUse(less)) for key, less in keys.items()})
    ids = {one.wait.member_id for one in ended}
    locked = await members.lock(conn, ids, wait=True)  # as their claims left them
    journal = Journal(locked, parts.clock(), parts.new_id)
    await waits.end(conn, ended, journal.now)
    for one in ended:
        told = {"refusal": one.refusal, "claim_id": one.claim_id}
        journal.event(
            one.wait.member_id,
            "wait.ended",
            subject_id=one.wait.wait_id,
            data={
                "benefit": one.wait.benefit,
                "quantity": one.wait.quantity,
                "programme": one.wait.programme,
                "reason": one.reason,
                **{name: value for name, value in told.items() if value},
            },
        )
    await journal.write(conn)


async def stop_waiting(conn: Connection, command: StopWaiting, parts: Parts) -> Decided | Refusal:
    """End a wait by its member's word (UnknownWait, WaitOver).

    Whoever was merged into the member is the member.
    """
    await run(conn, PATIENCE)
    owner = await waits.member_of(conn, command.wait_id)
    if owner is not None:
        await members.lock(conn, [owner], wait=True)

    async def work() -> Accepted | Refusal:
        if owner is None:
            return UnknownWait()
        person = await merged.current(conn, [owner, command.member_id])
        if person.get(owner, owner) != person.get(command.member_id, command.member_id):
            return UnknownWait()
        found = await waits.still(conn, [command.wait_id])
        if not found:
            return WaitOver()
        await close_waits(conn, [Ended(wait=found[0], reason=Reason.CANCELLED)], parts)
        return Accepted({"wait_id": str(command.wait_id)})

    key = RequestKey.placed(command.caller, OPERATION, command.key)
    body = body_hash([command.member_id.hex, command.wait_id.hex])
    return await once(conn, key, body, parts, work=work)
