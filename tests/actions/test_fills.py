"""Fills: two people fill a day that never came, provisionally, until its source sends it."""

import random
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions import seal_feed
from benefits.actions.agree import Decide, Propose
from benefits.actions.fill_day import Fills, fill_now
from benefits.actions.keyed import Accepted
from benefits.actions.seal_feed import apply_next
from benefits.actions.see_feeds import see_feed
from benefits.domain.explanation import explain
from benefits.domain.feeds import Decided, FeedKey, FeedState
from benefits.domain.fills import FillKind, Wanted
from benefits.domain.values import Month, member_id
from benefits.store import agreements, feeds, fills, standings
from benefits.store.feeds import Feed
from tests.actions.feeding import fed, file, manifest, send, sums, take
from tests.actions.life import change
from tests.builders import MEMBER_KEY, World
from tests.lives import seeds

JUNE = Month(2025, 6)
FROM = datetime(2025, 7, 11, 4, 0, tzinfo=UTC)
_numbers = count(1)


def core(day: int, revision: int = 0) -> FeedKey:
    """Return the key of a day of June of the core system."""
    return FeedKey("core", date(2025, 6, day), revision)


def wanted(day: int, kind: str = "CARRY_FORWARD", **more: Any) -> Wanted:
    """Return what fills a day of June."""
    return Wanted(source="core", date=date(2025, 6, day), kind=FillKind(kind), **more)


async def ask(world: World, what: Wanted, *, by: str = "maker", key: str = "") -> UUID | str:
    """Propose a fill; return its id, or the code of the refusal."""
    command = Propose(caller=by, key=key or f"k{next(_numbers)}", wanted=what, note="System down.")
    async with world.database.transaction() as conn:
        outcome = await Fills(conn, world.parts).propose(command)
    if isinstance(outcome, Accepted):
        return UUID(outcome.ids["fill_id"])
    return outcome.code


async def answer(
    world: World,
    fill_id: UUID,
    *,
    by: str = "checker",
    digest: str | None = "",
    key: str = "",
) -> str:
    """Approve a fill as it was read unless another digest is named; return `ok` or the code."""
    async with world.database.transaction() as conn:
        seen = await agreements.one(conn, fills.BOOK, fill_id)
    read = seen.digest if seen is not None and digest == "" else digest
    command = Decide(
        caller=by, key=key or f"k{next(_numbers)}", proposal_id=fill_id, digest=read, note="So."
    )
    async with world.database.transaction() as conn:
        outcome = await Fills(conn, world.parts).decide(command)
    return "ok" if isinstance(outcome, Accepted) else outcome.code


async def filled(world: World, what: Wanted) -> None:
    """Let two people fill a day."""
    fill_id = await ask(world, what)
    assert isinstance(fill_id, UUID), fill_id
    assert "ok" == await answer(world, fill_id)


async def sent(world: World, days: range, balance: int) -> UUID:
    """Let the first member have the same balance on some days of June; return who it is."""
    await fed(world)
    member = await world.member()
    for day in days:
        assert [] == await send(world, core(day), [(world.name(1), balance)])
    world.clock.now = FROM
    return member


async def state(world: World, key: FeedKey) -> FeedState:
    """Return the state of a feed."""
    async with world.database.transaction() as conn:
        feed = await feeds.one(conn, key)
    assert feed is not None
    return feed.state


async def judged(world: World, member: UUID) -> list[tuple[int, int, bool]]:
    """Return a member's decisions: rank, filled days, provisional; the first one first."""
    async with world.database.transaction() as conn:
        later = world.clock() + timedelta(seconds=9)
        found = await standings.decisions(conn, member, later, before=None, limit=9)
    each = [one.decision for one in reversed(found)]
    return [(d.after.rank, d.grounds.filled_days, d.is_provisional) for d in each]


