"""Corrections as two people make them, each step in its own transaction, as the web takes it."""

from typing import Any
from uuid import UUID

import msgspec

from benefits.actions.agree import Decide, Propose
from benefits.actions.correct import Asked, Corrections
from benefits.actions.keyed import Accepted, Decided
from benefits.domain.corrections import Kind, Wanted, Why
from benefits.domain.orders import Done, OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.units import Quantity
from benefits.store import agreements
from benefits.store.corrections import BOOK, CorrectionSeen
from benefits.store.db import Connection
from tests.actions.life import call_back, claimed, fresh, number_of, said, wish
from tests.builders import NOON, World, reference_programme

MAKER, CHECKER = "maker", "checker"


async def offered(world: World, **terms: Any) -> None:
    """Put a programme into force whose benefits have other terms."""
    programme = reference_programme()
    benefits = tuple(msgspec.structs.replace(b, **terms) for b in programme.benefit)
    await world.apply(msgspec.structs.replace(programme, benefit=benefits))


async def seen(world: World, correction_id: UUID) -> CorrectionSeen:
    """Return a correction as it stands."""
    async with world.database.transaction() as conn:
        found = await agreements.one(conn, BOOK, correction_id)
    assert found is not None
    return found


def proposal(kind: Kind, member: UUID, quantity: Quantity, **more: Any) -> Propose[Asked]:
    """Return a maker's proposal under a fresh key, unless another is named."""
    why = more.pop("why", Why.GOODWILL)
    caller, key = more.pop("caller", MAKER), more.pop("key", "") or fresh("p")
    wanted = Wanted(kind=kind, member_id=member, quantity=quantity, **more)
    return Propose(caller=caller, key=key, wanted=Asked(wanted, why), note="by hand")


async def ask(world: World, kind: Kind, member: UUID, quantity: Quantity, **more: Any) -> Any:
    """Propose; return the correction, or the code of the refusal."""
    command = proposal(kind, member, quantity, **more)

    async def work(conn: Connection) -> Decided | Refusal:
        return await Corrections(conn, world.parts).propose(command)

    outcome = await world.database.transact(work)
    if not isinstance(outcome, Accepted):
        return said(outcome)
    return await seen(world, UUID(outcome.ids["correction_id"]))


async def word(world: World, command: Decide) -> str:
    """Say one's word on a proposal; return `ok` or the code of the refusal."""

    async def work(conn: Connection) -> Decided | Refusal:
        return await Corrections(conn, world.parts).decide(command)

    return said(await world.database.transact(work))


async def approve(
    world: World, correction: CorrectionSeen, caller: str = CHECKER, key: str = ""
) -> str:
    """Approve a proposal by the digest that was read; return `ok` or a code."""
    id_, digest = correction.proposal_id, correction.digest
    command = Decide(caller=caller, key=key or fresh("a"), proposal_id=id_, digest=digest)
    return await word(world, command)


async def reject(
    world: World, correction: CorrectionSeen, caller: str = CHECKER, key: str = ""
) -> str:
    """Reject a proposal; return `ok` or a code."""
    id_ = correction.proposal_id
    command = Decide(caller=caller, key=key or fresh("r"), proposal_id=id_, note="not so")
    return await word(world, command)


async def correct(world: World, kind: Kind, member: UUID, quantity: Quantity, **more: Any) -> str:
    """Propose and approve; return `ok` or the code of the first refusal."""
    asked = await ask(world, kind, member, quantity, **more)
    return asked if isinstance(asked, str) else await approve(world, asked)


async def spent(world: World, member: UUID, code: str = "VIDEO", quantity: int = 1) -> UUID:
    """Claim units and let the provider deliver them; return the claim."""
    (claim_id,) = await claimed(world, wish(member, code, quantity=quantity))
    await call_back(world, await number_of(world, claim_id), Done(at=NOON))
    return claim_id


async def lost(world: World, member: UUID, code: str = "VIDEO", quantity: int = 1) -> UUID:
    """Claim units of which nobody ever hears again; return the claim, a person's to clear up."""
    (claim_id,) = await claimed(world, wish(member, code, quantity=quantity))
    await world.rows(
        "UPDATE claim SET state = $1, deadline = NULL WHERE claim_id = $2 RETURNING claim_id",
        OrderState.MANUAL.value,
        claim_id,
    )
    return claim_id


async def lot_of(world: World, member: UUID) -> UUID:
    """Return a member's only lot."""
    ((lot_id,),) = await world.rows("SELECT lot_id FROM lot WHERE member_id = $1", member)
    return UUID(str(lot_id))


async def figures(world: World, member: UUID) -> list[tuple[int, ...]]:
    """Return granted, remaining, held, redeemed and expired of a member's lots, oldest first."""
    found = await world.rows(
        "SELECT granted, remaining, held, redeemed, expired FROM lot WHERE member_id = $1 "
        "ORDER BY granted_at, lot_id",
        member,
    )
    return [tuple(row) for row in found]


async def used(world: World, member: UUID) -> list[tuple[str, int]]:
    """Return what of a member's caps is used, by window."""
    found = await world.rows(
        'SELECT "window", used FROM member_counter WHERE member_id = $1 ORDER BY 1', member
    )
    return [tuple(row) for row in found]


async def money(world: World, account: str) -> int:
    """Return the balance of a money account: credits minus debits."""
    ((sum_,),) = await world.rows(
        "SELECT coalesce(sum(CASE WHEN credit = $1 THEN amount ELSE -amount END), 0)::bigint "
        "FROM posting WHERE unit LIKE 'MONEY:%' AND $1 IN (debit, credit)",
        account,
    )
    return int(sum_)
