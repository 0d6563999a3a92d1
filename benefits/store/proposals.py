"""Proposals as they were made and decided: programmes, approvals, blocks, orders, fraud (X-2)."""

from benefits.domain.compliance import Nature, Trigger
from benefits.domain.guard import Pair
from benefits.store import agreements
from benefits.store.db import Connection, rows

# ix_proposal_kind_subject
AGREED = """
SELECT p.body ->> 'trigger' AS trigger, p.body ->> 'nature' AS nature
FROM proposal AS p JOIN proposal_decision AS d ON d.proposal_id = p.proposal_id
WHERE p.kind = 'COMPLIANCE' AND p.subject = $1 AND d.verdict = 'APPROVED'
"""


class ProposalSeen(agreements.Seen, frozen=True, kw_only=True):
    """A proposal and what became of it: a version's number, an order's state, a tier, or none."""

    kind: str
    subject: str
    result: str | None


# A programme's document is as long as it likes.
BRIEF = """
CASE p.kind WHEN 'PROGRAMME' THEN jsonb_set(p.body, '{document}', '"-"') ELSE p.body END
"""
BOOK = agreements.book(
    ProposalSeen,
    ("proposal", "proposal_id", "result"),
    ("kind", "subject"),
    brief=BRIEF.strip(),
)


async def agreed(conn: Connection, programme: str) -> set[Pair]:
    """Return the combinations that two people agreed on for a programme (X-1)."""
    found = await rows(conn, AGREED, programme)
    return {Pair(Trigger(row.trigger), Nature(row.nature)) for row in found}
