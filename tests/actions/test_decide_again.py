"""Fraud: two people have a tier decided anew at once, and unclaimed units go with it (A-7)."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from benefits.actions.agree import Decide
from benefits.actions.claim import claim
from benefits.actions.enact import Proposals
from benefits.actions.keep_stretches import keep_stretches
from benefits.actions.look_ahead import look_ahead
from benefits.actions.replay import replay
from benefits.domain.assets import AssetLine
from benefits.domain.explanation import explain
from benefits.domain.orders import Done
from benefits.domain.packages import Downgrade, Line
from benefits.domain.policy import Lock, Metric, Policy, UpgradeTiming
from benefits.domain.programme import Programme
from benefits.domain.proposals import FraudEffect, FraudWanted, Taken, read
from benefits.domain.values import Month
from tests.actions.agreeing import agreed, answer, ask, seen
from tests.actions.life import claimed, decide, lease, record, said, states, wallet, wish
from tests.actions.merging import merge
from tests.actions.test_early_terms import decided as evaluated
from tests.actions.test_early_terms import locking, told
from tests.actions.test_evaluate import GOLD, PLATINUM, RICH, causes, rank, standing
from tests.actions.test_evaluate_again import corrected
from tests.actions.test_races import waiting
from tests.builders import NOON, World, reference_programme

POOR = 60_000_00
JULY = datetime(2025, 7, 3, 2, tzinfo=UTC)


def fraud(member: UUID, since: str = "2025-06", **more: Any) -> FraudWanted:
    """Return what asks to decide a member anew."""
    return FraudWanted(member_id=member, since=since, **{"programme": "wealth", **more})


async def deceived(world: World) -> UUID:
    """Return a member whose June made them platinum, and was gold by now; nothing fell so far."""
    world.clock.now = JULY
    member = await world.member()
    await world.month(world.name(1), "2025-06", RICH)
    await world.evaluate("2025-06", member)
    await corrected(world, "2025-06", POOR)
    world.clock.forward(days=1)
    assert 0 == (await world.evaluate("2025-06", member)).decisions
    assert PLATINUM == await rank(world, member)
    return member


async def effect(world: World, proposal_id: UUID | str) -> FraudEffect:
    """Return what a proposal would do."""
    kept = await seen(world, proposal_id)
    found = read(kept.kind, kept.body, kept.effect)
    assert found is not None
    assert isinstance(found[1], FraudEffect)
    return found[1]


async def test_fraud_takes_the_tier_and_what_nobody_claimed_at_once(world: World) -> None:
    """A-7, P-6, T-12: a claim that is held goes on; the event is that of any downgrade."""
    member = await deceived(world)
    await claimed(world, wish(member))
    asked = await ask(world, fraud(member))
    would = await effect(world, asked)
    assert ("PLATINUM", "GOLD", "2025-06") == (would.before, would.after, would.month)
    gone = {Taken(line="video", period="2025-07", quantity="1")}
    gone |= {Taken(line="lounge", period="2025-Q3", quantity="2")}
    assert gone == set(would.units)
    assert ("ok", "GOLD") == (await answer(world, asked), (await seen(world, asked)).result)
    assert (GOLD, ["UPGRADED", "FRAUD"]) == (await rank(world, member), await causes(world))
    assert (0, 1) == await wallet(world, member)
    assert (0, 0) == await wallet(world, member, "LOUNGE")
    ((at, data),) = await world.rows(
        "SELECT d.effective_from, o.data FROM outbox AS o JOIN tier_decision AS d "
        "ON d.decision_id = o.subject_id WHERE o.type = 'tier.downgraded'"
    )
    assert (world.clock.now, "PLATINUM", "GOLD") == (
        at.replace(microsecond=0),
        data["from"],
        data["to"],
    )
    (work,) = await lease(world)
    await record(world, work, Done(at=NOON, reference="R1"))
    assert ["ISSUED"] == await states(world)
    assert [] == await world.findings()


async def test_the_explanation_says_so_in_both_languages(world: World) -> None:
    """X-6: since when the balances were false, by what reason, and which tier holds."""
    member = await deceived(world)
    await agreed(world, fraud(member))
    decision = (await standing(world, member, world.clock() + timedelta(seconds=1))).decided
    assert decision is not None
    words = explain(reference_programme(), decision)
    assert words["en"].startswith("Two people found that balances from June 2025 on were fraud")
    assert words["en"].endswith("is now Gold.")
    assert words["zh"].startswith("2025年6月起")
    assert "FRAUD" in words["zh"]
    assert words["zh"].endswith("现为金卡。")


async def test_no_evaluation_gives_back_what_fraud_took(world: World) -> None:
    """A-7: what stood as June was settled is protected no more, whatever corrections come."""
    member = await deceived(world)
    await agreed(world, fraud(member))
    world.clock.forward(days=1)
    done = await world.evaluate("2025-06", member)
    assert (0, 0) == (done.decisions, done.grants)
    for revision, level, expected in ((2, RICH, PLATINUM), (3, POOR, GOLD)):
        await corrected(world, "2025-06", level, revision)
        world.clock.forward(days=1)
        await world.evaluate("2025-06", member)
        assert expected == await rank(world, member)
    await corrected(world, "2025-06", 1, 4)  # no fraud: what is gold by now stays until July
    world.clock.forward(days=1)
    await world.evaluate("2025-06", member)
    assert GOLD == await rank(world, member)
    assert [] == await world.findings()


async def test_fraud_that_is_decided_once_more_is_told_as_a_correction(world: World) -> None:
    """T-12: down, up by a correction, and down again; each kind comes once of a month's tier."""
    member = await deceived(world)
    await agreed(world, fraud(member))
    for revision, level in ((2, RICH), (3, POOR)):
        await corrected(world, "2025-06", level, revision)
        world.clock.forward(days=1)
        if level == RICH:
            await world.evaluate("2025-06", member)
    await agreed(world, fraud(member))
    found = await world.rows("SELECT type FROM outbox WHERE type LIKE 'tier.%' ORDER BY seq")
    kinds = ["upgraded", "downgraded", "corrected", "corrected"]
    assert [f"tier.{kind}" for kind in kinds] == [row.type for row in found]
    assert (GOLD, ["UPGRADED", "FRAUD", "CORRECTED", "FRAUD"]) == (
        await rank(world, member),
        await causes(world),
    )


