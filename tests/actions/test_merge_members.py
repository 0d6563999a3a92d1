"""Mergers: two customer numbers of one person become one member, and nothing is lost (T-10)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from benefits.actions import expire
from benefits.actions.keyed import Accepted
from benefits.actions.look_ahead import look_ahead
from benefits.actions.look_up import see
from benefits.actions.record_labels import record_labels
from benefits.actions.record_members import record_members
from benefits.domain.benefit import ClawBack
from benefits.domain.corrections import Kind
from benefits.domain.explanation import explain
from benefits.domain.labels import Label, Layer
from benefits.domain.members import LabelLine, MemberLine
from benefits.domain.orders import Done, Reason, Rejected, Used
from benefits.domain.past import Bounds, balances_of, lots_of
from benefits.store import past, standings
from tests.actions.desk import approve, ask, offered
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    decide,
    gift,
    give,
    number_of,
    said,
    wallet,
    wish,
)
from tests.actions.merging import GOLD, PLATINUM, left, merge, merged, sweep, two, used
from tests.builders import MEMBER_KEY, NOON, World, reference_programme

LATER = NOON + timedelta(hours=2)
FIRST, NEXT = date(2025, 1, 1), date(2025, 9, 1)


async def tier(world: World, member: UUID, at: datetime | None = None) -> int:
    """Return a member's rank at a time, now unless one is named."""
    async with world.database.transaction() as conn:
        later = (at or world.clock()) + timedelta(seconds=1)
        found = await standings.as_of(conn, member, later, datetime(2030, 1, 1, tzinfo=UTC))
    return found["wealth"].decision.after.rank if found else 0


async def free(world: World, member: UUID, at: datetime) -> dict[str, int]:
    """Return what units a member had at a time."""
    async with world.database.transaction() as conn:
        sums = await past.sums(conn, member, Bounds(at, None, world.clock()))
        terms = await past.terms(conn, member)
    found = balances_of(sums, lots_of(sums, terms, at))
    return {one.unit.removeprefix("BENEFIT:"): one.available for one in found}


async def told(world: World, member: UUID, *kinds: str) -> list[Any]:
    """Return what a member's history tells of some kinds."""
    found = await world.rows(
        "SELECT data FROM outbox WHERE member_id = $1 AND type = ANY($2::text[]) ORDER BY seq",
        member,
        list(kinds),
    )
    return [row.data for row in found]


async def lots(world: World, member: UUID) -> list[tuple[Any, ...]]:
    """Return a member's lots that have units, with their terms."""
    found = await world.rows(
        "SELECT unit, programme, line, period, cause, priority, remaining, held, granted_at, "
        "expires_at FROM lot WHERE member_id = $1 AND remaining > 0 ORDER BY 1, 3, 4, 10, 7",
        member,
    )
    return [tuple(row) for row in found]


async def test_g_merge_1_what_either_used_counts_for_both(world: World) -> None:
    """Quota 2; A used 1, B used 2 in the quarter: A keeps 1, and nothing tops it up."""
    a, b = await two(world)
    await used(world, a)
    for _ in range(2):
        await used(world, b)
    await merged(world, b, a)
    assert [(1, 0), (0, 0)] == [await wallet(world, each, "LOUNGE") for each in (a, b)]
    done = await world.evaluate("2025-06", a)
    assert 0 == done.grants
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", PLATINUM)
    await world.evaluate("2025-07", a)
    assert (1, 0) == await wallet(world, a, "LOUNGE")
    assert [] == await world.findings()


async def test_units_move_under_their_terms(world: World) -> None:
    """Each lot's free units are a lot of the other's, with the same source and the same end."""
    a, b = await two(world)
    await give(world, gift(b, quantity=3, valid_days=90))
    before = {each: await lots(world, each) for each in (a, b)}
    at = world.clock()
    world.clock.forward(seconds=1)
    await merged(world, b, a)
    assert sorted(before[a] + before[b]) == sorted(await lots(world, a))
    assert [] == await lots(world, b)
    moments = (at + timedelta(seconds=0.5), world.clock() + timedelta(seconds=1))
    assert [{"LOUNGE": 2, "VIDEO": 5}, {"LOUNGE": 0, "VIDEO": 0}] == [
        await free(world, b, moment) for moment in moments
    ]
    assert {"LOUNGE": 2, "VIDEO": 2} == await free(world, a, at + timedelta(seconds=0.5))
    assert [{"merged": str(b), "into": str(a)}] == await told(world, a, "member.merged")
    assert [{"merged": str(b), "into": str(a)}] == await told(world, b, "member.merged")
    assert [] == await world.findings()


