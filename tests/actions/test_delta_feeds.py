"""DELTA feeds: what is absent is unchanged, and however days are sent they come to the same."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions.fill_day import fill_now
from benefits.actions.see_feeds import list_missing, see_feed
from benefits.domain.feeds import FeedKey, FeedKind, FeedState
from benefits.domain.metrics import Basket, MonthSum
from benefits.domain.policy import Condition, Joint, Metric, Way
from benefits.domain.programme import Programme
from benefits.domain.values import BUCKETS
from benefits.domain.windows import Kept, Stretch
from benefits.store import facts, stretch_sums, summary
from benefits.store.facts import Whom
from benefits.worker import Worker
from tests import builders
from tests.actions import exchanging
from tests.actions.exchanging import all_used, converting, rates
from tests.actions.feeding import EARLY, fed, file, manifest, send, sums, take
from tests.actions.test_feeds import JUNE, _cut_after, _CutError, core, known, shown, state
from tests.actions.test_fills import ask, filled, wanted
from tests.actions.test_holders import hold
from tests.actions.test_wide_windows import holidays
from tests.actions.test_windows import fill, fill_a_little
from tests.builders import World
from tests.conftest import database
from tests.lives import seeds

DELTA = FeedKind.DELTA
DAYS = [date(2025, 5, 30) + timedelta(days=n) for n in range(10)]
MEMBERS = 5
Key = tuple[str, str, str, str]
Truth = dict[date, dict[Key, int]]


@pytest.fixture
async def worlds(migrated: str, cluster_dsn: str) -> AsyncIterator[tuple[World, World]]:
    """Give two installations: one is sent all balances, the other as it comes."""
    async with AsyncExitStack() as stack:
        dsns = [await stack.enter_async_context(database(cluster_dsn, migrated)) for _ in "ab"]
        one, other = [await stack.enter_async_context(builders.world(dsn)) for dsn in dsns]
        for world in (one, other):
            world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
            await world.members(MEMBERS)
            # Wednesday 4 June is the last business day: the rest are holidays.
            await holidays(world, *(JUNE.start + timedelta(days=n) for n in range(4, 30)))
            await world.apply(windowed(), tiers_from=EARLY)
            await hold(world, "J,T000001,PRIMARY,2020-01-01,", "J,T000002,JOINT,2020-01-01,")
        yield one, other


def windowed() -> Programme:
    """Return a programme whose windows begin, and end, among days that stand on each other.

    The 27 days up to the month's last, and the last business day; other currencies and joint
    accounts count.
    """
    policy = {"metric": Metric.ROLLING, "days": 27, "calendar": "china"}
    plain = converting("core", joint=Joint.SPLIT_EQUAL, **policy)
    condition = Condition(metric=Metric.POINT_IN_TIME, threshold=Decimal(1))
    way = Way(code="DAY", name={"zh": "日", "en": "Day"}, all=(condition,), misses=3)
    first, second, *rest = plain.tier
    tiers = (first, msgspec.structs.replace(second, any=(way,)), *rest)
    return msgspec.structs.replace(plain, tier=tiers)


def _balance(chance: random.Random) -> int:
    return chance.choice([0, -chance.randrange(1000), chance.randrange(100_000)])


def _change(chance: random.Random, balances: Mapping[Key, int], changes: int) -> dict[Key, int]:
    """Return balances of which some are new, others, or gone."""
    found = dict(balances)
    for _ in range(changes):
        key = (
            f"T00000{chance.randint(1, MEMBERS + 1)}",
            chance.choice(["DEPOSIT", "FUND"]),
            chance.choice(["CNY", "CNY", "USD"]),
            chance.choice(["", "J"]),
        )
        found[key] = _balance(chance)
    return found


def _lines(balances: Mapping[Key, int]) -> list[str]:
    return [
        f"{name},{class_},{currency},{Decimal(minor).scaleb(-2)},{account}"
        for (name, class_, currency, account), minor in balances.items()
    ]


def _truth(chance: random.Random, days: list[date]) -> Truth:
    """Return what was at the end of each day; what is 0 is absent."""
    found: Truth = {}
    now = dict[Key, int]()
    for day in days:
        now = _change(chance, now, 3 if day.day > 1 else 8)
        found[day] = {key: minor for key, minor in now.items() if minor}
    return found


def _sent(chance: random.Random, truth: Truth) -> dict[FeedKey, tuple[dict[Key, int], FeedKind]]:
    """Return how a bank may send it: last of all each day as it was, in full or by its changes."""
    found = dict[FeedKey, tuple[dict[Key, int], FeedKind]]()
    for day, balances in truth.items():
        before = truth.get(day - timedelta(days=1))
        may_differ = day.day > 1 and before is not None
        last = chance.choice([0, 0, 1, 2])
        for revision in range(last):
            other = _change(chance, {}, 3)
            kind = chance.choice(list(FeedKind)) if day.day > 1 else FeedKind.FULL
            found[core(day, revision)] = (other, kind)
        if may_differ and chance.random() < 0.7:
            assert before is not None
            changed = {
                key: balances.get(key, 0)
                for key in [*balances, *before]
                if balances.get(key, 0) != before.get(key, 0) or chance.random() < 0.1
            }
            found[core(day, last)] = (changed, DELTA)
        else:
            found[core(day, last)] = (balances, FeedKind.FULL)
    return found


KEPT = (
    "SELECT member_id, month, asset_class, currency, sum_minor FROM asset_month",
    "SELECT member_id, month, asset_class, currency, sum_minor FROM asset_converted",
    "SELECT member_id, month, joint, asset_class, sum_minor FROM asset_joint",
    (
        "SELECT member_id, month, first_day, last_day, asset_class, currency, sum_minor "
        "FROM asset_stretch"
    ),
    (
        "SELECT member_id, month, first_day, last_day, asset_class, currency, kind, sum_minor "
        "FROM asset_stretch_folded"
    ),
)


async def kept(world: World) -> list[list[tuple[Any, ...]]]:
    """Return all sums that are kept, and the days that are known; zeros left out."""
    found = [
        sorted(tuple(row) for row in await world.rows(statement) if row.sum_minor)
        for statement in KEPT
    ]
    days = await world.rows(
        "SELECT member_id, month, bit_or(unrated_days) AS n FROM asset_converted GROUP BY 1, 2"
    )
    found.append(sorted(tuple(row) for row in days if row.n))
    sealed = await world.rows("SELECT DISTINCT as_of FROM feed WHERE state = 'SEALED'")
    found.append(sorted(tuple(row) for row in sealed))
    return found


@pytest.mark.parametrize("seed", seeds(4))
async def test_any_history_comes_to_what_full_days_do(
    worlds: tuple[World, World], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-2: full days, changes or both, with revisions, in any order, in two months.

    What windows need is kept before anything comes, or filled meanwhile.
    """
    monkeypatch.setattr(stretch_sums, "AT_ONCE", 20)
    chance = random.Random(seed)
    gone = chance.choice([[], [DAYS[5]]])
    truth = _truth(chance, [day for day in DAYS if day not in gone])
    quotes = [
        f"USD,{day},{chance.randint(70000, 73000) / 10000},1,0"
        for day in DAYS
        if chance.random() < 0.5
    ]
    full, mixed = worlds
    for world in worlds:
        await rates(world, *quotes[:2])
    await fill(full)
    if chance.random() < 0.5:
        await fill(mixed)
    for day, balances in truth.items():
        assert [] == await exchanging.send(full, core(day), _lines(balances))
    await rates(full, *quotes)
    sent = _sent(chance, truth)
    order = list(sent)
    chance.shuffle(order)
    for nth, key in enumerate(order):
        balances, kind = sent[key]
        if nth == len(order) // 2:
            await rates(mixed, *quotes)
        cut = _cut_after(2) if chance.random() < 0.3 else contextlib.nullcontext()
        with cut, contextlib.suppress(_CutError):
            assert [] == await exchanging.send(mixed, key, _lines(balances), kind)
        if chance.random() < 0.3:
            await fill_a_little(mixed, chance)
        if chance.random() < 0.4:
            assert [] == await mixed.findings()
    while await Worker(mixed.database, mixed.parts, {}).apply_feeds():
        pass
    for world in worlds:
        await all_used(world)
        await fill(world)
        assert [] == await world.findings()
    assert await kept(full) == await kept(mixed)
    assert await counted(full) == await counted(mixed)
    await _balances_agree(worlds)


