"""Serve those who wait for room, the first of each queue first (K-1, K-8).

A wait and its claim, which is one like any other under a key made of the wait, are written
together, so that a stop in between claims nothing twice. Of a queue only the first are tried, as
far as the room goes: whoever finds none keeps all behind back. Several workers serve at once: who
holds the member of the first has the queue.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from uuid import UUID

import msgspec

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.close_waits import close_waits
from benefits.actions.keyed import Accepted, Decided
from benefits.actions.parts import Parts
from benefits.actions.waiting import Asked
from benefits.actions.wishes import Terms
from benefits.domain import entitlement, limits
from benefits.domain.catalogue import Catalogue
from benefits.domain.ledger import Lot
from benefits.domain.limits import Counted, Dimension, Limit, Place, Scope
from benefits.domain.refusal import Refusal
from benefits.domain.waits import Reason, Turn, WaitOver
from benefits.store import counters, members, waits
from benefits.store import ledger as books
from benefits.store.counters import Kept, SharedCounter
from benefits.store.db import Busy, Connection, Database
from benefits.store.waits import Ended, Head, Pending

CALLER = "system:waiting"


class _Spot(msgspec.Struct, frozen=True):
    """Where the first of a queue waits: by which terms, at which limit, in which window."""

    terms: Terms
    limit: Limit
    place: Place


class _Queue(msgspec.Struct, frozen=True):
    """A queue whose first may be served: so many of it may find room."""

    name: str
    most: int


async def serve_waits(
    database: Database, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> int:
    """End waits whose time is over in a range of buckets, and serve all queues with room.

    Return how many waits came to an end. Members whom somebody else holds are left to the next
    time. A queue that fails keeps no other back.
    """

    async def over(conn: Connection) -> int:
        return await _end_over(conn, parts, buckets, limit)

    async def own(conn: Connection) -> int:
        return await _serve_own(conn, parts, buckets, limit)

    async def ready(conn: Connection) -> list[_Queue]:
        return await _ready(conn, parts, limit)

    ended, failed = 0, None
    ended += await database.transact(over) + await database.transact(own)
    for queue in await database.transact(ready):

        async def first(conn: Connection, queue: _Queue = queue) -> int:
            return await _serve_queue(conn, parts, queue)

        try:
            ended += await database.transact(first)
        except Exception as error:  # noqa: BLE001 - it is raised once the others are served
            failed = error
    if failed is not None:
        raise failed
    return ended


async def _end_over(conn: Connection, parts: Parts, buckets: tuple[int, int], limit: int) -> int:
    """End waits whose time is over."""
    found = await waits.due(conn, buckets, parts.clock(), limit)
    ids = await _ours(conn, [(member_id, id_) for member_id, id_, is_over in found if is_over])
    pending, now = await waits.still(conn, ids), parts.clock()
    over = [one for one in pending if one.ends_at is not None and one.ends_at <= now]
    await close_waits(conn, [Ended(wait=one, reason=Reason.OVER) for one in over], parts)
    return len(over)


async def _serve_own(conn: Connection, parts: Parts, buckets: tuple[int, int], limit: int) -> int:
    """Try claims for which members' own room opens."""
    found = await waits.due(conn, buckets, parts.clock(), limit)
    ids = await _ours(conn, [(member_id, id_) for member_id, id_, is_over in found if not is_over])
    pending = await waits.still(conn, ids)
    return await _serve(conn, parts, [one for one in pending if not one.queue])


async def _serve_queue(conn: Connection, parts: Parts, queue: _Queue) -> int:
    """Try the claims of the first in a queue, up to one whose member somebody else holds."""
    found = await waits.first(conn, queue.name, queue.most)
    ours = set(await _ours(conn, found))
    first = takewhile(ours.__contains__, [wait_id for _, wait_id in found])
    pending = await waits.still(conn, list(first))
    return await _serve(conn, parts, [one for one in pending if one.queue == queue.name])


async def _ours(conn: Connection, found: Sequence[tuple[UUID, UUID]]) -> list[UUID]:
    """Hold the members of waits, and return the waits of those that nobody else holds."""
    if not found:
        return []
    ids = {member_id for member_id, _ in found}
    locked, moved = await members.lock_current(conn, ids, wait=False)
    return [wait_id for member_id, wait_id in found if member_id in locked or member_id in moved]


