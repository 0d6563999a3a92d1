"""Ledgers made set by set: large ones within minutes, and the books are right all the same."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from uuid import UUID

import asyncpg
import msgspec

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
# What a grant writes.
_OF_GRANTS = ("lot", "batch", "posting", "wallet", "outbox", "entitlement_grant")
_AT_ONCE = 100_000


async def copy_grants(source: str, target: str, folder: Path) -> float:
    """COPY what grants wrote in one database into the same tables of another; return seconds."""
    took = 0.0
    reading, writing = await asyncpg.connect(source), await asyncpg.connect(target)
    for table in _OF_GRANTS:
        path = folder / f"{table}.rows"
        await reading.copy_from_query(f"SELECT * FROM {table}", output=path)
        start = perf_counter()
        await writing.copy_to_table(table, source=path)
        took += perf_counter() - start
        path.unlink()
    await reading.close()
    await writing.close()
    return took


async def grant_all(
    conn: asyncpg.Connection, members: int, *, at: datetime, ends: datetime
) -> None:
    """Enrol members who were each given three units `at` an instant that end at another."""
    for begun in range(0, members, _AT_ONCE):
        async with conn.transaction():
            await _grant(conn, min(_AT_ONCE, members - begun), "VIDEO", at=at, ends=ends)


async def _grant(
    conn: asyncpg.Connection, members: int, benefit: str, *, at: datetime, ends: datetime
) -> None:
    for statement in _GRANTED:
        values = (at, ends, members) if "$1" in statement else ()
        await conn.execute(statement.replace("VIDEO", benefit), *values)


# Of those who were just given units; the events of a placed claim and of the grant are in order.
_ORDERED = (
    "DROP TABLE IF EXISTS ordered",
    f"""CREATE TEMP TABLE ordered AS
        SELECT m.bucket, m.member_id, m.lot_id, $1::timestamptz AS at,
               {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS batch_id,
               {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS claim_id,
               {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS hold_id,
               {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS request_id,
               {_ID.format(at="$1::timestamptz", n="n", bucket="bucket")} AS event_id
        FROM made AS m""",
    """INSERT INTO batch (bucket, batch_id, member_id, kind, actor, effective_at, recorded_at,
                          booked_month)
       SELECT bucket, batch_id, member_id, 'claim.placed', 'bench', at, at,
              date_trunc('month', at) FROM ordered""",
    """INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, lot_id, party)
       SELECT bucket, batch_id, 0, 'available', 'held', 'BENEFIT:VIDEO', 1, lot_id, ''
       FROM ordered
       UNION ALL
       SELECT bucket, batch_id, 1, 'budget.available', 'budget.reserved', 'MONEY:CNY', 1500,
              NULL, 'video' FROM ordered""",
    """UPDATE lot SET held = 1 FROM ordered AS o
       WHERE lot.bucket = o.bucket AND lot.lot_id = o.lot_id""",
    """UPDATE wallet SET available = 2, held = 1 FROM ordered AS o
       WHERE wallet.bucket = o.bucket AND wallet.member_id = o.member_id
         AND wallet.unit = 'BENEFIT:VIDEO'""",
    """INSERT INTO outbox (bucket, member_id, seq, event_id, type, batch_id, subject_id, data,
                           recorded_at, position)
       SELECT bucket, member_id, 2, event_id, 'claim.placed', batch_id, claim_id,
              '{"benefit": "VIDEO", "quantity": 1}', at, event_position() FROM ordered""",
    """UPDATE member SET event_seq = 2, recorded_at = o.at, event_position = event_position()
       FROM ordered AS o WHERE member.bucket = o.bucket AND member.member_id = o.member_id""",
    """INSERT INTO hold (bucket, hold_id, member_id, claim_id, batch_id, unit, quantity,
                         cost_minor, placed_at)
       SELECT bucket, hold_id, member_id, claim_id, batch_id, 'BENEFIT:VIDEO', 1, 1500, at
       FROM ordered""",
    """INSERT INTO claim (bucket, claim_id, member_id, programme, benefit, quantity, state,
                          hold_id, programme_version, claimed_at, changed_at, deadline)
       SELECT bucket, claim_id, member_id, 'wealth', 'VIDEO', 1, 'HELD', hold_id, 1, at, at,
              at + interval '1 day' FROM ordered""",
    """INSERT INTO provider_request (bucket, request_id, member_id, claim_id, provider, sku,
                                     operation, body_sealed, body_hash, disclosed, created_at,
                                     next_at)
       SELECT bucket, request_id, member_id, claim_id, $1, $2, 'ISSUE', $3::bytea, $4::bytea,
              '{phone}', at, at + interval '1 day'
       FROM ordered""",
    """INSERT INTO request (bucket, caller, operation, key, body_hash, ids, recorded_at)
       SELECT bucket, 'bench', 'claim', claim_id::text, sha256('claim'),
              jsonb_build_object('claim_id', claim_id), at FROM ordered""",
    """UPDATE counter SET reserved = reserved + 1500 * (SELECT count(*) FROM ordered)
       WHERE counter = 'budget:video' AND "window" = 'all' AND slice = 0""",
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of one benefit, a member's each, placed `at` an instant: what is asked of whom.

    None is due before a day has passed.
    """

    benefit: str
    provider: str
    sku: str
    body_sealed: bytes
    body_hash: bytes
    at: datetime


# Of those who just ordered: what they ordered came, and is spent.
_DELIVERED = (
    "DROP TABLE IF EXISTS delivered",
    f"""CREATE TEMP TABLE delivered AS
        SELECT o.bucket, o.member_id, o.lot_id, o.claim_id, o.hold_id, o.request_id,
               $1::timestamptz AS at,
               {_ID.format(at="$1::timestamptz", n="row_number() OVER ()", bucket="o.bucket")}
                   AS batch_id,
               {_ID.format(at="$1::timestamptz", n="row_number() OVER ()", bucket="o.bucket")}
                   AS event_id
        FROM ordered AS o""",
    """INSERT INTO batch (bucket, batch_id, member_id, kind, cause_id, actor, effective_at,
                          recorded_at, booked_month)
       SELECT bucket, batch_id, member_id, 'order.issued', claim_id, 'bench', at, at,
              date_trunc('month', at) FROM delivered""",
    """INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, lot_id, party)
       SELECT d.bucket, d.batch_id, p.line, p.debit, p.credit, p.unit, p.amount,
              CASE p.line WHEN 0 THEN d.lot_id END,
              p.party
       FROM delivered AS d
       CROSS JOIN (VALUES (0, 'held', 'redeemed', 'BENEFIT:VIDEO', 1, ''),
                          (1, 'budget.reserved', 'budget.spent', 'MONEY:CNY', 1500, 'video'),
                          (2, 'provider.payable', 'expense', 'MONEY:CNY', 1500, 'sandbox'))
            AS p (line, debit, credit, unit, amount, party)""",
    """UPDATE lot SET remaining = 2, held = 0, redeemed = 1 FROM delivered AS d
       WHERE lot.bucket = d.bucket AND lot.lot_id = d.lot_id""",
    """UPDATE wallet SET held = 0 FROM delivered AS d
       WHERE wallet.bucket = d.bucket AND wallet.member_id = d.member_id
         AND wallet.unit = 'BENEFIT:VIDEO'""",
    """INSERT INTO outbox (bucket, member_id, seq, event_id, type, batch_id, subject_id, data,
                           recorded_at, position)
       SELECT bucket, member_id, 3, event_id, 'order.issued', batch_id, claim_id,
              '{"benefit": "VIDEO", "quantity": 1, "reason": ""}', at, event_position()
       FROM delivered""",
    """UPDATE member SET event_seq = 3, recorded_at = d.at, event_position = event_position()
       FROM delivered AS d WHERE member.bucket = d.bucket AND member.member_id = d.member_id""",
    """INSERT INTO hold_end (bucket, hold_id, batch_id, captured, released, ended_at)
       SELECT bucket, hold_id, batch_id, 1, 0, at FROM delivered""",
    """UPDATE claim SET state = 'ISSUED', changed_at = d.at, deadline = NULL FROM delivered AS d
       WHERE claim.bucket = d.bucket AND claim.claim_id = d.claim_id""",
    """UPDATE provider_request AS r SET next_at = NULL, sent_by = d.at FROM delivered AS d
       WHERE r.bucket = d.bucket AND r.request_id = d.request_id""",
    """UPDATE counter SET reserved = reserved - 1500 * (SELECT count(*) FROM delivered),
                          spent = spent + 1500 * (SELECT count(*) FROM delivered)
       WHERE counter = 'budget:video' AND "window" = 'all' AND slice = 0""",
    """UPDATE counter SET spent = spent + (SELECT count(*) FROM delivered)
       WHERE counter = 'stock:VIDEO' AND "window" = 'all' AND slice = 0""",
)


async def order_all(conn: asyncpg.Connection, orders: int, wanted: Wanted) -> None:
    """Place orders of new members, whose units are held and their cost reserved."""
    for begun in range(0, orders, _AT_ONCE):
        async with conn.transaction():
            await _order(conn, min(_AT_ONCE, orders - begun), wanted)


async def deliver_all(conn: asyncpg.Connection, orders: int, wanted: Wanted) -> None:
    """Place orders of new members that come a minute later: their units and cost are spent."""
    for begun in range(0, orders, _AT_ONCE):
        async with conn.transaction():
            await _order(conn, min(_AT_ONCE, orders - begun), wanted)
            for statement in _DELIVERED:
                values = (wanted.at + timedelta(minutes=1),) if "$1" in statement else ()
                await conn.execute(statement.replace("VIDEO", wanted.benefit), *values)


async def _order(conn: asyncpg.Connection, orders: int, wanted: Wanted) -> None:
    granted, ends = wanted.at - timedelta(minutes=1), wanted.at + timedelta(days=300)
    await _grant(conn, orders, wanted.benefit, at=granted, ends=ends)
    for statement in _ORDERED:
        values: tuple[object, ...] = ()
        if "$1::timestamptz" in statement:
            values = (wanted.at,)
        elif "$3::bytea" in statement:
            values = (wanted.provider, wanted.sku, wanted.body_sealed, wanted.body_hash)
        await conn.execute(statement.replace("VIDEO", wanted.benefit), *values)


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
