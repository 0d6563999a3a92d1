"""What members have now is looked up, for all who ask at the same moment together.

Nothing is locked and nothing decided. What is shown of a member is of one snapshot, by the
configuration of that very snapshot: the statement tells its version, and is asked again by the
newer catalogue where the one at hand was older.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Catalogue, Plan
from benefits.domain.coming import Coming, Whom, coming
from benefits.domain.programme import Programme
from benefits.domain.values import local_date
from benefits.store import people
from benefits.store.db import Connection
from benefits.store.overview import Overview, overviews

CLAIMS_SHOWN = 20


class LookUp(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to know what a member has."""

    caller: str
    member_id: UUID

    @property
    def sender(self) -> str:
        """Whose wishes stand alone when one of them fails."""
        return self.caller


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that a member has at `now`.

    `then` has each programme as it was when the member's tier was decided, `coming` what versions
    that are to begin change for them (U-1).
    """

    member_id: UUID
    now: datetime
    catalogue: Catalogue
    overview: Overview
    then: dict[str, Programme]
    coming: list[Coming]


async def look_up(
    conn: Connection,
    commands: Sequence[LookUp],
    parts: Parts,
    *,
    wait: bool = False,  # noqa: ARG001 - what a group says to its action; nobody is waited for
) -> list[Seen | UnknownMember]:
    """Return what each member has, with their latest claims."""
    ids = {command.member_id for command in commands}
    found = await see(conn, ids, parts, claims=CLAIMS_SHOWN)
    return [found.get(command.member_id) or UnknownMember() for command in commands]


async def see(
    conn: Connection, ids: Collection[UUID], parts: Parts, *, claims: int
) -> dict[UUID, Seen]:
    """Return what those of the ids who are members have, with so many of their latest claims."""
    now = parts.clock()
    plan = parts.catalogue.loaded
    while True:
        catalogue = plan.at(now)
        found = await overviews(conn, ids, catalogue.rules.values(), now, claims=claims)
        if all(one.config_version == catalogue.version for one in found.values()):
            break
        plan = await parts.catalogue.plan(conn)
    coming = await _coming(conn, found.values(), plan, now)
    return {
        id_: Seen(
            member_id=overview.member_id,
            now=now,
            catalogue=catalogue,
            overview=overview,
            then={
                one.programme: await parts.catalogue.version(conn, one.programme, one.version)
                for one in overview.standings
                if one.decided
            },
            coming=coming.get(overview.member_id, []),
        )
        for id_, overview in found.items()
    }


async def _coming(
    conn: Connection, found: Collection[Overview], plan: Plan, now: datetime
) -> dict[UUID, list[Coming]]:
    """Return what changes for each by versions to come; nothing is read while there are none."""
    ahead = plan.ahead(now)
    if not ahead:
        return {}
    programmes = [each for _, *some in ahead for one in some for each in one.programmes.values()]
    labels = await carried(conn, [one.member_id for one in found], programmes, now)
    return {
        one.member_id: coming(
            plan,
            now,
            Whom(
                ranks={standing.programme: standing.held.rank for standing in one.standings},
                labels=labels.get(one.member_id, frozenset()),
                units={lot.unit for lot in one.lots},
            ),
        )
        for one in found
    }


async def carried(
    conn: Connection, ids: Collection[UUID], programmes: Iterable[Programme], now: datetime
) -> dict[UUID, frozenset[str]]:
    """Return the labels that members carry today, of those whose segments programmes bring units.

    Nothing is asked where there are no segments.
    """
    asked = dict[date, set[str]]()
    for programme in programmes:
        keys = {line.segment.key for line in programme.line if line.segment is not None}
        if keys:
            asked.setdefault(local_date(now, programme.tz), set()).update(keys)
    found = dict[UUID, frozenset[str]]()
    for today, keys in asked.items():
        for id_, known in (await people.load(conn, ids, today, labels=keys)).items():
            found[id_] = found.get(id_, frozenset()) | (known.labels & keys)
    return found