async def counted(world: World) -> dict[UUID, dict[Basket, dict[Kept, MonthSum]]]:
    """Return what members are evaluated on, months and stretches."""
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
        found = await facts.load(conn, rules, JUNE, Whom((0, BUCKETS - 1)))
    window, day = Stretch(JUNE, 4, 30), Stretch(JUNE, 4, 4)
    assert any({window, day} <= {*sums} for each in found for sums in each.sums.values())
    return {each.member_id: each.sums for each in found}


async def _balances_agree(worlds: tuple[World, World]) -> None:
    """Whoever looks at a day sees the balance that counts for it, named that day or before."""
    seen = list[list[int]]()
    for world in worlds:
        async with world.database.transaction() as conn:
            basket = (await world.parts.catalogue.current(conn)).programmes["wealth"].basket
            ids = [row.member_id for row in await world.rows("SELECT member_id FROM member")]
            seen.append(
                [
                    await summary.balance(conn, id_, day=day, basket=basket)
                    for id_ in sorted(ids)
                    for day in DAYS
                ]
            )
    assert seen[0] == seen[1]
    assert any(seen[0])


async def test_what_is_absent_is_unchanged_until_it_is_named(world: World) -> None:
    """Two days on, a named 0 ends it; a later revision moves the days up to its next line."""
    await fed(world)
    a, b = await world.members(2)
    one, two = world.name(1), world.name(2)
    assert [] == await send(world, core(date(2025, 6, 1)), [(one, 100), (two, 7)])
    assert [] == await send(world, core(date(2025, 6, 2)), [], DELTA)
    assert [] == await send(world, core(date(2025, 6, 3)), [(one, 0)], DELTA)
    assert [MonthSum(JUNE, 200, 3)] == await known(world, a)
    assert [MonthSum(JUNE, 21, 3)] == await known(world, b)
    again = core(date(2025, 6, 1), 1)
    assert [] == await send(world, again, [(one, 40)])
    assert [MonthSum(JUNE, 80, 3)] == await known(world, a)
    assert [MonthSum(JUNE, 0, 3)] == await known(world, b)
    assert (80, 3) == await shown(world, a)
    assert [] == await world.findings()


