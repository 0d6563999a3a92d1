"""The worker: nothing it was told gets lost, and nobody holds up the others."""

import asyncio
from datetime import UTC, datetime

from benefits.domain.orders import Call, Capabilities, Done, Notice, Outcome, Unknown
from benefits.providers.provider import RawCallback
from benefits.worker import Worker
from tests.actions.life import claimed, holder, states, tell, wish
from tests.builders import World


class Slowly:
    """A provider that delivers when told to, and fails when told nothing."""

    capabilities = Capabilities()

    def __init__(self, *, fails: bool = False) -> None:
        """Start silent."""
        self.go = asyncio.Event()
        self.calls: list[Call] = []
        self._fails = fails

    async def call(self, call: Call) -> Outcome:
        """Wait for the word, then deliver."""
        self.calls.append(call)
        await self.go.wait()
        if self._fails:
            raise RuntimeError
        return Done(at=datetime(2025, 7, 2, tzinfo=UTC), reference="R")

    def receive(self, raw: RawCallback) -> Notice:
        """Never called here."""
        raise AssertionError(raw)

    def ack(self) -> bytes:
        """Return the literal of a provider."""
        return b"ok"


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
