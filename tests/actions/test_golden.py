"""The worked examples that need time, a ledger and a provider, told by the actions themselves."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from benefits.actions import deliver, expire, receive
from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.deliver import Work
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.domain.orders import (
    Done,
    NotFound,
    Notice,
    Operation,
    Outcome,
    Pending,
    Reason,
    Rejected,
    Unknown,
    Used,
)
from benefits.domain.refusal import Refusal
from tests.builders import World

EVERYWHERE = (0, 1023)
MARCH_ENDS = datetime(2025, 3, 31, 16, 0, tzinfo=UTC)
REJECTED = Rejected(Reason.STOCK_OUT, "E7")
ORDERS = list(itertools.permutations(["done", "used", "refused", "pending"]))


class Stage:
    """One member, PLATINUM since a month, with a provider that says what the test wants."""

    def __init__(self, world: World, member: UUID) -> None:
        """Play in a world where the member has their units."""
        self.world = world
        self.member = member
        self._numbers = itertools.count(1)

    async def claim(self, benefit: str, quantity: int = 1) -> Decided | Refusal:
        """Claim units now."""
        wish = ClaimUnits(
            caller="mobile",
            key=f"k{next(self._numbers)}",
            member_id=self.member,
            benefit=benefit,
            quantity=quantity,
            recipient={"phone": "13800000001"},
        )
        async with self.world.database.transaction() as conn:
            (outcome,) = await claim(conn, [wish], self.world.parts, wait=False)
        return outcome

    async def lease(self) -> Work:
        """Lease the one request that is due."""
        async with self.world.database.transaction() as conn:
            (work,) = await deliver.lease(conn, self.world.parts, buckets=EVERYWHERE, limit=10)
        return work

    async def answer(self, work: Work, outcome: Outcome) -> None:
        """Let an attempt end with an outcome."""
        async with self.world.database.transaction() as conn:
            await deliver.record(conn, [deliver.Attempt(work, outcome)], self.world.parts)

    async def submit(self, benefit: str, outcome: Outcome) -> Work:
        """Claim one unit, send the request, and let the attempt end with an outcome."""
        assert isinstance(await self.claim(benefit), Accepted)
        work = await self.lease()
        await self.answer(work, outcome)
        return work

    async def call_back(self, number: str, *outcomes: Outcome, event: str = "") -> int:
        """Let the provider call back and work it off; return how many callbacks were new."""
        calls = [
            receive.Callback(
                provider="sandbox",
                notice=Notice(
                    event_id=event or f"e{next(self._numbers)}", number=number, outcome=outcome
                ),
                raw=b"{}",
            )
            for outcome in outcomes
        ]
        parts, database = self.world.parts, self.world.database
        async with database.transaction() as conn:
            new = sum(await receive.receive(conn, calls, parts))
        async with database.transaction() as conn:
            assert new == await receive.work_off(conn, parts, buckets=EVERYWHERE, limit=10)
        return new

    async def expire(self) -> int:
        """Run the expiry job and return how many lots it saw."""
        async with self.world.database.transaction() as conn:
            parts = self.world.parts
            return (await expire.expire_lots(conn, parts, buckets=EVERYWHERE, limit=100)).seen

    async def states(self) -> list[str]:
        """Return the states of the member's claims in alphabetical order."""
        found = await self.world.rows("SELECT state FROM claim ORDER BY state")
        return [row[0] for row in found]

    async def wallet(self, benefit: str) -> tuple[int, int]:
        """Return what the wallet says is available and held."""
        (row,) = await self.world.rows(
            "SELECT available, held FROM wallet WHERE unit = $1", f"BENEFIT:{benefit}"
        )
        return (row[0], row[1])

    async def moved(self, credit: str) -> int:
        """Return how many units were ever posted to an account."""
        (row,) = await self.world.rows(
            """SELECT coalesce(sum(amount), 0)::int FROM posting
               WHERE credit = $1 AND unit LIKE 'BENEFIT:%'""",
            credit,
        )
        return int(row[0])

    async def cases(self) -> list[str]:
        """Return the kinds of cases that are open; the books must balance by then."""
        assert [] == await self.world.findings()
        return [row[0] for row in await self.world.rows("SELECT kind FROM case_file")]


async def platinum(world: World, month: str, decided_at: datetime) -> Stage:
    """Return a stage where a month of 520,000 made the member PLATINUM."""
    world.clock.now = decided_at
    member = await world.member()
    await world.month(world.name(1), month, 520_000_00)
    await world.evaluate(month, member)
    return Stage(world, member)


