"""Net of liabilities: a day counts what there is less what is owed, and never below 0 (A-8)."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions import evaluate as evaluating
from benefits.actions.evaluate import evaluate
from benefits.actions.keep_stretches import keep_stretches
from benefits.actions.look_ahead import look_ahead
from benefits.domain.catalogue import Rules
from benefits.domain.feeds import FeedKey, FeedKind
from benefits.domain.metrics import MonthSum
from benefits.domain.policy import Condition, Metric, UpgradeTiming, Way
from benefits.domain.programme import Programme
from benefits.domain.steady import Bounds, bounds
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.store import facts, summary
from benefits.store.facts import Whom
from benefits.store.overview import overviews
from benefits.worker import Worker
from tests import builders
from tests.actions import exchanging
from tests.actions.exchanging import balances
from tests.actions.feeding import EARLY
from tests.actions.merging import merged
from tests.builders import World, reference_programme
from tests.conftest import database

JUNE = Month(2025, 6)
CLASSES = ("DEPOSIT", "FUND", "LOAN", "CARD")


def netting(*feeds: str, **policy: Any) -> Programme:
    """Return the reference programme with loans and cards deducted."""
    plain = reference_programme()
    more = {"liabilities": {"LOAN": Decimal(1), "CARD": Decimal("0.5")}} | policy
    return msgspec.structs.replace(
        plain,
        asset_classes=CLASSES,
        feeds=feeds,
        policy=msgspec.structs.replace(plain.policy, **more),
    )


async def seen(world: World, member: UUID) -> list[MonthSum]:
    """Return what a member is evaluated on, months and stretches, as the page shows it too."""
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
        bucket = bucket_of(member)
        found = await facts.load(conn, rules, JUNE, Whom((bucket, bucket)))
        now = datetime(2025, 6, 20, tzinfo=UTC)
        shown = await overviews(conn, [member], [rules], now, claims=1)
    sums = next(f.sums for f in found if f.member_id == member)
    programme = rules.at(JUNE).programme
    pieces = sums.get(programme.basket, {})
    reading = shown[member].standings[0].reading
    if programme.policy.metric is Metric.MONTH_AVG:
        kept = pieces.get(JUNE, MonthSum(JUNE, 0, 0))
        total = kept.sum_minor // programme.basket.scale
        assert (total, kept.known_days) == (reading.sum_minor, reading.known_days)
    return [pieces[piece] for piece in sorted(pieces, key=str)]


async def test_a_day_counts_what_is_left_and_never_less_than_nothing(world: World) -> None:
    """300.00 less 100.00 twice, then 500.00 owed: 200.00 and 200.00 and 0, not −100.00."""
    await world.apply(netting(), tiers_from=EARLY)
    member = await world.member()
    await balances(
        world,
        *(f"T000001,2025-06-0{n},DEPOSIT,CNY,300.00,,0" for n in (1, 2, 3)),
        *(f"T000001,2025-06-0{n},LOAN,CNY,100.00,,0" for n in (1, 2)),
        "T000001,2025-06-03,LOAN,CNY,500.00,,0",
    )
    (june,) = await seen(world, member)
    assert (40_000 * 10, 3) == (june.sum_minor, june.known_days)
    await balances(world, "T000001,2025-06-03,LOAN,CNY,0.00,,1")
    (june,) = await seen(world, member)
    assert 70_000 * 10 == june.sum_minor
    async with world.database.transaction() as conn:
        basket = (await world.parts.catalogue.current(conn)).programmes["wealth"].basket
        for day, balance in ((1, 200_00), (3, 300_00), (4, 0)):
            asked = date(2025, 6, day)
            assert balance == await summary.balance(conn, member, day=asked, basket=basket)
    assert [] == await world.findings()


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_two_owed_and_had_is_one_day_after_a_merger(
    world: World, *, is_first: bool
) -> None:
    """T-10: 100.00 owed by one and 500.00 of the other are 400.00, for whomever one reads."""
    await world.apply(netting(), tiers_from=EARLY)
    owing, other = await world.members(2)
    await balances(
        world,
        "T000001,2025-06-01,LOAN,CNY,100.00,,0",
        "T000002,2025-06-01,DEPOSIT,CNY,500.00,,0",
        "T000002,2025-06-02,DEPOSIT,CNY,500.00,,0",
    )
    of, into = (owing, other) if is_first else (other, owing)
    await merged(world, of, into)
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
        for whom in (
            Whom((0, BUCKETS - 1)),
            Whom((bucket_of(into), bucket_of(into))),
            Whom((bucket_of(into), bucket_of(into)), [into]),
        ):
            (fact,) = await facts.load(conn, rules, JUNE, whom)
            assert (into, 900_00 * 10) == (fact.member_id, _june(rules, fact).sum_minor)
        none = Whom((bucket_of(of), bucket_of(of)))
        left = await facts.load(conn, rules, JUNE, none)
        assert of not in {fact.member_id for fact in left}
    (june,) = await seen(world, into)
    assert 900_00 * 10 == june.sum_minor


def _june(rules: Rules, fact: facts.Facts) -> MonthSum:
    """Return what is known of June."""
    return fact.sums[rules.at(JUNE).programme.basket][JUNE]


async def test_owed_in_another_currency_by_one_who_was_merged(world: World) -> None:
    """A-4: as each line is converted; a day of either without a rate is not known, of both."""
    programme = msgspec.structs.replace(netting(), currencies=("USD",))
    await world.apply(programme, tiers_from=EARLY)
    owing, other = await world.members(2)
    await exchanging.rates(world, "USD,2025-06-02,7.12345,1,0")
    await balances(
        world,
        *(f"T000001,2025-06-0{n},LOAN,USD,10.03,,0" for n in (1, 2, 3)),
        *(f"T000002,2025-06-0{n},DEPOSIT,CNY,100.00,,0" for n in (1, 2, 3, 4)),
    )
    left = 100_00 - 71_45  # 10.03 are 71.4482… of the 2nd, half up
    await merged(world, owing, other)
    (june,) = await seen(world, other)
    assert ((2 * left + 100_00) * 10, 3) == (june.sum_minor, june.known_days)
    assert [] == await world.findings()


async def test_one_tier_may_be_net_and_the_others_not(world: World) -> None:
    """A way deducts what it says; to every other metric a loan is nothing at all."""
    loan = {"LOAN": Decimal(1)}
    plain = netting(liabilities={})
    condition = Condition(metric=Metric.MONTH_AVG, threshold=Decimal(600_000), liabilities=loan)
    way = Way(code="NET", name={"zh": "净", "en": "Net"}, all=(condition,), misses=3)
    platinum = msgspec.structs.replace(plain.tier[2], threshold=None, any=(way,))
    tiers = (*plain.tier[:2], platinum, *plain.tier[3:])
    programme = msgspec.structs.replace(plain, asset_classes=CLASSES[:3], tier=tiers)
    await world.apply(programme, tiers_from=EARLY)
    rich, owing = await world.members(2)
    days = [JUNE.start + timedelta(days=n) for n in range(30)]
    await balances(
        world,
        *(f"T00000{n},{day},DEPOSIT,CNY,900000.00,,0" for n in (1, 2) for day in days),
        *(f"T000002,{day},LOAN,CNY,400000.00,,0" for day in days),
    )
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await evaluate(world.database, world.parts, "wealth", JUNE, buckets=(0, BUCKETS - 1))
    found = await world.rows("SELECT member_id, rank, sum_minor FROM tier_decision")
    sums = {row.member_id: (row.rank, row.sum_minor) for row in found}
    assert {rich: (2, 900_000_00 * 30), owing: (1, 900_000_00 * 30)} == sums
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
        now = datetime(2025, 6, 20, tzinfo=UTC)
        shown = await overviews(conn, [rich, owing], [rules], now, claims=1)
    for member, left in ((rich, 900_000_00), (owing, 500_000_00)):
        own, net = shown[member].standings[0].running.readings
        assert (900_000_00 * 30, left * 30) == (own.sum_minor, net.sum_minor)


async def test_what_is_owed_elsewhere_may_not_have_come(world: World) -> None:
    """A-6: deposits of a day whose loans are not sealed prove nothing, for nobody."""
    await world.apply(netting("core", "loans"), tiers_from=EARLY)
    a, b = await world.members(2)
    day = date(2025, 6, 1)
    lines = [f"T00000{n},DEPOSIT,CNY,300.00," for n in (1, 2)]
    assert [] == await exchanging.send(world, FeedKey("core", day), lines)
    for member in (a, b):
        assert [(0, 0)] == [(o.sum_minor, o.known_days) for o in await seen(world, member)]
    loans = FeedKey("loans", day)
    assert [] == await exchanging.send(world, loans, ["T000001,LOAN,CNY,120.00,"])
    for member, left in ((a, 180_00), (b, 300_00)):
        found = [(o.sum_minor, o.known_days) for o in await seen(world, member)]
        assert [(left * 10, 1)] == found
    assert [] == await world.findings()


async def test_a_tier_rises_early_by_what_no_later_day_undoes(world: World) -> None:
    """T-3: a sum of days that count 0 at least only grows; a loan taken later takes nothing."""
    await world.apply(netting(upgrade=UpgradeTiming.INSTANT), tiers_from=EARLY)
    member = await world.member()
    world.clock.now = datetime(2025, 6, 20, 2, tzinfo=UTC)
    may, every = JUNE.plus(-1), (0, BUCKETS - 1)
    await evaluate(world.database, world.parts, "wealth", may, buckets=every)
    days = [JUNE.start + timedelta(days=n) for n in range(10)]
    await balances(
        world,
        *(f"T000001,{day},DEPOSIT,CNY,400000.00,,0" for day in days),
        *(f"T000001,{day},LOAN,CNY,300000.00,,0" for day in days),
    )
    assert 0 == (await look_ahead(world.database, world.parts, "wealth")).risen
    await balances(world, *(f"T000001,{day},LOAN,CNY,100000.00,,1" for day in days[:5]))
    assert 1 == (await look_ahead(world.database, world.parts, "wealth")).risen
    await balances(world, *(f"T000001,2025-06-{n},LOAN,CNY,9000000.00,,0" for n in range(11, 19)))
    (june,) = await seen(world, member)
    assert 2_000_000_00 * 10 == june.sum_minor
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await balances(world, *(f"T000001,2025-06-{n},DEPOSIT,CNY,0.00,,0" for n in range(11, 31)))
    await evaluate(world.database, world.parts, "wealth", JUNE, buckets=every)
    ranks = await world.rows("SELECT rank, sum_minor FROM tier_decision ORDER BY decided_at")
    assert [1] == [row.rank for row in ranks]


@pytest.mark.parametrize("seed", range(4))
async def test_days_are_netted_exactly(world: World, seed: int) -> None:
    """Any balances, weights, corrections and gaps, by lines or by feeds of changes or of all."""
    chance = random.Random(seed)
    weights = {"FUND": Decimal(chance.choice(["0.8", "1.25", "0.3333"]))}
    owed = {"LOAN": Decimal(chance.choice(["1", "0.5"])), "CARD": Decimal("0.1")}
    by_feeds = seed % 2 == 1
    metric = {"metric": Metric.ROLLING, "days": 7} if seed > 1 else {}
    sources = ("core", "loans") if by_feeds else ()
    programme = netting(*sources, weights=weights, liabilities=owed, **metric)
    await world.apply(programme, tiers_from=EARLY)
    members = await world.members(4)
    await keep_stretches(world.database, world.parts)
    days = [JUNE.start + timedelta(days=n) for n in range(30)]
    truth = dict[tuple[int, date, str], int]()
    known = {day for day in days if day.day == 1 or chance.random() < 0.8}
    for day in days:
        for nth in range(4):
            for class_ in CLASSES[: 2 if nth == 3 else 4]:
                before = truth.get((nth, day - timedelta(days=1), class_), 0)
                new = chance.choice([before, before, chance.randrange(-100, 100_000)])
                truth[nth, day, class_] = new
    await (_feed if by_feeds else _bring)(world, chance, truth, known)
    signed = {"DEPOSIT": Fraction(1), **{c: Fraction(w) for c, w in weights.items()}}
    signed |= {code: -Fraction(weight) for code, weight in owed.items()}
    for nth, member in enumerate(members):
        each = {
            day: sum(signed[c] * max(truth.get((nth, day, c), 0), 0) for c in CLASSES)
            for day in known
        }
        for piece in await seen(world, member):
            of = [day for day in known if day.day >= 24] if seed > 1 else known
            if seed > 1 and piece.known_days > len(of):
                of = known
            total = sum(max(each[day], 0) for day in of)
            assert (total * programme.basket.scale, len(of)) == (
                piece.sum_minor,
                piece.known_days,
            )
    assert [] == await world.findings()


async def _bring(
    world: World, chance: random.Random, truth: dict[tuple[int, date, str], int], known: set[date]
) -> None:
    """Bring balances as lines in any order, some of them wrong at first."""
    lines = [
        (f"T00000{nth + 1},{day},{class_},CNY,{Decimal(minor).scaleb(-2)},", revision)
        for (nth, day, class_), minor in truth.items()
        if day in known
        for revision in (1,)
    ]
    wrong = [
        (f"T00000{nth + 1},{day},{class_},CNY,{chance.randrange(999)},", 0)
        for (nth, day, class_) in truth
        if day in known and chance.random() < 0.2
    ]
    every = [*lines, *wrong]
    chance.shuffle(every)
    await balances(world, *(f"{line},{revision}" for line, revision in every))


async def _feed(
    world: World, chance: random.Random, truth: dict[tuple[int, date, str], int], known: set[date]
) -> None:
    """Seal both sources on known days, and one of them on some others."""
    keys = [
        (FeedKey(source, day), classes)
        for source, classes in (("core", CLASSES[:2]), ("loans", CLASSES[2:]))
        for day in sorted({day for _, day, _ in truth})
        if day in known or (source == "core" and chance.random() < 0.5)
    ]
    sent = {key for key, _ in keys}
    chance.shuffle(keys)
    for key, classes in keys:
        before = key.as_of - timedelta(days=1)
        kind = FeedKind.FULL
        if FeedKey(key.source, before) in sent and chance.random() < 0.6:
            kind = FeedKind.DELTA
        lines = [
            f"T00000{nth + 1},{class_},CNY,{Decimal(minor).scaleb(-2)},"
            for (nth, day, class_), minor in truth.items()
            if day == key.as_of and class_ in classes
            if kind is FeedKind.FULL or truth.get((nth, before, class_), 0) != minor
        ]
        assert [] == await exchanging.send(world, key, lines, kind)
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass


@pytest.fixture
async def worlds(migrated: str, cluster_dsn: str) -> AsyncIterator[tuple[World, World]]:
    """Give two installations: one tells steady members, one folds all."""
    async with AsyncExitStack() as stack:
        dsns = [await stack.enter_async_context(database(cluster_dsn, migrated)) for _ in "ab"]
        one, other = [await stack.enter_async_context(builders.world(dsn)) for dsn in dsns]
        for world in (one, other):
            world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
            await world.members(6)
            await world.apply(netting(), tiers_from=EARLY)
        yield one, other


@pytest.mark.parametrize("seed", range(3))
async def test_who_owes_is_folded_and_the_others_are_told_steady(
    worlds: tuple[World, World], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-8: whatever is brought in which order, both decide alike."""
    chance = random.Random(seed)
    months = [Month(2025, 4), Month(2025, 5), JUNE]
    folds = False

    def asked(rules: Rules, month: Month) -> Bounds | None:
        return None if folds else bounds(rules, month)

    monkeypatch.setattr(evaluating, "bounds_of", asked)
    for revision in range(16):
        month, nth = chance.choice(months), chance.randint(1, 6)
        lines = [
            f"T00000{nth},{month.start + timedelta(days=n)},{class_},CNY,{level}.00,,{revision}"
            for class_, level in (
                ("DEPOSIT", chance.choice([60_000, 520_000, 700_000])),
                (chance.choice(["LOAN", "FUND"]), chance.choice([0, 100_000, 650_000])),
            )
            for n in range(chance.choice([0, 0, 15]), month.days)
        ]
        for world in worlds:
            await balances(world, *lines)
        if chance.random() < 0.6:
            which = chance.choice(months)
            for world in worlds:
                folds = world is worlds[1]
                await evaluate(
                    world.database, world.parts, "wealth", which, buckets=(0, BUCKETS - 1)
                )
            assert await _decided(worlds[1]) == await _decided(worlds[0])


