"""Requests to providers and their attempts: the queue that delivery works off by leases.

A request's number is its id in hex, for ever. `attempt` counts the leases and fences them: whoever
comes back with an older number may tell what happened, but schedules nothing. At most one call is
in flight per lane (provider, member, SKU; of a provider without lanes: claim); of members who are
one person see `actions/lanes`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import msgspec

from benefits.domain.orders import Operation
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, Writer, rows, run, write


class RequestRow(msgspec.Struct, kw_only=True):
    """A request as stored; `body_sealed` is the neutral request, sealed.

    One about an order that stands ends with a `verdict`: done, or why the provider refused it. One
    that reverses names the redemption that it `undoes`. The provider asked not to be called about
    it `not_before` an instant.
    """

    request_id: UUID
    member_id: UUID
    claim_id: UUID
    provider: str
    sku: str
    operation: Operation
    body_sealed: bytes
    body_hash: bytes
    disclosed: list[str]
    created_at: datetime
    sent_by: datetime | None = None
    next_at: datetime | None = None
    leased_until: datetime | None = None
    attempt: int = 0
    queries: int = 0
    traceparent: str = ""
    undoes: UUID | None = None
    verdict: str = ""
    not_before: datetime | None = None

    @property
    def number(self) -> str:
        """The request's number at the provider."""
        return self.request_id.hex


class Leased(msgspec.Struct, frozen=True):
    """A request taken for one attempt; the last one's kind and outcome decide what to do."""

    request: RequestRow
    last_operation: Operation | None
    last_outcome: str


_COLUMNS = """r.request_id, r.member_id, r.claim_id, r.provider, r.sku, r.operation,
       r.body_sealed, r.body_hash, r.disclosed, r.created_at, r.sent_by, r.next_at,
       r.leased_until, r.attempt, r.queries, r.traceparent, r.undoes, r.verdict, r.not_before"""
INSERT = """
INSERT INTO provider_request (bucket, request_id, member_id, claim_id, provider, sku, operation,
                              body_sealed, body_hash, disclosed, created_at, next_at,
                              traceparent, undoes)
SELECT n.bucket, n.request_id, n.member_id, n.claim_id, n.provider, n.sku, n.operation,
       n.body_sealed, n.body_hash, string_to_array(n.disclosed, ' '), $11, $11, n.traceparent,
       n.undoes
FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
            $7::text[], $8::bytea[], $9::bytea[], $10::text[], $12::text[], $13::uuid[])
     AS n (bucket, request_id, member_id, claim_id, provider, sku, operation,
           body_sealed, body_hash, disclosed, traceparent, undoes)
"""
# Under the members' locks, so the lane cannot be taken twice. The first of a lane goes, the others
# wait their turn.
LEASE = f"""
WITH due AS (
    SELECT DISTINCT ON (r.provider, r.member_id, r.sku, l.claim_id) r.bucket, r.request_id
    FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, request_id)
    JOIN provider_request AS r ON r.bucket = k.bucket AND r.request_id = k.request_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.provider = ANY($5::text[]) THEN r.claim_id END AS claim_id) AS l
    WHERE r.next_at <= $3 AND NOT EXISTS (
        SELECT FROM provider_request AS o
        WHERE o.bucket = r.bucket AND o.member_id = r.member_id AND o.provider = r.provider
          AND o.sku = r.sku AND o.request_id <> r.request_id AND o.leased_until > $3
          AND (o.claim_id = r.claim_id OR l.claim_id IS NULL))
    ORDER BY r.provider, r.member_id, r.sku, l.claim_id, r.next_at)
UPDATE provider_request AS r
SET attempt = r.attempt + 1, leased_until = $4, next_at = $4, sent_by = coalesce(r.sent_by, $4)
FROM due WHERE r.bucket = due.bucket AND r.request_id = due.request_id
RETURNING {_COLUMNS}
"""
# ix_provider_request_bucket_member_id_claim_id
IN_FLIGHT = """
SELECT r.member_id, r.provider, r.sku
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN provider_request AS r ON r.bucket = k.bucket AND r.member_id = k.member_id
WHERE r.leased_until > $3
"""
LAST_ATTEMPTS = """
SELECT a.request_id, a.operation, a.outcome
FROM unnest($1::smallint[], $2::uuid[], $3::int[]) AS k (bucket, request_id, attempt)
JOIN provider_attempt AS a
  ON a.bucket = k.bucket AND a.request_id = k.request_id AND a.attempt = k.attempt - 1
"""
INSERT_ATTEMPTS = """
INSERT INTO provider_attempt (bucket, request_id, attempt, operation, started_at)
SELECT n.*, $5 FROM unnest($1::smallint[], $2::uuid[], $3::int[], $4::text[]) AS n
"""
END_ATTEMPTS = """
UPDATE provider_attempt AS a SET ended_at = $4, outcome = k.outcome, evidence = k.evidence
FROM unnest($1::smallint[], $2::uuid[], $3::int[], $5::text[], $6::text[])
     AS k (bucket, request_id, attempt, outcome, evidence)
WHERE a.bucket = k.bucket AND a.request_id = k.request_id AND a.attempt = k.attempt
"""
SENT = """
SELECT count(*) FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, request_id)
JOIN provider_attempt AS a ON a.bucket = k.bucket AND a.request_id = k.request_id
WHERE a.operation <> 'QUERY'
"""
# Fenced: only the newest attempt schedules.
SCHEDULE = """
UPDATE provider_request AS r
SET next_at = k.next_at, leased_until = NULL, queries = k.queries, sent_by = k.sent_by,
    verdict = coalesce(nullif(k.verdict, ''), r.verdict), not_before = k.not_before
FROM unnest($1::smallint[], $2::uuid[], $3::int[], $4::timestamptz[], $5::int[],
            $6::timestamptz[], $7::text[], $8::timestamptz[])
     AS k (bucket, request_id, attempt, next_at, queries, sent_by, verdict, not_before)
WHERE r.bucket = k.bucket AND r.request_id = k.request_id AND r.attempt = k.attempt
"""
# ix_provider_request_bucket_member_id_claim_id; what is still asked is left to its answer.
SETTLE = """
UPDATE provider_request SET verdict = 'settled'
WHERE bucket = $1 AND member_id = $2 AND claim_id = $3 AND operation = $4
  AND verdict = '' AND next_at IS NULL
"""
BY_ID = f"""
SELECT {_COLUMNS}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, request_id)
JOIN provider_request AS r ON r.bucket = k.bucket AND r.request_id = k.request_id
"""