@pytest.fixture
async def stage(world: World) -> Stage:
    """Give a PLATINUM member of July 2025."""
    return await platinum(world, "2025-06", world.clock())


@pytest.fixture
async def march(world: World) -> Stage:
    """Give a PLATINUM member of March 2025, whose units all end with the month."""
    return await platinum(world, "2025-02", datetime(2025, 3, 2, 19, 10, tzinfo=UTC))


async def test_g_exp_1_a_claim_at_the_end_is_too_late(march: Stage) -> None:
    """G-EXP-1: a microsecond before the end accepted, at the end `expired`."""
    march.world.clock.now = MARCH_ENDS - timedelta(microseconds=1)
    assert isinstance(await march.claim("LOUNGE"), Accepted)
    march.world.clock.now = MARCH_ENDS
    assert Refused("expired", "The units have expired.") == await march.claim("LOUNGE")
    assert [] == await march.cases()


async def test_g_exp_2_the_callers_zone_has_no_influence(march: Stage) -> None:
    """G-EXP-2: half past twelve in New York on 31 March is too late in Shanghai."""
    there = ZoneInfo("America/New_York")
    march.world.clock.now = datetime(2025, 3, 31, 12, 30, tzinfo=there)
    assert Refused("expired", "The units have expired.") == await march.claim("LOUNGE")


async def test_g_exp_4_a_late_job_records_when_units_ended(march: Stage) -> None:
    """G-EXP-4: refused at 00:00:01, recorded nine hours late, effective at midnight, once."""
    march.world.clock.now = MARCH_ENDS + timedelta(seconds=1)
    assert Refused("expired", "The units have expired.") == await march.claim("LOUNGE")
    late = march.world.clock.now = MARCH_ENDS + timedelta(hours=9)
    assert [2, 0] == [await march.expire() for _ in range(2)]
    recorded = await march.world.rows(
        "SELECT effective_at, recorded_at >= $1 FROM batch WHERE kind = 'entitlement.expired'",
        late,
    )
    assert [(MARCH_ENDS, True)] * 2 == [tuple(row) for row in recorded]
    assert (0, 0) == await march.wallet("LOUNGE")
    assert 4 == await march.moved("expired")
    assert [] == await march.cases()


async def _held_across_the_end(march: Stage) -> Work:
    march.world.clock.now = MARCH_ENDS - timedelta(seconds=2)
    work = await march.submit("VIDEO", Pending("R1"))
    march.world.clock.now = MARCH_ENDS + timedelta(seconds=5)
    return work


async def test_g_hold_1_a_hold_across_the_end_is_captured(march: Stage) -> None:
    """G-HOLD-1: held at 23:59:58, success at 00:00:05: captured, also when the job came first."""
    work = await _held_across_the_end(march)
    await march.expire()
    await march.call_back(work.call.number, Done(at=march.world.clock()))
    assert (["ISSUED"], 1) == (await march.states(), await march.moved("redeemed"))
    assert (0, 0) == await march.wallet("VIDEO")
    assert [] == await march.cases()


async def test_g_hold_2_a_hold_across_the_end_is_released_and_expires(march: Stage) -> None:
    """G-HOLD-2: held at 23:59:58, failure at 00:00:05: returned and expired in one batch."""
    work = await _held_across_the_end(march)
    await march.call_back(work.call.number, REJECTED)
    together = await march.world.rows(
        """
        SELECT p.debit, p.credit FROM batch AS b JOIN posting AS p USING (bucket, batch_id)
        WHERE b.kind = 'order.compensated' ORDER BY p.line
        """
    )
    assert [
        ("held", "available"),
        ("available", "expired"),
        ("budget.reserved", "budget.available"),
    ] == [tuple(row) for row in together]
    assert ["COMPENSATED"] == await march.states()
    assert Refused("expired", "The units have expired.") == await march.claim("VIDEO")
    await march.expire()
    assert 4 == await march.moved("expired")
    assert [] == await march.cases()


async def test_g_grant_1_evaluating_again_grants_nothing(stage: Stage) -> None:
    """G-GRANT-1: evaluated three times there is one lot of two lounge visits."""
    again = [await stage.world.evaluate("2025-06", stage.member) for _ in range(2)]
    assert [(0, 0), (0, 0)] == [(one.decisions, one.grants) for one in again]
    lots = await stage.world.rows("SELECT granted FROM lot WHERE unit = 'BENEFIT:LOUNGE'")
    assert [(2,)] == [tuple(row) for row in lots]
    assert [] == await stage.cases()


