"""Limits of every scope and window: taken, refused, given back where they were taken."""

import asyncio
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.claim import claim
from benefits.actions.foresee import Prospect, foresee
from benefits.actions.keyed import Refused
from benefits.actions.merge_members import MergeMembers, merge_members
from benefits.domain.corrections import Fault, Kind
from benefits.domain.labels import LabelAsked, Layer
from benefits.domain.limits import Budget, CapWindow, Dimension, Left, OnFull, Scope
from benefits.domain.orders import Done, Reason, Rejected, Used
from benefits.domain.programme import ProgrammeInvalid
from benefits.store.db import Connection
from tests.actions.desk import correct
from tests.actions.life import (
    call_back,
    change,
    claimed,
    decide,
    gift,
    give,
    number_of,
    said,
    tell,
    wish,
    work_off,
)
from tests.actions.limiting import ask, beside, limit, limited, local, rich, windows
from tests.builders import World

REFUSED = Rejected(Reason.LIMIT, "limit")
PAYROLL = LabelAsked(label="payroll", layer=Layer.FACT)


async def test_g_cap_1_of_a_hundred_claims_on_the_last_piece_one_succeeds(world: World) -> None:
    """G-CAP-1: one is accepted, 99 hear that the limit is reached, whoever comes first (K-2)."""
    await limited(world, limit("drop", 1))
    members = [await rich(world, quantity=1) for _ in range(100)]

    async def one(member: UUID) -> str:
        async def work(conn: Connection) -> str:
            (outcome,) = await claim(conn, [wish(member, "LOUNGE")], world.parts, wait=True)
            return said(outcome)

        return await world.database.transact(work)

    outcomes = await asyncio.gather(*map(one, members))
    assert (1, 99) == (outcomes.count("ok"), outcomes.count("cap_reached"))
    assert {("limit:drop", "2025-07"): 1} == await windows(world)
    assert [] == await world.findings()


async def test_g_cap_2_a_limit_for_all_starts_anew_at_local_midnight(world: World) -> None:
    """G-CAP-2: the 2,500th in June is accepted, the next refused, and accepted on 1 July (K-3)."""
    world.clock.now = local(2025, 6, 20, 12)
    await limited(world, limit("month", 2500, on_full=OnFull.NEXT_WINDOW))
    for _ in range(25):
        assert "ok" == await ask(world, await rich(world), quantity=100)
    last = await rich(world)
    world.clock.now = local(2025, 6, 30, 23, 59, 59)
    (outcome,) = await decide(world, wish(last, "LOUNGE"))
    assert isinstance(outcome, Refused)
    assert "cap_reached" == outcome.code
    assert outcome.detail.endswith("There is room again from 2025-06-30T16:00:00+00:00 on.")
    world.clock.now = local(2025, 7, 1)
    assert "ok" == await ask(world, last)
    taken = {("limit:month", "2025-06"): 2500, ("limit:month", "2025-07"): 1}
    assert taken == await windows(world)


async def test_g_cap_3_a_month_and_a_year_both_hold(world: World) -> None:
    """G-CAP-3: one a month and four a year: from January to April, and none in May (K-3)."""
    world.clock.now = local(2025, 1, 10)
    await limited(
        world,
        limit("monthly", 1, Scope.MEMBER),
        limit("yearly", 4, Scope.MEMBER, window=CapWindow.YEAR),
    )
    member = await rich(world)
    for month in range(1, 6):
        world.clock.now = local(2025, month, 15)
        assert ("ok" if month < 5 else "cap_reached") == await ask(world, member)
        assert "cap_reached" == await ask(world, member)
    world.clock.now = local(2026, 1, 1)
    assert "ok" == await ask(world, member)
    assert [] == await world.findings()


async def test_g_cap_4_a_release_returns_to_the_month_it_was_taken_from(world: World) -> None:
    """G-CAP-4: claimed on 30 June, refused on 1 July: June has 2,499, July is untouched (K-5)."""
    world.clock.now = local(2025, 6, 30, 12)
    await limited(world, limit("month", 2500))
    for _ in range(24):
        assert "ok" == await ask(world, await rich(world), quantity=100)
    member = await rich(world)
    (other,) = await claimed(world, wish(member, "LOUNGE", quantity=99))
    (last,) = await claimed(world, wish(member, "LOUNGE"))
    world.clock.now = local(2025, 7, 1, 12)
    assert "ok" == await ask(world, await rich(world))
    await call_back(world, await number_of(world, last), REFUSED, REFUSED)
    taken = {("limit:month", "2025-06"): 2499, ("limit:month", "2025-07"): 1}
    assert taken == await windows(world)
    await call_back(
        world, await number_of(world, other), Done(at=world.clock.now), Used(at=world.clock.now)
    )
    assert taken == await windows(world)
    assert [] == await world.findings()


