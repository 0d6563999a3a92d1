"""A member's ledger as of a time: what was true, as it was known, and the same for ever (I11)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benefits.domain import ledger
from benefits.domain.ledger import Lot, Part, Posting
from benefits.domain.past import Bounds, PastLot, balances_of, lots_of
from benefits.domain.values import EPOCH, bucket_of
from benefits.house import real_clock
from benefits.store import members, past
from benefits.store.db import Connection, rows, run
from benefits.store.ledger import Journal, Origin
from benefits.store.past import Stretch
from tests import builders, roles
from tests.actions import life
from tests.builders import NOON, World
from tests.conftest import database

UNIT = "BENEFIT:LOUNGE"
DATA = {"benefit": "LOUNGE", "quantity": 1}
MARCH_ENDS = datetime(2025, 3, 31, 16, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
Figures = tuple[int, int, int, int, int]


class Book:
    """Writes batches of one member with times of their own."""

    def __init__(self, world: World, member: UUID) -> None:
        """Begin without units."""
        self.world = world
        self.member = member
        self.lot: Lot | None = None

    async def post(
        self, conn: Connection, kind: str, postings: Sequence[Posting], at: datetime | None
    ) -> None:
        """Write one batch in a transaction that somebody else ends."""
        locked = await members.lock(conn, [self.member], wait=True)
        parts = self.world.parts
        journal = Journal(locked, parts.clock(), parts.new_id)
        assert self.lot is not None
        if kind == "entitlement.granted":
            origin = Origin("wealth", "lounge", "2025-Q1", "TIER")
            journal.new_lot(self.member, self.lot, origin)
        else:
            journal.load([(self.member, self.lot)])
        journal.post(
            self.member,
            kind,
            postings,
            actor="test",
            subject_id=self.lot.lot_id,
            data=DATA,
            effective_at=at,
        )
        self.lot = journal.lots[self.lot.lot_id]
        await journal.write(conn)

    async def grant(
        self, quantity: int, ends: datetime | None, effective_at: datetime | None = None
    ) -> None:
        """Grant a lot, from then on the book's."""
        now = self.world.parts.clock()
        self.lot = Lot(
            lot_id=self.world.parts.new_id(now, bucket_of(self.member)),
            unit=UNIT,
            granted=quantity,
            remaining=quantity,
            held=0,
            expires_at=ends,
            granted_at=now,
        )
        async with self.world.database.transaction() as conn:
            await self.post(conn, "entitlement.granted", ledger.grant(self.lot), effective_at)

    async def move(self, how: str, quantity: int, effective_at: datetime | None = None) -> None:
        """Hold, capture, release or expire units of the lot, as many as there are."""
        lot = self.lot
        assert lot is not None
        there = lot.held if how in {"capture", "release"} else lot.remaining - lot.held
        quantity = there if how == "expire" else min(quantity, there)
        if quantity == 0:
            return
        parts = [Part(lot.lot_id, quantity)]
        now = self.world.parts.clock()
        kind, postings = {
            "hold": ("claim.placed", ledger.hold(UNIT, parts)),
            "capture": ("order.redeemed", ledger.capture(UNIT, parts)),
            "release": ("order.compensated", ledger.release(parts, {lot.lot_id: lot}, now)),
            "expire": ("entitlement.expired", ledger.expire(lot)),
        }[how]
        async with self.world.database.transaction() as conn:
            await self.post(conn, kind, postings, effective_at)


async def look(
    world: World, member: UUID, as_of: datetime | None = None, known_at: datetime | None = None
) -> list[PastLot]:
    """Return a member's lots as of a time."""
    bounds = Bounds(as_of, known_at, world.parts.clock())
    async with world.database.transaction() as conn:
        sums = await past.sums(conn, member, bounds)
        lots = lots_of(sums, await past.terms(conn, member), bounds.ends)
        assert {lot.terms.unit for lot in lots} == {b.unit for b in balances_of(sums, lots)}
        assert lots == await _by_pages(conn, member, bounds)
    return lots


async def _by_pages(conn: Connection, member: UUID, bounds: Bounds) -> list[PastLot]:
    """Return the same page by page, two at a time."""
    found = list[PastLot]()
    while True:
        after = (found[-1].terms.granted_at, found[-1].terms.lot_id) if found else None
        page = await past.lots(conn, member, bounds, after=after, limit=2)
        found += page
        if len(page) < 2:
            return found


