"""What was known of a member by an instant, row by row (C-8): what is decided by stays as it came.

All of it is read by the member's own keys, and of joint accounts by those of the other holders.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.as_known import Holder, Known, Line, Sent, standing
from benefits.domain.feeds import FeedKind
from benefits.domain.labels import Label, Layer
from benefits.domain.values import Month, bucket_of
from benefits.store import member_past, merged
from benefits.store.db import Connection, rows
from benefits.store.member_past import Relationship
from benefits.store.standings import FIGURES, Decided, decided_of

# Primary key. Of each grain the highest revision counted.
LINES = """
SELECT DISTINCT ON (a.member_id, a.as_of, a.asset_class, a.currency, a.source, a.account)
       a.member_id, a.as_of, a.asset_class, a.currency, a.source, a.account, a.balance_minor
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN asset AS a ON a.bucket = k.bucket AND a.member_id = k.member_id
WHERE a.as_of < $3 AND a.recorded_at <= $4
ORDER BY a.member_id, a.as_of, a.asset_class, a.currency, a.source, a.account, a.revision DESC
"""
# Primary key. Of each source's day the highest revision that was sealed counted.
FEEDS = """
SELECT DISTINCT ON (f.as_of, f.source) f.source, f.as_of, f.revision, f.kind FROM feed AS f
WHERE f.as_of < $1 AND f.sealed_at <= $2
ORDER BY f.as_of, f.source, f.revision DESC
"""
# Primary key, day by day.
FED = """
SELECT l.member_id, l.as_of, l.asset_class, l.currency, l.source, l.account, l.balance_minor
FROM unnest($3::text[], $4::date[], $5::int[]) AS f (source, as_of, revision)
CROSS JOIN unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN feed_line AS l ON l.bucket = k.bucket AND l.as_of = f.as_of AND l.source = f.source
  AND l.revision = f.revision AND l.member_id = k.member_id
"""
RATES = """
SELECT DISTINCT ON (q.currency, q.as_of) q.currency, q.as_of, q.factor
FROM rate AS q JOIN rate_run AS r ON r.generation = q.generation
WHERE q.as_of < $1 AND r.recorded_at <= $2
ORDER BY q.currency, q.as_of, q.revision DESC
"""
# Primary key; then ix_account_holder_account_bucket.
ACCOUNTS = """
SELECT DISTINCT h.account FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN account_holder AS h ON h.bucket = k.bucket AND h.member_id = k.member_id
WHERE h.recorded_at <= $3
"""
HOLDERS = """
SELECT DISTINCT ON (o.account, o.member_id, o.valid_from)
       o.account, o.member_id, o.role, o.valid_from, o.valid_to
FROM account_holder AS o
WHERE o.bucket BETWEEN 0 AND 1023 AND o.account = ANY($1::text[]) AND o.recorded_at <= $2
ORDER BY o.account, o.member_id, o.valid_from, o.recorded_at DESC
"""
# Primary key.
LABELS = """
SELECT DISTINCT ON (o.label, o.valid_from) o.label, o.layer, o.valid_from, o.valid_to
FROM member_label AS o
WHERE o.bucket = $1 AND o.member_id = $2 AND o.recorded_at <= $3
ORDER BY o.label, o.valid_from, o.recorded_at DESC
"""
# Unique key, a prefix of it.
DECISIONS = f"""
SELECT d.member_id, d.decision_id, d.programme, d.programme_version, d.effective_from,
       d.decided_at, {FIGURES}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN tier_decision AS d ON d.bucket = k.bucket AND d.member_id = k.member_id
WHERE d.programme = $3 AND d.decided_at < $4
ORDER BY d.month, d.decided_at
"""
# Unique key.
MADE = """
SELECT d.member_id, d.decision_id FROM tier_decision AS d
WHERE d.bucket = $1 AND d.programme = $2 AND d.month = $3 ORDER BY d.member_id, d.decided_at
"""
# Primary keys.
SETTLED = """
SELECT e.month,
       CASE WHEN o.member_id IS NULL THEN e.settled_at ELSE o.settled_at END AS settled_at
FROM evaluation AS e
LEFT JOIN evaluation_open AS o ON o.bucket = e.bucket AND o.programme = e.programme
  AND o.month = e.month AND o.member_id = $2
WHERE e.bucket = $1 AND e.programme = $3 AND e.month >= $4 AND e.settled_at < $5
"""


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """A member as known by an instant, and whoever counted for them by then."""

    member_id: UUID
    relationship: Relationship
    along: Sequence[UUID]

    @property
    def ids(self) -> list[UUID]:
        """The member, first, and those who counted along."""
        return [self.member_id, *self.along]


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Since when a month was decided on all days of a member, if it was; what came after it.

    A later month was decided where it is `passed`, and of the member on all days where that is
    `confirmed`.
    """

    since: datetime | None = None
    is_passed: bool = False
    is_confirmed: bool = False


