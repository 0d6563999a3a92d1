"""Who is let in: at the grant by tier and label, at the claim by person, channel and consent."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions.foresee import foresee
from benefits.actions.look_ahead import look_ahead
from benefits.actions.record_consents import SayConsent, record_consents, say_consent
from benefits.actions.record_labels import record_labels
from benefits.actions.record_members import record_members
from benefits.domain.assets import AssetLine
from benefits.domain.consent_lines import ConsentLine
from benefits.domain.eligibility import NotEligible
from benefits.domain.labels import Label, Layer
from benefits.domain.members import PERSON, LabelLine, MemberLine, Person
from benefits.domain.policy import UpgradeTiming
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.values import Month
from benefits.store import people
from benefits.store.db import Connection
from tests.actions.life import PHONE, claimed, decide, fresh, holder, said, wish
from tests.actions.merging import merged
from tests.builders import MEMBER_KEY, NOON, PROGRAMME, World
from tests.store.test_eligibility import decide as decide_tier

CONSENT = """
[[consent]]
code = "phone"
text = { zh = "同意将手机号提供给供应商。", en = "My number may go to the provider." }
"""
TOLD = Person(PERSON, date(1965, 3, 1), "上海", is_staff=False, document="310101196503010011")


def asking(rule: str = "", *, consent: bool = False, on: str = "benefit") -> Programme:
    """Return the reference programme with a rule, or a consent, on the video benefit or line."""
    place = {"benefit": 'sku = "video-month"\n', "line": 'benefit = "VIDEO"\n'}[on]
    more = f"eligible = {rule}\n" if rule else ""
    more += 'consent = "phone"\n' if consent else ""
    return read(PROGRAMME.replace(place, place + more) + CONSENT)


async def told(world: World, nth: int = 1, person: Person = TOLD, **more: Any) -> None:
    """Let the customer file say more of a member."""
    line = MemberLine(world.name(nth), date(2020, 1, 1), person=person, **more)
    async with world.database.transaction() as conn:
        await record_members(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)


async def labelled(world: World, nth: int, label: Label) -> None:
    """Let the label platform say something of a member."""
    async with world.database.transaction() as conn:
        line = LabelLine(world.name(nth), label)
        await record_labels(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)


async def say(world: World, member: UUID, *, given: bool = True, **more: Any) -> str:
    """Let a member agree, or withdraw it."""
    values = {"caller": "mobile", "key": fresh("s"), "purpose": "phone", "provider": "sandbox"}
    command = SayConsent(member_id=member, is_given=given, **{**values, **more})

    async def work(conn: Connection) -> str:
        return said(await say_consent(conn, command, world.parts))

    return await world.database.transact(work)


async def one(world: World, member: UUID, **more: Any) -> str:
    """Claim one unit and return what was said."""
    (outcome,) = await decide(world, wish(member, **more))
    return said(outcome)


async def test_a_claim_is_judged_by_what_is_known_today(world: World) -> None:
    """G-AGE-1 at the claim: on 28 February no, on 1 March yes; the reason says from when on."""
    await world.apply(asking("{ age = { at_least = 60 } }"))
    world.clock.now = datetime(2025, 2, 28, 4, tzinfo=UTC)
    member = await holder(world)
    (outcome,) = await decide(world, wish(member))
    assert "not_eligible" == said(outcome)
    await told(world)
    wished = wish(member)
    details = [(await decide(world, wished))[0].detail for _ in range(2)]  # type: ignore[union-attr]  # refused
    assert [
        "Needs an age of at least 60 years (from 1 March 2025 on).",
        "Needs an age of at least 60 years.",
    ] == details
    kept = await world.rows("SELECT detail FROM request WHERE detail LIKE '%2025%'")
    assert [] == kept
    world.clock.now = datetime(2025, 2, 28, 16, tzinfo=UTC)  # midnight in Shanghai
    assert "ok" == await one(world, member)


async def test_the_channel_comes_with_the_claim(world: World) -> None:
    """A claim that does not say its channel is let in by no rule about it."""
    await world.apply(asking("{ not = { channel = { in = ['BRANCH', 'PHONE'] } } }"))
    member = await holder(world, quantity=2)
    assert ["not_eligible", "not_eligible", "ok"] == [
        await one(world, member, channel=channel) for channel in ("", "BRANCH", "WECHAT")
    ]


async def test_a_claim_tried_again_by_another_channel_is_the_same(world: World) -> None:
    """The key's first answer holds."""
    await world.apply(asking("{ channel = { is = 'MOBILE' } }"))
    member = await holder(world)
    assert ["ok", "ok"] == [
        await one(world, member, key="same", channel=channel) for channel in ("MOBILE", "WEB")
    ]
    assert [(1,)] == await world.rows("SELECT count(*) FROM claim")


