"""Verify fills: each is what its digest says, two people agreed on it, and no other day is one."""

from collections.abc import AsyncIterator

import msgspec

from benefits.actions.verify_two import differences
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
        for one in found:
            read = _digest(one)
            for finding in differences(str(one.fill_id), one, digest=read, open_for=OPEN_FOR):
                yield finding
        page = len(found)
        if found:
            after = (found[-1].proposed_at, found[-1].fill_id)


def _digest(one: FillSeen) -> str:
    """Return the digest of what is kept; none of what is no proposal at all."""
    try:
        wanted = msgspec.convert(one.body, Wanted)
        effect = msgspec.convert(one.effect, Effect)
    except msgspec.ValidationError:
        return ""
    return digest(one.fill_id, wanted, effect, Said(one.proposed_by, one.proposed_at, one.note))
