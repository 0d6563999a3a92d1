"""The worker: nothing it was told gets lost, and nobody holds up the others."""

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError

from benefits.domain.orders import (
    Call,
    Capabilities,
    Done,
    Notice,
    Operation,
    Outcome,
    Rate,
    Reason,
    Rejected,
    Unknown,
)
from benefits.domain.programme_file import read
from benefits.providers.provider import Acknowledgement, RawCallback
from benefits.store import db, members
from benefits.store.db import run
from benefits.store.migrate import make_partitions
from benefits.worker import Worker
from tests.actions.life import (
    claimed,
    holder,
    number_of,
    provider_can,
    states,
    tell,
    wish,
    work_off,
)
from tests.builders import PROGRAMME, World, reference_programme
from tests.roles import administrator

# No stock and no cap for VIDEO, and another provider for LOUNGE.
LARGE = (
    PROGRAMME.replace("stock = 50", "stock = 5000")
    .replace("limit = 2", "limit = 500")
    .replace('provider = "sandbox"\nsku = "lounge', 'provider = "other"\nsku = "lounge')
    .replace(
        "[[budget]]",
        """[[provider]]
code = "other"
name = { zh = "另一", en = "Other" }
dialect = "open"
url = "http://127.0.0.1:10"

[[budget]]""",
        1,
    )
)


class Slowly:
    """A provider that delivers when told to, and fails when told nothing."""

    capabilities = Capabilities()

    def __init__(self, *, fails: bool = False, code: str = "") -> None:
        """Start silent."""
        self.go = asyncio.Event()
        self.calls: list[Call] = []
        self.fails = fails
        self.refuses: Rejected | None = None
        self._code = code

    async def call(self, call: Call) -> Outcome:
        """Wait for the word, then deliver."""
        self.calls.append(call)
        await self.go.wait()
        if self.fails:
            raise RuntimeError
        if self.refuses is not None:
            return self.refuses
        return Done(at=datetime(2025, 7, 2, tzinfo=UTC), reference="R", code=self._code)

    def receive(self, raw: RawCallback) -> tuple[Notice, ...]:
        """Never called here."""
        raise AssertionError(raw)

    def understand(self, event_id: str, told: bytes) -> Notice:
        """Never called here."""
        raise AssertionError((event_id, told))

    def ack(self) -> Acknowledgement:
        """Return the literal of a provider."""
        return Acknowledgement(b"ok")

    def refused(self, status: int, words: str) -> None:
        """Never called here."""
        raise AssertionError((status, words))


async def until(worker: Worker, provider: Slowly, calls: int) -> None:
    """Let the worker lease until so many calls are under way."""
    async with asyncio.timeout(10):
        while len(provider.calls) < calls:
            await worker.deliver()
            await asyncio.sleep(0.01)


async def test_an_answer_that_takes_its_time_is_recorded(world: World) -> None:
    """Steps that record others' answers in between lose nothing."""
    provider = Slowly()
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    await claimed(world, wish(await holder(world)))
    await until(worker, provider, 1)
    for _ in range(3):
        await worker.deliver()
    provider.go.set()
    await worker.finish()
    assert ["ISSUED"] == await states(world)