async def test_g_freq_1_a_rolling_window_ends_to_the_microsecond(world: World) -> None:
    """G-FREQ-1: 2 in 7 days; a microsecond before the first has left it is too early (K-7)."""
    world.clock.now = local(2025, 6, 1, 10)
    await limited(world, limit("often", 2, Scope.MEMBER, days=7, on_full=OnFull.NEXT_WINDOW))
    member = await rich(world)
    assert "ok" == await ask(world, member)
    world.clock.now = local(2025, 6, 4, 10)
    assert "ok" == await ask(world, member)
    world.clock.now = local(2025, 6, 8, 10) - timedelta(microseconds=1)
    (outcome,) = await decide(world, wish(member, "LOUNGE"))
    assert isinstance(outcome, Refused)
    assert "2025-06-08T02:00:00+00:00" in outcome.detail
    assert "cap_reached" == await ask(world, member)
    world.clock.now = local(2025, 6, 8, 10)
    assert "ok" == await ask(world, member)
    assert "cap_reached" == await ask(world, member)
    assert [] == await world.findings()


async def test_claims_of_one_group_see_each_other_in_a_rolling_window(world: World) -> None:
    """Two at one instant are two; what failed does not count any more (K-5)."""
    await limited(world, limit("often", 2, Scope.MEMBER, days=7))
    member = await rich(world)
    outcomes = await decide(world, *(wish(member, "LOUNGE") for _ in range(3)))
    assert ["ok", "ok", "cap_reached"] == [said(outcome) for outcome in outcomes]
    first = await world.rows("SELECT claim_id FROM claim ORDER BY claim_id LIMIT 1")
    await call_back(world, await number_of(world, first[0].claim_id), REFUSED)
    assert "ok" == await ask(world, member)
    assert "cap_reached" == await ask(world, member)
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("window", "later"),
    [
        (CapWindow.DAY, local(2025, 7, 3)),
        (CapWindow.WEEK, local(2025, 7, 7)),
        (CapWindow.QUARTER, local(2025, 10, 1)),
        (CapWindow.YEAR, local(2026, 1, 1)),
    ],
)
async def test_windows_turn_at_local_midnight(
    world: World, window: CapWindow, later: datetime
) -> None:
    """A microsecond before it is still the old one (K-3)."""
    await limited(world, limit("one", 1, window=window))
    member = await rich(world)
    assert "ok" == await ask(world, member)
    world.clock.now = later - timedelta(microseconds=1)
    assert "cap_reached" == await ask(world, member)
    world.clock.now = later
    assert "ok" == await ask(world, member)
    assert [] == await world.findings()


async def test_each_scope_has_room_of_its_own(world: World) -> None:
    """Members, labels, branches, benefits, providers, all: each counts its own (K-1)."""
    for scope, codes in (
        (Scope.MEMBER, ["ok", "ok", "ok", "cap_reached"]),
        (Scope.BRANCH, ["ok", "cap_reached", "ok", "cap_reached"]),
        (Scope.SEGMENT, ["ok", "ok", "cap_reached", "ok"]),
        (Scope.BENEFIT, ["ok", "cap_reached", "cap_reached", "cap_reached"]),
        (Scope.PROVIDER, ["ok", "cap_reached", "cap_reached", "cap_reached"]),
        (Scope.PROGRAMME, ["ok", "cap_reached", "cap_reached", "cap_reached"]),
    ):
        segment = PAYROLL if scope is Scope.SEGMENT else None
        one = limit(f"one-{scope.value}", 1, scope, segment=segment)
        await limited(world, one)
        first, second, third = [await rich(world) for _ in range(3)]
        await rich(world, "VIDEO")
        await change(
            world,
            f"UPDATE member SET branch = 'north' WHERE member_id IN ('{first}', '{second}')",
            f"""INSERT INTO member_label (bucket, member_id, label, valid_from, recorded_at, layer)
                SELECT bucket, member_id, 'payroll', '2025-01-01', now(),
                       CASE member_id WHEN '{second}' THEN 'RULE' ELSE 'FACT' END
                FROM member WHERE member_id IN ('{first}', '{second}', '{third}')""",
        )
        found = [await ask(world, member) for member in (first, second, third)]
        found.append(await ask(world, second if scope is Scope.SEGMENT else first))
        assert codes == found, scope
    assert [] == await world.findings()


