"""Label feeds: opened, filled with chunks, judged, and taken into the labels chunk after chunk.

The lines of a chunk lie sealed beside it, for they hold customer references, and go as they are
taken, or as the feed is refused or a higher revision sealed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from benefits.domain.feeds import FeedState, Manifest, Tally
from benefits.domain.label_feeds import LabelFeedKey
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection, rows, run
from benefits.store.feeds import Chunk

# One label feed is taken at a time: what a later one says stands above what an earlier one does.
TRY_SERIAL = "SELECT pg_try_advisory_xact_lock(hashtext('label_feeds')) AS is_mine"
_FEED = """f.version, f.revision, f.state, f.opened_at, f.manifest, f.reasons, f.rows, f.kept,
       f.unchanged, f.left_out, f.told, f.judged_at, f.sealed_at"""
_IS = "f.version = $1 AND f.revision = $2"
OPEN = """
INSERT INTO label_feed (version, revision, state, opened_at) VALUES ($1, $2, 'OPEN', $3)
ON CONFLICT (version, revision) DO NOTHING
"""
ONE = f"SELECT {_FEED} FROM label_feed AS f WHERE {_IS}"
SHARED = f"{ONE} FOR SHARE"
LOCKED = f"{ONE} FOR UPDATE"
CHUNK = """
INSERT INTO label_feed_chunk (version, revision, number, digest, rows, bad, told, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (version, revision, number) DO NOTHING
"""
PART = """
INSERT INTO label_feed_part (version, revision, number, lines_sealed) VALUES ($1, $2, $3, $4)
"""
_CHUNKS = """
SELECT c.number, c.digest, c.rows, c.bad, c.told FROM label_feed_chunk AS c
WHERE c.version = $1 AND c.revision = $2"""
CHUNKS = f"{_CHUNKS} ORDER BY c.number"
ONE_CHUNK = f"{_CHUNKS} AND c.number = $3"
# ix_label_feed_waiting, uq_label_feed_applying
TURN = f"""
SELECT {_FEED} FROM label_feed AS f WHERE f.state IN ('APPLYING', 'WAITING')
ORDER BY f.state, f.judged_at, f.version, f.revision LIMIT 1 FOR UPDATE
"""
IS_OVERTAKEN = """
SELECT FROM label_feed AS f
WHERE f.version = $1 AND f.revision > $2 AND f.state IN ('WAITING', 'APPLYING', 'SEALED') LIMIT 1
"""
JUDGE = """
UPDATE label_feed SET state = $3, manifest = $4, reasons = $5, rows = $6, judged_at = $7
WHERE version = $1 AND revision = $2
"""
# Primary key: the first that is left.
TAKE = """
DELETE FROM label_feed_part AS p USING (
    SELECT n.number FROM label_feed_part AS n
    WHERE n.version = $1 AND n.revision = $2 ORDER BY n.number LIMIT 1) AS next
WHERE p.version = $1 AND p.revision = $2 AND p.number = next.number
RETURNING p.number, p.lines_sealed
"""
COUNT = """
UPDATE label_feed
SET state = 'APPLYING', kept = kept + $3, unchanged = unchanged + $4, left_out = left_out + $5,
    told = $6
WHERE version = $1 AND revision = $2
"""
SEAL = """
UPDATE label_feed SET state = 'SEALED', sealed_at = $3 WHERE version = $1 AND revision = $2
"""
DROP = "DELETE FROM label_feed_part WHERE version = $1 AND revision = $2"
# Those of lower revisions never count any more, met or not.
DROP_BELOW = "DELETE FROM label_feed_part WHERE version = $1 AND revision <= $2"
# Primary keys.
_RECEIVED = """SELECT {0}, c.chunks, c.received, c.bad FROM label_feed AS f
CROSS JOIN LATERAL (
    SELECT count(*) AS chunks, coalesce(sum(h.rows), 0)::bigint AS received,
           coalesce(sum(h.bad), 0)::bigint AS bad
    FROM label_feed_chunk AS h
    WHERE h.version = f.version AND h.revision = f.revision) AS c
WHERE {1}
"""
SEEN = _RECEIVED.format(_FEED, _IS)
LISTED = (
    _RECEIVED.format(_FEED, "(f.version, f.revision) > ($1, $2)")
    + "ORDER BY f.version, f.revision LIMIT $3"
)


class LabelFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A label feed as it stands; `kept`, `unchanged` and `left_out` are lines that were taken."""

    version: str
    revision: int
    state: FeedState
    opened_at: datetime
    manifest: Manifest | None
    reasons: list[str]
    rows: int
    kept: int
    unchanged: int
    left_out: int
    told: list[str]
    judged_at: datetime | None
    sealed_at: datetime | None

    @property
    def key(self) -> LabelFeedKey:
        """Which feed it is."""
        return LabelFeedKey(self.version, self.revision)

    @property
    def applied(self) -> float:
        """Which share of it was taken."""
        if self.state is FeedState.SEALED:
            return 1.0
        taken = self.kept + self.unchanged + self.left_out
        return round(taken / self.rows, 3) if taken else 0.0


class LabelsReceived(msgspec.Struct, frozen=True):
    """A label feed with what was received of it so far."""

    feed: LabelFeed
    chunks: int
    lines: int
    bad: int


def _key(key: LabelFeedKey) -> tuple[str, int]:
    return key.version, key.revision


def _feed(found: Sequence[Any]) -> LabelFeed | None:
    return _one(found[0]) if found else None


def _one(row: Any) -> LabelFeed:
    return msgspec.convert(row._asdict(), LabelFeed)  # which leaves out what else was asked


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def open_(conn: Connection, key: LabelFeedKey, now: datetime) -> bool:
    """Open a feed unless it is there; return whether it is new."""
    return bool(await run(conn, OPEN, *_key(key), now))


async def one(conn: Connection, key: LabelFeedKey) -> LabelFeed | None:
    """Return a feed."""
    return _feed(await rows(conn, ONE, *_key(key)))


async def shared(conn: Connection, key: LabelFeedKey) -> LabelFeed | None:
    """Return a feed that nobody judges before this transaction ends."""
    return _feed(await rows(conn, SHARED, *_key(key)))


async def locked(conn: Connection, key: LabelFeedKey) -> LabelFeed | None:
    """Return a feed, locked."""
    return _feed(await rows(conn, LOCKED, *_key(key)))


async def chunks(conn: Connection, key: LabelFeedKey) -> list[Chunk]:
    """Return the chunks of a feed in their order."""
    return [_chunk(row) for row in await rows(conn, CHUNKS, *_key(key))]


async def chunk(conn: Connection, key: LabelFeedKey, number: int) -> Chunk | None:
    """Return a chunk of a feed."""
    found = await rows(conn, ONE_CHUNK, *_key(key), number)
    return _chunk(found[0]) if found else None


def _chunk(row: Any) -> Chunk:
    return Chunk(row.number, row.digest, Tally(row.rows, row.bad, {}, row.told))


async def put_chunk(
    conn: Connection, key: LabelFeedKey, chunk: Chunk, now: datetime, *, lines_sealed: bytes
) -> bool:
    """Record a chunk with its lines; return whether it is new."""
    tally = chunk.tally
    said = (chunk.number, chunk.digest, tally.rows, tally.bad, _text(tally.told))
    if not await run(conn, CHUNK, *_key(key), *said, now):
        return False
    await run(conn, PART, *_key(key), chunk.number, lines_sealed)
    return True


async def judge(
    conn: Connection,
    key: LabelFeedKey,
    manifest: Manifest,
    reasons: Sequence[str],
    *,
    now: datetime,
) -> None:
    """Write down what judging a feed by its manifest came to: refused for reasons, or waiting."""
    state = FeedState.REFUSED if reasons else FeedState.WAITING
    said = (_text(manifest), _text(list(reasons)), manifest.rows)
    await run(conn, JUDGE, *_key(key), state.value, *said, now)
    if reasons:
        await run(conn, DROP, *_key(key))


async def turn(conn: Connection) -> LabelFeed | None:
    """Return, locked, the feed that is being taken, or else the one that has waited longest.

    None also while somebody else takes one.
    """
    ((mine,),) = await rows(conn, TRY_SERIAL)
    return _feed(await rows(conn, TURN)) if mine else None


async def is_overtaken(conn: Connection, key: LabelFeedKey) -> bool:
    """Say whether a later revision of a version met its manifest."""
    return bool(await rows(conn, IS_OVERTAKEN, *_key(key)))


async def take(conn: Connection, key: LabelFeedKey) -> tuple[int, bytes] | None:
    """Return the first chunk that is left, by its number, and its sealed lines, which are gone."""
    found = await rows(conn, TAKE, *_key(key))
    return (found[0].number, found[0].lines_sealed) if found else None


async def count(
    conn: Connection, key: LabelFeedKey, result: ChunkResult, told: Sequence[str]
) -> None:
    """Count what became of the lines of a chunk; `told` are all that is told of those left out."""
    figures = (result.kept, result.unchanged, len(result.refused))
    await run(conn, COUNT, *_key(key), *figures, _text(list(told)))


async def seal(conn: Connection, key: LabelFeedKey, now: datetime) -> None:
    """Seal a feed: all of it was taken, or none of it is; nor are lower revisions any more."""
    await run(conn, DROP_BELOW, *_key(key))
    await run(conn, SEAL, *_key(key), now)


async def seen(conn: Connection, key: LabelFeedKey) -> LabelsReceived | None:
    """Return a feed with what was received of it."""
    found = await rows(conn, SEEN, *_key(key))
    return _received(found[0]) if found else None


async def listed(
    conn: Connection, after: LabelFeedKey | None, *, limit: int
) -> list[LabelsReceived]:
    """Return feeds in the order of their keys."""
    mark = _key(after) if after else ("", -1)
    return [_received(row) for row in await rows(conn, LISTED, *mark, limit)]


def _received(row: Any) -> LabelsReceived:
    return LabelsReceived(_one(row), row.chunks, row.received, row.bad)