async def test_g_top_4_what_was_used_stays_used_after_a_rise(stage: Stage) -> None:
    """G-TOP-4: one of two used, then DIAMOND in the same quarter: five available."""
    work = await stage.submit("LOUNGE", Done(at=stage.world.clock()))
    await stage.call_back(work.call.number, Used(at=stage.world.clock()))
    await stage.world.month(stage.world.name(1), "2025-07", 5_200_000_00)
    stage.world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    await stage.world.evaluate("2025-07", stage.member)
    assert (5, 0) == await stage.wallet("LOUNGE")
    assert 1 == await stage.moved("redeemed")
    assert [] == await stage.cases()


async def test_g_up_1_a_tier_holds_from_the_first_of_the_month(stage: Stage) -> None:
    """G-UP-1: decided on 2 July, effective from 1 July at 00:00 in the programme's zone."""
    decided = await stage.world.rows(
        "SELECT before_rank, rank, cause, effective_from, decided_at FROM tier_decision"
    )
    first = datetime(2025, 6, 30, 16, 0, tzinfo=UTC)
    assert [(0, 2, "UPGRADED", first, stage.world.clock())] == [tuple(row) for row in decided]


async def test_g_unk_1_an_unknown_outcome_is_cleared_up(stage: Stage) -> None:
    """G-UNK-1: timeout, "processing" at 15 s, success by callback at 3 min: one capture."""
    work = await stage.submit("VIDEO", Unknown("timeout"))
    assert (["UNKNOWN"], (1, 1)) == (await stage.states(), await stage.wallet("VIDEO"))
    stage.world.clock.forward(seconds=15)
    query = await stage.lease()
    assert (Operation.QUERY, work.call.number) == (query.call.operation, query.call.number)
    await stage.answer(query, Pending("R1"))
    stage.world.clock.forward(seconds=165)
    await stage.call_back(work.call.number, Done(at=stage.world.clock()))
    assert (["ISSUED"], 1) == (await stage.states(), await stage.moved("redeemed"))
    assert [] == await stage.cases()


@pytest.mark.parametrize(
    ("after_s", "state", "wallet"),
    [(599, "UNKNOWN", (1, 1)), (600, "COMPENSATED", (2, 0))],
    ids=["G-UNK-2 before the grace ends", "G-UNK-2 as it ends"],
)
async def test_not_found_is_a_refusal_only_after_the_grace(
    stage: Stage, after_s: int, state: str, wallet: tuple[int, int]
) -> None:
    """G-UNK-2: "not found" at 9:59 leaves the hold, at 10:00 it is released."""
    await stage.submit("VIDEO", Unknown("timeout"))
    stage.world.clock.forward(seconds=after_s)
    await stage.answer(await stage.lease(), NotFound())
    assert ([state], wallet) == (await stage.states(), await stage.wallet("VIDEO"))
    assert [] == await stage.cases()


async def test_g_cb_1_success_twice_is_one_capture(stage: Stage) -> None:
    """G-CB-1: the same event again, and another event that says the same, capture nothing."""
    work = await stage.submit("VIDEO", Pending("R1"))
    done = Done(at=stage.world.clock())
    heard = [await stage.call_back(work.call.number, done, event=name) for name in "aab"]
    assert [1, 0, 1] == heard
    assert (["ISSUED"], 1) == (await stage.states(), await stage.moved("redeemed"))
    assert [] == await stage.cases()


@pytest.mark.parametrize("order", ORDERS)
async def test_callbacks_in_any_order_end_the_same(stage: Stage, order: tuple[str, ...]) -> None:
    """Told together in any order, a use is redeemed with one capture (V-4)."""
    now = stage.world.clock()
    say: dict[str, Outcome] = {
        "done": Done(at=now),
        "used": Used(at=now),
        "refused": REJECTED,
        "pending": Pending("R1"),
    }
    work = await stage.submit("LOUNGE", Unknown("timeout"))
    await stage.call_back(work.call.number, *(say[what] for what in order))
    assert (["REDEEMED"], (1, 0)) == (await stage.states(), await stage.wallet("LOUNGE"))
    assert (1, 0) == (await stage.moved("redeemed"), await stage.moved("loss"))
    assert set(await stage.cases()) <= {"failed_after_success"}


