"""Limits of persons with several customer numbers, and from one recurring day to the next."""

import asyncio

from benefits.domain.limits import OnFull, Scope
from benefits.domain.members import Person
from benefits.domain.orders import Done, Reason, Rejected
from benefits.domain.recurring import Recurring
from tests.actions.life import call_back, claimed, gift, give, number_of, wish
from tests.actions.limiting import ask, limit, limited, local, windows
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