async def test_a_benefit_has_room_beside_another(world: World) -> None:
    """By benefit each has its own, by provider and programme they share it."""
    for scope, code in (
        (Scope.BENEFIT, "ok"),
        (Scope.PROVIDER, "cap_reached"),
        (Scope.PROGRAMME, "cap_reached"),
        (Scope.MEMBER, "cap_reached"),
    ):
        await limited(world, limit(f"two-{scope.value}", 1, scope))
        member = await rich(world)
        await give(world, gift(member))
        assert "ok" == await ask(world, member)
        assert code == await ask(world, member, "VIDEO")


async def test_a_limit_concerns_the_benefits_it_names(world: World) -> None:
    """Others neither count nor are refused."""
    await limited(world, limit("some", 1, benefits=("VIDEO",)))
    member = await rich(world, "VIDEO", 3)
    await give(world, gift(member, "LOUNGE", quantity=3))
    codes = [await ask(world, member, code) for code in ("LOUNGE", "VIDEO", "LOUNGE", "VIDEO")]
    assert ["ok", "ok", "ok", "cap_reached"] == codes


async def test_a_segment_counts_whom_the_label_names_today(world: World) -> None:
    """What is not valid any more, or was taken back by a later row, does not count (S-1)."""
    await limited(world, limit("few", 1, Scope.SEGMENT, segment=PAYROLL))
    first, second, third = [await rich(world) for _ in range(3)]
    label = """INSERT INTO member_label
        (bucket, member_id, label, valid_from, valid_to, recorded_at, layer)
        SELECT bucket, member_id, 'payroll', '2025-01-01', {to}, '{at}', 'FACT'
        FROM member WHERE member_id = '{member}'"""
    for member, to, at in (
        (first, "NULL", "2025-01-02"),
        (second, "'2025-07-02'", "2025-01-02"),
        (third, "NULL", "2025-01-02"),
        (third, "'2025-07-01'", "2025-01-03"),
    ):
        await change(world, label, to=to, at=at, member=member)
    codes = [await ask(world, member) for member in (first, first, second, third, second)]
    assert ["ok", "cap_reached", "ok", "ok", "ok"] == codes
    assert [] == await world.findings()


async def test_who_was_merged_counts_along_in_every_window(world: World) -> None:
    """What either took in a month or within days is taken for both (T-10)."""
    await limited(world, limit("mine", 3, Scope.MEMBER), limit("often", 3, Scope.MEMBER, days=30))
    of, into = await rich(world), await rich(world)
    for member in (of, of, into):
        assert "ok" == await ask(world, member)
    async with world.database.transaction() as conn:
        merger = MergeMembers(caller="crm", key="m", of=of, into=into)
        assert "ok" == said(await merge_members(conn, merger, world.parts))
    assert "cap_reached" == await ask(world, into)
    world.clock.forward(days=31)
    assert "ok" == await ask(world, into)
    assert [] == await world.findings()


async def test_what_is_foreseen_is_what_a_limited_claim_meets(world: World) -> None:
    """Rooms of every kind, a full head office and an ended contract; nothing is written."""
    await limited(
        world,
        limit("all", 3, on_full=OnFull.NEXT_WINDOW),
        limit("often", 1, Scope.MEMBER, days=7, on_full=OnFull.NEXT_WINDOW),
        contract_end=date(2025, 7, 1),
    )
    members = [await rich(world) for _ in range(4)]
    await give(world, gift(members[0]))

    async def seen(member: UUID, benefit: str = "LOUNGE") -> Prospect:
        async with world.database.transaction() as conn:
            return (
                await foresee(
                    conn, member, await world.parts.catalogue.current(conn), world.clock()
                )
            )[benefit]

    for nth, member in enumerate(members):
        prospect = await seen(member)
        expected = prospect.refusal.code if prospect.refusal else "ok"
        assert ("ok" if nth < 3 else "cap_reached") == expected
        assert expected == await ask(world, member)
        assert (Left.PLENTY if nth < 3 else Left.NONE) is prospect.left
    again = await seen(members[0])
    assert [1, 3] == [room.used for room in again.rooms]
    assert [world.clock.now + timedelta(days=7), local(2025, 8, 1)] == [
        room.opens(1) for room in again.rooms
    ]
    ended = (await seen(members[0], "VIDEO")).refusal
    assert ended is not None
    assert "contract_ended" == ended.code == await ask(world, members[0], "VIDEO")


