"""Feeds: what matches its manifest counts whole and at once, what does not counts nowhere."""

import asyncio
import contextlib
import io
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions.fill_feed import (
    Part,
    judge,
    keep_chunk,
    open_feed,
    programme_of,
    put_chunk,
)
from benefits.actions.import_feed import rehearse_feed
from benefits.actions.seal_feed import Sealing, judge_feed, seal_at_once, seal_feed
from benefits.domain.feeds import (
    ChunkConflict,
    FeedClosed,
    FeedDateInvalid,
    FeedKey,
    FeedNotNamed,
    FeedState,
    FeedUnknown,
    Manifest,
    ManifestConflict,
    digest_of,
)
from benefits.domain.metrics import MonthSum
from benefits.domain.programme import Programme
from benefits.domain.values import Month, bucket_of, member_id
from benefits.store import facts, feeds, summary
from benefits.store.db import Connection
from benefits.store.facts import Whom
from benefits.store.overview import overviews
from benefits.worker import Worker
from tests.actions.feeding import HEADER, fed, file, manifest, send, sums, take
from tests.builders import MEMBER_KEY, World
from tests.store.test_assets import line

JUNE = Month(2025, 6)
DAY = date(2025, 6, 3)


def core(day: date = DAY, revision: int = 0) -> FeedKey:
    """Return the key of a feed of the core system."""
    return FeedKey("core", day, revision)


async def known(world: World, member: UUID, month: Month = JUNE) -> list[MonthSum]:
    """Return what a member would be evaluated on."""
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
        bucket = bucket_of(member)
        found = await facts.load(conn, rules, month, Whom((bucket, bucket)))
    sums = next(f.sums for f in found if f.member_id == member)
    kept = sums.get(rules.at(month).programme.basket, {}).values()
    return [MonthSum(one.month, one.sum_minor, one.known_days) for one in kept]


async def shown(world: World, member: UUID) -> tuple[int, int]:
    """Return the sum and the known days of June as a member was shown them then."""
    june = datetime(2025, 6, 20, tzinfo=UTC)
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules.values()
        found = await overviews(conn, [member], rules, june, claims=1)
    (standing,) = found[member].standings
    return standing.reading.sum_minor, standing.reading.known_days


async def state(world: World, key: FeedKey) -> str:
    """Return the state of a feed."""
    async with world.database.transaction() as conn:
        feed = await feeds.one(conn, key)
    assert feed is not None
    return feed.state.value


async def test_a_feed_with_a_row_too_few_is_refused_whole(world: World) -> None:
    """G-FEED-1: 999 of 1 000 rows; nothing counts, and a case waits for the operator."""
    await fed(world)
    member = await world.member()
    balances = [(world.name(n + 1), 500_000_00) for n in range(1000)]
    said = manifest(file(balances), core(), balances)
    text = file(balances[:-1])
    reasons = await take(world, text, said)
    assert "rows: the manifest says 1000, received 999" == reasons[0]
    assert "total CNY: the manifest says 500000000.00, received 499500000.00" == reasons[1]
    assert reasons[2].startswith("sha256: ")
    assert ("REFUSED", {}, []) == (
        await state(world, core()),
        await sums(world),
        await known(world, member),
    )
    ((kind, detail),) = await world.rows("SELECT kind, detail FROM case_file")
    assert "feed_refused" == kind
    assert detail.startswith("core 2025-06-03 revision 0: rows: ")
    assert [] == await send(world, core(revision=1), balances)
    assert [MonthSum(JUNE, 500_000_00, 1)] == await known(world, member)
    assert [] == await world.findings()


