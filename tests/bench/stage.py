"""What measurements of the hot path stand on: an installation with rich members, and requests."""

import os
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import msgspec

from benefits.actions.evaluate import evaluate
from benefits.actions.grant import RewardMember, reward
from benefits.actions.keys import make_key
from benefits.domain.assets import AssetLine
from benefits.domain.benefit import Benefit
from benefits.domain.limits import Budget
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.signature import parse_secret, signed_headers
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.embedded import binary
from benefits.house import real_clock
from benefits.settings import Keys
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import create_database, migrate
from tests.builders import PROGRAMME, World
from tests.service import WEBHOOK_SECRET

MEMBERS = int(os.environ.get("BENCH_MEMBERS", "20000"))
HOT = "LOUNGE"
SPREAD = [f"LOUNGE{n:02d}" for n in range(32)]  # each with a budget of its own
SHOWN = 10
BALANCE = 520_000_00  # minor units a day, and a little more for each member
LOOKED_AT = min(MEMBERS, 2000)  # members who have units of so many benefits, and a tier
_RICH = PROGRAMME.replace('total = "10000.00"', 'total = "10000000000.00"')


def spread_of(nth: int) -> str:
    """Return the benefit of its own budget that the nth member has."""
    return SPREAD[nth % len(SPREAD)]


async def prepare(
    server_dsn: str, keys: Keys, *, spread: bool = False
) -> tuple[str, list[UUID], str]:
    """Set up an installation; return its address, its members and a key of the mobile bank.

    With `spread` each member has units of a benefit of another budget too, and the first have
    units of ten and a tier with its reason.
    """
    server = connect(server_dsn, pool_size=1)
    await create_database(server)
    await server.close()
    dsn = urlsplit(server_dsn)._replace(path="/benefits").geturl()
    database = connect(dsn)
    await migrate(database, "test", keys.member_key)
    world = World(database, envelope=Envelope(keys.secret_keys), clock=real_clock)
    await world.apply(_with_spread(read(_RICH)))
    ids = await world.members(MEMBERS)
    wanted = [(id_, HOT) for id_ in ids]
    if spread:
        wanted += [(id_, spread_of(nth)) for nth, id_ in enumerate(ids)]
        wanted += [(id_, code) for id_ in ids[:LOOKED_AT] for code in SPREAD[: SHOWN - 1]]
        await _standings(world)
    for start in range(0, len(wanted), 500):
        commands = [_reward(*one) for one in wanted[start : start + 500]]
        async with database.transaction() as conn:
            await reward(conn, commands, world.parts, wait=True)
    async with database.transaction() as conn:
        key = await make_key(conn, "bench", ["mobile"], world.parts)
    await database.close()
    raw = await asyncpg.connect(dsn)
    await raw.execute(Path(__file__).with_name("redeem.sql").read_text())
    rows = [(n, bucket_of(id_), id_) for n, id_ in enumerate(ids, 1)]
    await raw.copy_records_to_table("bench_member", records=rows)
    await raw.execute("VACUUM ANALYZE")
    await raw.close()
    return dsn, ids, key


async def _standings(world: World) -> None:
    """Give the first members a tier by the balances of the last month."""
    month = Month.of(real_clock().date()).plus(-1)
    days = [month.start + timedelta(days=n) for n in range(month.days)]
    for first in range(1, LOOKED_AT + 1, 100):
        each = range(first, min(first + 100, LOOKED_AT + 1))
        lines = [(world.name(n), day, BALANCE + n) for n in each for day in days]
        await world.assets(
            [AssetLine(name, day, "DEPOSIT", "CNY", balance) for name, day, balance in lines]
        )
    everywhere = (0, BUCKETS - 1)
    await evaluate(world.database, world.parts, "wealth", month, buckets=everywhere)


def _with_spread(programme: Programme) -> Programme:
    """Add benefits like the lounge, each with a budget of its own."""
    lounge, budget = programme.benefits[HOT], programme.budget[0]
    benefits: list[Benefit] = [
        msgspec.structs.replace(lounge, code=code, budget=code.lower()) for code in SPREAD
    ]
    budgets: list[Budget] = [msgspec.structs.replace(budget, code=code.lower()) for code in SPREAD]
    return msgspec.structs.replace(
        programme,
        benefit=(*programme.benefit, *benefits),
        budget=(*programme.budget, *budgets),
    )


def _reward(member_id: UUID, benefit: str) -> RewardMember:
    return RewardMember(
        caller="bench",
        key=f"{random.getrandbits(128):032x}",
        member_id=member_id,
        benefit=benefit,
        quantity=100,
        business_key=f"bench-{uuid4().hex}",
        valid_days=300,
    )


def wish(key: str, member_id: UUID, benefit: str = HOT) -> bytes:
    """Return a member's claim as a request."""
    body = b'{"benefit":"%s","recipient":{"phone":"13800000001"}}' % benefit.encode()
    head = (
        f"POST /v1/members/{member_id}/claims HTTP/1.1\r\nHost: bench\r\n"
        f"Authorization: Bearer {key}\r\nIdempotency-Key: {uuid4().hex}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def look(key: str, member_id: UUID) -> bytes:
    """Return the request for what a member has."""
    return (
        f"GET /v1/members/{member_id}/benefits HTTP/1.1\r\nHost: bench\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()


def explained(key: str, member_id: UUID) -> bytes:
    """Return the request for why a member has the tier of a moment ago, as known then."""
    at = f"{real_clock() - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"GET /v1/members/{member_id}/standing?as_of={at}&known_at={at} HTTP/1.1\r\n"
        f"Host: bench\r\nAuthorization: Bearer {key}\r\n\r\n"
    ).encode()


def constant() -> bytes:
    """Return a request that is answered with a constant."""
    return b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n"


def told_used(number: UUID) -> bytes:
    """Return a signed callback of the sandbox that an order was used."""
    now = datetime.now(UTC)
    at = now.isoformat()
    told = {"type": "order.redeemed", "timestamp": at, "data": {"number": number.hex, "at": at}}
    body = msgspec.json.encode(told)
    secret = parse_secret(WEBHOOK_SECRET)
    headers = signed_headers([secret], uuid4().hex, int(now.timestamp()), body)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST /callbacks/sandbox HTTP/1.1\r\nHost: bench\r\n{lines}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def pgbench(dsn: str, clients: int, *, seconds: float, hot: int) -> float:
    """Return redeems a second as one function call each, `hot` ones on one budget row."""
    script = Path(__file__).with_name("redeem.pgbench")
    command = [
        *(str(binary("pgbench")), "-n", "-M", "prepared", "-T", str(int(seconds))),
        *("-c", str(clients), "-j", "2", "-D", f"members={MEMBERS}", "-D", f"hot={hot}"),
        *("-f", str(script), dsn),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("tps"))
    return float(line.split("=")[1].split()[0])
