"""The journal: what one transaction records of its members, written in one statement per table.

Batches, postings, lots, wallets, events and the members' own sequence are gathered while commands
are decided one after the other, so each sees what the one before it did, and are written together
at the end. Every batch has exactly one ledger event (I12). A member's history is strictly ordered:
each record of a member is at least a microsecond after the one before, whatever the clock says
(`recorded_at`). When it was true is what the clock says (`effective_at`), so a clock that was once
ahead books nothing later into the future.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.events import EVENTS
from benefits.domain.ledger import Account, Lot, Posting, post
from benefits.domain.values import NewId, bucket_of
from benefits.store import members
from benefits.store.db import Connection, Writer, prepare, rows, write
from benefits.store.members import Member
from benefits.store.months import BOOKED_MONTH

MAKE_GOOD = "MAKE_GOOD"
INSERT_BATCHES = f"""
INSERT INTO batch (bucket, batch_id, member_id, kind, cause_id, actor, effective_at, recorded_at,
                   reverses, booked_month)
SELECT n.*, {BOOKED_MONTH}
FROM installation AS i,
     unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[],
            $7::timestamptz[], $8::timestamptz[], $9::uuid[])
     AS n (bucket, batch_id, member_id, kind, cause_id, actor, effective_at, recorded_at, reverses)
"""
INSERT_POSTINGS = """
INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, lot_id, party)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::text[], $5::text[],
                     $6::text[], $7::bigint[], $8::uuid[], $9::text[])
"""
INSERT_LOTS = """
INSERT INTO lot (bucket, lot_id, member_id, unit, programme, line, period, cause, priority,
                 granted, remaining, held, expired, redeemed, granted_at, expires_at)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::text[], $9::smallint[], $10::bigint[], $11::bigint[],
                     $12::bigint[], $13::bigint[], $14::bigint[], $15::timestamptz[],
                     $16::timestamptz[])
"""
_UPDATE_LOTS = """
UPDATE lot AS l
SET remaining = k.remaining, held = k.held, expired = k.expired, redeemed = k.redeemed{0}
FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
     AS k (bucket, lot_id, remaining, held, expired, redeemed)
WHERE l.bucket = k.bucket AND l.lot_id = k.lot_id
"""
# What comes back to a swept lot, by a clock that was set back before its end, is swept again.
UPDATE_LOTS = _UPDATE_LOTS.format(", swept = l.swept AND k.remaining = k.held")
END_LOTS = _UPDATE_LOTS.format(", swept = true")
NEW_WALLETS = """
INSERT INTO wallet (bucket, member_id, unit, available, held)
SELECT *, 0, 0 FROM unnest($1::smallint[], $2::uuid[], $3::text[]) ON CONFLICT DO NOTHING
"""
UPDATE_WALLETS = """
UPDATE wallet AS w
SET available = w.available + k.available, held = w.held + k.held, owed = w.owed + k.owed
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
     AS k (bucket, member_id, unit, available, held, owed)
WHERE w.bucket = k.bucket AND w.member_id = k.member_id AND w.unit = k.unit
"""
# Where nothing is taken away, new wallets and old in one. A row that takes away would be refused
# as if it were a new wallet's.
ADD_TO_WALLETS = """
INSERT INTO wallet (bucket, member_id, unit, available, held, owed)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[],
                     $6::bigint[])
ON CONFLICT (bucket, member_id, unit) DO UPDATE
SET available = wallet.available + excluded.available, held = wallet.held + excluded.held,
    owed = wallet.owed + excluded.owed
"""
# The position is the transaction's, yet never before that of the member's last event.
INSERT_EVENTS = """
INSERT INTO outbox (bucket, member_id, seq, event_id, type, batch_id, subject_id, data,
                    recorded_at, position)
SELECT n.bucket, n.member_id, n.seq, n.event_id, n.type, n.batch_id, n.subject_id, n.data,
       n.recorded_at, greatest(n.before, event_position())
FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::uuid[],
            $7::uuid[], $8::jsonb[], $9::timestamptz[], $10::bigint[])
     AS n (bucket, member_id, seq, event_id, type, batch_id, subject_id, data, recorded_at, before)
"""
# ix_lot_bucket_member_id_unit_expires_at. Ended lots stay in sight for a while: why a claim fails
# is their story.
LOTS_OF = """
SELECT l.member_id, l.lot_id, l.unit, l.granted, l.remaining, l.held, l.expires_at, l.granted_at,
       l.priority, l.expired, l.redeemed, l.cause
FROM unnest($1::smallint[], $2::uuid[], $3::text[]) AS k (bucket, member_id, unit)
JOIN lot AS l ON l.bucket = k.bucket AND l.member_id = k.member_id AND l.unit = k.unit
WHERE l.expires_at > $4::timestamptz - interval '35 days'
   OR (l.expires_at IS NULL AND l.remaining > 0)
"""
LOTS_BY_ID = """
SELECT l.member_id, l.lot_id, l.unit, l.granted, l.remaining, l.held, l.expires_at, l.granted_at,
       l.priority, l.expired, l.redeemed, l.cause
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, lot_id)
JOIN lot AS l ON l.bucket = k.bucket AND l.lot_id = k.lot_id
"""
# ix_lot_unswept
ENDED = """
SELECT l.member_id, l.lot_id FROM lot AS l
WHERE l.bucket + 0 BETWEEN $1 AND $2 AND l.expires_at <= $3 AND NOT l.swept
  AND l.expires_at IS NOT NULL
ORDER BY l.expires_at LIMIT $4
"""
COUNT_ENDED = """
SELECT count(*) FROM lot AS l
WHERE l.bucket + 0 BETWEEN $1 AND $2 AND l.expires_at <= $3 AND NOT l.swept
  AND l.expires_at IS NOT NULL