async def test_the_order_of_refusals(world: World) -> None:
    """Member, consent, eligibility, recipient, cap: the first that fails is the reason (K-2)."""
    await world.apply(asking("{ staff = false }", consent=True))
    member = await holder(world, quantity=3)
    command = {"quantity": 3, "recipient": {}}
    await told(world, closed_on=date(2025, 7, 1))
    assert "member_closed" == await one(world, member, **command)
    await told(world, person=Person(PERSON, is_staff=True))
    assert "consent_required" == await one(world, member, **command)
    assert "ok" == await say(world, member)
    assert "not_eligible" == await one(world, member, **command)
    await told(world)
    assert "recipient_incomplete" == await one(world, member, **command)
    command["recipient"] = PHONE
    assert "cap_reached" == await one(world, member, **command)
    assert [] == await world.findings()


async def test_a_consent_is_given_and_withdrawn(world: World) -> None:
    """The last word counts; every word stays, and the same again is no news (E-4, X-4)."""
    await world.apply(asking(consent=True))
    member = await holder(world, quantity=4)
    assert "ok" == await say(world, member, key="first")
    assert "ok" == await one(world, member)
    assert "ok" == await say(world, member, given=False)
    assert "consent_required" == await one(world, member)
    assert "ok" == await say(world, member, key="first")  # heard before: nothing is said anew
    assert "idempotency_key_conflict" == await say(world, member, given=False, key="first")
    assert "consent_required" == await one(world, member)
    assert "ok" == await say(world, member)
    assert "ok" == await say(world, member)
    assert "ok" == await one(world, member)
    assert [True, False, True] == [
        row.is_given
        for row in await world.rows(
            "SELECT is_given FROM consent ORDER BY recorded_at, is_given DESC"
        )
    ]


async def test_a_consent_that_nothing_asks_for_is_not_taken(world: World) -> None:
    """Of another purpose or provider; to withdraw one is always possible."""
    await world.apply(asking(consent=True))
    member = await world.member()
    others: list[dict[str, Any]] = [{"purpose": "letters"}, {"provider": "another"}]
    for other in others:
        assert "consent_unknown" == await say(world, member, **other)
        assert "ok" == await say(world, member, given=False, **other)
    assert "unknown_member" == await say(world, UUID(int=7))


async def test_consents_by_file(world: World) -> None:
    """The latest day counts, whatever comes first; bad lines are named; again is no news."""
    await world.apply(asking(consent=True))
    member = await holder(world, quantity=2)
    lines = [
        ConsentLine(world.name(1), "phone", "sandbox", date(2025, 7, 1), is_given=False),
        ConsentLine(world.name(1), "phone", "sandbox", date(2025, 6, 1), is_given=True),
        ConsentLine(world.name(1), "phone", "another", date(2025, 6, 1), is_given=True),
        ConsentLine("nobody", "phone", "sandbox", date(2025, 6, 1), is_given=True),
    ]

    async def take(*some: ConsentLine) -> tuple[int, int, list[tuple[int, str]]]:
        async with world.database.transaction() as conn:
            done = await record_consents(
                conn,
                list(enumerate(some, 2)),
                world.parts,
                member_key=MEMBER_KEY,
                actor="import",
            )
        return done.kept, done.unchanged, done.refused

    refused = [
        (4, "purpose: no benefit asks for it for this provider"),
        (5, "customer: not a member"),
    ]
    assert (2, 0, refused) == await take(*lines)
    assert (0, 2, refused) == await take(*lines)
    assert "consent_required" == await one(world, member)
    later = ConsentLine(world.name(1), "phone", "sandbox", date(2025, 7, 2), is_given=True)
    assert (1, 0, []) == await take(later)
    assert "ok" == await one(world, member)