def _keys(ids: Collection[UUID]) -> tuple[list[int], list[UUID]]:
    ordered = sorted(set(ids))
    return [bucket_of(id_) for id_ in ordered], ordered


async def whose(conn: Connection, member_id: UUID, known_at: datetime) -> Whose:
    """Return who counted for a member by an instant; since then any may have been merged."""
    now = (await merged.current(conn, [member_id])).get(member_id, member_id)
    family = {member_id, now, *await merged.along(conn, [now])}
    found = await member_past.as_known(conn, family, known_at)
    along = sorted(id_ for id_, one in found.items() if one.merged_into == member_id)
    return Whose(member_id=member_id, relationship=found[member_id], along=along)


async def load(conn: Connection, ids: Collection[UUID], before: date, known_at: datetime) -> Known:
    """Return the rows of days before one that counted for members by an instant."""
    holders = await _holders(conn, ids, known_at)
    named = {one.member_id for one in holders} - set(ids)
    keys = _keys({*ids, *named})
    feeds = [
        Sent(row.source, row.as_of, row.revision, FeedKind(row.kind))
        for row in await rows(conn, FEEDS, before, known_at)
    ]
    lines = [_line(row) for row in await rows(conn, LINES, *keys, before, known_at)]
    lines += standing(feeds, await _fed(conn, keys, feeds))
    rates = await rows(conn, RATES, before, known_at)
    found = await member_past.as_known(conn, named, known_at) if named else {}
    found |= await member_past.as_known(conn, ids, known_at)
    return Known(
        lines=lines,
        feeds=feeds,
        rates={(row.currency, row.as_of): row.factor for row in rates},
        holders=holders,
        merged={id_: one.merged_into for id_, one in found.items() if one.merged_into},
    )


async def _holders(conn: Connection, ids: Collection[UUID], known_at: datetime) -> list[Holder]:
    """Return who held the accounts of which any of some members was ever named a holder."""
    accounts = [row.account for row in await rows(conn, ACCOUNTS, *_keys(ids), known_at)]
    if not accounts:
        return []
    return [
        Holder(
            account=row.account,
            member_id=row.member_id,
            is_primary=row.role == "PRIMARY",
            from_=row.valid_from,
            to=row.valid_to,
        )
        for row in await rows(conn, HOLDERS, accounts, known_at)
    ]


async def _fed(
    conn: Connection, keys: tuple[list[int], list[UUID]], feeds: Sequence[Sent]
) -> Mapping[Sent, list[Line]]:
    """Return the lines of members in feeds, by feed."""
    by_day = {(one.source, one.as_of): one for one in feeds}
    columns = (
        [one.source for one in feeds],
        [one.as_of for one in feeds],
        [one.revision for one in feeds],
    )
    found = dict[Sent, list[Line]]()
    for row in await rows(conn, FED, *keys, *columns) if feeds else ():
        line = _line(row, is_plain=False)
        found.setdefault(by_day[row.source, row.as_of], []).append(line)
    return found


def _line(row: Any, *, is_plain: bool = True) -> Line:
    return Line(
        member_id=row.member_id,
        day=row.as_of,
        asset_class=row.asset_class,
        currency=row.currency,
        source=row.source,
        account=row.account,
        balance_minor=row.balance_minor,
        is_plain=is_plain,
    )


async def labels(conn: Connection, member_id: UUID, known_at: datetime) -> list[Label]:
    """Return a member's labels as they were known, but for those that decide nothing (S-2)."""
    found = await rows(conn, LABELS, bucket_of(member_id), member_id, known_at)
    return [
        Label(row.label, Layer(row.layer), row.valid_from, row.valid_to)
        for row in found
        if row.layer != Layer.MODEL.value
    ]


async def decisions(
    conn: Connection, ids: Collection[UUID], programme: str, before: datetime
) -> list[tuple[UUID, Decided]]:
    """Return what was decided of members before an instant, by month and when it was."""
    found = await rows(conn, DECISIONS, *_keys(ids), programme, before)
    return [(row.member_id, decided_of(row)) for row in found]


async def made(
    conn: Connection, programme: str, month: Month, bucket: int
) -> list[tuple[UUID, UUID]]:
    """Return what was decided of a month for a bucket's members: of whom, its id."""
    found = await rows(conn, MADE, bucket, programme, month.start)
    return [(row.member_id, row.decision_id) for row in found]


async def settled(
    conn: Connection, programme: str, month: Month, member_id: UUID, *, before: datetime
) -> Settled:
    """Return whether a month was settled of a member before an instant (A-7)."""
    values = (bucket_of(member_id), member_id, programme, month.start, before)
    found = await rows(conn, SETTLED, *values)
    since = {
        Month.of(row.month): row.settled_at
        for row in found
        if row.settled_at is not None and row.settled_at < before
    }
    return Settled(
        since=since.get(month),
        is_passed=any(Month.of(row.month) > month for row in found),
        is_confirmed=any(each > month for each in since),
    )