async def test_g_cb_2_failure_twice_is_one_release(stage: Stage) -> None:
    """G-CB-2: the second refusal finds nothing left to release."""
    work = await stage.submit("VIDEO", Pending("R1"))
    for _ in range(2):
        await stage.call_back(work.call.number, REJECTED)
    assert (["COMPENSATED"], (2, 0)) == (await stage.states(), await stage.wallet("VIDEO"))
    released = await stage.world.rows("SELECT released FROM hold_end")
    assert [(1,)] == [tuple(row) for row in released]
    assert [] == await stage.cases()


async def test_g_cb_3_failure_after_success_opens_a_case(stage: Stage) -> None:
    """G-CB-3: what was delivered stays issued, and a person is told."""
    work = await stage.submit("VIDEO", Done(at=stage.world.clock()))
    await stage.call_back(work.call.number, REJECTED)
    assert (["ISSUED"], (1, 0)) == (await stage.states(), await stage.wallet("VIDEO"))
    assert ["failed_after_success"] == await stage.cases()


async def test_g_cb_4_success_after_failure_takes_the_units_again(stage: Stage) -> None:
    """G-CB-4: what was released is captured from the member's units after all."""
    work = await stage.submit("VIDEO", REJECTED)
    await stage.call_back(work.call.number, Done(at=stage.world.clock()))
    assert (["ISSUED"], (1, 0)) == (await stage.states(), await stage.wallet("VIDEO"))
    assert (1, 0) == (await stage.moved("redeemed"), await stage.moved("loss"))
    assert [] == await stage.cases()


async def test_g_cb_4_success_after_failure_with_no_unit_left_is_a_loss(stage: Stage) -> None:
    """G-CB-4: with every unit claimed meanwhile the bank bears it, and a person is told."""
    work = await stage.submit("VIDEO", REJECTED)
    assert isinstance(await stage.claim("VIDEO", 2), Accepted)
    await stage.call_back(work.call.number, Done(at=stage.world.clock()))
    assert (["HELD", "ISSUED"], (0, 2)) == (await stage.states(), await stage.wallet("VIDEO"))
    assert (0, 1) == (await stage.moved("redeemed"), await stage.moved("loss"))
    assert ["delivered_without_entitlement"] == await stage.cases()


async def test_g_cb_4_what_the_bank_bore_is_not_captured_when_it_is_used(stage: Stage) -> None:
    """G-CB-4: a late delivery that was a loss is used: redeemed, and nobody's units move."""
    work = await stage.submit("LOUNGE", REJECTED)
    assert isinstance(await stage.claim("LOUNGE", 2), Accepted)
    await stage.call_back(work.call.number, Done(at=stage.world.clock()))
    await stage.call_back(work.call.number, Used(at=stage.world.clock()))
    assert (["HELD", "REDEEMED"], (0, 2)) == (await stage.states(), await stage.wallet("LOUNGE"))
    assert (0, 1) == (await stage.moved("redeemed"), await stage.moved("loss"))
    assert ["delivered_without_entitlement"] == await stage.cases()


async def test_g_cb_5_a_callback_for_an_unknown_order_is_kept_as_a_case(stage: Stage) -> None:
    """G-CB-5: stored, acknowledged, and a person is told."""
    done = Done(at=stage.world.clock())
    assert [1, 0] == [await stage.call_back("0" * 32, done, event="a") for _ in range(2)]
    assert ["unknown_order"] == await stage.cases()
    assert (2, 0) == await stage.wallet("VIDEO")


@pytest.mark.parametrize(
    "response",
    [Pending("R1"), Unknown("timeout")],
    ids=["G-CB-6 accepted", "G-CB-6 timed out"],
)
async def test_a_callback_before_the_response_is_valid(stage: Stage, response: Outcome) -> None:
    """G-CB-6: success by callback while our call is open; the response then changes nothing."""
    assert isinstance(await stage.claim("VIDEO"), Accepted)
    work = await stage.lease()
    await stage.call_back(work.call.number, Done(at=stage.world.clock()))
    await stage.answer(work, response)
    assert (["ISSUED"], 1) == (await stage.states(), await stage.moved("redeemed"))
    assert (1, 0) == await stage.wallet("VIDEO")
    assert [] == await stage.cases()
