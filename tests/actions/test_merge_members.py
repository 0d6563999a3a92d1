"""Mergers: two customer numbers of one person become one member, and nothing is lost (T-10)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from benefits.actions import expire
from benefits.actions.keyed import Accepted, Decided
from benefits.actions.look_up import see
from benefits.actions.merge_members import MergeMembers, merge_members, record_merges
from benefits.actions.record_labels import record_labels
from benefits.actions.record_members import record_members
from benefits.domain.explanation import explain
from benefits.domain.labels import Label, Layer
from benefits.domain.members import LabelLine, MemberLine
from benefits.domain.merges import MergeLine
from benefits.domain.orders import Reason, Rejected, Used
from benefits.domain.past import Bounds, balances_of, lots_of
from benefits.domain.refusal import Refusal
from benefits.store import past, standings
from benefits.store.db import Connection
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    decide,
    fresh,
    gift,
    give,
    number_of,
    said,
    wallet,
    wish,
)
from tests.builders import MEMBER_KEY, NOON, World, reference_programme

PLATINUM, GOLD = 520_000_00, 60_000_00
LATER = NOON + timedelta(hours=2)


async def merge(world: World, of: UUID, into: UUID, key: str = "") -> Decided | Refusal:
    """Merge two members, under a fresh key unless one is named."""
    command = MergeMembers(caller="crm", key=key or fresh("m"), of=of, into=into)

    async def work(conn: Connection) -> Decided | Refusal:
        return await merge_members(conn, command, world.parts)

    return await world.database.transact(work)


async def merged(world: World, of: UUID, into: UUID) -> None:
    """Merge two members who must be merged."""
    assert "ok" == said(await merge(world, of, into))


async def listed(world: World, *pairs: tuple[str, str]) -> tuple[int, int, list[tuple[int, str]]]:
    """Merge by lines of a file; return how many were kept, known, and which were refused."""
    lines = [(number, MergeLine(*pair)) for number, pair in enumerate(pairs, 2)]
    async with world.database.transaction() as conn:
        done = await record_merges(conn, lines, world.parts, member_key=MEMBER_KEY)
    return done.kept, done.unchanged, done.refused


async def sweep(world: World) -> None:
    """Record all that time has done."""
    async for _ in expire.sweep(world.database, world.parts, buckets=EVERYWHERE):
        pass


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


async def two(world: World, one: int = PLATINUM, other: int = PLATINUM) -> tuple[UUID, UUID]:
    """Return two members whose June was evaluated, with what that brought them."""
    members = await world.members(2)
    for number, level in enumerate((one, other), 1):
        await world.month(world.name(number), "2025-06", level)
    for member in members:
        await world.evaluate("2025-06", member)
    return members[0], members[1]


async def used(world: World, member: UUID, benefit: str = "LOUNGE") -> UUID:
    """Let a member use a unit; return the claim."""
    (claim,) = await claimed(world, wish(member, benefit))
    await call_back(world, await number_of(world, claim), Used(at=world.clock()))
    return claim


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


async def left(world: World, nth: int, closed_on: date | None, **more: Any) -> None:
    """Record the end of a relationship as the bank's customer file tells it."""
    line = MemberLine(world.name(nth), date(2020, 1, 1), closed_on, **more)
    async with world.database.transaction() as conn:
        done = await record_members(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)
    assert [] == done.refused
