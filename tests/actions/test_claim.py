"""Claims: every refusal and its place in the order, replays, limits that many reach at once."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.keyed import Accepted
from benefits.domain.programme import Programme
from benefits.store.group import Group, grouped
from tests.actions.life import (
    PHONE,
    change,
    claimed,
    counter,
    decide,
    gift,
    give,
    holder,
    lease,
    said,
    tables,
    wallet,
    wish,
)
from tests.builders import NOON, World, reference_programme


def changed_video(**how: Any) -> Programme:
    """Return the reference programme with another video benefit."""
    programme = reference_programme()
    video = msgspec.structs.replace(programme.benefits["VIDEO"], **how)
    return msgspec.structs.replace(programme, benefit=(programme.benefit[0], video))


def with_budget(code: str, total: str) -> Programme:
    """Return the reference programme with another total of a budget."""
    raw = msgspec.to_builtins(reference_programme())
    for budget in raw["budget"]:
        budget["total"] = total if budget["code"] == code else budget["total"]
    return msgspec.convert(raw, Programme, strict=False)


async def one(world: World, command: ClaimUnits) -> str:
    """Decide one claim and return what was said."""
    (outcome,) = await decide(world, command)
    return said(outcome)


async def test_a_claim_holds_units_and_reserves_what_it_may_cost(world: World) -> None:
    """Units, cap, stock and budget are taken together."""
    member = await holder(world, quantity=3)
    await claimed(world, wish(member, quantity=2))
    assert (1, 2) == await wallet(world, member)
    assert (2, 0) == await counter(world, "stock:VIDEO")
    assert (3000, 0) == await counter(world, "budget:video")
    assert [("cap:VIDEO", "2025-07", 2)] == await world.rows(
        'SELECT counter, "window", used FROM member_counter'
    )
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("unknown_benefit", {"benefit": "YACHT"}),
        ("quantity_invalid", {"quantity": 0}),
        ("quantity_invalid", {"quantity": -1}),
        ("quantity_invalid", {"quantity": 101}),
        ("recipient_incomplete", {"recipient": {}}),
        ("recipient_incomplete", {"recipient": {"phone": ""}}),
        ("recipient_incomplete", {"recipient": {**PHONE, "name": "Wu"}}),
        ("cap_reached", {"quantity": 3}),
        ("insufficient_units", {"benefit": "LOUNGE"}),
    ],
)
async def test_a_refused_claim_changes_nothing_but_its_request(
    world: World, code: str, wanted: dict[str, Any]
) -> None:
    """A refusal has its code and leaves everything as it was (I5)."""
    member = await holder(world, quantity=4)
    before = await tables(world)
    assert code == await one(world, wish(member, key="refused", **wanted))
    after = await tables(world)
    (stored,) = [row for row in after.pop("request") if row not in before["request"]]
    assert code == stored[2]
    del before["request"]
    assert before == after


async def test_a_member_nobody_knows_is_refused(world: World) -> None:
    """An id that belongs to no member is told apart from a busy one."""
    stranger = UUID(int=7)
    for wait in (True, False):
        async with world.database.transaction() as conn:
            (outcome,) = await claim(conn, [wish(stranger)], world.parts, wait=wait)
        assert "unknown_member" == said(outcome)


async def test_a_closed_member_claims_nothing(world: World) -> None:
    """From the day after the end of the relationship on, claims are refused."""
    member = await holder(world)
    for closed_on, expected in ((date(2025, 7, 1), "member_closed"), (date(2025, 7, 2), "ok")):
        await change(world, "UPDATE member SET closed_on = '{day}'", day=closed_on)
        assert expected == await one(world, wish(member))


async def test_ended_units_are_told_apart_from_missing_ones(world: World) -> None:
    """Units that ended are refused as such at the instant they end, whatever a sweep did (C-4)."""
    member = await holder(world, "LOUNGE", valid_days=1)
    world.clock.now = NOON.replace(day=3, hour=15, minute=59, second=59)
    await claimed(world, wish(member, "LOUNGE"))
    other = await holder(world, "LOUNGE", valid_days=1)
    world.clock.now = NOON.replace(day=4, hour=16)
    assert "expired" == await one(world, wish(other, "LOUNGE"))
    assert "insufficient_units" == await one(world, wish(other, "LOUNGE", quantity=2))


async def test_the_first_failing_check_is_the_reason(world: World) -> None:
    """Member, recipient, cap, stock, budget, lots: each repaired, the next one speaks (K-2)."""
    member = await world.member()
    bad: dict[str, Any] = {"quantity": 3, "recipient": {}}
    await world.apply(changed_video(stock=0))
    await change(world, "UPDATE member SET closed_on = '2025-01-01'")
    assert "member_closed" == await one(world, wish(member, **bad))
    await change(world, "UPDATE member SET closed_on = NULL")
    assert "recipient_incomplete" == await one(world, wish(member, **bad))
    assert "cap_reached" == await one(world, wish(member, quantity=3))
    assert "stock_exhausted" == await one(world, wish(member))
    await world.apply(with_budget("video", "14.99"))
    assert "budget_exhausted" == await one(world, wish(member))
    await world.apply(with_budget("video", "15.00"))
    assert "insufficient_units" == await one(world, wish(member))
    await give(world, gift(member))
    assert "ok" == await one(world, wish(member))


async def test_the_cap_starts_anew_at_local_midnight(world: World) -> None:
    """A monthly cap is of the month in the programme's zone (K-3)."""
    world.clock.now = NOON.replace(day=31, hour=15, minute=59, second=59)
    member = await holder(world, quantity=5)
    assert ["ok", "cap_reached"] == [
        await one(world, wish(member, quantity=2)),
        await one(world, wish(member)),
    ]
    world.clock.forward(seconds=1)
    assert "ok" == await one(world, wish(member))


