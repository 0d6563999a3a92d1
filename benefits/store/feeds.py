"""Feeds: opened, filled with chunks, judged, and applied to the month sums bucket after bucket.

A feed's sums move in many transactions and count at once: each row it moves keeps what counted
before and takes the feed's generation. A reader whose snapshot has not that generation sealed
takes the value from before. One feed is applied at a time, so one value from before is enough.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.feed_lines import Lines
from benefits.domain.feeds import FeedKey, FeedState, Manifest, Tally
from benefits.domain.values import BUCKETS, Month, member_ids
from benefits.store.db import Connection, copy_text, rows, run, sqlstate

UNIQUE = "23505"
# What a sum `s` of asset_month counts for; uq_feed_generation, backwards.
COUNTED = """CASE WHEN s.generation > (SELECT coalesce(max(f.generation), 0) FROM feed AS f
                          WHERE f.state = 'SEALED')
     THEN s.before_minor ELSE s.sum_minor END"""


Sealed = Mapping[Month, Mapping[str, int]]


def sealed_days(sources: str, first: str = "date '-infinity'") -> str:
    """Return what gives the days sealed from a day on, by month and source; `read_days` reads it.

    It is asked in the statement that reads sums: both are of one instant.
    """
    return f"""(
    SELECT json_agg(json_build_array(o.month, o.source, o.days))::text FROM (
        SELECT date_trunc('month', f.as_of)::date AS month, f.source,
               bit_or(1 << (extract(day FROM f.as_of)::int - 1)) AS days
        FROM feed AS f
        WHERE f.state = 'SEALED' AND f.source = ANY({sources}::text[]) AND f.as_of >= {first}
        GROUP BY 1, 2) AS o)"""


def read_days(text: str | None) -> Sealed:
    """Read what `sealed_days` gave: sealed days as bits, by month and source."""
    found = dict[Month, dict[str, int]]()
    if text is not None:
        for first, source, days in msgspec.json.decode(text, type=list[tuple[date, str, int]]):
            found.setdefault(Month.of(first), {})[source] = days
    return found


# The revision of each source's day that counts.
HIGHEST = """SELECT DISTINCT ON (f.as_of, f.source) f.as_of, f.source, f.revision FROM feed AS f
WHERE f.state = 'SEALED' {} ORDER BY f.as_of, f.source, f.revision DESC"""

SERIAL = "SELECT pg_advisory_xact_lock(hashtext('feeds'))"
SUMS_SERIAL = "SELECT pg_advisory_xact_lock(hashtext('assets'))"
PARTITION = "SELECT make_partition('feed_line', $1::date)"
_FEED = """f.source, f.as_of, f.revision, f.programme, f.state, f.opened_at, f.manifest, f.reasons,
       f.rows, f.totals, f.replaces, f.generation, f.next_bucket, f.judged_at, f.sealed_at"""
_IS = "f.as_of = $1 AND f.source = $2 AND f.revision = $3"
OPEN = """
INSERT INTO feed (as_of, source, revision, programme, state, opened_at)
VALUES ($1, $2, $3, $4, 'OPEN', $5)
ON CONFLICT (as_of, source, revision) DO NOTHING
"""
ONE = f"SELECT {_FEED} FROM feed AS f WHERE {_IS}"
SHARED = f"{ONE} FOR SHARE"
LOCKED = f"{ONE} FOR UPDATE"
CHUNK = """
INSERT INTO feed_chunk (as_of, source, revision, number, digest, rows, bad, totals, told,
                        recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (as_of, source, revision, number) DO NOTHING
"""
CHUNKS = """
SELECT c.number, c.digest, c.rows, c.bad, c.totals, c.told FROM feed_chunk AS c
WHERE c.as_of = $1 AND c.source = $2 AND c.revision = $3 ORDER BY c.number
"""
LINES = "feed_line"
LINE_COLUMNS = (
    *("bucket", "as_of", "source", "revision", "member_id", "asset_class", "currency"),
    *("account", "balance_minor"),
)
# Lines are looked up only when a chunk holds one that was there already.
THERE = """
SELECT l.member_id, l.asset_class, l.currency, l.account FROM feed_line AS l
WHERE l.bucket BETWEEN 0 AND 1023 AND l.as_of = $1 AND l.source = $2 AND l.revision = $3
  AND l.member_id = ANY($4::uuid[])
"""
APPLYING = f"SELECT {_FEED} FROM feed AS f WHERE f.state = 'APPLYING'"
SEALED_REVISION = """
SELECT max(f.revision) AS revision FROM feed AS f
WHERE f.as_of = $1 AND f.source = $2 AND f.state = 'SEALED'
"""
LAST_GENERATION = "SELECT coalesce(max(f.generation), 0) AS generation FROM feed AS f"
JUDGE = """
UPDATE feed
SET state = $4, manifest = $5, reasons = $6, rows = $7, totals = $8, replaces = $9,
    generation = $10, judged_at = $11, sealed_at = $12
WHERE as_of = $1 AND source = $2 AND revision = $3
"""
# Primary key of feed_line, bucket by bucket: there a feed's lines lie together.
_MOVED = """
SELECT b.bucket::smallint AS bucket, m.member_id, m.asset_class, m.currency, m.moved
FROM generate_series($4::int, $5::int) AS b (bucket) CROSS JOIN LATERAL (
    SELECT l.member_id, l.asset_class, l.currency,
           sum(CASE WHEN l.revision = $3 THEN greatest(l.balance_minor, 0)
               ELSE -greatest(l.balance_minor, 0) END)::bigint AS moved
    FROM feed_line AS l
    WHERE l.bucket = b.bucket AND l.as_of = $1 AND l.source = $2
      AND l.revision = ANY($6::int[])
    GROUP BY 1, 2, 3) AS m
"""
# A sum that moves down exists, and its difference would not pass the check of a new row.
ADD_SUMS = f"""
INSERT INTO asset_month (bucket, member_id, month, asset_class, currency, sum_minor, known_days,
                         before_minor, generation)
SELECT v.bucket, v.member_id, date_trunc('month', $1::date)::date, v.asset_class, v.currency,
       v.moved, 0, 0, $7
FROM ({_MOVED}) AS v WHERE v.moved > 0
ON CONFLICT (bucket, member_id, month, asset_class, currency) DO UPDATE
SET sum_minor = asset_month.sum_minor + excluded.sum_minor,
    before_minor = asset_month.sum_minor, generation = excluded.generation
"""
TAKE_FROM_SUMS = f"""
UPDATE asset_month AS s
SET sum_minor = s.sum_minor + v.moved, before_minor = s.sum_minor, generation = $7
FROM ({_MOVED}) AS v
WHERE v.moved < 0 AND s.bucket = v.bucket AND s.member_id = v.member_id
  AND s.month = date_trunc('month', $1::date)::date AND s.asset_class = v.asset_class
  AND s.currency = v.currency
"""
# The sums are looked up by key, one after the other: what the planner thinks of a table that is
# filled this very moment is no reason to read all of it.
BY_KEY = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
ADVANCE = """
UPDATE feed
SET next_bucket = $4::smallint, state = $5, sealed_at = $6
WHERE as_of = $1 AND source = $2 AND revision = $3
"""
# Primary key.
LISTED = f"""
SELECT {_FEED} FROM feed AS f
WHERE f.as_of >= $1 AND f.as_of < $2 AND (f.as_of, f.source, f.revision) > ($3, $4, $5)
ORDER BY f.as_of, f.source, f.revision LIMIT $6
"""
SEALED_OF_SOURCES = """
SELECT f.source, bit_or(1 << (extract(day FROM f.as_of)::int - 1)) AS days FROM feed AS f
WHERE f.state = 'SEALED' AND f.as_of >= $1 AND f.as_of < $2 GROUP BY 1
"""


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed as it stands; `totals` in minor units are what was received."""

    source: str
    as_of: date
    revision: int
    programme: str
    state: FeedState
    opened_at: datetime
    manifest: Manifest | None
    reasons: list[str]
    rows: int
    totals: dict[str, int]
    replaces: int | None
    generation: int | None
    next_bucket: int
    judged_at: datetime | None
    sealed_at: datetime | None

    @property
    def key(self) -> FeedKey:
        """Which feed it is."""
        return FeedKey(self.source, self.as_of, self.revision)


class Chunk(msgspec.Struct, frozen=True):
    """A part of a feed that was received: its number, the digest of its bytes, its tally."""

    number: int
    digest: bytes
    tally: Tally


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What judging a feed came to."""

    state: FeedState
    reasons: Sequence[str] = ()
    replaces: int | None = None
    generation: int | None = None


def _key(key: FeedKey) -> tuple[date, str, int]:
    return key.as_of, key.source, key.revision


def _feed(found: Sequence[Any]) -> Feed | None:
    return _one(found[0]) if found else None


def _one(row: Any) -> Feed:
    return msgspec.convert(row._asdict(), Feed)


async def open_(
    conn: Connection, key: FeedKey, *, programme: str, now: datetime
) -> tuple[Feed, bool]:
    """Open a feed unless it is there; return it, and whether it is new."""
    await rows(conn, PARTITION, key.as_of)
    new = await run(conn, OPEN, *_key(key), programme, now)
    found = _feed(await rows(conn, ONE, *_key(key)))
    assert found is not None, "a feed stays"
    return found, bool(new)


async def one(conn: Connection, key: FeedKey) -> Feed | None:
    """Return a feed."""
    return _feed(await rows(conn, ONE, *_key(key)))


async def shared(conn: Connection, key: FeedKey) -> Feed | None:
    """Return a feed that nobody judges before this transaction ends."""
    return _feed(await rows(conn, SHARED, *_key(key)))


async def locked(conn: Connection, key: FeedKey) -> Feed | None:
    """Return a feed, locked."""
    return _feed(await rows(conn, LOCKED, *_key(key)))


async def chunks(conn: Connection, key: FeedKey) -> list[Chunk]:
    """Return the chunks of a feed in their order."""
    return [
        Chunk(c.number, c.digest, Tally(c.rows, c.bad, c.totals, c.told))
        for c in await rows(conn, CHUNKS, *_key(key))
    ]


async def put_chunk(conn: Connection, key: FeedKey, chunk: Chunk, now: datetime) -> bool:
    """Record a chunk; return whether it is new."""
    tally = chunk.tally
    return bool(
        await run(
            conn,
            CHUNK,
            *_key(key),
            chunk.number,
            chunk.digest,
            tally.rows,
            tally.bad,
            _text(tally.totals),
            _text(tally.told),
            now,
        )
    )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def put_lines(conn: Connection, text: bytes) -> None:
    """Keep the lines of a chunk, as `written` made them; one that is there `is_twice`."""
    await copy_text(conn, LINES, LINE_COLUMNS, text)


def is_twice(error: Exception) -> bool:
    """Say whether a chunk was not kept because a line of it is there already."""
    return sqlstate(error) == UNIQUE


def written(key: FeedKey, lines: Lines, member_key: bytes) -> bytes:
    """Write lines as COPY reads them, in the order of their key."""
    same = f"\t{key.as_of}\t{key.source}\t{key.revision}\t"
    begins = {
        reference: f"{int.from_bytes(id_[-2:]) & (BUCKETS - 1):04d}{same}{id_.hex()}\t"
        for reference, id_ in member_ids(set(lines.customers), member_key).items()
    }
    accounts = lines.accounts
    if any("\\" in one or "\t" in one for one in set(accounts)):
        accounts = [one.replace("\\", "\\\\").replace("\t", "\\t") for one in accounts]
    made = [
        f"{begins[customer]}{asset_class}\t{currency}\t{account}\t{minor}\n"
        for customer, asset_class, currency, account, minor in zip(
            lines.customers, lines.classes, lines.currencies, accounts, lines.balances, strict=True
        )
    ]
    made.sort()
    return "".join(made).encode()


async def twice(conn: Connection, key: FeedKey, lines: Lines, member_key: bytes) -> list[int]:
    """Return which of some lines stand among them before, or were kept before, by their index."""
    ids = member_ids(set(lines.customers), member_key)
    wanted = [UUID(bytes=id_) for id_ in ids.values()]
    there = {
        (r.member_id.bytes, r.asset_class, r.currency, r.account)
        for r in await rows(conn, THERE, *_key(key), wanted)
    }
    found = list[int]()
    grains = zip(lines.customers, lines.classes, lines.currencies, lines.accounts, strict=True)
    for index, (customer, *rest) in enumerate(grains):
        grain = (ids[customer], *rest)
        if grain in there:
            found.append(index)
        there.add(grain)  # type: ignore[arg-type]  # three texts follow the id
    return found


async def applying(conn: Connection) -> Feed | None:
    """Return the feed that is being applied."""
    return _feed(await rows(conn, APPLYING))


async def serial(conn: Connection) -> None:
    """Judge one feed at a time."""
    await run(conn, SERIAL)


async def sealed_revision(conn: Connection, key: FeedKey) -> int | None:
    """Return the revision of a source's day that counts."""
    ((revision,),) = await rows(conn, SEALED_REVISION, key.as_of, key.source)
    return None if revision is None else int(revision)


async def next_generation(conn: Connection) -> int:
    """Return the place of the next feed in the order in which they move the sums."""
    ((last,),) = await rows(conn, LAST_GENERATION)
    return int(last) + 1


async def judge(
    conn: Connection,
    key: FeedKey,
    verdict: Verdict,
    *,
    received: Tally,
    manifest: Manifest,
    now: datetime,
) -> None:
    """Write down what judging a feed came to."""
    sealed = verdict.state is FeedState.SEALED
    await run(
        conn,
        JUDGE,
        *_key(key),
        verdict.state.value,
        _text(manifest),
        _text(list(verdict.reasons)),
        received.rows,
        _text(received.totals),
        verdict.replaces,
        verdict.generation,
        now,
        now if sealed else None,
    )


async def apply(conn: Connection, feed: Feed, count: int, now: datetime) -> int:
    """Move the sums of the next `count` buckets; the last ones seal the feed. Return the next."""
    await run(conn, SUMS_SERIAL)
    first, last = feed.next_bucket, min(feed.next_bucket + count, BUCKETS) - 1
    revisions = [feed.revision] if feed.replaces is None else [feed.revision, feed.replaces]
    values = (feed.as_of, feed.source, feed.revision, first, last, revisions, feed.generation)
    await run(conn, ADD_SUMS, *values)
    if feed.replaces is not None:
        await run(conn, BY_KEY)
        await run(conn, TAKE_FROM_SUMS, *values)
    state = FeedState.SEALED if last == BUCKETS - 1 else FeedState.APPLYING
    at = now if state is FeedState.SEALED else None
    await run(conn, ADVANCE, *_key(feed.key), last + 1, state.value, at)
    return last + 1


async def listed(
    conn: Connection, days: tuple[date, date], after: FeedKey | None, *, limit: int
) -> list[Feed]:
    """Return feeds of the days from the first up to the second, in the order of their keys."""
    mark = _key(after) if after else (date(1, 1, 1), "", -1)
    return [_one(row) for row in await rows(conn, LISTED, *days, *mark, limit)]


async def sealed_of_sources(conn: Connection, month: Month) -> Mapping[str, int]:
    """Return the sealed days of a month as bits, by source."""
    found = await rows(conn, SEALED_OF_SOURCES, month.start, month.end)
    return {row.source: row.days for row in found}
