"""Feeds: opened, filled with chunks, judged, and applied to the month sums bucket after bucket.

What it moves in the sums is in `chains`; it does so in many transactions and counts at once.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.chains import Chain, Link
from benefits.domain.feed_lines import Lines
from benefits.domain.feeds import (
    Decided,
    Evaluated,
    FeedKey,
    FeedKind,
    FeedState,
    Manifest,
    Tally,
)
from benefits.domain.fills import FillKind
from benefits.domain.values import BUCKETS, Month, member_ids
from benefits.store import assets, chains, exchange, holders
from benefits.store.chains import Moving, Stood
from benefits.store.db import Connection, copy_text, rows, run, sqlstate
from benefits.store.sealed import is_ready

UNIQUE = "23505"


SERIAL = "SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(hashtext('feeds'))"
TRY_SERIAL = "SELECT pg_try_advisory_xact_lock(hashtext('feeds')) AS is_mine"
PARTITION = "SELECT make_partition('feed_line', $1::date)"
_FEED = """f.source, f.as_of, f.revision, f.programme, f.state, f.opened_at, f.manifest, f.reasons,
       f.rows, f.totals, f.replaces, f.generation, f.next_bucket, f.judged_at, f.sealed_at,
       f.fill, f.carried_day, f.carried_revision, f.kind"""
_IS = "f.as_of = $1 AND f.source = $2 AND f.revision = $3"
OPEN = """
INSERT INTO feed (as_of, source, revision, programme, state, opened_at, fill)
VALUES ($1, $2, $3, $4, 'OPEN', $5, CASE WHEN $3 < 0 THEN 'MANUAL' END)
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
ONE_CHUNK = """
SELECT c.number, c.digest, c.rows, c.bad, c.totals, c.told FROM feed_chunk AS c
WHERE c.as_of = $1 AND c.source = $2 AND c.revision = $3 AND c.number = $4
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
# ix_feed_waiting, uq_feed_applying
_DUE = f"""FROM feed AS f
WHERE f.state IN ('APPLYING', 'WAITING') AND (f.state = 'APPLYING' OR {is_ready("f")})"""
TURN = f"""
SELECT {_FEED} {_DUE}
ORDER BY f.state, f.judged_at, f.as_of, f.source, f.revision LIMIT 1 FOR UPDATE OF f
"""
IS_DUE = f"SELECT EXISTS (SELECT {_DUE}) AS is_due"
SEALED_REVISION = """
SELECT max(f.revision) AS revision FROM feed AS f
WHERE f.as_of = $1 AND f.source = $2 AND f.state = 'SEALED'
"""
LAST_GENERATION = "SELECT coalesce(max(f.generation), 0) AS generation FROM feed AS f"
JUDGE = """
UPDATE feed
SET state = $4, manifest = $5, reasons = $6, rows = $7, totals = $8, judged_at = $9, kind = $10
WHERE as_of = $1 AND source = $2 AND revision = $3
"""
BEGIN = """
UPDATE feed SET state = 'APPLYING', replaces = $4, generation = $5
WHERE as_of = $1 AND source = $2 AND revision = $3
"""
ADVANCE = """
UPDATE feed
SET next_bucket = $4::smallint, state = $5, sealed_at = $6
WHERE as_of = $1 AND source = $2 AND revision = $3
"""
# Primary keys.
_RECEIVED = """SELECT {0}, c.chunks, c.received, c.bad,
       CASE WHEN f.state = 'WAITING' AND NOT {2} THEN f.as_of - 1 END AS waits_for
FROM feed AS f
CROSS JOIN LATERAL (
    SELECT count(*) AS chunks, coalesce(sum(h.rows), 0)::bigint AS received,
           coalesce(sum(h.bad), 0)::bigint AS bad
    FROM feed_chunk AS h
    WHERE h.as_of = f.as_of AND h.source = f.source AND h.revision = f.revision) AS c
