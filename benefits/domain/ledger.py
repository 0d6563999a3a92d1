"""The entitlement ledger's rules: postings, lots, a template for each business event (L-1 to L-6).

A posting moves units from its debit account to its credit account, so the books sum to zero by
construction. An account's balance is credits minus debits. Lots are what a member holds; a lot's
figures are a fold of its postings:

    granted = available + held + redeemed + expired          (L-4)

Templates are pure: they take lots and return postings; `post` applies postings to lots and stops
the world when a balance would be negative, because a template that could do that is a bug, not a
refusal.

    grant     issued    -> available      new lot
    hold      available -> held           FEFO over the lots (L-3)
    capture   held      -> redeemed
    release   held      -> available      and at once -> expired where the lot has ended (L-6)
    expire    available -> expired        effective as of the lot's end, whenever recorded (L-5)
    make_up   issued    -> loss           a provider delivered what no unit is left for (G-CB-4)
"""

import enum
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.refusal import Refusal


class Account(enum.Enum):
    """Accounts for units: `issued` is the contra account, `loss` what was given unentitled."""

    ISSUED = "issued"
    AVAILABLE = "available"
    HELD = "held"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    LOSS = "loss"


class InsufficientUnits(Refusal):
    """Fewer usable units than asked for."""

    code = "insufficient_units"
    words = "There are not enough units left."


class LotExpired(Refusal):
    """Units were there, but their time is over (C-4, C-10)."""

    code = "expired"
    words = "The units have expired."


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """Units granted together: `remaining` not redeemed or expired, `held` of them set aside."""

    lot_id: UUID
    unit: str
    granted: int
    remaining: int
    held: int
    expires_at: datetime | None
    granted_at: datetime
    priority: int = 0
    expired: int = 0

    def available(self, now: datetime) -> int:
        """Return the units usable at `now`: none from `expires_at`, whatever a job did (L-5)."""
        return 0 if self.ended(now) else self.remaining - self.held

    def ended(self, now: datetime) -> bool:
        """Say whether the lot's time is over; the end itself is excluded (C-4)."""
        return self.expires_at is not None and self.expires_at <= now


class Posting(msgspec.Struct, frozen=True):
    """`amount` units from `debit` to `credit`; `lot_id` is None only where no lot is concerned."""

    debit: Account
    credit: Account
    unit: str
    amount: int
    lot_id: UUID | None

    def __post_init__(self) -> None:
        """Refuse what can never be a posting (I1)."""
        assert self.amount > 0, "a posting moves at least one unit"
        assert self.debit is not self.credit, "a posting moves between two accounts"


class Part(msgspec.Struct, frozen=True):
    """The units one hold took from one lot."""

    lot_id: UUID
    amount: int


def fefo(lot: Lot) -> tuple[bool, datetime | None, int, datetime, UUID]:
    """Return a lot's place in the spending order: expiry, priority, age, id (L-3)."""
    return (lot.expires_at is None, lot.expires_at, lot.priority, lot.granted_at, lot.lot_id)


def grant(lot: Lot) -> list[Posting]:
    """Bring a new lot into being."""
    return [Posting(Account.ISSUED, Account.AVAILABLE, lot.unit, lot.granted, lot.lot_id)]


def take(lots: Iterable[Lot], quantity: int, now: datetime) -> list[Part]:
    """Choose units, earliest expiry first (L-3); InsufficientUnits or LotExpired when too few."""
    parts = list[Part]()
    missing = quantity
    ended = 0
    for lot in sorted(lots, key=fefo):
        if lot.ended(now):
            ended += lot.remaining - lot.held + lot.expired
            continue
        amount = min(missing, lot.remaining - lot.held)
        if amount > 0:
            parts.append(Part(lot.lot_id, amount))
            missing -= amount
    if missing and ended >= missing:
        raise LotExpired
    if missing:
        raise InsufficientUnits
    return parts


def hold(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Set chosen units aside."""
    return [
        Posting(Account.AVAILABLE, Account.HELD, unit, part.amount, part.lot_id) for part in parts
    ]


def capture(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Spend held units, also after their lot has ended (L-6, G-HOLD-1)."""
    return [
        Posting(Account.HELD, Account.REDEEMED, unit, part.amount, part.lot_id) for part in parts
    ]


def release(
    unit: str, parts: Iterable[Part], lots: dict[UUID, Lot], now: datetime
) -> list[Posting]:
    """Give held units back; where their lot has ended they expire at once (L-6, G-HOLD-2)."""
    postings = list[Posting]()
    for part in parts:
        postings.append(Posting(Account.HELD, Account.AVAILABLE, unit, part.amount, part.lot_id))
        if lots[part.lot_id].ended(now):
            postings.append(
                Posting(Account.AVAILABLE, Account.EXPIRED, unit, part.amount, part.lot_id)
            )
    return postings


def expire(lot: Lot) -> list[Posting]:
    """Record the end of a lot's unspent rest; held units wait for their order (L-5, L-6)."""
    rest = lot.remaining - lot.held
    if rest == 0:
        return []
    return [Posting(Account.AVAILABLE, Account.EXPIRED, lot.unit, rest, lot.lot_id)]


def make_up(unit: str, quantity: int) -> list[Posting]:
    """Book units delivered although none is left for them: the bank bears them (G-CB-4)."""
    return [Posting(Account.ISSUED, Account.LOSS, unit, quantity, None)]


_REMAINING = {Account.AVAILABLE, Account.HELD}


def post(lots: dict[UUID, Lot], postings: Iterable[Posting]) -> dict[UUID, Lot]:
    """Return the lots after the postings; nothing is overdrawn or made from nothing (L-4, I4)."""
    after = dict(lots)
    for posting in postings:
        if posting.lot_id is None:
            continue
        lot = after[posting.lot_id]
        if posting.debit is Account.ISSUED:
            assert posting.amount == lot.granted == lot.remaining, "a lot is granted once"
            continue
        held = _moved(posting, {Account.HELD})
        remaining = _moved(posting, _REMAINING)
        expired = _moved(posting, {Account.EXPIRED})
        lot = msgspec.structs.replace(
            lot,
            held=lot.held + held,
            remaining=lot.remaining + remaining,
            expired=lot.expired + expired,
        )
        assert 0 <= lot.held <= lot.remaining <= lot.granted, "a lot would be overdrawn"
        after[posting.lot_id] = lot
    return after


def _moved(posting: Posting, accounts: set[Account]) -> int:
    into = posting.amount if posting.credit in accounts else 0
    out = posting.amount if posting.debit in accounts else 0
    return into - out


def fold(postings: Iterable[Posting]) -> dict[tuple[UUID | None, Account], int]:
    """Return the balance of every account per lot: credits minus debits (I2, I3)."""
    balances = dict[tuple[UUID | None, Account], int]()
    for posting in postings:
        for account, sign in ((posting.debit, -1), (posting.credit, 1)):
            key = (posting.lot_id, account)
            balances[key] = balances.get(key, 0) + sign * posting.amount
    return balances
