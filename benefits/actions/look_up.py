"""What members have now is looked up, for all who ask at the same moment together.

Nothing is locked and nothing decided. What is shown of a member is of one snapshot, by the
configuration of that very snapshot: the statement tells its version, and is asked again by the
newer catalogue where the one at hand was older.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Catalogue
from benefits.domain.programme import Programme
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

    `then` has each programme as it was when the member's tier was decided.
    """

    member_id: UUID
    now: datetime
    catalogue: Catalogue
    overview: Overview
    then: dict[str, Programme]


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
    catalogue = parts.catalogue.at(now)
    while True:
        found = await overviews(conn, ids, catalogue.rules.values(), now, claims=claims)
        if all(one.config_version == catalogue.version for one in found.values()):
            break
        catalogue = (await parts.catalogue.plan(conn)).at(now)
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
        )
        for id_, overview in found.items()
    }