async def _serve(conn: Connection, parts: Parts, pending: Sequence[Pending]) -> int:
    """Claim for those who wait, in this order; who finds no room waits on."""
    if not pending:
        return 0
    commands = [_command(one, parts) for one in pending]
    outcomes = await claim(conn, commands, parts, wait=False)
    ended = [
        _ended(one, said)
        for one, said in zip(pending, outcomes, strict=True)
        if not isinstance(said, Busy)
    ]
    await close_waits(conn, ended, parts)
    return len(ended)


def _command(one: Pending, parts: Parts) -> ClaimUnits:
    asked = msgspec.json.decode(parts.envelope.open(one.body_sealed), type=Asked)
    return ClaimUnits(
        caller=CALLER,
        key=one.wait_id.hex,
        member_id=one.member_id,
        benefit=one.benefit,
        quantity=asked.quantity,
        companions=asked.companions,
        recipient=asked.recipient,
        channel=asked.channel,
        booked_for=asked.booked_for,
        waits=True,
        turn=Turn(one.wait_id, one.queue, one.ends_at),
    )


def _ended(one: Pending, said: Decided | Refusal) -> Ended:
    if isinstance(said, Accepted):
        return Ended(wait=one, reason=Reason.SERVED, claim_id=UUID(said.ids["claim_id"]))
    if said.code == WaitOver.code:
        return Ended(wait=one, reason=Reason.OVER)
    return Ended(wait=one, reason=Reason.REFUSED, refusal=said.code)


async def _ready(conn: Connection, parts: Parts, page: int) -> list[_Queue]:
    """Return the queues whose first may find room; nothing is locked for that."""
    heads = await waits.heads(conn)
    if not heads:
        return []
    catalogue, now = await parts.catalogue.current(conn), parts.clock()
    spots = {head.queue: _spot(catalogue, head, now) for head in heads}
    keys = {(spot.place.counter, spot.place.window) for spot in spots.values() if spot}
    there = await counters.read(conn, keys)
    units = [(head.member_id, spot.terms.unit) for head in heads if (spot := spots[head.queue])]
    lots = await books.lots_of(conn, units, now)
    found = list[_Queue]()
    for head in heads:
        spot = spots[head.queue]
        tried = page if spot is None else _tried(spot, there, _counts(head, spot, lots), page)
        found.append(_Queue(head.queue, tried))
    return [queue for queue in found if queue.most > 0]


def _counts(head: Head, spot: _Spot, lots: Iterable[tuple[UUID, Lot]]) -> Counted:
    """Return what counts of the claim of the first in a queue: units of a make-good do not."""
    terms = spot.terms
    units = entitlement.capped_units(
        [lot for id_, lot in lots if id_ == head.member_id and lot.unit == terms.unit],
        head.quantity * terms.piece,
        terms.now,
    )
    return Counted(units, terms.piece, terms.piece_cost)


def _spot(catalogue: Catalogue, head: Head, now: datetime) -> _Spot | None:
    """Return where the first of a queue waits now; None where nobody can wait there any more."""
    if head.benefit not in catalogue.offers:
        return None
    terms = Terms.of(*catalogue.offers[head.benefit], now)
    programme = terms.programme
    limit = next((one for one in terms.limits if one.code == head.limit), None)
    if limit is None:
        return None
    served = {Scope.BENEFIT: terms.benefit.code, Scope.PROVIDER: terms.benefit.provider}
    of = served.get(limit.scope, head.of)
    place = limits.place(limit, now, terms.today, programme=programme.code, of=of)
    return _Spot(terms, limit, place) if limit.queue(place) == head.queue else None


def _tried(spot: _Spot, there: Mapping[SharedCounter, Kept], counts: Counted, page: int) -> int:
    """Return how many of a queue to try: none where there is no room for the first of them."""
    most = spot.terms.programme.most(spot.limit)
    free = most - there.get((spot.place.counter, spot.place.window), Kept()).use.taken
    wanted = counts.of(spot.limit.dimension)
    if wanted > most:
        return 1  # it never fits in: its claim is refused, and the next one is the first
    if wanted > free:
        return 0
    return max(1, min(page, free)) if spot.limit.dimension is Dimension.COUNT else page