async def test_a_member_absent_from_a_sealed_feed_has_nothing_that_day(world: World) -> None:
    """G-FEED-2: 900 000 on ten days, absent on twenty: the average is 300 000."""
    await fed(world)
    member, other = await world.members(2)
    for n in range(30):
        rich = [(world.name(1), 900_000_00)] if n < 10 else []
        assert [] == await send(
            world, core(JUNE.start + timedelta(days=n)), [*rich, (world.name(2), 5)]
        )
    (month,) = await known(world, member)
    assert (9_000_000_00, True, 300_000_00) == (
        month.sum_minor,
        month.known_days == 30,
        month.sum_minor // 30,
    )
    assert [MonthSum(JUNE, 150, 30)] == await known(world, other)
    done = await world.evaluate("2025-06", member)
    assert {1: 1} == done.ranks
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("daily", "qualified"), [(600_000_00, True), (530_000_00, False)], ids=["G-MISS-1", "G-MISS-2"]
)
async def test_days_that_are_not_sealed_hurt_nobody(
    world: World,
    daily: int,
    qualified: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Of thirty days 28 are sealed: proven is proven, everything else stays undetermined."""
    await fed(world)
    member = await world.member()
    for n in range(28):
        await send(world, core(JUNE.start + timedelta(days=n)), [(world.name(1), daily)])
    (month,) = await known(world, member)
    assert (28 * daily, 28) == (month.sum_minor, month.known_days)
    assert qualified == (month.sum_minor >= 500_000_00 * 30)


async def test_a_day_is_known_when_every_source_is_sealed(world: World) -> None:
    """Two sources are needed: the day of one alone is not known, its balance counts as proven."""
    await fed(world, "core", "wealth")
    member = await world.member()
    await send(world, core(), [(world.name(1), 100)])
    assert [MonthSum(JUNE, 100, 0)] == await known(world, member)
    await send(world, FeedKey("wealth", DAY), [(world.name(1), 30)])
    assert [MonthSum(JUNE, 130, 1)] == await known(world, member)


async def test_plain_lines_make_no_day_known_where_feeds_do(world: World) -> None:
    """What is imported without a feed adds to the sum and proves no day."""
    await fed(world)
    member = await world.member()
    await world.assets([line(70)])
    assert [MonthSum(JUNE, 70, 0)] == await known(world, member)
    assert (70, 0) == await shown(world, member)


async def test_months_before_a_version_are_known_as_they_were(world: World) -> None:
    """U-1: a version that names feeds makes no month unknown that an earlier one judges."""
    await fed(world, tiers_from=JUNE)
    member = await world.member()
    may = date(2025, 5, 31)
    await world.assets([line(40, day=may), line(70)])
    assert [MonthSum(JUNE.plus(-1), 40, 1), MonthSum(JUNE, 70, 0)] == await known(world, member)
    await send(world, core(may), [])
    await send(world, core(), [])
    assert [MonthSum(JUNE.plus(-1), 40, 1), MonthSum(JUNE, 70, 1)] == await known(world, member)


async def test_the_highest_revision_counts_whole_whatever_comes_first(world: World) -> None:
    """A-7: each order of three revisions ends alike, and those absent from the highest have 0."""
    await fed(world)
    a, b = await world.members(2)
    one, two = world.name(1), world.name(2)
    said = {0: [(one, 10), (two, 20)], 1: [(one, 1)], 2: [(two, 7), (one, -5)]}
    orders = [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)]
    for nth, order in enumerate(orders):
        day = DAY + timedelta(days=nth)
        for revision in order:
            assert [] == await send(world, core(day, revision), said[revision])
        assert [] == await world.findings()
    assert {(str(b), JUNE.start): 7 * len(orders)} == await sums(world)
    assert [MonthSum(JUNE, 0, len(orders))] == await known(world, a)
    async with world.database.transaction() as conn:
        basket = (await world.parts.catalogue.current(conn)).programmes["wealth"].basket
        for member, balance in ((a, 0), (b, 7)):
            assert balance == await summary.balance(conn, member, day=DAY, basket=basket)


@pytest.mark.parametrize("seed", range(2))
async def test_any_order_of_arrival_gives_the_same_sums(world: World, seed: int) -> None:
    """Revisions and chunks in any order, plain lines between: the sums are the counted ones."""
    dice = random.Random(seed)
    await fed(world)
    members = await world.members(12)
    names = [world.name(n + 1) for n in range(12)]
    days = [date(2025, 5, 31), date(2025, 6, 1), date(2025, 6, 2)]
    told = {
        core(day, revision): [
            (name, dice.randrange(-50, 1000)) for name in names if dice.random() < 0.7
        ]
        for day in days
        for revision in range(3)
    }
    order = list(told)
    dice.shuffle(order)
    for key in order:
        await _in_chunks(world, key, told[key], dice)
    assert [] == await world.findings()
    expected = dict[tuple[str, date], int]()
    for day in days:
        for name, balance in told[core(day, 2)]:
            place = (str(member_id(name, MEMBER_KEY)), day.replace(day=1))
            expected[place] = expected.get(place, 0) + max(balance, 0)
    assert {place: n for place, n in expected.items() if n} == await sums(world)
    assert 12 == len(members)


async def _in_chunks(
    world: World, key: FeedKey, balances: list[tuple[str, int]], dice: random.Random
) -> None:
    """Send a feed as chunks in any order, some of them twice."""
    cut = dice.randrange(len(balances) + 1)
    parts = [balances[:cut], balances[cut:]]
    texts = [file(part) for part in parts]
    async with world.database.transaction() as conn:
        await open_feed(conn, key, None, world.parts)
    numbers = [1, 2, dice.choice([1, 2])]
    dice.shuffle(numbers)
    for number in numbers:
        await chunk(world, key, number, texts[number - 1])
    whole = manifest(b"", key, balances)
    digest = digest_of(part(n, text).digest for n, text in enumerate(texts, 1))
    said = msgspec.structs.replace(whole.manifest, sha256=digest)
    feed = await seal_feed(world.database, world.parts, Sealing(key, said))
    assert (FeedState.SEALED, []) == (feed.state, feed.reasons)


def part(number: int, text: bytes) -> Part:
    """Return a chunk as the service cuts it from what it was sent."""
    return Part.of(number, text)


async def chunk(world: World, key: FeedKey, number: int, text: bytes) -> bool:
    """Send a chunk."""
    async with world.database.transaction() as conn:
        programme = await programme_of(conn, None, world.parts)
        ready = judge(part(number, text), key, programme, MEMBER_KEY)
        return (await put_chunk(conn, key, ready, world.parts))[1]


async def test_a_chunk_counts_once_and_never_changes(world: World) -> None:
    """C-9: the same bytes again are known, other bytes are refused, as is what comes too late."""
    await fed(world)
    await world.member()
    text = file([(world.name(1), 5)])
    with pytest.raises(FeedUnknown):
        await chunk(world, core(), 1, text)
    async with world.database.transaction() as conn:
        assert (await open_feed(conn, core(), None, world.parts))[1]
        assert not (await open_feed(conn, core(), None, world.parts))[1]
    assert await chunk(world, core(), 1, text)
    assert not await chunk(world, core(), 1, text)
    with pytest.raises(ChunkConflict):
        await chunk(world, core(), 1, text + b"\n")
    said = Manifest(rows=1, totals={"CNY": "0.05"}, sha256=digest_of([part(1, text).digest]))
    sealing = Sealing(core(), said)
    for _ in range(2):
        feed = await seal_feed(world.database, world.parts, sealing)
        assert FeedState.SEALED is feed.state
    with pytest.raises(FeedClosed):
        await chunk(world, core(), 2, text)
    assert not await chunk(world, core(), 1, text)
    other = msgspec.structs.replace(said, rows=2)
    with pytest.raises(ManifestConflict):
        await seal_feed(world.database, world.parts, Sealing(core(), other))


async def test_what_nobody_asks_for_is_not_opened(world: World) -> None:
    """A source that no programme names, a day to come."""
    await fed(world)
    for key, refusal in (
        (FeedKey("cores", DAY), FeedNotNamed),
        (core(date(2025, 7, 3)), FeedDateInvalid),
        (core(date(1969, 12, 31)), FeedDateInvalid),
    ):
        with pytest.raises(refusal):
            async with world.database.transaction() as conn:
                await open_feed(conn, key, None, world.parts)


BAD = [
    ("{0},DEPOSIT,CNY,1.00\n{0},DEPOSIT,CNY,2.00\n", "line 3: stands there twice"),
    ("{0},DEPOSITS,CNY,1.00\n", "line 2: asset_class: … is not known; did you mean …?"),
    ("{0},DEPOSIT,USD,1.00\n", "line 2: currency: … is not the programme's CNY"),
    ("{0},DEPOSIT,CNY,1.001\n", "line 2: balance: 1.001 has more than 2 decimals"),
    ("{0},DEPOSIT,CNY\n", "line 2: the line has another number of columns than the header"),
    ("{0},DEPOSIT,CNY,\x00\n", "line 2: the line holds control characters"),
    ('{0},DEPOSIT,CNY,"1\n', "line 2: the line is not CSV"),
]


@pytest.mark.parametrize(("lines", "reason"), BAD)
async def test_a_bad_line_refuses_the_feed_and_is_named(
    world: World, lines: str, reason: str
) -> None:
    """One line that is not valid, or stands twice, and nothing of the feed counts."""
    await fed(world)
    await world.member()
    text = (HEADER + lines.format(world.name(1))).encode()
    said = msgspec.structs.replace(
        manifest(text, core(), [("", 100)]), rows=lines.count("\n"), totals={}
    )
    reasons = await take(world, text, said)
    assert any(one.startswith(reason) for one in reasons), reasons
    assert ("REFUSED", {}) == (await state(world, core()), await sums(world))
    assert not any(world.name(1) in one for one in reasons)


async def test_a_line_of_an_earlier_chunk_stands_twice(world: World) -> None:
    """The same grain in two chunks is found by the key and told with its chunk."""
    await fed(world)
    await world.members(2)
    async with world.database.transaction() as conn:
        await open_feed(conn, core(), None, world.parts)
    await chunk(world, core(), 1, file([(world.name(1), 5)]))
    text = file([(world.name(2), 6), (world.name(1), 7)])
    programme = await _programme(world)
    ready = judge(part(2, text), core(), programme, MEMBER_KEY)
    second, new = await keep_chunk(world.database, core(), ready, world.parts)
    assert new
    assert (2, 1, ["chunk 2, line 3: stands there twice"]) == (
        second.tally.rows,
        second.tally.bad,
        second.tally.told,
    )


async def _programme(world: World) -> Programme:
    async with world.database.transaction() as conn:
        return await programme_of(conn, None, world.parts)


async def test_nobody_sees_half_of_a_feed(world: World) -> None:
    """While buckets are applied one after the other, every reader sees the sums from before."""
    await fed(world, weights={"DEPOSIT": Decimal("0.5")})
    members = await world.members(40)
    names = [world.name(n + 1) for n in range(40)]
    await send(world, core(), [(name, 10) for name in names])
    text = file([(name, 4) for name in names[:30]])
    said = manifest(text, core(revision=1), [(name, 4) for name in names[:30]])
    with _cut_after(steps=3):
        with contextlib.suppress(_CutError):
            await take(world, text, said)
        with contextlib.suppress(_CutError):
            await take(world, text, said)
    assert "APPLYING" == await state(world, core(revision=1))
    moved = await world.rows("SELECT count(*) AS n FROM asset_month WHERE generation = 2")
    assert 0 < moved[0].n < 40
    await world.assets([line(100, day=date(2025, 6, 20))])
    for nth, member in enumerate(members):
        extra = 100 if nth == 0 else 0
        assert [MonthSum(JUNE, (10 + extra) * 5, 1)] == await known(world, member)
        assert ((10 + extra) // 2, 1) == await shown(world, member)
    assert [] == await world.findings()
    assert [] == await send(world, core(DAY + timedelta(days=1)), [(names[0], 1)])
    assert "SEALED" == await state(world, core(revision=1))
    expected = [525, *[20] * 29, *[0] * 10]
    assert expected == [(await known(world, member))[0].sum_minor for member in members]
    assert [] == await world.findings()


class _CutError(Exception):
    """The process ends here."""


@contextlib.contextmanager
def _cut_after(steps: int) -> Iterator[None]:
    """Let a bucket be applied at a time, and end after some."""
    whole, left = feeds.apply, steps

    async def apply(conn: Connection, feed: feeds.Feed, count: int, now: Any) -> int:
        nonlocal left
        if not left:
            raise _CutError
        left -= 1
        return await whole(conn, feed, 150, now)

    feeds.apply = apply
    try:
        yield
    finally:
        feeds.apply = whole


async def test_two_may_seal_at_once(world: World) -> None:
    """Two processes fill and seal two feeds, and the same one: each is applied once."""
    await fed(world)
    await world.members(3)
    balances = [(world.name(n), 100 * n) for n in (1, 2, 3)]
    keys = [core(), core(), core(DAY + timedelta(days=1)), core(revision=1)]
    done = await asyncio.gather(*(send(world, key, balances) for key in keys))
    assert [[]] * 4 == done
    found = await world.rows("SELECT sum(sum_minor)::bigint AS n FROM asset_month")
    assert [(1200,)] == found
    assert [] == await world.findings()


async def test_a_dry_run_keeps_nothing_and_says_why(world: World) -> None:
    """What would be refused is said, and no feed is there afterwards."""
    await fed(world)
    text = file([("X", 1)])
    said = manifest(text, core(), [("X", 2)])

    async def rehearse(one: Any) -> list[str]:
        return await rehearse_feed(
            *(world.database, world.parts, io.BytesIO(text), one),
            programme_code=None,
            progress=lambda _: None,
        )

    assert ["total CNY: the manifest says 0.02, received 0.01"] == await rehearse(said)
    assert [] == await rehearse(manifest(text, core(), [("X", 1)]))
    assert [] == await world.rows("SELECT source FROM feed")


async def test_one_feed_is_applied_at_a_time(world: World) -> None:
    """Matching feeds wait for their turn; who judged last applies the others first."""
    await fed(world)
    await world.member()
    later, last = core(DAY + timedelta(days=1)), core(DAY + timedelta(days=2))
    said = Manifest(rows=0, totals={}, sha256=digest_of([]))
    async with world.database.transaction() as conn:
        for key in (core(), later, last):
            await open_feed(conn, key, None, world.parts)
    for key in (core(), later):
        async with world.database.transaction() as conn:
            judged = await judge_feed(conn, Sealing(key, said), world.parts)
            assert FeedState.WAITING is judged.state
    async with world.database.transaction() as conn:
        behind = await seal_at_once(conn, Sealing(last, said), world.parts)
        assert FeedState.WAITING is behind.state
    sealed = await seal_feed(world.database, world.parts, Sealing(later, said))
    assert FeedState.SEALED is sealed.state
    assert ["SEALED", "SEALED", "WAITING"] == [
        await state(world, key) for key in (core(), later, last)
    ]


async def test_the_worker_ends_what_was_interrupted(world: World) -> None:
    """A feed whose sealing stopped anywhere is sealed without anybody asking again."""
    await fed(world)
    member = await world.member()
    text = file([(world.name(1), 4)])
    with _cut_after(steps=2), contextlib.suppress(_CutError):
        await take(world, text, manifest(text, core(), [(world.name(1), 4)]))
    assert "APPLYING" == await state(world, core())
    worker = Worker(world.database, world.parts, {})
    while await worker.apply_feeds():
        pass
    assert "SEALED" == await state(world, core())
    assert [MonthSum(JUNE, 4, 1)] == await known(world, member)
    assert [] == await world.findings()