async def test_claims_ends_and_new_versions_race_without_a_deadlock(world: World) -> None:
    """New windows, releases, reversals and other totals at once: all is counted once (K-2)."""
    many = [limit(f"l{n}", 500, scope) for n, scope in enumerate((*Scope, *Scope))]
    some = [
        replace(each, segment=PAYROLL) if each.scope is Scope.SEGMENT else each for each in many
    ]
    await limited(world, *some)
    members = [await rich(world) for _ in range(12)]
    spent, failing = list[UUID](), list[UUID]()
    for member in members:
        used, failed = await claimed(world, wish(member, "LOUNGE"), wish(member, "LOUNGE"))
        now = world.clock.now
        await call_back(world, await number_of(world, used), Done(at=now), Used(at=now))
        spent.append(used)
        failing.append(failed)
        await tell(world, await number_of(world, failed), REFUSED)
    world.clock.now = local(2025, 8, 1)

    async def turn(nth: int) -> None:
        for _ in range(3):
            assert "ok" == await ask(world, members[nth])
        assert "ok" == await correct(world, Kind.REVERSE, members[nth], 1, claim_id=spent[nth])

    async def apply() -> None:
        for total in (900_000, 800_000, 1_000_000):
            budgets = (
                Budget(code="head", total=Decimal(2_000_000)),
                *(
                    Budget(code=c, total=Decimal(total), parent="head")
                    for c in ("lounge", "video")
                ),
            )
            await limited(world, *some, budgets=budgets)

    async def release() -> None:
        while await work_off(world):
            await asyncio.sleep(0)

    await asyncio.gather(*(turn(n) for n in range(12)), apply(), release(), release())
    await release()
    assert {("limit:l6", "2025-07"): 0, ("limit:l6", "2025-08"): 36} == {
        key: taken for key, taken in (await windows(world)).items() if key[0] == "limit:l6"
    }
    assert [] == await world.findings()


async def test_a_limit_of_cost_bears_whole_claims_only(world: World) -> None:
    """100.00 bear two claims of 38.00; the third would be 114.00 (K-1)."""
    await limited(world, limit("money", "100.00", dimension=Dimension.COST))
    member = await rich(world)
    assert ["ok", "cap_reached", "ok", "cap_reached"] == [
        await ask(world, member, quantity=n) for n in (1, 2, 1, 1)
    ]
    assert {("limit:money", "2025-07"): 7600} == await windows(world)
    assert [] == await world.findings()


async def test_a_reversal_gives_every_window_back_once(world: World) -> None:
    """Of five used pieces two come back, then three: to the month they were taken in (K-5)."""
    await limited(
        world,
        limit("all", 10),
        limit("mine", 10, Scope.MEMBER, window=CapWindow.WEEK),
        limit("often", 10, Scope.MEMBER, days=30),
        limit("money", "1000", dimension=Dimension.COST, window=CapWindow.QUARTER),
    )
    member = await rich(world)
    (id_,) = await claimed(world, wish(member, "LOUNGE", quantity=5))
    now = world.clock.now
    await call_back(world, await number_of(world, id_), Done(at=now), Used(at=now))
    world.clock.forward(days=40)
    for back, left in ((2, 3), (3, 0)):
        assert "ok" == await correct(world, Kind.REVERSE, member, back, claim_id=id_)
        assert {
            ("limit:all", "2025-07"): left,
            ("limit:money", "2025-Q3"): left * 3800,
        } == await windows(world)
        used = await world.rows("SELECT used FROM member_counter ORDER BY counter")
        assert [left, left] == [row.used for row in used]
    assert [] == await world.findings()


async def test_a_settled_order_keeps_room_for_what_was_delivered(world: World) -> None:
    """Of three pieces one came: two have room again, with their cost (K-5)."""
    await limited(world, limit("all", 10), limit("money", "1000", dimension=Dimension.COST))
    member = await rich(world)
    (id_,) = await claimed(world, wish(member, "LOUNGE", quantity=3))
    await change(world, "UPDATE claim SET state = 'MANUAL', deadline = NULL")
    assert "ok" == await correct(world, Kind.SETTLE, member, 1, claim_id=id_)
    month = "2025-07"
    assert {("limit:all", month): 1, ("limit:money", month): 3800} == await windows(world)


async def test_a_late_delivery_takes_its_room_again_or_is_a_loss(world: World) -> None:
    """Limits hold on this path too; what has no room is a case, and takes nothing (I15)."""
    await limited(world, limit("one", 1), limit("often", 1, Scope.MEMBER, days=7))
    first, second = await rich(world), await rich(world)
    (id_,) = await claimed(world, wish(first, "LOUNGE"))
    number = await number_of(world, id_)
    await call_back(world, number, REFUSED)
    assert "ok" == await ask(world, second)
    await call_back(world, number, Done(at=world.clock.now))
    assert {("limit:one", "2025-07"): 1} == await windows(world)
    kinds = [row.kind for row in await world.rows("SELECT kind FROM case_file")]
    assert "delivered_without_entitlement" in kinds
    (other,) = await world.rows("SELECT claim_id FROM claim WHERE member_id = $1", second)
    again = await number_of(world, other.claim_id)
    await call_back(world, again, REFUSED)
    assert {("limit:one", "2025-07"): 0} == await windows(world)
    await call_back(world, again, Done(at=world.clock.now))
    assert {("limit:one", "2025-07"): 1} == await windows(world)
    assert "cap_reached" == await ask(world, second)
    assert [] == await world.findings()


