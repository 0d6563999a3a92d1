"""Limits of persons with several customer numbers, and from one recurring day to the next."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from benefits.domain.labels import LabelAsked, Layer
from benefits.domain.limits import OnFull, Scope
from benefits.domain.members import Person
from benefits.domain.orders import Done, Reason, Rejected
from benefits.domain.recurring import Recurring
from tests.actions.life import call_back, claimed, decide, gift, give, number_of, said, wish
from tests.actions.limiting import ask, limit, limited, local, rich, windows
from tests.actions.test_ways import take
from tests.builders import World

REFUSED = Rejected(Reason.LIMIT, "limit")


async def test_a_person_has_one_room_under_all_customer_numbers(world: World) -> None:
    """By the identity document; without one each number has its own."""
    await limited(world, limit("one", 1, Scope.PERSON))
    ids = Person(("person",), document="310101196503010011")
    first, second = await world.members(2, person=ids)
    other = await world.member(person=Person(("person",), document="another"))
    unknown, nobody = await world.members(2)
    everybody = (first, second, other, unknown, nobody)
    await give(world, *(gift(member, "LOUNGE", quantity=9) for member in everybody))
    both = await asyncio.gather(ask(world, first), ask(world, second))
    assert ["cap_reached", "ok"] == sorted(both)
    assert ["ok", "ok", "ok"] == [await ask(world, each) for each in (other, unknown, nobody)]
    assert ["cap_reached"] * 5 == [await ask(world, each) for each in everybody]
    (held,) = await world.rows(
        "SELECT claim_id FROM claim WHERE member_id IN ($1, $2)", first, second
    )
    number = await number_of(world, held.claim_id)
    await call_back(world, number, REFUSED)
    later = first if both[1] == "ok" else second
    assert "ok" == await ask(world, later)
    await call_back(world, number, Done(at=world.clock.now))  # there is no room again: a loss
    assert 4 == sum((await windows(world)).values())
    assert [] == await world.findings()


async def test_a_window_turns_on_a_recurring_day(world: World) -> None:
    """One for each car owners' day, the 18th, until the next; it returns to its own (K-1, K-5)."""
    world.clock.now = local(2025, 7, 17, 12)
    day = Recurring(day=18)
    await limited(world, limit("day", 1, window=None, on=day, on_full=OnFull.NEXT_WINDOW))
    member = await world.member()
    await give(world, gift(member, "LOUNGE", quantity=9, valid_days=90))
    (early,) = await claimed(world, wish(member, "LOUNGE"))
    world.clock.now = local(2025, 7, 17, 23, 59, 59)
    assert "cap_reached" == await ask(world, member)
    world.clock.now = local(2025, 7, 18)
    assert "ok" == await ask(world, member)
    world.clock.now = local(2025, 8, 17, 23)
    assert "cap_reached" == await ask(world, member)
    await call_back(world, await number_of(world, early), REFUSED)
    taken = {("limit:day", "since-2025-06-18"): 0, ("limit:day", "since-2025-07-18"): 1}
    assert taken == await windows(world)
    assert [] == await world.findings()


WEEK = limit("often", 2, days=7)


async def taken(world: World) -> list[int]:
    """Return what is taken at each instant, of rolling windows of many; the books are right."""
    assert [] == await world.findings()
    return [n for (_, window), n in sorted((await windows(world)).items()) if "T" in window]


async def test_a_rolling_window_of_all_ends_to_the_microsecond(world: World) -> None:
    """G-FREQ-1, K-7: 2 in 7 days for all; a microsecond before the first has left is too early."""
    await limited(world, WEEK)
    first, second, third = [await rich(world) for _ in range(3)]
    for day, member in ((1, first), (4, second)):
        world.clock.now = local(2025, 6, day, 10)
        assert "ok" == await ask(world, member)
    for ago, expected in ((1, "cap_reached"), (0, "ok"), (0, "cap_reached")):
        world.clock.now = local(2025, 6, 8, 10) - timedelta(microseconds=ago)
        assert expected == await ask(world, third)
    assert [1, 1, 1] == await taken(world)


async def test_of_a_hundred_claims_at_the_edge_of_a_rolling_window_one_is_accepted(
    world: World,
) -> None:
    """G-CAP-1, K-7: 2 of 3 were taken before, at other instants; whoever comes first is third."""
    world.clock.now = local(2025, 6, 1, 10)
    await limited(world, limit("often", 3, days=7))
    members = [await rich(world) for _ in range(100)]
    for day, member in zip((2, 3), members, strict=False):
        world.clock.now = local(2025, 6, day, 10)
        assert "ok" == await ask(world, member)
    world.clock.now = local(2025, 6, 9, 9, 59, 59)
    found = await asyncio.gather(*(ask(world, member) for member in members))
    assert (1, 99) == (found.count("ok"), found.count("cap_reached"))
    assert [1, 1, 1] == await taken(world)


