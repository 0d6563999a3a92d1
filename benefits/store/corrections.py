"""Corrections as they were proposed and decided, and what a decision must know of the books."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.archive import MonthArchived
from benefits.domain.corrections import Effect, Line, Taken, Undone
from benefits.domain.ledger import Account, Posting
from benefits.domain.values import bucket_of
from benefits.store import agreements
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection, Writer, rows, write

INSERT_REVERSALS = """
INSERT INTO reversal (bucket, reverses, line, batch_id, by_line, amount)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::uuid[], $5::smallint[],
                     $6::bigint[])
"""
# Primary keys of each batch's one partition and of reversal; the members' locks guard the sums.
LINES = """
SELECT p.batch_id, p.line, p.debit, p.credit, p.unit, p.amount, p.lot_id, p.party,
       coalesce(r.amount, 0)::bigint AS reversed
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, batch_id)
JOIN posting AS p ON p.bucket = k.bucket AND p.batch_id = k.batch_id
CROSS JOIN LATERAL (
    SELECT sum(v.amount) AS amount FROM reversal AS v
    WHERE v.bucket = k.bucket AND v.reverses = k.batch_id AND v.line = p.line) AS r
ORDER BY p.batch_id, p.line
"""
# Primary key.
CAPTURES = """
SELECT e.hold_id, e.batch_id
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, hold_id)
JOIN hold_end AS e ON e.bucket = k.bucket AND e.hold_id = k.hold_id
WHERE e.captured > 0
"""
# Primary key of wallet.
FIGURES = """
SELECT w.available, w.held, w.owed FROM wallet AS w
WHERE w.bucket = $1 AND w.member_id = $2 AND w.unit = $3
"""
# ix_lot_bucket_member_id_unit_expires_at, then all batches of the one member: this is rare. What
# was clawed back beyond what was left is a debt or a loss, and is not there to take again, until
# the debt is paid: with other units.
THERE = """
WITH had AS (
    SELECT coalesce(sum(l.remaining - l.held) FILTER (WHERE l.expires_at > $4
                                                      OR l.expires_at IS NULL), 0) AS free,
           coalesce(sum(l.redeemed), 0) AS used
    FROM lot AS l WHERE l.bucket = $1 AND l.member_id = $2 AND l.unit = $3),
taken AS (
    SELECT coalesce(sum(CASE WHEN p.credit = 'debt' THEN -p.amount ELSE p.amount END)
                    FILTER (WHERE (p.debit, p.credit) <> ('available', 'revoked')), 0) AS units,
           coalesce(sum(CASE WHEN p.debit = 'revoked' THEN -p.amount ELSE p.amount END)
                    FILTER (WHERE 'revoked' IN (p.debit, p.credit)), 0) AS revoked
    FROM (SELECT o.unit, o.debit, o.credit, o.amount FROM batch AS b
          JOIN posting AS o ON o.bucket = b.bucket AND o.batch_id = b.batch_id
          WHERE b.bucket = $1 AND b.member_id = $2
          UNION ALL
          SELECT c.unit, c.debit, c.credit, c.amount FROM posting_carried AS c
          WHERE c.bucket = $1 AND c.member_id = $2) AS p
    WHERE p.unit = $3 AND (p.debit, p.credit) IN
          (('debt', 'revoked'), ('revoked', 'debt'), ('available', 'debt'),
           ('redeemed', 'loss'), ('available', 'revoked')))
SELECT had.free::bigint AS free, greatest(had.used - taken.units, 0)::bigint AS used,
       taken.revoked::bigint AS revoked
FROM had, taken
"""
# Primary key of entitlement_grant, up to the claim's id.
MADE_GOOD = """
SELECT k.period, sum(g.quantity)::bigint AS units
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[])
     AS k (bucket, member_id, programme, line, period)
JOIN entitlement_grant AS g
  ON g.bucket = k.bucket AND g.member_id = k.member_id AND g.programme = k.programme
 AND g.line = k.line AND g.period = k.period AND g.cause = 'MAKE_GOOD'
