"""Windows in which other currencies and joint accounts count: exact, in any order (A-4 to M-7)."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec
import pytest

from benefits.actions.evaluate import evaluate
from benefits.actions.import_files import assets_of, calendar_of, import_file
from benefits.domain.feeds import FeedKey
from benefits.domain.policy import Balance, Joint, Metric
from benefits.domain.values import BUCKETS, Month
from benefits.domain.windows import window
from benefits.store import stretch_sums
from benefits.worker import Worker
from tests.actions.exchanging import ASSETS, all_used, balances, converting, cut_after, rates, send
from tests.actions.feeding import EARLY
from tests.actions.test_currencies import cut_feed
from tests.actions.test_holders import Life, apply, hold
from tests.actions.test_windows import decided, fill, fill_a_little, reading, standing
from tests.builders import World
from tests.lives import seeds
from tests.presets import preset

JUNE = Month(2025, 6)
Asked = dict[str, object]
LAST_32: Asked = {"metric": Metric.ROLLING, "days": 32}
LAST_26: Asked = {"metric": Metric.ROLLING, "days": 26}
OPENING: Asked = {"balance": Balance.OPENING}
LAST_DAY: Asked = {"metric": Metric.POINT_IN_TIME, "calendar": "china"}
WINDOWS: Sequence[Asked] = (LAST_32, LAST_26, OPENING, LAST_DAY)


async def judged_by(world: World, asked: Asked, joint: Joint | None, *feeds: str) -> None:
    """Put a programme into force that takes two currencies and decides by a window."""
    await apply(world, joint, *feeds, **asked)


async def holidays(world: World, *days: date) -> None:
    """Let days be holidays."""
    text = ["date,kind\n", *(f"{day},HOLIDAY\n" for day in days)]
    await import_file(
        world.database, world.parts, calendar_of("china"), text, progress=lambda _: None
    )


async def shown(world: World, member: UUID) -> tuple[int, int]:
    """Return sum and known days of June as a member was shown them on the 20th."""
    now, world.clock.now = world.clock.now, datetime(2025, 6, 20, tzinfo=UTC)
    one = (await standing(world, member)).reading
    world.clock.now = now
    return one.sum_minor, one.known_days


@pytest.mark.parametrize("joint", [None, *Joint])
@pytest.mark.parametrize("seed", seeds(1))
async def test_any_order_of_what_comes_and_of_filling_ends_alike(
    world: World, seed: int, joint: Joint | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2: cut anywhere, each window is what its lines, rates and holders give in fractions."""
    monkeypatch.setattr(stretch_sums, "AT_ONCE", 20)
    life = Life(world, seed)
    steps: list[Callable[[], Awaitable[None]]] = [
        *life.steps,
        *(partial(judged_by, world, one, joint, "core") for one in (*WINDOWS, {})),
    ]
    life.dice.shuffle(steps)
    # Wednesday 4 June is the last business day: the rest are holidays.
    await judged_by(world, {}, joint, "core")
    await holidays(world, *(JUNE.start + timedelta(days=n) for n in range(4, 30)))
    members = await world.members(5)
    for step in steps:
        await step()
        await fill_a_little(world, life.dice)
        if life.dice.random() < 0.3:
            assert [] == await world.findings()
    await all_used(world)
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    for asked in WINDOWS:
        await judged_by(world, asked, joint, "core")
        await fill(world)
        assert [] == await world.findings()
        async with world.database.transaction() as conn:
            judge = (await world.parts.catalogue.current(conn)).rules["wealth"].at(JUNE)
        counted = window(judge.programme.policy, JUNE, judge.calendar)
        assert counted is not None
        days = {counted.first + timedelta(days=n) for n in range(counted.days)}
        for name, member in zip(life.names, members, strict=True):
            total, unrated = life.model.sums(name, joint, days)
            known = (life.model.fed.keys() & days) - unrated
            expected = (total, len(known), counted.days)
            assert expected == await reading(world, member, JUNE)
            assert expected[:2] == await shown(world, member)


