"""Steps in a claim's life, each in its own transaction, as the web and the worker take them."""

import itertools
from typing import Any
from uuid import UUID

import msgspec

from benefits.actions import deliver, expire, receive
from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.deliver import Attempt, Work
from benefits.actions.grant import RewardMember, reward
from benefits.actions.keyed import Accepted, Decided
from benefits.domain.orders import Capabilities, Notice, Outcome
from benefits.domain.refusal import Refusal
from benefits.store.db import Connection, run
from tests.builders import World, reference_programme
from tests.roles import administrator

EVERYWHERE = (0, 1023)
PHONE = {"phone": "13800000001"}
_numbers = itertools.count(1)


def fresh(prefix: str) -> str:
    """Return a key nobody used before."""
    return f"{prefix}{next(_numbers)}"


def wish(member: UUID, benefit: str = "VIDEO", **more: Any) -> ClaimUnits:
    """Return a command for one unit of a benefit, under a fresh key unless one is named."""
    defaults = {"caller": "mobile", "key": fresh("k"), "recipient": PHONE}
    return ClaimUnits(member_id=member, benefit=benefit, **{**defaults, **more})


def gift(member: UUID, benefit: str = "VIDEO", **more: Any) -> RewardMember:
    """Return a command for a reward that lasts a month, under fresh keys unless they are named."""
    defaults: dict[str, Any] = {
        "caller": "crm",
        "key": fresh("g"),
        "quantity": 1,
        "business_key": fresh("b"),
        "valid_days": 30,
    }
    return RewardMember(member_id=member, benefit=benefit, **{**defaults, **more})


def said(outcome: Decided | Refusal) -> str:
    """Return `ok`, or the code of a refusal."""
    return "ok" if isinstance(outcome, Accepted) else outcome.code


async def decide(world: World, *commands: ClaimUnits) -> list[Decided | Refusal]:
    """Claim, all in one transaction."""

    async def work(conn: Connection) -> list[Decided | Refusal]:
        return await claim(conn, commands, world.parts, wait=True)

    return await world.database.transact(work)


async def claimed(world: World, *commands: ClaimUnits) -> list[UUID]:
    """Claim and return the ids of claims that must be accepted."""
    outcomes = await decide(world, *commands)
    assert ["ok"] * len(commands) == [said(outcome) for outcome in outcomes]
    return [UUID(o.ids["claim_id"]) for o in outcomes if isinstance(o, Accepted)]


async def give(world: World, *commands: RewardMember) -> list[Decided | Refusal]:
    """Reward, all in one transaction."""

    async def work(conn: Connection) -> list[Decided | Refusal]:
        return await reward(conn, commands, world.parts, wait=True)

    return await world.database.transact(work)


async def holder(world: World, benefit: str = "VIDEO", quantity: int = 1, **more: Any) -> UUID:
    """Enrol a member who has units of a benefit."""
    member = await world.member()
    outcomes = await give(world, gift(member, benefit, quantity=quantity, **more))
    assert ["ok"] == [said(outcome) for outcome in outcomes]
    return member


async def lease(world: World, limit: int = 100) -> list[Work]:
    """Take due requests for one attempt each."""
    async with world.database.transaction() as conn:
        return await deliver.lease(conn, world.parts, buckets=EVERYWHERE, limit=limit)


async def record(world: World, work: Work, outcome: Outcome) -> None:
    """Record what came of an attempt."""
    async with world.database.transaction() as conn:
        await deliver.record(conn, [Attempt(work, outcome)], world.parts)


async def tell(world: World, number: str, outcome: Outcome, event_id: str = "") -> int:
    """Receive a callback; return how many were new."""
    notice = Notice(event_id=event_id or fresh("e"), number=number, outcome=outcome)
    async with world.database.transaction() as conn:
        callback = receive.Callback(provider="sandbox", notice=notice, raw=b"{}")
        return sum(await receive.receive(conn, [callback], world.parts))


async def work_off(world: World) -> int:
    """Apply waiting callbacks; return how many."""
    async with world.database.transaction() as conn:
        return await receive.work_off(conn, world.parts, buckets=EVERYWHERE, limit=1000)


