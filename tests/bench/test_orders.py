"""Orders to providers that answer after 20 ms: one worker against a bare client.

The client posts the same signed bytes to the same receiver, as many at a time as a worker has
under way at one provider. How long an order takes from due to decided is measured while few are
due. Then nine providers at once, alone, beside a tenth that never answers, and beside one that
takes no connection; each of the two has as many orders waiting as the nine together, all of them
older. CPU is the process's own.
"""

import os
import statistics

import pytest

from benefits.embedded import Postgres
from benefits.worker.delivery import IN_FLIGHT_MAX
from tests.bench.provided import CODES, REFUSING, SILENT, Ground, Working, bare, ground, working
from tests.service import fresh_keys

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
ORDERS = int(os.environ.get("BENCH_DUE", "2700"))  # a round
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
PACE = 50  # orders a second, while few are due
NINE = CODES[:-2]
BESIDE = {"alone": None, "beside a silent one": SILENT, "beside one that refuses": REFUSING}
Figures = dict[str, list[float]]


async def test_delivering_is_measured_against_a_bare_client(durable_server: Postgres) -> None:
    """Print orders a second and CPU an order, the ratios, and p50 and p99 from due to decided."""
    figures = Figures()
    with durable_server as server:
        async with ground(server.dsn, fresh_keys()) as stage:
            await stage.order(ORDERS * (ROUNDS + 1), CODES[0])
            await stage.order(int(PACE * SECONDS) * (ROUNDS + 1), CODES[1])
            async with working(stage) as worker:
                for nth in range(ROUNDS + 1):
                    told = Figures() if nth == 0 else figures  # the first only warms up
                    await _round(stage, worker, told)
    _tell(figures)
    _ratio("a worker / a bare client, orders a second", figures, "worker: per s", "bare: per s")
    _ratio("CPU of a worker / of a bare client", figures, "worker: CPU µs", "bare: CPU µs")


async def _round(stage: Ground, worker: Working, figures: Figures) -> None:
    client = await bare(stage.port, orders=ORDERS, connections=IN_FLIGHT_MAX)
    cpu_s = worker.cpu_s
    since = await stage.release(CODES[0], orders=ORDERS)
    drained = await stage.until_decided(since, CODES[0])
    cpu_s = worker.cpu_s - cpu_s
    few = await stage.release(CODES[1], orders=int(PACE * SECONDS), step_s=1 / PACE)
    paced = await stage.until_decided(few, CODES[1])
    for name, value in (
        ("bare: per s", client.per_s),
        ("bare: CPU µs", client.cpu_s * 1e6),
        ("worker: per s", drained.per_s),
        ("worker: CPU µs", cpu_s / ORDERS * 1e6),
        ("due to decided: p50 ms", paced.p50_ms),
        ("due to decided: p99 ms", paced.p99_ms),
    ):
        figures.setdefault(name, []).append(value)


async def test_a_dead_provider_does_not_slow_the_others(durable_server: Postgres) -> None:
    """Print orders a second of nine providers alone, and beside each way to be dead."""
    figures = Figures()
    share = ORDERS // len(NINE)
    with durable_server as server:
        async with ground(server.dsn, fresh_keys(), dead=True) as stage:
            await stage.order(share * len(BESIDE) * (ROUNDS + 1), *NINE)
            await stage.order(ORDERS, SILENT, REFUSING)
            async with working(stage):
                for nth in range(ROUNDS + 1):
                    told = Figures() if nth == 0 else figures
                    ways = list(BESIDE.items())
                    first = nth % len(ways)  # none always has the smallest tables
                    for name, dead in ways[first:] + ways[:first]:
                        if dead is not None:
                            await stage.release(dead, orders=ORDERS, ago_s=3600)
                        since = await stage.release(*NINE, orders=share)
                        decided = await stage.until_decided(since, *NINE)
                        told.setdefault(f"{name}: per s", []).append(decided.per_s)
                        if dead is not None:
                            await stage.put_off(dead)
    _tell(figures)
    for name in list(BESIDE)[1:]:
        _ratio(f"nine {name} / alone", figures, f"{name}: per s", "alone: per s")


def _tell(figures: Figures) -> None:
    for name, values in figures.items():
        print(f"{name:34s} {statistics.median(values):10,.2f} of {[round(v, 2) for v in values]}")


def _ratio(says: str, figures: Figures, one: str, other: str) -> None:
    print(f"{says}: {statistics.median(figures[one]) / statistics.median(figures[other]):.2f}")