async def _decided(world: World) -> list[tuple[Any, ...]]:
    found = await world.rows(
        "SELECT member_id, month, cause, rank, misses, sum_minor, known_days FROM tier_decision "
        "ORDER BY member_id, month, decided_at"
    )
    return [tuple(row) for row in found]


async def test_days_that_change_are_news_though_their_sum_stays(world: World) -> None:
    """One account has more on two days and another less on four: the days must be read again."""
    await world.apply(netting("core"), tiers_from=EARLY)
    member = await world.member()

    async def send(day: int, revision: int, kind: FeedKind, **accounts: int) -> None:
        lines = [f"T000001,DEPOSIT,CNY,{n}.00,{name}" for name, n in accounts.items()]
        loan = ["T000001,LOAN,CNY,300.00,"] if day == 1 else []
        key = FeedKey("core", date(2025, 6, day), revision)
        assert [] == await exchanging.send(world, key, [*lines, *loan], kind)

    await send(1, 0, FeedKind.FULL, a=200, b=150)
    await send(2, 0, FeedKind.DELTA)
    await send(3, 0, FeedKind.DELTA, a=200)
    await send(4, 0, FeedKind.DELTA)
    await send(5, 0, FeedKind.DELTA, b=0)
    (june,) = await seen(world, member)
    assert (4 * 50_00 * 10, 5) == (june.sum_minor, june.known_days)
    sums = "SELECT sum(sum_minor)::bigint AS n FROM asset_month"
    before = await world.rows(sums)
    await send(1, 1, FeedKind.FULL, a=400, b=50)
    assert before == await world.rows(sums)
    (june,) = await seen(world, member)
    assert (2 * 150_00 * 10, 5) == (june.sum_minor, june.known_days)
    newest = "SELECT max(generation) AS n FROM feed"
    moved = "SELECT generation AS n FROM asset_month WHERE asset_class = 'DEPOSIT'"
    assert await world.rows(newest) == await world.rows(moved)
    assert [] == await world.findings()
