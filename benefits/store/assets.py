"""Day-end balances as they arrive, and the sums kept with them at once (A-1, A-6, A-7).

A row is kept for every revision; the highest counts. The sums of its month, and of the stretches
that its day is in, move by the difference between the balance that counts now and the one that
counted before, so that the same file again moves nothing. Negative balances count as zero (A-8).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from uuid import UUID

import msgspec

from benefits.domain.assets import AssetLine, Sifted, sift
from benefits.domain.values import BUCKETS, Clock, Month, bucket_of
from benefits.store import exchange, holders, stretches
from benefits.store.db import Connection, copy_text, rows, run

STAGE = """
CREATE TEMP TABLE staged (
    bucket smallint, member_id uuid, as_of date, asset_class text, currency text, source text,
    account text, revision int, balance_minor bigint, month date, day_bit int, is_highest boolean,
    line int) ON COMMIT DROP
"""
STAGED = (
    *("bucket", "member_id", "as_of", "asset_class", "currency", "source", "account"),
    *("revision", "balance_minor", "month", "day_bit", "is_highest", "line"),
)
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
# The same revision once more: nothing to do when it says the same, a contradiction otherwise.
KNOWN = f"""
DELETE FROM staged AS k USING (
    SELECT s.line, a.balance_minor FROM staged AS s CROSS JOIN LATERAL (
        SELECT a.balance_minor FROM asset AS a
        WHERE {_SAME_GRAIN} AND a.revision = s.revision LIMIT 1) AS a) AS known
WHERE k.line = known.line
RETURNING k.line, k.balance_minor <> known.balance_minor AS differs
"""
# What counted before the staged revision of a grain that is above all others.
_BEFORE = f"""staged AS s LEFT JOIN LATERAL (
    SELECT a.revision, a.balance_minor FROM asset AS a
    WHERE {_SAME_GRAIN} ORDER BY a.revision DESC LIMIT 1) AS b ON true"""
_IS_NEW = "s.is_highest AND (b.revision IS NULL OR b.revision < s.revision)"
_DIFFERENCE = "sum(greatest(s.balance_minor, 0) - greatest(coalesce(b.balance_minor, 0), 0))"
# What moves; and whether a line may be known, which none is that stands above all that are.
MOVED = f"""
CREATE TEMP TABLE moved ON COMMIT DROP AS
SELECT s.bucket, s.member_id, s.month, s.asset_class, s.currency,
       ({_DIFFERENCE} FILTER (WHERE {_IS_NEW}))::bigint AS sum_minor,
       bit_or(s.day_bit) FILTER (WHERE {_IS_NEW}) AS known_days,
       coalesce(bool_or(b.revision >= s.revision), false) AS may_be_known
FROM {_BEFORE}
GROUP BY 1, 2, 3, 4, 5
"""
MAY_BE_KNOWN = "SELECT coalesce(bool_or(v.may_be_known), false) AS may_be FROM moved AS v"
MOVED_STRETCHES = f"""
CREATE TEMP TABLE moved_stretch ON COMMIT DROP AS
SELECT s.bucket, s.member_id, k.month, k.first_day, k.last_day, s.asset_class, s.currency,
       {_DIFFERENCE}::bigint AS sum_minor
FROM {_BEFORE}
JOIN stretch AS k ON {stretches.holds("s.as_of", "s.bucket")}
WHERE {_IS_NEW}
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
# What counts while a feed is applied moves along. By the primary key: the table is far larger than
# what moves, and the planner may not know.
BY_KEY = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
MOVE_SUMS = """
UPDATE asset_month AS m
SET sum_minor = m.sum_minor + v.sum_minor, before_minor = m.before_minor + v.sum_minor,
    known_days = m.known_days | v.known_days, moved = $1
FROM moved AS v
WHERE m.bucket = v.bucket AND m.member_id = v.member_id AND m.month = v.month
  AND m.asset_class = v.asset_class AND m.currency = v.currency AND v.known_days IS NOT NULL
"""
AS_PLANNED = "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on"
# Those that were not there to be moved. One that moves down was, and its difference would not pass
# the check of a new row.
NEW_SUMS = """
INSERT INTO asset_month (bucket, member_id, month, asset_class, currency, sum_minor, known_days,
                         before_minor, moved)
SELECT v.bucket, v.member_id, v.month, v.asset_class, v.currency, v.sum_minor, v.known_days,
       v.sum_minor, $1
FROM moved AS v WHERE v.sum_minor >= 0
ON CONFLICT (bucket, member_id, month, asset_class, currency) DO NOTHING
"""
# So that a transaction may take more than one chunk.
UNSTAGE = "DROP TABLE staged, moved"
KEEP = f"""
INSERT INTO asset ({_GRAIN}, revision, balance_minor, recorded_at)
SELECT {_GRAIN}, revision, balance_minor, $1 FROM staged
"""
_CONTRADICTED = "revision: this revision is known with another balance"


