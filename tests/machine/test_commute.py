"""Independent requests commute: the order in which they arrive leaves no trace (I15)."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benefits.domain.orders import Done, Outcome, Reason, Rejected, Used
from tests import builders
from tests.actions import life
from tests.builders import NOON, World
from tests.conftest import database

MEMBERS = 3
OUTCOMES: list[Outcome] = [Done(at=NOON), Used(at=NOON), Rejected(Reason.LIMIT, "limit")]
BOOKS = {
    "lots": "SELECT member_id, unit, granted, remaining, held, expired, redeemed, expires_at "
    "FROM lot ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
    "batches": "SELECT member_id, kind, actor FROM batch ORDER BY 1, 2, 3",
    "postings": "SELECT b.member_id, p.debit, p.credit, p.unit, p.amount, p.party "
    "FROM posting AS p JOIN batch AS b USING (bucket, batch_id) ORDER BY 1, 2, 3, 4, 5, 6",
    "keys": "SELECT caller, operation, key, refusal FROM request ORDER BY 1, 2, 3",
    "events": "SELECT member_id, seq, type FROM outbox ORDER BY 1, 2",
}
steps = st.one_of(
    st.tuples(st.just("reward"), st.sampled_from(["VIDEO", "LOUNGE"]), st.integers(1, 3)),
    st.tuples(st.just("claim"), st.sampled_from(["VIDEO", "LOUNGE"]), st.integers(1, 2)),
    st.tuples(st.just("answer"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("expire"), st.just(0), st.just(0)),
)
lives = st.lists(st.lists(steps, max_size=5), min_size=MEMBERS, max_size=MEMBERS)


async def do(world: World, member: UUID, place: str, step: tuple[str, Any, int]) -> None:
    """Take one step in a member's life, under keys that its place in this life gives."""
    kind, which, amount = step
    more: dict[str, Any] = {"key": f"{member.hex}{place}", "quantity": amount}
    match kind:
        case "reward":
            days = {"business_key": place, "valid_days": 30}
            await life.give(world, life.gift(member, which, **more, **days))
        case "claim":
            await life.decide(world, life.wish(member, which, **more))
        case "answer":
            found = await world.rows(
                "SELECT r.request_id FROM provider_request AS r JOIN batch AS b "
                "ON b.bucket = r.bucket AND b.member_id = r.member_id JOIN outbox AS e "
                "ON e.batch_id = b.batch_id AND e.subject_id = r.claim_id "
                "WHERE r.member_id = $1 AND b.kind = 'claim.placed' ORDER BY e.seq",
                member,
            )
            if found:
                number = found[which % len(found)].request_id.hex
                await life.tell(world, number, OUTCOMES[amount], f"{member.hex}{place}")
                await life.work_off(world)
        case _:
            await life.expire_lots(world)


async def books(world: World) -> dict[str, list[Any]]:
    """Return what the books say, without ids and the instants of recording."""
    plain = await life.tables(world)
    more = {name: [tuple(r) for r in await world.rows(sql)] for name, sql in BOOKS.items()}
    return {**plain, **more}


async def lived(dsn: str, order: list[int], all_: list[list[Any]]) -> dict[str, list[Any]]:
    """Live members' lives, the next step always that of whom the order names."""
    async with builders.world(dsn) as world:
        members = await world.members(MEMBERS)
        at = [0] * MEMBERS
        for who in order:
            await do(world, members[who], str(at[who]), all_[who][at[who]])
            at[who] += 1
        assert [] == await world.findings()
        return await books(world)


def test_members_lives_may_be_interleaved_in_any_order(migrated: str, cluster_dsn: str) -> None:
    """Two orders of requests of different members give the same books (I15)."""

    async def both(all_: list[list[Any]], orders: list[list[int]]) -> list[Any]:
        async with AsyncExitStack() as stack:
            made = [await stack.enter_async_context(database(cluster_dsn, migrated)) for _ in "12"]
            return [await lived(dsn, order, all_) for dsn, order in zip(made, orders, strict=True)]

    @settings(
        max_examples=5,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(lives, st.data())
    def commute(all_: list[list[Any]], data: st.DataObject) -> None:
        turns = [who for who, steps_ in enumerate(all_) for _ in steps_]
        orders = [data.draw(st.permutations(turns)) for _ in "12"]
        one, two = asyncio.run(both(all_, orders))
        assert one == two

    commute()


async def test_one_group_decides_as_many_transactions_do(world: World) -> None:
    """What is decided together is decided as alone, in any order of members (I14, I15)."""
    members, others = await world.members(4), await world.members(4)
    for some in (members, others):
        await life.give(world, *(life.gift(m, "LOUNGE", quantity=2) for m in some))
    wishes = [life.wish(m, "LOUNGE", quantity=q) for q in (1, 2) for m in members]
    heard = [life.said(one) for one in await life.decide(world, *wishes)]
    alone = list[str]()
    for wish in (*reversed(wishes[:4]), *reversed(wishes[4:])):
        same = others[members.index(wish.member_id)]
        (outcome,) = await life.decide(world, msgspec.structs.replace(wish, member_id=same))
        alone.append(life.said(outcome))
    assert ["ok"] * 4 + ["insufficient_units"] * 4 == heard == alone
