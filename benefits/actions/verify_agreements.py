"""Verify what two people agreed on: it is what was proposed, and nobody decided their own."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import msgspec

from benefits.domain import corrections, fills, proposals
from benefits.domain.agreements import OPEN_FOR, Said, digest, same_person
from benefits.domain.values import EPOCH
from benefits.store import agreements, blocks
from benefits.store import corrections as kept_corrections
from benefits.store import fills as kept_fills
from benefits.store import proposals as kept_proposals
from benefits.store.agreements import BEGINNING, Book, Seen, Sort
from benefits.store.corrections import CorrectionSeen
from benefits.store.db import Database
from benefits.store.fills import FillSeen
from benefits.store.proposals import ProposalSeen
from benefits.store.verify import Finding

PAGE = 50  # files of programmes are long
Kept = TypeVar("Kept", bound=Seen)


async def verify_agreements(database: Database) -> AsyncIterator[Finding]:
    """Yield filled days and blocks that nobody agreed on, and proposals that were changed."""
    async with database.transaction() as conn:
        for subject, detail in await kept_fills.differing(conn):
            yield Finding("fill_differs", subject, detail)
        for subject, detail in await blocks.differing(conn):
            yield Finding("block_differs", subject, detail)
    async for finding in _changed(database, kept_corrections.BOOK, _of_correction):
        yield finding
    async for finding in _changed(database, kept_fills.BOOK, _of_fill):
        yield finding
    async for finding in _changed(database, kept_proposals.BOOK, _of_proposal):
        yield finding


async def _changed(
    database: Database, book: Book[Kept], digest_of: Callable[[Kept], str]
) -> AsyncIterator[Finding]:
    """Yield the proposals of a kind that are not what was proposed, page by page."""
    after, page = BEGINNING, PAGE
    while page == PAGE:
        async with database.transaction() as conn:
            found = await agreements.listed(conn, book, after, Sort(EPOCH), limit=PAGE)
        for one in found:
            try:
                read = digest_of(one)
            except (msgspec.ValidationError, KeyError, ValueError, AssertionError):
                read = ""  # it is no proposal at all
            for finding in _differences(one, read):
                yield finding
        page = len(found)
        if found:
            after = (found[-1].proposed_at, found[-1].proposal_id)


def _differences(one: Seen, read: str) -> Iterator[Finding]:
    """Yield where a proposal is not what `read` is of, or was decided by the wrong person."""
    subject = str(one.proposal_id)
    if read != one.digest or one.expires_at != one.proposed_at + OPEN_FOR:
        yield Finding("digest_differs", subject, "not what was proposed")
    by_self = one.decided_by is not None and same_person(one.proposed_by, one.decided_by)
    if one.verdict is not None and by_self != (one.verdict == "WITHDRAWN"):
        detail = f"{one.verdict}: proposed by {one.proposed_by}, decided by {one.decided_by}"
        yield Finding("decided_by_proposer", subject, detail)


def _of_correction(one: CorrectionSeen) -> str:
    """Return the digest of what is kept of a correction."""
    wanted = msgspec.convert(one.body, corrections.Wanted)
    effect = msgspec.convert(one.effect["would"], corrections.Effect)
    if (wanted.kind.value, wanted.member_id) != (one.kind, one.member_id):
        return ""
    said = msgspec.structs.replace(_said(one), why=corrections.Why(one.reason))
    return digest(one.proposal_id, [wanted], said, effect)


def _of_fill(one: FillSeen) -> str:
    """Return the digest of what is kept of a fill."""
    wanted = msgspec.convert(one.body, fills.Wanted)
    effect = msgspec.convert(one.effect, fills.Effect)
    return digest(one.proposal_id, [wanted], _said(one), effect)


def _of_proposal(one: ProposalSeen) -> str:
    """Return the digest of what is kept of any other proposal."""
    kept = proposals.read(one.kind, one.body, one.effect)
    if kept is None:
        return ""
    wanted, effect = kept
    return digest(one.proposal_id, proposals.asked(wanted), _said(one), effect)


def _said(one: Seen) -> Said:
    return Said(by=one.proposed_by, at=one.proposed_at, note=one.note)
