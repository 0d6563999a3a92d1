"""Claims with their holds: a claim's row moves with its order, a hold's never, and ends once."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.booking import Cancelled
from benefits.domain.lattice import UNTOLD, Course
from benefits.domain.ledger import Part
from benefits.domain.limits import Place
from benefits.domain.orders import DELIVERED, OrderState
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, Writer, rows, write


class ClaimRow(msgspec.Struct, kw_only=True):
    """A claim and where its order stands; `deadline` is set only while nothing was sent.

    It keeps the terms of the version of the programme that it was made under (U-3), in which
    windows it took room, by its cap and by `limits` (K-5), and until when it can be used (P-9).
    Its `course` is what the provider told of its use; at `ends_at` it ends by our clock. It has so
    many `codes` of our stock. What was asked for is the benefit, or what that came `instead_of`.
    A booking is `booked_for` a time, and cancelled freely until `cancel_until`; the member gave it
    up at `cancelled_at` (V-10). Where fewer pieces came than were `ordered` it is of those that
    came, and so many are still `missing` (V-5); while its hold has ended, of those of the hold.
    """

    claim_id: UUID
    member_id: UUID
    programme: str
    programme_version: int
    benefit: str
    quantity: int
    state: OrderState
    reason: str
    hold_id: UUID
    cap_window: str
    limits: tuple[Place, ...]
    claimed_at: datetime
    changed_at: datetime
    deadline: datetime | None
    provider_reference: str
    code_sealed: bytes | None
    use_until: datetime | None
    ends_at: datetime | None
    course: Course = UNTOLD
    codes: int = 0
    instead_of: str = ""
    booked_for: datetime | None = None
    cancel_until: datetime | None = None
    cancelled_at: datetime | None = None
    ordered: int | None = None
    missing: int = 0
    rest_until: datetime | None = None

    @property
    def wanted(self) -> int:
        """How many pieces were ordered."""
        return self.ordered or self.quantity

    @property
    def came(self) -> int:
        """How many of its pieces came, or all while nobody said that fewer did."""
        return min(self.quantity, self.wanted - self.missing)

    @property
    def told(self) -> int:
        """How many pieces we were told of that came: none before we were told of any."""
        is_told = self.ordered is not None or self.state in DELIVERED
        return self.wanted - self.missing if is_told else 0

    @property
    def cancelled(self) -> Cancelled:
        """Whether the member cancelled it, and when."""
        if self.cancelled_at is None or self.cancel_until is None:
            return Cancelled.NO
        in_time = self.cancelled_at < self.cancel_until
        return Cancelled.IN_TIME if in_time else Cancelled.LATE


class Reserved(msgspec.Struct, frozen=True):
    """Minor units of `unit` set aside in a budget."""

    unit: str
    budget: str
    minor: int


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """Units set aside for a claim, with the worst cost they reserve; its batch has the parts.

    `uncapped` of them do not count against the member's cap. `reserved` is what the batch set
    aside in the budget: None where it cost nothing. `provider` is who was asked for the order,
    whatever the programme says today. `paid_minor` is what all of it costs at the price at which
    some was captured, if any was.
    """

    hold_id: UUID
    member_id: UUID
    claim_id: UUID
    batch_id: UUID
    unit: str
    quantity: int
    cost_minor: int
    placed_at: datetime
    uncapped: int = 0
    parts: tuple[Part, ...] = ()
    reserved: Reserved | None = None
    provider: str = ""
    ended: bool = False
    paid_minor: int | None = None


class HoldEnd(msgspec.Struct, frozen=True):
    """How a hold ended: what was captured and what released, `uncapped` of it outside the cap.

    `spent_minor` is what was paid for what was captured: None where that is its worst cost (K-4).
    """

    hold_id: UUID
    batch_id: UUID
    captured: int
    released: int
    uncapped: int
    ended_at: datetime
    spent_minor: int | None


_COLUMNS = """c.claim_id, c.member_id, c.programme, c.benefit, c.quantity, c.state, c.reason,
       c.hold_id, c.cap_window, c.limits, c.claimed_at, c.changed_at, c.deadline,
       c.provider_reference, c.code_sealed, c.programme_version, c.use_until, c.used_at, c.used,
       c.ended_at, c.ends_at, c.codes, c.instead_of, c.booked_for, c.cancel_until,
       c.cancelled_at, c.ordered, c.missing, c.rest_until"""
INSERT = """
INSERT INTO claim (bucket, claim_id, member_id, programme, benefit, quantity, state, reason,
                   hold_id, cap_window, programme_version, limits, use_until, codes, ends_at,
                   instead_of, booked_for, cancel_until, claimed_at, changed_at, deadline)
