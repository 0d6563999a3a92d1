"""What members chose for units of choices, and what the lots they choose from are for (P-8).

A row is of one unit and of the lot that it became, and never changes.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.choices import Place
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, Writer, rows, write

# Primary key of lot.
PLACES = """
SELECT l.lot_id, l.programme, l.line, l.period, l.cause
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, lot_id)
JOIN lot AS l ON l.bucket = k.bucket AND l.lot_id = k.lot_id
"""
# ix_choice_bucket_member_id
MADE = """
SELECT c.lot_id, c.member_id, c.from_lot_id, c.batch_id, c.programme, c.choice, c.benefit,
       c.line, c.period, c.chosen_at
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN choice AS c ON c.bucket = k.bucket AND c.member_id = k.member_id
ORDER BY c.chosen_at, c.lot_id
"""
INSERT = """
INSERT INTO choice (bucket, lot_id, member_id, from_lot_id, batch_id, programme, choice, benefit,
                    line, period, chosen_at)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                     $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[])
"""


class ChoiceRow(msgspec.Struct, frozen=True):
    """A unit of a choice that became a lot of a benefit, its columns in the table's order."""

    lot_id: UUID
    member_id: UUID
    from_lot_id: UUID
    batch_id: UUID
    programme: str
    choice: str
    benefit: str
    line: str
    period: str
    chosen_at: datetime

    @property
    def place(self) -> Place:
        """What the unit was granted for."""
        return Place(self.programme, self.line, self.period)


class LotOrigin(msgspec.Struct, frozen=True):
    """What a lot was granted for, and why."""

    place: Place
    cause: str


async def origins(conn: Connection, lots: Collection[UUID]) -> dict[UUID, LotOrigin]:
    """Return what lots were granted for."""
    ids = sorted(lots)
    found = await rows(conn, PLACES, [bucket_of(id_) for id_ in ids], ids)
    return {r.lot_id: LotOrigin(Place(r.programme, r.line, r.period), r.cause) for r in found}


async def made(
    conn: Connection, ids: Collection[UUID], *, into: Mapping[UUID, UUID]
) -> dict[UUID, list[ChoiceRow]]:
    """Return what members chose, oldest first, with that of those merged `into` them."""
    wanted = sorted({*ids, *into})
    found = await rows(conn, MADE, [bucket_of(id_) for id_ in wanted], wanted)
    of_member = dict[UUID, list[ChoiceRow]]()
    for row in found:
        whose = into.get(row.member_id, row.member_id)
        of_member.setdefault(whose, []).append(ChoiceRow(*row))
    return of_member


async def put(writer: Writer, chosen: Sequence[ChoiceRow]) -> None:
    """Store what was chosen."""
    if not chosen:
        return
    await write(
        writer,
        INSERT,
        [bucket_of(c.member_id) for c in chosen],
        [c.lot_id for c in chosen],
        [c.member_id for c in chosen],
        [c.from_lot_id for c in chosen],
        [c.batch_id for c in chosen],
        [c.programme for c in chosen],
        [c.choice for c in chosen],
        [c.benefit for c in chosen],
        [c.line for c in chosen],
        [c.period for c in chosen],
        [c.chosen_at for c in chosen],
    )