"""
# Primary key of wallet.
OWED = """
SELECT w.member_id, w.unit, w.owed
FROM unnest($1::smallint[], $2::uuid[], $3::text[]) AS k (bucket, member_id, unit)
JOIN wallet AS w ON w.bucket = k.bucket AND w.member_id = k.member_id AND w.unit = k.unit
WHERE w.owed > 0
"""


class Origin(msgspec.Struct, frozen=True):
    """Where a lot comes from: the package line and period, or the reward that granted it."""

    programme: str
    line: str
    period: str
    cause: str


class _Batch(msgspec.Struct):
    batch_id: UUID
    member_id: UUID
    kind: str
    cause_id: UUID | None
    actor: str
    effective_at: datetime
    recorded_at: datetime
    postings: Sequence[Posting]
    reverses: UUID | None


class _Event(msgspec.Struct):
    member_id: UUID
    seq: int
    event_id: UUID
    type: str
    batch_id: UUID | None
    subject_id: UUID | None
    data: str
    recorded_at: datetime


class Journal:
    """Gathers records about locked members; `write` puts them into the database."""

    def __init__(self, locked: Mapping[UUID, Member], now: datetime, new_id: NewId) -> None:
        """Begin for members that this transaction has locked; `now` was read after the locks."""
        self._members = dict(locked)
        self._now = now
        self._new_id = new_id
        self.lots: dict[UUID, Lot] = {}
        self._owned: dict[tuple[UUID, str], list[UUID]] = {}
        self._new_lots: dict[UUID, tuple[UUID, Origin]] = {}
        self._changed: set[UUID] = set()
        self._ended: set[UUID] = set()
        self._batches: list[_Batch] = []
        self._events: list[_Event] = []
        self._wallets: dict[tuple[UUID, str], list[int]] = {}
        self._owed: dict[tuple[UUID, str], int] = {}
        self._last: dict[UUID, tuple[int, datetime]] = {}

    def load(self, lots: Iterable[tuple[UUID, Lot]]) -> None:
        """Take lots with their members, as read under the locks."""
        for member_id, lot in lots:
            if lot.lot_id not in self.lots:
                self._owned.setdefault((member_id, lot.unit), []).append(lot.lot_id)
            self.lots[lot.lot_id] = lot

    def counts_for(self, member_id: UUID) -> UUID | None:
        """Return for whom a locked member counts now; None unless they were merged (T-10)."""
        return self._members[member_id].merged_into

    def has_left(self, member_id: UUID, today: date) -> bool:
        """Say whether a locked member's relationship is over, and they count for nobody else."""
        member = self._members[member_id]
        is_over = member.closed_on is not None and member.closed_on < today
        return is_over and member.merged_into is None

    def load_owed(self, owed: Mapping[tuple[UUID, str], int]) -> None:
        """Take what members owe of units, as read under the locks."""
        self._owed.update(owed)

    def owed(self, member_id: UUID, unit: str) -> int:
        """Return what a member owes of a unit, as the commands before have left it (L-8)."""
        change = self._wallets.get((member_id, unit), (0, 0, 0))[2]
        return self._owed.get((member_id, unit), 0) + change

    def lots_of(self, member_id: UUID, unit: str) -> tuple[Lot, ...]:
        """Return the loaded lots of a member in a unit, as the commands before have left them."""
        return tuple(self.lots[id_] for id_ in self._owned.get((member_id, unit), ()))

    def id_for(self, member_id: UUID) -> UUID:
        """Return a new id in the member's bucket."""
        return self._new_id(self._now, bucket_of(member_id))

    @property
    def now(self) -> datetime:
        """When all of it is recorded, but for what must come after earlier records."""
        return self._now

    def now_for(self, member_id: UUID) -> datetime:
        """Return the instant of the next record of a member: after every earlier one."""
        _, last = self._last_of(member_id)
        return max(self._now, last + timedelta(microseconds=1))

    def post(
        self,
        member_id: UUID,
        kind: str,
        postings: Sequence[Posting],
        *,
        actor: str,
        subject_id: UUID | None,
        data: Mapping[str, Any],
        cause_id: UUID | None = None,
        effective_at: datetime | None = None,
        reverses: UUID | None = None,
    ) -> UUID:
        """Record one batch and its ledger event of type `kind`; return the batch's id."""
        assert postings, "a batch has postings"
        at = self.now_for(member_id)
        batch_id = self._new_id(at, bucket_of(member_id))
        touched = {p.lot_id: self.lots[p.lot_id] for p in postings if p.lot_id is not None}
        self.lots.update(post(touched, postings))
        self._changed.update(touched)
        for posting in postings:
            self._count(member_id, posting)
        true_at = effective_at or self._now  # a clock that was once ahead moves only what is after
        self._batches.append(
            _Batch(batch_id, member_id, kind, cause_id, actor, true_at, at, postings, reverses)
        )
        self.event(member_id, kind, subject_id=subject_id, data=data, batch_id=batch_id)
        return batch_id

    def event(
        self,
        member_id: UUID,
        kind: str,
        *,
        subject_id: UUID | None,
        data: Mapping[str, Any],
        batch_id: UUID | None = None,
    ) -> None:
        """Record an event of a member under the next number of their sequence."""
        assert kind in EVENTS, f"{kind} is not in the catalogue of events"
        seq, _ = self._last_of(member_id)
        at = self.now_for(member_id)
        self._last[member_id] = (seq + 1, at)
        text = msgspec.json.encode(data).decode()
        event_id = self._new_id(at, bucket_of(member_id))
        self._events.append(
            _Event(member_id, seq + 1, event_id, kind, batch_id, subject_id, text, at)
        )

    def new_lot(self, member_id: UUID, lot: Lot, origin: Origin) -> None:
        """Take a lot that is about to be granted by the next `post`."""
        self.load([(member_id, lot)])
        self._new_lots[lot.lot_id] = (member_id, origin)

    def end_lot(self, lot_id: UUID) -> None:
        """Note that the end of a loaded lot is recorded: what still comes back ends at once."""
        self._ended.add(lot_id)

    async def write(self, writer: Writer) -> None:
        """Write everything gathered; nothing when nothing was."""
        if self._batches:
            await self._write_batches(writer)
            await self._write_lots(writer)
            await self._write_wallets(writer)
        if self._ended:
            await self._update_lots(writer, END_LOTS, self._ended)
        if self._events:
            await self._write_events(writer)
            await members.mark(writer, [(id_, seq, at) for id_, (seq, at) in self._last.items()])

    def _last_of(self, member_id: UUID) -> tuple[int, datetime]:
        member = self._members[member_id]
        return self._last.get(member_id, (member.event_seq, member.recorded_at))

    def _count(self, member_id: UUID, posting: Posting) -> None:
        for account, amount in (
            (posting.debit, -posting.amount),
            (posting.credit, posting.amount),
        ):
            place = _place(account)
            if place is not None:
                wallet = self._wallets.setdefault((member_id, posting.unit), [0, 0, 0])
                wallet[place] += -amount if account is Account.DEBT else amount

    async def _write_batches(self, writer: Writer) -> None:
        batches = self._batches
        await write(
            writer,
            INSERT_BATCHES,
            [bucket_of(b.batch_id) for b in batches],
            [b.batch_id for b in batches],
            [b.member_id for b in batches],
            [b.kind for b in batches],
            [b.cause_id for b in batches],
            [b.actor for b in batches],
            [b.effective_at for b in batches],
            [b.recorded_at for b in batches],
            [b.reverses for b in batches],
        )
        lines = [(b.batch_id, n, p) for b in batches for n, p in enumerate(b.postings)]
        await write(
            writer,
            INSERT_POSTINGS,
            [bucket_of(id_) for id_, _, _ in lines],
            [id_ for id_, _, _ in lines],
            [n for _, n, _ in lines],
            [p.debit.value for _, _, p in lines],
            [p.credit.value for _, _, p in lines],
            [p.unit for _, _, p in lines],
            [p.amount for _, _, p in lines],
            [p.lot_id for _, _, p in lines],
            [p.party for _, _, p in lines],
        )

    async def _write_lots(self, writer: Writer) -> None:
        new = [(member_id, self.lots[id_], o) for id_, (member_id, o) in self._new_lots.items()]
        if new:
            await write(
                writer,
                INSERT_LOTS,
                [bucket_of(lot.lot_id) for _, lot, _ in new],
                [lot.lot_id for _, lot, _ in new],
                [member_id for member_id, _, _ in new],
                [lot.unit for _, lot, _ in new],
                [origin.programme for _, _, origin in new],
                [origin.line for _, _, origin in new],
                [origin.period for _, _, origin in new],
                [origin.cause for _, _, origin in new],
                [lot.priority for _, lot, _ in new],
                [lot.granted for _, lot, _ in new],
                [lot.remaining for _, lot, _ in new],
                [lot.held for _, lot, _ in new],
                [lot.expired for _, lot, _ in new],
                [lot.redeemed for _, lot, _ in new],
                [lot.granted_at for _, lot, _ in new],
                [lot.expires_at for _, lot, _ in new],
            )
        old = self._changed - self._new_lots.keys() - self._ended
        if old:
            await self._update_lots(writer, UPDATE_LOTS, old)

    async def _update_lots(self, writer: Writer, statement: str, ids: Iterable[UUID]) -> None:
        lots = [self.lots[id_] for id_ in ids]
        await write(
            writer,
            statement,
            [bucket_of(lot.lot_id) for lot in lots],
            [lot.lot_id for lot in lots],
            [lot.remaining for lot in lots],
            [lot.held for lot in lots],
            [lot.expired for lot in lots],
            [lot.redeemed for lot in lots],
        )

    async def _write_wallets(self, writer: Writer) -> None:
        if not self._wallets:
            return
        buckets = [bucket_of(member_id) for member_id, _ in self._wallets]
        ids = [member_id for member_id, _ in self._wallets]
        units = [unit for _, unit in self._wallets]
        available, held, owed = map(list, zip(*self._wallets.values(), strict=True))
        if self._new_lots and min(map(min, self._wallets.values())) >= 0:
            await write(writer, ADD_TO_WALLETS, buckets, ids, units, available, held, owed)
            return
        if self._new_lots or any(owed):
            await prepare(writer, NEW_WALLETS, buckets, ids, units)
        await write(writer, UPDATE_WALLETS, buckets, ids, units, available, held, owed)

    async def _write_events(self, writer: Writer) -> None:
        events = self._events
        await write(
            writer,
            INSERT_EVENTS,
            [bucket_of(e.member_id) for e in events],
            [e.member_id for e in events],
            [e.seq for e in events],
            [e.event_id for e in events],
            [e.type for e in events],
            [e.batch_id for e in events],
            [e.subject_id for e in events],
            [e.data for e in events],
            [e.recorded_at for e in events],
            [self._members[e.member_id].event_position for e in events],
        )


