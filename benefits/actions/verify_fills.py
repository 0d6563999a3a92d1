"""Verify fills: each is what its digest says, two people agreed on it, and no other day is one."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from benefits.domain.corrections import same_person
from benefits.domain.fills import OPEN_FOR, Effect, Said, Wanted, digest
from benefits.domain.values import EPOCH
from benefits.store import fills
from benefits.store.db import Database
from benefits.store.fills import BEGINNING, FillSeen
from benefits.store.verify import Finding

PAGE = 500


async def verify_fills(database: Database) -> AsyncIterator[Finding]:
    """Yield filled days that are not what was agreed on, and proposals that were changed."""
    async with database.transaction() as conn:
        for subject, detail in await fills.differing(conn):
            yield Finding("fill_differs", subject, detail)
    after, page = BEGINNING, PAGE
    while page == PAGE:
        async with database.transaction() as conn:
            found = await fills.listed(conn, after, EPOCH, state=None, limit=PAGE)
        for finding in _differing(found):
            yield finding
        page = len(found)
        if found:
            after = (found[-1].proposed_at, found[-1].fill_id)


def _differing(found: Sequence[FillSeen]) -> list[Finding]:
    wrong = list[Finding]()
    for one in found:
        subject = str(one.fill_id)
        if _digest(one) != one.digest or one.expires_at != one.proposed_at + OPEN_FOR:
            wrong.append(Finding("digest_differs", subject, "not what was proposed"))
        by_self = one.decided_by is not None and same_person(one.proposed_by, one.decided_by)
        if one.verdict is not None and by_self != (one.verdict == "WITHDRAWN"):
            detail = f"{one.verdict}: proposed by {one.proposed_by}, decided by {one.decided_by}"
            wrong.append(Finding("decided_by_proposer", subject, detail))
    return wrong


def _digest(one: FillSeen) -> str:
    """Return the digest of what is kept; none of what is no proposal at all."""
    try:
        wanted = msgspec.convert(one.body, Wanted)
        effect = msgspec.convert(one.effect, Effect)
    except msgspec.ValidationError:
        return ""
    return digest(one.fill_id, wanted, effect, Said(one.proposed_by, one.proposed_at, one.note))
