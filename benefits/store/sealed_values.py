"""Where sealed values stand, and how those under an earlier key are found and replaced.

None of these columns stands in an append-only table or in what is signed: batches, events and
evidence hold nothing sealed. A value is replaced only while it is the one that was read.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.values import BUCKETS
from benefits.store.db import Connection, rows, run
from benefits.store.envelope import HEAD_BYTES

Key = tuple[Any, ...]


def _find(table: str, column: str, *key: str) -> str:
    """Return what finds values behind a key that begin otherwise, by primary key."""
    names = ", ".join(f"t.{one}" for one in ("bucket", *key))
    after = ", ".join(f"${n}" for n in range(5, 6 + len(key)))
    return f"""
SELECT {names}, t.{column} AS sealed FROM {table} AS t
WHERE t.bucket BETWEEN $1 AND $2 AND ({names}) > ({after})
  AND substring(t.{column} FROM 1 FOR {HEAD_BYTES}) <> $3
ORDER BY {names} LIMIT $4
"""


PROFILES = _find("member_profile", "reference_sealed", "member_id")
REQUESTS = _find("provider_request", "body_sealed", "request_id")
CALLBACKS = _find("inbox", "body_sealed", "provider", "event_id")
NOTICES = _find("inbox", "notice_sealed", "provider", "event_id")
WAITS = _find("wait", "body_sealed", "wait_id")
LISTS = _find("job_part", "lines_sealed", "job_id", "part")
CLAIMS = _find("claim", "code_sealed", "claim_id")
PROFILE = """
UPDATE member_profile AS t SET reference_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::uuid[]) AS k (old, new, bucket, id)
WHERE t.bucket = k.bucket AND t.member_id = k.id AND t.reference_sealed = k.old
"""
REQUEST = """
UPDATE provider_request AS t SET body_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::uuid[]) AS k (old, new, bucket, id)
WHERE t.bucket = k.bucket AND t.request_id = k.id AND t.body_sealed = k.old
"""
WAIT = """
UPDATE wait AS t SET body_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::uuid[]) AS k (old, new, bucket, id)
WHERE t.bucket = k.bucket AND t.wait_id = k.id AND t.body_sealed = k.old
"""
CALLBACK = """
UPDATE inbox AS t SET body_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::text[], $5::text[])
     AS k (old, new, bucket, provider, id)
WHERE t.bucket = k.bucket AND t.provider = k.provider AND t.event_id = k.id
  AND t.body_sealed = k.old
"""
NOTICE = """
UPDATE inbox AS t SET notice_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::text[], $5::text[])
     AS k (old, new, bucket, provider, id)
WHERE t.bucket = k.bucket AND t.provider = k.provider AND t.event_id = k.id
  AND t.notice_sealed = k.old
"""
LIST = """
UPDATE job_part AS t SET lines_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::uuid[], $5::int[])
     AS k (old, new, bucket, id, part)
WHERE t.bucket = k.bucket AND t.job_id = k.id AND t.part = k.part AND t.lines_sealed = k.old
"""
CLAIM = """
UPDATE claim AS t SET code_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::smallint[], $4::uuid[]) AS k (old, new, bucket, id)
WHERE t.bucket = k.bucket AND t.claim_id = k.id AND t.code_sealed = k.old
"""
CODES = f"""
SELECT t.code_id, t.code_sealed AS sealed FROM pool_code AS t
WHERE t.code_id > $3 AND substring(t.code_sealed FROM 1 FOR {HEAD_BYTES}) <> $1
ORDER BY t.code_id LIMIT $2
"""
LABELS = f"""
SELECT t.version, t.revision, t.number, t.lines_sealed AS sealed FROM label_feed_part AS t
WHERE (t.version, t.revision, t.number) > ($3, $4, $5)
  AND substring(t.lines_sealed FROM 1 FOR {HEAD_BYTES}) <> $1
ORDER BY t.version, t.revision, t.number LIMIT $2
"""
LABEL = """
UPDATE label_feed_part AS t SET lines_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::int[], $5::int[])
     AS k (old, new, version, revision, number)
WHERE t.version = k.version AND t.revision = k.revision AND t.number = k.number
  AND t.lines_sealed = k.old
"""
CODE = """
UPDATE pool_code AS t SET code_sealed = k.new
FROM unnest($1::bytea[], $2::bytea[], $3::uuid[]) AS k (old, new, id)
WHERE t.code_id = k.id AND t.code_sealed = k.old
"""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A column of sealed values, page by page; `begin` lies before the first of its keys."""

    name: str
    find: str
    replace: str
    begin: Key
    is_bucketed: bool = True
    page: int = 500

    @property
    def ranges(self) -> list[tuple[int, ...]]:
        """Ranges of buckets that are looked through one after the other."""
        if not self.is_bucketed:
            return [()]
        return [(first, first + STEP - 1) for first in range(0, BUCKETS, STEP)]


class Sealed(msgspec.Struct, frozen=True):
    """A sealed value and where it stands."""

    key: Key
    value: bytes


_NOBODY = UUID(int=0)
STEP = 32
CLAIMED = Place(
    name="claim.code_sealed", find=CLAIMS, replace=CLAIM, begin=(-1, _NOBODY), page=100
)
# Few at a time: claims of codes wait meanwhile.
STOCKED = Place(
    name="pool_code.code_sealed",
    find=CODES,
    replace=CODE,
    begin=(_NOBODY,),
    is_bucketed=False,
    page=100,
)
PLACES = (
    Place(
        name="member_profile.reference_sealed",
        find=PROFILES,
        replace=PROFILE,
        begin=(-1, _NOBODY),
    ),
    Place(
        name="provider_request.body_sealed",
        find=REQUESTS,
        replace=REQUEST,
        begin=(-1, _NOBODY),
    ),
    Place(name="wait.body_sealed", find=WAITS, replace=WAIT, begin=(-1, _NOBODY)),
    Place(name="inbox.body_sealed", find=CALLBACKS, replace=CALLBACK, begin=(-1, "", "")),
    Place(name="inbox.notice_sealed", find=NOTICES, replace=NOTICE, begin=(-1, "", "")),
    Place(name="job_part.lines_sealed", find=LISTS, replace=LIST, begin=(-1, _NOBODY, -1)),
    Place(
        name="label_feed_part.lines_sealed",
        find=LABELS,
        replace=LABEL,
        begin=("", -1, -1),
        is_bucketed=False,
        page=10,  # each is up to some MB
    ),
    CLAIMED,
    STOCKED,
)


async def find(
    conn: Connection, place: Place, within: tuple[int, ...], after: Key, *, head: bytes
) -> list[Sealed]:
    """Return the next page of values that are not sealed with the newest key."""
    found = await rows(conn, place.find, *within, head, place.page, *after)
    return [Sealed(tuple(row[:-1]), row.sealed) for row in found]


async def replace(conn: Connection, place: Place, values: Sequence[tuple[Sealed, bytes]]) -> int:
    """Replace values by what they are sealed anew as, unless they changed; return how many."""
    if not values:
        return 0
    keys = zip(*(one.key for one, _ in values), strict=True)
    olds, news = [one.value for one, _ in values], [new for _, new in values]
    return await run(conn, place.replace, olds, news, *map(list, keys))
