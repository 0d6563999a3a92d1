"""Versions of programmes as they came into force, and by whose word (U-1, X-2)."""

from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.store.db import Connection, rows

# Primary key; ix_proposal_kind_subject.
OF = """
SELECT v.version, v.applied_at, v.tiers_from, v.version = max(v.version) OVER () AS is_current,
       a.proposal_id, a.proposed_by, a.proposed_at, a.decided_by
FROM programme AS v
LEFT JOIN (SELECT p.*, d.decided_by, d.result FROM proposal AS p
           JOIN proposal_decision AS d ON d.proposal_id = p.proposal_id
           WHERE p.kind = 'PROGRAMME' AND p.subject = $1 AND d.verdict = 'APPROVED') AS a
  ON a.result = v.version::text
WHERE v.code = $1 ORDER BY v.version DESC
"""
DOCUMENT = """
SELECT v.document FROM programme AS v
WHERE v.code = $1 AND ($2::int IS NULL OR v.version = $2) ORDER BY v.version DESC LIMIT 1
"""


class UnknownVersion(Refusal):
    """The programme has no version of this number, or there is no such programme."""

    code = "unknown_version"
    words = "There is no such version of a programme."


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version, since when it holds, and who proposed and approved it, if two people did.

    Its tiers and policy decide months from `tiers_from` on.
    """

    version: int
    applied_at: datetime
    tiers_from: date
    is_current: bool
    proposal_id: UUID | None
    proposed_by: str | None
    proposed_at: datetime | None
    decided_by: str | None


async def of(conn: Connection, programme: str) -> list[Version]:
    """Return a programme's versions, the one in force first (UnknownVersion)."""
    found = [Version(**row._asdict()) for row in await rows(conn, OF, programme)]
    if not found:
        raise UnknownVersion(f"There is no programme {programme!r}.")
    return found


async def document(conn: Connection, programme: str, version: int | None) -> Programme:
    """Return a version of a programme, the one in force unless another is named.

    UnknownVersion.
    """
    found = await rows(conn, DOCUMENT, programme, version)
    if not found:
        raise UnknownVersion
    return msgspec.json.decode(found[0].document, type=Programme)
