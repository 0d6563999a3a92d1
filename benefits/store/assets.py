"""Day-end balances as they arrive, and the sums kept with them at once (A-1, A-6, A-7).

A row is kept for every revision; the highest counts. The sums of its month, and of the stretches
that its day is in, move by the difference between the balance that counts now and the one that
counted before, so that the same file again moves nothing. Negative balances count as zero (A-8).
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from operator import itemgetter
from uuid import UUID

import msgspec

from benefits.domain.assets import AssetLine
from benefits.domain.values import bucket_of
from benefits.store import exchange, holders, stretches
from benefits.store.db import Connection, copy, rows, run

STAGE = """
CREATE TEMP TABLE staged (
    line int, bucket smallint, member_id uuid, as_of date, asset_class text, currency text,
    source text, account text, revision int, balance_minor bigint) ON COMMIT DROP
"""
# One import at a time: each chunk reads what counted before and moves the sums.
# What a killed import was about to write ends on the server before its lock is free: wait for it.
SERIAL = "SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(hashtext('assets'))"
# Held to the transaction's end, so that whoever sees a number sees what was moved up to it.
MOVE = "UPDATE asset_move SET number = number + 1 RETURNING number"
# Primary key, looked up member by member.
TOUCH = """
UPDATE asset_month AS s SET moved = $3
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
WHERE s.bucket = k.bucket AND s.member_id = k.member_id
"""
MONTHS = "SELECT DISTINCT date_trunc('month', as_of)::date AS month FROM staged"
PARTITION = "SELECT make_partition('asset', $1::date)"
# These look up one key after the other, which LIMIT holds the planner to: a join may be planned as
# a scan of all members, or of all that was ever imported, for each chunk.
UNKNOWN = """
DELETE FROM staged AS s WHERE (
    SELECT true FROM member AS m WHERE m.bucket = s.bucket AND m.member_id = s.member_id LIMIT 1
) IS NULL
RETURNING s.line
"""
_SAME_GRAIN = """a.bucket = s.bucket AND a.member_id = s.member_id AND a.as_of = s.as_of
    AND a.asset_class = s.asset_class AND a.currency = s.currency AND a.source = s.source
    AND a.account = s.account"""
_GRAIN = "bucket, member_id, as_of, asset_class, currency, source, account"
# The same revision twice: nothing to do when it says the same, a contradiction otherwise. The
# first line wins.
TWICE = f"""
DELETE FROM staged AS s USING (
    SELECT line, first_value(balance_minor) OVER same AS said, first_value(line) OVER same AS first
    FROM staged WINDOW same AS (PARTITION BY {_GRAIN}, revision ORDER BY line)) AS d
WHERE s.line = d.line AND d.line <> d.first
RETURNING s.line, s.balance_minor <> d.said AS differs
"""
KNOWN = f"""
DELETE FROM staged AS k USING (
    SELECT s.line, a.balance_minor FROM staged AS s CROSS JOIN LATERAL (
        SELECT a.balance_minor FROM asset AS a
        WHERE {_SAME_GRAIN} AND a.revision = s.revision LIMIT 1) AS a) AS known
WHERE k.line = known.line
RETURNING k.line, k.balance_minor <> known.balance_minor AS differs
"""
# For each grain the staged revision that is above all others, and what counted before it.
_RISEN = f"""(SELECT DISTINCT ON ({_GRAIN}) * FROM staged ORDER BY {_GRAIN}, revision DESC) AS s
LEFT JOIN LATERAL (
    SELECT a.revision, a.balance_minor FROM asset AS a
    WHERE {_SAME_GRAIN} ORDER BY a.revision DESC LIMIT 1) AS b ON true"""
_IS_NEW = "(b.revision IS NULL OR b.revision < s.revision)"
_DIFFERENCE = """
       sum(greatest(s.balance_minor, 0) - greatest(coalesce(b.balance_minor, 0), 0))::bigint"""
MOVED = f"""
CREATE TEMP TABLE moved ON COMMIT DROP AS
SELECT s.bucket, s.member_id, date_trunc('month', s.as_of)::date AS month, s.asset_class,
       s.currency, {_DIFFERENCE} AS sum_minor,
       bit_or(1 << (extract(day FROM s.as_of)::int - 1)) AS known_days
FROM {_RISEN}
WHERE {_IS_NEW}
GROUP BY 1, 2, 3, 4, 5
"""
MOVED_STRETCHES = f"""
CREATE TEMP TABLE moved_stretch ON COMMIT DROP AS
SELECT s.bucket, s.member_id, k.month, k.first_day, k.last_day, s.asset_class, s.currency,
       {_DIFFERENCE} AS sum_minor