async def test_what_an_order_holds_stays_with_it(world: World) -> None:
    """A delivery is the merged customer's; what comes back goes on to the member at once."""
    a, b = await two(world)
    spent, back = await claimed(world, wish(b, "VIDEO"), wish(b, "LOUNGE"))
    await merged(world, b, a)
    assert [(3, 0), (0, 1)] == [await wallet(world, each) for each in (a, b)]
    assert [(3, 0), (0, 1)] == [await wallet(world, each, "LOUNGE") for each in (a, b)]
    await call_back(world, await number_of(world, spent), Used(at=world.clock()))
    await call_back(world, await number_of(world, back), Rejected(Reason.LIMIT, "limit"))
    assert (1, 0) == await wallet(world, b, "LOUNGE")
    await sweep(world)
    assert [(3, 0), (0, 0)] == [await wallet(world, each) for each in (a, b)]
    assert [(4, 0), (0, 0)] == [await wallet(world, each, "LOUNGE") for each in (a, b)]
    assert 0 == (await expire.due(world.database, world.parts, buckets=EVERYWHERE)).members
    assert [] == await world.findings()


async def test_caps_add(world: World) -> None:
    """What either claimed in the window counts against the cap of the member."""
    a, b = await two(world)
    await claimed(world, wish(a))
    await claimed(world, wish(b))
    await merged(world, b, a)
    assert ["cap_reached"] == [said(one) for one in await decide(world, wish(a))]
    assert [] == await world.findings()


async def test_who_asks_for_the_merged_customer_gets_the_member(world: World) -> None:
    """Claims, rewards, labels and what is looked up; keys of before answer as before."""
    a, b = await two(world)
    before = gift(b, "VIDEO", business_key="birthday:2025")
    (first,) = await give(world, before)
    await merged(world, b, a)
    assert isinstance(first, Accepted)
    again, known, other = await give(
        world,
        before,
        gift(a, "VIDEO", business_key="birthday:2025"),
        gift(b, "LOUNGE", business_key="visit"),
    )
    assert isinstance(again, Accepted)
    assert isinstance(known, Accepted)
    assert [first.ids["lot_id"]] * 2 == [again.ids["lot_id"], known.ids["lot_id"]]
    assert ("ok", "0") == (said(other), known.ids["granted"])
    claim_id, *_ = await claimed(world, wish(b, "LOUNGE"))
    ((whose,),) = await world.rows("SELECT member_id FROM claim WHERE claim_id = $1", claim_id)
    assert a == whose
    label = LabelLine(world.name(2), Label("payroll", Layer.FACT, date(2025, 1, 1), None))
    async with world.database.transaction() as conn:
        await record_labels(conn, [(2, label)], world.parts, member_key=MEMBER_KEY)
        seen = await see(conn, [a, b], world.parts, claims=5)
    assert [a] == [row.member_id for row in await world.rows("SELECT member_id FROM member_label")]
    assert [a, a] == [seen[each].member_id for each in (a, b)]
    assert seen[a].overview == seen[b].overview
    assert [claim_id] == [one.claim_id for one in seen[b].overview.claims]
    assert [] == await world.findings()


async def test_the_higher_tier_holds_until_the_next_month_is_decided(world: World) -> None:
    """By a decision, told once; then the sums of both decide."""
    a, b = await two(world, GOLD, PLATINUM)
    assert [1, 2] == [await tier(world, each) for each in (a, b)]
    world.clock.now = NOON + timedelta(hours=1)
    await merged(world, b, a)
    assert [1, 2] == [await tier(world, a, at) for at in (NOON, LATER)]
    (event,) = await told(world, a, "tier.merged")
    assert ("GOLD", "PLATINUM", "2025-06") == (event["from"], event["to"], event["month"])
    async with world.database.transaction() as conn:
        later = world.clock() + timedelta(days=1)
        last, *_ = await standings.decisions(conn, a, later, before=None, limit=9)
    words = explain(reference_programme(), last.decision)
    assert words["en"].endswith("the higher tier of the two, Platinum.")
    assert words["zh"].endswith("按较高等级白金。")
    await world.evaluate("2025-06", a)
    assert 2 == await tier(world, a)
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    for number, level in ((1, 4_600_000_00), (2, 400_000_00)):
        await world.month(world.name(number), "2025-07", level)
    await world.evaluate("2025-07", a)
    assert 3 == await tier(world, a)
    assert [] == await world.findings()


