"""Two people agree on a version, on a combination, on a block: X-2, U-1, X-1."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec.structs import replace

from benefits.actions.agree import Decide
from benefits.actions.apply_programme import apply_programme
from benefits.actions.enact import Proposals
from benefits.actions.give_notice import Given, give_notice
from benefits.domain.compliance import Nature, Trigger
from benefits.domain.guard import ComplianceForbidden, ComplianceUnapproved
from benefits.domain.labels import Layer
from benefits.domain.packages import Segment, Start
from benefits.domain.programme_file import read, write
from benefits.domain.terms import Channel
from benefits.store import agreements, proposals
from benefits.store.agreements import Sort
from benefits.store.catalogue import Cache
from benefits.store.db import Connection, run
from benefits.web.agreements import Around
from benefits.web.proposal_views import shown
from tests.actions.agreeing import (
    agreed,
    answer,
    ask,
    block,
    combination,
    seen,
    unblocked,
    version,
)
from tests.actions.choosing import choosing
from tests.actions.life import (
    change,
    fresh,
    gift,
    give,
    said,
)
from tests.actions.merging import left
from tests.actions.test_races import waiting
from tests.actions.test_try_programme import platinum
from tests.actions.test_ways import take
from tests.builders import PROGRAMME, World
from tests.roles import administrator

MORE = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 3, DIAMOND = 6")
LAST = '\n[[line]]\ncode = "more"\nbenefit = "LOUNGE"\nperiod = "YEAR"\nquota = { PLATINUM = 1 }\n'
LESS = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 6")


def given_for(nature: str, *triggers: str, cost: str = "15.00") -> str:
    """Return the reference programme with VIDEO out of its line, a reward of some nature."""
    declared = ", ".join(f'"{trigger}"' for trigger in triggers)
    of_video = f'cost = "{cost}"\nnature = "{nature}"\ntriggers = [{declared}]'
    text = PROGRAMME.replace('cost = "15.00"', of_video)
    return text[: text.index('[[line]]\ncode = "video"')]


async def applied(world: World, text: str) -> str:
    """Put a programme into force; return `ok` or the code of the refusal."""
    try:
        await world.apply(read(text))
    except (ComplianceForbidden, ComplianceUnapproved) as refusal:
        return refusal.code
    return "ok"


async def current(world: World) -> int:
    """Return which version of the reference programme is in force."""
    async with world.database.transaction() as conn:
        return (await world.parts.catalogue.current(conn)).programme_versions["wealth"]


async def test_a_list_brings_proposals_without_their_documents(world: World) -> None:
    """A page of a hundred is not a hundred files; one that is read for itself is whole."""
    made = [await ask(world, version(MORE))]
    world.clock.forward(seconds=1)
    made.append(await ask(world, block(await world.member())))
    whole = [await seen(world, one) for one in made]
    sort = Sort(now=world.clock.now)
    async with world.database.transaction() as conn:
        found = await agreements.briefly(conn, proposals.BOOK, None, sort, limit=10)
        every = await agreements.listed(conn, proposals.BOOK, None, sort, limit=10)
    assert whole == list(every)
    short = msgspec.structs.replace(whole[0], body={**whole[0].body, "document": "-"})
    assert [short, whole[1]] == list(found)


async def test_a_version_comes_into_force_by_two(world: World) -> None:
    """X-2, U-1: what it changes, whom it reaches and what it costs is kept, then it holds."""
    await world.member()
    await world.month(world.name(1), "2025-06", 520_000_00)
    (member,) = [row.member_id for row in await world.rows("SELECT member_id FROM member")]
    await world.evaluate("2025-06", member)
    proposal_id = await ask(world, version(MORE))
    kept = await seen(world, proposal_id)
    assert ("wealth", "PROPOSED", 1) == (
        kept.subject,
        kept.state(world.clock()),
        await current(world),
    )
    assert [("line.lounge.quota.PLATINUM", "2", "3", False)] == [
        tuple(each["change"][name] for name in ("path", "before", "after", "is_worse"))
        for each in kept.effect["changes"]
    ]
    assert [
        {
            "line": "lounge",
            "tier": "PLATINUM",
            "before": "2",
            "after": "3",
            "members": 1,
            "cost_minor_before": 76_00,
            "cost_minor_after": 114_00,
            "segment": "",
        }
    ] == kept.effect["reach"]
    assert "same_person" == await answer(world, proposal_id, by="maker")
    assert "proposal_stale" == await answer(world, proposal_id, digest="0" * 64)
    assert ("ok", 2) == (await answer(world, proposal_id), await current(world))
    kept = await seen(world, proposal_id)
    assert ("APPROVED", "checker", "2") == (kept.verdict, kept.decided_by, kept.result)
    assert "proposal_closed" == await answer(world, proposal_id)
    assert "proposal_invalid" == await ask(world, version(MORE))
    assert [] == await world.findings()


async def test_a_version_is_stale_once_another_is_in_force(world: World) -> None:
    """What was read is no longer what would change."""
    first, second = await ask(world, version(MORE)), await ask(world, version(LESS))
    assert "ok" == await answer(world, first)
    assert "proposal_stale" == await answer(world, second)
    assert 2 == await current(world)


async def test_members_are_told_before_two_people_agree(world: World) -> None:
    """U-2: a worse version is proposed, and approved once members were told in time."""
    proposal_id = await ask(world, version(LESS))
    (change,) = (await seen(world, proposal_id)).effect["changes"]
    assert (True, "") == (change["change"]["is_worse"], change["told_on"])
    assert "notice_missing" == await answer(world, proposal_id)
    day = world.clock().date() - timedelta(days=40)
    given = Given(channel=Channel.SMS, given_on=day, text="One visit a quarter.", by="anna-li")
    async with world.database.transaction() as conn:
        await give_notice(conn, world.parts, read(LESS), given)
    assert "ok" == await answer(world, proposal_id)
    assert [] == await world.findings()


async def test_a_version_is_of_the_month_that_was_read(world: World) -> None:
    """U-1: proposed in July it judges from July on, or is stale; a month that was named stays."""
    running, named = await ask(world, version(MORE)), version(MORE, tiers_from="2025-09")
    later = await ask(world, named)
    kept = (await seen(world, running)).effect, (await seen(world, later)).effect
    assert ["2025-07", "2025-09"] == [effect["first_month"] for effect in kept]
    world.clock.now = datetime(2025, 7, 31, 15, 59, 59, tzinfo=UTC)
    other, named = await ask(world, version(MORE)), version(MORE, tiers_from="2025-09")
    later = await ask(world, named)
    world.clock.forward(seconds=1)
    assert "proposal_stale" == await answer(world, other)
    assert "ok" == await answer(world, later)
    (row,) = await world.rows("SELECT tiers_from FROM programme WHERE version = 2")
    assert date(2025, 9, 1) == row.tiers_from


async def test_whom_a_version_reaches_is_counted_before_anything_is_locked(world: World) -> None:
    """Who counts keeps nobody from approving, and who approves does not count."""
    first = await ask(world, version(MORE))
    async with administrator(world.database) as conn:
        await run(conn, "LOCK TABLE tier_decision")
        counting = await waiting(ask(world, version(MORE + LAST)))
        assert "ok" == await answer(world, first)
    effect = (await seen(world, await counting)).effect
    assert (2, [("more", "PLATINUM")]) == (
        effect["replaces"],
        [(each["line"], each["tier"]) for each in effect["reach"]],
    )


async def test_whom_segments_and_choices_reach_is_counted(world: World) -> None:
    """X-2, P-2, P-8: those who carry the label, and the tiers that choose among other benefits."""
    programme = choosing()
    (choice,), (picked,) = programme.choice, programme.line
    fewer = replace(choice, benefits=("LOUNGE", "VIDEO"))
    await world.apply(replace(programme, choice=(fewer,)))
    await world.members(3)
    for nth in (1, 2):
        await take(world, f"{world.name(nth)},payroll,FACT,2025-06-01,,v1")
    await left(world, 2, date(2025, 6, 30))
    segment = Segment(label="payroll", layer=Layer.FACT, name={"zh": "代发", "en": "Payroll"})
    paid = replace(picked, code="paid", quota={}, segment=segment, quantity=2, start=Start.PERIOD)
    proposal_id = await ask(world, version(write(replace(programme, line=(picked, paid)))))
    assert [
        ("pick", "PLATINUM", "", 0, 0, 0),
        ("pick", "DIAMOND", "", 0, 0, 0),
        ("paid", "", "FACT:payroll", 1, 0, 76_00),
    ] == [
        tuple(
            each[name]
            for name in (
                *("line", "tier", "segment", "members"),
                *("cost_minor_before", "cost_minor_after"),
            )
        )
        for each in (await seen(world, proposal_id)).effect["reach"]
    ]


@pytest.mark.parametrize(
    ("old", "new", "costs"),
    [
        ('cost = "38.00"', 'cost = "380.00"', (76_00, 760_00)),
        (
            'benefit = "LOUNGE"\n',
            'benefit = "LOUNGE"\neligible = { staff = false }\n',
            (76_00, 76_00),
        ),
    ],
)
async def test_whom_a_cost_or_a_rule_reaches_is_counted(
    world: World, old: str, new: str, costs: tuple[int, int]
) -> None:
    """X-2: the quota stays, and what it costs at worst does not, or who of the tier has it."""
    await platinum(world)
    assert old in PROGRAMME
    proposal_id = await ask(world, version(PROGRAMME.replace(old, new, 1)))
    reach = (await seen(world, proposal_id)).effect["reach"]
    (one,) = [each for each in reach if each["tier"] == "PLATINUM"]
    assert ("lounge", "2", "2", 1) == tuple(
        one[name] for name in ("line", "before", "after", "members")
    )
    assert costs == (one["cost_minor_before"], one["cost_minor_after"])


async def test_a_proposal_ends_once(world: World) -> None:
    """It is rejected by another, withdrawn by its own, or over after seven days."""
    first, second, third = [await ask(world, version(MORE)) for _ in range(3)]
    assert "ok" == await answer(world, first, digest=None)
    assert "ok" == await answer(world, second, by="maker", digest=None)
    assert ["REJECTED", "WITHDRAWN"] == [
        (await seen(world, each)).verdict for each in (first, second)
    ]
    world.clock.forward(days=7)
    assert "proposal_closed" == await answer(world, third)
    assert "EXPIRED" == (await seen(world, third)).state(world.clock())
    assert "unknown_proposal" == await answer(world, uuid4(), digest="0" * 64)
    assert 1 == await current(world)
    assert [] == await world.findings()


async def test_the_same_key_says_it_once(world: World) -> None:
    """C-9: a repeated proposal or approval is the first one; of two at once one is."""
    first = await ask(world, version(MORE), key="p")
    assert first == await ask(world, version(MORE), key="p")
    assert "idempotency_key_conflict" == await ask(world, version(LESS), key="p")
    assert ["ok", "ok"] == [await answer(world, first, key="a") for _ in range(2)]
    assert 2 == await current(world)
    other = await ask(world, version(MORE + LAST))
    both = await asyncio.gather(answer(world, other), answer(world, other, by="third"))
    assert ["ok", "proposal_closed"] == sorted(both)
    assert 3 == await current(world)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("code = 1", "programme_invalid"),
        (PROGRAMME.replace('code = "BASE"', 'code = "LOW"'), "programme_invalid"),
        (PROGRAMME, "proposal_invalid"),
    ],
)
async def test_what_could_not_be_in_force_is_not_proposed(
    world: World, text: str, code: str
) -> None:
    """A file that does not read, that breaks what must stay, or that changes nothing."""
    assert code == await ask(world, version(text))


async def test_g_x_1_cash_for_new_money_is_refused(world: World) -> None:
    """G-X-1: 500 yuan for 500 000 of new deposits cannot be applied, nor rewarded beside it."""
    text = given_for("CASH", "DEPOSIT", cost="500.00")
    with pytest.raises(ComplianceForbidden, match="Commercial Bank Law"):
        await world.apply(read(text))
    effect = (await seen(world, await ask(world, version(text)))).effect
    assert ["FORBIDDEN"] == [each["verdict"] for each in effect["findings"]]
    assert "ok" == await applied(world, given_for("CASH", "ACTIVITY", cost="500.00"))
    member = await world.member()
    outcomes = [
        said((await give(world, gift(member, trigger=trigger)))[0])
        for trigger in (Trigger.DEPOSIT, Trigger.ACTIVITY, None)
    ]
    assert ["trigger_undeclared", "ok", "ok"] == outcomes


async def test_g_x_2_a_voucher_for_a_wealth_product_is_refused(world: World) -> None:
    """G-X-2: 50 yuan for buying a wealth product; two people cannot allow it either."""
    text = given_for("VOUCHER_VALUE", "WEALTH_PURCHASE", cost="50.00")
    assert "compliance_forbidden" == await applied(world, text)
    wanted = combination(Trigger.WEALTH_PURCHASE, Nature.VOUCHER_VALUE)
    assert "proposal_invalid" == await ask(world, wanted)
    assert "compliance_forbidden" == await answer(world, await ask(world, version(text)))


async def test_g_x_3_services_for_a_tier_are_allowed(world: World) -> None:
    """G-X-3: PLATINUM by month average brings 2 lounge visits, and nobody needs to agree."""
    assert "ok" == await applied(
        world,
        PROGRAMME.replace('budget = "lounge"\nrec', 'budget = "lounge"\nnature = "SERVICE"\nrec'),
    )
    assert "proposal_invalid" == await ask(world, combination(Trigger.TIER, Nature.SERVICE))


@pytest.mark.parametrize(
    ("cost", "code"), [("50000.01", "compliance_forbidden"), ("50000.00", "compliance_unapproved")]
)
async def test_g_x_4_a_first_prize_is_worth_50_000_at_most(
    world: World, cost: str, code: str
) -> None:
    """G-X-4: 50 000.01 is refused, 50 000.00 needs two people, and two prizes are too many."""
    text = given_for("CASH", "RANDOM_DRAW", cost=cost)
    assert code == await applied(world, text)
    await agreed(world, combination(Trigger.RANDOM_DRAW, Nature.CASH))
    lasting = "compliance_forbidden" if code == "compliance_forbidden" else "ok"
    assert lasting == await applied(world, text)
    if lasting == "ok":
        member = await world.member()
        outcomes = [
            said((await give(world, gift(member, quantity=n, business_key=fresh("b"))))[0])
            for n in (2, 1)
        ]
        assert ["compliance_forbidden", "ok"] == outcomes
    assert [] == await world.findings()


async def test_nobody_agrees_for_another_programme(world: World) -> None:
    """An approval is of one programme, one trigger and one nature."""
    assert "ok" == await applied(world, given_for("SERVICE", "ACTIVITY"))
    text = given_for("POINTS", "AUM_GROWTH")
    assert "compliance_unapproved" == await applied(world, text)
    await agreed(world, combination(Trigger.AUM_GROWTH, Nature.SERVICE))
    assert "compliance_unapproved" == await applied(world, text)
    proposal_id = await ask(world, version(text))
    assert "compliance_unapproved" == await answer(world, proposal_id)
    await agreed(world, combination(Trigger.AUM_GROWTH, Nature.POINTS))
    assert "ok" == await answer(world, proposal_id)


async def test_a_programme_may_be_held_to_no_preset(world: World) -> None:
    """Where other rules hold, nothing is judged; an undeclared trigger is refused all the same."""
    text = 'compliance = "none"\n' + given_for("SECURITY", "INSURANCE_PURCHASE")
    effects = [
        (await seen(world, await ask(world, version(each)))).effect for each in (text, MORE)
    ]
    assert ["none", "china"] == [effect["compliance"] for effect in effects]
    assert "ok" == await applied(world, text)
    member = await world.member()
    (outcome,) = await give(world, gift(member, trigger=Trigger.DEPOSIT))
    assert "trigger_undeclared" == said(outcome)
    assert "ok" == await applied(world, 'compliance = "none"\n' + given_for("SECURITY"))
    (outcome,) = await give(world, gift(member))
    assert "trigger_undeclared" == said(outcome)


async def test_what_cannot_be_read_is_only_rejected(world: World) -> None:
    """It is stale, and does not stand in the way of the others."""
    proposal_id, other = [await ask(world, version(MORE)) for _ in range(2)]
    await change(
        world,
        "SET session_replication_role = replica",
        f"UPDATE proposal SET body = jsonb_build_object() WHERE proposal_id = '{proposal_id}'",
    )
    now = world.clock()
    async with world.database.transaction() as conn:
        around = Around(now, await world.parts.catalogue.current(conn), whole=True)
        listed = await agreements.listed(conn, proposals.BOOK, None, Sort(now), limit=2)
        each = [await shown(conn, one, around) for one in listed]
    views = {view.id: view.programme for view in each}
    assert {proposal_id: True, other: False} == {id_: one is None for id_, one in views.items()}
    assert "proposal_stale" == await answer(world, proposal_id)
    assert "ok" == await answer(world, proposal_id, digest=None)


@pytest.mark.parametrize(
    ("kind", "tampering"),
    [
        ("digest_differs", "UPDATE proposal SET note = 'innocent'"),
        ("digest_differs", "UPDATE proposal SET kind = 'UNBLOCK' WHERE kind = 'BLOCK'"),
        ("digest_differs", "UPDATE proposal SET effect = jsonb_build_object()"),
        ("digest_differs", "UPDATE proposal SET expires_at = expires_at + interval '1 day'"),
        ("decided_by_proposer", "UPDATE proposal_decision SET decided_by = 'maker'"),
        ("block_differs", "DELETE FROM member_block_end"),
        ("block_differs", "UPDATE member_block SET scope = 'CLAIM'"),
        ("block_differs", "UPDATE member_block SET from_at = from_at - interval '1 day'"),
        ("block_differs", "UPDATE member_block_end SET ended_at = ended_at - interval '1 s'"),
        ("block_differs", "UPDATE proposal_decision SET verdict = 'REJECTED'"),
        ("block_differs", "UPDATE member SET has_blocks = false"),
    ],
)
async def test_whoever_changes_what_was_agreed_is_found(
    world: World, kind: str, tampering: str
) -> None:
    """I9: proposals, blocks and their ends are what two people said, and nothing else is."""
    await unblocked(world, await agreed(world, block(await world.member())))
    assert [] == await world.findings()
    await change(world, "SET session_replication_role = replica", tampering)
    assert kind in {finding.kind for finding in await world.findings()}


async def test_what_a_rehearsal_would_have_made_is_forgotten_with_it(world: World) -> None:
    """U-1: the number that an undone version had is another one's; so is all read of it."""
    proposal_id = await ask(world, version(MORE))
    assert isinstance(proposal_id, UUID), proposal_id
    digest = (await seen(world, proposal_id)).digest

    async def rehearsed(conn: Connection) -> list[object]:
        said = Decide(caller="bo-wang", key="k-12345678", proposal_id=proposal_id, digest=digest)
        await Proposals(conn, world.parts).decide(said)
        would = (await world.parts.catalogue.current(conn)).programmes["wealth"]
        await world.parts.catalogue.version(conn, "wealth", 2)
        return [line.quota.get("PLATINUM", 0) for line in would.line]

    more = [line.quota.get("PLATINUM", 0) for line in read(MORE).line]
    assert more == await world.database.rehearsal().transact(rehearsed)
    other = replace(world.parts, catalogue=Cache(world.clock))
    async with world.database.transaction() as conn:  # as another process does
        await apply_programme(conn, read(LESS), other, needs_notice=False)
    async with world.database.transaction() as conn:
        now = (await world.parts.catalogue.current(conn)).programmes["wealth"]
        assert read(LESS) == now == await world.parts.catalogue.version(conn, "wealth", 2)