@pytest.mark.parametrize("since", ["2025-02", "2025-04"])
@pytest.mark.parametrize(
    ("true", "false"),
    [
        ([POOR, RICH, POOR, POOR, POOR, POOR], [RICH] * 6),
        ([RICH, POOR, POOR, POOR, POOR, POOR], [RICH, RICH, POOR, POOR, RICH, RICH]),
        ([RICH, RICH, RICH, POOR, POOR, 1], [RICH, RICH, RICH, 5_200_000_00, RICH, RICH]),
    ],
)
async def test_what_follows_is_what_true_balances_would_have_come_to(
    world: World, true: list[int], false: list[int], since: str
) -> None:
    """T-8: after fraud, and months later, the record is as if they had been from the start."""
    members = await world.members(2)
    for nth, levels in enumerate(zip(false, true, strict=True), 1):
        month = Month(2025, nth)
        for number, level in enumerate(levels, 1):
            await world.month(world.name(number), str(month), level)
        world.clock.now = datetime.combine(month.end, time(2), UTC)
        for member in members:
            await world.evaluate(str(month), member)
    world.clock.forward(days=9)
    for nth, (was, level) in enumerate(zip(false, true, strict=True), 1):
        if was != level:
            await corrected(world, f"2025-0{nth}", level)
    await agreed(world, fraud(members[0], since))
    for nth in range(1, 7):
        world.clock.forward(days=1)
        done = await world.evaluate(f"2025-0{nth}", members[0])
        assert await rank(world, members[1]) == await rank(world, members[0])
    assert (0, 0) == (done.decisions, done.grants)
    for nth in (7, 8):
        for number in (1, 2):
            await world.month(world.name(number), f"2025-0{nth}", POOR)
        world.clock.now = datetime.combine(Month(2025, nth).end, time(2), UTC)
        for member in members:
            await world.evaluate(f"2025-0{nth}", member)
    last = [
        (await standing(world, member, world.clock() + timedelta(seconds=1))).decided
        for member in members
    ]
    one, other = [each.after.shown if each else None for each in last]
    assert one == other
    assert [] == await world.findings()


