"""Choices: a unit becomes one of a benefit under its own terms, once or not at all (P-8)."""

import asyncio
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from benefits.actions.choose import choose
from benefits.actions.keyed import Accepted
from benefits.actions.see_choices import see_choices
from benefits.domain.benefit import ClawBack
from benefits.domain.blocks import Scope, Why
from benefits.domain.carry import Carry
from benefits.domain.compliance import Trigger
from benefits.domain.corrections import Kind
from benefits.domain.orders import Done, Outcome, Reason, Rejected, Used
from benefits.domain.packages import Anchor, Downgrade, LinePeriod, Start
from benefits.domain.programme import Programme
from benefits.domain.values import Month
from benefits.store.db import Busy
from tests.actions.agreeing import agreed, block
from tests.actions.choosing import (
    DIAMOND,
    EIGHT,
    PLATINUM,
    chooser,
    choosing,
    chose,
    decided,
    pick,
    platinum,
    units,
)
from tests.actions.desk import correct
from tests.actions.life import (
    call_back,
    claimed,
    decide,
    expire_lots,
    gift,
    give,
    number_of,
    said,
    wish,
)
from tests.actions.limiting import local
from tests.actions.merging import left, merged, sweep
from tests.actions.test_stacking import start
from tests.builders import World
from tests.lives import seeds

END = datetime(2025, 9, 30, 16, 0, tzinfo=UTC)


async def lots(world: World, member: UUID) -> list[tuple[object, ...]]:
    """Return a member's lots: unit, granted, what for, and until when."""
    found = await world.rows(
        "SELECT unit, granted::int, line, period, cause, priority::int, expires_at FROM lot "
        "WHERE member_id = $1 ORDER BY unit",
        member,
    )
    return [tuple(row) for row in found]


async def test_a_unit_becomes_one_of_the_benefit_under_its_terms(world: World) -> None:
    """L-2, L-4: one for one in one batch; line, period, cause and end are the choice lot's."""
    member = await chooser(world)
    assert {"CHOICE:PICK": 3} == await units(world, member)
    assert ["ok"] == await chose(world, pick(member))
    assert {"BENEFIT:VIDEO": 1, "CHOICE:PICK": 2} == await units(world, member)
    terms = ("pick", "2025-Q3", "TIER", 0, END)
    assert [("BENEFIT:VIDEO", 1, *terms), ("CHOICE:PICK", 3, *terms)] == await lots(world, member)
    moved = await world.rows(
        "SELECT p.debit, p.credit, p.unit, p.amount::int FROM posting AS p "
        "JOIN batch AS b USING (bucket, batch_id) WHERE b.kind = 'entitlement.converted' "
        "ORDER BY p.line"
    )
    expected = [
        ("available", "converted", "CHOICE:PICK", 1),
        ("issued", "available", "BENEFIT:VIDEO", 1),
    ]
    assert expected == [tuple(row) for row in moved]
    assert ["ok"] == [said(outcome) for outcome in await decide(world, wish(member))]
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("programme", "second"),
    [(choosing(), "choice_repeated"), (choosing(repeat=True), "ok")],
    ids=["once", "repeat"],
)
async def test_g_choice_1_twice_the_same_only_where_it_may(
    world: World, programme: Programme, second: str
) -> None:
    """G-CHOICE-1: three of eight: video, then video again."""
    member = await chooser(world, programme)
    assert ["ok", second] == await chose(world, pick(member), pick(member))
    assert ["ok"] == await chose(world, pick(member, "LOUNGE"))
    assert [] == await world.findings()


async def test_each_period_is_chosen_anew(world: World) -> None:
    """Once in what a line brings a period: the next quarter's units may become a video again."""
    member = await chooser(world)
    assert ["ok"] == await chose(world, pick(member))
    world.clock.now = datetime(2025, 10, 2, 4, tzinfo=UTC)
    await world.month(world.name(1), "2025-09", PLATINUM)
    for month in ("2025-07", "2025-08"):
        await world.month(world.name(1), month, PLATINUM)
        await world.evaluate(month, member)
    await world.evaluate("2025-09", member)
    assert ["ok", "choice_repeated"] == await chose(world, pick(member), pick(member))


