"""The feed of events: nothing skipped, nothing twice, each member's own order kept."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest

from benefits.domain.values import bucket_of
from benefits.store import feed, members
from benefits.store.db import Connection, run
from benefits.store.feed import CursorLost, EventsUnordered, FedEvent, Page, Place
from benefits.store.ledger import Journal
from tests.actions import life
from tests.builders import World

DATA = {"benefit": "VIDEO", "quantity": 1}


async def tell(conn: Connection, world: World, member: UUID, *kinds: str) -> None:
    """Record events of a member in a transaction that somebody else ends."""
    locked = await members.lock(conn, [member], wait=True)
    journal = Journal(locked, world.clock(), world.parts.new_id)
    for kind in kinds:
        journal.event(member, kind, subject_id=None, data=DATA)
    await journal.write(conn)


async def read(
    world: World,
    after: Place | None = None,
    *,
    limit: int = 100,
    types: list[str] | None = None,
    scan: int = feed.SCANNED_MAX,
) -> Page:
    """Read a page."""
    async with world.database.transaction() as conn:
        return await feed.page(conn, after, limit=limit, types=types, scan=scan)


def keys(events: list[FedEvent]) -> list[tuple[UUID, int]]:
    """Return (member, sequence) of events."""
    return [(event.member_id, event.seq) for event in events]


async def outbox(world: World) -> list[tuple[UUID, int]]:
    """Return (member, sequence) of all events in the order of the feed."""
    sql = "SELECT member_id, seq FROM outbox ORDER BY position, bucket, member_id, seq"
    return [(row.member_id, row.seq) for row in await world.rows(sql)]


@asynccontextmanager
async def transaction(world: World) -> AsyncIterator[Connection]:
    """Open a transaction on a connection of its own; commit at the end."""
    async with world.database.transaction() as conn:
        yield conn


async def test_an_earlier_transaction_that_commits_later_is_not_skipped(world: World) -> None:
    """What was written behind an open write waits for it; then both come, in order, once."""
    early, late = await world.members(2)
    async with transaction(world) as slow:
        await tell(slow, world, early, "claim.placed")
        async with transaction(world) as quick:
            await tell(quick, world, late, "order.issued")
        first = await read(world)
        assert ([], False) == (first.events, first.more)
        filtered = await read(world, types=["order.issued"])
        assert [] == filtered.events
    second = await read(world, first.place)
    assert [(early, 1), (late, 1)] == keys(second.events)
    assert [(late, 1)] == keys((await read(world, filtered.place, types=["order.issued"])).events)
    assert [] == (await read(world, second.place)).events


async def test_a_member_keeps_its_order_when_an_older_transaction_writes_last(
    world: World,
) -> None:
    """A transaction that began first and gets the member last does not come before the other."""
    member = await world.member()
    async with transaction(world) as old:
        await run(old, "SELECT pg_current_xact_id()")  # it has an id from here on
        async with transaction(world) as young:
            await tell(young, world, member, "claim.placed")
        await tell(old, world, member, "order.issued")
    assert [(member, 1), (member, 2)] == keys((await read(world)).events)


async def test_a_rolled_back_write_leaves_nothing_and_holds_nothing_back(world: World) -> None:
    """Numbers of transactions may be missing; the feed goes on."""
    one, two = await world.members(2)

    async def lost() -> None:
        async with transaction(world) as conn:
            await tell(conn, world, one, "claim.placed")
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await lost()
    async with transaction(world) as conn:
        await tell(conn, world, two, "claim.placed")
    assert [(two, 1)] == keys((await read(world)).events)


@pytest.mark.parametrize("types", [None, ["order.issued"]])
async def test_a_reader_beside_many_writers_reads_the_outbox(
    world: World, types: list[str] | None
) -> None:
    """Polled while it is written, the pages joined are the outbox: complete, ordered, once."""
    ids = await world.members(6)
    writing = asyncio.Event()

    async def write(nth: int) -> None:
        for turn in range(12):
            async with transaction(world) as conn:
                chosen = ids[(nth + turn) % len(ids)]
                await tell(conn, world, chosen, "claim.placed", "order.issued")
                await asyncio.sleep(0.001 * ((nth * 7 + turn) % 5))

    async def follow() -> list[FedEvent]:
        events, place = list[FedEvent](), None
        while True:
            over = writing.is_set()
            page = await read(world, place, limit=7, types=types, scan=9)
            events, place = events + page.events, page.place
            if over and not page.more:
                return events

    reader = asyncio.create_task(follow())
    await asyncio.gather(*(write(nth) for nth in range(5)))
    writing.set()
    seen = await reader
    wanted = [(m, s) for m, s in await outbox(world) if types is None or s % 2 == 0]
    assert 5 * 12 * (2 if types is None else 1) == len(seen)
    assert wanted == keys(seen)
    for member in ids:
        own = [seq for id_, seq in keys(seen) if id_ == member]
        assert sorted(own) == own


async def test_a_filter_that_matches_rarely_ends_a_page_and_moves_on(world: World) -> None:
    """A page looks at a bounded number of events, is empty, and the next goes on behind them."""
    member = await world.member()
    async with transaction(world) as conn:
        await tell(conn, world, member, *["claim.placed"] * 20, "order.issued")
    place, empty = None, 0
    while True:
        page = await read(world, place, limit=2, types=["order.issued"], scan=5)
        if page.events:
            break
        assert page.more
        assert place != page.place
        place, empty = page.place, empty + 1
    assert (4, [(member, 21)], False) == (empty, keys(page.events), page.more)


async def test_pages_of_any_size_give_the_same_feed(world: World) -> None:
    """A page that ends exactly with the feed says that there is no more."""
    member = await life.holder(world, quantity=3)
    await life.claimed(world, life.wish(member))
    whole = keys((await read(world)).events)
    for limit in (1, 2, len(whole)):
        events, place, more = list[FedEvent](), None, True
        while more:
            page = await read(world, place, limit=limit)
            events, place, more = events + page.events, page.place, page.more
        assert whole == keys(events)


async def _restored(world: World, backup_has: int) -> None:
    """Make the outbox look as in a new server: positions far above its transactions."""
    for number in range(backup_has):
        async with transaction(world) as conn:
            member = (await world.members(1))[0]
            await run(
                conn,
                """
                INSERT INTO outbox (bucket, member_id, seq, event_id, type, data, recorded_at,
                                    position)
                VALUES ($1, $2, 1, $2, 'claim.placed', '{"benefit": "B", "quantity": 1}', $3, $4)
                """,
                bucket_of(member),
                member,
                datetime(2025, 7, 1, tzinfo=UTC),
                1_000_000_000 + number,
            )


async def test_a_restored_database_refuses_until_its_order_is_set_right(world: World) -> None:
    """Before, the feed would hide what there is; then it goes on, with what is new behind it."""
    await _restored(world, 2)
    with pytest.raises(EventsUnordered):
        await read(world)
    await life.change(world, "UPDATE installation SET position_start = 1000000001")
    old = await read(world)
    assert 2 == len(old.events)
    member = await world.member()
    async with transaction(world) as conn:
        await tell(conn, world, member, "claim.placed")
    assert [(member, 1)] == keys((await read(world, old.place)).events)


async def test_a_cursor_from_before_a_restore_is_good_only_where_it_lies(world: World) -> None:
    """It goes on among what was restored; beyond that it has read what is lost, and is refused."""
    await _restored(world, 3)
    await life.change(world, "UPDATE installation SET position_start = 1000000002")
    zero = UUID(int=0)
    known = Place(0, 1_000_000_001, 1023, UUID(int=2**128 - 1), 9)
    assert 1 == len((await read(world, known)).events)
    for lost in (Place(0, 1_000_000_003, 0, zero, 0), Place(1_000_000_002, 2**60, 0, zero, 0)):
        with pytest.raises(CursorLost):
            await read(world, lost)


async def test_the_feed_is_read_by_its_index(world: World) -> None:
    """Neither a sort nor a scan of the table, for a page in the middle and with a filter."""
    member = await world.member()
    async with transaction(world) as conn:
        await tell(conn, world, member, *["claim.placed"] * 3000)
    place = (await read(world, limit=1000)).place
    await life.change(world, "ANALYZE outbox")
    values = (*(place.position, place.bucket, place.member_id, place.seq), 2**60, 101, 101)
    for types in (None, ["order.issued"]):
        plan = await world.rows(f"EXPLAIN {feed.PAGE}", *values, types)
        text = "\n".join(row[0] for row in plan)
        index = "ix_outbox_position_bucket_member_id_seq"
        assert re.search(rf"CTE scanned\n +-> +Limit .*\n +-> +Index Scan using {index}", text)
        assert "Seq Scan on outbox" not in text
    bound = "\n".join(row[0] for row in await world.rows(f"EXPLAIN {feed.BOUND}"))
    assert "Index Only Scan Backward using ix_outbox_position" in bound