async def test_what_changes_nothing_is_refused(world: World) -> None:
    """It says so and does nothing: not lower, nobody's, of no programme, of no decided month."""
    world.clock.now = JULY
    member, other = await world.members(2)
    await world.month(world.name(1), "2025-06", RICH)
    assert "proposal_invalid" == await ask(world, fraud(member))
    await world.evaluate("2025-06", member)
    for wanted in (
        fraud(member),
        fraud(member, "2025-07"),
        fraud(member, "2025-13"),
        fraud(member, programme="none"),
        fraud(other),
    ):
        assert "proposal_invalid" == await ask(world, wanted)
    assert "unknown_member" == await ask(world, fraud(uuid4()))
    assert ["UPGRADED"] == await causes(world)
    assert [] == await world.rows("SELECT proposal_id FROM proposal")


async def test_nothing_is_decided_of_sums_that_are_being_kept(world: World) -> None:
    """A-6: a version counts other days of June, and nobody has added them up so far."""
    await world.apply(judging(None), tiers_from=Month(2025, 1))
    world.clock.now = JULY
    member = await world.member()
    await world.month(world.name(1), "2025-06", RICH)
    await world.evaluate("2025-06", member)
    await world.apply(judging(20), tiers_from=Month(2025, 6))
    assert "proposal_invalid" == await ask(world, fraud(member))
    await keep_stretches(world.database, world.parts)
    assert "proposal_invalid" == await ask(world, fraud(member))  # it is no lower
    await corrected(world, "2025-06", POOR)
    assert "ok" == await answer(world, await ask(world, fraud(member)))
    assert ["UPGRADED", "FRAUD"] == await causes(world)


def judging(days: int | None) -> Programme:
    """Return a programme that judges a month's average, or some days up to its last."""
    plain = reference_programme()
    policy = Policy() if days is None else Policy(metric=Metric.ROLLING, days=days)
    return msgspec.structs.replace(plain, policy=policy)


async def test_two_people_agree_once(world: World) -> None:
    """X-2: not the maker alone, not twice; of two proposals the second would do nothing."""
    member = await deceived(world)
    first, second = [await ask(world, fraud(member)) for _ in range(2)]
    assert "same_person" == await answer(world, first, by="maker")
    assert PLATINUM == await rank(world, member)
    assert "ok" == await answer(world, first, key="once")
    assert "ok" == await answer(world, first, key="once", digest=(await seen(world, first)).digest)
    assert "proposal_closed" == await answer(world, first)
    assert "proposal_stale" == await answer(world, second)
    assert ["UPGRADED", "FRAUD"] == await causes(world)


async def test_a_month_that_is_decided_meanwhile_makes_it_stale(world: World) -> None:
    """What was read is not what would be: July's evaluation has followed the fold."""
    member = await deceived(world)
    world.clock.now = datetime(2025, 8, 1, 2, tzinfo=UTC)
    asked = await ask(world, fraud(member))
    await world.month(world.name(1), "2025-07", POOR)
    await world.evaluate("2025-07", member)
    assert "proposal_stale" == await answer(world, asked)
    assert ["UPGRADED", "CORRECTED"] == await causes(world)


async def test_claims_go_on_between_proposal_and_approval(world: World) -> None:
    """0021: what is claimed by then stays with its claim, and the proposal stands."""
    member = await deceived(world)
    asked = await ask(world, fraud(member))
    await claimed(world, wish(member), wish(member, "LOUNGE"))
    assert "ok" == await answer(world, asked)
    assert ((0, 1), (0, 1)) == (
        await wallet(world, member),
        await wallet(world, member, "LOUNGE"),
    )