async def test_claims_of_two_budgets_meet_at_a_rolling_window(world: World) -> None:
    """K-7: nothing but the limit is shared, and of two at the same moment one is accepted."""
    await limited(world, limit("often", 1, days=7))
    one, other = await rich(world), await rich(world, "VIDEO")
    await asyncio.gather(*(world.rows("SELECT pg_sleep(0.1)") for _ in range(2)))  # both connect
    found = await asyncio.gather(ask(world, one), ask(world, other, "VIDEO"))
    assert ["cap_reached", "ok"] == sorted(found)
    assert [] == await world.findings()


async def test_a_group_takes_no_more_of_a_rolling_window_than_one_by_one(world: World) -> None:
    """K-7, I15: each of a group sees what the one before it took, in one place and in two."""
    await limited(world, limit("often", 3, days=7), limit("rarely", 5, days=30))
    members = [await rich(world) for _ in range(3)]
    world.clock.now = local(2025, 6, 2, 10)
    both = [wish(member, "LOUNGE", quantity=2) for member in members]
    last = wish(members[0], "LOUNGE")
    said_of = [said(one) for one in await decide(world, *both, last, wish(members[1], "LOUNGE"))]
    assert ["ok", "cap_reached", "cap_reached", "ok", "cap_reached"] == said_of
    assert [3, 3] == await taken(world)
    world.clock.now = local(2025, 6, 12, 10)
    more = [wish(member, "LOUNGE") for member in members]
    assert ["ok", "ok", "cap_reached"] == [said(one) for one in await decide(world, *more)]
    assert [2, 2, 3, 3] == sorted(await taken(world))


async def test_a_clock_that_is_behind_takes_no_more_than_every_window_has(world: World) -> None:
    """K-7: what is committed counts, though its instant is later than that of who comes then."""
    await limited(world, limit("often", 1, days=7))
    first, second = await rich(world), await rich(world)
    world.clock.now = local(2025, 6, 8, 10)
    assert "ok" == await ask(world, first)
    world.clock.now -= timedelta(seconds=1)
    assert "cap_reached" == await ask(world, second)
    assert [1] == await taken(world)


async def test_what_comes_back_to_a_rolling_window_of_all_returns_to_its_instant(
    world: World,
) -> None:
    """K-5, K-7: and is taken again by a late delivery only where every window over it has room."""
    await limited(world, WEEK)
    members = [await rich(world) for _ in range(4)]
    early = list[UUID]()
    for day, member in zip((1, 4), members, strict=False):
        world.clock.now = local(2025, 6, day, 10)
        early += await claimed(world, wish(member, "LOUNGE"))
    number = await number_of(world, early[1])
    await call_back(world, number, REFUSED)
    assert [0, 1] == sorted(await taken(world))
    world.clock.now = local(2025, 6, 9, 10)
    assert ["ok", "ok", "cap_reached"] == [
        await ask(world, members[2]),
        await ask(world, members[3]),
        await ask(world, members[0]),
    ]
    await call_back(world, number, Done(at=world.clock.now))  # no room is left: a loss
    assert [1, 0, 2] == await taken(world)
    (loss,) = await world.rows("SELECT count(*) AS n FROM posting WHERE credit = 'loss'")
    assert loss.n > 0


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.MEMBER])
async def test_whoever_shares_a_rolling_window_is_told_apart(world: World, scope: Scope) -> None:
    """K-1, K-7: two of one person, label and branch share it; others where the scope is theirs."""
    label = LabelAsked(label="payroll", layer=Layer.FACT) if scope is Scope.SEGMENT else None
    await limited(world, limit("often", 1, scope, days=7, segment=label))
    one = Person(("person",), document="310101196503010011")
    first, second = await world.members(2, person=one)
    other = await world.member(person=Person(("person",), document="another"))
    await give(world, *(gift(each, "LOUNGE", quantity=9) for each in (first, second, other)))
    if label is not None:
        for nth in (1, 2):
            await take(world, f"{world.name(nth)},payroll,FACT,2025-06-01,,v1")
    expected = "ok" if scope in {Scope.PERSON, Scope.SEGMENT} else "cap_reached"
    assert ["ok", "cap_reached", expected] == [
        await ask(world, each) for each in (first, second, other)
    ]
    assert 1 == min(await taken(world))
