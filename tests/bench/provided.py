"""What measurements of orders stand on: providers of one receiver, workers, a bare client."""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import asyncpg
import msgspec
from msgspec.structs import replace

from benefits.actions import seal
from benefits.domain.orders import Call, IssueRequest, Operation
from benefits.domain.programme import Programme
from benefits.domain.requests import body_hash
from benefits.domain.signature import parse_secret
from benefits.house import real_clock
from benefits.providers.http import Moment, Outgoing
from benefits.providers.open import OpenDialect
from benefits.settings import Keys
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import create_database, migrate
from tests.bench.ledger import Wanted, order_all
from tests.builders import World, reference_programme
from tests.service import WEBHOOK_SECRET, environment, free_port

CODES = [f"p{n}" for n in range(11)]
SILENT, REFUSING = CODES[-2:]
ROOT = Path(__file__).parents[2]
ASKED = IssueRequest(sku="video-month", quantity=1, recipient={"phone": "13800000001"})
BENCH_DUE = """
CREATE TABLE bench_due (
    bucket smallint, request_id uuid, provider text, due_at timestamptz,
    PRIMARY KEY (bucket, request_id))
"""
RELEASE = """
WITH due AS (
    INSERT INTO bench_due (bucket, request_id, provider, due_at)
    SELECT bucket, request_id, provider,
           now() + ($2::float8 * n - $3::float8) * interval '1 second'
    FROM (SELECT r.bucket, r.request_id, r.provider,
                 row_number() OVER (PARTITION BY r.provider ORDER BY r.request_id) - 1 AS n
          FROM provider_request AS r WHERE r.provider = ANY($1) AND r.attempt = 0) AS o
    WHERE o.n < $4
    ON CONFLICT (bucket, request_id) DO UPDATE SET due_at = excluded.due_at
    RETURNING bucket, request_id, due_at),
released AS (
    UPDATE provider_request AS r SET next_at = d.due_at
    FROM due AS d WHERE r.bucket = d.bucket AND r.request_id = d.request_id)
SELECT min(due_at) FROM due
"""
OPEN = """
SELECT count(*) FROM bench_due AS d
JOIN provider_request AS r ON r.bucket = d.bucket AND r.request_id = d.request_id
WHERE d.due_at >= $1 AND d.provider = ANY($2) AND r.next_at IS NOT NULL
"""
CAME_TO = """
SELECT count(*), extract(epoch FROM max(a.ended_at) - min(d.due_at))::float8,
       percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
           ORDER BY extract(epoch FROM a.ended_at - d.due_at)::float8)
FROM bench_due AS d
JOIN provider_attempt AS a
  ON a.bucket = d.bucket AND a.request_id = d.request_id AND a.outcome = 'done'
WHERE d.due_at >= $1 AND d.provider = ANY($2)
"""
LATER = """
UPDATE provider_request SET next_at = now() + interval '1 day', leased_until = NULL
WHERE provider = $1 AND next_at IS NOT NULL
"""
_CPU = re.compile(r"\A.*\) \S (?:\S+ ){10}(\d+) (\d+) ", re.DOTALL)


class Decided(msgspec.Struct, frozen=True):
    """What became of orders: so many a second, and how long each took from due to decided."""

    per_s: float
    p50_ms: float
    p99_ms: float


class Ground(msgspec.Struct, kw_only=True):
    """An installation, the receiver's port, and what seals bodies."""

    dsn: str
    keys: Keys
    port: int
    raw: asyncpg.Connection

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the installation's processes."""
        secrets = json.dumps({code: [WEBHOOK_SECRET] for code in CODES})
        return environment(self.dsn, self.keys) | {"BENEFITS_PROVIDER_SECRETS": secrets}

    async def order(self, orders: int, *providers: str) -> None:
        """Place so many orders at each of providers, a member's each; none is due yet."""
        body = Envelope(self.keys.secret_keys).seal(msgspec.json.encode(ASKED))
        at = real_clock() - timedelta(minutes=5)
        for provider in providers:
            wanted = Wanted(
                benefit=benefit_of(provider),
                provider=provider,
                sku=ASKED.sku,
                body_sealed=body,
                body_hash=body_hash(ASKED),
                at=at,
            )
            await order_all(self.raw, orders, wanted)
        await self._settle()

    async def release(
        self, *providers: str, orders: int, step_s: float = 0.0, ago_s: float = 0.0
    ) -> datetime:
        """Let orders that were never sent be due, so many of each provider; return since when.

        Each so long after the one before, the first at once or as if so long ago.
        """
        told = [list(providers), step_s, ago_s, orders]
        began: datetime = await self.raw.fetchval(RELEASE, *told)
        return began

    async def until_decided(self, since: datetime, *providers: str) -> Decided:
        """Wait until all that was released to providers since an instant is decided."""
        while await self.raw.fetchval(OPEN, since, list(providers)):
            await asyncio.sleep(0.2)
        orders, took_s, (p50_s, p99_s) = await self.raw.fetchrow(CAME_TO, since, list(providers))
        return Decided(orders / took_s, p50_s * 1000, p99_s * 1000)

    async def put_off(self, provider: str) -> None:
        """Let nothing be due of a provider, and forget that it was paused."""
        await self.raw.execute(LATER, provider)
        await self.raw.execute("DELETE FROM provider_circuit")

    async def _settle(self) -> None:
        """Seal what was made, and tell the planner: workers are to have orders alone to do."""
        database = connect(self.dsn, pool_size=1)
        while await database.transact(seal.seal):
            pass
        await database.close()
        await self.raw.execute("VACUUM ANALYZE")


