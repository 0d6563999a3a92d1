"""What members were told of changes that are worse for them (U-2)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain import terms
from benefits.domain.programme import Programme
from benefits.domain.terms import Change, Channel, Notice
from benefits.store.db import Connection, rows, run

PUT = """
INSERT INTO programme_notice (notice_id, programme, changes, channel, given_on, text, recorded_by,
                              recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
# A programme has few, each once for a version that is worse.
OF = """
SELECT n.channel, n.given_on, n.text, n.recorded_by, n.changes, n.recorded_at
FROM programme_notice AS n WHERE n.programme = $1 ORDER BY n.recorded_at, n.notice_id
"""
VERSIONS = """
SELECT p.effective_from, p.document FROM programme AS p
WHERE p.code = $1 AND p.version = ANY($2::int[]) ORDER BY p.version
"""


async def put(conn: Connection, of_: tuple[UUID, str], notice: Notice, *, now: datetime) -> None:
    """Record a notice under an id, of a programme."""
    await run(
        conn,
        PUT,
        *of_,
        msgspec.json.encode(notice.changes).decode(),
        notice.channel.value,
        notice.given_on,
        notice.text,
        notice.by,
        now,
    )


async def of(conn: Connection, programme: str) -> list[tuple[datetime, Notice]]:
    """Return the notices of a programme, and when each was recorded."""
    return [(row.recorded_at, _notice(row)) for row in await rows(conn, OF, programme)]


async def unspent(conn: Connection, programme: str, *, stays: Sequence[int]) -> list[Notice]:
    """Return the notices of a programme, with what did not come into force since.

    That is by the versions of the numbers that stay, which hold now or are to.
    """
    versions = [
        (row.effective_from, msgspec.json.decode(row.document, type=Programme))
        for row in await rows(conn, VERSIONS, programme, [*stays])
    ]
    return terms.unspent(await of(conn, programme), versions)


def _notice(row: Any) -> Notice:
    return Notice(
        channel=Channel(row.channel),
        given_on=row.given_on,
        text=row.text,
        by=row.recorded_by,
        changes=tuple(map(terms.renewed, msgspec.convert(row.changes, list[Change]))),
    )