async def test_a_corrected_rate_moves_the_days_of_a_window(world: World) -> None:
    """A-4, A-7: a day without a rate is open; a rate decides it, another one decides it anew."""
    member = await world.member()
    await holidays(world, date(2025, 1, 1))
    await judged_by(world, LAST_DAY, None)
    await fill(world)
    await world.month("T000001", "2025-06", 1)
    await balances(world, "T000001,2025-06-30,FUND,USD,70000.00,,0")
    await fill(world)
    assert (1, 0, 1) == await reading(world, member, JUNE)
    await rates(world, "USD,2025-06-29,7,1,0")
    assert (490_000_01, 1, 1) == await reading(world, member, JUNE)
    await world.evaluate("2025-06", member)
    assert [(JUNE, "UPGRADED", 1)] == await decided(world)
    ((grounds,),) = await world.rows("SELECT grounds FROM tier_decision")
    assert ["USD"] == msgspec.json.decode(grounds)["converted"]
    await rates(world, "USD,2025-06-30,7.2,1,0")
    await world.evaluate("2025-06", member)
    assert (JUNE, "CORRECTED", 2) == (await decided(world))[-1]
    assert [] == await world.findings()


async def test_holders_of_the_day_share_its_balance(world: World) -> None:
    """A-5, M-6: who holds an account on the last business day; another one after it does not."""
    await holidays(world, date(2025, 1, 1))
    await judged_by(world, LAST_DAY, Joint.FULL_TO_EACH)
    a, b, c = await world.members(3)
    await balances(world, "T000001,2025-06-30,FUND,CNY,500000.00,J,0")
    await fill(world)
    assert [500_000_00, 0, 0] == [(await reading(world, one, JUNE))[0] for one in (a, b, c)]
    await hold(
        world,
        *("J,T000001,PRIMARY,2020-01-01,2025-06-30", "J,T000002,JOINT,2020-01-01,"),
        "J,T000003,JOINT,2025-07-01,",
    )
    assert [0, 500_000_00, 0] == [(await reading(world, one, JUNE))[0] for one in (a, b, c)]
    assert (500_000_00, 1) == await shown(world, b)
    assert [] == await world.findings()