FROM {_RISEN}
JOIN stretch AS k ON {stretches.holds("s.as_of", "s.bucket")}
WHERE {_IS_NEW}
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
# By the primary key too: the table is far larger than what moves. A sum that moves down exists,
# and its difference would not pass the check of a new row. What counts while a feed is applied
# moves along.
ADD_SUMS = """
INSERT INTO asset_month (bucket, member_id, month, asset_class, currency, sum_minor, known_days,
                         before_minor, moved)
SELECT v.bucket, v.member_id, v.month, v.asset_class, v.currency, v.sum_minor, v.known_days,
       v.sum_minor, $1
FROM moved AS v WHERE v.sum_minor >= 0
ON CONFLICT (bucket, member_id, month, asset_class, currency) DO UPDATE
SET sum_minor = asset_month.sum_minor + excluded.sum_minor,
    before_minor = asset_month.before_minor + excluded.sum_minor,
    known_days = asset_month.known_days | excluded.known_days, moved = excluded.moved
"""
TAKE_FROM_SUMS = """
UPDATE asset_month AS m
SET sum_minor = m.sum_minor + v.sum_minor, before_minor = m.before_minor + v.sum_minor,
    known_days = m.known_days | v.known_days, moved = $1
FROM moved AS v
WHERE v.sum_minor < 0
  AND m.bucket = v.bucket AND m.member_id = v.member_id AND m.month = v.month
  AND m.asset_class = v.asset_class AND m.currency = v.currency
"""
# So that a transaction may take more than one chunk.
UNSTAGE = "DROP TABLE staged, moved"
KEEP = f"""
INSERT INTO asset ({_GRAIN}, revision, balance_minor, recorded_at)
SELECT {_GRAIN}, revision, balance_minor, $1 FROM staged
"""


class ChunkResult(msgspec.Struct, frozen=True):
    """What became of a chunk: rows kept, rows known before, lines refused with their reason."""

    kept: int
    unchanged: int
    refused: list[tuple[int, str]]


async def put(
    conn: Connection, lines: Sequence[tuple[int, UUID, AssetLine]], now: datetime
) -> ChunkResult:
    """Keep (line number, member, line) and move the month sums, in this transaction."""
    await run(conn, SERIAL)
    await run(conn, STAGE)
    await _stage(conn, lines)
    refused = [(row.line, "customer: not a member") for row in await rows(conn, UNKNOWN)]
    unchanged = 0
    for statement in (TWICE, KNOWN):
        for row in await rows(conn, statement):
            if row.differs:
                refused.append((row.line, "revision: this revision is known with another balance"))
            else:
                unchanged += 1
    months = [row.month for row in await rows(conn, MONTHS)]
    for month in months:
        await rows(conn, PARTITION, month)
    if await stretches.are_in(conn, months):
        await run(conn, MOVED_STRETCHES)
        await stretches.move(conn)
    await run(conn, MOVED)
    number = await _move(conn)
    await run(conn, ADD_SUMS, number)
    await run(conn, TAKE_FROM_SUMS, number)
    kept = await run(conn, KEEP, now)
    if await exchange.converted(conn):
        await exchange.refold_staged(conn, months)
    await holders.refold_staged(conn)
    await run(conn, UNSTAGE)
    return ChunkResult(kept, unchanged, sorted(refused))


async def alone(conn: Connection) -> None:
    """Wait until nobody else moves sums; nobody does until the transaction ends."""
    await run(conn, SERIAL)


async def touch(conn: Connection, ids: Collection[UUID]) -> None:
    """Let evaluations look at members anew: what their sums are judged by has changed.

    The caller is `alone`.
    """
    if ids:
        number = await _move(conn)
        await run(conn, TOUCH, list(map(bucket_of, ids)), list(ids), number)


async def _move(conn: Connection) -> int:
    ((number,),) = await rows(conn, MOVE)
    return int(number)


async def _stage(conn: Connection, lines: Sequence[tuple[int, UUID, AssetLine]]) -> None:
    columns = (
        "line",
        "bucket",
        "member_id",
        "as_of",
        "asset_class",
        "currency",
        "source",
        "account",
        "revision",
        "balance_minor",
    )
    records = [
        (
            number,
            bucket_of(member_id),
            member_id,
            line.as_of,
            line.asset_class,
            line.currency,
            line.source,
            line.account,
            line.revision,
            line.balance_minor,
        )
        for number, member_id, line in lines
    ]
    records.sort(key=itemgetter(1, 2, 3))
    await copy(conn, "staged", columns, records)


LAST_DAY = "SELECT max(month) AS month FROM asset_month WHERE bucket BETWEEN 0 AND 1023"
LAST_DAY_OF_MONTH = (
    "SELECT max(as_of) AS day FROM asset WHERE bucket BETWEEN 0 AND 1023 AND as_of >= $1"
)


async def last_day(conn: Connection) -> date | None:
    """Return the last day anybody has a balance of."""
    ((month,),) = await rows(conn, LAST_DAY)
    if month is None:
        return None
    ((day,),) = await rows(conn, LAST_DAY_OF_MONTH, month)
    return day if isinstance(day, date) else None
