"""Proposals as they were made and decided: programmes, approvals, blocks (X-2)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.compliance import Nature, Trigger
from benefits.domain.guard import Pair
from benefits.domain.values import EPOCH
from benefits.store.db import Connection, rows, run

# Who approves reads what is in force and changes it: one after the other.
SERIAL = "SELECT pg_advisory_xact_lock(hashtext('proposals'))"
INSERT = """
INSERT INTO proposal (proposal_id, kind, subject, body, effect, digest, note, proposed_by,
                      proposed_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
DECIDE = """
INSERT INTO proposal_decision (proposal_id, verdict, decided_by, decided_at, note, result)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_COLUMNS = """p.proposal_id, p.kind, p.subject, p.body, p.effect, p.digest, p.note, p.proposed_by,
       p.proposed_at, p.expires_at, d.verdict, d.decided_by, d.decided_at,
       d.note AS decision_note, d.result"""
_DECIDED = "LEFT JOIN proposal_decision AS d ON d.proposal_id = p.proposal_id"
# Primary keys.
ONE = f"SELECT {_COLUMNS} FROM proposal AS p {_DECIDED} WHERE p.proposal_id = $1"
# ix_proposal_proposed_at_proposal_id; without a kind or a state all of them.
LISTED = f"""
SELECT {_COLUMNS} FROM proposal AS p {_DECIDED}
WHERE (p.proposed_at, p.proposal_id) > ($1::timestamptz, $2::uuid)
  AND ($3::text IS NULL OR p.kind = $3)
  AND ($4::text IS NULL OR $4 = coalesce(
      d.verdict, CASE WHEN p.expires_at <= $5::timestamptz THEN 'EXPIRED' ELSE 'PROPOSED' END))
ORDER BY p.proposed_at, p.proposal_id LIMIT $6
"""
# ix_proposal_kind_subject
AGREED = """
SELECT p.body ->> 'trigger' AS trigger, p.body ->> 'nature' AS nature
FROM proposal AS p JOIN proposal_decision AS d ON d.proposal_id = p.proposal_id
WHERE p.kind = 'COMPLIANCE' AND p.subject = $1 AND d.verdict = 'APPROVED'
"""


class NewProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as made; `body` and `effect` are JSON."""

    proposal_id: UUID
    kind: str
    subject: str
    body: str
    effect: str
    digest: str
    note: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime


class ProposalSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal and what became of it; `verdict` is None until somebody decided."""

    proposal_id: UUID
    kind: str
    subject: str
    body: dict[str, Any]
    effect: dict[str, Any]
    digest: str
    note: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    verdict: str | None
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str | None
    result: str | None

    def state(self, now: datetime) -> str:
        """Say where it stands: what was decided, else whether there is still time to."""
        return self.verdict or ("EXPIRED" if self.expires_at <= now else "PROPOSED")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided about a proposal, and what an approved one became."""

    proposal_id: UUID
    verdict: str
    decided_by: str
    decided_at: datetime
    note: str
    result: str = ""


Mark = tuple[datetime, UUID]
BEGINNING: Mark = (EPOCH, UUID(int=0))


async def serial(conn: Connection) -> None:
    """Decide one proposal at a time."""
    await run(conn, SERIAL)


async def put(conn: Connection, new: NewProposal) -> None:
    """Keep a proposal."""
    await run(conn, INSERT, *msgspec.structs.astuple(new))


async def decide(conn: Connection, verdict: Verdict) -> None:
    """Keep a decision; there is one for each proposal, by primary key."""
    await run(conn, DECIDE, *msgspec.structs.astuple(verdict))


async def one(conn: Connection, proposal_id: UUID) -> ProposalSeen | None:
    """Return a proposal."""
    found = await rows(conn, ONE, proposal_id)
    return ProposalSeen(**found[0]._asdict()) if found else None


class Sort(msgspec.Struct, frozen=True):
    """Which proposals are listed: of a kind, in a state at an instant; None is any."""

    kind: str | None
    state: str | None
    now: datetime


async def listed(
    conn: Connection, after: Mark | None, sort: Sort, *, limit: int
) -> Sequence[ProposalSeen]:
    """Return proposals in the order they were made."""
    start = after or BEGINNING
    found = await rows(conn, LISTED, *start, sort.kind, sort.state, sort.now, limit)
    return [ProposalSeen(**row._asdict()) for row in found]


async def agreed(conn: Connection, programme: str) -> set[Pair]:
    """Return the combinations that two people agreed on for a programme (X-1)."""
    found = await rows(conn, AGREED, programme)
    return {Pair(Trigger(row.trigger), Nature(row.nature)) for row in found}