async def test_g_miss_1_a_qualified_month_needs_no_fill(world: World) -> None:
    """G-MISS-1: 28 days of 600 000 prove PLATINUM; filling the rest adds nothing to it."""
    member = await sent(world, range(1, 29), 600_000_00)
    await world.evaluate("2025-06", member)
    assert [(2, 0, False)] == await judged(world, member)
    for day in (29, 30):
        await filled(world, wanted(day))
    done = await world.evaluate("2025-06", member)
    assert (0, 0) == (done.decisions, done.grants)
    assert [] == await world.findings()


async def test_g_miss_2_days_carried_forward_decide_provisionally(world: World) -> None:
    """G-MISS-2: 28 days of 530 000 leave it undetermined, two carried ones make PLATINUM."""
    member = await sent(world, range(1, 29), 530_000_00)
    done = await world.evaluate("2025-06", member)
    assert {1: 1} == done.ranks  # proven as far as it goes: 14 840 000 of 15 000 000
    for day in (29, 30):
        await filled(world, wanted(day))
    assert {(str(member), JUNE.start): 15_900_000_00} == await sums(world)
    await world.evaluate("2025-06", member)
    assert [(1, 0, False), (2, 2, True)] == await judged(world, member)
    async with world.database.transaction() as conn:
        (last, _) = await standings.decisions(
            conn, member, world.clock() + timedelta(days=1), before=None, limit=9
        )
        programme = (await world.parts.catalogue.current(conn)).programmes["wealth"]
    words = explain(programme, last.decision)
    assert "(30 of 30 days known, 2 of them filled in: provisional)" in words["en"]
    assert "（已知30/30天，其中2天为补录，结果暂定）" in words["zh"]
    assert [] == await world.findings()


async def test_what_the_source_sends_counts_in_place_of_a_fill(world: World) -> None:
    """The month it touched is named; deciding it anew raises, and takes nothing back (A-7)."""
    member = await sent(world, range(1, 29), 530_000_00)
    for day in (29, 30):
        await filled(world, wanted(day, "ZERO"))
    await world.evaluate("2025-06", member)
    assert [(1, 2, True)] == await judged(world, member)
    for day in (29, 30):
        world.clock.forward(seconds=1)
        assert [] == await send(world, core(day), [(world.name(1), 80_000_00)])
    async with world.database.transaction() as conn:
        seen = await see_feed(conn, core(30), world.parts)
    assert [Decided("wealth", JUNE)] == seen.decided
    await world.evaluate("2025-06", member)
    assert [(1, 2, True), (2, 0, False)] == await judged(world, member)
    assert [] == await world.findings()


async def test_no_more_than_three_days_are_carried_forward(world: World) -> None:
    """The fourth has nothing to carry, nor has the first day of a source."""
    await sent(world, range(10, 21), 100)
    assert "nothing_to_carry" == await ask(world, wanted(9))
    for day in (23, 21, 22):
        await filled(world, wanted(day))
    assert "nothing_to_carry" == await ask(world, wanted(24))
    await filled(world, wanted(24, "ZERO"))
    assert "nothing_to_carry" == await ask(world, wanted(25))
    assert [] == await world.findings()


async def test_a_day_is_filled_only_when_its_source_had_time(world: World) -> None:
    """Ten days after the month's end, and only days that are missing, of a source waited for."""
    await sent(world, range(1, 29), 100)
    world.clock.now = FROM - timedelta(hours=13)  # 10 July, an hour before midnight in Shanghai
    assert "fill_too_early" == await ask(world, wanted(29))
    world.clock.forward(hours=1)
    assert isinstance(await ask(world, wanted(29)), UUID)
    assert "day_not_missing" == await ask(world, wanted(28))
    july = Wanted(source="core", date=date(2025, 7, 1), kind=FillKind.ZERO)
    assert "fill_too_early" == await ask(world, july)
    other = Wanted(source="cards", date=date(2025, 6, 29), kind=FillKind.ZERO)
    assert "feed_not_named" == await ask(world, other)
    for what in (wanted(29, "MANUAL"), wanted(29, "ZERO", revision=-1)):
        assert "fill_invalid" == await ask(world, what)
    for day in (date(9999, 12, 31), date(3000, 1, 1), date(1969, 12, 31), date(1, 1, 1)):
        strange = Wanted(source="core", date=day, kind=FillKind.ZERO)
        assert "feed_date_invalid" == await ask(world, strange)
    last = Wanted(source="core", date=date(2999, 12, 31), kind=FillKind.ZERO)
    assert "fill_too_early" == await ask(world, last)


