"""Ledgers made set by set: large ones within minutes, and the books are right all the same."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

_ID = """(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7'
    || lpad(to_hex((random() * 4095)::int), 3, '0') || '8'
    || lpad(to_hex((random() * 2147483647)::int), 8, '0')
    || lpad(to_hex(({n} % 65536)::int), 4, '0') || lpad(to_hex({bucket}::int), 3, '0'))::uuid"""
_GRANTED = (
    "DROP TABLE IF EXISTS made",
    f"""CREATE TEMP TABLE made AS
        SELECT m.*, {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS batch_id,
               {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS lot_id,
               {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS event_id,
               $1::timestamptz AS at, $2::timestamptz AS ends
        FROM (SELECT n, id AS member_id,
                     (('x' || right(id::text, 3))::bit(12)::int & 1023)::smallint AS bucket
              FROM (SELECT n, gen_random_uuid() AS id
                    FROM generate_series(1, $3::int) AS n) AS i) AS m""",
    """INSERT INTO member (bucket, member_id, opened_on, event_seq, recorded_at, event_position)
       SELECT bucket, member_id, '2020-01-01', 1, at, event_position() FROM made""",
    """INSERT INTO lot (bucket, lot_id, member_id, unit, programme, line, period, cause,
                        priority, granted, remaining, held, expired, granted_at, expires_at)
       SELECT bucket, lot_id, member_id, 'BENEFIT:VIDEO', 'wealth', 'VIDEO', 'made', 'REWARD', 1,
              3, 3, 0, 0, at, ends FROM made""",
    """INSERT INTO wallet (bucket, member_id, unit, available, held)
       SELECT bucket, member_id, 'BENEFIT:VIDEO', 3, 0 FROM made""",
    """INSERT INTO batch (bucket, batch_id, member_id, kind, actor, effective_at, recorded_at,
                          booked_month)
       SELECT bucket, batch_id, member_id, 'entitlement.granted', 'bench', at, at,
              date_trunc('month', at) FROM made""",
    """INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, lot_id)
       SELECT bucket, batch_id, 0, 'issued', 'available', 'BENEFIT:VIDEO', 3, lot_id FROM made""",
    """INSERT INTO outbox (bucket, member_id, seq, event_id, type, batch_id, subject_id, data,
                           recorded_at, position)
       SELECT bucket, member_id, 1, event_id, 'entitlement.granted', batch_id, lot_id,
              jsonb_build_object('benefit', 'VIDEO', 'quantity', 3, 'cause', 'REWARD', 'quota', 0,
                                 'programme', 'wealth', 'line', 'VIDEO', 'period', 'made',
                                 'expires_at', ends), at, event_position() FROM made""",
    """INSERT INTO entitlement_grant (bucket, member_id, programme, line, period, cause, quota,
                                      quantity, lot_id, granted_at)
       SELECT bucket, member_id, 'wealth', 'VIDEO', 'made', 'REWARD', 0, 3, lot_id, at
       FROM made""",
)
_AT_ONCE = 100_000


async def grant_all(
    conn: asyncpg.Connection, members: int, *, at: datetime, ends: datetime
) -> None:
    """Enrol members who were each given three units `at` an instant that end at another."""
    for begun in range(0, members, _AT_ONCE):
        async with conn.transaction():
            for statement in _GRANTED:
                values = (at, ends, min(_AT_ONCE, members - begun)) if "$1" in statement else ()
                await conn.execute(statement, *values)


_WHO = """
CREATE TABLE bench_member AS
SELECT (('x' || right(id::text, 3))::bit(12)::int & 1023)::smallint AS bucket, id AS member_id
FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int)) AS i ORDER BY 1, 2
"""
_ONE_EACH = f"""
WITH made AS MATERIALIZED (
    SELECT k.bucket, k.member_id, $1::timestamptz AS at,
           {_ID.format(at="$1::timestamptz", n="0", bucket="k.bucket")} AS batch_id
    FROM bench_member AS k),
batches AS (
    INSERT INTO batch (bucket, batch_id, member_id, kind, actor, effective_at, recorded_at,
                       booked_month)
    SELECT bucket, batch_id, member_id, 'entitlement.granted', 'bench', at, at,
           date_trunc('month', at) FROM made)
INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount)
SELECT bucket, batch_id, 0, 'issued', 'available', 'BENEFIT:LOUNGE', 1 FROM made
"""


async def record_past(
    conn: asyncpg.Connection, members: int, instants: Sequence[datetime]
) -> list[UUID]:
    """Write a batch of one posting for each of new members at each instant; return the members.

    In the order of time, as a ledger grows: what is one member's lies far apart.
    """
    await conn.execute(_WHO.replace("$1", str(members)))
    for at in sorted(instants):
        await conn.execute(_ONE_EACH, at)
    return [row["member_id"] for row in await conn.fetch("SELECT member_id FROM bench_member")]