WHERE {1}
"""
SEEN = _RECEIVED.format(_FEED, _IS, is_ready("f"))
LISTED = (
    _RECEIVED.format(
        _FEED,
        "f.as_of >= $1 AND f.as_of < $2 AND (f.as_of, f.source, f.revision) > ($3, $4, $5)",
        is_ready("f"),
    )
    + "ORDER BY f.as_of, f.source, f.revision LIMIT $6"
)
# Primary key. A month is decided when any bucket is.
EVALUATED = """
SELECT v.programme, v.month, min(v.evaluated_at) AS at FROM evaluation AS v
WHERE v.bucket BETWEEN 0 AND 1023 AND v.month >= $1 GROUP BY 1, 2
"""
SEALED_OF_SOURCES = """
SELECT f.source, bit_or(1 << (extract(day FROM f.as_of)::int - 1)) AS days FROM feed AS f
WHERE f.state = 'SEALED' AND f.as_of >= $1 AND f.as_of < $2 GROUP BY 1
"""
CURRENCIES = """
SELECT f.source, date_trunc('month', f.as_of)::date AS month,
       array_agg(DISTINCT t.currency) AS currencies
FROM feed AS f CROSS JOIN LATERAL jsonb_object_keys(f.totals) AS t (currency)
WHERE f.state = 'SEALED' AND f.as_of >= $1 AND f.as_of < $2 GROUP BY 1, 2
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
    fill: FillKind | None = None
    carried_day: date | None = None
    carried_revision: int | None = None
    kind: FeedKind = FeedKind.FULL

    @property
    def link(self) -> Link:
        """The feed as a day that others may stand on."""
        return Link(
            as_of=self.as_of,
            revision=self.revision,
            kind=self.kind,
            rows=self.rows,
            totals=self.totals,
        )

    @property
    def key(self) -> FeedKey:
        """Which feed it is."""
        return FeedKey(self.source, self.as_of, self.revision)


class Received(msgspec.Struct, frozen=True):
    """A feed with what was received of it so far; `totals` of the feed are known once judged.

    A DELTA feed `waits_for` the day that it stands on.
    """

    feed: Feed
    chunks: int
    lines: int
    bad: int
    waits_for: date | None


class Chunk(msgspec.Struct, frozen=True):
    """A part of a feed that was received: its number, the digest of its bytes, its tally."""

    number: int
    digest: bytes
    tally: Tally


def _key(key: FeedKey) -> tuple[date, str, int]:
    return key.as_of, key.source, key.revision


def _feed(found: Sequence[Any]) -> Feed | None:
    return _one(found[0]) if found else None


def _one(row: Any) -> Feed:
    return msgspec.convert(row._asdict(), Feed)  # which leaves out what else was asked


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
    return [_chunk(row) for row in await rows(conn, CHUNKS, *_key(key))]


async def chunk(conn: Connection, key: FeedKey, number: int) -> Chunk | None:
    """Return a chunk of a feed."""
    found = await rows(conn, ONE_CHUNK, *_key(key), number)
    return _chunk(found[0]) if found else None


def _chunk(row: Any) -> Chunk:
    return Chunk(row.number, row.digest, Tally(row.rows, row.bad, row.totals, row.told))


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


async def is_due(conn: Connection) -> bool:
    """Say whether any feed waits for its turn, or has it."""
    ((due,),) = await rows(conn, IS_DUE)
    return bool(due)


async def turn(conn: Connection) -> Feed | None:
    """Return, locked, the feed that is being applied, or else the one that has waited longest."""
    return _feed(await rows(conn, TURN))


async def serial(conn: Connection, *, wait: bool) -> bool:
    """Apply one feed at a time; return whether it is ours to do, at once unless we `wait`."""
    if wait:
        await run(conn, SERIAL)
        return True
    ((mine,),) = await rows(conn, TRY_SERIAL)
    return bool(mine)


async def sealed_revision(conn: Connection, key: FeedKey) -> int | None:
    """Return the revision of a source's day that counts."""
    ((revision,),) = await rows(conn, SEALED_REVISION, key.as_of, key.source)
    return None if revision is None else int(revision)


async def _next_generation(conn: Connection) -> int:
    """Return the place of the next feed in the order in which they move the sums."""
    ((last,),) = await rows(conn, LAST_GENERATION)
    return int(last) + 1