async def put(writer: Writer, requests: Sequence[RequestRow], now: datetime) -> None:
    """Insert new requests, due at once."""
    if not requests:
        return
    await write(
        writer,
        INSERT,
        [bucket_of(r.request_id) for r in requests],
        [r.request_id for r in requests],
        [r.member_id for r in requests],
        [r.claim_id for r in requests],
        [r.provider for r in requests],
        [r.sku for r in requests],
        [r.operation.value for r in requests],
        [r.body_sealed for r in requests],
        [r.body_hash for r in requests],
        [" ".join(r.disclosed) for r in requests],
        now,
        [r.traceparent for r in requests],
        [r.undoes for r in requests],
    )


async def lease(
    conn: Connection,
    ids: Sequence[UUID],
    now: datetime,
    until: datetime,
    *,
    laneless: Sequence[str] = (),
) -> list[Leased]:
    """Take requests of locked members for one attempt each, at most one a lane; sorted by id."""
    buckets = [bucket_of(id_) for id_ in ids]
    taken = [
        _request(row)
        for row in await rows(conn, LEASE, buckets, list(ids), now, until, list(laneless))
    ]
    taken.sort(key=lambda r: r.request_id)
    again = [r for r in taken if r.attempt > 1]
    buckets, ids = [bucket_of(r.request_id) for r in again], [r.request_id for r in again]
    attempts = [r.attempt for r in again]
    last = await rows(conn, LAST_ATTEMPTS, buckets, ids, attempts) if again else []
    before = {row.request_id: (Operation(row.operation), row.outcome) for row in last}
    return [Leased(r, *before.get(r.request_id, (None, ""))) for r in taken]


async def in_flight(
    conn: Connection, ids: Sequence[UUID], now: datetime
) -> list[tuple[UUID, str, str]]:
    """Return (member, provider, SKU) of the calls under way for some members."""
    found = await rows(conn, IN_FLIGHT, [bucket_of(id_) for id_ in ids], list(ids), now)
    return [(row.member_id, row.provider, row.sku) for row in found]


async def begin_attempts(
    writer: Writer, attempts: Sequence[tuple[RequestRow, Operation]], now: datetime
) -> None:
    """Record that attempts are about to be made; a crash leaves one without outcome."""
    await write(
        writer,
        INSERT_ATTEMPTS,
        [bucket_of(r.request_id) for r, _ in attempts],
        [r.request_id for r, _ in attempts],
        [r.attempt for r, _ in attempts],
        [operation.value for _, operation in attempts],
        now,
    )


async def end_attempts(
    writer: Writer, ended: Sequence[tuple[RequestRow, str, str]], now: datetime
) -> None:
    """Record the outcome and evidence of attempts."""
    if not ended:
        return
    await write(
        writer,
        END_ATTEMPTS,
        [bucket_of(r.request_id) for r, _, _ in ended],
        [r.request_id for r, _, _ in ended],
        [r.attempt for r, _, _ in ended],
        now,
        [outcome for _, outcome, _ in ended],
        [evidence for _, _, evidence in ended],
    )


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """When a request is looked at next; the last byte left before `sent_by`, if any did.

    A `verdict` is what was decided of one about an order that stands. Whatever `next_at` says, it
    is not before the provider wants to be called again.
    """

    request: RequestRow
    next_at: datetime | None
    queries: int
    sent_by: datetime | None
    verdict: str = ""
    not_before: datetime | None = None

    @classmethod
    def again(cls, request: RequestRow, at: datetime | None, *, queries: int) -> Self:
        """Return a plan by which a request stands as before, but for when it is looked at."""
        return cls(
            request=request,
            next_at=at,
            queries=queries,
            sent_by=request.sent_by,
            not_before=request.not_before,
        )

    @property
    def due_at(self) -> datetime | None:
        """When it is due; None when nothing more is to be done."""
        if self.next_at is None or self.not_before is None:
            return self.next_at
        return max(self.next_at, self.not_before)