async def test_refusals(world: World) -> None:
    """Each by its code; nothing is written, and what is so already is answered so again."""
    a, b, c, d, e = await world.members(5)
    stranger = uuid4()
    assert "merged_into_itself" == said(await merge(world, a, a))
    assert ["unknown_member"] * 2 == [
        said(await merge(world, *pair)) for pair in ((a, stranger), (stranger, a))
    ]
    first = await merge(world, b, a, "one")
    assert isinstance(first, Accepted)
    assert {"member_id": str(b), "into": str(a)} == first.ids
    again, other = await merge(world, b, a, "one"), await merge(world, b, a)
    assert [True, False] == [one.replayed for one in (again, other) if isinstance(one, Accepted)]
    assert "idempotency_key_conflict" == said(await merge(world, c, a, "one"))
    assert "merged_elsewhere" == said(await merge(world, b, c))
    assert "merged_away" == said(await merge(world, c, b))
    assert "merged_away" == said(await merge(world, a, b))
    await left(world, 4, date(2025, 6, 30))
    assert "merger_ended" == said(await merge(world, c, d))
    await left(world, 5, date(2025, 6, 30), deceased=True)
    assert "merger_ended" == said(await merge(world, e, a))
    assert "ok" == said(await merge(world, d, a))
    found = await world.rows("SELECT member_id FROM member WHERE merged_into IS NOT NULL")
    assert {b, d} == {row.member_id for row in found}
    assert [] == await world.findings()


async def test_a_debt_goes_along_and_is_paid_by_what_comes(world: World) -> None:
    """B owes 2 and A 1: what B brings and A is given next pay all of it (L-8)."""
    await offered(world, claw_back=ClawBack.DEBT)
    a, b = await world.members(2)
    for member, quantity in ((a, 1), (b, 2)):
        await owes(world, member, quantity)
    await give(world, gift(b, "LOUNGE", quantity=2))
    await merged(world, b, a)
    assert [(a, 3)] == await owing(world)
    await give(world, gift(b, quantity=2))
    assert ([(a, 1)], (0, 0)) == (await owing(world), await wallet(world, a))
    await give(world, gift(a, quantity=3))
    assert ([], (2, 0)) == (await owing(world), await wallet(world, a))
    assert (2, 0) == await wallet(world, a, "LOUNGE")
    (given,) = await told(world, b, "entitlement.debt_given")
    (taken,) = await told(world, a, "entitlement.debt_taken")
    assert {"unit": "BENEFIT:VIDEO", "quantity": 2} == given == taken
    assert [] == await world.findings()


async def owes(world: World, member: UUID, quantity: int, benefit: str = "VIDEO") -> None:
    """Let a member owe units: they were used, and are taken back."""
    await give(world, gift(member, benefit, quantity=quantity))
    for _ in range(quantity):
        await used(world, member, benefit)
    found = await ask(world, Kind.CLAW_BACK, member, quantity, benefit=benefit)
    assert "ok" == await approve(world, found)


async def owing(world: World) -> list[tuple[UUID, int]]:
    """Return who owes units, and how many."""
    found = await world.rows("SELECT member_id, owed FROM wallet WHERE owed > 0 ORDER BY 1")
    return [(row.member_id, row.owed) for row in found]


async def test_units_that_come_back_pay_the_debt_of_the_member(world: World) -> None:
    """What B's order gave back is a lot of A's, from which A pays what A owes."""
    await offered(world, claw_back=ClawBack.DEBT)
    a, b = await world.members(2)
    await give(world, gift(b, "LOUNGE", quantity=2))
    (claim,) = await claimed(world, wish(b, "LOUNGE", quantity=2))
    await merged(world, b, a)
    await owes(world, a, 1, "LOUNGE")
    await call_back(world, await number_of(world, claim), Rejected(Reason.LIMIT, "limit"))
    await sweep(world)
    assert ([], (1, 0)) == (await owing(world), await wallet(world, a, "LOUNGE"))
    assert [] == await world.findings()


@pytest.mark.parametrize("is_spent", [False, True])
async def test_a_late_success_for_the_merged_customer_takes_the_members_units(
    world: World, *, is_spent: bool
) -> None:
    """They are one person, who has what was delivered; gone, the bank bears it (V-4, T-10)."""
    a, b = await world.members(2)
    await give(world, gift(b))
    (claim,) = await claimed(world, wish(b))
    number = await number_of(world, claim)
    await merged(world, b, a)
    await call_back(world, number, Rejected(Reason.LIMIT, "limit"))
    await sweep(world)
    assert (1, 0) == await wallet(world, a)
    if is_spent:
        await claimed(world, wish(a))
    await call_back(world, number, Done(at=world.clock()))
    assert [(0, int(is_spent)), (0, 0)] == [await wallet(world, each) for each in (a, b)]
    cases = [row.kind for row in await world.rows("SELECT kind FROM case_file")]
    assert (["delivered_without_entitlement"] if is_spent else []) == cases
    assert [] == await world.findings()