async def test_a_day_waits_for_the_one_before(world: World) -> None:
    """A-6: until then it is not known, never 0; one after the other they are counted then."""
    await fed(world)
    member = await world.member()
    name = world.name(1)
    first, second, third = (core(date(2025, 6, n)) for n in (1, 2, 3))
    assert [] == await send(world, third, [(name, 5)], DELTA)
    assert [] == await send(world, second, [], DELTA)
    assert ["WAITING", "WAITING"] == [await state(world, key) for key in (second, third)]
    async with world.database.transaction() as conn:
        seen = await see_feed(conn, third, world.parts)
        (missing,) = await list_missing(conn, world.parts, JUNE)
    assert second.as_of == seen.received.waits_for
    assert (1 << 30) - 1 == missing.days
    assert [] == await known(world, member)
    assert not await Worker(world.database, world.parts, {}).apply_feeds()
    assert [] == await send(world, first, [(name, 100)])
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    assert [MonthSum(JUNE, 205, 3)] == await known(world, member)
    async with world.database.transaction() as conn:
        assert (await see_feed(conn, third, world.parts)).received.waits_for is None
    assert [] == await world.findings()


async def test_a_day_that_will_count_nowhere_waits_for_nobody(world: World) -> None:
    """All balances of the day as a later revision count in place of the changes."""
    await fed(world)
    member = await world.member()
    name = world.name(1)
    assert [] == await send(world, core(), [(name, 5)], DELTA)
    assert [] == await send(world, core(revision=1), [(name, 9)])
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    assert "SEALED" == await state(world, core())
    assert [MonthSum(JUNE, 9, 1)] == await known(world, member)
    assert [] == await world.findings()


