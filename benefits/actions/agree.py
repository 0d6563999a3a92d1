"""Two people agree: one proposes a programme, an approval or a block, another approves (X-2).

A proposal is weighed and kept with the digest of all it would do. Approving weighs it anew, one
proposal at a time: if anything that binds would now be otherwise, it must be proposed again. What
was approved is carried out in the same transaction, or nothing is.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, assert_never
from uuid import UUID

import msgspec

from benefits.actions.apply_programme import apply_programme
from benefits.actions.correct import SamePerson
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.parts import Parts
from benefits.actions.weigh_proposal import Ranks, count, weigh
from benefits.domain import proposals as rules
from benefits.domain.blocks import Block
from benefits.domain.corrections import same_person
from benefits.domain.programme_file import read
from benefits.domain.proposals import (
    BlockEffect,
    BlockWanted,
    ComplianceWanted,
    Effect,
    ProgrammeEffect,
    ProgrammeWanted,
    Said,
    UnblockEffect,
    UnblockWanted,
    Wanted,
)
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import Month, placed_bucket
from benefits.store import blocks, members, proposals
from benefits.store.db import Connection, run
from benefits.store.proposals import NewProposal, ProposalSeen, Verdict
from benefits.store.requests import RequestKey

WAIT = "SET LOCAL lock_timeout = '2s'"
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


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


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """A person's proposal, under their key if they sent one."""

    caller: str
    key: str = ""
    wanted: Wanted
    note: str

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept."""
        return _placed(self.caller, "propose", self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        return body_hash([rules.kind_of(self.wanted), self.wanted, self.note])


class Decide(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a proposal: with its `digest` they approve it, without they reject it."""

    caller: str
    key: str = ""
    proposal_id: UUID
    note: str = ""
    digest: Digest | None = None

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept."""
        operation = "reject_proposal" if self.digest is None else "approve_proposal"
        return _placed(self.caller, operation, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is said, and on what."""
        return body_hash([self.proposal_id.hex, self.note, self.digest])


Command = Propose | Decide
Work = Callable[[], Awaitable[UUID]]


def _placed(caller: str, operation: str, key: str) -> RequestKey:
    return RequestKey(placed_bucket(caller, operation, key), caller, operation, key)


async def propose(conn: Connection, command: Propose, parts: Parts) -> Decided | Refusal:
    """Keep a proposal under its key, in this transaction; nothing of it is done."""
    counted = await count(conn, command.wanted, parts)
    return await _once(conn, command, parts, partial(_put, conn, command, parts, counted))


async def decide(conn: Connection, command: Decide, parts: Parts) -> Decided | Refusal:
    """Approve or reject a proposal under its key, in this transaction."""
    return await _once(conn, command, parts, partial(decide_proposal, conn, command, parts))


async def put_proposal(conn: Connection, command: Propose, parts: Parts) -> UUID:
    """Keep a proposal with all it would do; return its id (whatever `weigh` refuses)."""
    return await _put(conn, command, parts, await count(conn, command.wanted, parts))


async def _put(conn: Connection, command: Propose, parts: Parts, counted: Ranks) -> UUID:
    subject, effect = await weigh(conn, command.wanted, parts, counted)
    now = parts.clock()
    id_ = parts.new_id(now, command.request_key.bucket)
    said = Said(command.caller, now, command.note)
    new = NewProposal(
        proposal_id=id_,
        kind=rules.kind_of(command.wanted).value,
        subject=subject,
        body=msgspec.json.encode(command.wanted).decode(),
        effect=msgspec.json.encode(effect).decode(),
        digest=rules.digest(id_, command.wanted, effect, said),
        note=command.note,
        proposed_by=command.caller,
        proposed_at=now,
        expires_at=now + rules.OPEN_FOR,
    )
    await proposals.put(conn, new)
    return id_