async def judge(
    conn: Connection,
    key: FeedKey,
    manifest: Manifest,
    reasons: Sequence[str],
    *,
    received: Tally,
    now: datetime,
) -> None:
    """Write down what judging a feed by its manifest came to: refused for reasons, or waiting."""
    state = FeedState.REFUSED if reasons else FeedState.WAITING
    await run(
        conn,
        JUDGE,
        *_key(key),
        state.value,
        _text(manifest),
        _text(list(reasons)),
        received.rows,
        _text(received.totals),
        now,
        manifest.kind.value,
    )


async def begin(conn: Connection, key: FeedKey, *, replaces: int | None) -> None:
    """Let a feed move the sums from now on, in place of what it replaces."""
    await run(conn, BEGIN, *_key(key), replaces, await _next_generation(conn))


async def pass_over(conn: Connection, key: FeedKey, now: datetime) -> None:
    """Seal a feed that moves nothing: a later revision counts already."""
    await run(conn, ADVANCE, *_key(key), 0, FeedState.SEALED.value, now)


async def chain(conn: Connection, feed: Feed) -> Chain:
    """Return what a feed changes whose turn it is."""
    return await chains.of(conn, feed.source, feed.link)


async def apply(conn: Connection, feed: Feed, count: int, now: datetime) -> int:
    """Move the sums of the next `count` buckets; the last ones seal the feed. Return the next."""
    await run(conn, assets.SERIAL)
    changed = await chain(conn, feed)
    first, last = feed.next_bucket, min(feed.next_bucket + count, BUCKETS) - 1
    buckets = (first, last)
    if feed.carried_day is not None:
        assert feed.carried_revision is not None, "ck_feed_carried"
        assert feed.judged_at is not None, "ck_feed_judged"
        stood = Stood(feed.source, feed.carried_day, feed.carried_revision, feed.judged_at)
        await chains.carry(conn, feed.key, stood, buckets)
    await chains.move(conn, Moving(feed.key, feed.generation, changed, buckets))
    converted = await exchange.converted(conn)
    others = [currency for currency in converted if currency in changed.currencies]
    if others and feed.replaces is None:
        await exchange.add_fed(
            *(conn, feed.source, changed, buckets), currencies=others, generation=feed.generation
        )
    state = FeedState.SEALED if last == BUCKETS - 1 else FeedState.APPLYING
    at = now if state is FeedState.SEALED else None
    await run(conn, ADVANCE, *_key(feed.key), last + 1, state.value, at)
    if converted and feed.replaces is not None:
        await exchange.refold_fed(conn, feed.source, changed, buckets, currencies=others)
    await holders.refold_fed(conn, feed.source, changed, buckets)
    return last + 1


async def seen(conn: Connection, key: FeedKey) -> Received | None:
    """Return a feed with what was received of it."""
    found = await rows(conn, SEEN, *_key(key))
    return _received(found[0]) if found else None


async def listed(
    conn: Connection, days: tuple[date, date], after: FeedKey | None, *, limit: int
) -> list[Received]:
    """Return feeds of the days from the first up to the second, in the order of their keys."""
    mark = _key(after) if after else (date(1, 1, 1), "", -1)
    return [_received(row) for row in await rows(conn, LISTED, *days, *mark, limit)]


def _received(row: Any) -> Received:
    lines = row.received or row.rows
    return Received(_one(row), row.chunks, lines, row.bad, row.waits_for)


async def evaluated(conn: Connection, first: Month) -> Evaluated:
    """Return the months from one on that are decided, with when the first of them was."""
    found = await rows(conn, EVALUATED, first.start)
    return {Decided(row.programme, Month.of(row.month)): row.at for row in found}


async def sealed_of_sources(conn: Connection, month: Month) -> Mapping[str, int]:
    """Return the sealed days of a month as bits, by source."""
    found = await rows(conn, SEALED_OF_SOURCES, month.start, month.end)
    return {row.source: row.days for row in found}


async def currencies(
    conn: Connection, first: Month, last: Month
) -> dict[tuple[str, Month], set[str]]:
    """Return the currencies that sources sent in each month, from one up to another."""
    found = await rows(conn, CURRENCIES, first.start, last.end)
    return {(row.source, Month.of(row.month)): {*row.currencies} for row in found}