async def test_a_claim_that_waited_finds_what_fraud_left(world: World) -> None:
    """Approved first: gold's one unit is left; claimed first: the claim is honoured."""
    member = await deceived(world)
    asked = await ask(world, fraud(member))
    digest = (await seen(world, asked)).digest
    assert isinstance(asked, UUID)
    command = Decide(caller="checker", proposal_id=asked, digest=digest)
    async with world.database.transaction() as conn:
        await Proposals(conn, world.parts).say(command)
        task = await waiting(decide(world, wish(member), wish(member)))
    assert ["ok", "insufficient_units"] == [said(outcome) for outcome in await task]
    assert [] == await world.findings()


async def test_an_approval_that_waited_honours_the_claim(world: World) -> None:
    """The claim is first: both pieces are held, and only what is left of the lounge goes."""
    member = await deceived(world)
    asked = await ask(world, fraud(member))
    async with world.database.transaction() as conn:
        await claim(conn, [wish(member), wish(member)], world.parts, wait=True)
        task = await waiting(answer(world, asked))
    assert "ok" == await task
    assert ((0, 2), (0, 0)) == (
        await wallet(world, member),
        await wallet(world, member, "LOUNGE"),
    )
    assert [] == await world.findings()


async def test_an_evaluation_waits_and_changes_nothing_more(world: World) -> None:
    """It reads the member under the lock, and finds the fold on record already."""
    member = await deceived(world)
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    asked = await ask(world, fraud(member))
    digest = (await seen(world, asked)).digest
    assert isinstance(asked, UUID)
    await world.month(world.name(1), "2025-07", POOR)
    async with world.database.transaction() as conn:
        command = Decide(caller="checker", proposal_id=asked, digest=digest)
        await Proposals(conn, world.parts).say(command)
        task = await waiting(world.evaluate("2025-07", member))
    await task
    assert ["UPGRADED", "FRAUD"] == await causes(world)
    assert GOLD == await rank(world, member)
    assert [] == await world.findings()


async def having(world: World, **more: Any) -> None:
    """Let the programme have one line of visits a month."""
    visits = Line(
        code="visits",
        benefit="LOUNGE",
        period=reference_programme().line[1].period,
        quota={"GOLD": 1, "PLATINUM": 2},
        **more,
    )
    changed = msgspec.structs.replace(reference_programme(), line=(visits,))
    await world.apply(changed, tiers_from=Month(2024, 1))


@pytest.mark.parametrize("downgrade", [Downgrade.KEEP_UNTIL_EXPIRY, Downgrade.REVOKE_ALL])
async def test_periods_keep_what_is_right_for_them(world: World, downgrade: Downgrade) -> None:
    """P-6: platinum by right until April, gold from May on; each period keeps its own quota.

    What the line's policy takes of any fall it takes of this one, too.
    """
    await having(world, valid_days=300, downgrade=downgrade)
    member = await world.member()
    for nth in range(1, 7):
        month = Month(2025, nth)
        await world.month(world.name(1), str(month), RICH)
        world.clock.now = datetime.combine(month.end, time(2), UTC)
        await world.evaluate(str(month), member)
    world.clock.forward(days=9)
    for nth in range(2, 7):
        await corrected(world, f"2025-0{nth}", POOR)
    await agreed(world, fraud(member, "2025-02"))
    found = await world.rows("SELECT period, remaining::int AS left FROM lot ORDER BY period")
    left = [row.left for row in found]
    is_kept = downgrade is Downgrade.KEEP_UNTIL_EXPIRY
    assert [f"2025-0{n}" for n in range(2, 8)] == [row.period for row in found]
    assert ([2, 2, 2, 1, 1, 1] if is_kept else [0] * 6) == left
    assert 0 == (await world.evaluate("2025-06", member)).grants
    assert [] == await world.findings()


