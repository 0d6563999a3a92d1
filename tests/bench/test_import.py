"""Lines per second of imports against a raw COPY of the same rows, and the memory they take.

By command and over HTTP, a file and one ten times as long. Each round imports other months, so
that no run finds the rows of the one before.
"""

import asyncio
import csv
import hashlib
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from msgspec.structs import replace

from benefits.actions.keys import make_key
from benefits.domain.programme_file import read
from benefits.domain.values import Month, bucket_of, member_id
from benefits.embedded import Postgres
from benefits.settings import Keys
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.feeds import LINE_COLUMNS
from benefits.store.migrate import create_database, migrate
from tests.builders import PROGRAMME, World
from tests.service import Serving, environment, fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
MEMBERS = int(os.environ.get("BENCH_IMPORT_MEMBERS", "50000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
DAYS = {"small": 2, "large": 20}
FIRST = Month(2022, 1)
ROOT = Path(__file__).parents[2]
# One table for the rows, as the import keeps them, without partitions; and one without its key.
RAW = {
    "with key": "CREATE TABLE raw (LIKE asset INCLUDING ALL)",
    "without": "CREATE TABLE raw (LIKE asset)",
}
RAW_FEED = {
    "with key": "CREATE TABLE raw (LIKE feed_line INCLUDING ALL)",
    "without": "CREATE TABLE raw (LIKE feed_line)",
}
LARGE = int(os.environ.get("BENCH_FEED_LINES", "1000000"))
FEED_LINES = {"small": LARGE // 4, "large": LARGE}
Figures = dict[str, list[float]]
COLUMNS = (
    *("bucket", "member_id", "as_of", "asset_class", "currency", "source", "account"),
    *("revision", "balance_minor", "recorded_at"),
)


async def test_an_import_is_measured_against_a_raw_copy(
    durable_server: Postgres, tmp_path: Path
) -> None:
    """Print lines per second as a ratio to COPY; ten times the lines take no more memory."""
    with durable_server as server:
        keys = fresh_keys()
        dsn = await _prepare(server.dsn, keys)
        told = _command(dsn, keys, "members", _members(tmp_path))
        print(f"members: {MEMBERS:,} lines, {told.per_s:,.0f}/s, peak {told.peak_mb:.0f} MB")
        figures = Figures()
        async with serve(dsn, keys) as service:
            over_http = Http(service, await _api_key(dsn, keys))
            for nth in range(ROUNDS):
                await _round(dsn, keys, tmp_path, nth=nth, figures=figures, http=over_http)
    median = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in median.items():
        print(f"{name:34s} {value:12,.1f}   of {[round(v, 1) for v in figures[name]]}")
    for how in RAW:
        for way in ("command", "http"):
            ratio = median[f"{way} large: lines/s"] / median[f"copy {how}: rows/s"]
            print(f"import by {way} / COPY {how}: {ratio:.2f}")
    assert median["command large: peak MB"] < 1.15 * median["command small: peak MB"]
    # A service's peak is since its start, and the small file came first.
    assert figures["http large: peak MB"][-1] < 1.15 * figures["http small: peak MB"][0]


async def test_a_feed_is_measured_against_a_raw_copy(
    durable_server: Postgres, tmp_path: Path
) -> None:
    """Print lines per second of sealed feeds as a ratio to COPY; two lines for each customer."""
    with durable_server as server:
        keys = fresh_keys()
        dsn = await _prepare(server.dsn, keys, feeds=("core",))
        figures = Figures()
        for nth in range(ROUNDS):
            for name, count in FEED_LINES.items():
                day = FIRST.start + timedelta(days=2 * nth + (name == "large"))
                path, told = _feed(tmp_path, day, count), tmp_path / "core.json"
                one = await asyncio.to_thread(_import_feed, dsn, keys, path, told)
                figures.setdefault(f"feed {name}: lines/s", []).append(one.per_s)
                figures.setdefault(f"feed {name}: peak MB", []).append(one.peak_mb)
            for how, statement in RAW_FEED.items():
                per_s = await _copy_feed(dsn, keys, path, day, statement=statement)
                figures.setdefault(f"copy {how}: rows/s", []).append(per_s)
    median = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in median.items():
        print(f"{name:34s} {value:12,.1f}   of {[round(v, 1) for v in figures[name]]}")
    for how in RAW_FEED:
        ratio = median["feed large: lines/s"] / median[f"copy {how}: rows/s"]
        print(f"feed / COPY {how}: {ratio:.2f}")
    # Of each million lines the allocator keeps some 60 MB; the lines themselves would be 600.
    more_mb = median["feed large: peak MB"] - median["feed small: peak MB"]
    assert more_mb < 100 * LARGE / 1_000_000


def _feed(folder: Path, day: date, count: int) -> Path:
    """Write a feed and its manifest: two accounts for each customer, in the customers' order."""
    path, total = folder / "core.csv", 0
    with path.open("w") as file:
        file.write("customer,asset_class,currency,balance,account\n")
        for nth in range(count):
            minor = nth * 3701 % 90_000_000
            total += minor
            account = f"A{nth % 2}"
            file.write(f"C{nth // 2:07d},DEPOSIT,CNY,{minor // 100}.{minor % 100:02d},{account}\n")
    with path.open("rb") as file_:
        digest = hashlib.file_digest(file_, "sha256").hexdigest()
    said = {
        "source": "core",
        "date": str(day),
        "rows": count,
        "sha256": digest,
        "totals": {"CNY": f"{total // 100}.{total % 100:02d}"},
    }
    path.with_suffix(".json").write_text(json.dumps(said))
    return path


def _import_feed(dsn: str, keys: Keys, path: Path, told: Path) -> "Told":
    """Import a feed as an operator does, until it is sealed."""
    command = [sys.executable, "-m", "benefits", "import", "feed", str(path)]
    took, peak_mb, said = _run([*command, "--manifest", str(told)], dsn, keys)
    found = re.search(r"is sealed: ([0-9,]+) lines", said)
    assert found is not None, said
    return Told(int(found[1].replace(",", "")), took, peak_mb)


async def _copy_feed(dsn: str, keys: Keys, path: Path, day: date, *, statement: str) -> float:
    """COPY the rows of a feed, ready as CSV in the file's order, into a table of their own."""
    rows = path.with_suffix(".rows")
    count = 0
    with path.open() as source, rows.open("w") as target:
        lines = csv.reader(source)
        next(lines)
        for customer, asset_class, currency, balance, account in lines:
            id_ = member_id(customer, keys.member_key)
            minor = int(balance.replace(".", ""))
            target.write(f"{bucket_of(id_)},{day},core,0,{id_},{asset_class},{currency},")
            target.write(f"{account},{minor}\n")
            count += 1
    return await _raw(dsn, rows, statement, columns=LINE_COLUMNS, count=count)


class Told:
    """What an import took."""

    def __init__(self, lines: int, seconds: float, peak_mb: float) -> None:
        self.per_s = lines / seconds
        self.peak_mb = peak_mb


class Http:
    """The service that takes files too, and the key it takes them under."""

    def __init__(self, service: Serving, key: str) -> None:
        self.service = service
        self.key = key

    async def send(self, path: Path) -> Told:
        """Send a file; the peak is the service's since its start."""
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Idempotency-Key": uuid4().hex,
            "Content-Type": "text/csv",
        }
        start = time.perf_counter()
        timeout = aiohttp.ClientTimeout(total=None)
        with path.open("rb") as file:
            async with (
                aiohttp.ClientSession(self.service.url, timeout=timeout) as http,
                http.post("/v1/assets:import", data=file, headers=headers) as answer,
            ):
                told = await answer.json()
        took = time.perf_counter() - start
        assert told["lines"] == told["kept"], told
        status = Path(f"/proc/{self.service.process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        return Told(told["lines"], took, int(peak[1]) / 1024)


async def _round(
    dsn: str, keys: Keys, folder: Path, *, nth: int, figures: Figures, http: Http
) -> None:
    for place, (name, days) in enumerate(DAYS.items()):
        month = FIRST.plus(4 * nth + 2 * place)
        told = {"http": await http.send(_assets(folder, month.plus(1), days))}
        path = _assets(folder, month, days)
        told["command"] = await asyncio.to_thread(_command, dsn, keys, "assets", path)
        for way, one in told.items():
            figures.setdefault(f"{way} {name}: lines/s", []).append(one.per_s)
            figures.setdefault(f"{way} {name}: peak MB", []).append(one.peak_mb)
    for how, statement in RAW.items():
        per_s = await _copy(dsn, keys, path, statement)
        figures.setdefault(f"copy {how}: rows/s", []).append(per_s)
    path.unlink()


def _command(dsn: str, keys: Keys, what: str, path: Path) -> Told:
    """Run the command as an operator does; its figures are of its own process."""
    command = [sys.executable, "-m", "benefits", "import", what, str(path)]
    took, peak_mb, said = _run(command, dsn, keys)
    found = re.search(r"^([0-9,]+) lines: ([0-9,]+) new or changed", said, re.MULTILINE)
    assert found is not None, said
    assert found[1] == found[2]
    return Told(int(found[1].replace(",", "")), took, peak_mb)


def _run(command: list[str], dsn: str, keys: Keys) -> tuple[float, float, str]:
    """Run a command; return how long it took, its peak in MB and what it said."""
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
    return took, _peak_mb(usage), said


def _peak_mb(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


async def _copy(dsn: str, keys: Keys, path: Path, statement: str) -> float:
    """COPY the rows that the import made of a file, ready as CSV, into a table of their own."""
    rows = path.with_suffix(".rows")
    with path.open() as source, rows.open("w") as target:
        lines = csv.reader(source)
        next(lines)
        count = 0
        ids = dict[str, str]()
        for customer, as_of, asset_class, currency, balance in lines:
            if customer not in ids:
                id_ = member_id(customer, keys.member_key)
                ids[customer] = f"{bucket_of(id_)},{id_}"
            minor = balance.replace(".", "")
            target.write(
                f'{ids[customer]},{as_of},{asset_class},{currency},"","",0,{minor},2025-07-02Z\n'
            )
            count += 1
    return await _raw(dsn, rows, statement, columns=COLUMNS, count=count)


async def _raw(
    dsn: str, rows: Path, statement: str, *, columns: tuple[str, ...], count: int
) -> float:
    """COPY a file of rows into a new table; return rows per second."""
    raw = await asyncpg.connect(dsn)
    try:
        await raw.execute("DROP TABLE IF EXISTS raw")
        await raw.execute(statement)
        start = time.perf_counter()
        await raw.copy_to_table("raw", source=rows, columns=columns, format="csv")
        took = time.perf_counter() - start
        await raw.execute("DROP TABLE raw")
    finally:
        await raw.close()
    rows.unlink()
    return count / took


def _names() -> Iterator[str]:
    return (f"C{number:07d}" for number in range(MEMBERS))


def _members(folder: Path) -> Path:
    path = folder / "members.csv"
    with path.open("w") as file:
        file.write("customer,opened_on,branch,manager\n")
        file.writelines(f"{name},2020-01-01,B01,M{name[-3:]}\n" for name in _names())
    return path


def _assets(folder: Path, month: Month, days: int) -> Path:
    """Write a file as banks send them: day after day, all customers of a day."""
    path = folder / "assets.csv"
    with path.open("w") as file:
        file.write("customer,as_of,asset_class,currency,balance\n")
        for day in range(days):
            as_of: date = month.start + timedelta(days=day)
            file.writelines(
                f"{name},{as_of},DEPOSIT,CNY,{nth * 37 % 900_000}.{day:02d}\n"
                for nth, name in enumerate(_names())
            )
    return path


async def _api_key(dsn: str, keys: Keys) -> str:
    database = connect(dsn)
    world = World(database, envelope=Envelope(keys.secret_keys))
    async with database.transaction() as conn:
        key = await make_key(conn, "bench", ["crm"], world.parts)
    await database.close()
    return key


async def _prepare(server_dsn: str, keys: Keys, feeds: tuple[str, ...] = ()) -> str:
    server = connect(server_dsn, pool_size=1)
    await create_database(server)
    await server.close()
    dsn = urlsplit(server_dsn)._replace(path="/benefits").geturl()
    database = connect(dsn)
    await migrate(database, "test", keys.member_key)
    await World(database, clock=lambda: datetime.now(UTC)).apply(
        replace(read(PROGRAMME), feeds=feeds)
    )
    await database.close()
    return dsn