async def test_the_same_key_chooses_once(world: World) -> None:
    """C-9: the same wish again is the same lot; another under the key is a conflict."""
    member = await chooser(world)
    wanted = pick(member)
    (first,), (again,) = await decided(world, wanted), await decided(world, wanted)
    assert first == replace(again, replayed=False)  # type: ignore[type-var]  # both accepted
    assert ["idempotency_key_conflict"] == await chose(world, replace(wanted, benefit="LOUNGE"))
    assert {"BENEFIT:VIDEO": 1, "CHOICE:PICK": 2} == await units(world, member)


async def test_what_cannot_be_chosen_is_refused_and_changes_nothing(world: World) -> None:
    """Unknown choices and benefits, other members, units that are used up or over."""
    programme = choosing(quota=1)
    choice = replace(programme.choice[0], benefits=("LOUNGE", "VIDEO"))
    member = await chooser(world, replace(programme, choice=(choice,)))
    wrong = [pick(member, choice="OTHER"), pick(member, "TREAT1"), pick(member, "NONE")]
    refused = ["unknown_choice", "choice_not_offered", "choice_not_offered"]
    assert refused == await chose(world, *wrong)
    assert ["unknown_member"] == await chose(world, pick(uuid4()))
    assert {"CHOICE:PICK": 1} == await units(world, member)
    assert ["ok", "insufficient_units"] == await chose(world, pick(member), pick(member, "LOUNGE"))
    assert [] == await world.findings()


async def test_units_nobody_chose_with_end_as_what_they_are(world: World) -> None:
    """L-5: the sweep expires both kinds at the end of the quarter, and nothing is chosen then."""
    member = await chooser(world)
    assert ["ok"] == await chose(world, pick(member))
    world.clock.now = END
    assert ["expired"] == await chose(world, pick(member, "LOUNGE"))
    assert 2 == await expire_lots(world)
    found = await world.rows("SELECT unit, expired::int FROM lot ORDER BY unit")
    assert [("BENEFIT:VIDEO", 1), ("CHOICE:PICK", 2)] == [tuple(row) for row in found]
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("scope", "target", "why", "expected"),
    [
        (Scope.ALL, "", Why.LEGAL_FREEZE, "blocked"),
        (Scope.ALL, "", Why.OTHER, "blocked"),
        (Scope.CLAIM, "", Why.OTHER, "blocked"),
        (Scope.BENEFIT, "VIDEO", Why.OTHER, "blocked"),
        (Scope.BENEFIT, "LOUNGE", Why.OTHER, "ok"),
    ],
)
async def test_a_block_of_claims_stops_choosing(
    world: World, scope: Scope, target: str, why: Why, expected: str
) -> None:
    """E-6: what may not be claimed is not chosen either."""
    member = await chooser(world)
    await agreed(world, block(member, scope, target=target, why=why))
    assert [expected] == await chose(world, pick(member))


@pytest.mark.parametrize(("target", "expected"), [("TREAT1", "blocked"), ("VIDEO", "ok")])
async def test_a_block_of_what_replaces_a_benefit_stops_choosing_it(
    world: World, target: str, expected: str
) -> None:
    """V-6, E-6: a claim of it would be served by the other, and so it is seen."""
    programme = choosing()
    over = {"contract_end": date(2025, 6, 30), "replacement": "TREAT1", "recipient": ("phone",)}
    benefits = tuple(
        replace(one, **over) if one.code == "VIDEO" else one for one in programme.benefit
    )
    member = await chooser(world, replace(programme, benefit=benefits))
    await agreed(world, block(member, Scope.BENEFIT, target=target))
    async with world.database.transaction() as conn:
        seen = (await see_choices(conn, member, world.parts)).offered["PICK"].refusals["VIDEO"]
    assert (expected == "blocked") == (seen is not None)
    assert [expected] == await chose(world, pick(member))