SELECT n.*, $15, $15, $16
FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[],
            $7::text[], $8::text[], $9::uuid[], $10::text[], $11::int[], $12::jsonb[],
            $13::timestamptz[], $14::bigint[], $17::timestamptz[], $18::text[],
            $19::timestamptz[], $20::timestamptz[]) AS n
"""
UPDATE = """
UPDATE claim AS c
SET state = k.state, reason = k.reason, hold_id = k.hold_id, changed_at = k.changed_at,
    deadline = k.deadline, provider_reference = k.reference, code_sealed = k.code,
    used_at = k.used_at, used = k.used, ended_at = k.ended_at, cancelled_at = k.cancelled_at,
    quantity = k.quantity, ordered = k.ordered, missing = k.missing, rest_until = k.rest_until
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[],
            $7::timestamptz[], $8::text[], $9::bytea[], $10::timestamptz[], $11::bigint[],
            $12::timestamptz[], $13::timestamptz[], $14::bigint[], $15::bigint[], $16::bigint[],
            $17::timestamptz[])
     AS k (bucket, claim_id, state, reason, hold_id, changed_at, deadline, reference, code,
           used_at, used, ended_at, cancelled_at, quantity, ordered, missing, rest_until)
WHERE c.bucket = k.bucket AND c.claim_id = k.claim_id
"""
BY_ID = f"""
SELECT {_COLUMNS}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, claim_id)
JOIN claim AS c ON c.bucket = k.bucket AND c.claim_id = k.claim_id
"""
OWNERS = """
SELECT c.claim_id, c.member_id
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, claim_id)
JOIN claim AS c ON c.bucket = k.bucket AND c.claim_id = k.claim_id
"""
# ix_claim_unsent
OVERDUE = """
SELECT c.member_id, c.claim_id FROM claim AS c
WHERE c.bucket + 0 BETWEEN $1 AND $2 AND c.deadline <= $3 AND c.deadline IS NOT NULL
ORDER BY c.deadline LIMIT $4
"""
COUNT_OVERDUE = """
SELECT count(*) FROM claim AS c
WHERE c.bucket + 0 BETWEEN $1 AND $2 AND c.deadline <= $3 AND c.deadline IS NOT NULL
"""
# ix_claim_unused. What the provider is just told to be used, or given up, does not end.
_UNTOLD = """NOT EXISTS (
      SELECT FROM provider_request AS r
      WHERE r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
        AND r.verdict = '' AND (r.operation = 'REDEEM' AND r.next_at IS NOT NULL
                                OR r.operation = 'REVOKE' AND c.cancelled_at IS NOT NULL))"""
_UNUSED = f"""
FROM claim AS c
WHERE c.bucket + 0 BETWEEN $1 AND $2 AND c.ends_at <= $3 AND c.ends_at IS NOT NULL
  AND c.state IN ('ISSUED', 'CONFIRMED', 'PARTLY_REDEEMED')
  AND {_UNTOLD}
"""
UNUSED = f"SELECT c.member_id, c.claim_id {_UNUSED} ORDER BY c.ends_at LIMIT $4"
COUNT_UNUSED = f"SELECT count(*) {_UNUSED}"
STILL_UNUSED = f"""
SELECT c.claim_id
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, claim_id)
JOIN claim AS c ON c.bucket = k.bucket AND c.claim_id = k.claim_id
WHERE {_UNTOLD}
"""
INSERT_HOLDS = """
INSERT INTO hold (bucket, hold_id, member_id, claim_id, batch_id, unit, quantity, cost_minor,
                  placed_at, uncapped)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                     $7::bigint[], $8::bigint[], $9::timestamptz[], $10::bigint[])
"""
INSERT_ENDS = """
INSERT INTO hold_end (bucket, hold_id, batch_id, captured, released, ended_at, uncapped,
                      spent_minor)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[],
                     $6::timestamptz[], $7::bigint[], $8::bigint[])
"""
HOLDS = """
SELECT h.hold_id, h.member_id, h.claim_id, h.batch_id, h.unit, h.quantity, h.cost_minor,
       h.placed_at, h.uncapped, e.hold_id IS NOT NULL AS ended, r.provider,
       e.spent_minor * h.quantity / nullif(e.captured, 0) AS paid_minor
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, hold_id)
JOIN hold AS h ON h.bucket = k.bucket AND h.hold_id = k.hold_id
LEFT JOIN hold_end AS e ON e.bucket = k.bucket AND e.hold_id = k.hold_id
LEFT JOIN LATERAL (
    SELECT q.provider FROM provider_request AS q
    WHERE q.bucket = h.bucket AND q.member_id = h.member_id AND q.claim_id = h.claim_id
      AND q.operation = 'ISSUE'
    ORDER BY q.request_id DESC LIMIT 1) AS r ON true
