"""The group: commands of one action that arrive together are decided and committed together.

The flusher takes whatever has queued when the flush before ended, so nobody waits when nothing is
going on, and under load the cost of a transaction is shared. Promises to each caller:

- a member somebody else holds sends the command to the next group; the third time it is tried
  alone, beside the groups, and waits a little, then it is refused as `busy`;
- a group that waits too long for a lock, as of a stock or budget, is put back whole: each of its
  commands is treated like one of a busy member, and who has waited long is refused at once;
- a refusal never fails its neighbours; an unexpected error halves the group until the culprit
  stands alone, and that caller's commands run alone for a while;
- a caller that leaves cancels nothing; a full queue is refused at once; closing drains;
- a rehearsed command is answered as if it were submitted alone, and leaves nothing: if it fails,
  its caller's own commands stay where they are.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

import structlog

from benefits import measures, traces
from benefits.domain.refusal import Refusal
from benefits.store.db import (
    BEGIN_PLANNED,
    NOT_BEGUN,
    Busy,
    Connection,
    Database,
    Unavailable,
    is_away,
    is_busy,
    is_transient,
    run,
)

GROUP_MAX = 256
QUEUE_MAX = 4096
TRIES_FREE = 2
PATIENTS = 4
PATIENCE_S = 10.0  # how long a command may have waited to be tried alone
TOGETHER = f"{BEGIN_PLANNED}; SET LOCAL lock_timeout = '1s'"  # others wait behind it
ALONE_WAIT = "SET LOCAL lock_timeout = '2s'"
ALONE_FOR_S = 60.0

log = structlog.get_logger()


class Overloaded(Refusal):
    """The queue is full; nothing was done."""

    code = "overloaded"
    words = "Too many requests are waiting. Send the same request again a little later."


class Failed(Exception):  # noqa: N818 - what became of the command, beside Busy and Overloaded
    """A command failed as nobody foresaw; the incident id stands in the log beside the story."""

    def __init__(self, incident: str) -> None:
        """Name the incident."""
        super().__init__(incident)
        self.incident = incident


class Sent(Protocol):
    """What the group must know of a command."""

    @property
    def sender(self) -> str:
        """Who sends it."""


Command = TypeVar("Command", bound=Sent)
Outcome = TypeVar("Outcome")
Command_contra = TypeVar("Command_contra", contravariant=True)
Outcome_co = TypeVar("Outcome_co", covariant=True)


class Action(Protocol[Command_contra, Outcome_co]):
    """A write action: decides commands in order in the given transaction, one outcome each."""

    def __call__(
        self, conn: Connection, commands: Sequence[Command_contra], *, wait: bool
    ) -> Awaitable[Sequence[Outcome_co | Refusal]]:
        """Run it; without `wait`, busy members are answered `Busy`."""


class _Waiting(Generic[Command, Outcome]):
    __slots__ = ("answer", "command", "since", "traceparent", "tries")

    def __init__(self, command: Command, answer: "asyncio.Future[Outcome | Refusal]") -> None:
        self.command = command
        self.answer = answer
        self.since = time.perf_counter()
        self.traceparent = traces.place()
        self.tries = 0


class Group(Generic[Command, Outcome]):
    """Gathers the commands of one action in this process."""

    def __init__(
        self,
        database: Database,
        action: Action[Command, Outcome],
        name: str,
        *,
        reads: bool = False,
    ) -> None:
        """Bind an action; `start` begins to flush. One that only `reads` needs no transaction."""
        self._database = database
        self._action = action
        self._name = name
        self._begin = NOT_BEGUN if reads else TOGETHER
        self._queue: deque[_Waiting[Command, Outcome]] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._flusher: asyncio.Task[None] | None = None
        self._alone: dict[str, float] = {}
        self._patient: deque[_Waiting[Command, Outcome]] = deque()
        self._patient_wake = asyncio.Event()
        self._drained = False
        self._stage = asyncio.Semaphore(PATIENTS)
        self._waiter: asyncio.Task[None] | None = None
        self._size = measures.GROUP_SIZE.labels(name)
        self._wait = measures.GROUP_WAIT.labels(name)
        self._duration = measures.GROUP_DURATION.labels(name)
        measures.GROUP_QUEUE.labels(name).set_function(self._waiting)

    @property
    def accepts(self) -> bool:
        """Whether a command would be taken now."""
        return not self._closing and self._waiting() < QUEUE_MAX

    def _waiting(self) -> int:
        return len(self._queue) + len(self._patient)

    def start(self) -> None:
        """Begin to flush."""
        self._flusher = asyncio.create_task(self._flush_for_ever(), name=f"group-{self._name}")
        self._waiter = asyncio.create_task(self._wait_for_ever(), name=f"waiter-{self._name}")

    async def close(self) -> None:
        """Refuse new commands, decide those that wait, stop."""
        self._closing = True
        self._wake.set()
        if self._flusher is not None and self._waiter is not None:
            await self._flusher
            self._drained = True
            self._patient_wake.set()
            await self._waiter

    async def submit(self, command: Command) -> Outcome | Refusal:
        """Decide a command with whatever else waits; Overloaded, Busy, Unavailable, Failed."""
        if not self.accepts:
            raise Overloaded
        waiting = _Waiting[Command, Outcome](command, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._wake.set()
        outcome = await waiting.answer
        if isinstance(outcome, Busy | Unavailable):
            raise outcome
        return outcome

    async def rehearse(self, command: Command) -> Outcome | Refusal:
        """Answer what `submit` would answer now, and leave nothing; the same exceptions.

        It runs beside the groups, a few at a time, in a transaction that is rolled back.
        """
        if not self.accepts:
            raise Overloaded
        waiting = _Waiting[Command, Outcome](command, asyncio.get_running_loop().create_future())
        try:
            async with self._stage:
                database = self._database.rehearsal()
                (outcome,) = await self._decide([command], database, wait=True)
        except Exception as error:  # noqa: BLE001 - what `submit` makes of it
            self._told([waiting], error)
            outcome = await waiting.answer
        if isinstance(outcome, Busy | Unavailable):
            raise outcome
        return outcome

    async def _flush_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._flush(self._next())
            if self._closing:
                return

    async def _wait_for_ever(self) -> None:
        """Try commands of busy members alone, a few at a time, beside the groups."""
        while True:
            await self._patient_wake.wait()
            self._patient_wake.clear()
            while self._patient:
                some = [self._patient.popleft() for _ in range(min(PATIENTS, len(self._patient)))]
                await asyncio.gather(*map(self._try_alone, some))
            if self._drained:
                return

    async def _try_alone(self, waiting: _Waiting[Command, Outcome]) -> None:
        if time.perf_counter() - waiting.since < PATIENCE_S:
            await self._flush([waiting])
        elif not waiting.answer.done():
            waiting.answer.set_result(Busy())

    def _next(self) -> list[_Waiting[Command, Outcome]]:
        """Take the next group; a command that must stand alone is a group of its own."""
        if self._stands_alone(self._queue[0]):
            return [self._queue.popleft()]
        taken = list[_Waiting[Command, Outcome]]()
        while self._queue and len(taken) < GROUP_MAX and not self._stands_alone(self._queue[0]):
            taken.append(self._queue.popleft())
        return taken

    def _stands_alone(self, waiting: _Waiting[Command, Outcome]) -> bool:
        until = self._alone.get(waiting.command.sender, 0.0)
        if until and until < asyncio.get_running_loop().time():
            del self._alone[waiting.command.sender]
            until = 0.0
        return until > 0.0

    async def _flush(self, group: list[_Waiting[Command, Outcome]]) -> None:
        alone = len(group) == 1 and group[0].tries >= TRIES_FREE
        begun = time.perf_counter()
        self._size.observe(len(group))
        for waiting in group:
            self._wait.observe(begun - waiting.since)
        try:
            outcomes = await self._traced(group, wait=alone)
        except Exception as error:  # noqa: BLE001 - whatever it is, each caller gets an answer
            if is_busy(error) and not alone:
                for waiting in group:
                    self._again(waiting)
            else:
                await self._failed(group, error)
            return
        finally:
            self._duration.observe(time.perf_counter() - begun)
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Busy) and not alone:
                self._again(waiting)
            elif not waiting.answer.done():
                waiting.answer.set_result(outcome)

    def _again(self, waiting: _Waiting[Command, Outcome]) -> None:
        """Queue a command whose member is busy once more; from the third time on it may wait."""
        waiting.tries += 1
        if waiting.tries < TRIES_FREE:
            self._queue.append(waiting)
            return
        self._patient.append(waiting)
        self._patient_wake.set()

    async def _traced(
        self, group: list[_Waiting[Command, Outcome]], *, wait: bool
    ) -> Sequence[Outcome | Refusal]:
        """Decide in a span of the first command's trace, linked to those of the others."""
        commands = [w.command for w in group]
        places = [w.traceparent for w in group if w.traceparent]
        first, others = (places[0], places[1:]) if places else ("", [])
        with traces.span(f"group {self._name}", of=first, linked=others, commands=len(group)):
            return await self._decide(commands, self._database, wait=wait)

    async def _decide(
        self, commands: list[Command], database: Database, *, wait: bool
    ) -> Sequence[Outcome | Refusal]:
        async def work(conn: Connection) -> Sequence[Outcome | Refusal]:
            if wait:
                await run(conn, ALONE_WAIT)
            outcomes = await self._action(conn, commands, wait=wait)
            assert len(outcomes) == len(commands), "an action answers each command once"
            return outcomes

        return await database.transact(work, BEGIN_PLANNED if wait else self._begin)

    async def _failed(self, group: list[_Waiting[Command, Outcome]], error: Exception) -> None:
        if len(group) > 1 and not is_away(error):
            middle = len(group) // 2
            await self._flush(group[:middle])
            await self._flush(group[middle:])
            return
        if not (is_away(error) or is_busy(error) or is_transient(error)):
            now = asyncio.get_running_loop().time()
            self._alone = {who: until for who, until in self._alone.items() if until > now}
            self._alone[group[0].command.sender] = now + ALONE_FOR_S
        self._told(group, error)

    def _told(self, group: list[_Waiting[Command, Outcome]], error: Exception) -> None:
        """Answer callers whose commands raised an error that is not to be tried again here."""
        outcome: Refusal | Failed
        if is_away(error):  # nobody's fault: the callers send the same again
            log.error("group.database_away", group=self._name, exc_info=error)
            outcome = Unavailable()
        elif is_busy(error):
            outcome = Busy()
        else:
            outcome = Failed(uuid4().hex)
            log.error("group.failed", group=self._name, incident=outcome.incident, exc_info=error)
        for waiting in group:
            if waiting.answer.done():
                continue
            if isinstance(outcome, Failed):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)


def grouped(action: Any, parts: Any) -> Any:
    """Return the action with its parts bound, as the group calls it."""

    async def bound(conn: Connection, commands: Sequence[Any], *, wait: bool) -> Any:
        return await action(conn, commands, parts, wait=wait)

    return bound
