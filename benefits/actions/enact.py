"""Enact a programme, an approval, a block, an order's end or a decision on fraud (X-2)."""

from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from benefits.actions.agree import WAIT, Agreed, Desk
from benefits.actions.answer_order import answer_order
from benefits.actions.apply_programme import apply_programme
from benefits.actions.decide_again import decide_again
from benefits.actions.parts import Parts
from benefits.actions.weigh_proposal import Ranks, count, weigh
from benefits.domain import proposals as rules
from benefits.domain.blocks import Block
from benefits.domain.programme_file import read
from benefits.domain.proposals import (
    BlockEffect,
    BlockWanted,
    ComplianceWanted,
    Effect,
    FraudEffect,
    FraudWanted,
    OrderEffect,
    OrderWanted,
    ProgrammeEffect,
    ProgrammeWanted,
    UnblockEffect,
    UnblockWanted,
    Wanted,
)
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month
from benefits.store import agreements, blocks, members, proposals
from benefits.store.db import Connection, run
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.proposals import ProposalSeen


class UnknownProposal(Refusal):
    """No proposal has this id."""

    code = "unknown_proposal"
    words = "No proposal has this id."


class ProposalClosed(Refusal):
    """The proposal was decided before, or its time is over."""

    code = "proposal_closed"
    words = "This proposal was decided before, or its time is over."


class ProposalStale(Refusal):
    """What the proposal would do now is not what was proposed and read."""

    code = "proposal_stale"
    words = "This proposal would now do something else. Reject it and propose it anew."


class Proposals(Desk[Wanted, Effect, ProposalSeen]):
    """The desk of programmes, approvals, blocks, orders and fraud that people decide."""

    noun, proposing, book = "proposal", "propose", proposals.BOOK
    unknown, closed, stale = UnknownProposal, ProposalClosed, ProposalStale

    def __init__(self, conn: Connection, parts: Parts) -> None:
        """Sit down; whom it reaches does not bind, and is not counted again."""
        super().__init__(conn, parts)
        self._counted: Ranks = {}
        self._subject = ""
        self._read: Effect | None = None
        self._locked: tuple[dict[UUID, Member], dict[UUID, UUID]] = ({}, {})

    async def lock(self, about: Wanted | UUID) -> None:
        """Come one at a time, with whom a new one reaches counted before."""
        if not isinstance(about, UUID):
            self._counted = await count(self.conn, about, self.parts)
        await run(self.conn, WAIT)
        await agreements.serial(self.conn, "proposals")

    async def weigh(self, wanted: Wanted) -> Effect:
        """Return what it would do now (whatever `weigh` refuses)."""
        self._subject, effect = await weigh(self.conn, wanted, self.parts, self._counted)
        return effect

    async def read(self, seen: ProposalSeen) -> Wanted:
        """Return what was asked, with the member locked whom it is about (ProposalStale)."""
        kept = rules.read(seen.kind, seen.body, seen.effect)
        if kept is None:
            raise ProposalStale("This proposal cannot be read. Reject it and propose it anew.")
        wanted, self._read = kept
        if isinstance(self._read, BlockEffect | UnblockEffect | OrderEffect | FraudEffect):
            # Its claims, and answers to them, wait or are done.
            ids = [self._read.member_id]
            self._locked = await members.lock_current(self.conn, ids, wait=True)
        return wanted

    def is_still(
        self,
        seen: ProposalSeen,  # noqa: ARG002 - its effect was read
        wanted: Wanted,  # noqa: ARG002 - as it was asked
        effect: Effect,
    ) -> bool:
        """Say whether what binds of its effect is as it was read."""
        return self._read is not None and rules.binding(effect) == rules.binding(self._read)

    def hashed(self, wanted: Wanted) -> list[object]:
        """Return what tells two requests under one key apart."""
        return [rules.kind_of(wanted), wanted]

    def bound(self, wanted: Wanted) -> list[object]:
        """Return what of a request its digest binds."""
        return rules.asked(wanted)

    def row(self, wanted: Wanted, effect: Effect) -> tuple[tuple[object, ...], object, object]:
        """Return what is kept: kind and subject, what is asked, what it would do."""
        return (rules.kind_of(wanted).value, self._subject), wanted, effect

    async def do(self, agreed: Agreed[Wanted, Effect, ProposalSeen]) -> str:
        """Carry out what two people agreed on; return what it became."""
        conn, wanted, effect, now = self.conn, agreed.wanted, agreed.effect, agreed.now
        match wanted:
            case ProgrammeWanted():
                assert isinstance(effect, ProgrammeEffect), "an effect is of its kind"
                made, first_month = read(wanted.document), Month.parse(effect.first_month)
                applied = await apply_programme(
                    conn,
                    made,
                    self.parts,
                    tiers_from=first_month,
                    effective_from=wanted.begins,
                )
                return str(applied.version)
            case ComplianceWanted():
                return ""  # it stands for itself: see `proposals.agreed`
            case BlockWanted():
                assert isinstance(effect, BlockEffect), "a block stops a member"
                block = Block(
                    block_id=agreed.seen.proposal_id,
                    scope=wanted.scope,
                    target=wanted.target,
                    why=wanted.why,
                    from_at=max(wanted.from_at or now, now),
                    until=wanted.to_at,
                )
                await blocks.put(conn, effect.member_id, block)
                await self._tell("member.blocked", effect.member_id, block, now)
                return ""
            case UnblockWanted():
                held = await blocks.one(conn, wanted.block_id)
                assert held is not None, "it was weighed"
                await blocks.end(conn, held, agreed.seen.proposal_id, now)
                await self._tell("member.unblocked", held.member_id, held.block, now)
                return ""
            case OrderWanted():
                assert isinstance(effect, OrderEffect), "an effect is of its kind"
                note = f"Proposed by {agreed.seen.proposed_by}: {wanted.evidence}"
                await answer_order(conn, wanted, self.parts, by=agreed.by, note=note)
                return effect.state.value
            case FraudWanted():
                return await decide_again(conn, wanted, self.parts)
            case _ as never:
                assert_never(never)

    async def _tell(self, kind: str, of: UUID, block: Block, now: datetime) -> None:
        """Tell of a block, in the history of whom it stops: whoever the member counts for now."""
        locked, into = self._locked
        member_id = into.get(of, of)
        told: dict[str, Any] = {"scope": block.scope.value, "target": block.target}
        if kind == "member.blocked":
            told |= {"from_at": block.from_at, "until": block.until}
        journal = Journal(locked, now, self.parts.new_id)
        journal.event(member_id, kind, subject_id=block.block_id, data=told)
        await journal.write(self.conn)