async def test_an_answer_ends_the_workers_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded when it comes, however seldom the worker looks for what is due."""
    monkeypatch.setattr("benefits.worker.POLL_S", 3600.0)
    provider, stop = Slowly(), asyncio.Event()
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    await claimed(world, wish(await holder(world)))
    running = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(60):
        while not provider.calls:
            await asyncio.sleep(0.01)
        provider.go.set()
        while ["ISSUED"] != await states(world):
            await asyncio.sleep(0.05)
    stop.set()
    await running


async def test_a_call_that_breaks_leaves_the_order_unknown(world: World) -> None:
    """Whatever went wrong, the provider may have acted (V-3)."""
    provider = Slowly(fails=True)
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    await claimed(world, wish(await holder(world)))
    await until(worker, provider, 1)
    provider.go.set()
    await worker.finish()
    assert ["UNKNOWN"] == await states(world)
    assert [("unknown", "RuntimeError")] == await world.rows(
        "SELECT outcome, evidence FROM provider_attempt"
    )


async def test_a_provider_nobody_knows_is_asked_later(world: World) -> None:
    """Without an address nothing was sent: the claim waits, its deadline stands."""
    worker = Worker(world.database, world.parts, {})
    await claimed(world, wish(await holder(world)))
    await worker.deliver()
    await worker.finish()
    assert ["HELD"] == await states(world)
    assert [(True, True)] == await world.rows(
        """SELECT c.deadline IS NOT NULL, r.next_at > c.claimed_at FROM claim AS c
        JOIN provider_request AS r ON r.bucket = c.bucket AND r.claim_id = c.claim_id"""
    )


async def test_a_callback_that_cannot_be_applied_keeps_no_other_back(world: World) -> None:
    """The others are applied; the broken one is left to a person, with its body."""
    worker = Worker(world.database, world.parts, {})
    (claim_id,) = await claimed(world, wish(await holder(world)))
    await tell(world, claim_id.hex, Unknown("an order of nobody"), "broken")
    await world.rows("UPDATE inbox SET notice_sealed = 'x', processed_at = NULL RETURNING 1")
    ((number,),) = await world.rows(
        "SELECT replace(request_id::text, '-', '') FROM provider_request"
    )
    await tell(world, number, Done(at=world.clock()), "good")
    assert 2 == await worker.work_off()
    assert ["ISSUED"] == await states(world)
    assert ["callback_failed"] == [
        row.kind for row in await world.rows("SELECT kind FROM case_file WHERE kind LIKE 'call%'")
    ]
    assert 0 == await worker.work_off()


async def test_a_callback_waits_for_a_database_that_cannot_take_it(world: World) -> None:
    """A month without a partition loses no success: it is applied once there is one."""
    worker = Worker(world.database, world.parts, {})
    (claim_id,) = await claimed(world, wish(await holder(world)))
    world.clock.forward(days=365 * 8)
    await tell(world, await number_of(world, claim_id), Done(at=world.clock()))
    with pytest.raises(DBAPIError):
        await worker.work_off()
    assert ["HELD"] == await states(world)
    async with administrator(world.database) as conn:
        await make_partitions(conn, world.clock(), 1)
    assert 1 == await worker.work_off()
    assert (["ISSUED"], []) == (await states(world), await world.rows("SELECT 1 FROM case_file"))


async def test_an_answer_about_a_busy_member_is_recorded_later(world: World) -> None:
    """The others are recorded at once, and nothing of it is forgotten."""
    provider = Slowly()
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    busy, other = await holder(world), await holder(world)
    await claimed(world, wish(busy), wish(other))
    await until(worker, provider, 2)
    async with administrator(world.database) as conn:
        await members.lock(conn, [busy], wait=True)
        provider.go.set()
        await worker.finish()
        assert ["ISSUED", "SUBMITTED"] == sorted(await states(world))
    assert [1, 0] == [await worker.deliver(), await worker.deliver()]
    assert ["ISSUED", "ISSUED"] == await states(world)


async def test_a_callback_waits_for_a_lock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else holds for long is tried again; a person has nothing to do."""
    monkeypatch.setitem(db.SESSION, "lock_timeout", "200ms")
    url = world.database.engine.url.render_as_string(hide_password=False)
    database = db.connect(url.replace("+asyncpg", ""))
    worker = Worker(database, world.parts, {})
    (claim_id,) = await claimed(world, wish(await holder(world)))
    await tell(world, await number_of(world, claim_id), Done(at=world.clock()))
    async with administrator(world.database) as conn:
        await run(conn, "UPDATE counter SET spent = spent WHERE counter = 'budget:video'")
        with pytest.raises(DBAPIError):
            await worker.work_off()
    assert 1 == await worker.work_off()
    await database.close()
    assert (["ISSUED"], []) == (await states(world), await world.rows("SELECT 1 FROM case_file"))


async def test_one_members_lane_keeps_nobody_else_waiting(world: World) -> None:
    """However many claims of one SKU a member has, one is in flight and the others' go out."""
    await world.apply(read(LARGE))
    hog = await holder(world, quantity=100)
    await claimed(world, *[wish(hog) for _ in range(70)])
    world.clock.forward(seconds=1)
    others = [await holder(world) for _ in range(5)]
    await claimed(world, *[wish(other) for other in others])
    provider = Slowly()
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    await until(worker, provider, 6)
    await worker.deliver()
    assert 6 == len(provider.calls)
    provider.go.set()
    await worker.finish()


