"""Versions of programmes as they came into force, and by whose word (U-1, X-2)."""

import enum
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain import dating
from benefits.domain.dating import Dated
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month
from benefits.store import catalogue
from benefits.store.catalogue import Cache
from benefits.store.db import Connection, rows

# Primary key; ix_proposal_kind_subject.
OF = """
SELECT v.version, v.applied_at, v.effective_from, v.tiers_from,
       a.proposal_id, a.proposed_by, a.proposed_at, a.decided_by
FROM programme AS v
LEFT JOIN (SELECT p.*, d.decided_by, d.result FROM proposal AS p
           JOIN proposal_decision AS d ON d.proposal_id = p.proposal_id
           WHERE p.kind = 'PROGRAMME' AND p.subject = $1 AND d.verdict = 'APPROVED') AS a
  ON a.result = v.version::text
WHERE v.code = $1 ORDER BY v.version
"""


class UnknownVersion(Refusal):
    """The programme has no version of this number, or there is no such programme."""

    code = "unknown_version"
    words = "There is no such version of a programme."


class VersionState(enum.Enum):
    """What is of a version now: it holds, is to come, did hold, or never will."""

    IN_FORCE = "IN_FORCE"
    PENDING = "PENDING"
    SUPERSEDED = "SUPERSEDED"
    WITHDRAWN = "WITHDRAWN"


class Version(Dated, frozen=True, kw_only=True):
    """A version, since when it holds, and who proposed and approved it, if two people did.

    Its tiers and policy decide months from `tiers_from` on.
    """

    proposal_id: UUID | None
    proposed_by: str | None
    proposed_at: datetime | None
    decided_by: str | None


class VersionSeen(msgspec.Struct, frozen=True):
    """A version, what is of it now, and when it ends, where another is known to follow."""

    version: Version
    state: VersionState
    ends_at: datetime | None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version that is applied `now` stands: it `begins` after what holds `before`.

    `replaces` is the number of that, 0 if there is none, which judges from `judges_from` on;
    `stays` has the numbers of all that hold before it, and `withdraws` of those that were to begin
    with it or later, the first of them that was dated at the instant `withdraws_from`.
    """

    now: datetime
    begins: datetime
    before: Programme | None
    replaces: int
    judges_from: Month | None
    stays: list[int]
    withdraws: list[int]
    withdraws_from: datetime | None

    def first_month(self, zone: ZoneInfo) -> Month:
        """Return the first month that it judges unless another is named."""
        return dating.first_month(self.judges_from, self.begins, zone)


async def place(
    conn: Connection, cache: Cache, code: str, *, now: datetime, effective_from: datetime | None
) -> Place:
    """Return where a version of a programme stands that is to begin at an instant, or at once."""
    begins = effective_from or now
    known = await catalogue.timeline(conn, code)
    stays = dating.stays(known, begins, now)
    last = stays[-1] if stays else None
    withdraws = dating.withdrawn(known, begins, now)
    dated = (one for one in known if one.applied_at < one.effective_from)
    instants = (one.effective_from for one in dated if one.version in withdraws)
    return Place(
        now=now,
        begins=begins,
        before=await cache.version(conn, code, last.version) if last else None,
        replaces=last.version if last else 0,
        judges_from=Month.of(last.tiers_from) if last else None,
        stays=[one.version for one in stays],
        withdraws=withdraws,
        withdraws_from=min(instants, default=None),
    )


async def of(conn: Connection, programme: str, now: datetime) -> list[VersionSeen]:
    """Return a programme's versions, the newest first (UnknownVersion)."""
    found = [Version(**row._asdict()) for row in await rows(conn, OF, programme)]
    if not found:
        raise UnknownVersion(f"There is no programme {programme!r}.")
    kept, now = dating.kept(found), dating.not_before(found, now)
    current = dating.in_force(found, now) or found[0]
    return [
        VersionSeen(
            one,
            _state(one, kept, current),
            dating.until(found, one) if one in kept else None,
        )
        for one in reversed(found)
    ]


def _state(one: Version, kept: Sequence[Version], current: Version) -> VersionState:
    if one not in kept:
        return VersionState.WITHDRAWN
    if one.version == current.version:
        return VersionState.IN_FORCE
    return VersionState.PENDING if one.version > current.version else VersionState.SUPERSEDED


async def document(
    conn: Connection, cache: Cache, programme: str, version: int | None
) -> Programme:
    """Return a version of a programme, the one in force unless another is named.

    UnknownVersion.
    """
    if version is None:
        version = (await cache.current(conn)).programme_versions.get(programme, 0)
    if all(one.version != version for one in await catalogue.timeline(conn, programme)):
        raise UnknownVersion
    return await cache.version(conn, programme, version)