GROUP BY 1
"""
# Primary keys; a member's corrections are few.
REPLACED = """
SELECT coalesce(sum((c.body ->> 'quantity')::bigint)
                FILTER (WHERE c.kind = 'MAKE_GOOD'), 0)::bigint AS pieces,
       coalesce(sum((c.effect #>> '{would,lot,quantity}')::bigint), 0)::bigint AS units
FROM correction AS c
JOIN correction_decision AS d ON d.bucket = c.bucket AND d.correction_id = c.correction_id
WHERE c.bucket = $1 AND c.member_id = $2 AND c.kind IN ('MAKE_GOOD', 'REVERSE')
  AND c.body ->> 'claim_id' = $3 AND d.batch_id IS NOT NULL
"""
# Primary keys; corrections of a member are few.
CLAWED_BACK = """
SELECT DISTINCT c.member_id
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN correction AS c ON c.bucket = k.bucket AND c.member_id = k.member_id
JOIN correction_decision AS d ON d.bucket = c.bucket AND d.correction_id = c.correction_id
WHERE c.kind = 'CLAW_BACK' AND d.batch_id IS NOT NULL
"""
# Primary key; the batches under which the order of a claim moved on.
DELIVERIES = """
SELECT e.batch_id FROM outbox AS e
WHERE e.bucket = $1 AND e.member_id = $2 AND e.subject_id = $3 AND e.batch_id IS NOT NULL
  AND e.type IN ('order.issued', 'order.confirmed', 'order.partly_redeemed', 'order.redeemed',
                 'order.counted')
ORDER BY e.seq
"""
# Primary keys; a member's corrections are few. What a proposal does is kept with it.
CHARGES = """
SELECT c.effect -> 'would' AS would
FROM correction AS c
JOIN correction_decision AS d ON d.bucket = c.bucket AND d.correction_id = c.correction_id
WHERE c.bucket = $1 AND c.member_id = $2 AND c.kind IN ('MAKE_GOOD', 'CLEAR')
  AND c.body ->> 'claim_id' = $3 AND d.batch_id IS NOT NULL
ORDER BY d.decided_at
"""
# Primary keys. What a hold's end released and did not let expire at once; its batch ends no other.
# No lines are there of one that is archived.
RELEASED = """
SELECT coalesce(sum(CASE p.debit WHEN 'held' THEN p.amount ELSE -p.amount END), 0)::bigint
           AS units,
       count(*) > count(p.line) AS is_away
FROM hold_end AS e
LEFT JOIN posting AS p ON p.bucket = e.bucket AND p.batch_id = e.batch_id
 AND (p.debit, p.credit) IN (('held', 'available'), ('available', 'expired'))
WHERE e.bucket = $1 AND e.hold_id = $2 AND e.released > 0
"""


class CorrectionSeen(agreements.Seen, frozen=True, kw_only=True):
    """A correction and what became of it: a batch."""

    member_id: UUID
    kind: str
    reason: str
    batch_id: UUID | None


BOOK = agreements.book(
    CorrectionSeen,
    ("correction", "correction_id", "batch_id"),
    ("member_id", "kind", "reason"),
    of_members=True,
)


class Figures(msgspec.Struct, frozen=True):
    """A member's wallet in one unit."""

    available: int = 0
    held: int = 0
    owed: int = 0


class Reversal(msgspec.Struct, frozen=True):
    """Which lines of an earlier batch a batch gives back."""

    reverses: UUID
    batch_id: UUID
    undone: Sequence[Undone]


async def put_reversals(writer: Writer, reversals: Sequence[Reversal]) -> None:
    """Keep which lines of earlier batches were given back."""
    found = [(reversal, each) for reversal in reversals for each in reversal.undone]
    if not found:
        return
    await write(
        writer,
        INSERT_REVERSALS,
        [bucket_of(reversal.batch_id) for reversal, _ in found],
        [reversal.reverses for reversal, _ in found],
        [each.line for _, each in found],
        [reversal.batch_id for reversal, _ in found],
        [each.by_line for _, each in found],
        [each.amount for _, each in found],
    )


async def captures(conn: Connection, hold_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return by hold the batches that spent units of them, where any were spent."""
    ids = list(hold_ids)
    found = await rows(conn, CAPTURES, [bucket_of(id_) for id_ in ids], ids)
    return {row.hold_id: row.batch_id for row in found}


async def lines(conn: Connection, batch_ids: Collection[UUID]) -> dict[UUID, list[Line]]:
    """Return batches' postings, each with what was given back of it; under the members' locks."""
    ids = list(batch_ids)
    found = dict[UUID, list[Line]]((id_, []) for id_ in ids)
    for row in await rows(conn, LINES, [bucket_of(id_) for id_ in ids], ids):
        debit, credit = Account(row.debit), Account(row.credit)
        posting = Posting(debit, credit, row.unit, row.amount, row.lot_id, row.party)
        found[row.batch_id].append(Line(row.line, posting, row.reversed))
    return found


async def figures(conn: Connection, member_id: UUID, unit: str) -> Figures:
    """Return what a member's wallet says of a unit."""
    found = await rows(conn, FIGURES, bucket_of(member_id), member_id, unit)
    return Figures(*found[0]) if found else Figures()


async def there(conn: Connection, member_id: UUID, unit: str, now: datetime) -> Taken:
    """Return what a member has or had that could still be clawed back, and what was (L-8)."""
    (row,) = await rows(conn, THERE, bucket_of(member_id), member_id, unit, now)
    return Taken(row.free, row.used, row.revoked)


async def clawed_back(conn: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Return from which members people took units back, used ones too (L-8)."""
    found = await rows(conn, CLAWED_BACK, [bucket_of(id_) for id_ in ids], list(ids))
    return {row.member_id for row in found}


class Replaced(msgspec.Struct, frozen=True):
    """Pieces of a claim that people made good, apart from what was reversed; all units they gave.

    These are those of lots that corrections of the claim made, reversals too (L-7, L-9).
    """

    pieces: int
    units: int


async def replaced(conn: Connection, member_id: UUID, claim_id: UUID) -> Replaced:
    """Return how much of a claim people made good."""
    values = (bucket_of(member_id), member_id, str(claim_id))
    return Replaced(*(await rows(conn, REPLACED, *values))[0])


async def released(conn: Connection, hold_id: UUID) -> int:
    """Return how many units of a hold became available again as it ended (L-6, L-9).

    MonthArchived when that is not known here.
    """
    ((units, is_away),) = await rows(conn, RELEASED, bucket_of(hold_id), hold_id)
    if is_away:
        raise MonthArchived
    return int(units)


async def made_good(conn: Connection, claims: Sequence[ClaimRow]) -> dict[UUID, int]:
    """Return by claim how many units were given for a failed order before (L-9)."""
    found = await rows(
        conn,
        MADE_GOOD,
        [bucket_of(c.member_id) for c in claims],
        [c.member_id for c in claims],
        [c.programme for c in claims],
        [c.benefit for c in claims],
        [str(c.claim_id) for c in claims],
    )
    return {c.claim_id: 0 for c in claims} | {UUID(row.period): row.units for row in found}


async def deliveries(conn: Connection, member_id: UUID, claim_id: UUID) -> list[UUID]:
    """Return the batches that a provider's deliveries of a claim were booked in, in order."""
    found = await rows(conn, DELIVERIES, bucket_of(member_id), member_id, claim_id)
    return [row.batch_id for row in found]


async def charges(conn: Connection, member_id: UUID, claim_id: UUID) -> list[Posting]:
    """Return what approved make-goods of a claim, and what cleared them, posted."""
    found = await rows(conn, CHARGES, bucket_of(member_id), member_id, str(claim_id))
    return [one for row in found for one in msgspec.convert(row.would, Effect).postings]
