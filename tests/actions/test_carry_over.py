"""Carry-over in the books: what lives on, what a cap ends, once, whoever grants (P-5)."""

from datetime import date

from msgspec.structs import replace

from benefits.domain.carry import Carry
from benefits.domain.labels import Layer
from benefits.domain.packages import Anchor, Downgrade, Line, LinePeriod, Segment, Start
from benefits.domain.values import Month
from tests.actions.life import change, claimed, decide, expire_lots, said, wallet, wish
from tests.actions.limiting import local
from tests.actions.test_start_period import having, line, work
from tests.actions.test_ways import take
from tests.builders import World, reference_programme

CARRIED = line("monthly", LinePeriod.MONTH, quota={"BASE": 2}, carry=Carry(periods=1, cap=3))
RICH, RICHER = 520_000_00, 5_200_000_00


async def cuts(world: World) -> list[tuple[str, int]]:
    """Return what ended beyond caps, by the period that had brought it, in order."""
    found = await world.rows(
        "SELECT l.period, e.data ->> 'quantity' AS quantity FROM outbox AS e "
        "JOIN lot AS l ON l.bucket = e.bucket AND l.lot_id = e.subject_id "
        "WHERE e.type = 'entitlement.expired' AND e.data ? 'cap' ORDER BY e.recorded_at"
    )
    return [(row.period, int(row.quantity)) for row in found]


async def test_g_carry_1_unused_units_live_one_more_month_up_to_a_cap(world: World) -> None:
    """G-CARRY-1: monthly 2, one more period, cap 3; 0, 1, 0 and 4 are asked for."""
    await having(world, CARRIED)
    member, told = await world.member(), []
    for month, asked in ((2, 0), (3, 1), (4, 0), (5, 4)):
        before = len(await cuts(world))
        await work(world, local(2025, month, 1))
        await work(world)
        cut = sum(quantity for _, quantity in (await cuts(world))[before:])
        await expire_lots(world)
        there, _ = await wallet(world, member, "LOUNGE")
        outcomes = [said((await decide(world, wish(member, "LOUNGE")))[0]) for _ in range(asked)]
        left, _ = await wallet(world, member, "LOUNGE")
        told.append((cut, there, outcomes.count("ok"), outcomes[outcomes.count("ok") :], left))
        assert [] == await world.findings()
    assert [
        (0, 2, 0, [], 2),
        (1, 3, 1, [], 2),
        (1, 3, 0, [], 3),
        (1, 3, 3, ["expired"], 0),
    ] == told
    assert [("2025-02", 1), ("2025-03", 1), ("2025-04", 1)] == await cuts(world)
    ended = await world.rows("SELECT period, granted, remaining, expired FROM lot ORDER BY period")
    assert [
        ("2025-02", 2, 1, 1),
        ("2025-03", 2, 0, 2),
        ("2025-04", 2, 1, 1),
        ("2025-05", 2, 2, 0),
    ] == [tuple(row) for row in ended]


async def test_held_units_stay_and_what_is_cut_is_told(world: World) -> None:
    """P-5: a claim under way keeps its units; the event names the cap, as of the grant."""
    await having(world, replace(CARRIED, carry=Carry(periods=2, cap=2)))
    member = await world.member()
    await work(world, local(2025, 2, 1))
    await claimed(world, wish(member, "LOUNGE"))
    await work(world, local(2025, 3, 1))
    assert (2, 1) == await wallet(world, member, "LOUNGE")
    assert [("2025-02", 1)] == await cuts(world)
    ((data, actor, effective_at),) = await world.rows(
        "SELECT e.data, b.actor, b.effective_at FROM outbox AS e JOIN batch AS b "
        "ON b.bucket = e.bucket AND b.batch_id = e.batch_id WHERE e.type = 'entitlement.expired'"
    )
    assert {"unit": "BENEFIT:LOUNGE", "quantity": 1, "cap": 2} == data
    assert ("system:carry-over", local(2025, 3, 1)) == (actor, effective_at)
    await work(world, local(2025, 3, 2))
    assert 0 == await expire_lots(world)
    assert [("2025-02", 1)] == await cuts(world)
    assert [] == await world.findings()


