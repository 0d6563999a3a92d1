"""Calls to providers: leased, made with no transaction open, recorded in batches as they come.

A provider that answers late, or never, holds up nobody else: each has so many calls under way.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog
from opentelemetry.trace import SpanKind

from benefits import measures, traces
from benefits.actions import deliver
from benefits.actions.deliver import Attempt, Work
from benefits.actions.gate import Turned
from benefits.actions.parts import Parts
from benefits.domain.circuits import fault_of
from benefits.domain.orders import NotSent, Outcome, Rejected, Unknown
from benefits.providers.provider import Provider
from benefits.store.db import Connection, Database

IN_FLIGHT_MAX = 64  # a provider
PAUSES_S = (0.2, 0.2, 1.0, 0.0)

log = structlog.get_logger()


class Delivery:
    """The calls that one worker has under way."""

    def __init__(
        self,
        database: Database,
        parts: Parts,
        providers: Mapping[str, Provider],
        buckets: tuple[int, int],
    ) -> None:
        """Start with no call under way; `answered` is set while there is an answer to record."""
        self.answered = asyncio.Event()
        self._database = database
        self._parts = parts
        self._providers = providers
        self._buckets = buckets
        self._calls: set[asyncio.Task[None]] = set()
        self._answered: list[Attempt] = []
        self._heard: list[Attempt] = []
        self._in_flight: Counter[str] = Counter()

    async def deliver(self) -> int:
        """Record what calls answered and start calls that are due; return how many of both.

        While the database writes the former, the latter are looked for. What may leave a provider
        alone is heard before; other answers only count, and nobody waits for that.
        """
        if any(attempt.work.is_probe or fault_of(attempt.outcome) for attempt in self._heard):
            await self._hear()
        steps = (self._record(), self._start(), self._hear())
        did = await asyncio.gather(*steps, return_exceptions=True)
        for failed in (one for one in did if isinstance(one, BaseException)):
            raise failed  # the others have ended
        return sum(one for one in did if isinstance(one, int))

    async def _start(self) -> int:
        """Start calls that are due, return how many."""
        under_way = dict(self._in_flight)

        async def lease(conn: Connection) -> list[Work]:
            return await deliver.lease(
                conn,
                self._parts,
                buckets=self._buckets,
                limit=IN_FLIGHT_MAX,
                under_way=under_way,
            )

        works = await self._database.transact(lease)
        for work in works:
            self._in_flight[work.provider] += 1
            measures.CALLS_IN_FLIGHT.labels(work.provider).inc()
            task = asyncio.create_task(self._call(work))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return len(works)

    async def _call(self, work: Work) -> None:
        begun = time.perf_counter()
        operation, request = work.call.operation.value.lower(), work.request
        with traces.span(
            f"provider {operation}",
            SpanKind.CLIENT,
            of=request.traceparent,
            provider=work.provider,
            attempt=request.attempt,
        ) as span:
            outcome = await self._ask(work)  # first: `_answered` is another list by then
            span.set_attribute("outcome", _tag(outcome))
        self._in_flight[work.provider] -= 1
        attempt = Attempt(work, outcome, asked=work.provider in self._providers)
        self._answered.append(attempt)
        self._heard.append(attempt)
        self.answered.set()
        took = time.perf_counter() - begun
        measures.CALLS_IN_FLIGHT.labels(work.provider).dec()
        measures.CALLS.labels(work.provider, operation, _tag(outcome)).inc()
        measures.CALL_DURATION.labels(work.provider).observe(took)
        log.info(
            "provider.called",
            provider=work.provider,
            operation=operation,
            order=work.call.number,
            attempt=request.attempt,
            outcome=_tag(outcome),
            reason=_reason(outcome),
            duration_ms=round(took * 1000, 2),
            **({"trace_id": request.traceparent.split("-")[1]} if request.traceparent else {}),
        )

    async def _ask(self, work: Work) -> Outcome:
        try:
            provider = self._providers.get(work.provider)
            if provider is None:
                return NotSent(
                    "this worker has no address of the provider, or no secret fit for it"
                )
            return await provider.call(work.call)
        except Exception as error:  # whatever it was, the provider may have acted
            log.exception("worker.call_failed", provider=work.provider)
            return Unknown(type(error).__name__)

    async def _record(self) -> int:
        """Record the answers that came, return how many; those of busy members wait on.

        One that cannot be recorded will be asked for again.
        """
        self.answered.clear()
        answered, self._answered = self._answered, []
        if not answered:
            return 0
        left = list[Attempt]()
        try:
            left += await self._record_together(answered)
        except Exception:  # one answer must not keep the others back
            log.exception("worker.record_failed", answers=len(answered))
            for attempt in answered if len(answered) > 1 else ():
                try:
                    left += await self._record_together([attempt])
                except Exception:  # the others are not held up
                    log.exception("worker.record_failed", answers=1)
        self._answered += left
        return len(answered) - len(left)

    async def _record_together(self, attempts: Sequence[Attempt]) -> Sequence[Attempt]:
        async def record(conn: Connection) -> Sequence[Attempt]:
            return await deliver.record(conn, attempts, self._parts)

        return await self._database.transact(record)

    async def _hear(self) -> None:
        """Count what calls tell of their providers, and say which are left alone from now on."""
        if not self._heard:
            return
        heard, self._heard = self._heard, []

        async def hear(conn: Connection) -> list[Turned]:
            return await deliver.hear(conn, heard, self._parts)

        for turned in await self._database.transact(hear):
            _tell(turned)

    async def finish(self) -> None:
        """Wait for the calls under way and record their answers; for busy members a little."""
        if self._calls:
            await asyncio.wait(self._calls)
        for pause_s in PAUSES_S:
            await self._record()
            if not self._answered:
                break
            await asyncio.sleep(pause_s)
        await self._hear()


def _tell(turned: Turned) -> None:
    """Say that a provider is left alone, or called again."""
    about = {"provider": turned.provider, "sku": turned.sku}
    if (until := turned.circuit.paused_until) is None:
        log.info("provider.resumed", **about)
    else:
        why, pauses = turned.circuit.why, turned.circuit.pauses
        log.warning("provider.paused", **about, why=why, until=until.isoformat(), pauses=pauses)


def _tag(outcome: Outcome) -> str:
    return str(outcome.__struct_config__.tag)


def _reason(outcome: Outcome) -> str:
    """Return what may be logged of an outcome's reason: our own words, never the provider's."""
    match outcome:
        case Rejected():
            return outcome.reason.value
        case NotSent():
            return outcome.evidence
        case _:
            return ""
