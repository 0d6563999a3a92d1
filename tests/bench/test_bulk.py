"""Rewards per second of a list, against a COPY of the same rows into the same tables.

By command and over HTTP with a worker, each round in fresh copies of one installation. COPY fills
exactly what the rewards wrote: lots, batches, postings, wallets, events and grants, with their
indexes, keys and checks. A list a tenth as long shows that memory does not grow, and the longest
time without a commit that nothing is kept back. `BENCH_BULK_WAYS` may leave a way out.
"""

import asyncio
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from benefits.actions.keys import make_key
from benefits.domain.programme_file import read
from benefits.embedded import Postgres
from benefits.settings import Keys
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import create_database, migrate
from tests.bench.ledger import copy_grants
from tests.builders import PROGRAMME, World
from tests.service import environment, fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
MEMBERS = int(os.environ.get("BENCH_BULK_MEMBERS", "50000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
WAYS = os.environ.get("BENCH_BULK_WAYS", "command http").split()
ROOT = Path(__file__).parents[2]
AT_ONCE = 5000
Figures = dict[str, list[float]]


async def test_a_list_is_measured_against_a_copy_of_its_rows(
    durable_server: Postgres, tmp_path: Path
) -> None:
    """Print rewards per second as a ratio to COPY; ten times the rows take no more memory."""
    with durable_server as server:
        keys = fresh_keys()
        key = await _prepare(server.dsn, keys)
        figures = Figures()
        for _ in range(ROUNDS):
            await _round(server.dsn, keys, key=key, folder=tmp_path, figures=figures)
    median = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in median.items():
        print(f"{name:36s} {value:12,.1f}   of {[round(v, 1) for v in figures[name]]}")
    for way in WAYS:
        ratio = median[f"{way}: rewards/s"] / median["copy: rewards/s"]
        print(f"list by {way} / COPY: {ratio:.2f}")
    assert median["command: peak MB"] < 1.15 * median["command, a tenth: peak MB"]


async def _round(server_dsn: str, keys: Keys, *, key: str, folder: Path, figures: Figures) -> None:
    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    path, tenth = _list(folder, MEMBERS), _list(folder, MEMBERS // 10)
    async with _fresh(server_dsn) as dsn:
        _, peak_mb = await asyncio.to_thread(_command, dsn, keys, tenth)
        note("command, a tenth: peak MB", peak_mb)
    async with _fresh(server_dsn) as dsn, _fresh(server_dsn) as other:
        longest = asyncio.create_task(_longest_without_commit(dsn))
        took, peak_mb = await asyncio.to_thread(_command, dsn, keys, path)
        note("command: longest without commit, s", await longest)
        note("command: rewards/s", MEMBERS / took)
        note("command: peak MB", peak_mb)
        note("copy: rewards/s", MEMBERS / await copy_grants(dsn, other, folder))
    if "http" not in WAYS:
        return
    async with _fresh(server_dsn) as dsn:
        took, peak_mb = await _over_http(dsn, keys, key, path)
        note("http: rewards/s", MEMBERS / took)
        note("http: worker's peak MB", peak_mb)


def _command(dsn: str, keys: Keys, path: Path) -> tuple[float, float]:
    """Run the command as an operator does; return its seconds and its peak."""
    command = [sys.executable, "-m", "benefits", "import", "grants", str(path)]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(dsn, keys), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr as stream:
        said = stream.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert 0 == process.returncode, said
    return took, _peak_mb(usage)


async def _longest_without_commit(dsn: str) -> float:
    """Watch a job until its end; return the longest time in which nothing more was granted."""
    watching = await asyncpg.connect(dsn)
    longest, granted, since = 0.0, 0, 0.0
    while granted < MEMBERS:
        await asyncio.sleep(0.05)
        now = time.perf_counter()
        found = await watching.fetchval("SELECT max(granted) FROM job") or 0
        if found != granted:
            longest = max(longest, now - since) if since else 0.0
            granted, since = found, now
    await watching.close()
    return longest


def _peak_mb(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


async def _over_http(dsn: str, keys: Keys, key: str, path: Path) -> tuple[float, float]:
    """Send the list and wait for the end of its job; the peak is the worker's."""
    headers = {
        "Authorization": f"Bearer {key}",
        "Idempotency-Key": uuid4().hex,
        "Content-Type": "text/csv",
    }
    async with serve(dsn, keys) as service, _worker(dsn, keys) as worker:
        start = time.perf_counter()
        async with aiohttp.ClientSession(
            service.url, headers=headers, timeout=aiohttp.ClientTimeout(total=None)
        ) as http:
            with path.open("rb") as file:
                async with http.post("/v1/grants:bulk", data=file) as answer:
                    job = (await answer.json())["job"]
            while job["state"] == "running":
                await asyncio.sleep(0.2)
                async with http.get(f"/v1/jobs/{job['id']}") as answer:
                    job = await answer.json()
        took = time.perf_counter() - start
        assert MEMBERS == job["granted"], job
        status = Path(f"/proc/{worker.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return took, int(peak[1]) / 1024


@asynccontextmanager
async def _worker(dsn: str, keys: Keys) -> AsyncIterator[Process]:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benefits", "work"), env=environment(dsn, keys), cwd=ROOT
    )
    try:
        yield worker
    finally:
        worker.terminate()
        await worker.wait()


def _list(folder: Path, count: int) -> Path:
    path = folder / f"list{count}.csv"
    with path.open("w") as file:
        file.write("customer,benefit,business_key\n")
        file.writelines(f"T{n:06d},VIDEO,spring\n" for n in range(1, count + 1))
    return path


@asynccontextmanager
async def _fresh(server_dsn: str) -> AsyncIterator[str]:
    """Give a copy of the prepared installation, and drop it."""
    name = f"copy_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE benefits STRATEGY file_copy")
    try:
        yield urlsplit(server_dsn)._replace(path=f"/{name}").geturl()
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def _prepare(server_dsn: str, keys: Keys) -> str:
    """Make an installation with members; return a key of the CRM."""
    server = connect(server_dsn, pool_size=1)
    await create_database(server)
    await server.close()
    database = connect(urlsplit(server_dsn)._replace(path="/benefits").geturl())
    await migrate(database, "test", keys.member_key)
    envelope = Envelope(keys.secret_keys)
    world = World(database, envelope=envelope, clock=lambda: datetime.now(UTC))
    await world.apply(read(PROGRAMME))
    for begun in range(0, MEMBERS, AT_ONCE):
        await world.members(min(AT_ONCE, MEMBERS - begun))
    async with database.transaction() as conn:
        key = await make_key(conn, "bench", ["crm"], world.parts)
    await database.close()
    return key