async def test_units_go_though_the_tier_has_fallen_before(world: World) -> None:
    """The month followed the correction; what was kept of the wrong tier goes with the word."""
    await having(world, valid_days=300)
    member = await deceived(world)
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", POOR)
    await world.evaluate("2025-07", member)
    assert (3, 0) == await wallet(world, member, "LOUNGE")
    proposal_id = await agreed(world, fraud(member))
    would = await effect(world, proposal_id)
    assert ("GOLD", "GOLD", 1) == (would.before, would.after, len(would.units))
    assert (2, 0) == await wallet(world, member, "LOUNGE")
    assert ["UPGRADED", "CORRECTED"] == await causes(world)
    assert "proposal_invalid" == await ask(world, fraud(member))
    assert [] == await world.findings()


async def test_units_go_that_came_to_who_was_merged_since(world: World) -> None:
    """T-10: the wrong tier of a period that is over was the other customer's own."""
    await having(world, valid_days=300)
    member = await deceived(world)
    other = await world.member()
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", POOR)
    await world.evaluate("2025-07", member)
    await world.evaluate("2025-07", other)
    await merge(world, member, other)
    assert (3, 0) == await wallet(world, other, "LOUNGE")
    await agreed(world, fraud(other))
    assert (2, 0) == await wallet(world, other, "LOUNGE")
    assert [] == await world.findings()


async def test_who_was_merged_is_decided_as_the_member(world: World) -> None:
    """T-10: the proposal names the old number, and says whom it decides."""
    member = await deceived(world)
    other = await world.member()
    await merge(world, other, member)
    asked = await ask(world, fraud(other))
    assert member == (await effect(world, asked)).member_id
    assert "ok" == await answer(world, asked)
    assert GOLD == await rank(world, member)


async def test_an_early_rise_by_fraud_begins_no_term(world: World) -> None:
    """T-5, T-3: platinum of the 5th was false; that of the 20th is locked from the 20th on."""
    await world.apply(locking(Lock(months=12), UpgradeTiming.INSTANT), tiers_from=Month(2024, 1))
    member = await world.member()
    await evaluated(world, Month(2025, 1))

    async def brought(first: int, last: int, minor: int, revision: int) -> None:
        days = [date(2025, 2, n) for n in range(first, last)]
        await world.assets(
            [
                AssetLine(world.name(1), day, "DEPOSIT", "CNY", minor, "", "", revision)
                for day in days
            ]
        )

    await brought(1, 5, 4_000_000_00, 0)
    world.clock.now = datetime(2025, 2, 5, 2, tzinfo=UTC)
    assert 1 == (await look_ahead(world.database, world.parts, "wealth")).risen
    await brought(1, 5, POOR, 1)
    world.clock.forward(hours=1)
    await agreed(world, fraud(member, "2025-02"))
    assert 0 == await rank(world, member)
    await brought(5, 20, 2_000_000_00, 0)
    world.clock.now = datetime(2025, 2, 20, 2, tzinfo=UTC)
    assert 1 == (await look_ahead(world.database, world.parts, "wealth")).risen
    rises = await world.rows("SELECT type FROM outbox WHERE data ->> 'to' = 'PLATINUM'")
    assert {"tier.upgraded", "tier.corrected"} == {row.type for row in rises}
    await brought(20, 29, POOR, 0)
    assert 0 == await evaluated(world, Month(2025, 2))
    assert "2026-02-20" == (await told(world, member))[-1][2]
    assert [] == await world.findings()


async def test_what_was_decided_for_fraud_comes_out_again(world: World) -> None:
    """C-7, 3.18, 10: from what was known then, whatever is corrected afterwards."""
    member = await deceived(world)
    await agreed(world, fraud(member))
    world.clock.forward(days=1)
    await corrected(world, "2025-06", RICH, revision=2)
    ((decision_id,),) = await world.rows(
        "SELECT decision_id FROM tier_decision WHERE cause = 'FRAUD'"
    )
    async with world.database.transaction() as conn:
        assert [] == (await replay(conn, world.parts, member, decision_id)).differs
