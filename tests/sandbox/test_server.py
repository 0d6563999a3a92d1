"""The sandbox does what each behaviour promises, over real HTTP and through the open dialect."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import (
    Done,
    NotFound,
    NotSent,
    Pending,
    Reason,
    Rejected,
    Revoked,
    Unknown,
    Used,
)
from benefits.sandbox.book import Behaviour, chosen, digest
from benefits.sandbox.server import SandboxSettings, make_app, run
from tests.sandbox.stage import SECRET, Stage, numbered, stage

FIVE = [each for each in Behaviour if each is not Behaviour.MIXED]
AT_ONCE = next(f"{n:032x}" for n in range(99) if digest(f"{n:032x}")[1] % 2 == 0)
LATER = next(f"{n:032x}" for n in range(99) if digest(f"{n:032x}")[1] % 2 == 1)


async def test_good_issues_at_once_and_then_keeps_quiet() -> None:
    """A synchronous answer is the whole story: no callback follows it."""
    async with stage(Behaviour.GOOD) as on:
        issued = await on.issue(AT_ONCE)
        assert isinstance(issued, Done)
        assert issued.reference.startswith("SB")
        assert len(issued.code) == 12
        assert await on.query(AT_ONCE) == issued
        assert await on.arrivals.count(0) == []


async def test_good_calls_back_once_when_it_said_pending() -> None:
    """An accepted order is issued shortly, and the callback says the same as a query."""
    async with stage(Behaviour.GOOD) as on:
        assert isinstance(await on.issue(LATER), Pending)
        (notice,) = await on.arrivals.count(1)
        assert notice.number == LATER
        assert isinstance(notice.outcome, Done)
        assert await on.query(LATER) == notice.outcome


async def test_slow_answers_late_but_within_the_deadline() -> None:
    """Patience is rewarded with a plain answer."""
    async with stage(Behaviour.SLOW) as on:
        started = time.monotonic()
        assert isinstance(await on.issue(AT_ONCE), Done)
        assert time.monotonic() - started >= 0.1


async def test_slow_beyond_the_deadline_is_unknown_and_found_by_a_query() -> None:
    """An answer that comes too late is no answer, but the work was done."""
    async with stage(Behaviour.SLOW, slow_s=2.0, deadline_s=0.5) as on:
        assert isinstance(await on.issue(AT_ONCE), Unknown)
        assert isinstance(await on.query(AT_ONCE), Done)


@pytest.mark.parametrize("hang_s", [0.0, 5.0])
async def test_times_out_does_the_work_and_only_a_query_tells(hang_s: float) -> None:
    """Dropped at once or held beyond the deadline: unknown, issued, and never called back."""
    async with stage(Behaviour.TIMES_OUT, hang_s=hang_s, deadline_s=0.5) as on:
        assert isinstance(await on.issue(AT_ONCE), Unknown)
        found = await on.query(AT_ONCE)
        assert isinstance(found, Done)
        assert await on.issue(AT_ONCE) == found
        assert await on.arrivals.count(0) == []


async def test_calls_back_twice_with_one_id() -> None:
    """The second callback is the first one again, byte for byte and under the same id."""
    async with stage(Behaviour.CALLS_BACK_TWICE) as on:
        assert isinstance(await on.issue(AT_ONCE), Pending)
        first, second = await on.arrivals.count(2)
        assert first == second
        assert on.arrivals.raws[0].body == on.arrivals.raws[1].body


async def test_never_calls_back_is_found_by_a_query() -> None:
    """Silence after pending: the work is done and only a query tells."""
    async with stage(Behaviour.NEVER_CALLS_BACK) as on:
        assert isinstance(await on.issue(AT_ONCE), Pending)
        assert await on.arrivals.count(0) == []
        assert isinstance(await on.query(AT_ONCE), Done)


@pytest.mark.parametrize("behaviour", FIVE)
async def test_mixed_shows_each_behaviour_by_the_number(behaviour: Behaviour) -> None:
    """Under mixed a number is treated as its hash says, and every number is served in the end."""
    number = numbered(behaviour)
    async with stage(Behaviour.MIXED, hang_s=0.0) as on:
        await on.issue(number)
        await asyncio.sleep(0.1)
        assert isinstance(await on.query(number), Done)
        _, page = await on.get("/desk/orders")
        assert page["orders"][0]["behaviour"] == behaviour.value


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_a_number_is_always_treated_the_same(value: int) -> None:
    """Mixed is a choice by the number among the five, and a set behaviour is for all."""
    number = f"{value:032x}"
    assert chosen(number, Behaviour.MIXED) in FIVE
    assert chosen(number, Behaviour.MIXED) is chosen(number, Behaviour.MIXED)
    assert chosen(number, Behaviour.SLOW) is Behaviour.SLOW


@pytest.mark.parametrize("behaviour", FIVE)
async def test_a_phone_ending_in_0000_is_rejected_in_the_end(behaviour: Behaviour) -> None:
    """Each behaviour tells a rejection its own way, and the query agrees."""
    async with stage(behaviour, hang_s=0.0) as on:
        told = await on.issue(AT_ONCE, phone="13800000000")
        assert isinstance(told, Rejected | Pending | Unknown)
        await asyncio.sleep(0.1)
        assert await on.query(AT_ONCE) == Rejected(Reason.ACCOUNT, "account")


async def test_a_rejection_is_called_back_where_it_was_pending() -> None:
    """The callback carries the reason."""
    async with stage(Behaviour.GOOD) as on:
        assert isinstance(await on.issue(LATER, phone="13800000000"), Pending)
        (notice,) = await on.arrivals.count(1)
        assert notice.outcome == Rejected(Reason.ACCOUNT, "account")


async def test_the_same_number_again_is_the_same_order() -> None:
    """A replay tells the state; with other parameters the number is taken, not failed."""
    async with stage(Behaviour.GOOD) as on:
        issued = await on.issue(AT_ONCE)
        assert await on.issue(AT_ONCE) == issued
        other = await on.issue(AT_ONCE, sku="coffee")
        assert isinstance(other, Unknown)
        assert "duplicate_different" in other.evidence
        assert await on.query(AT_ONCE) == issued


async def test_an_unknown_number_is_not_found() -> None:
    """Queries and revocations of what was never asked say so."""
    async with stage(Behaviour.GOOD) as on:
        assert await on.query(AT_ONCE) == NotFound()
        assert await on.revoke(AT_ONCE) == NotFound()


async def test_what_is_unused_can_be_revoked_once_and_for_ever() -> None:
    """A revoked order stays revoked, and cannot be used."""
    async with stage(Behaviour.GOOD) as on:
        await on.issue(AT_ONCE)
        revoked = await on.revoke(AT_ONCE)
        assert isinstance(revoked, Revoked)
        assert await on.revoke(AT_ONCE) == revoked
        assert await on.query(AT_ONCE) == revoked
        assert (await on.use({"number": AT_ONCE}))[0] == 409


async def test_a_pending_order_that_is_revoked_is_not_called_back() -> None:
    """What is taken back before it was issued is over."""
    async with stage(Behaviour.GOOD, callback_after_s=0.2) as on:
        await on.issue(LATER)
        assert isinstance(await on.revoke(LATER), Revoked)
        await asyncio.sleep(0.2)
        assert await on.arrivals.count(0) == []


async def test_use_at_the_desk_calls_back_redeemed() -> None:
    """The counter marks an order used once; then nobody can revoke it."""
    async with stage(Behaviour.GOOD) as on:
        await on.issue(AT_ONCE)
        status, view = await on.use({"number": AT_ONCE})
        assert (status, view["status"], view["number"]) == (200, "redeemed", AT_ONCE)
        (notice,) = await on.arrivals.count(1)
        assert isinstance(notice.outcome, Used)
        assert await on.revoke(AT_ONCE) == notice.outcome
        again, problem = await on.use({"number": AT_ONCE})
        assert (again, problem["error"]) == (409, "not_usable")


async def test_the_desk_tells_what_it_cannot_do() -> None:
    """Unknown numbers, pending orders and malformed requests get clear JSON."""
    async with stage(Behaviour.NEVER_CALLS_BACK, callback_after_s=9) as on:
        await on.issue(AT_ONCE)
        told = [
            await on.use({"number": AT_ONCE}),
            await on.use({"number": "f" * 32}),
            await on.use({"number": "F"}),
            await on.get("/desk/orders?limit=x"),
        ]
        errors = [(status, problem["error"]) for status, problem in told]
        assert errors == [
            (409, "not_usable"),
            (404, "not_found"),
            (400, "malformed"),
            (400, "malformed"),
        ]


async def test_the_desk_lists_all_orders_page_by_page_without_recipients() -> None:
    """Newest first, each once, nothing personal."""
    numbers = [f"{n:032x}" for n in range(5)]
    async with stage(Behaviour.SLOW, slow_s=0) as on:
        for number in numbers:
            await on.issue(number)
        listed = await pages(on, "/desk/orders?limit=2")
    assert [order["number"] for order in listed] == numbers[::-1]
    assert all("13800001234" not in str(order) for order in listed)


async def pages(on: Stage, path: str) -> list[dict[str, str]]:
    """Read all pages."""
    listed, cursor = [], ""
    while True:
        _, page = await on.get(path + cursor)
        listed += page["orders"]
        if page["next"] is None:
            return listed
        cursor = f"&cursor={page['next']}"


async def test_callbacks_are_sent_until_acknowledged() -> None:
    """Refused deliveries come again under the same id with a fresh timestamp, then stop."""
    async with stage(Behaviour.GOOD, refusals=3) as on:
        await on.issue(LATER)
        notices = await on.arrivals.count(4)
        assert len(notices) == 4
        assert len({notice.event_id for notice in notices}) == 1


async def test_a_restart_keeps_orders_and_owed_callbacks(tmp_path: Path) -> None:
    """What was asked before a restart is known after it, and the callback still comes."""
    database = str(tmp_path / "sandbox" / "orders.db")
    async with stage(Behaviour.GOOD, database=database, callback_after_s=1.0) as before:
        assert isinstance(await before.issue(LATER), Pending)
    async with stage(Behaviour.GOOD, database=database) as after:
        (notice,) = await after.arrivals.count(1)
        assert isinstance(notice.outcome, Done)
        assert await after.query(LATER) == notice.outcome
        assert await after.issue(LATER) == notice.outcome


async def test_a_foreign_signature_is_refused_and_nothing_is_done() -> None:
    """With another secret the sandbox answers 401, which tells us nothing certain."""
    foreign = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    async with stage(Behaviour.GOOD, secret=foreign) as on:
        refused = await on.issue(AT_ONCE)
        assert isinstance(refused, Unknown)
        assert "HTTP 401" in refused.evidence
        _, page = await on.get("/desk/orders")
        assert page == {"orders": [], "next": None}


async def test_run_serves_until_cancelled() -> None:
    """The command's entry answers requests once it says so, and ends cleanly."""
    bases: asyncio.Queue[str] = asyncio.Queue()
    settings = SandboxSettings(secrets=(SECRET,), callback_url="", port=0)
    task = asyncio.create_task(run(settings, ready=bases.put_nowait))
    async with asyncio.timeout(5):
        base = await bases.get()
        async with aiohttp.ClientSession() as session, session.get(f"{base}/health") as response:
            assert await response.json() == {"status": "ok"}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_malformed_secret_stops_the_start() -> None:
    """The sandbox does not start with a secret that is none."""
    for secrets in ((), ("whsec_short",)):
        with pytest.raises(ValueError, match="secret"):
            make_app(SandboxSettings(secrets=secrets, callback_url=""))


async def test_nobody_listening_is_not_sent() -> None:
    """When the sandbox is gone the request provably did not leave."""
    async with stage(Behaviour.GOOD) as on:
        gone = on.provider
        gone._base = "http://127.0.0.1:1"
        assert isinstance(await on.issue(AT_ONCE), NotSent)