async def test_what_a_make_good_gives_counts_for_no_limit(world: World) -> None:
    """Its units are outside caps and limits (L-9)."""
    await limited(world, limit("one", 1), limit("mine", 1, Scope.MEMBER, days=7))
    member = await rich(world, quantity=2)
    (id_,) = await claimed(world, wish(member, "LOUNGE"))
    now = world.clock.now
    await call_back(world, await number_of(world, id_), Done(at=now), Used(at=now))
    assert "ok" == await correct(
        world, Kind.MAKE_GOOD, member, 1, claim_id=id_, fault=Fault.OURS, valid_days=10
    )
    assert "ok" == await ask(world, member)
    assert "cap_reached" == await ask(world, member)
    assert {("limit:one", "2025-07"): 1} == await windows(world)
    assert [] == await world.findings()


async def test_a_lower_limit_of_a_new_version_holds_for_new_claims(world: World) -> None:
    """What was taken stays taken, and comes back where it was taken (U-3, K-5)."""
    await limited(world, limit("all", 3))
    member = await rich(world)
    (id_, _) = await claimed(world, wish(member, "LOUNGE"), wish(member, "LOUNGE"))
    await limited(world, limit("all", 1))
    assert "cap_reached" == await ask(world, member)
    await call_back(world, await number_of(world, id_), REFUSED)
    assert "cap_reached" == await ask(world, member)
    await limited(world)
    (free,) = await claimed(world, wish(member, "LOUNGE"))
    await call_back(world, await number_of(world, free), REFUSED)
    assert {("limit:all", "2025-07"): 1} == await windows(world)
    assert [] == await world.findings()


async def test_limits_of_two_programmes_with_one_code_are_two(world: World) -> None:
    """What is taken of one is not taken of the other (K-1)."""
    await limited(world, limit("month", 1))
    await world.apply(beside(limit("month", 2)))
    member = await rich(world)
    await give(world, gift(member, "RAIL", quantity=3))
    codes = [await ask(world, member, code) for code in ("LOUNGE", "RAIL", "LOUNGE", "RAIL")]
    assert ["ok", "ok", "cap_reached", "ok"] == codes
    assert [] == await world.findings()


async def test_a_changed_limit_counts_anew_and_what_was_taken_returns(world: World) -> None:
    """Pieces are not added to money, nor months to days; a late return finds its place (K-5)."""
    kinds: list[tuple[Scope, dict[str, Any]]] = [
        (Scope.MEMBER, {"window": CapWindow.LIFETIME}),
        (Scope.MEMBER, {"days": 7}),
        (Scope.MEMBER, {"window": CapWindow.QUARTER}),
        (Scope.MEMBER, {"dimension": Dimension.COST}),
        (Scope.PROGRAMME, {}),
        (Scope.MEMBER, {"days": 7}),
    ]
    member, taken = await rich(world), list[UUID]()
    for scope, how in kinds:
        await limited(world, limit("one", 40, scope, **how))
        taken += await claimed(world, wish(member, "LOUNGE"))
    assert "ok" == await ask(world, member)
    for claim_id in taken:
        await call_back(world, await number_of(world, claim_id), REFUSED)
    await call_back(world, await number_of(world, taken[-1]), Done(at=world.clock.now))
    assert [] == await world.findings()
    used = await world.rows("SELECT counter, used FROM member_counter WHERE used > 0")
    assert [("limit:wealth:one:MEMBER:COUNT:ROLLING", 2)] == [tuple(row) for row in used]


async def test_a_budget_that_was_left_is_nobody_elses(world: World) -> None:
    """Claims under the old version return into it (K-4)."""
    head = Budget(code="head", total=Decimal(2000))
    own = tuple(Budget(code=c, total=Decimal(1000), parent="head") for c in ("lounge", "video"))
    await limited(world, budgets=(head, *own))
    await limited(world)
    with pytest.raises(ProgrammeInvalid, match="budget 'head' was defined by programme 'wealth'"):
        await world.apply(beside(budgets=(head,)))
    await world.apply(beside())
    await limited(world, budgets=(head, *own))
