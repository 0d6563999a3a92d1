"""Two people at work on proposals: one asks, the other reads and answers."""

from itertools import count
from typing import Any
from uuid import UUID

from benefits.actions.agree import Decide, Propose
from benefits.actions.enact import Proposals
from benefits.actions.keyed import Accepted
from benefits.domain.blocks import Scope, Why
from benefits.domain.compliance import Nature, Trigger
from benefits.domain.proposals import (
    BlockWanted,
    ComplianceWanted,
    ProgrammeWanted,
    UnblockWanted,
    Wanted,
)
from benefits.store import agreements, proposals
from benefits.store.proposals import ProposalSeen
from tests.builders import World

_numbers = count(1)


def version(document: str, **more: Any) -> ProgrammeWanted:
    """Return what asks for a programme's next version."""
    return ProgrammeWanted(document=document, **more)


def combination(trigger: Trigger, nature: Nature) -> ComplianceWanted:
    """Return what asks to allow a combination in the reference programme."""
    return ComplianceWanted(
        programme="wealth",
        trigger=trigger,
        nature=nature,
        citation="Opinion of the compliance department.",
        text="Small amounts, once a year.",
    )


def block(
    member: UUID, scope: Scope = Scope.ALL, why: Why = Why.FRAUD, **more: Any
) -> BlockWanted:
    """Return what asks to block a member."""
    return BlockWanted(member_id=member, scope=scope, why=why, **more)


async def ask(world: World, what: Wanted, *, by: str = "maker", key: str = "") -> UUID | str:
    """Propose; return the id, or the code of the refusal."""
    command = Propose(caller=by, key=key or f"k{next(_numbers)}", wanted=what, note="As agreed.")
    async with world.database.transaction() as conn:
        outcome = await Proposals(conn, world.parts).propose(command)
    if isinstance(outcome, Accepted):
        return UUID(outcome.ids["proposal_id"])
    return outcome.code


async def answer(
    world: World,
    proposal_id: UUID | str,
    *,
    by: str = "checker",
    digest: str | None = "",
    key: str = "",
) -> str:
    """Approve as it was read unless another digest is named; return `ok` or the code."""
    assert isinstance(proposal_id, UUID), proposal_id
    read = (await seen(world, proposal_id)).digest if digest == "" else digest
    command = Decide(
        caller=by,
        key=key or f"k{next(_numbers)}",
        proposal_id=proposal_id,
        digest=read,
        note="So.",
    )
    async with world.database.transaction() as conn:
        outcome = await Proposals(conn, world.parts).decide(command)
    return "ok" if isinstance(outcome, Accepted) else outcome.code


async def seen(world: World, proposal_id: UUID | str) -> ProposalSeen:
    """Return a proposal as it is kept."""
    assert isinstance(proposal_id, UUID), proposal_id
    async with world.database.transaction() as conn:
        found = await agreements.one(conn, proposals.BOOK, proposal_id)
    assert found is not None
    return found


async def agreed(world: World, what: Wanted) -> UUID:
    """Let two people agree; return the proposal's id."""
    proposal_id = await ask(world, what)
    assert "ok" == await answer(world, proposal_id)
    assert isinstance(proposal_id, UUID)
    return proposal_id


async def unblocked(world: World, block_id: UUID) -> UUID:
    """Let two people end a block."""
    return await agreed(world, UnblockWanted(block_id=block_id))
