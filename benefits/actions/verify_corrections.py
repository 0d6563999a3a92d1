"""Verify corrections: each is what its digest says, and who approved it had not proposed it."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from benefits.domain.corrections import (
    OPEN_FOR,
    Effect,
    Said,
    Wanted,
    Why,
    digest,
    same_person,
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
        for finding in _differing(found):
            yield finding
        page = len(found)
        if found:
            after = (found[-1].proposed_at, found[-1].correction_id)


def _differing(found: Sequence[CorrectionSeen]) -> list[Finding]:
    wrong = list[Finding]()
    for one in found:
        subject = str(one.correction_id)
        if _digest(one) != one.digest or one.expires_at != one.proposed_at + OPEN_FOR:
            wrong.append(Finding("digest_differs", subject, "not what was proposed"))
        by_self = one.decided_by is not None and same_person(one.proposed_by, one.decided_by)
        if one.verdict is not None and by_self != (one.verdict == "WITHDRAWN"):
            detail = f"{one.verdict}: proposed by {one.proposed_by}, decided by {one.decided_by}"
            wrong.append(Finding("decided_by_proposer", subject, detail))
    return wrong


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