def figures(lots: list[PastLot]) -> list[Figures]:
    """Return granted, available, held, redeemed and expired of lots."""
    return [(lot.granted, lot.available, lot.held, lot.redeemed, lot.expired) for lot in lots]


async def test_g_exp_4_the_report_for_march_shows_when_units_expired(world: World) -> None:
    """G-EXP-4: swept nine hours late; as of 31 March they have ended at 00:00, known or not."""
    world.clock.now = MARCH_ENDS - timedelta(days=10)
    book = Book(world, await world.member())
    await book.grant(2, MARCH_ENDS)
    world.clock.now = MARCH_ENDS + 9 * HOUR
    before_sweep = world.clock.now
    await life.expire_lots(world)
    world.clock.forward(hours=1)
    for known_at in (None, before_sweep, MARCH_ENDS + HOUR):
        (lot,) = await look(world, book.member, MARCH_ENDS, known_at)
        assert (0, 2, MARCH_ENDS) == (lot.available, lot.expired, lot.terms.expires_at)
        (lot,) = await look(world, book.member, MARCH_ENDS - timedelta(microseconds=1), known_at)
        assert (2, 0) == (lot.available, lot.expired)


JULY_1, JULY_5 = datetime(2025, 7, 1, tzinfo=UTC), datetime(2025, 7, 5, tzinfo=UTC)
JUNE_20, JULY_8 = datetime(2025, 6, 20, tzinfo=UTC), datetime(2025, 7, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("as_of", "known_at", "expected"),
    [
        (JUNE_20, None, []),
        (JULY_1, None, [(3, 1, 1, 1, 0)]),
        (JULY_1, JULY_1, [(3, 1, 2, 0, 0)]),
        (JULY_1, JULY_5, [(3, 1, 2, 0, 0)]),
        (JULY_1, JULY_8, [(3, 1, 1, 1, 0)]),
        (JULY_8, JULY_5, [(3, 1, 2, 0, 0)]),
        (None, JUNE_20, []),
        (datetime(2026, 1, 1, tzinfo=UTC), JULY_1, [(3, 0, 2, 0, 1)]),
        (None, None, [(3, 1, 1, 1, 0)]),
    ],
)
async def test_what_did_we_believe_on_5_july_about_june(
    world: World, as_of: datetime | None, known_at: datetime | None, expected: list[Figures]
) -> None:
    """C-8: a use of 25 June that was learned of on 7 July counts for June only from then on."""
    world.clock.now = JUNE_20 + HOUR
    book = Book(world, await world.member())
    await book.grant(3, datetime(2025, 12, 31, tzinfo=UTC))
    world.clock.forward(days=1)
    await book.move("hold", 2)
    world.clock.now = JULY_5 + timedelta(days=2)
    await book.move("capture", 1, datetime(2025, 6, 25, tzinfo=UTC))
    world.clock.forward(days=2)
    assert expected == figures(await look(world, book.member, as_of, known_at))


async def by_hand(
    world: World, member: UUID, as_of: datetime, known_at: datetime
) -> dict[UUID, list[int]]:
    """Fold a member's rows one after the other: available, held, redeemed, expired by lot."""
    found = await world.rows(
        """SELECT p.lot_id, p.debit, p.credit, p.amount, l.expires_at
        FROM batch AS b JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
        JOIN lot AS l ON l.bucket = p.bucket AND l.lot_id = p.lot_id
        WHERE b.member_id = $1 AND b.effective_at < $2 AND b.recorded_at < $3""".replace(
            "WHERE", "WHERE b.bucket BETWEEN 0 AND 1023 AND"
        ),
        member,
        as_of,
        known_at,
    )
    places = ["available", "held", "redeemed", "expired"]
    lots = dict[UUID, list[int]]()
    ended = set[UUID]()
    for row in found:
        lot = lots.setdefault(row.lot_id, [0, 0, 0, 0])
        if row.credit in places:
            lot[places.index(row.credit)] += row.amount
        if row.debit in places:
            lot[places.index(row.debit)] -= row.amount
        if row.expires_at is not None and row.expires_at <= as_of:
            ended.add(row.lot_id)
    for lot_id in ended:
        lots[lot_id][3] += lots[lot_id][0]
        lots[lot_id][0] = 0
    return lots