async def schedule(writer: Writer, plans: Sequence[Plan]) -> None:
    """Store when requests are due next, unless a newer attempt has been made since."""
    if not plans:
        return
    await write(
        writer,
        SCHEDULE,
        [bucket_of(p.request.request_id) for p in plans],
        [p.request.request_id for p in plans],
        [p.request.attempt for p in plans],
        [p.due_at for p in plans],
        [p.queries for p in plans],
        [p.sent_by for p in plans],
        [p.verdict for p in plans],
        [p.not_before for p in plans],
    )


async def settle(conn: Connection, member_id: UUID, claim_id: UUID, operation: Operation) -> None:
    """Let a person's word end what was asked about an order and never answered."""
    await run(conn, SETTLE, bucket_of(member_id), member_id, claim_id, operation.value)


async def by_id(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, RequestRow]:
    """Return requests by id."""
    found = await rows(conn, BY_ID, [bucket_of(id_) for id_ in ids], list(ids))
    return {row.request_id: _request(row) for row in found}


# Primary keys.
TRIED = """
SELECT a.request_id, a.started_at
FROM unnest($1::smallint[], $2::uuid[], $3::int[]) AS k (bucket, request_id, attempt)
JOIN provider_attempt AS a
  ON a.bucket = k.bucket AND a.request_id = k.request_id AND a.attempt = k.attempt
"""


async def tried_at(conn: Connection, requests: Sequence[RequestRow]) -> dict[UUID, datetime]:
    """Return by id when the newest attempt of each request began, of those ever tried."""
    ids = [r.request_id for r in requests]
    attempts = [r.attempt for r in requests]
    found = await rows(conn, TRIED, [bucket_of(id_) for id_ in ids], ids, attempts)
    return {row.request_id: row.started_at for row in found}


# ix_claim_reference, then ix_provider_request_bucket_member_id_claim_id.
REFERRED = """
SELECT k.provider, k.reference, array_agg(DISTINCT c.claim_id) AS claims
FROM unnest($1::text[], $2::text[]) AS k (provider, reference)
JOIN claim AS c ON c.provider_reference = k.reference AND c.provider_reference <> ''
 AND c.bucket BETWEEN 0 AND 1023
JOIN provider_request AS r
  ON r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
 AND r.operation = 'ISSUE' AND r.provider = k.provider
GROUP BY k.provider, k.reference
"""


async def referred(
    conn: Connection, named: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], UUID]:
    """Return the claims that providers gave a reference, by both, where it is of one alone."""
    providers, references = [one for one, _ in named], [one for _, one in named]
    found = await rows(conn, REFERRED, providers, references)
    return {(row.provider, row.reference): row.claims[0] for row in found if len(row.claims) == 1}


ASKED = """
SELECT r.request_id, r.provider, r.claim_id
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, request_id)
JOIN provider_request AS r ON r.bucket = k.bucket AND r.request_id = k.request_id
WHERE r.operation = 'ISSUE'
"""


async def asked(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[str, UUID]]:
    """Return by the id of an order's request which provider is asked, and for which claim."""
    found = await rows(conn, ASKED, [bucket_of(id_) for id_ in ids], list(ids))
    return {row.request_id: (row.provider, row.claim_id) for row in found}


OF_CLAIMS = f"""
SELECT {_COLUMNS}
FROM unnest($1::smallint[], $2::uuid[], $3::uuid[]) AS k (bucket, member_id, claim_id)
JOIN provider_request AS r
  ON r.bucket = k.bucket AND r.member_id = k.member_id AND r.claim_id = k.claim_id
"""


async def sent(conn: Connection, requests: Sequence[RequestRow]) -> int:
    """Return how often the requests of one claim were sent; to ask about them does not count."""
    ids = [request.request_id for request in requests]
    ((count,),) = await rows(conn, SENT, [bucket_of(id_) for id_ in ids], ids)
    return int(count)


async def of_claims(
    conn: Connection, claims: Sequence[tuple[UUID, UUID]]
) -> dict[UUID, list[RequestRow]]:
    """Return the requests of (member, claim) pairs, by claim."""
    members = [member_id for member_id, _ in claims]
    ids = [claim_id for _, claim_id in claims]
    found = await rows(conn, OF_CLAIMS, [bucket_of(id_) for id_ in members], members, ids)
    requests = dict[UUID, list[RequestRow]]()
    for row in found:
        requests.setdefault(row.claim_id, []).append(_request(row))
    return requests


def _request(row: Any) -> RequestRow:
    values = row._asdict()
    values["operation"] = Operation(values["operation"])
    return RequestRow(**values)