async def test_together_is_one_by_one(world: World) -> None:
    """In a group each member is judged by what is known of that one, in one statement."""
    await world.apply(asking("{ city = { is = '上海' } }"))
    members = [await holder(world) for _ in range(3)]
    await told(world, 2)
    asked = [*members, members[1]]
    outcomes = await decide(world, *(wish(member) for member in asked))
    codes = ["not_eligible", "ok", "not_eligible", "insufficient_units"]
    assert codes == [said(outcome) for outcome in outcomes]


async def test_claims_that_ask_nothing_read_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of members is read for a group only where a claim is decided by it."""
    reads = list[int]()
    load = people.load

    async def counted(*args: Any, **more: Any) -> Any:
        reads.append(len(set(args[1])))
        return await load(*args, **more)

    monkeypatch.setattr(people, "load", counted)
    plain, asked = await holder(world), await holder(world, "LOUNGE")
    await decide(world, wish(plain))
    assert [] == reads
    place = 'sku = "lounge-visit"\n'
    await world.apply(read(PROGRAMME.replace(place, f"{place}eligible = {{ staff = false }}\n")))
    await decide(world, wish(plain), wish(asked, "LOUNGE"), wish(asked, "LOUNGE"))
    assert [1] == reads


async def test_what_is_foreseen_is_what_the_claim_meets(world: World) -> None:
    """The reason is said in both languages, for a claim on the page."""
    await world.apply(asking("{ all = [ { channel = { is = 'MOBILE' } }, { staff = false } ] }"))
    member = await holder(world)
    async with world.database.transaction() as conn:
        refusal = (
            await foresee(conn, member, await world.parts.catalogue.current(conn), world.clock())
        )["VIDEO"].refusal
    assert isinstance(refusal, NotEligible)
    assert "需满足：非本行员工（是否本行员工未登记）。" == refusal.why["zh"]
    await told(world)
    async with world.database.transaction() as conn:
        assert (
            await foresee(conn, member, await world.parts.catalogue.current(conn), world.clock())
        )["VIDEO"].refusal is None
    assert "ok" == await one(world, member, channel="MOBILE")


async def test_of_two_who_are_merged_it_is_known_what_is_known_of_either(world: World) -> None:
    """What one agreed to, the other did; the one who goes on is believed first (T-10)."""
    await world.apply(
        asking("{ all = [ { staff = false }, { age = { at_least = 60 } } ] }", consent=True)
    )
    of, into = await world.member(), await holder(world, quantity=2)
    await told(world, 1)
    await told(world, 2, Person(("born_on",), date(1960, 1, 1)))
    assert "ok" == await say(world, of)
    assert "consent_required" == await one(world, into)
    await merged(world, of, into)
    assert "ok" == await one(world, into)
    assert [(date(1960, 1, 1), "上海")] == await world.rows(
        "SELECT born_on, city FROM member_person WHERE born_on < '1965-01-01'"
    )
    assert "ok" == await say(world, of, given=False)
    assert "consent_required" == await one(world, into)


async def units(world: World) -> list[tuple[int, int]]:
    """Return the lots of videos by member's number: how many units each was granted."""
    return sorted(
        (row.quantity, row.lots)
        for row in await world.rows(
            "SELECT quantity, count(*) AS lots FROM entitlement_grant "
            "WHERE line = 'video' AND cause = 'TIER' GROUP BY 1"
        )
    )