async def test_a_slow_provider_holds_up_no_other(world: World) -> None:
    """With all its places taken, of whichever SKUs, the calls of another provider go out."""
    large = read(LARGE)
    (video,) = [one for one in large.benefit if one.code == "VIDEO"]
    film = replace(video, code="FILM", sku="film")
    await world.apply(replace(large, benefit=(*large.benefit, film)))
    for benefit in ("VIDEO", "FILM", "FILM"):
        members = [await holder(world, benefit) for _ in range(30)]
        await claimed(world, *[wish(member, benefit) for member in members])
    world.clock.forward(seconds=1)
    await claimed(world, wish(await holder(world, "LOUNGE"), "LOUNGE"))
    slow, quick = Slowly(), Slowly()
    quick.go.set()
    worker = Worker(world.database, world.parts, {"sandbox": slow, "other": quick})
    await worker.deliver()
    await asyncio.sleep(0)
    assert (64, 1) == (len(slow.calls), len(quick.calls))
    await worker.deliver()
    await asyncio.sleep(0)
    assert 64 == len(slow.calls)
    slow.go.set()
    await worker.finish()


async def test_a_backlog_of_one_provider_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Providers take turns in a page, however much older what waits of one is."""
    monkeypatch.setattr("benefits.store.due.PAGE", 4)
    await world.apply(read(LARGE))
    await claimed(world, *[wish(await holder(world)) for _ in range(6)])
    world.clock.forward(seconds=1)
    await claimed(world, *[wish(await holder(world, "LOUNGE"), "LOUNGE") for _ in range(2)])
    late, fresh = Slowly(), Slowly()
    worker = Worker(world.database, world.parts, {"sandbox": late, "other": fresh})
    await worker.deliver()
    await asyncio.sleep(0)
    assert (2, 2) == (len(late.calls), len(fresh.calls))
    for provider in (late, fresh):
        provider.go.set()
    await worker.finish()


async def test_of_ten_providers_those_that_hang_hold_up_none(world: World) -> None:
    """Nine keep what they are sent for ever; the tenth answers all of its own, beside them."""
    codes = [f"p{number}" for number in range(9)]
    programme = reference_programme()
    (sandbox,) = programme.provider
    ten = [sandbox, *(replace(sandbox, code=code) for code in codes)]
    (video,) = [one for one in programme.benefit if one.code == "VIDEO"]
    benefits = [replace(video, code=code.upper(), provider=code) for code in codes]
    await world.apply(
        replace(programme, provider=tuple(ten), benefit=(*programme.benefit, *benefits))
    )
    for code in codes:
        await claimed(
            world, *[wish(await holder(world, code.upper()), code.upper()) for _ in range(7)]
        )
    world.clock.forward(seconds=1)
    await claimed(world, *[wish(await holder(world)) for _ in range(5)])
    hanging, quick = {code: Slowly() for code in codes}, Slowly()
    quick.go.set()
    worker = Worker(world.database, world.parts, {"sandbox": quick, **hanging})
    await until(worker, quick, 5)
    await worker.deliver()
    found = await states(world)
    assert (63, 5) == (found.count("SUBMITTED"), found.count("ISSUED"))
    for provider in hanging.values():
        provider.go.set()
    await worker.finish()


async def test_a_provider_that_refuses_us_is_left_alone_until_one_call_succeeds(
    world: World,
) -> None:
    """The orders wait, held, and go again under their numbers; one probe goes before them all."""
    provider = Slowly()
    provider.go.set()
    provider.refuses = Rejected(Reason.AUTH, "SIGN_ERROR", keeps_nothing=True)
    workers = [Worker(world.database, world.parts, {"sandbox": provider}) for _ in range(2)]

    async def work() -> int:
        """Let both workers work, and return how many orders were sent until now."""
        for _ in range(2):
            await asyncio.gather(*(worker.deliver() for worker in workers))
            await asyncio.gather(*(worker.finish() for worker in workers))
        return sent()

    def sent() -> int:
        return sum(call.operation is Operation.ISSUE for call in provider.calls)

    await claimed(world, wish(await holder(world)))
    assert 1 == await work()
    assert ["HELD"] == await states(world)
    await claimed(world, *[wish(await holder(world)) for _ in range(4)])
    await claimed(world, wish(await holder(world, "LOUNGE"), "LOUNGE"))
    world.clock.forward(seconds=20)
    provider.refuses = None
    assert 2 == await work()  # another SKU goes on
    provider.refuses = Rejected(Reason.AUTH, "SIGN_ERROR", keeps_nothing=True)
    world.clock.forward(seconds=11)
    assert 3 == await work()  # one probe
    circuit = "SELECT why, pauses, probing_until FROM provider_circuit WHERE sku LIKE 'video%'"
    assert [("AUTH", 2, None)] == await world.rows(circuit)
    world.clock.forward(seconds=59)
    assert 3 == await work()
    provider.refuses = None
    world.clock.forward(seconds=2)
    await asyncio.gather(*(worker.deliver() for worker in workers))
    await asyncio.sleep(0)
    assert 4 == sent()
    world.clock.forward(seconds=20)
    assert 8 == await work()
    assert ["ISSUED"] * 6 == await states(world)
    assert [("", 0, None)] == await world.rows(circuit)
    numbers = [call.number for call in provider.calls]
    assert 6 == len(set(numbers))


async def test_what_a_refusal_may_have_left_at_the_provider_is_not_sent_again(
    world: World,
) -> None:
    """A number that the provider keeps as refused is over; the units come back."""
    provider = Slowly()
    provider.go.set()
    provider.refuses = Rejected(Reason.BUDGET, "budget")
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    await claimed(world, wish(await holder(world)))
    await worker.deliver()
    await worker.finish()
    assert [("COMPENSATED", "budget")] == await world.rows("SELECT state, reason FROM claim")
    assert [("BUDGET",)] == await world.rows("SELECT why FROM provider_circuit")


async def test_all_workers_together_keep_to_a_providers_rate(world: World) -> None:
    """What exceeds it waits, and nobody is refused."""
    await provider_can(world, rate=Rate(per_second=0.5, burst=3))
    provider = Slowly()
    provider.go.set()
    workers = [Worker(world.database, world.parts, {"sandbox": provider}) for _ in range(2)]
    await claimed(world, *[wish(await holder(world)) for _ in range(6)])
    seen = []
    for _ in range(4):
        for worker in (*workers, *workers):
            await worker.deliver()
            await worker.finish()
        seen.append(len(provider.calls))
        world.clock.forward(seconds=2)
    assert [3, 4, 5, 6] == seen
    assert ["ISSUED"] * 6 == await states(world)
    assert [(1,)] == await world.rows("SELECT DISTINCT attempt FROM provider_request")


async def test_a_worker_that_is_told_to_stop_finishes_its_calls(world: World) -> None:
    """What was under way is recorded before it ends."""
    provider, stop = Slowly(), asyncio.Event()
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    await claimed(world, wish(await holder(world)))
    running = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(10):
        while not provider.calls:
            await asyncio.sleep(0.01)
    stop.set()
    asyncio.get_running_loop().call_later(0.1, provider.go.set)
    await running
    assert ["ISSUED"] == await states(world)


async def test_a_number_nobody_knows_is_one_case_until_it_is_closed(world: World) -> None:
    """However many callbacks speak of it, together or one after the other."""
    at = world.clock()
    for number in ("a" * 32, "a" * 32, "b" * 32, "not a number"):
        await tell(world, number, Done(at=at))
    assert 4 == await work_off(world)
    await tell(world, "a" * 32, Done(at=at))
    assert 1 == await work_off(world)
    count = "SELECT count(*) FROM case_file WHERE kind = 'unknown_order'"
    assert [(3,)] == await world.rows(count)
    await world.rows("UPDATE case_file SET closed_at = now() RETURNING 1")
    await tell(world, "a" * 32, Done(at=at))
    await work_off(world)
    assert [(4,)] == await world.rows(count)


async def test_the_age_of_a_step_tells_whether_the_worker_stands(world: World) -> None:
    """A step that fails comes to an end all the same; one that hangs does not."""
    worker, stop = Worker(world.database, world.parts, {}), asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    steps = {"deliver", "callbacks", "expire", "prune", "partitions", "held", "seal", "export"}
    steps |= {"jobs", "feeds", "rates", "stretches", "ahead", "tiers", "old", "periods"}
    steps |= {"claims", "waits", "blocks", "labels"}
    async with asyncio.timeout(60):
        while len(worker.ages()) < len(steps):
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert steps == set(worker.ages())
    assert all(ended >= 0 and success >= 0 for ended, success in worker.ages().values())
