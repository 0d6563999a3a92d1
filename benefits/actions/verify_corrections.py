"""Verify corrections: each is what its digest says, and who approved it had not proposed it."""

from collections.abc import AsyncIterator

import msgspec

from benefits.actions.verify_two import differences
from benefits.domain.corrections import (
    OPEN_FOR,
    Effect,
    Said,
    Wanted,
    Why,
    digest,
)
from benefits.domain.values import EPOCH
from benefits.store import corrections
from benefits.store.corrections import BEGINNING, CorrectionSeen
from benefits.store.db import Database
from benefits.store.verify import Finding

PAGE = 500


async def verify_corrections(database: Database) -> AsyncIterator[Finding]:
    """Yield corrections that are not what was proposed, page by page."""
    after, page = BEGINNING, PAGE
    while page == PAGE:
        async with database.transaction() as conn:
            found = await corrections.listed(conn, after, EPOCH, state=None, limit=PAGE)
        for one in found:
            read = _digest(one)
            for finding in differences(
                str(one.correction_id), one, digest=read, open_for=OPEN_FOR
            ):
                yield finding
        page = len(found)
        if found:
            after = (found[-1].proposed_at, found[-1].correction_id)


def _digest(one: CorrectionSeen) -> str:
    """Return the digest of what is kept; none of what is no proposal at all."""
    try:
        wanted = msgspec.convert(one.body, Wanted)
        effect = msgspec.convert(one.effect["would"], Effect)
        said = Said(one.proposed_by, one.proposed_at, Why(one.reason), one.note)
    except (msgspec.ValidationError, KeyError, ValueError, AssertionError):
        return ""
    if (wanted.kind.value, wanted.member_id) != (one.kind, one.member_id):
        return ""
    return digest(one.correction_id, wanted, effect, said)
