"""Edge in: time. Bounded, idempotent steps, each in transactions of its own; kill it at will.

Calls to providers are `delivery`'s.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog

from benefits import measures
from benefits.actions import expire, receive, seal
from benefits.actions.claim_granted import claim_granted
from benefits.actions.keep_ahead import look_next
from benefits.actions.keep_stretches import fill_next
from benefits.actions.keep_tiers import decide_next, leave_old
from benefits.actions.lift_blocks import lift_blocks
from benefits.actions.parts import Parts
from benefits.actions.prune import prune
from benefits.actions.record_rates import use_next
from benefits.actions.run_jobs import LANES, run_part
from benefits.actions.seal_feed import apply_next
from benefits.actions.seal_labels import take_next
from benefits.actions.see_stock import watch_stock
from benefits.actions.serve_waits import serve_waits
from benefits.actions.start_period import start_next
from benefits.actions.tell_rules import tell_rules
from benefits.domain.feeds import FeedState
from benefits.domain.values import BUCKETS
from benefits.providers.provider import Provider
from benefits.store import gauges
from benefits.store.db import Connection, Database, is_away, is_of_database
from benefits.store.feeds import Feed
from benefits.store.inbox import Waiting
from benefits.store.label_feeds import LabelFeed
from benefits.store.migrate import MONTHS_AHEAD, make_partitions
from benefits.store.signing import SealKey
from benefits.worker.delivery import Delivery

PAGE = 200
# Of callbacks, when so many wait: what a page costs beside its rows is shared, and no budget that
# it counts in is locked for longer than others wait for it.
CALLBACKS = 400
POLL_S = 0.2
SWEEP_S = 30.0
PRUNE_S = 600.0
PARTITIONS_S = 86_400.0
SEAL_S = 2.0
FEEDS_S = 1.0
STRETCHES_S = 30.0
AHEAD_S = 5.0
HELD_S = 60.0

log = structlog.get_logger()


class Sealing(msgspec.Struct, frozen=True):
    """What signs checkpoints and takes them outside, where there is such."""

    key: SealKey | None = None
    export: seal.Export | None = None


class Worker:
    """Works off what time brings, for a range of buckets."""

    def __init__(
        self,
        database: Database,
        parts: Parts,
        providers: Mapping[str, Provider],
        buckets: tuple[int, int] = (0, BUCKETS - 1),
        *,
        sealing: Sealing | None = None,
    ) -> None:
        """Work on a database with the providers we can call."""
        self._sealing = sealing or Sealing()
        self._database = database
        self._parts = parts
        self._buckets = buckets
        self._delivery = Delivery(database, parts, providers, buckets)
        self._ended: dict[str, float] = {}
        self._last_success: dict[str, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; calls under way are finished and recorded."""
        async with asyncio.TaskGroup() as tasks:
            heard = self._delivery.answered
            tasks.create_task(self._repeat("deliver", self.deliver, POLL_S, stop, wake=heard))
            tasks.create_task(self._repeat("callbacks", self.work_off, POLL_S, stop))
            tasks.create_task(self._repeat("jobs", self.run_jobs, POLL_S, stop))
            tasks.create_task(self._repeat("feeds", self.apply_feeds, FEEDS_S, stop))
            tasks.create_task(self._repeat("labels", self.take_labels, FEEDS_S, stop))
            tasks.create_task(self._repeat("stretches", self.keep_stretches, STRETCHES_S, stop))
            tasks.create_task(self._repeat("rates", self.use_rates, FEEDS_S, stop))
            tasks.create_task(self._repeat("ahead", self.keep_ahead, AHEAD_S, stop))
            tasks.create_task(self._repeat("tiers", self.keep_tiers, AHEAD_S, stop))
            tasks.create_task(self._repeat("old", self.leave_old, PRUNE_S, stop))
            tasks.create_task(self._repeat("periods", self.start_periods, AHEAD_S, stop))
            tasks.create_task(self._repeat("claims", self.claim_granted, FEEDS_S, stop))
            tasks.create_task(self._repeat("waits", self.serve_waits, FEEDS_S, stop))
            tasks.create_task(self._repeat("expire", self.expire, SWEEP_S, stop))
            tasks.create_task(self._repeat("blocks", self.lift_blocks, AHEAD_S, stop))
            tasks.create_task(self._repeat("prune", self.prune, PRUNE_S, stop))
            tasks.create_task(self._repeat("partitions", self.partitions, PARTITIONS_S, stop))
            tasks.create_task(self._repeat("held", self.tell_held, HELD_S, stop))
            tasks.create_task(self._repeat("seal", self.seal, SEAL_S, stop))
            tasks.create_task(self._repeat("export", self.export, SEAL_S, stop))
        await self.finish()

    async def _repeat(
        self,
        name: str,
        step: Callable[[], Awaitable[int]],
        pause_s: float,
        stop: asyncio.Event,
        *,
        wake: asyncio.Event | None = None,
    ) -> None:
        """Repeat a step: at once while it finds work, else after a pause, whatever happens.

        What wakes it ends the pause, unless the step failed.
        """
        failures = 0
        self._ended[name] = self._last_success[name] = time.monotonic()
        while not stop.is_set():
            begun = time.perf_counter()
            try:
                worked = await step()
                failures = 0
                self._succeeded(name, worked, time.perf_counter() - begun)
            except Exception as error:  # the next round tries again, later and later
                failures += 1
                measures.STEP_FAILURES.labels(name).inc()
                why = f"{type(error).__name__}: {error}" if is_away(error) else ""
                log.error(  # noqa: TRY400 - a database that is away needs no story each time
                    "worker.step_failed", step=name, why=why, exc_info=not why
                )
                worked = 0
            self._ended[name] = time.monotonic()
            if not worked:
                ends = [stop] if wake is None or failures else [stop, wake]
                await _pause(max(pause_s, min(2.0**failures, 60) - 1), *ends)

    def ages(self) -> dict[str, tuple[float, float]]:
        """Return by step how many seconds ago it ended, well or badly, and succeeded."""
        now = time.monotonic()
        return {
            name: (now - at, now - self._last_success[name]) for name, at in self._ended.items()
        }

    def _succeeded(self, name: str, worked: int, took: float) -> None:
        self._last_success[name] = time.monotonic()
        measures.STEP_SUCCESS.labels(name).set_to_current_time()
        measures.STEP_DURATION.labels(name).observe(took)
        if worked:
            log.info("worker.step", step=name, count=worked, duration_ms=round(took * 1000, 2))

    async def deliver(self) -> int:
        """Record what calls answered and start calls that are due; return how many of both."""
        return await self._delivery.deliver()

    async def finish(self) -> None:
        """Wait for the calls under way and record their answers; for busy members a little."""
        await self._delivery.finish()

    async def work_off(self) -> int:
        """Apply callbacks that wait; return how many. One that fails keeps no other back.

        One half of the buckets is decided while the database writes the other.
        """
        halves = map(self._work_off_page, _halves(self._buckets))
        return sum(map(_came, await asyncio.gather(*halves, return_exceptions=True)))

    async def _work_off_page(self, buckets: tuple[int, int]) -> int:
        async def page(conn: Connection) -> int:
            return await receive.work_off(conn, self._parts, buckets=buckets, limit=CALLBACKS)

        try:
            return await self._database.transact(page)
        except Exception:  # found out one by one
            log.exception("worker.callbacks_failed")
            return await self._work_off_singly(buckets)

    async def _work_off_singly(self, buckets: tuple[int, int]) -> int:
        """Apply callbacks one by one; only what is wrong with one itself leaves it to a person.

        What the database refused, whatever for, waits on; the step fails, and so comes back later
        and later.
        """
        async with self._database.transaction() as conn:
            found = await receive.waiting(conn, self._parts, buckets=buckets, limit=CALLBACKS)
        left: Exception | None = None
        for callback in found:

            async def one(conn: Connection, name: Waiting = callback) -> None:
                await receive.work_off_one(conn, self._parts, name.provider, name.event_id)

            async def leave(conn: Connection, name: Waiting = callback) -> None:
                await receive.give_up(conn, self._parts, name.provider, name.event_id)

            try:
                await self._database.transact(one)
            except Exception as error:
                log.exception("worker.callback_failed", provider=callback.provider)
                if is_of_database(error):
                    left = error
                else:
                    await self._database.transact(leave)
        if left is not None:
            raise left
        return len(found)

    async def run_jobs(self) -> int:
        """Decide the next parts of long lists; return how many lines were seen."""

        async def part(conn: Connection) -> int:
            return await run_part(conn, self._parts, self._buckets)

        return sum(await asyncio.gather(*(self._database.transact(part) for _ in range(LANES))))

    async def apply_feeds(self) -> int:
        """Move the next sums of a feed that matched its manifest; return 1 if there was one.

        One worker of all does this at a time, for all buckets.
        """

        async def step(conn: Connection) -> Feed | None:
            return await apply_next(conn, self._parts, wait=False)

        feed = await self._database.transact(step)
        if feed is not None and feed.state is FeedState.SEALED:
            log.info(
                "feed.sealed",
                source=feed.source,
                date=str(feed.as_of),
                revision=feed.revision,
                lines=feed.rows,
            )
        return int(feed is not None)

    async def take_labels(self) -> int:
        """Take the next chunk of a label feed that matched; return 1 if there was one.

        One worker of all does this at a time.
        """

        async def step(conn: Connection) -> LabelFeed | None:
            return await take_next(conn, self._parts)

        feed = await self._database.transact(step)
        if feed is not None and feed.state is FeedState.SEALED:
            log.info(
                "label_feed.sealed",
                version=feed.version,
                revision=feed.revision,
                lines=feed.rows,
                left_out=feed.left_out,
            )
        return int(feed is not None)

    async def keep_stretches(self) -> int:
        """Fill the next sums that a metric needs and nobody kept; return how many stretches wait.

        One worker of all does this at a time, for all buckets.
        """

        async def step(conn: Connection) -> int:
            return await fill_next(conn, self._parts, wait=False)

        return await self._database.transact(step)

    async def use_rates(self) -> int:
        """Put the exchange rates of an interrupted import to use; return 1 if there were any."""
        under_way = await self._database.transact(use_next)
        if under_way is not None and under_way.next_bucket == BUCKETS:
            log.info("rates.used", generation=under_way.generation, rates=under_way.rates)
        return int(under_way is not None)

    async def keep_ahead(self) -> int:
        """Look ahead in the next part of a run after a sealed day; return 1 if there was one.

        One worker of all does this at a time and programme, for all buckets.
        """
        looked = await look_next(self._database, self._parts)
        if looked is not None and looked.ended_at is not None:
            log.info(
                "look_ahead.kept",
                programme=looked.leased.mark.programme,
                date=str(looked.leased.mark.as_of),
                took_s=round((looked.ended_at - looked.leased.begun_at).total_seconds(), 1),
            )
        return int(looked is not None)

    async def keep_tiers(self) -> int:
        """Evaluate the next part of a month whose days are sealed; return 1 if there was one.

        One worker of all does this at a time and programme, for all buckets.
        """
        kept = await decide_next(self._database, self._parts)
        if kept is not None and kept.ended_at is not None:
            log.info(
                "evaluate.kept",
                programme=kept.leased.mark.programme,
                month=str(kept.leased.mark.month),
                took_s=round((kept.ended_at - kept.leased.begun_at).total_seconds(), 1),
            )
        return int(kept is not None)

    async def leave_old(self) -> int:
        """Open cases for corrections behind the horizon; return how many months they touch."""

        async def step(conn: Connection) -> int:
            return await leave_old(conn, self._parts)

        return await self._database.transact(step)

    async def start_periods(self) -> int:
        """Start periods in the next part of a run that is due; return 1 if there was one.

        One worker of all does this at a time and programme, for all buckets.
        """
        started = await start_next(self._database, self._parts)
        if started is not None and started.ended_at is not None:
            log.info(
                "period.started",
                programme=started.leased.programme,
                date=str(started.leased.day),
            )
        return int(started is not None)

    async def claim_granted(self) -> int:
        """Claim units for members where their line says so; return how many lots were seen."""

        async def step(conn: Connection) -> int:
            return await claim_granted(conn, self._parts, buckets=self._buckets, limit=PAGE)

        return await self._database.transact(step)

    async def serve_waits(self) -> int:
        """Claim for those who waited for room, where there is some; return how many waits ended.

        Queues are served by all workers, whatever their buckets.
        """
        return await serve_waits(self._database, self._parts, buckets=self._buckets, limit=PAGE)

    async def expire(self) -> int:
        """Record lots that ended and claims that were never sent; return how many were seen."""
        return await expire.sweep_some(self._database, self._parts, buckets=self._buckets)

    async def lift_blocks(self) -> int:
        """Lift blocks that are over; return how many."""

        async def step(conn: Connection) -> int:
            return await lift_blocks(conn, self._parts, buckets=self._buckets, limit=PAGE)

        return await self._database.transact(step)

    async def prune(self) -> int:
        """Forget ended page sessions and old refusals; return how many."""

        async def step(conn: Connection) -> int:
            return await prune(conn, self._parts, buckets=self._buckets)

        return await self._database.transact(step)

    async def tell_held(self) -> int:
        """Tell of orders that were tried and never left, and once of stocks and of versions."""
        async with self._database.transaction() as conn:
            held = await gauges.held(conn)
            low = await watch_stock(conn, self._parts)
            begun = await tell_rules(conn, self._parts)
        for provider, (count, age_s) in held.items():
            log.warning("orders.held", provider=provider, count=count, oldest_s=round(age_s))
        for one in low:
            log.warning("codes.low", **msgspec.structs.asdict(one))
        for version in begun:
            log.info("rule.activated", **version)
        return 0

    async def seal(self) -> int:
        """Seal what was committed and sign for it when it is time; return how many if more wait.

        One worker of all does this at a time, for all buckets.
        """
        sealed = await self._database.transact(seal.seal)
        if sealed == seal.PAGE:
            return sealed
        if (key := self._sealing.key) is not None:

            async def sign(conn: Connection) -> bool:
                return await seal.sign(conn, key, self._parts)

            try:
                await self._database.transact(sign)
            except seal.LogContradictedError as why:
                measures.LOG_CONTRADICTED.set(1)
                log.error("log.contradicted", why=str(why))  # noqa: TRY400 - no story: it is no bug
            else:
                measures.LOG_CONTRADICTED.set(0)
        return 0

    async def export(self) -> int:
        """Take signed checkpoints outside; return how many left."""
        if self._sealing.export is None:
            return 0
        return await seal.export(self._database, self._sealing.export, self._parts)

    async def partitions(self) -> int:
        """Make the ledger's partitions two years ahead."""
        async with self._database.transaction() as conn:
            await make_partitions(conn, self._parts.clock(), MONTHS_AHEAD)
        return 0


async def _pause(seconds: float, *ends: asyncio.Event) -> None:
    """Wait for so long, or until something happens that ends it."""
    waits = [asyncio.create_task(end.wait()) for end in ends]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def only_tell(stop: asyncio.Event) -> None:
    """Do nothing but say so, until told to stop: the books were wrong at the start."""
    while not stop.is_set():
        log.error("worker.only_reads")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELD_S):
                await stop.wait()


def _halves(buckets: tuple[int, int]) -> list[tuple[int, int]]:
    """Divide a range of buckets in two, if it has two."""
    first, last = buckets
    middle = (first + last) // 2
    return [(first, middle), (middle + 1, last)] if first < last else [buckets]


def _came(result: int | BaseException) -> int:
    """Return what came of a page, or raise what kept it from its end; the other one has ended."""
    if isinstance(result, BaseException):
        raise result
    return result