async def test_a_contract_ends_what_is_chosen(world: World) -> None:
    """V-6: the lot ends with the benefit's contract; after it nothing is chosen."""
    programme = choosing()
    ending = tuple(
        replace(one, contract_end=date(2025, 8, 31)) if one.code == "VIDEO" else one
        for one in programme.benefit
    )
    member = await chooser(world, replace(programme, benefit=ending))
    assert ["ok"] == await chose(world, pick(member))
    ends = {unit: end for unit, *_, end in await lots(world, member)}
    expected = {"BENEFIT:VIDEO": datetime(2025, 8, 31, 16, tzinfo=UTC), "CHOICE:PICK": END}
    assert expected == ends
    world.clock.now = datetime(2025, 9, 1, 4, tzinfo=UTC)
    assert ["contract_ended"] == await chose(world, pick(member))
    assert [] == await world.findings()


async def test_what_could_never_be_claimed_is_not_chosen(world: World) -> None:
    """P-9: video is claimed no more, lounges not before the units end; the page says so."""
    windows = {
        "VIDEO": {"claim_until": date(2025, 7, 1)},
        "LOUNGE": {"claim_from": date(2025, 10, 1)},
        "TREAT1": {"claim_from": date(2025, 9, 30)},
    }
    programme = choosing()
    benefits = tuple(replace(one, **windows.get(one.code, {})) for one in programme.benefit)
    member = await chooser(world, replace(programme, benefit=benefits))
    async with world.database.transaction() as conn:
        seen = (await see_choices(conn, member, world.parts)).offered["PICK"].refusals
    barred = {code for code, refusal in seen.items() if refusal}
    assert {"VIDEO", "LOUNGE"} == barred
    wishes = [pick(member, code) for code in ("VIDEO", "LOUNGE", "TREAT1")]
    assert ["claim_window", "claim_window", "ok"] == await chose(world, *wishes)


async def test_what_was_chosen_counts_for_the_cap_of_its_line(world: World) -> None:
    """P-5, P-8: a line carries over so many units, whatever they became."""
    (line,) = choosing().line
    monthly = replace(
        line,
        period=LinePeriod.MONTH,
        quota={"BASE": 2},
        start=Start.PERIOD,
        carry=Carry(periods=1, cap=2),
    )
    await world.apply(replace(choosing(), line=(monthly,)))
    member = await world.member()
    world.clock.now = local(2025, 7, 1)
    await start(world)
    assert ["ok", "ok"] == await chose(world, pick(member), pick(member, "LOUNGE"))
    world.clock.now = local(2025, 8, 1)
    await start(world)
    assert {"CHOICE:PICK": 2} == await units(world, member)
    assert [] == await world.findings()


async def test_whoever_has_left_chooses_nothing(world: World) -> None:
    """T-10: as nothing is claimed after the end of the relationship."""
    member = await chooser(world)
    await left(world, 1, date(2025, 7, 1))
    assert ["member_closed"] == await chose(world, pick(member))


async def test_who_was_merged_chooses_for_the_other(world: World) -> None:
    """T-10: units and what was chosen go along; the old number still works."""
    await world.apply(choosing())
    one, other = await platinum(world, 2)
    assert ["ok"] == await chose(world, pick(one))
    await merged(world, one, other)
    await sweep(world)
    assert 5 == (await units(world, other))["CHOICE:PICK"]
    assert ["choice_repeated", "ok"] == await chose(world, pick(other), pick(one, "LOUNGE"))
    assert 4 == (await units(world, other))["CHOICE:PICK"]
    assert [] == await world.findings()


async def test_two_who_are_one_choose_once_in_a_period_of_their_own(world: World) -> None:
    """P-8, T-10: the period of either counts for that of the one whom they are now."""
    (line,) = choosing().line
    own = replace(
        line,
        period=LinePeriod.MONTH,
        anchor=Anchor.ANNIVERSARY,
        quota={"BASE": 2},
        start=Start.PERIOD,
    )
    await world.apply(replace(choosing(), line=(own,)))
    one, other = await world.member(date(2024, 1, 5)), await world.member(date(2024, 1, 8))
    world.clock.now = local(2025, 7, 9)
    await start(world)
    assert ["ok"] == await chose(world, pick(one))
    await merged(world, one, other)
    await sweep(world)
    assert ["choice_repeated", "ok"] == await chose(world, pick(other), pick(other, "LOUNGE"))