STEPS = st.tuples(
    st.sampled_from(["grant", "hold", "hold", "capture", "release", "expire"]),
    st.integers(1, 3),
    st.integers(0, 40),  # hours until then
    st.integers(0, 60),  # hours that it was true before it was recorded
)
TIMES = st.tuples(st.integers(-50, 400), st.integers(-50, 400))


async def _live(world: World, steps: list[tuple[str, int, int, int]]) -> UUID:
    world.clock.now = NOON
    book = Book(world, await world.member())
    await book.grant(3, NOON + 60 * HOUR)
    for how, quantity, wait, late in steps:
        world.clock.forward(hours=wait)
        at = world.clock.now - late * HOUR
        if how == "grant":
            await book.grant(quantity, at + 48 * HOUR if quantity < 3 else None, at)
        else:
            await book.move(how, quantity, at)
    return book.member


async def test_reading_as_of_is_a_fold_of_the_rows(world: World) -> None:
    """Whatever happened, however late recorded: both bounds, at any time (C-8, I11)."""
    loop = asyncio.get_running_loop()

    async def compare(
        steps: list[tuple[str, int, int, int]], times: list[tuple[int, int]]
    ) -> None:
        member = await _live(world, steps)
        for effective, recorded in times:
            as_of, known_at = NOON + effective * HOUR, NOON + recorded * HOUR
            got = {
                lot.terms.lot_id: [lot.available, lot.held, lot.redeemed, lot.expired]
                for lot in await look(world, member, as_of, known_at)
            }
            assert await by_hand(world, member, as_of, known_at) == got

    @settings(max_examples=25, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(STEPS, max_size=10), st.lists(TIMES, min_size=4, max_size=8))
    def whatever(steps: list[tuple[str, int, int, int]], times: list[tuple[int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(compare(steps, times), loop).result()

    await asyncio.to_thread(whatever)


async def provisional(world: World, known_at: datetime | None) -> bool:
    """Ask whether an answer may change."""
    async with world.database.transaction() as conn:
        bounds = Bounds(None, known_at, world.parts.clock())
        return await past.is_provisional(conn, bounds)


async def test_by_the_services_clock_the_last_seconds_are_provisional(world: World) -> None:
    """The clocks of services and database may be that far apart; without a bound, always."""
    edge = NOON - past.CLOCKS_APART
    assert [True, True, False, False] == [
        await provisional(world, at)
        for at in (None, edge + timedelta(microseconds=1), edge, edge - HOUR)
    ]


@pytest.fixture
async def live_world(migrated: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give an installation whose clock goes."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as made:
        yield World(made.database, clock=real_clock)


@asynccontextmanager
async def transaction(world: World) -> AsyncIterator[Connection]:
    """Open a transaction on a connection of its own; commit at the end."""
    async with world.database.transaction() as conn:
        yield conn


async def test_i11_an_answer_that_is_not_provisional_stays(
    live_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I11: a write that commits late makes what lies behind its begin provisional until then."""
    monkeypatch.setattr(past, "CLOCKS_APART", timedelta(0))
    world = live_world
    book = Book(world, await world.member())
    await book.grant(3, None)
    settled = real_clock()
    assert book.lot is not None
    postings = ledger.hold(UNIT, [Part(book.lot.lot_id, 1)])
    async with transaction(world) as slow:
        await book.post(slow, "claim.placed", postings, None)
        within = real_clock()
        assert [False, True] == [await provisional(world, at) for at in (settled, within)]
        first = figures(await look(world, book.member, None, within))
    told = figures(await look(world, book.member, None, within))
    assert ([(3, 3, 0, 0, 0)], [(3, 2, 1, 0, 0)]) == (first, told)
    assert not await provisional(world, within)
    for _ in range(2):
        await book.move("capture", 1)
        await book.move("hold", 1)
        assert told == figures(await look(world, book.member, None, within))
        assert [(3, 3, 0, 0, 0)] == figures(await look(world, book.member, None, settled))


@pytest.mark.parametrize("role", ["runtime", "auditor"])
async def test_i11_what_is_final_is_so_for_every_role(
    live_world: World, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """I11: one who does not see when a write began waits for it, and promises nothing before."""
    monkeypatch.setattr(past, "CLOCKS_APART", timedelta(0))
    monkeypatch.setattr(past, "WAIT_S", 0.3)
    world = live_world
    book = Book(world, await world.member())
    await book.grant(3, None)
    assert book.lot is not None
    postings = ledger.hold(UNIT, [Part(book.lot.lot_id, 1)])
    dsn = roles.as_role(roles.server(world.database), getattr(roles.NAMES, role))
    async with roles.opened(dsn) as seen:
        other = World(seen, clock=real_clock)
        async with transaction(world) as slow:
            await book.post(slow, "claim.placed", postings, None)
            within = real_clock()
            assert await provisional(other, within)
            task = asyncio.create_task(provisional(other, within))
            await asyncio.sleep(0.1)
        assert (role == "runtime") == await task
        async with transaction(world) as reading:
            await rows(reading, "SELECT 1")
            assert (role == "runtime") == await provisional(other, real_clock())


async def test_where_the_server_follows_no_transactions_all_is_provisional(world: World) -> None:
    """Without knowing the open writes nothing is promised."""
    name = world.database.engine.url.database
    await life.change(world, f'ALTER DATABASE "{name}" SET track_activities = off')
    await world.database.engine.dispose()
    assert await provisional(world, NOON - HOUR)


async def statement(world: World, member: UUID, limit: int, **stretch: Any) -> list[str]:
    """Return the kinds of all entries, read page by page."""
    wanted = Stretch(*(stretch.get(name) for name in ("start", "end", "known_at")))
    kinds, before = list[str](), None
    while True:
        async with world.database.transaction() as conn:
            page = await past.entries(conn, member, wanted, before=before, limit=limit)
        kinds += [entry.kind for entry in page]
        if len(page) < limit:
            return kinds
        before = page[-1].recorded_at


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_a_statement_comes_whole_and_in_order_at_any_length_of_page(
    world: World, limit: int
) -> None:
    """Also within one millisecond, where ids are in no order; the last recorded comes first."""
    book = Book(world, await world.member())
    await book.grant(20, None)
    for _ in range(5):
        await book.move("hold", 2)
        await book.move("capture", 1)
        await book.move("release", 1)
    in_order = ["entitlement.granted"]
    in_order += ["claim.placed", "order.redeemed", "order.compensated"] * 5
    assert in_order[::-1] == await statement(world, book.member, limit)
    recorded = await world.rows(
        """SELECT kind, recorded_at, effective_at FROM batch
           WHERE bucket BETWEEN 0 AND 1023 ORDER BY recorded_at"""
    )
    third = recorded[2].recorded_at
    assert in_order[:2][::-1] == await statement(world, book.member, limit, known_at=third)
    middle = recorded[len(recorded) // 2].effective_at
    later = [row.kind for row in recorded if row.effective_at >= middle]
    assert later[::-1] == await statement(world, book.member, limit, start=middle)


def _nodes(plan: Any) -> list[Any]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]


async def test_reading_a_member_uses_the_indexes_and_leaves_later_months_out(
    world: World,
) -> None:
    """The cost follows the member's own entries, not the ledger's size."""
    crowd = await world.members(300)
    for some in (crowd[:150], crowd[150:]):
        await life.give(world, *(life.gift(member, "LOUNGE") for member in some))
    await life.change(world, "ANALYZE batch", "ANALYZE posting")
    member = crowd[0]
    known = NOON + HOUR
    bounds = (bucket_of(member), member, past.after_ids(known), known)
    for sql, values in (
        (past.SUMS, (*bounds, past.NEVER, [])),
        (past.ENTRIES, (*bounds, EPOCH, past.NEVER, 20)),
    ):
        async with world.database.transaction() as conn:
            await run(conn, "SET LOCAL enable_seqscan = off")  # partitions are too small here
            ((text,),) = await rows(conn, f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *values)
        (explained,) = json.loads(text) if isinstance(text, str) else text
        scans = [node for node in _nodes(explained["Plan"]) if "Relation Name" in node]
        used = [node for node in scans if node["Actual Loops"]]
        assert {"batch", "posting"} & {node["Relation Name"].split("_")[0] for node in used}
        assert [] == [node["Relation Name"] for node in used if "Seq" in node["Node Type"]]
        assert [] == [n["Relation Name"] for n in used if n["Relation Name"] > "posting_2025_07"]
        assert [] == [
            n["Relation Name"]
            for n in used
            if n["Relation Name"].startswith("batch") and n["Relation Name"] > "batch_2025_07"
        ]