async def test_what_is_folded_is_filled_before_it_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-6: sums that were kept for one currency alone are open for two until they are folded."""
    monkeypatch.setattr(stretch_sums, "AT_ONCE", 1)
    members = await world.members(2)
    await judged_by(world, {}, None)
    await rates(world, "USD,2025-06-30,7,1,0")
    await balances(world, *(f"T00000{n},2025-06-30,FUND,USD,1.00,,0" for n in (1, 2)))
    await balances(world, *(f"T00000{n},2025-06-30,FUND,CNY,1.00,,0" for n in (1, 2)))
    plain = msgspec.structs.replace(converting(**LAST_26), currencies=())
    await world.apply(plain, tiers_from=EARLY)
    await fill(world)
    assert [(1_00, 1, 26)] * 2 == [await reading(world, one, JUNE) for one in members]
    assert [] == await world.rows("SELECT FROM asset_stretch_folded")
    await judged_by(world, LAST_26, None)
    assert [(0, 0, 26)] * 2 == [await reading(world, one, JUNE) for one in members]
    assert [(0, 0)] * 2 == [await shown(world, one) for one in members]
    await fill(world)
    assert [(8_00, 1, 26)] * 2 == [await reading(world, one, JUNE) for one in members]
    assert {BUCKETS} == {
        row.folded_bucket for row in await world.rows("SELECT folded_bucket FROM stretch")
    }
    assert [] == await world.findings()


async def test_half_of_a_feed_or_of_a_rate_is_seen_by_nobody_as_whole(world: World) -> None:
    """A-2, A-4: a feed counts at once for all, a rate bucket by bucket; each sum is whole."""
    members = await world.members(6)
    names = [world.name(n + 1) for n in range(6)]
    world.clock.now = datetime(2025, 6, 30, tzinfo=UTC)
    await judged_by(world, LAST_26, Joint.SPLIT_EQUAL, "core")
    await rates(world, "USD,2025-06-30,7,1,0")
    await fill(world)
    key = FeedKey("core", date(2025, 6, 30), 0)
    await hold(
        world,
        f"J,{names[0]},PRIMARY,2020-01-01,",
        *(f"J,{n},JOINT,2020-01-01," for n in names[1:]),
    )
    lines = [f"{name},FUND,USD,1.00,{n}" for n, name in enumerate(names)]
    with cut_feed(1):
        await send(world, key, [*lines, f"{names[5]},FUND,USD,6.00,J"])
    assert [(0, 0, 26)] * 6 == [await reading(world, one, JUNE) for one in members]
    assert [] == await world.findings()
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    assert [(14_00, 1, 26)] * 6 == [await reading(world, one, JUNE) for one in members]
    with cut_after(2):
        await rates(world, "USD,2025-06-30,8,1,1")
    assert [] == await world.findings()
    await all_used(world)
    assert [(16_00, 1, 26)] * 6 == [await reading(world, one, JUNE) for one in members]
    assert [] == await world.findings()


async def test_dbs_counts_all_currencies_for_each_holder_of_the_day(world: World) -> None:
    """M-6, A-4, A-5: 200,000 and a joint 120,000 US dollars at 1.25 are Treasures on 30 June."""
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    a, b = await world.members(2)
    programme = msgspec.structs.replace(preset("dbs"), zone="Asia/Shanghai")
    await world.apply(programme, tiers_from=EARLY)
    days = ["date,kind\n", "2025-08-09,HOLIDAY\n"]
    await import_file(
        world.database, world.parts, calendar_of("singapore"), days, progress=lambda _: None
    )
    await hold(world, "J,T000001,PRIMARY,2020-01-01,", "J,T000002,JOINT,2020-01-01,")
    await rates(world, "USD,2025-06-30,1.25,1,0", "USD,2025-07-31,1.2499,1,0")
    for day in ("2025-06-30", "2025-07-31"):
        text = [
            f"T000001,{day},DEPOSIT,SGD,200000.00,,0",
            f"T000002,{day},DEPOSIT,SGD,199999.99,,0",
            f"T000002,{day},INVESTMENT,USD,120000.00,J,0",
        ]
        await taken(world, "dbs", text)
    await fill(world)
    for month in (JUNE, JUNE.plus(1)):
        await evaluate(world.database, world.parts, "dbs", month, buckets=(0, BUCKETS - 1))
    assert [(JUNE, "UPGRADED", 1), (JUNE.plus(1), "DOWNGRADED", 0)] == await decided(world)
    ((whose, told),) = await world.rows(
        "SELECT member_id, grounds FROM tier_decision WHERE cause = 'UPGRADED'"
    )
    assert (a, ["USD"]) == (whose, msgspec.json.decode(told)["converted"])
    assert (349_999_99, 1, 1) == await reading(world, b, JUNE, "dbs")
    assert [] == await world.findings()


async def taken(world: World, programme: str, lines: Sequence[str]) -> None:
    """Import balances of a programme."""
    async with world.database.transaction() as conn:
        made = (await world.parts.catalogue.current(conn)).programmes[programme]
    done = await import_file(
        world.database,
        world.parts,
        assets_of(made),
        [ASSETS, *(f"{line}\n" for line in lines)],
        progress=lambda _: None,
    )
    assert (len(lines), 0) == (done.kept, done.refused)


async def test_nothing_is_folded_by_days_where_no_programme_counts_them(world: World) -> None:
    """One counts two currencies and joint accounts by months, another days of one currency."""
    await judged_by(world, {}, Joint.FULL_TO_EACH)
    bare: dict[str, object] = dict.fromkeys(("benefit", "line", "provider", "budget"), ())
    days = msgspec.structs.replace(converting(**LAST_26), code="days", currencies=(), **bare)
    await world.apply(days, tiers_from=EARLY)
    a, b = await world.members(2)
    await hold(world, "J,T000001,PRIMARY,2020-01-01,", "J,T000002,JOINT,2020-01-01,")
    await rates(world, "USD,2025-06-30,7,1,0")
    await balances(world, "T000001,2025-06-30,FUND,CNY,1.00,J,0")
    await fill(world)
    await balances(world, *(f"T000001,2025-06-30,FUND,{c},2.00,J,1" for c in ("CNY", "USD")))
    await rates(world, "USD,2025-06-30,8,1,1")
    assert [] == await world.rows("SELECT FROM asset_stretch_folded")
    assert [2_00, 0] == [(await reading(world, one, JUNE, "days"))[0] for one in (a, b)]
    assert [18_00, 18_00] == [(await reading(world, one, JUNE))[0] for one in (a, b)]
    assert [] == await world.findings()