async def test_a_rise_keeps_within_the_cap_and_counts_nothing_carried(world: World) -> None:
    """P-4, P-5: topped up to the quota, whatever was carried, and carried units make room."""
    quota = {"BASE": 2, "PLATINUM": 4, "DIAMOND": 6}
    await having(world, replace(CARRIED, quota=quota, carry=Carry(periods=1, cap=7)))
    member = await world.member()
    await work(world, local(2025, 7, 1))
    await work(world, local(2025, 8, 1))
    assert [] == await cuts(world)
    world.clock.now = local(2025, 8, 3)
    await world.month(world.name(1), "2025-07", RICHER)
    assert 1 == (await world.evaluate("2025-07", member)).grants
    assert 0 == (await world.evaluate("2025-07", member)).grants
    assert (7, 0) == await wallet(world, member, "LOUNGE")
    assert [("2025-07", 1)] == await cuts(world)
    assert [] == await world.findings()


async def test_a_fall_leaves_what_was_carried(world: World) -> None:
    """P-6: only the period's own units follow the quota, and what comes back fits the cap."""
    quota = {"BASE": 1, "PLATINUM": 4}
    quarterly = replace(
        CARRIED,
        period=LinePeriod.QUARTER,
        quota=quota,
        start=Start.EVALUATION,
        downgrade=Downgrade.REVOKE_EXCESS,
        carry=Carry(periods=1, cap=5),
    )
    tiers = list(reference_programme().tier)
    tiers[2] = replace(tiers[2], misses=1)
    await world.apply(
        replace(reference_programme(), line=(quarterly,), tier=tuple(tiers)),
        tiers_from=Month(2025, 1),
    )
    member, balances = await world.member(), list[int]()
    for month, level in ((2, RICH), (3, RICH), (4, 1), (5, RICH)):
        world.clock.now = local(2025, month + 1, 3)
        await world.month(world.name(1), f"2025-0{month}", level)
        for _ in "ab":
            await world.evaluate(f"2025-0{month}", member)
        balances.append((await wallet(world, member, "LOUNGE"))[0])
        assert [] == await world.findings()
    assert [4, 5, 2, 5] == balances
    assert [("2025-Q1", 3)] == await cuts(world)


async def test_periods_of_members_own_are_carried_over(world: World) -> None:
    """P-2, P-5: to the end of the next month counted from a 31st, in an opening's own months."""
    own = replace(CARRIED, anchor=Anchor.ANNIVERSARY)
    rolling = replace(own, code="roll", period=LinePeriod.ROLLING, days=10)
    await having(world, own, rolling)
    await world.member(date(2024, 5, 31))
    await work(world, local(2025, 1, 31))
    await work(world, local(2025, 2, 28))
    ends = await world.rows("SELECT line, period, expires_at FROM lot ORDER BY line, period")
    assert [
        ("monthly", "2025-01-31", local(2025, 3, 31)),
        ("monthly", "2025-02-28", local(2025, 4, 30)),
        ("roll", "2025-01-26", local(2025, 2, 15)),
        ("roll", "2025-02-25", local(2025, 3, 17)),
    ] == [tuple(row) for row in ends]
    assert [("2025-01-31", 1)] == await cuts(world)
    assert [] == await world.findings()


async def test_units_of_segments_are_carried_over(world: World) -> None:
    """P-2, P-5: and lines keep their caps each, though they bring the same benefit."""
    payroll = Segment(label="p", layer=Layer.FACT, name={"zh": "代发", "en": "Payroll"})
    segment = Line(
        code="payroll",
        benefit="LOUNGE",
        period=LinePeriod.MONTH,
        segment=payroll,
        quantity=2,
        start=Start.PERIOD,
        carry=Carry(periods=1, cap=2),
    )
    await having(world, CARRIED, segment)
    member = await world.member()
    world.clock.now = local(2025, 2, 1)
    await take(world, f"{world.name(1)},p,FACT,2024-01-01,,v1")
    await work(world, local(2025, 2, 2))
    await work(world, local(2025, 3, 1))
    assert (5, 0) == await wallet(world, member, "LOUNGE")
    assert [("2025-02", 1), ("2025-02", 2)] == sorted(await cuts(world))


async def test_an_end_before_its_time_needs_a_line_and_a_cap(world: World) -> None:
    """L-5: `verify` tells an expiry that neither time nor a cap explains."""
    await having(world, CARRIED)
    await world.member()
    await work(world, local(2025, 2, 1))
    await work(world, local(2025, 3, 1))
    assert [] == await world.findings()
    await change(
        world,
        "SET LOCAL session_replication_role = replica",
        "UPDATE outbox SET data = data - 'cap' WHERE type = 'entitlement.expired'",
    )
    assert "batch_terms_differ" in {finding.kind for finding in await world.findings()}