async def decide_proposal(conn: Connection, command: Decide, parts: Parts) -> UUID:
    """Approve or reject a proposal; what was approved is done with it. Return its id.

    UnknownProposal, ProposalClosed, SamePerson, ProposalStale, and what refuses a programme.
    """
    await run(conn, WAIT)
    await proposals.serial(conn)
    seen = await proposals.one(conn, command.proposal_id)
    if seen is None:
        raise UnknownProposal
    if seen.state(parts.clock()) != "PROPOSED":
        raise ProposalClosed
    if command.digest is None:
        await _reject(conn, command, seen, parts)
    else:
        await _approve(conn, command, seen, parts)
    return command.proposal_id


async def _once(conn: Connection, command: Command, parts: Parts, work: Work) -> Decided | Refusal:
    """Do something under a key, one at a time; a refusal is kept as well (C-9)."""
    await run(conn, WAIT)
    await proposals.serial(conn)
    keyed = Keyed()
    await keyed.load(conn, [command.request_key])
    outcome = keyed.earlier(command.request_key, command.body)
    if outcome is None:
        decided: Accepted | Refusal
        try:
            decided = Accepted({"proposal_id": str(await work())})
        except Refusal as refusal:
            decided = refusal
        outcome = keyed.decide(command.request_key, command.body, decided)
    await keyed.write(conn, parts.clock())
    return outcome


async def _reject(conn: Connection, command: Decide, seen: ProposalSeen, parts: Parts) -> None:
    is_own = same_person(seen.proposed_by, command.caller)
    verdict = Verdict(
        proposal_id=seen.proposal_id,
        verdict="WITHDRAWN" if is_own else "REJECTED",
        decided_by=command.caller,
        decided_at=parts.clock(),
        note=command.note,
    )
    await proposals.decide(conn, verdict)


async def _approve(conn: Connection, command: Decide, seen: ProposalSeen, parts: Parts) -> None:
    """Do what was proposed, if it is still what was read (SamePerson, ProposalStale)."""
    if same_person(seen.proposed_by, command.caller):
        raise SamePerson
    if command.digest != seen.digest:
        raise ProposalStale
    kept = rules.read(seen.kind, seen.body, seen.effect)
    if kept is None:
        raise ProposalStale("This proposal cannot be read. Reject it and propose it anew.")
    wanted, read_effect = kept
    if isinstance(read_effect, BlockEffect | UnblockEffect):  # its claims wait, or are done
        await members.lock_current(conn, [read_effect.member_id], wait=True)
    try:
        _, effect = await weigh(conn, wanted, parts, {})  # whom it reaches does not bind
    except Refusal as refusal:
        raise ProposalStale(f"{ProposalStale.words} ({refusal.code})") from refusal
    if rules.binding(effect) != rules.binding(read_effect):
        raise ProposalStale
    now = parts.clock()
    verdict = Verdict(
        proposal_id=seen.proposal_id,
        verdict="APPROVED",
        decided_by=command.caller,
        decided_at=now,
        note=command.note,
        result=await _do(conn, seen.proposal_id, (wanted, effect), parts, now=now),
    )
    await proposals.decide(conn, verdict)


async def _do(
    conn: Connection,
    proposal_id: UUID,
    what: tuple[Wanted, Effect],
    parts: Parts,
    *,
    now: datetime,
) -> str:
    """Carry out what two people agreed on; return what it became."""
    wanted, effect = what
    match wanted:
        case ProgrammeWanted():
            assert isinstance(effect, ProgrammeEffect), "an effect is of its kind"
            made, first_month = read(wanted.document), Month.parse(effect.first_month)
            applied = await apply_programme(
                *(conn, made, parts), tiers_from=first_month, effective_from=wanted.begins
            )
            return str(applied.version)
        case ComplianceWanted():
            return ""  # it stands for itself: see `proposals.agreed`
        case BlockWanted():
            assert isinstance(effect, BlockEffect), "a block stops a member"
            block = Block(
                block_id=proposal_id,
                scope=wanted.scope,
                target=wanted.target,
                why=wanted.why,
                from_at=max(wanted.from_at or now, now),
                until=wanted.to_at,
            )
            await blocks.put(conn, effect.member_id, block)
            return ""
        case UnblockWanted():
            held = await blocks.one(conn, wanted.block_id)
            assert held is not None, "it was weighed"
            await blocks.end(conn, held, proposal_id, now)
            return ""
        case _ as never:
            assert_never(never)