async def test_two_people_fill_a_day_by_what_they_read(world: World) -> None:
    """The same person, another hash, a decision before, one that would do something else."""
    await sent(world, range(1, 29), 100)
    first, second = [await ask(world, wanted(29), key="p") for _ in range(2)]
    assert first == second
    assert isinstance(first, UUID)
    assert "same_person" == await answer(world, first, by="maker")
    assert "fill_stale" == await answer(world, first, digest="0" * 64)
    assert [] == await send(world, core(28, 1), [(world.name(1), 200)])
    assert "fill_stale" == await answer(world, first)  # another day would be carried
    assert "ok" == await answer(world, first, digest=None)
    assert "fill_closed" == await answer(world, first)
    again, twin = await ask(world, wanted(29)), await ask(world, wanted(29, "ZERO"))
    assert isinstance(again, UUID)
    assert isinstance(twin, UUID)
    assert ["ok", "ok"] == [await answer(world, again, key="a") for _ in range(2)]
    assert "fill_stale" == await answer(world, twin)  # the day is not missing any more
    late = await ask(world, wanted(30))
    assert isinstance(late, UUID)
    world.clock.forward(days=7)
    assert "fill_closed" == await answer(world, late)
    assert "unknown_fill" == await answer(world, UUID(int=7), digest="0" * 64)
    assert [] == await world.findings()


async def test_a_file_fills_a_day_when_two_people_say_so(world: World) -> None:
    """It is received like a feed, counts nowhere, and then as what was received."""
    member = await sent(world, range(1, 29), 100)
    balances = [(world.name(1), 700)]
    text = file(balances)
    said = manifest(text, core(29, -1), balances)
    assert "fill_invalid" == await ask(world, wanted(29, "MANUAL", revision=-1))
    assert [] == await take(world, text, said)
    assert FeedState.OPEN is await state(world, core(29, -1))
    wrong = msgspec.structs.replace(said, rows=2)
    assert ["rows: the manifest says 2, received 1"] == await take(world, text, wrong)
    assert {(str(member), JUNE.start): 2800} == await sums(world)
    await filled(world, wanted(29, "MANUAL", revision=-1))
    assert {(str(member), JUNE.start): 3500} == await sums(world)
    assert FeedState.SEALED is await state(world, core(29, -1))
    assert [] == await send(world, core(29), [(world.name(1), 5)])
    assert {(str(member), JUNE.start): 2805} == await sums(world)
    assert [] == await world.findings()


async def test_a_file_with_bad_lines_fills_no_day(world: World) -> None:
    """What cannot be read refuses the proposal; another file is another revision."""
    await sent(world, range(1, 29), 100)
    text = file([(world.name(1), 1)]) + b"x,NONE,CNY,1.00\n"
    balances = [(world.name(1), 1), ("x", 100)]
    assert [] != await take(world, text, manifest(text, core(29, -1), balances))
    assert "fill_invalid" == await ask(world, wanted(29, "MANUAL", revision=-1))
    good = file([(world.name(1), 1)])
    key = core(29, -2)
    assert [] == await take(world, good, manifest(good, key, [(world.name(1), 1)]))
    await filled(world, wanted(29, "MANUAL", revision=-2))
    assert FeedState.SEALED is await state(world, key)