async def test_the_same_key_gives_the_same_outcome(world: World) -> None:
    """An acceptance and a refusal are told again as they were; nothing happens twice (C-9)."""
    member = await holder(world, quantity=1)
    commands = [wish(member), wish(member, "LOUNGE")]
    first = await decide(world, *commands)
    before = await tables(world)
    await give(world, gift(member, "LOUNGE"))
    changed = await tables(world)
    world.clock.forward(days=1)
    again = await decide(world, *commands)
    expected = [msgspec.structs.replace(o, replayed=True) for o in first]  # type: ignore[type-var]  # all were accepted
    assert expected == again
    assert changed == await tables(world)
    assert before != changed


async def test_another_body_under_a_used_key_conflicts(world: World) -> None:
    """A key says one thing for ever, per caller and member."""
    member, other = await holder(world), await holder(world)
    key = {"key": "once"}
    assert "ok" == await one(world, wish(member, **key))
    for more in ({"quantity": 2}, {"recipient": {"phone": "1"}}, {"benefit": "LOUNGE"}):
        answer = await one(world, wish(member, **key, **more))
        assert "idempotency_key_conflict" == answer
    assert "ok" == await one(world, wish(other, **key))
    assert "insufficient_units" == await one(world, wish(member, caller="branch", **key))


async def test_the_same_key_twice_in_a_group_is_one_decision(world: World) -> None:
    """The later one is told the same; with another body it conflicts."""
    member = await holder(world, quantity=3)
    first = wish(member)
    other = msgspec.structs.replace(first, quantity=2)
    made, again, conflict = await decide(world, first, first, other)
    assert isinstance(made, Accepted)
    assert Accepted(made.ids, replayed=True) == again
    assert "idempotency_key_conflict" == said(conflict)
    assert (2, 1) == await wallet(world, member)


async def test_one_by_one_and_together_end_the_same(world: World) -> None:
    """Decided one by one or in one list, commands have the same outcomes and effects (I14)."""
    await world.apply(changed_video(stock=4))
    ways: list[Any] = []
    customers = await world.members(6)
    for half in (customers[:3], customers[3:]):
        for member, quantity in zip(half, (1, 2, 5), strict=True):
            await give(world, gift(member, quantity=quantity, key=f"{member}"))
        wanted = [(0, 1), (1, 2), (1, 1), (2, 3), (0, 1), (2, 1), (2, 1), (0, 1)]
        ways.append(
            [wish(half[who], quantity=n, key=f"w{i}") for i, (who, n) in enumerate(wanted)]
        )
    alone = [await one(world, command) for command in ways[0]]
    await change(world, "UPDATE counter SET reserved = 0 WHERE counter = 'stock:VIDEO'")
    together = [said(outcome) for outcome in await decide(world, *ways[1])]
    assert alone == together
    assert {"ok", "cap_reached", "stock_exhausted"} <= set(alone)
    assert [await wallet(world, m) for m in customers[:3]] == [
        await wallet(world, m) for m in customers[3:]
    ]


async def test_of_a_hundred_claims_on_the_last_unit_one_succeeds(world: World) -> None:
    """However many connections race, the last unit of a stock is taken once (G-CAP-1)."""
    await world.apply(changed_video(stock=1))
    members = await world.members(100)
    await give(world, *(gift(member) for member in members))
    groups = [Group(world.database, grouped(claim, world.parts), f"claim{n}") for n in range(6)]
    for group in groups:
        group.start()
    outcomes = await asyncio.gather(
        *(groups[n % 6].submit(wish(member)) for n, member in enumerate(members))
    )
    for group in groups:
        await group.close()
    said_ = sorted(said(outcome) for outcome in outcomes)
    assert ["ok"] + ["stock_exhausted"] * 99 == said_
    assert (1, 0) == await counter(world, "stock:VIDEO")
    assert [] == await world.findings()


async def test_a_budget_bears_whole_claims_only(world: World) -> None:
    """10 000.00 bears 263 claims of 38.00; the next is refused with 6.00 left (G-BUD-1)."""
    members = await world.members(3)
    await give(world, *(gift(member, "LOUNGE", quantity=88) for member in members))
    commands = [wish(members[n % 3], "LOUNGE") for n in range(264)]
    outcomes = [said(outcome) for outcome in await decide(world, *commands)]
    assert ["ok"] * 263 + ["budget_exhausted"] == outcomes
    assert (999_400, 0) == await counter(world, "budget:lounge")
    assert [] == await world.findings()


async def test_the_provider_learns_only_what_the_claim_brought(world: World) -> None:
    """The recipient lies sealed in the request, and nowhere else (X-4)."""
    member = await holder(world)
    await claimed(world, wish(member))
    (work,) = await lease(world)
    assert PHONE == work.call.request.recipient
    assert [(["phone"],)] == await world.rows("SELECT disclosed FROM provider_request")
