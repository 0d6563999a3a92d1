"""Record what time has done: welcomes, ends of relationships, lots, unsent holds, unused orders.

(M-8, T-10, L-5, L-6, V-5.) Orders that nothing was heard of become a person's (V-3). What came
free of members who were merged goes to whom they were merged into.

Availability never waits for this: it is computed with `now < expires_at`. The sweep is idempotent,
resumable and may be split by buckets; a late run records the same effective history.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import msgspec

from benefits.actions.answers import Answer, Attempted, unsent
from benefits.actions.end_members import end_relationships
from benefits.actions.merge_members import move_left
from benefits.actions.parts import Parts
from benefits.actions.resolve import resolve
from benefits.actions.welcome_members import welcome_members
from benefits.domain import ledger
from benefits.domain.catalogue import Catalogue
from benefits.domain.lattice import Lapsed
from benefits.domain.orders import (
    USABLE,
    Expired,
    NotSent,
    Operation,
    OrderState,
    Outcome,
    Unknown,
    patience,
)
from benefits.domain.values import local_date
from benefits.store import claims, endings, members, merged, unheard, welcomes
from benefits.store import ledger as books
from benefits.store import orders as requests
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection, Database
from benefits.store.ledger import Journal

PAGE = 1000
NOT_ASKED = NotSent("its provider could not be asked")
NOTHING_HEARD = Unknown(NOT_ASKED.evidence)
UNHEARD = frozenset({OrderState.SUBMITTED, OrderState.PENDING, OrderState.UNKNOWN})
LANES = 2  # pages at a time: one is decided while the database writes the other
AT_ONCE = 200  # lots decided before others have their turn

Buckets = tuple[int, int]
Still = Callable[[Connection, list[UUID]], Awaitable[list[UUID]]]


class Seen(msgspec.Struct, frozen=True):
    """How many of a page's lots or claims were seen, and how many others hold at the moment."""

    seen: int = 0
    busy: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether there may be more behind a full page of which something was done."""
        return self.seen > 0 and self.seen + self.busy == PAGE


Step = Callable[[Connection, Buckets], Awaitable[Seen]]


class Swept(msgspec.Struct, frozen=True):
    """How far a sweep has come: lots and claims it has seen, and lots that had ended at first.

    `members` are those whose relationship ended and was carried out, or a part of it, those
    who were merged and whose units had come free since, and those whose welcome began or ended.
    """

    lots: int
    claims: int
    ended: int
    members: int = 0


async def sweep(database: Database, parts: Parts, *, buckets: Buckets) -> AsyncIterator[Swept]:
    """Record all that time has done in a range of buckets, page by page; yield how far it is.

    Each page is a transaction, so a sweep that was killed goes on where it ended. What is of a
    member whom somebody else holds is left to the next sweep, as are two at once to each other.
    """

    async def count(conn: Connection) -> int:
        return await books.count_ended(conn, buckets, parts.clock())

    left, ends, new, lots, *orders = _steps(parts)
    swept = Swept(0, 0, await database.transact(count))
    for step in (left, ends, new):
        async for seen in _pages(database, step, buckets):
            swept = msgspec.structs.replace(swept, members=swept.members + seen)
            yield swept
    async for seen in _pages(database, lots, buckets):
        swept = msgspec.structs.replace(swept, lots=swept.lots + seen)
        yield swept
    for step in orders:
        async for seen in _pages(database, step, buckets):
            swept = msgspec.structs.replace(swept, claims=swept.claims + seen)
            yield swept


async def sweep_some(database: Database, parts: Parts, *, buckets: Buckets) -> int:
    """Record the next of what time has done; return how many lots and claims were seen."""
    pages = [await _at_once(database, step, _lanes(buckets)) for step in _steps(parts)]
    return sum(one.seen for page in pages for one in page)


def _steps(parts: Parts) -> tuple[Step, ...]:
    async def left(conn: Connection, lane: Buckets) -> Seen:
        return Seen(*await move_left(conn, parts, buckets=lane, limit=PAGE))

    async def ends(conn: Connection, lane: Buckets) -> Seen:
        return Seen(*await end_relationships(conn, parts, buckets=lane, limit=PAGE))

    async def new(conn: Connection, lane: Buckets) -> Seen:
        return Seen(*await welcome_members(conn, parts, buckets=lane, limit=PAGE))

    async def lots(conn: Connection, lane: Buckets) -> Seen:
        return await expire_lots(conn, parts, buckets=lane, limit=PAGE)

    async def holds(conn: Connection, lane: Buckets) -> Seen:
        return await lapse_holds(conn, parts, buckets=lane, limit=PAGE)

    async def uses(conn: Connection, lane: Buckets) -> Seen:
        return await end_unused(conn, parts, buckets=lane, limit=PAGE)

    async def silent(conn: Connection, lane: Buckets) -> Seen:
        return await give_up_orders(conn, parts, buckets=lane, limit=PAGE)

    async def rests(conn: Connection, lane: Buckets) -> Seen:
        return await give_up_rests(conn, parts, buckets=lane, limit=PAGE)

    async def unsaid(conn: Connection, lane: Buckets) -> Seen:
        return await give_up_requests(conn, parts, buckets=lane, limit=PAGE)

    return left, ends, new, lots, holds, uses, silent, rests, unsaid


async def due(database: Database, parts: Parts, *, buckets: Buckets) -> Swept:
    """Return what a sweep of a range of buckets would see now; nothing is recorded."""
    async with database.transaction() as conn:
        now = parts.clock()
        lots = await books.count_ended(conn, buckets, now)
        today = local_date(now, (await parts.catalogue.current(conn)).zone)
        ends = await endings.count_due(conn, buckets, today)
        ends += await merged.count_left(conn, buckets, today)
        ends += await welcomes.count_due(conn, buckets, today)
        orders = await claims.count_overdue(conn, buckets, now)
        orders += await claims.count_unused(conn, buckets, now)
        benefits, providers = _unheard_since(await parts.catalogue.current(conn), now)
        orders += await unheard.count_orders(conn, buckets, benefits)
        orders += await unheard.count_rests(conn, buckets, now)
        orders += await unheard.count_requests(conn, buckets, providers, now)
        return Swept(lots, orders, lots, ends)


async def _pages(database: Database, step: Step, buckets: Buckets) -> AsyncIterator[int]:
    """Repeat a step in all lanes until it sees less than a page in each."""
    left = _lanes(buckets)
    while left:
        seen = await _at_once(database, step, left)
        yield sum(one.seen for one in seen)
        left = [lane for lane, one in zip(left, seen, strict=True) if one.goes_on]


def _lanes(buckets: Buckets) -> list[Buckets]:
    """Split a range of buckets; no member lies in two of its parts."""
    first, last = buckets
    edges = sorted({first + (last + 1 - first) * n // LANES for n in range(LANES + 1)})
    return [(one, other - 1) for one, other in pairwise(edges)]


async def _at_once(database: Database, step: Step, lanes: Sequence[Buckets]) -> list[Seen]:
    """Take a step in each lane, each in a transaction of its own."""

    async def take(lane: Buckets) -> Seen:
        async def work(conn: Connection) -> Seen:
            return await step(conn, lane)

        return await database.transact(work)

    return await asyncio.gather(*map(take, lanes))


async def expire_lots(conn: Connection, parts: Parts, *, buckets: Buckets, limit: int) -> Seen:
    """Expire the unspent rest of ended lots as of their end; those of busy members wait.

    Each lot is seen once: what still comes back to it later ends at once (L-6).
    """
    found = await books.ended_lots(conn, buckets, parts.clock(), limit)
    if not found:
        return Seen()
    locked = await members.lock(conn, {member_id for member_id, _ in found}, wait=False)
    free = sorted({lot_id for member_id, lot_id in found if member_id in locked})
    now = parts.clock()
    journal = Journal(locked, now, parts.new_id)
    offers = await parts.catalogue.current(conn)
    lots = await books.lots_by_id(conn, free)
    journal.load(lots)
    ordered = sorted(lots, key=lambda pair: (pair[0], ledger.fefo(pair[1])))
    for place, (member_id, lot) in enumerate(ordered, 1):
        if place % AT_ONCE == 0:
            await asyncio.sleep(0)
        if not lot.ended(now):
            continue
        journal.end_lot(lot.lot_id)
        postings = ledger.expire(lot)
        if postings:
            journal.post(
                member_id,
                "entitlement.expired",
                postings,
                actor="system:expire",
                subject_id=lot.lot_id,
                data={
                    "unit": lot.unit,
                    "quantity": offers.whole(lot.unit, postings[0].amount),
                },
                effective_at=lot.expires_at,
            )
    await journal.write(conn)
    return Seen(len(free), len(found) - len(free))


async def end_unused(conn: Connection, parts: Parts, *, buckets: Buckets, limit: int) -> Seen:
    """End orders that were not used in time, or missed; those of busy members wait (P-9, V-10)."""

    def end(claim: ClaimRow, _: datetime) -> Outcome | None:
        until = claim.booked_for or claim.use_until
        return Expired(at=until) if until is not None and claim.state in USABLE else None

    found = await claims.unused(conn, buckets, parts.clock(), limit)
    # What is told to be used now does not end.
    return await _answer(conn, parts, found, end, still=claims.still_unused)


async def lapse_holds(conn: Connection, parts: Parts, *, buckets: Buckets, limit: int) -> Seen:
    """Release claims that were never sent before their deadline; those of busy members wait."""

    def end(claim: ClaimRow, now: datetime) -> Lapsed | None:
        # What was sent meanwhile has no deadline any more.
        return Lapsed() if claim.deadline is not None and claim.deadline <= now else None

    found = await claims.overdue(conn, buckets, parts.clock(), limit)
    return await _answer(conn, parts, found, end)


async def give_up_orders(conn: Connection, parts: Parts, *, buckets: Buckets, limit: int) -> Seen:
    """Leave orders to people of which nothing was heard; those of busy members wait (V-3).

    The provider may not have been asked at all, behind a breaker or a pause. What waits for that
    goes on waiting: an answer still decides.
    """
    since, _ = _unheard_since(await parts.catalogue.current(conn), parts.clock())

    def end(claim: ClaimRow, _: datetime) -> Outcome | None:
        is_silent = claim.state in UNHEARD and claim.changed_at <= since[claim.benefit]
        return NOTHING_HEARD if is_silent else None

    found = await unheard.orders(conn, buckets, since, limit)
    return await _answer(conn, parts, found, end, is_last=True)


async def give_up_rests(conn: Connection, parts: Parts, *, buckets: Buckets, limit: int) -> Seen:
    """Leave to people what never came of orders that came in part; busy members' wait (V-3, V-5).

    What waits for its provider goes on waiting: what it says still counts.
    """

    def end(claim: ClaimRow, now: datetime) -> Outcome | None:
        is_over = claim.rest_until is not None and claim.rest_until <= now
        return NOTHING_HEARD if is_over else None

    found = await unheard.rests(conn, buckets, parts.clock(), limit)
    return await _answer(conn, parts, found, end, is_last=True)


async def _answer(
    conn: Connection,
    parts: Parts,
    found: Sequence[tuple[UUID, UUID]],
    end: Callable[[ClaimRow, datetime], Outcome | Lapsed | None],
    *,
    is_last: bool = False,
    still: Still | None = None,
) -> Seen:
    """Answer claims, of (member, claim), as `end` says of each when its member is locked.

    Left are those of busy members, those that `still` no longer names, and those whose member was
    merged into a busy one.
    """
    if not found:
        return Seen()
    locked = await members.lock(conn, {member_id for member_id, _ in found}, wait=False)
    free, now = [claim_id for member_id, claim_id in found if member_id in locked], parts.clock()
    if still is not None:
        free = await still(conn, free)
    answers = [
        Answer(
            claim_id=claim.claim_id,
            operation=Operation.ISSUE,
            outcome=outcome,
            actor="system:expire",
            is_last=is_last,
        )
        for claim in (await claims.by_id(conn, free)).values()
        if (outcome := end(claim, now)) is not None
    ]
    seen = len(free) - len(await resolve(conn, answers, parts))
    return Seen(seen, len(found) - seen)


async def give_up_requests(
    conn: Connection, parts: Parts, *, buckets: Buckets, limit: int
) -> Seen:
    """Leave to people what was asked about orders and not heard of; busy members' waits (V-3).

    A use that never left is told no more; nobody need look at it.
    """
    now = parts.clock()
    _, since = _unheard_since(await parts.catalogue.current(conn), now)
    found = await unheard.requests(conn, buckets, since, now, limit=limit)
    if not found:
        return Seen()
    locked = await members.lock(conn, {member_id for member_id, _ in found}, wait=False)
    free = [request_id for member_id, request_id in found if member_id in locked]
    waiting = [
        request
        for request in (await requests.by_id(conn, free)).values()
        if request.next_at is not None
        and (request.leased_until is None or request.leased_until <= now)
    ]
    untold = [r for r in waiting if r.operation is Operation.REDEEM and r.sent_by is None]
    await requests.schedule(conn, [unsent(request) for request in untold])
    attempts = [
        Attempted(
            request=request,
            operation=Operation.QUERY,
            answer=Answer(
                claim_id=request.claim_id,
                operation=request.operation,
                outcome=NOT_ASKED,
                actor="system:expire",
                is_last=True,
            ),
            came_to=None,
        )
        for request in waiting
        if request not in untold
    ]
    seen = len(free) - len(await resolve(conn, (), parts, attempts=attempts))
    return Seen(seen, len(found) - seen)


def _unheard_since(
    catalogue: Catalogue, now: datetime
) -> tuple[dict[str, datetime], dict[str, datetime]]:
    """Return since when nothing may have been heard, by benefit, and by provider."""
    providers = {code: now - patience(able) for code, able in catalogue.capabilities.items()}
    offers = catalogue.offers.items()
    return {code: providers[benefit.provider] for code, (_, benefit) in offers}, providers