async def test_a_line_is_granted_to_those_whom_its_rule_lets_in(world: World) -> None:
    """By tier and label on the day, once what is asked is known, and once (E-1)."""
    rule = "{ any = [ { label = { is = 'FACT:payroll' } }, { tier = { at_least = 'DIAMOND' } } ] }"
    await world.apply(asking(rule, on="line"))
    members = await world.members(3)
    for nth, minor in ((1, 520_000_00), (2, 520_000_00), (3, 5_200_000_00)):
        await world.month(world.name(nth), "2025-06", minor)
    for member in members:
        await world.evaluate("2025-06", member)
    assert [(3, 1)] == await units(world)
    await labelled(world, 1, Label("payroll", Layer.FACT, date(2025, 7, 2), None))
    await labelled(world, 2, Label("payroll", Layer.FACT, date(2025, 7, 3), None))
    for member in (*members, *members):
        await world.evaluate("2025-06", member)
    assert [(2, 1), (3, 1)] == await units(world)
    lounges = "SELECT count(*) FROM entitlement_grant WHERE line = 'lounge'"
    assert [(3,)] == await world.rows(lounges)


async def test_a_tier_that_is_lost_after_the_grant_takes_no_claim(world: World) -> None:
    """G-EL-1: tier and label are asked at the grant; units that are kept are claimed (E-1)."""
    rule = (
        "{ all = [ { label = { is = 'FACT:payroll' } }, { tier = { at_least = 'PLATINUM' } } ] }"
    )
    await world.apply(asking(rule, on="line"))
    member = await world.member()
    label = Label("payroll", Layer.FACT, date(2025, 1, 1), None)
    await labelled(world, 1, label)
    await world.month(world.name(1), "2025-06", 520_000_00)
    await world.evaluate("2025-06", member)
    assert [(2, 1)] == await units(world)
    world.clock.forward(seconds=1)
    await labelled(world, 1, msgspec.structs.replace(label, to=date(2025, 7, 2)))
    await decide_tier(world, member, 0, world.clock.now, from_=NOON)
    await claimed(world, wish(member))
    assert [] == await world.findings()


async def test_a_tier_that_is_proven_early_brings_what_its_lines_let_in(world: World) -> None:
    """A rise before the month is over is asked as of the day it is seen, as every grant is."""
    programme = asking("{ age = { at_least = 60 } }", on="line")
    policy = msgspec.structs.replace(programme.policy, upgrade=UpgradeTiming.INSTANT)
    early = msgspec.structs.replace(programme, policy=policy)
    await world.apply(early, tiers_from=Month(2024, 1))
    world.clock.now = datetime(2025, 6, 2, 2, tzinfo=UTC)
    members = await world.members(2)
    await told(world, 1)
    for nth, member in enumerate(members, 1):
        await world.month(world.name(nth), "2025-05", 60_000_00)
        await world.evaluate("2025-05", member)
    assert [(1, 1)] == await units(world)
    await told(world, 2, Person(("born_on",), date(1965, 6, 21)))
    span = [date(2025, 6, day) for day in range(1, 21)]
    await world.assets(
        [
            AssetLine(world.name(nth), day, "DEPOSIT", "CNY", 900_000_00)
            for nth in (1, 2)
            for day in span
        ]
    )
    world.clock.now = datetime(2025, 6, 21, 2, tzinfo=UTC)
    assert 2 == (await look_ahead(world.database, world.parts, "wealth")).risen
    assert [(1, 2), (2, 1)] == await units(world)


async def test_a_metric_is_of_the_last_period_not_of_the_last_decision(world: World) -> None:
    """550,000 bring nothing by a rule of 600,000; 620,000 do, though they change no tier."""
    await world.apply(asking("{ metric = { at_least = '600000' } }", on="line"))
    first, second = await world.members(2)
    for month, number, averages in (
        ("2025-05", 6, (550_000, 650_000)),
        ("2025-06", 7, (620_000, 599_999)),
    ):
        world.clock.now = datetime(2025, number, 2, 4, tzinfo=UTC)
        for nth, average in enumerate(averages, 1):
            await world.month(world.name(nth), month, average * 100)
        for member in (first, second):
            await world.evaluate(month, member)
    granted = await world.rows(
        "SELECT member_id, period, quantity FROM entitlement_grant WHERE line = 'video' "
        "ORDER BY period"
    )
    assert [(second, "2025-06", 2), (first, "2025-07", 2)] == [tuple(row) for row in granted]
    decided = await world.rows("SELECT DISTINCT month FROM tier_decision")
    assert [date(2025, 5, 1)] == [row.month for row in decided]
