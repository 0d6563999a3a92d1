"""The sandbox does what each behaviour promises, over real HTTP and through the open dialect."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import (
    Capabilities,
    Done,
    Expired,
    NotFound,
    NotSent,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    Rejected,
    Revoked,
    Unknown,
    Used,
)
from benefits.domain.signature import parse_secret
from benefits.providers.client import Client
from benefits.providers.http import HttpProvider
from benefits.providers.open import OpenDialect
from benefits.sandbox.behaviour import EXPLAINED, MIXTURES, SINGLE, Behaviour, chosen, digest
from benefits.sandbox.server import SandboxSettings, make_app, run
from tests.sandbox.stage import LOOPBACK, SECRET, Stage, clock, numbered, stage

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


async def issued_at_last(on: Stage, number: str, **more: Any) -> Outcome:
    """Issue, again when it was too busy the first time; give a pending order time."""
    told = await on.issue(number, **more)
    if isinstance(told, NotSent):
        await asyncio.sleep(told.wait_s)
        told = await on.issue(number, **more)
    await asyncio.sleep(0.1)
    return told


async def test_drips_is_unknown_at_the_deadline_and_found_by_a_query() -> None:
    """Bytes keep coming, the deadline stays."""
    async with stage(Behaviour.DRIPS, deadline_s=0.5) as on:
        started = time.monotonic()
        assert Unknown("no complete answer within 0.5 s") == await on.issue(AT_ONCE)
        assert time.monotonic() - started < 2
        assert isinstance(await on.query(AT_ONCE), Done)


async def test_too_busy_takes_the_order_when_the_wait_is_over() -> None:
    """Whoever comes before is turned away again; nothing was done until then."""
    async with stage(Behaviour.TOO_BUSY, retry_after_s=1.5) as on:
        turned_away = NotSent("HTTP 429, not processed", wait_s=2)
        assert turned_away == await on.issue(AT_ONCE)
        assert NotFound() == await on.query(AT_ONCE)
        again = await on.issue(AT_ONCE)
        assert isinstance(again, NotSent)
        await asyncio.sleep(again.wait_s)
        assert isinstance(await on.issue(AT_ONCE), Done)


async def test_a_forged_answer_is_unknown_and_found_by_a_query() -> None:
    """HTTP 200 and the right words are worth nothing without the signature."""
    async with stage(Behaviour.ANSWERS_FORGED) as on:
        assert Unknown("HTTP 200, no signature matches") == await on.issue(AT_ONCE)
        assert isinstance(await on.query(AT_ONCE), Done)


async def test_an_unlisted_reason_is_unknown_and_found_by_a_query() -> None:
    """It says rejected, and has delivered."""
    async with stage(Behaviour.ANSWERS_UNLISTED) as on:
        assert Unknown("rejected for 'risk_control'") == await on.issue(AT_ONCE)
        assert isinstance(await on.query(AT_ONCE), Done)


async def test_a_part_is_told_as_such_until_the_desk_completes_it() -> None:
    """Some of several units are not the order; the rest makes it one, and is called back."""
    async with stage(Behaviour.DELIVERS_PARTLY) as on:
        told = await on.issue(AT_ONCE, quantity=3)
        assert isinstance(told, Done)
        assert told.delivered in {1, 2}
        assert told == await on.query(AT_ONCE, quantity=3)
        assert 200 == (await on.use({"number": AT_ONCE}, "complete"))[0]
        (notice,) = await on.arrivals.count(1)
        assert isinstance(notice.outcome, Done)
        assert notice.outcome == await on.query(AT_ONCE)
        again = await on.use({"number": AT_ONCE}, "complete")
        assert (409, "not_in_part") == problem(again)


async def test_of_a_part_that_is_used_it_is_told_how_many_came() -> None:
    """With each use, and once the rest came: no answer before may have been heard (V-5)."""
    async with stage(Behaviour.DELIVERS_PARTLY) as on:
        told = await on.issue(AT_ONCE, quantity=3)
        assert isinstance(told, Done)
        assert (200, "partly_redeemed") == status(await on.use({"number": AT_ONCE}))
        for deed in ("use", "expire"):
            assert (409, "not_usable") == problem(await on.use({"number": AT_ONCE}, deed))
        part = await on.query(AT_ONCE, quantity=3)
        assert isinstance(part, PartlyUsed)
        assert (told.delivered, told.delivered) == (part.used, part.delivered)
        assert (200, "partly_redeemed") == status(await on.use({"number": AT_ONCE}, "complete"))
        whole = await on.query(AT_ONCE, quantity=3)
        assert msgspec.structs.replace(part, delivered=3) == whole
        assert [part, whole] == [one.outcome for one in await on.arrivals.count(2)]
        assert (200, "redeemed") == status(await on.use({"number": AT_ONCE}))


async def test_a_part_can_be_taken_back() -> None:
    """Whoever cannot deliver the rest takes back the whole."""
    async with stage(Behaviour.DELIVERS_PARTLY) as on:
        await on.issue(AT_ONCE, quantity=3)
        assert isinstance(await on.revoke(AT_ONCE), Revoked)


async def test_pieces_are_used_one_by_one() -> None:
    """Each use is called back, and told with the end; no more can be used than is left."""
    async with stage(Behaviour.GOOD) as on:
        await on.issue(AT_ONCE, quantity=3)
        assert (200, "partly_redeemed") == status(await on.use({"number": AT_ONCE, "pieces": 1}))
        assert (200, "partly_redeemed") == status(await on.use({"number": AT_ONCE, "pieces": 1}))
        known = await on.query(AT_ONCE, quantity=3)
        assert isinstance(known, PartlyUsed)
        too_many = await on.use({"number": AT_ONCE, "pieces": 2})
        assert (409, "not_usable") == problem(too_many)
        assert known in [notice.outcome for notice in await on.arrivals.count(2)]
        assert (200, "expired") == status(await on.use({"number": AT_ONCE}, "expire"))
        ended = await on.query(AT_ONCE, quantity=3)
        assert isinstance(ended, Expired)
        assert (2, 2) == (known.used, ended.used)
        await on.issue(LATER, quantity=2, phone="13800001112")
        while not isinstance(await on.query(LATER, quantity=2), PartlyUsed):
            await asyncio.sleep(0.01)
        assert (200, "redeemed") == status(await on.use({"number": LATER}))


@pytest.mark.parametrize("reason", [Reason.ACCOUNT, Reason.AUTH, Reason.BUDGET, Reason.CONFIG])
async def test_a_recipient_says_what_is_at_fault(reason: Reason) -> None:
    """Theirs, or ours; it stays refused."""
    ends = {"ACCOUNT": "0000", "AUTH": "4010", "BUDGET": "4020", "CONFIG": "4030"}
    async with stage(Behaviour.GOOD) as on:
        refused = await on.issue(AT_ONCE, phone=f"1380000{ends[reason.value]}")
        assert Rejected(reason, reason.value.lower()) == refused == await on.query(AT_ONCE)


def status(answer: tuple[int, dict[str, str]]) -> tuple[int, str]:
    """Return the status of an answer of the desk, and of the order in it."""
    return answer[0], answer[1]["status"]


def problem(answer: tuple[int, dict[str, str]]) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    return answer[0], answer[1]["error"]


async def test_calls_back_late_after_a_query_knows() -> None:
    """The callback comes when everybody knows, and says nothing new."""
    async with stage(Behaviour.CALLS_BACK_LATE, late_s=3.0) as on:
        assert isinstance(await on.issue(AT_ONCE), Pending)
        while not isinstance(known := await on.query(AT_ONCE), Done):
            await asyncio.sleep(0.01)
        assert [] == on.arrivals.notices
        (notice,) = await on.arrivals.count(1)
        assert known == notice.outcome


async def test_calls_back_disorderly_tells_the_last_first() -> None:
    """The use overtakes the issue, and the issue overtakes what went before it."""
    async with stage(Behaviour.CALLS_BACK_DISORDERLY, callback_after_s=0.5) as on:
        assert isinstance(await on.issue(AT_ONCE), Pending)
        await asyncio.sleep(0.5)
        assert 200 == (await on.use({"number": AT_ONCE}))[0]
        told = [type(notice.outcome) for notice in await on.arrivals.count(3)]
        assert [Used, Done, Pending] == told


async def test_forged_callbacks_are_given_up_some_time() -> None:
    """Nobody takes them; after the last pause the provider thinks no more of it."""
    async with stage(Behaviour.CALLS_BACK_FORGED, retry_s=(0.02, 0.02)) as on:
        assert isinstance(await on.issue(AT_ONCE), Pending)
        assert [] == await on.arrivals.count(0)
        await asyncio.sleep(0.3)
        assert 3 == on.arrivals.forged
        assert isinstance(await on.query(AT_ONCE), Done)


@pytest.mark.parametrize(
    ("behaviour", "called_back"), [(Behaviour.LOSES_CALLBACKS, 0), (Behaviour.MIXED, 1)]
)
async def test_lost_callbacks_are_those_of_a_use_too_unless_mixed(
    behaviour: Behaviour, called_back: int
) -> None:
    """Set for all, nothing arrives; mixed, whoever looks on at a use sees the end."""
    number = numbered(Behaviour.LOSES_CALLBACKS)
    async with stage(behaviour) as on:
        assert isinstance(await on.issue(number), Pending)
        await asyncio.sleep(0.06)
        assert 200 == (await on.use({"number": number}))[0]
        assert called_back == len(await on.arrivals.count(called_back))
        assert isinstance(await on.query(number), Used)


def test_each_behaviour_is_explained_in_a_line() -> None:
    """What an operator reads of them fits a terminal."""
    assert list(Behaviour) == list(EXPLAINED)
    assert all(len(words) <= 54 for words in EXPLAINED.values())


@pytest.mark.parametrize("behaviour", MIXTURES[Behaviour.MIXED])
async def test_mixed_shows_each_behaviour_by_the_number(behaviour: Behaviour) -> None:
    """Under mixed a number is treated as its hash says, and every number is served in the end."""
    number = numbered(behaviour)
    async with stage(Behaviour.MIXED, hang_s=0.0, drip_s=0.0) as on:
        await issued_at_last(on, number)
        assert isinstance(await on.query(number), Done)
        _, page = await on.get("/desk/orders")
        assert page["orders"][0]["behaviour"] == behaviour.value


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_a_number_is_always_treated_the_same(value: int) -> None:
    """Mixed is a choice by the number among the others, and a set behaviour is for all."""
    number = f"{value:032x}"
    assert chosen(number, Behaviour.MIXED) in SINGLE
    assert chosen(number, Behaviour.MIXED) is chosen(number, Behaviour.MIXED)
    assert chosen(number, Behaviour.SLOW) is Behaviour.SLOW


@pytest.mark.parametrize("behaviour", SINGLE)
async def test_a_phone_ending_in_0000_is_rejected_in_the_end(behaviour: Behaviour) -> None:
    """Each behaviour tells a rejection its own way, and the query agrees."""
    async with stage(behaviour, hang_s=0.0, drip_s=0.0) as on:
        told = await issued_at_last(on, AT_ONCE, phone="13800000000")
        assert isinstance(told, Rejected | Pending | Unknown)
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


async def test_the_book_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Codes and recipients lie in it; also a book that others could read is closed to them."""
    path = tmp_path / "sandbox.sqlite"
    path.touch(mode=0o644)
    async with stage(Behaviour.GOOD, database=str(path)) as on:
        await on.issue(AT_ONCE)
        files = [path, path.with_name("sandbox.sqlite-wal"), path.with_name("sandbox.sqlite-shm")]
        assert [0o600] * 3 == [file.stat().st_mode & 0o777 for file in files]


async def test_a_book_of_an_earlier_version_is_read_on(tmp_path: Path) -> None:
    """What it lacks is added; its orders are known."""
    path = tmp_path / "sandbox.sqlite"
    async with stage(Behaviour.GOOD, database=str(path)) as on:
        issued = await on.issue(AT_ONCE)
    old = sqlite3.connect(path)
    old.execute("ALTER TABLE provider_order DROP COLUMN completed_at")
    old.execute("ALTER TABLE callback DROP COLUMN forged")
    old.close()
    async with stage(Behaviour.GOOD, database=str(path)) as on:
        assert issued == await on.query(AT_ONCE)
        assert 200 == (await on.use({"number": AT_ONCE}))[0]


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
        pass
    async with Client(LOOPBACK) as client:
        dialect = OpenDialect(base_url=on.base, secrets=[parse_secret(SECRET)])
        gone = HttpProvider(dialect, client, clock, Capabilities())
        assert isinstance(await Stage(on.base, gone, on.arrivals).issue(AT_ONCE), NotSent)