async def test_what_comes_to_a_member_who_left_ends_with_them(world: World) -> None:
    """Units of an order that B had, after A's own have ended: with the next sweep."""
    a, b = await world.members(2)
    await give(world, gift(b, valid_days=300))
    (claim,) = await claimed(world, wish(b))
    await merged(world, b, a)
    await left(world, 1, date(2025, 7, 10))
    world.clock.now = datetime(2025, 8, 20, tzinfo=UTC)
    await sweep(world)
    world.clock.forward(hours=1)
    await call_back(world, await number_of(world, claim), Rejected(Reason.LIMIT, "limit"))
    await sweep(world)
    await sweep(world)
    assert [(0, 0), (0, 0)] == [await wallet(world, each) for each in (a, b)]
    (row,) = await world.rows("SELECT sum(expired)::bigint AS n FROM lot")
    assert 1 == row.n
    assert [] == await world.findings()


async def test_labels_of_either_are_the_members(world: World) -> None:
    """Of one label and first day the latest recorded counts; later files speak of the member."""
    a, b = await world.members(2)
    for number, name, to in ((1, "payroll", None), (2, "payroll", NEXT), (2, "silver", None)):
        await labelled(world, number, name, to)
    await labelled(world, 1, "car", None)
    await labelled(world, 2, "car", NEXT)
    await labelled(world, 1, "car", NEXT)
    world.clock.forward(seconds=1)
    await merged(world, b, a)
    world.clock.forward(seconds=1)
    expected = {("payroll", NEXT), ("silver", None), ("car", NEXT)}
    assert expected == await labels(world, a)
    await labelled(world, 2, "silver", NEXT)
    assert {("payroll", NEXT), ("silver", NEXT), ("car", NEXT)} == await labels(world, a)
    await left(world, 2, None, labels=(Label("new", Layer.FACT, FIRST, None),))
    assert ("new", None) in await labels(world, a)


async def labelled(world: World, nth: int, name: str, to: date | None) -> None:
    """Record a label of a customer, a second after whatever was before."""
    world.clock.forward(seconds=1)
    line = LabelLine(world.name(nth), Label(name, Layer.FACT, FIRST, to))
    async with world.database.transaction() as conn:
        await record_labels(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)


async def labels(world: World, member: UUID) -> set[tuple[str, date | None]]:
    """Return a member's labels with their ends, as they count."""
    found = await world.rows(
        "SELECT DISTINCT ON (label, valid_from) label, valid_to FROM member_label "
        "WHERE member_id = $1 ORDER BY label, valid_from, recorded_at DESC",
        member,
    )
    return {(row.label, row.valid_to) for row in found}


async def test_the_customer_file_says_nothing_of_the_merged_number(world: World) -> None:
    """Its line ends nobody's relationship; that of the member keeps the earlier opening."""
    a, b = await world.members(2, date(2021, 3, 1))
    await left(world, 2, None)
    await merged(world, b, a)
    await left(world, 2, date(2025, 7, 1))
    async with world.database.transaction() as conn:
        line = MemberLine(world.name(1), date(2021, 3, 1), branch="B07")
        await record_members(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)
    found = await world.rows("SELECT opened_on, closed_on, branch FROM member ORDER BY branch")
    assert [(date(2020, 1, 1), None, ""), (date(2020, 1, 1), None, "B07")] == [
        tuple(row) for row in found
    ]


async def test_nobody_evaluates_or_looks_ahead_for_the_merged_number(world: World) -> None:
    """Nothing is decided, granted or seen of it; what was seen ahead is so no more."""
    a, b = await two(world, GOLD, PLATINUM)
    world.clock.now = datetime(2025, 7, 20, tzinfo=UTC)
    await world.month(world.name(2), "2025-07", 480_000_00)
    await look_ahead(world.database, world.parts, "wealth")
    assert {b} == await seen_ahead(world)
    await merged(world, b, a)
    assert set() == await seen_ahead(world)
    ahead = await look_ahead(world.database, world.parts, "wealth")
    assert (1, {a}) == (ahead.members, await seen_ahead(world))
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    before = await world.rows("SELECT count(*) FROM tier_decision WHERE member_id = $1", b)
    for member in (a, b):
        await world.evaluate("2025-07", member)
    assert before == await world.rows("SELECT count(*) FROM tier_decision WHERE member_id = $1", b)
    assert (0, 0) == await wallet(world, b)
    assert [] == await world.findings()


async def seen_ahead(world: World) -> set[UUID]:
    """Return of whom something is seen ahead."""
    found = await world.rows("SELECT member_id FROM tier_outlook WHERE is_current")
    return {row.member_id for row in found}
