"""Verify proposals: each is what its digest says, and blocks are what two people agreed on."""

from collections.abc import AsyncIterator

from benefits.actions.verify_two import differences
from benefits.domain.proposals import OPEN_FOR, Said, digest, read
from benefits.domain.values import EPOCH
from benefits.store import blocks, proposals
from benefits.store.db import Database
from benefits.store.proposals import BEGINNING, ProposalSeen, Sort
from benefits.store.verify import Finding

PAGE = 50  # files of programmes are long


async def verify_proposals(database: Database) -> AsyncIterator[Finding]:
    """Yield blocks that nobody agreed on, and proposals that were changed."""
    async with database.transaction() as conn:
        for subject, detail in await blocks.differing(conn):
            yield Finding("block_differs", subject, detail)
    after, page, every = BEGINNING, PAGE, Sort(None, None, EPOCH)
    while page == PAGE:
        async with database.transaction() as conn:
            found = await proposals.listed(conn, after, every, limit=PAGE)
        for one in found:
            subject, read_ = str(one.proposal_id), _digest(one)
            for finding in differences(subject, one, digest=read_, open_for=OPEN_FOR):
                yield finding
        page = len(found)
        if found:
            after = (found[-1].proposed_at, found[-1].proposal_id)


def _digest(one: ProposalSeen) -> str:
    """Return the digest of what is kept; none of what is no proposal at all."""
    kept = read(one.kind, one.body, one.effect)
    if kept is None:
        return ""
    said = Said(one.proposed_by, one.proposed_at, one.note)
    return digest(one.proposal_id, *kept, said)