class ChunkResult(msgspec.Struct, frozen=True):
    """What became of a chunk: rows kept, rows known before, lines refused with their reason."""

    kept: int
    unchanged: int
    refused: list[tuple[int, str]]


class Ready(msgspec.Struct, frozen=True):
    """Numbered lines, what they have to do with each other, and how they are copied."""

    lines: Sequence[tuple[int, AssetLine]]
    sifted: Sifted
    text: bytes


def ready(lines: Sequence[tuple[int, AssetLine]], ids: Mapping[str, bytes]) -> Ready:
    """Make numbered lines ready to be kept, `ids` their customers'."""
    sifted = sift([line for _, line in lines])
    return Ready(lines, sifted, _written(lines, ids, sifted))


async def put(conn: Connection, made: Ready, clock: Clock) -> ChunkResult:
    """Keep lines that are ready and move the sums, in this transaction."""
    lines, sifted = made.lines, made.sifted
    await run(conn, SERIAL)
    now = clock()  # whoever decided while it waited did not know of them (C-8)
    await run(conn, STAGE)
    await copy_text(conn, "staged", STAGED, made.text)
    unknown = {row.line for row in await rows(conn, UNKNOWN)}
    refused = [(line, "customer: not a member") for line in unknown]
    unchanged = 0
    for again, first in sifted.twice:
        number, line = lines[again]
        if lines[first][0] in unknown:
            refused.append((number, "customer: not a member"))
        elif line.balance_minor != lines[first][1].balance_minor:
            refused.append((number, _CONTRADICTED))
        else:
            unchanged += 1
    days = {line.as_of for number, line in lines if number not in unknown}
    months = sorted({Month.of(day).start for day in days})
    for month in months:
        await rows(conn, PARTITION, month)
    await _move_sums(conn, months)
    ((may_be_known,),) = await rows(conn, MAY_BE_KNOWN)
    if may_be_known:
        for row in await rows(conn, KNOWN):
            if row.differs:
                refused.append((row.line, _CONTRADICTED))
            else:
                unchanged += 1
    kept = await run(conn, KEEP, now)
    if await exchange.converted(conn):
        await exchange.refold_staged(conn, months)
    await holders.refold_staged(conn)
    await run(conn, UNSTAGE)
    return ChunkResult(kept, unchanged, sorted(refused))


async def _move_sums(conn: Connection, months: list[date]) -> None:
    """Move the sums by what is staged and not kept yet."""
    if await stretches.are_in(conn, months):
        await run(conn, MOVED_STRETCHES)
        await stretches.move(conn)
    moved = await run(conn, MOVED)
    number = await _move(conn)
    await run(conn, BY_KEY)
    there = await run(conn, MOVE_SUMS, number)
    await run(conn, AS_PLANNED)
    if there < moved:
        await run(conn, NEW_SUMS, number)


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


def _written(
    lines: Sequence[tuple[int, AssetLine]], ids: Mapping[str, bytes], sifted: Sifted
) -> bytes:
    """Write lines as COPY reads them, in the order of their key."""
    owners = {
        customer: f"{int.from_bytes(id_[-2:]) & (BUCKETS - 1):04d}\t{id_.hex()}\t"
        for customer, id_ in ids.items()
    }
    days = {line.as_of for _, line in lines}
    bits = {day: f"{Month.of(day).start}\t{1 << (day.day - 1)}\t" for day in days}
    gone = {again for again, _ in sifted.twice}
    made = [
        f"{owners[line.customer]}{line.as_of}\t{line.asset_class}\t{line.currency}\t"
        f"{_escaped(line.source)}\t{_escaped(line.account)}\t{line.revision}\t"
        f"{line.balance_minor}\t{bits[line.as_of]}{nth not in sifted.lower}\t{number}\n"
        for nth, (number, line) in enumerate(lines)
        if nth not in gone
    ]
    made.sort()
    return "".join(made).encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t") if text else text


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