async def test_nobody_sees_half_of_what_days_change_with(world: World) -> None:
    """A revision moves the days behind it with itself: all at once, killed anywhere."""
    await fed(world)
    members = await world.members(40)
    names = [world.name(n + 1) for n in range(40)]
    first = date(2025, 6, 1)
    assert [] == await send(world, core(first), [(name, 10) for name in names])
    for n in range(1, 5):
        changed = [(names[n], 1)]
        assert [] == await send(world, core(first + timedelta(days=n)), changed, DELTA)
    text = file([(name, 4) for name in names])
    said = manifest(text, core(first, 1), [(name, 4) for name in names])
    for _ in range(2):
        with _cut_after(steps=3), contextlib.suppress(_CutError):
            await take(world, text, said)
        assert "APPLYING" == await state(world, core(first, 1))
        before = [50, 14, 23, 32, 41, *[50] * 35]
        assert before == [(await known(world, member))[0].sum_minor for member in members]
        assert (50, 5) == await shown(world, members[0])
        assert [] == await world.findings()
    assert [] == await send(world, core(date(2025, 6, 6)), [(names[0], 1)], DELTA)
    expected = [21, 9, 12, 15, 18, *[24] * 35]
    assert expected == [(await known(world, member))[0].sum_minor for member in members]
    assert [] == await world.findings()


async def test_two_may_send_days_that_stand_on_each_other(world: World) -> None:
    """Each is counted once, in its turn, by whoever comes to it."""
    await fed(world)
    await world.members(3)
    names = [world.name(n) for n in (1, 2, 3)]
    days = [date(2025, 6, n) for n in range(1, 6)]
    kinds = [FeedKind.FULL, *[DELTA] * 4]
    done = await asyncio.gather(
        *(
            send(world, core(day), [(name, 100) for name in names], kind)
            for day, kind in zip(days, kinds, strict=True)
        )
    )
    assert [[]] * 5 == done
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    assert {500} == set((await sums(world)).values())
    assert [] == await world.findings()


async def test_a_day_that_never_comes_is_filled_and_stands_for_nothing(world: World) -> None:
    """A-6: what waits is filled like what is missing; changes stand on what the source sent."""
    await fed(world)
    member = await world.member()
    name = world.name(1)
    assert [] == await send(world, core(date(2025, 6, 1)), [(name, 100), ("X", 1)])
    assert [] == await send(world, core(date(2025, 6, 2)), [(name, 30)], DELTA)
    assert [] == await send(world, core(date(2025, 6, 4)), [(name, 7)], DELTA)
    world.clock.now = datetime(2025, 7, 20, tzinfo=UTC)
    await filled(world, wanted(3))
    assert "WAITING" == await state(world, core(date(2025, 6, 4)))
    await filled(world, wanted(4))
    carried = await world.rows("SELECT rows, totals FROM feed WHERE revision < 0")
    assert [(2, {"CNY": 31})] * 2 == [tuple(row) for row in carried]
    assert [MonthSum(JUNE, 190, 4)] == await known(world, member)
    assert [] == await world.findings()
    assert "day_not_missing" == await ask(world, wanted(4))
    assert [] == await send(world, core(date(2025, 6, 3)), [], DELTA)
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    assert [MonthSum(JUNE, 100 + 30 + 30 + 7, 4)] == await known(world, member)
    assert [] == await world.findings()


async def test_a_fill_carries_a_day_as_it_stood_when_it_was_approved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is carried from may be corrected before its turn comes, and stays as agreed."""
    await fed(world)
    member = await world.member()
    name = world.name(1)
    assert [] == await send(world, core(date(2025, 6, 1)), [(name, 100)])
    assert [] == await send(world, core(date(2025, 6, 2)), [], DELTA)
    world.clock.now = datetime(2025, 7, 20, tzinfo=UTC)
    monkeypatch.setattr("benefits.actions.seal_feed.AT_ONCE", 0)
    await filled(world, wanted(3))
    assert "WAITING" == await state(world, core(date(2025, 6, 3), -1))
    world.clock.now += timedelta(hours=1)
    monkeypatch.undo()
    late = core(date(2025, 6, 1), 1)
    assert [] == await send(world, late, [(name, 5)])
    done = await fill_now(world.database, world.parts, core(date(2025, 6, 3), -1), lambda _: None)
    assert FeedState.SEALED is done.state
    assert [MonthSum(JUNE, 5 + 5 + 100, 3)] == await known(world, member)
    assert [] == await world.findings()
