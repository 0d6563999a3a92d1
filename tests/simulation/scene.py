"""A scene of some providers: the service, two workers, and the wire between.

Every process can end at any statement, and between any two steps. Nothing of it stays but the
database; what left on the wire is on its way.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from benefits.actions import expire, receive
from benefits.actions.parts import Parts
from benefits.app import Providers
from benefits.domain.orders import Callbacks, NotSent, Unknown
from benefits.domain.refusal import Refusal
from benefits.house import House
from benefits.providers.provider import RawCallback
from benefits.sandbox.book import OwedCallback
from benefits.store import members
from benefits.store.catalogue import Cache
from benefits.store.db import Connection, connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import Installation
from benefits.worker import Worker
from tests.actions.life import EVERYWHERE
from tests.builders import World
from tests.machine.test_ledger_machine import Counted
from tests.simulation import ways
from tests.simulation.kill import Cut, KilledError, killed
from tests.simulation.theirs import Theirs, sandbox
from tests.simulation.wire import NOBODY, Fate, Message, Wire, distorted, torn

SECRETS = (bytes(range(32)),)
HALVES = ((0, 511), (512, 1023))
Result = TypeVar("Result")


class Scene:
    """What runs, and what is on its way."""

    def __init__(self, world: World, theirs: dict[str, Theirs]) -> None:
        """Start the service and two workers, beside providers by code."""
        self.world, self.theirs = world, theirs
        self.wire = Wire(world.clock)
        self.very_late = set[str]()  # numbers of which we hear by callback alone
        self.settings = ways.settings([one.way for one in theirs.values()], SECRETS)
        self.providers, _ = self._process()
        self.workers = [self._worker() for _ in "12"]

    def _process(self) -> tuple[Providers, Parts]:
        """Return what a process has that was just started."""
        parts = msgspec.structs.replace(self.world.parts, catalogue=Cache(self.world.clock))
        house = House(
            settings=self.settings,
            database=self.world.database,
            installation=Installation("test"),
            parts=parts,
        )
        return Providers(house, self.wire), parts

    def _worker(self) -> Worker:
        providers, parts = self._process()
        return Worker(self.world.database, parts, providers)

    async def transact(
        self, work: Callable[[Connection], Awaitable[Result]], cut: Cut | None = None
    ) -> Result | None:
        """Do what the service does in a transaction; None when it was killed."""
        try:
            with killed(cut):
                return await self.world.database.transact(work)
        except KilledError:
            return None

    async def kill(self, which: int) -> None:
        """End a worker and start another; its calls are heard by nobody."""
        for call in self.workers[which]._delivery._calls:
            call.cancel()
        await asyncio.sleep(0)
        self.workers[which] = self._worker()

    async def work(
        self, which: int, step: Callable[[Worker], Awaitable[Any]], cut: Cut | None = None
    ) -> Any:
        """Take a worker's step; the worker ends with it where it is cut."""
        try:
            with killed(cut):
                done = await step(self.workers[which])
        except KilledError:
            await self.kill(which)
            return None
        await asyncio.sleep(0)  # calls begin
        return done

    async def arrive(self, message: Message, fate: Fate) -> None:
        """Let something become of a message."""
        waits, arrives = not message.heard.done(), True
        answer: Any = Unknown("no complete answer")
        match fate:
            case Fate.LATE | Fate.VERY_LATE if waits:
                if fate is Fate.VERY_LATE and self._is_called_about(message):
                    message.is_very_late = True
                    self.very_late.add(message.number)
                message.hear(answer)
                return
            case Fate.LOST | Fate.NO_GATEWAY | Fate.NOT_SENT if waits or fate is not Fate.NOT_SENT:
                arrives = False
            case _:
                pass
        self.wire.flying.remove(message)
        if arrives:
            if fate is Fate.DISTORTED:
                message.headers = distorted(message)
            for _ in range(2 if fate is Fate.TWICE else 1):
                answer = await self.theirs[message.provider].take(message)
        message.hear(_heard(fate, answer))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _is_called_about(self, message: Message) -> bool:
        """Say whether a number is told of by callback, so that we may hear of it after all."""
        theirs = self.theirs[message.provider]
        behaviours = ways.CALLED_ABOUT[theirs.way.is_wechat]
        return bool(message.number) and theirs.treats(message.number) in behaviours

    async def forward(self, seconds: float) -> None:
        """Let time pass: who waited for too long gave up, and what is late has arrived."""
        for message in [*self.wire.flying]:
            if seconds > ways.DEADLINE_S:
                message.hear(Unknown("no complete answer"))
            age = (self.world.clock() - message.left_at).total_seconds()
            if age + seconds >= (ways.VERY_LATE_S if message.is_very_late else ways.LATE_S):
                await self.arrive(message, Fate.GOOD)
        await asyncio.sleep(0)
        self.world.clock.forward(seconds=seconds)

    def owed(self) -> list[tuple[Theirs, OwedCallback]]:
        """Return the callbacks that are due."""
        now = self.world.clock().timestamp()
        return [(one, owed) for one in self.theirs.values() for owed in one.book.due(now, 50)]

    async def call_back(
        self, theirs: Theirs, owed: OwedCallback, *, cut: Cut | None = None, is_heard: bool = True
    ) -> None:
        """Let a callback arrive: verified, kept, then acknowledged, which they may not hear."""
        now = self.world.clock()
        headers = theirs.signed(owed, int(now.timestamp()))
        names = {name.lower(): value for name, value in headers.items()}
        raw = RawCallback(headers=names, body=owed.body, received_at=now)
        if await self._take(theirs.way.code, raw, cut) and is_heard:
            theirs.book.delivered(owed)
        elif owed.forged and owed.attempts:
            theirs.book.given_up(owed)
        else:
            theirs.book.postponed(owed, now.timestamp() + 10)

    async def _take(self, code: str, raw: RawCallback, cut: Cut | None) -> bool:
        """Verify a callback and keep it; say whether it is acknowledged."""
        parts = self.providers._house.parts
        async with self.world.database.transaction() as conn:
            await parts.catalogue.current(conn)
        provider = self.providers[code]
        if provider.capabilities.callbacks is Callbacks.NONE:
            return True
        try:
            notices = provider.receive(raw)
        except Refusal:
            return False
        kept = [receive.Callback(provider=code, notice=one, raw=raw.told) for one in notices]

        async def work(conn: Connection) -> list[bool]:
            return await receive.receive(conn, kept, parts)

        return await self.transact(work, cut) is not None

    async def sweep(self, which: int, cut: Cut | None) -> None:
        """Release what was never sent, end what was not used, leave what was never heard of."""
        pages = (expire.lapse_holds, expire.end_unused)
        silent = (expire.give_up_orders, expire.give_up_rests, expire.give_up_requests)
        for page in (*pages, *silent):

            async def step(worker: Worker, page: Any = page) -> None:
                async def work(conn: Connection) -> Any:
                    return await page(conn, worker._parts, buckets=EVERYWHERE, limit=100)

                await worker._database.transact(work)

            await self.work(which, step, cut)

    @asynccontextmanager
    async def held(self, member: UUID | None) -> AsyncIterator[None]:
        """Hold a member, as somebody else's transaction does."""
        if member is None:
            yield
            return
        async with self.world.database.transaction() as conn:
            await members.lock(conn, [member], wait=True)
            yield


def _heard(fate: Fate, answer: Any) -> Any:
    match fate:
        case Fate.LOST | Fate.ANSWER_LOST:
            return Unknown("no complete answer")
        case Fate.NOT_SENT:
            return NotSent("refused")
        case Fate.NO_GATEWAY | Fate.BAD_GATEWAY:
            return NOBODY
        case Fate.TORN:
            return torn(answer)
        case _:
            return answer


@asynccontextmanager
async def opened(dsn: str, some: Sequence[ways.Way]) -> AsyncIterator[Scene]:
    """Open a migrated database with the programme of some ways in force, and their providers."""
    database = connect(dsn, pool_size=4)
    world = World(database, envelope=Envelope(SECRETS))
    world.parts = msgspec.structs.replace(world.parts, new_id=Counted())
    theirs = {way.code: sandbox(way, world.clock) for way in some}
    try:
        for one in theirs.values():
            await one.open()
        await world.apply(ways.programme(some))
        yield Scene(world, theirs)
    finally:
        for one in theirs.values():
            await one.close()
        await database.close()