def benefit_of(provider: str) -> str:
    """Return the benefit that a provider fulfils."""
    return f"VIDEO{provider.upper()}"


def _programme(port: int, *, dead: bool) -> Programme:
    """Return the reference programme with the providers, the last two of which may be dead."""
    programme = reference_programme()
    (sandbox,) = programme.provider
    (video,) = [one for one in programme.benefit if one.code == "VIDEO"]
    video = replace(video, stock=None, cap=None)
    at = [f"http://127.0.0.1:{port}/{code}" for code in CODES]
    if dead:
        at[-2:] = [f"http://127.0.0.1:{port}/dead", f"http://127.0.0.1:{free_port()}"]
    budgets = [
        replace(one, total=type(one.total)("1000000000.00")) if one.code == "video" else one
        for one in programme.budget
    ]
    return replace(
        programme,
        provider=(
            *programme.provider,
            *(replace(sandbox, code=c, url=url) for c, url in zip(CODES, at, strict=True)),
        ),
        benefit=(
            *programme.benefit,
            *(replace(video, code=benefit_of(c), provider=c) for c in CODES),
        ),
        budget=tuple(budgets),
    )


@asynccontextmanager
async def ground(server_dsn: str, keys: Keys, *, dead: bool = False) -> AsyncIterator[Ground]:
    """Set up an installation whose providers one receiver answers for.

    The last two may be dead: one that never answers, and one where nobody takes a connection.
    """
    server = connect(server_dsn, pool_size=1)
    await create_database(server)
    await server.close()
    dsn = urlsplit(server_dsn)._replace(path="/benefits").geturl()
    database = connect(dsn)
    await migrate(database, "test", keys.member_key)
    world = World(database, envelope=Envelope(keys.secret_keys), clock=real_clock)
    port = free_port()
    await world.apply(_programme(port, dead=dead))
    await database.close()
    raw = await asyncpg.connect(dsn)
    await raw.execute(BENCH_DUE)
    receiver = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.receiver", str(port)), cwd=ROOT
    )
    try:
        await _until_listening(port)
        yield Ground(dsn=dsn, keys=keys, port=port, raw=raw)
    finally:
        receiver.kill()
        await receiver.wait()
        await raw.close()


async def _until_listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process took until now."""
    told = _CPU.match(Path(f"/proc/{pid}/stat").read_text())
    assert told is not None
    return (int(told[1]) + int(told[2])) / os.sysconf("SC_CLK_TCK")


class Working:
    """A worker process under way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Wrap a process."""
        self._process = process

    @property
    def cpu_s(self) -> float:
        """The CPU seconds it took until now."""
        return cpu_s(self._process.pid)

    @property
    def peak_mb(self) -> float:
        """The most memory it ever had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        return int(peak[1]) / 1024


@asynccontextmanager
async def working(of: Ground) -> AsyncIterator[Working]:
    """Run a worker, from when it works until the block ends."""
    with tempfile.NamedTemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benefits", "work"),
            env=of.environment,
            cwd=ROOT,
            stdout=said,
        )
        try:
            while b"process.started" not in Path(said.name).read_bytes():
                await asyncio.sleep(0.1)
            yield Working(process)
        finally:
            process.terminate()
            await process.wait()


class Bare(msgspec.Struct, frozen=True):
    """What a bare client came to: orders a second of time, and its CPU seconds an order."""

    per_s: float
    cpu_s: float


async def bare(port: int, *, orders: int, connections: int) -> Bare:
    """Post as many signed orders as `benefits work` would, with nothing around them."""
    dialect = OpenDialect(
        base_url=f"http://127.0.0.1:{port}/p0", secrets=[parse_secret(WEBHOOK_SECRET)]
    )
    asked = (_signed(dialect) for _ in range(orders))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one() -> None:
            for outgoing in asked:
                async with session.post(
                    outgoing.url, headers=outgoing.headers, data=outgoing.body
                ) as answered:
                    assert 200 == answered.status
                    await answered.read()

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one() for _ in range(connections)))
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return Bare(orders / took, cpu / orders)


def _signed(dialect: OpenDialect) -> Outgoing:
    call = Call(number=uuid4().hex, operation=Operation.ISSUE, request=ASKED)
    return dialect.request(call, Moment(datetime.now(UTC)))