async def test_a_fill_that_was_stopped_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines are carried with the sums they move, bucket after bucket; nobody sees half of it."""
    await fed(world)
    await world.members(40)
    balances = [(world.name(n + 1), 10) for n in range(40)]
    assert [] == await send(world, core(28), balances)
    world.clock.now = FROM
    monkeypatch.setattr(seal_feed, "AT_ONCE", 10)
    fill_id = await ask(world, wanted(29))
    assert isinstance(fill_id, UUID)
    assert "ok" == await answer(world, fill_id)
    assert FeedState.WAITING is await state(world, core(29, -1))
    async with world.database.transaction() as conn:
        half = await apply_next(conn, world.parts, wait=True)
    assert half is not None
    assert FeedState.APPLYING is half.state
    assert [] == await world.findings()
    told = list[Feed]()
    done = await fill_now(world.database, world.parts, core(29, -1), told.append)
    assert (FeedState.SEALED, 3) == (done.state, len(told))
    assert {20} == set((await sums(world)).values())
    assert [] == await world.findings()


@pytest.mark.parametrize("seed", seeds(2))
async def test_fills_and_what_is_sent_count_alike_in_any_order(world: World, seed: int) -> None:
    """Of each day what the source sent last counts, else what it was filled with (3.18, 2)."""
    dice = random.Random(seed)
    await fed(world)
    await world.members(6)
    names = [world.name(n + 1) for n in range(6)]
    assert [] == await send(world, core(1), [(name, 1000) for name in names])
    world.clock.now = FROM
    steps: list[tuple[int, int | str]] = [
        *((day, revision) for day in (2, 3) for revision in range(2)),
        *((day, kind) for day in (2, 3, 4) for kind in ("CARRY_FORWARD", "ZERO")),
        *((1, revision) for revision in (1, 2)),
    ]
    dice.shuffle(steps)
    counted: dict[int, tuple[int, dict[str, int]]] = {1: (0, dict.fromkeys(names, 1000))}
    for day, what in steps:
        highest = counted.get(day, (-9, {}))[0]
        if isinstance(what, int):
            told = {name: dice.randrange(1000) for name in names if dice.random() < 0.7}
            assert [] == await send(world, core(day, what), list(told.items()))
            if what > highest:
                counted[day] = (what, told)
        elif highest > -9:
            assert "day_not_missing" == await ask(world, wanted(day, what))
        else:
            await filled(world, wanted(day, what))
            last = max(d for d, (revision, _) in counted.items() if d < day and revision >= 0)
            counted[day] = (-1, counted[last][1] if what == "CARRY_FORWARD" else {})
        assert [] == await world.findings()
    expected = dict[tuple[str, date], int]()
    for _, told in counted.values():
        for name, balance in told.items():
            place = (str(member_id(name, MEMBER_KEY)), JUNE.start)
            expected[place] = expected.get(place, 0) + balance
    assert {place: n for place, n in expected.items() if n} == await sums(world)


@pytest.mark.parametrize(
    ("kind", "tampering"),
    [
        ("fill_differs", "DELETE FROM feed_fill_decision"),
        ("fill_differs", "UPDATE feed SET rows = rows + 1 WHERE revision < 0"),
        ("fill_differs", "UPDATE feed SET carried_revision = 3 WHERE revision < 0"),
        ("fill_differs", "DELETE FROM feed WHERE revision < 0"),
        ("digest_differs", "UPDATE feed_fill SET note = 'Another.'"),
        ("decided_by_proposer", "UPDATE feed_fill_decision SET decided_by = 'maker'"),
    ],
)
async def test_a_fill_that_was_changed_is_found(world: World, kind: str, tampering: str) -> None:
    """Whatever a superuser changes of what two people agreed on, verify names it."""
    await sent(world, range(27, 29), 100)
    await filled(world, wanted(29))
    assert [] == await world.findings()
    await change(world, "SET LOCAL session_replication_role = replica", tampering)
    assert kind in {finding.kind for finding in await world.findings()}