"""
# Primary key of the one partition a batch id lies in. A re-issued claim's batch captures at once:
# only `held` and what was reserved for it count. Of an archived month nothing is there; its holds
# have all ended.
PARTS = """
SELECT p.batch_id, p.lot_id, p.amount, p.unit, p.party
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, batch_id)
JOIN posting AS p ON p.bucket = k.bucket AND p.batch_id = k.batch_id
WHERE p.credit IN ('held', 'budget.reserved')
ORDER BY p.batch_id, p.line
"""
NEW_CASES = """
INSERT INTO case_file (bucket, case_id, member_id, claim_id, kind, detail, opened_at)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                     $7::timestamptz[])
"""


async def put(writer: Writer, claims: Sequence[ClaimRow], deadline: datetime) -> None:
    """Insert new claims, placed at one instant and to be sent before `deadline`."""
    if not claims:
        return
    ids = [c.claim_id for c in claims]
    await write(
        writer,
        INSERT,
        [bucket_of(id_) for id_ in ids],
        ids,
        [c.member_id for c in claims],
        [c.programme for c in claims],
        [c.benefit for c in claims],
        [c.quantity for c in claims],
        [c.state.value for c in claims],
        [c.reason for c in claims],
        [c.hold_id for c in claims],
        [c.cap_window for c in claims],
        [c.programme_version for c in claims],
        [msgspec.json.encode(c.limits).decode() if c.limits else None for c in claims],
        [c.use_until for c in claims],
        [c.codes for c in claims],
        claims[0].claimed_at,
        deadline,
        [c.ends_at for c in claims],
        [c.instead_of for c in claims],
        [c.booked_for for c in claims],
        [c.cancel_until for c in claims],
    )


async def update(writer: Writer, claims: Sequence[ClaimRow]) -> None:
    """Store where claims stand now."""
    if not claims:
        return
    ids = [c.claim_id for c in claims]
    await write(
        writer,
        UPDATE,
        [bucket_of(id_) for id_ in ids],
        ids,
        [c.state.value for c in claims],
        [c.reason for c in claims],
        [c.hold_id for c in claims],
        [c.changed_at for c in claims],
        [c.deadline for c in claims],
        [c.provider_reference for c in claims],
        [c.code_sealed for c in claims],
        [c.course.used_at for c in claims],
        [c.course.used for c in claims],
        [c.course.ended_at for c in claims],
        [c.cancelled_at for c in claims],
        [c.quantity for c in claims],
        [c.ordered for c in claims],
        [c.missing for c in claims],
        [c.rest_until for c in claims],
    )


async def owners(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return by id whose claims they are, which never changes."""
    wanted = sorted(set(ids))
    found = await rows(conn, OWNERS, [bucket_of(id_) for id_ in wanted], wanted)
    return {row.claim_id: row.member_id for row in found}


async def by_id(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, ClaimRow]:
    """Return claims by id."""
    wanted = sorted(set(ids))
    found = await rows(conn, BY_ID, [bucket_of(id_) for id_ in wanted], wanted)
    return {row.claim_id: _claim(row) for row in found}


def _claim(row: Any) -> ClaimRow:
    values = row._asdict()
    values["state"] = OrderState(values["state"])
    values["course"] = Course(*(values.pop(name) for name in ("used_at", "used", "ended_at")))
    values["limits"] = msgspec.convert(values["limits"] or (), tuple[Place, ...])
    return ClaimRow(**values)