async def test_a_debt_is_paid_by_what_is_chosen(world: World) -> None:
    """L-8: a lot of the benefit pays what is owed of it first, as any grant does."""
    programme = choosing()
    owing = tuple(replace(one, claw_back=ClawBack.DEBT) for one in programme.benefit)
    member = await chooser(world, replace(programme, benefit=owing))
    await give(world, gift(member, "LOUNGE"))
    (claim,) = await claimed(world, wish(member, "LOUNGE"))
    await call_back(world, await number_of(world, claim), Used(at=world.clock()))
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 1, benefit="LOUNGE")
    assert ["ok"] == await chose(world, pick(member, "LOUNGE"))
    assert {"CHOICE:PICK": 2} == await units(world, member)
    assert [0, 0] == [row.owed for row in await world.rows("SELECT owed::int FROM wallet")]
    assert [] == await world.findings()


async def test_a_fall_takes_choices_and_what_was_chosen(world: World) -> None:
    """P-6: unused units go whatever they became, and come back as that; held ones stay."""
    programme = choosing(downgrade=Downgrade.REVOKE_EXCESS, quota=1)
    tiers = tuple(replace(one, misses=1) for one in programme.tier[1:])
    falling = replace(programme, tier=(programme.tier[0], *tiers))
    line = replace(falling.line[0], period=LinePeriod.YEAR)
    await world.apply(replace(falling, line=(line,)), tiers_from=Month(2025, 1))
    (member,) = await platinum(world, level=DIAMOND)
    assert ["ok"] * 4 == await chose(world, *[pick(member, code) for code in EIGHT[:4]])
    await claimed(world, wish(member))
    for number, level in ((7, PLATINUM), (8, DIAMOND)):
        world.clock.now = datetime(2025, number + 1, 2, 4, tzinfo=UTC)
        await world.month(world.name(1), f"2025-{number:02d}", level)
        before = await units(world, member)
        await world.evaluate(f"2025-{number:02d}", member)
        after = await units(world, member)
        low, high = sorted((before, after), key=len)
        assert ({}, 4, {"CHOICE:PICK": 1}) == (
            low,
            sum(high.values()),
            {unit: count for unit, count in high.items() if unit.startswith("CHOICE")},
        )
        assert [] == await world.findings()
    found = await world.rows(
        "SELECT DISTINCT data ->> 'benefit' AS benefit, data ->> 'choice' AS choice FROM outbox "
        "WHERE type = 'entitlement.restored'"
    )
    expected = {("", "PICK"), ("LOUNGE", None), ("TREAT1", None), ("TREAT2", None)}
    assert expected == {tuple(row) for row in found}


async def test_two_who_choose_the_last_unit_get_it_once(world: World) -> None:
    """The member's lock: whoever waited sees that it is gone; who does not wait is told busy."""
    member = await chooser(world, choosing(quota=1, repeat=True))
    async with world.database.transaction() as conn:
        (first,) = await choose(conn, [pick(member)], world.parts, wait=True)
        async with world.database.transaction() as other:
            (busy,) = await choose(other, [pick(member)], world.parts, wait=False)
        assert isinstance(busy, Busy)
        second = asyncio.create_task(decided(world, pick(member)))
        await asyncio.sleep(0.1)
        assert not second.done()
    assert ["ok", "insufficient_units"] == [said(first), *map(said, await second)]
    assert {"BENEFIT:VIDEO": 1} == await units(world, member)
    assert [] == await world.findings()


async def test_together_is_one_after_the_other(world: World) -> None:
    """A list of several members and benefits decides as each alone would."""
    await world.apply(choosing())
    one, other = await platinum(world, 2)
    picks = [(one, "VIDEO"), (other, "VIDEO"), (one, "VIDEO"), (other, "LOUNGE"), (one, "TREAT1")]
    together = await chose(world, *(pick(*each) for each in picks))
    assert ["ok", "ok", "choice_repeated", "ok", "ok"] == together
    assert [] == await world.findings()


