"""Which requests are due, and may go: found by provider and SKU, so that none hides the others."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.store.db import Connection, rows

PAGE = 128  # of all providers together

# ix_provider_request_due, by leaps: of which providers and SKUs anything waits, whosever it is.
# What waits for a provider that is down is not walked through to find the others'.
WAITING = """
WITH RECURSIVE waiting AS (
    (SELECT r.provider, r.sku FROM provider_request AS r
     WHERE r.bucket + 0 BETWEEN 0 AND 1023 AND r.next_at IS NOT NULL
     ORDER BY r.provider, r.sku LIMIT 1)
    UNION ALL
    SELECT n.provider, n.sku FROM waiting AS w
    CROSS JOIN LATERAL (
        SELECT r.provider, r.sku FROM provider_request AS r
        WHERE r.bucket + 0 BETWEEN 0 AND 1023 AND r.next_at IS NOT NULL
          AND (r.provider, r.sku) > (w.provider, w.sku)
        ORDER BY r.provider, r.sku LIMIT 1) AS n)
"""
# The same index. A glance without locks: the first of each free lane, so that the lane of one
# member, or a provider that has enough to do, keeps nobody else from being seen.
_DUE = """
SELECT r.member_id, r.request_id, r.next_at FROM provider_request AS r
WHERE r.provider = s.provider AND r.sku = s.sku
  AND r.bucket + 0 BETWEEN $1 AND $2 AND r.next_at <= $3 AND r.next_at IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM provider_request AS o
      WHERE o.bucket = r.bucket AND o.member_id = r.member_id AND o.provider = r.provider
        AND o.sku = r.sku AND o.request_id <> r.request_id
        AND (o.claim_id = r.claim_id OR r.provider <> ALL({0}::text[]))
        AND (o.leased_until > $3 OR (o.next_at, o.request_id) < (r.next_at, r.request_id)))
ORDER BY r.next_at LIMIT {1}"""
_IS_STOPPED = """
EXISTS (SELECT FROM unnest({0}::text[], {1}::text[]) AS p (provider, sku)
        WHERE p.provider = s.provider AND p.sku = s.sku)"""
# In turns: the first of each provider, then the second of each.
DUE = f"""
{WAITING}
SELECT f.member_id, f.request_id
FROM (SELECT d.member_id, d.request_id, d.next_at, m.calls,
             row_number() OVER (PARTITION BY s.provider ORDER BY d.next_at) AS nth
      FROM waiting AS s
      CROSS JOIN LATERAL (
          SELECT greatest($4::int - coalesce(sum(u.calls), 0), 0)::int AS calls
          FROM unnest($9::text[], $10::int[]) AS u (provider, calls)
          WHERE u.provider = s.provider) AS m
      CROSS JOIN LATERAL ({_DUE.format("$8", "m.calls")}) AS d
      WHERE s.provider <> ALL($5::text[]) AND NOT {_IS_STOPPED.format("$6", "$7")}) AS f
WHERE f.nth <= f.calls
ORDER BY f.nth, f.next_at LIMIT $11
"""
# The same, of some providers or SKUs so many each: of a whole provider not what is stopped.
DUE_BY = f"""
{WAITING}
SELECT d.member_id, d.request_id
FROM unnest($4::text[], $5::text[], $6::int[]) AS w (provider, sku, calls)
CROSS JOIN LATERAL (
    SELECT d.member_id, d.request_id FROM waiting AS s
    CROSS JOIN LATERAL ({_DUE.format("$9", "w.calls")}) AS d
    WHERE s.provider = w.provider
      AND CASE w.sku WHEN '' THEN NOT {_IS_STOPPED.format("$7", "$8")} ELSE s.sku = w.sku END
    ORDER BY d.next_at LIMIT w.calls) AS d
"""


class Room(msgspec.Struct, frozen=True):
    """How many calls of a provider may be under way, and how many of some are."""

    most: int
    under_way: Mapping[str, int] = {}

    def of(self, provider: str) -> int:
        """Return how many calls more of a provider may go."""
        return max(self.most - self.under_way.get(provider, 0), 0)


class Way(msgspec.Struct, frozen=True):
    """How many requests of a provider may go, or of one of its SKUs."""

    provider: str
    sku: str
    calls: int


async def first(
    conn: Connection,
    buckets: tuple[int, int],
    now: datetime,
    *,
    room: Room,
    without: Collection[str],
    stopped: Collection[tuple[str, str]] = (),
    laneless: Sequence[str] = (),
) -> list[tuple[UUID, UUID]]:
    """Return (member, request) of requests whose time has come, of each provider as there is room.

    But not of providers `without`, nor of what is `stopped`: (provider, SKU).
    """
    told = [room.most, sorted(without), *_pairs(stopped), list(laneless)]
    under_way = list(room.under_way), list(room.under_way.values())
    found = await rows(conn, DUE, *buckets, now, *told, *under_way, PAGE)
    return [(row.member_id, row.request_id) for row in found]


async def first_by(
    conn: Connection,
    buckets: tuple[int, int],
    now: datetime,
    *,
    ways: Sequence[Way],
    stopped: Collection[tuple[str, str]],
    laneless: Sequence[str],
) -> list[tuple[UUID, UUID]]:
    """Return (member, request) of requests whose time has come, so many each way."""
    if not ways:
        return []
    names = [way.provider for way in ways], [way.sku for way in ways]
    calls = [way.calls for way in ways]
    told = [*names, calls, *_pairs(stopped), list(laneless)]
    found = await rows(conn, DUE_BY, *buckets, now, *told)
    return [(row.member_id, row.request_id) for row in found]


def _pairs(pairs: Collection[tuple[str, str]]) -> tuple[list[str], list[str]]:
    ordered = sorted(pairs)
    return [provider for provider, _ in ordered], [sku for _, sku in ordered]