def _place(account: Account) -> int | None:
    """Return where an account stands in a wallet: a debt is what `debt` is below zero."""
    if account is Account.AVAILABLE:
        return 0
    if account is Account.HELD:
        return 1
    return 2 if account is Account.DEBT else None


def lot_of(row: Any) -> tuple[UUID, Lot]:
    """Return a row of these statements as a lot, with its member."""
    return row.member_id, Lot(
        lot_id=row.lot_id,
        unit=row.unit,
        granted=row.granted,
        remaining=row.remaining,
        held=row.held,
        expires_at=row.expires_at,
        granted_at=row.granted_at,
        priority=row.priority,
        expired=row.expired,
        redeemed=row.redeemed,
        capped=row.cause != MAKE_GOOD,
    )


async def lots_of(
    conn: Connection, wanted: Sequence[tuple[UUID, str]], now: datetime
) -> list[tuple[UUID, Lot]]:
    """Return the lots of (member, unit) pairs that can be spent or ended lately, by member."""
    pairs = sorted(set(wanted))
    ids = [member_id for member_id, _ in pairs]
    units = [unit for _, unit in pairs]
    found = await rows(conn, LOTS_OF, [bucket_of(id_) for id_ in ids], ids, units, now)
    return [lot_of(row) for row in found]