@pytest.mark.parametrize("seed", seeds(3))
async def test_nothing_is_lost_or_made_by_choosing(world: World, seed: int) -> None:
    """L-4: chosen, claimed, refused, delivered, merged and expired at random, units are kept."""
    chance = random.Random(seed)
    await world.apply(choosing(repeat=seed % 2 == 1, quota=6, priority=seed or None))
    members = await platinum(world, 2)
    chosen, open_ = 0, list[UUID]()
    for _ in range(40):
        world.clock.forward(hours=chance.randrange(40))
        member, benefit = chance.choice(members), chance.choice(EIGHT[:4])
        match chance.randrange(8):
            case 0 | 1 | 2:
                chosen += (await chose(world, pick(member, benefit))).count("ok")
            case 3 | 4:
                (outcome,) = await decide(world, wish(member, benefit))
                if isinstance(outcome, Accepted):
                    open_.append(UUID(outcome.ids["claim_id"]))
            case 5 | 6 if open_:
                number = await number_of(world, open_.pop())
                done, no = Done(at=world.clock()), Rejected(Reason.LIMIT, "no")
                answer: Outcome = done if chance.random() < 0.5 else no
                await call_back(world, number, answer)
            case 7:
                await sweep(world)
            case _:
                pass
    await merged(world, *members)
    chosen += (await chose(world, *(pick(id_, code) for id_ in members for code in EIGHT))).count(
        "ok"
    )
    world.clock.forward(days=100)
    await sweep(world)
    sums = {
        (row.unit, row.account): row.amount
        for row in await world.rows(
            """SELECT split_part(p.unit, ':', 1) AS unit, a.account,
                      sum(a.sign * p.amount)::int AS amount FROM posting AS p
               CROSS JOIN LATERAL (VALUES (p.debit, -1), (p.credit, 1)) AS a (account, sign)
               WHERE p.unit NOT LIKE 'MONEY:%' GROUP BY 1, 2"""
        )
    }
    assert chosen > 0
    assert chosen == sums["CHOICE", "converted"] == -sums["BENEFIT", "issued"]
    assert 12 == -sums["CHOICE", "issued"] == chosen + sums.get(("CHOICE", "expired"), 0)
    assert 0 == sums["CHOICE", "available"]
    assert [] == await world.findings()


async def test_the_crm_rewards_with_a_choice(world: World) -> None:
    """N-2, P-8: once per business key, in whole units; the member chooses once for each reward."""
    await world.apply(choosing(), tiers_from=Month(2025, 1))
    member = await world.member()
    two = gift(member, "PICK", business_key="spring", quantity=2)
    again = gift(member, "PICK", business_key="spring", quantity=2)
    part = gift(member, "PICK", quantity=Decimal("0.5"))
    other = gift(member, "PICK", trigger=Trigger.REFERRAL)
    outcomes = await give(world, two, again, part, other)
    expected = ["ok", "ok", "quantity_too_fine", "trigger_undeclared"]
    assert expected == [said(outcome) for outcome in outcomes]
    assert {"CHOICE:PICK": 2} == await units(world, member)
    told = await world.rows(
        "SELECT data ->> 'benefit' AS benefit, data ->> 'choice' AS choice FROM outbox "
        "WHERE type = 'entitlement.granted'"
    )
    assert [("", "PICK")] == [tuple(row) for row in told]
    wanted = (pick(member), pick(member), pick(member, "LOUNGE"))
    assert ["ok", "choice_repeated", "ok"] == await chose(world, *wanted)
    end = datetime(2025, 8, 1, 16, 0, tzinfo=UTC)
    terms = ("PICK", "spring", "REWARD", 1, end)
    assert ("BENEFIT:VIDEO", 1, *terms) in await lots(world, member)
    await give(world, gift(member, "PICK", business_key="summer"))
    assert ["ok"] == await chose(world, pick(member))  # another reward, chosen for anew
    assert ["ok", "ok"] == [said(one) for one in await decide(world, wish(member), wish(member))]
    assert [] == await world.findings()