async def overdue(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[tuple[UUID, UUID]]:
    """Return (member, claim) where the deadline for sending has passed, in a range of buckets."""
    found = await rows(conn, OVERDUE, *buckets, now, limit)
    return [(row.member_id, row.claim_id) for row in found]


async def count_overdue(conn: Connection, buckets: tuple[int, int], now: datetime) -> int:
    """Return of how many claims the deadline for sending has passed, in a range of buckets."""
    ((count,),) = await rows(conn, COUNT_OVERDUE, *buckets, now)
    return int(count)


async def unused(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[tuple[UUID, UUID]]:
    """Return (member, claim) of what was delivered and not used in time, in a range of buckets."""
    found = await rows(conn, UNUSED, *buckets, now, limit)
    return [(row.member_id, row.claim_id) for row in found]


async def still_unused(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Return the claims no use of which is being told; their members are locked."""
    found = await rows(conn, STILL_UNUSED, [bucket_of(id_) for id_ in ids], list(ids))
    return [row.claim_id for row in found]


async def count_unused(conn: Connection, buckets: tuple[int, int], now: datetime) -> int:
    """Return how much was delivered and not used in time, in a range of buckets."""
    ((count,),) = await rows(conn, COUNT_UNUSED, *buckets, now)
    return int(count)


async def put_holds(writer: Writer, holds: Sequence[HoldRow]) -> None:
    """Insert holds."""
    if not holds:
        return
    await write(
        writer,
        INSERT_HOLDS,
        [bucket_of(h.hold_id) for h in holds],
        [h.hold_id for h in holds],
        [h.member_id for h in holds],
        [h.claim_id for h in holds],
        [h.batch_id for h in holds],
        [h.unit for h in holds],
        [h.quantity for h in holds],
        [h.cost_minor for h in holds],
        [h.placed_at for h in holds],
        [h.uncapped for h in holds],
    )


async def end_holds(writer: Writer, ends: Sequence[HoldEnd]) -> None:
    """Record how holds ended; a hold ends once, by primary key (I6)."""
    if not ends:
        return
    await write(
        writer,
        INSERT_ENDS,
        [bucket_of(e.hold_id) for e in ends],
        [e.hold_id for e in ends],
        [e.batch_id for e in ends],
        [e.captured for e in ends],
        [e.released for e in ends],
        [e.ended_at for e in ends],
        [e.uncapped for e in ends],
        [e.spent_minor for e in ends],
    )


async def holds(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, HoldRow]:
    """Return holds by id with the lots they took from."""
    wanted = sorted(set(ids))
    found = await rows(conn, HOLDS, [bucket_of(id_) for id_ in wanted], wanted)
    batches = sorted({row.batch_id for row in found})
    parts = dict[UUID, list[Part]]()
    reserved = dict[UUID, Reserved]()
    for row in await rows(conn, PARTS, [bucket_of(id_) for id_ in batches], batches):
        if row.lot_id is None:
            reserved[row.batch_id] = Reserved(row.unit, row.party, row.amount)
        else:
            parts.setdefault(row.batch_id, []).append(Part(row.lot_id, row.amount))
    return {
        row.hold_id: HoldRow(
            hold_id=row.hold_id,
            member_id=row.member_id,
            claim_id=row.claim_id,
            batch_id=row.batch_id,
            unit=row.unit,
            quantity=row.quantity,
            cost_minor=row.cost_minor,
            placed_at=row.placed_at,
            uncapped=row.uncapped,
            parts=tuple(parts[row.batch_id] if not row.ended else parts.get(row.batch_id, ())),
            reserved=reserved.get(row.batch_id),
            provider=row.provider or "",
            ended=row.ended,
            paid_minor=row.paid_minor,
        )
        for row in found
    }


class Case(msgspec.Struct, frozen=True):
    """Something a person must look at."""

    case_id: UUID
    member_id: UUID | None
    claim_id: UUID | None
    kind: str
    detail: str
    opened_at: datetime


OPEN_CASES = """
SELECT f.claim_id, f.kind
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, claim_id)
JOIN case_file AS f ON f.bucket = k.bucket AND f.claim_id = k.claim_id
WHERE f.closed_at IS NULL
"""


async def open_cases_of(conn: Connection, ids: Iterable[UUID]) -> set[tuple[UUID, str]]:
    """Return (claim, kind) of the cases that are open about claims."""
    wanted = sorted(set(ids))
    found = await rows(conn, OPEN_CASES, [bucket_of(id_) for id_ in wanted], wanted)
    return {(row.claim_id, row.kind) for row in found}


# ix_case_file_bucket_claim_id
SAME_CASES = """
SELECT f.bucket, f.kind, f.detail
FROM unnest($1::smallint[], $2::text[], $3::text[]) AS k (bucket, kind, detail)
JOIN case_file AS f
  ON f.bucket = k.bucket AND f.claim_id IS NULL AND f.kind = k.kind AND f.detail = k.detail
WHERE f.closed_at IS NULL
"""
LOCK_CASES = """
SELECT pg_advisory_xact_lock(hashtext('benefits.case'), n) FROM unnest($1::int[]) AS n ORDER BY n
"""


async def lock_cases(conn: Connection, buckets: Iterable[int]) -> None:
    """Let cases of no member come, and go, one after the other in these buckets."""
    await rows(conn, LOCK_CASES, sorted(set(buckets)))


async def not_open(conn: Connection, cases: Sequence[Case]) -> list[Case]:
    """Return those cases of no member about whose very matter none is open; no two race."""
    if not cases:
        return []
    buckets = [bucket_of(c.case_id) for c in cases]
    await lock_cases(conn, buckets)
    found = await rows(
        conn, SAME_CASES, buckets, [c.kind for c in cases], [c.detail for c in cases]
    )
    known = {(row.bucket, row.kind, row.detail) for row in found}
    return [c for c in cases if (bucket_of(c.case_id), c.kind, c.detail) not in known]


async def open_cases(writer: Writer, cases: Sequence[Case]) -> None:
    """Insert cases."""
    if not cases:
        return
    await write(
        writer,
        NEW_CASES,
        [bucket_of(c.case_id) for c in cases],
        [c.case_id for c in cases],
        [c.member_id for c in cases],
        [c.claim_id for c in cases],
        [c.kind for c in cases],
        [c.detail for c in cases],
        [c.opened_at for c in cases],
    )
