"""Bookings: claims for a time, cancelled in time, late or never, and missed (V-10)."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.cancel import CancelClaim, cancel
from benefits.actions.redeem import RedeemClaim, redeem
from benefits.domain.benefit import Consumed
from benefits.domain.booking import Booking, IfEnded, LateCancel
from benefits.domain.corrections import Fault, Kind
from benefits.domain.limits import Cap, CapWindow
from benefits.domain.orders import (
    Capabilities,
    Done,
    Expired,
    NotSent,
    Operation,
    Outcome,
    Pending,
    QueryBy,
    Reason,
    RedeemBy,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.store import members
from benefits.store.db import Connection
from tests.actions.desk import ask
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    decide,
    expire_lots,
    fresh,
    gift,
    give,
    lapse_holds,
    lease,
    number_of,
    record,
    said,
    states,
    wallet,
    wish,
)
from tests.actions.limiting import local
from tests.actions.test_redeem import answered, end_uses, story
from tests.builders import NOON, World, reference_programme

TIME = local(2025, 7, 5, 10)


async def bookable(world: World, booking: Booking, *, can: Any = None, **more: Any) -> UUID:
    """Let spas be booked from 28 June 2025 on; return who has one through the 30th."""
    world.clock.now = local(2025, 6, 28, 12)
    programme = reference_programme()
    terms = {"cap": Cap(limit=1, window=CapWindow.QUARTER)} | more
    spa = replace(programme.benefits["LOUNGE"], code="SPA", booking=booking, **terms)
    provider = replace(programme.provider[0], capabilities=Capabilities(**(can or {})))
    await world.apply(replace(programme, benefit=(*programme.benefit, spa), provider=(provider,)))
    member = await world.member()
    await give(world, gift(member, "SPA", expires_on=date(2025, 6, 30)))
    return member


async def booked(world: World, member: UUID, at: datetime = TIME) -> UUID:
    """Book a spa."""
    (claim_id,) = await claimed(world, wish(member, "SPA", booked_for=at))
    return claim_id


async def give_up(world: World, claim_id: UUID, key: str = "") -> str:
    """Cancel; return `ok` or the code of the refusal."""

    async def work(conn: Connection) -> Any:
        asked = CancelClaim(caller="mobile", key=key or fresh("c"), claim_id=claim_id)
        (outcome,) = await cancel(conn, [asked], world.parts, wait=True)
        return outcome

    return said(await world.database.transact(work))


async def answer_revoke(world: World, outcome: Outcome, other: Outcome | None = None) -> None:
    """Make the calls that are due; to be asked to take an order back is answered so."""
    for _ in range(2):  # of one lane, one after the other
        for work in await lease(world):
            revokes = work.call.operation is Operation.REVOKE
            still = other or Done(at=world.clock.now)
            await record(world, work, outcome if revokes else still)


async def stands(world: World) -> list[tuple[str, str, bool]]:
    """Return where claims stand, why, and whether they are given up."""
    found = await world.rows("SELECT state, reason, cancelled_at FROM claim ORDER BY claimed_at")
    return [(row.state, row.reason, row.cancelled_at is not None) for row in found]


@pytest.mark.parametrize(
    ("policy", "consumed"),
    [
        (IfEnded.LOSE, Consumed.USE),
        (IfEnded.MAKE_GOOD, Consumed.USE),
        (IfEnded.MAKE_GOOD, Consumed.ISSUE),
    ],
)
async def test_g_book_1_a_booking_counts_in_the_quarter_of_its_claim(
    world: World, policy: IfEnded, consumed: Consumed
) -> None:
    """G-BOOK-1: of Q2; given up on 1 July its lot has ended: it is lost, or made good 30 days."""
    booking = Booking(free_cancel_hours=48, if_ended=policy)
    member = await bookable(world, booking, consumed=consumed)
    claim_id = await booked(world, member)
    used = await world.rows('SELECT "window", used FROM member_counter')
    assert [("2025-Q2", 1)] == [tuple(row) for row in used]
    await answered(world, Done(at=world.clock.now))
    world.clock.now = local(2025, 7, 1, 9)
    await expire_lots(world)
    assert "ok" == await give_up(world, claim_id)
    assert [("ISSUED", "", True)] == await stands(world)
    assert (0, int(consumed is Consumed.USE)) == await wallet(world, member, "SPA")
    await answer_revoke(world, Revoked(at=world.clock.now))
    assert [("REVOKED", "cancelled", True)] == await stands(world)
    made_good = await world.rows("SELECT expires_at, period FROM lot WHERE cause = 'MAKE_GOOD'")
    expected = [(local(2025, 8, 1), str(claim_id))] if policy is IfEnded.MAKE_GOOD else []
    assert expected == [tuple(row) for row in made_good]
    assert (len(expected), 0) == await wallet(world, member, "SPA")
    assert (0, 0) == await counter(world, "budget:lounge")
    ((left,),) = await world.rows("SELECT used FROM member_counter")
    assert 0 == left
    more = {"claim_id": claim_id, "fault": Fault.OURS, "valid_days": 7}
    asked = await ask(world, Kind.MAKE_GOOD, member, 1, **more)
    assert (asked == "correction_exceeds") == (policy is IfEnded.MAKE_GOOD)
    assert [] == await world.findings()


async def test_what_was_never_sent_ends_at_once(world: World) -> None:
    """Nobody is asked, the same key says the same again, and the unit is there (C-9)."""
    member = await bookable(world, Booking(free_cancel_hours=48))
    claim_id = await booked(world, member)
    for _ in range(2):
        assert "ok" == await give_up(world, claim_id, "k")
    assert "not_cancellable" == await give_up(world, claim_id)
    assert ([("REVOKED", "cancelled", True)], (1, 0)) == (
        await stands(world),
        await wallet(world, member, "SPA"),
    )
    assert [] == await lease(world)
    assert "unknown_claim" == await give_up(world, UUID(int=7))
    assert "ok" == said((await decide(world, wish(member, "SPA", booked_for=TIME)))[0])
    assert [] == await world.findings()


async def test_silence_gives_nothing_back_and_a_no_lets_the_booking_stand(world: World) -> None:
    """V-3: the provider is asked again; where it keeps the order it may be given up once more."""
    member = await bookable(world, Booking(free_cancel_hours=48))
    claim_id = await booked(world, member)
    await answered(world, Pending("R1"))
    assert "ok" == await give_up(world, claim_id)
    assert "cancellation_open" == await give_up(world, claim_id)
    for answer in (Unknown("timeout"), Rejected(Reason.LIMIT, "too_late")):
        assert [("PENDING", "", True)] == await stands(world)
        world.clock.forward(seconds=700)
        await answer_revoke(world, answer, Pending("R1"))
        assert (0, 1) == await wallet(world, member, "SPA")
    assert [("PENDING", "", False)] == await stands(world)
    assert {"order.revoking", "order.kept"} <= set(await story(world))
    assert "ok" == await give_up(world, claim_id)
    await call_back(world, await number_of(world, claim_id), Revoked(at=world.clock.now))
    assert ([("REVOKED", "cancelled", True)], (1, 0)) == (
        await stands(world),
        await wallet(world, member, "SPA"),
    )
    await answer_revoke(world, Rejected(Reason.NOT_ELIGIBLE, "taken back before"))
    assert [("REVOKED", "cancelled", True)] == await stands(world)
    assert [] == await world.findings()


async def test_whom_a_provider_never_answered_may_cancel_anew(world: World) -> None:
    """A person is told; what counts is when it was given up first. So may who undid its use."""
    can = {"query_schedule_s": (60,)}
    member = await bookable(world, Booking(free_cancel_hours=48), can=can)
    claim_id = await booked(world, member)
    await answered(world, Done(at=world.clock.now))
    assert "ok" == await give_up(world, claim_id)
    await answer_revoke(world, Used(at=world.clock.now))
    assert [("REDEEMED", "", False)] == await stands(world)
    await call_back(world, await number_of(world, claim_id), Reversed(at=world.clock.now))
    assert "ok" == await give_up(world, claim_id)
    assert "cancellation_open" == await give_up(world, claim_id)
    await answer_revoke(world, Pending("R1"))
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert "revoke_unanswered" == case.kind
    world.clock.now = TIME + timedelta(days=9)
    assert (0, "ok") == (await end_uses(world), await give_up(world, claim_id))
    await answer_revoke(world, Revoked(at=world.clock.now))
    assert ([("REVOKED", "cancelled", True)], (1, 0)) == (
        await stands(world),
        await wallet(world, member, "SPA"),
    )
    assert [] == await world.findings()


async def test_what_was_given_up_on_its_way_is_not_sent_again(world: World) -> None:
    """Where it never left it ends; that a request to revoke never left is no news of it (V-3)."""
    member = await bookable(world, Booking(free_cancel_hours=48))
    claim_id = await booked(world, member)
    (silent,) = await lease(world)
    assert "ok" == await give_up(world, claim_id)
    world.clock.forward(seconds=100)
    assert Operation.REVOKE is await answered(world, NotSent("refused"))
    assert ["UNKNOWN"] == await states(world)
    assert 0 == await lapse_holds(world)
    await record(world, silent, NotSent("refused"))
    assert ([("REVOKED", "cancelled", True)], (1, 0)) == (
        await stands(world),
        await wallet(world, member, "SPA"),
    )
    world.clock.forward(seconds=3600)
    assert [Operation.REVOKE] == [work.call.operation for work in await lease(world)]


async def test_what_was_given_up_is_not_confirmed(world: World) -> None:
    """Unless its provider keeps it: then the booking stands, and goes on."""
    can = {"two_phase": True}
    member = await bookable(world, Booking(free_cancel_hours=48), can=can)
    claim_id = await booked(world, member)
    await answered(world, Done(at=world.clock.now))
    assert "ok" == await give_up(world, claim_id)
    asked = list[Operation]()
    for _ in range(2):  # both requests are due at once: whichever comes first
        (work,) = await lease(world)
        asked.append(work.call.operation)
        kept = Rejected(Reason.NOT_ELIGIBLE, "kept")
        revokes = work.call.operation is Operation.REVOKE
        await record(world, work, kept if revokes else Done(at=world.clock.now))
    query, revoke, confirm = Operation.QUERY, Operation.REVOKE, Operation.CONFIRM
    assert asked in ([query, revoke], [revoke, confirm])
    assert [("PENDING", "", False)] == await stands(world)
    world.clock.forward(seconds=60)
    asked += [await answered(world, Done(at=world.clock.now)) for _ in range(2)]
    assert confirm in asked


@pytest.mark.parametrize("consumed", list(Consumed))
async def test_what_the_bank_bore_is_not_made_good(world: World, consumed: Consumed) -> None:
    """Its unit came back when the provider first said no, and ended as it was."""
    member = await bookable(world, Booking(free_cancel_hours=48), consumed=consumed)
    claim_id = await booked(world, member)
    number = await number_of(world, claim_id)
    await call_back(world, number, Rejected(Reason.STOCK_OUT, "full"))
    world.clock.now = local(2025, 7, 1, 9)
    await call_back(world, number, Done(at=world.clock.now))
    assert "ok" == await give_up(world, claim_id)
    await call_back(world, number, Revoked(at=world.clock.now))
    assert [("REVOKED", "cancelled", True)] == await stands(world)
    assert [] == await world.rows("SELECT FROM lot WHERE cause = 'MAKE_GOOD'")
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("late", "code", "state", "spent"),
    [
        (LateCancel.REFUSE, "cancelled_too_late", ("ISSUED", "", False), (3800, 0)),
        (LateCancel.CAPTURE, "ok", ("REVOKED", "cancelled", True), (0, 3800)),
    ],
)
async def test_who_cancels_late_pays_where_they_may(
    world: World, late: LateCancel, code: str, state: tuple[str, str, bool], spent: tuple[int, int]
) -> None:
    """To the microsecond; what is spent is so once the provider took the booking back."""
    member = await bookable(world, Booking(free_cancel_hours=48, late_cancel=late))
    claim_id = await booked(world, member)
    await answered(world, Done(at=world.clock.now))
    world.clock.now = TIME - timedelta(hours=48)
    assert code == await give_up(world, claim_id)
    assert (3800, 0) == await counter(world, "budget:lounge")
    await answer_revoke(world, Revoked(at=world.clock.now))
    assert ([state], spent) == (await stands(world), await counter(world, "budget:lounge"))
    world.clock.now = TIME
    assert "ok" != await give_up(world, claim_id)
    assert [] == await world.findings()


async def test_who_does_not_come_has_used_it(world: World) -> None:
    """V-10: after the grace the unit is spent; not while it is given up, and a use is no more."""
    member = await bookable(world, Booking(free_cancel_hours=48, no_show_hours=3))
    await give(world, gift(member, "SPA", expires_on=date(2025, 6, 30)))
    claim_id = await booked(world, member)
    await answered(world, Done(at=world.clock.now))
    world.clock.now = TIME + timedelta(hours=3, microseconds=-1)
    assert 0 == await end_uses(world)
    world.clock.forward(microseconds=1)
    assert (1, 0) == (await end_uses(world), await end_uses(world))
    assert [("EXPIRED", "no_show", False)] == await stands(world)
    assert (0, 3800) == await counter(world, "budget:lounge")
    number = await number_of(world, claim_id)
    await call_back(world, number, Used(at=TIME), Revoked(at=TIME))
    assert [("REDEEMED", "", False)] == await stands(world)
    assert (0, 3800) == await counter(world, "budget:lounge")
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert "revoked_after_success" == case.kind
    assert [] == await world.findings()


async def test_what_ends_before_its_time_was_not_missed(world: World) -> None:
    """Nobody can come to what the provider ended before, also where that is told later."""
    member = await bookable(world, Booking())
    claim_id = await booked(world, member)
    early = Expired(at=TIME - timedelta(microseconds=1))
    number = await number_of(world, claim_id)
    await call_back(world, number, Done(at=world.clock.now), Expired(at=TIME))
    assert [("EXPIRED", "no_show", False)] == await stands(world)
    assert (0, 3800) == await counter(world, "budget:lounge")
    await call_back(world, number, early)
    assert [("EXPIRED", "", False)] == await stands(world)
    assert (0, 0) == await counter(world, "budget:lounge")
    assert (1, 0) == await wallet(world, member, "SPA")
    assert [] == await world.findings()


async def test_a_use_and_a_cancellation_wait_for_each_other(world: World) -> None:
    """What is being used is not given up, and what is given up is not used, nor missed."""
    can = {"redeem_by": RedeemBy.US}
    member = await bookable(world, Booking(free_cancel_hours=48), can=can)
    claim_id = await booked(world, member)
    await answered(world, Done(at=world.clock.now))

    async def use(conn: Connection) -> Any:
        asked = RedeemClaim(caller="till", key=fresh("u"), claim_id=claim_id)
        (outcome,) = await redeem(conn, [asked], world.parts, wait=True)
        return outcome

    assert "ok" == said(await world.database.transact(use))
    assert "redemption_open" == await give_up(world, claim_id)
    await answered(world, Rejected(Reason.NOT_ELIGIBLE, "wrong_shop"))
    assert "ok" == await give_up(world, claim_id)
    assert "order_not_usable" == said(await world.database.transact(use))
    world.clock.now = TIME + timedelta(days=9)
    assert 0 == await end_uses(world)
    assert ["ISSUED"] == await states(world)


async def test_a_late_delivery_of_what_was_given_up_is_taken_back(world: World) -> None:
    """G-CB-4 does not take units anew for a booking that nobody wants any more."""
    member = await bookable(world, Booking(free_cancel_hours=48))
    claim_id = await booked(world, member)
    await answered(world, Pending("R1"))
    assert "ok" == await give_up(world, claim_id)
    number = await number_of(world, claim_id)
    await call_back(world, number, Rejected(Reason.STOCK_OUT, "full"), Done(at=world.clock.now))
    assert (["COMPENSATED"], (1, 0)) == (
        await states(world),
        await wallet(world, member, "SPA"),
    )
    assert Operation.REVOKE is await answered(world, Rejected(Reason.LIMIT, "too_late"))
    assert [("COMPENSATED", "stock_out", True)] == await stands(world)
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert "revoke_unanswered" == case.kind
    assert "order.kept" not in await story(world)
    assert [] == await world.findings()


async def test_bookings_given_up_together_end_as_if_one_by_one(world: World) -> None:
    """Each sees the one before; who does not wait is told busy, and nothing is written of it."""
    member = await bookable(world, Booking(free_cancel_hours=48), cap=None)
    held = await world.member()
    await give(world, gift(member, "SPA"), gift(held, "SPA"))
    first, second = [await booked(world, member) for _ in range(2)]
    other = await booked(world, held)
    asked = [
        CancelClaim(caller="mobile", key=fresh("c"), claim_id=id_)
        for id_ in (first, second, first, other)
    ]
    async with world.database.transaction() as elsewhere:
        await members.lock(elsewhere, [held], wait=True)
        async with world.database.transaction() as conn:
            outcomes = await cancel(conn, [*asked, asked[0]], world.parts, wait=False)
    expected = ["ok", "ok", "not_cancellable", "busy", "ok"]
    assert expected == [said(outcome) for outcome in outcomes]
    over, waits = ("REVOKED", "cancelled", True), ("HELD", "", False)
    assert [waits, over, over] == sorted(await stands(world))
    assert [] == await world.findings()


async def test_what_was_sent_and_what_was_not_is_given_up_together(world: World) -> None:
    """Of one member: a provider is asked once about the former, the latter ends."""
    member = await bookable(world, Booking(free_cancel_hours=48), cap=None)
    await give(world, gift(member, "SPA"))
    sent = await booked(world, member)
    world.clock.forward(seconds=1)
    unsent = await booked(world, member)
    await answered(world, Pending("R1"))  # one lane: the later one waits its turn
    asked = [
        CancelClaim(caller="mobile", key=fresh("c"), claim_id=id_)
        for id_ in (sent, unsent, sent, unsent)
    ]
    async with world.database.transaction() as conn:
        outcomes = await cancel(conn, asked, world.parts, wait=True)
    expected = ["ok", "ok", "cancellation_open", "not_cancellable"]
    assert expected == [said(outcome) for outcome in outcomes]
    assert [("PENDING", "", True), ("REVOKED", "cancelled", True)] == await stands(world)
    await answer_revoke(world, Revoked(at=world.clock.now))
    assert [("REVOKED", "cancelled", True)] * 2 == await stands(world)
    assert (2, 0) == await wallet(world, member, "SPA")
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("contract_end", "left", "why"),
    [(None, 1, []), (date(2025, 7, 7), 0, ["make_good_impossible"])],
)
async def test_what_was_given_up_comes_back_by_whatever_word(
    world: World, contract_end: date | None, left: int, why: list[str]
) -> None:
    """Ended, refused or not known: it is made good, or a case where the contract ends (L-9)."""
    booking = Booking(free_cancel_hours=48)
    spent = {"consumed": Consumed.ISSUE, "contract_end": contract_end}
    first = await bookable(world, booking, **spent)
    unknown = Rejected(Reason.NOT_FOUND, "not_found")
    words: list[tuple[list[Outcome], Outcome, tuple[str, str], list[str]]] = [
        ([Done(at=NOON)], Expired(at=TIME), ("REVOKED", "cancelled"), ["missed_after_given_up"]),
        ([Done(at=NOON)], unknown, ("REVOKED", "cancelled"), ["failed_after_success"]),
        ([Pending("R1")], Expired(at=NOON), ("REVOKED", "cancelled"), []),
        ([Pending("R1")], Rejected(Reason.LIMIT, "full"), ("COMPENSATED", "limit"), []),
    ]
    members = [first, *await world.members(len(words) - 1)]
    await give(world, *(gift(one, "SPA", expires_on=date(2025, 6, 30)) for one in members[1:]))
    ids = [await booked(world, one) for one in members]
    for id_, (before, _, _, _) in zip(ids, words, strict=True):
        await call_back(world, await number_of(world, id_), *before)
    world.clock.now = local(2025, 7, 1, 9)
    for id_, member, (_, over, stands_, cases) in zip(ids, members, words, strict=True):
        assert "ok" == await give_up(world, id_)
        await call_back(world, await number_of(world, id_), over, over)
        found = await world.rows("SELECT state, reason FROM claim WHERE claim_id = $1", id_)
        assert [stands_] == [tuple(row) for row in found]
        told = await world.rows("SELECT kind FROM case_file WHERE claim_id = $1", id_)
        assert sorted([*cases, *why]) == sorted(row.kind for row in told)
        assert (left, 0) == await wallet(world, member, "SPA")
    assert (0, 0) == await counter(world, "budget:lounge")
    assert [] == await world.findings()


@pytest.mark.parametrize("kept", [True, False])
async def test_what_was_given_up_is_not_sent_to_ask(world: World, *, kept: bool) -> None:
    """Its provider cannot be asked: unless it keeps the order, a person is told at last."""
    can = {"query": QueryBy.NONE, "query_schedule_s": (60, 60)}
    member = await bookable(world, Booking(free_cancel_hours=48), can=can)
    claim_id = await booked(world, member)
    (first,) = await lease(world)
    await record(world, first, Unknown("timeout"))
    assert "ok" == await give_up(world, claim_id)
    asked = list[Operation]()
    for _ in range(6):  # two leases a minute: of one lane one goes after the other
        world.clock.forward(seconds=30)
        for work in await lease(world):
            asked.append(work.call.operation)
            assert first.call.number == work.call.number
            revokes = work.call.operation is Operation.REVOKE
            said = Rejected(Reason.LIMIT, "no") if revokes else Done(at=world.clock.now)
            await record(world, work, said if kept else Unknown("timeout"))
    found = await world.rows("SELECT kind FROM case_file ORDER BY kind")
    expected = [] if kept else ["no_answer", "revoke_unanswered"]
    assert expected == [row.kind for row in found]
    assert kept == (Operation.ISSUE in asked)
    assert ["ISSUED" if kept else "MANUAL"] == await states(world)
    mute = "SELECT FROM provider_attempt WHERE evidence = 'given up, not sent again'"
    assert (0 if kept else 2) == len(await world.rows(mute))
    assert [] == await world.findings()
