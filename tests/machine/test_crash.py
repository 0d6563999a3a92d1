"""Kill -9 of the service under concurrent claims: nothing is lost, nothing doubled (I13)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp

from benefits.actions.grant import RewardMember, reward
from benefits.actions.keys import make_key
from benefits.domain.programme_file import read
from benefits.house import real_clock
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from tests.builders import PROGRAMME, World
from tests.conftest import database
from tests.service import Serving, fresh_keys, serve

MEMBERS = 12
CLAIMS_EACH = 40
RICH = PROGRAMME.replace('total = "10000.00"', 'total = "10000000.00"')
BODY = {"benefit": "LOUNGE", "recipient": {"phone": "13800000001"}}

Wishes = list[tuple[UUID, str]]


async def test_a_killed_service_loses_no_acknowledged_claim_and_doubles_none(
    migrated: str, cluster_dsn: str
) -> None:
    """Every claim acknowledged before the kill is there once; the others resolve by key (I13)."""
    keys = fresh_keys()
    async with database(cluster_dsn, migrated) as dsn, _world(dsn, keys.secret_keys) as world:
        key, wishes = await _wishes(world)
        acknowledged = dict[str, str]()
        async with serve(dsn, keys) as service:
            claiming = asyncio.create_task(_claim_all(service, key, wishes, acknowledged))
            while len(acknowledged) < len(wishes) // 4:
                await asyncio.sleep(0.01)
            await service.kill()
            await claiming
        assert len(wishes) // 4 <= len(acknowledged) < len(wishes)

        before = dict(acknowledged)
        async with serve(dsn, keys) as service:
            await _claim_all(service, key, wishes, acknowledged)
        assert len(wishes) == len(acknowledged)
        assert before == {name: acknowledged[name] for name in before}
        rows = await world.rows("SELECT claim_id::text FROM claim")
        assert sorted(acknowledged.values()) == sorted(row.claim_id for row in rows)
        assert [] == await world.findings()


@asynccontextmanager
async def _world(dsn: str, secret_keys: tuple[bytes, ...]) -> AsyncIterator[World]:
    pool = connect(dsn)
    try:
        made = World(pool, envelope=Envelope(secret_keys), clock=real_clock)
        await made.apply(read(RICH))
        yield made
    finally:
        await pool.close()


async def _wishes(world: World) -> tuple[str, Wishes]:
    members = await world.members(MEMBERS)
    rewards = [
        RewardMember(
            caller="crm",
            key=id_.hex,
            member_id=id_,
            benefit="LOUNGE",
            quantity=CLAIMS_EACH,
            business_key="crash",
            valid_days=30,
        )
        for id_ in members
    ]
    async with world.database.transaction() as conn:
        await reward(conn, rewards, world.parts, wait=True)
        key = await make_key(conn, "mobile", ["mobile"], world.parts)
    return key, [(id_, f"{id_.hex}-{n}") for n in range(CLAIMS_EACH) for id_ in members]


async def _claim_all(
    service: Serving, key: str, wishes: Wishes, acknowledged: dict[str, str]
) -> None:
    """Send every wish under its key over many connections; keep what was acknowledged."""
    waiting = iter(wishes)

    async def one(http: aiohttp.ClientSession) -> None:
        for member_id, name in waiting:
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name}
            url = f"{service.url}/v1/members/{member_id}/claims"
            try:
                async with http.post(url, json=BODY, headers=headers) as answer:
                    assert 201 == answer.status, await answer.text()
                    acknowledged[name] = (await answer.json())["id"]
            except aiohttp.ClientError:
                return

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(one(http) for _ in range(16)))