async def lots_by_id(conn: Connection, ids: Sequence[UUID]) -> list[tuple[UUID, Lot]]:
    """Return the named lots with their member."""
    found = await rows(conn, LOTS_BY_ID, [bucket_of(id_) for id_ in ids], list(ids))
    return [lot_of(row) for row in found]


async def ended_lots(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[tuple[UUID, UUID]]:
    """Return (member, lot) of lots that ended unspent, earliest first, in a range of buckets."""
    found = await rows(conn, ENDED, *buckets, now, limit)
    return [(row.member_id, row.lot_id) for row in found]


async def count_ended(conn: Connection, buckets: tuple[int, int], now: datetime) -> int:
    """Return how many lots have ended in a range of buckets whose end is not recorded."""
    ((count,),) = await rows(conn, COUNT_ENDED, *buckets, now)
    return int(count)


async def owed(
    conn: Connection, wanted: Iterable[tuple[UUID, str]]
) -> dict[tuple[UUID, str], int]:
    """Return what members owe of units (L-8); absent means nothing."""
    pairs = sorted(set(wanted))
    ids = [member_id for member_id, _ in pairs]
    units = [unit for _, unit in pairs]
    found = await rows(conn, OWED, [bucket_of(id_) for id_ in ids], ids, units)
    return {(row.member_id, row.unit): row.owed for row in found}