async def call_back(world: World, number: str, *outcomes: Outcome) -> None:
    """Receive callbacks, a second apart, and apply each before the next comes."""
    for outcome in outcomes:
        world.clock.forward(seconds=1)
        await tell(world, number, outcome)
        await work_off(world)


async def expire_lots(world: World) -> int:
    """Record lots that have ended."""
    async with world.database.transaction() as conn:
        done = await expire.expire_lots(conn, world.parts, buckets=EVERYWHERE, limit=1000)
        return done.seen


async def lapse_holds(world: World) -> int:
    """Release holds that nobody sent in time."""
    async with world.database.transaction() as conn:
        done = await expire.lapse_holds(conn, world.parts, buckets=EVERYWHERE, limit=1000)
        return done.seen


async def give_up_unheard(world: World) -> tuple[int, int]:
    """Leave to people what nothing was heard of; return how many orders, and what about others."""
    async with world.database.transaction() as conn:
        asked: dict[str, Any] = {"buckets": EVERYWHERE, "limit": 1000}
        orders = await expire.give_up_orders(conn, world.parts, **asked)
        return orders.seen, (await expire.give_up_requests(conn, world.parts, **asked)).seen


async def number_of(world: World, claim_id: UUID) -> str:
    """Return the number under which the provider knows a claim."""
    found = await world.rows(
        "SELECT request_id FROM provider_request WHERE claim_id = $1 AND operation = 'ISSUE'",
        claim_id,
    )
    return str(found[0].request_id.hex)


async def change(world: World, *statements: str, **names: object) -> None:
    """Run statements that return nothing, in one transaction, as an administrator."""
    async with administrator(world.database) as conn:
        for statement in statements:
            await run(conn, statement.format(**names))


async def states(world: World) -> list[str]:
    """Return the states of all claims, oldest first."""
    return [row.state for row in await world.rows("SELECT state FROM claim ORDER BY claimed_at")]


async def wallet(world: World, member: UUID, benefit: str = "VIDEO") -> tuple[int, int]:
    """Return (available, held) of a member's wallet."""
    found = await world.rows(
        "SELECT available, held FROM wallet WHERE member_id = $1 AND unit = $2",
        member,
        f"BENEFIT:{benefit}",
    )
    return (found[0].available, found[0].held) if found else (0, 0)


async def counter(world: World, name: str) -> tuple[int, int]:
    """Return (reserved, spent) of a shared counter."""
    found = await world.rows("SELECT reserved, spent FROM counter WHERE counter = $1", name)
    return (found[0].reserved, found[0].spent)


async def tables(world: World) -> dict[str, list[Any]]:
    """Return what the ledger's tables say, without the ids that chance made."""
    queries = {
        "wallet": "SELECT member_id, unit, available, held FROM wallet ORDER BY 1, 2",
        "lot": "SELECT member_id, unit, granted, remaining, held, expired FROM lot ORDER BY 1, 2",
        "claim": "SELECT member_id, benefit, quantity, state, cap_window FROM claim ORDER BY 1, 2",
        "counter": "SELECT counter, reserved, spent FROM counter ORDER BY 1",
        "used": 'SELECT member_id, counter, "window", used FROM member_counter ORDER BY 1, 2, 3',
        "request": "SELECT caller, key, refusal, detail FROM request ORDER BY 1, 2",
        "batch": "SELECT member_id, kind, actor FROM batch ORDER BY 1, 2",
        "event": "SELECT member_id, seq, type FROM outbox ORDER BY 1, 2",
        "order": "SELECT member_id, sku, operation, attempt FROM provider_request ORDER BY 1, 2",
    }
    return {name: [tuple(r) for r in await world.rows(sql)] for name, sql in queries.items()}


async def provider_can(world: World, **capabilities: Any) -> None:
    """Let the reference programme's provider do something else."""
    programme = reference_programme()
    provider = msgspec.structs.replace(
        programme.provider[0], capabilities=Capabilities(**capabilities)
    )
    await world.apply(msgspec.structs.replace(programme, provider=(provider,)))
