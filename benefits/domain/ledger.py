"""The entitlement ledger's rules: postings, lots, a template for each event (L-1 to L-9).

A posting moves an amount of one unit from its debit account to its credit account, so the books
sum to zero by construction. An account's balance is credits minus debits. Benefits and money are
units alike (`BENEFIT:LOUNGE`, `MONEY:CNY` in minor units) and never net against each other.

Lots are what a member holds; a lot's figures are a fold of its postings:

    granted = available + held + redeemed + expired + revoked                     (L-4)
              + transferred + converted + debt paid

Templates are pure: they take lots and return postings; `post` applies postings to lots and stops
the world when a balance would be negative, because a template that could do that is a bug, not a
refusal. Each template stands beside what undoes it.

    units                                            undone by
    grant     issued    -> available  new lot        revoke    available -> revoked
                                                     give_again   revoked -> available (P-6)
    hold      available -> held       FEFO (L-3)     release   held      -> available (L-6)
    capture   held      -> redeemed                  restore   redeemed  -> available (L-7)
    expire    available -> expired    (L-5)          -         a lot's end is a fact
    cut       available -> expired    (P-5)          -         so is a cap on what is carried over
    transfer  available -> transferred, received -> available of the other member
    convert   available -> converted, issued -> available of the chosen benefit
    extend    available -> converted, issued -> available of a lot that ends later (E-6)
    make_up   issued    -> loss       delivered, but no unit is left for it (G-CB-4)
                                                     take_up  loss -> issued
    give_debt received  -> debt, debt -> transferred of the other member
    owe       debt      -> revoked    a claw-back of more than is left (L-8)
                                                     pay_debt  available -> debt, by later grants
                                                     write_off redeemed  -> loss, without a debt

    money, by budget or provider                     undone by
    reserve   budget.available -> budget.reserved    unreserve
    spend     budget.reserved  -> budget.spent, provider.payable -> expense
                                                     unspend
    bear      provider.payable -> loss               recover  loss -> provider.payable
              what nobody was entitled to
    charge    suspense -> provider.payable           uncharge provider.payable -> suspense
              a make-good the provider has to pay for (L-9); where it has: collect loss -> suspense
"""

import enum
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.domain.refusal import Refusal


class Account(enum.Enum):
    """Accounts for units and money: `issued` is the contra account of all units."""

    ISSUED = "issued"
    AVAILABLE = "available"
    HELD = "held"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    REVOKED = "revoked"
    TRANSFERRED = "transferred"
    RECEIVED = "received"
    CONVERTED = "converted"
    DEBT = "debt"
    LOSS = "loss"
    BUDGET_AVAILABLE = "budget.available"
    BUDGET_RESERVED = "budget.reserved"
    BUDGET_SPENT = "budget.spent"
    EXPENSE = "expense"
    PAYABLE = "provider.payable"
    SUSPENSE = "suspense"


class InsufficientUnits(Refusal):
    """Fewer usable units than asked for."""

    code = "insufficient_units"
    words = "There are not enough units left."


class LotExpired(Refusal):
    """Units were there, but their time is over (C-4, C-10)."""

    code = "expired"
    words = "The units have expired."


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """Units granted together: `remaining` are left of them, `held` of these are set aside.

    `capped` says whether its units count against caps; a make-good's do not (L-9).
    """

    lot_id: UUID
    unit: str
    granted: int
    remaining: int
    held: int
    expires_at: datetime | None
    granted_at: datetime
    priority: int = 0
    expired: int = 0
    redeemed: int = 0
    capped: bool = True

    def available(self, now: datetime) -> int:
        """Return the units usable at `now`: none from `expires_at`, whatever a job did (L-5)."""
        return 0 if self.ended(now) else self.remaining - self.held

    def ended(self, now: datetime) -> bool:
        """Say whether the lot's time is over; the end itself is excluded (C-4)."""
        return self.expires_at is not None and self.expires_at <= now


class Posting(msgspec.Struct, frozen=True):
    """`amount` of `unit` from `debit` to `credit`; money names its budget or provider as `party`.

    `lot_id` is None only where no lot is concerned.
    """

    debit: Account
    credit: Account
    unit: str
    amount: int
    lot_id: UUID | None
    party: str = ""

    def __post_init__(self) -> None:
        """Refuse what can never be a posting (I1)."""
        assert self.amount > 0, "a posting moves at least one unit"
        assert self.debit is not self.credit, "a posting moves between two accounts"


class Part(msgspec.Struct, frozen=True):
    """The units one debit took from one lot."""

    lot_id: UUID
    amount: int


class Cost(msgspec.Struct, frozen=True):
    """What units may cost at most, in minor units of `unit`: who pays, and who is paid."""

    unit: str
    budget: str
    provider: str
    minor: int


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


def first_free(lots: Iterable[Lot], quantity: int, now: datetime) -> list[Part]:
    """Return the first units of lots that are free, in the spending order, as far as they go."""
    parts, missing = list[Part](), max(0, quantity)
    for lot in sorted(lots, key=fefo):
        amount = min(missing, lot.available(now))
        if amount:
            parts.append(Part(lot.lot_id, amount))
            missing -= amount
    return parts


def split(parts: Iterable[Part], quantity: int) -> tuple[list[Part], list[Part]]:
    """Divide parts into the first `quantity` units and the rest, in their own order."""
    first, rest = list[Part](), list[Part]()
    for part in parts:
        amount = min(quantity, part.amount)
        quantity -= amount
        if amount:
            first.append(Part(part.lot_id, amount))
        if part.amount > amount:
            rest.append(Part(part.lot_id, part.amount - amount))
    return first, rest


def _move(debit: Account, credit: Account, unit: str, parts: Iterable[Part]) -> list[Posting]:
    return [Posting(debit, credit, unit, part.amount, part.lot_id) for part in parts]


def hold(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Set chosen units aside."""
    return _move(Account.AVAILABLE, Account.HELD, unit, parts)


def release(parts: Iterable[Part], lots: dict[UUID, Lot], now: datetime) -> list[Posting]:
    """Give held units back; where their lot has ended they expire at once (L-6, G-HOLD-2)."""
    return _give_back(Account.HELD, parts, lots, now)


def capture(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Spend held units, also after their lot has ended (L-6, G-HOLD-1)."""
    return _move(Account.HELD, Account.REDEEMED, unit, parts)


def restore(parts: Iterable[Part], lots: dict[UUID, Lot], now: datetime) -> list[Posting]:
    """Give spent units back to the lots they came from, with their own end (L-7).

    Where the lot has ended they expire at once; whether a make-good follows, the terms say.
    """
    return _give_back(Account.REDEEMED, parts, lots, now)


def unspent(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Take back that units were spent, whatever became of their lots: they are held again."""
    return _move(Account.REDEEMED, Account.AVAILABLE, unit, parts)


def unheld(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Let go of held units, whatever became of their lots: they are held again."""
    return _move(Account.HELD, Account.AVAILABLE, unit, parts)


def let_end(account: Account, unit: str, parts: Sequence[Part]) -> list[Posting]:
    """Let held or spent units end for the member, before their lots do (V-5)."""
    back = _move(account, Account.AVAILABLE, unit, parts)
    return back + _move(Account.AVAILABLE, Account.EXPIRED, unit, parts)


def _give_back(
    account: Account, parts: Iterable[Part], lots: dict[UUID, Lot], now: datetime
) -> list[Posting]:
    postings = list[Posting]()
    for part in parts:
        lot = lots[part.lot_id]
        postings += _move(account, Account.AVAILABLE, lot.unit, [part])
        if lot.ended(now):
            postings += _move(Account.AVAILABLE, Account.EXPIRED, lot.unit, [part])
    return postings


def expire(lot: Lot) -> list[Posting]:
    """Record the end of a lot's unspent rest; held units wait for their order (L-5, L-6)."""
    rest = lot.remaining - lot.held
    if rest == 0:
        return []
    return _move(Account.AVAILABLE, Account.EXPIRED, lot.unit, [Part(lot.lot_id, rest)])


def cut(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Let free units end before their lot: beyond their line's cap (P-5), or replaced (L-9)."""
    return _move(Account.AVAILABLE, Account.EXPIRED, unit, parts)


def revoke(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Take granted units back that were not used."""
    return _move(Account.AVAILABLE, Account.REVOKED, unit, parts)


def give_again(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Give revoked units back to the lots they came from, as when a tier rises again (P-6)."""
    return _move(Account.REVOKED, Account.AVAILABLE, unit, parts)


def claw_back(
    lots: Iterable[Lot], unit: str, quantity: int, now: datetime, *, owing: bool
) -> list[Posting]:
    """Take back `quantity` units: those left, then as a debt or as a loss (L-8, G-DEBT-1).

    Held units stay with their order. A debt is paid by later grants of the unit (`pay_debt`).
    """
    parts = first_free(lots, quantity, now)
    missing = quantity - sum(part.amount for part in parts)
    postings = revoke(unit, parts)
    if missing and owing:
        postings += owe(unit, missing)
    elif missing:
        postings += write_off(unit, missing)
    return postings


def owe(unit: str, quantity: int) -> list[Posting]:
    """Record units that a member owes (L-8)."""
    return [Posting(Account.DEBT, Account.REVOKED, unit, quantity, None)]


def pay_debt(lot: Lot, owed: int) -> list[Posting]:
    """Pay what the member owes from a new lot, as far as it goes (L-8)."""
    amount = min(owed, lot.granted)
    if amount == 0:
        return []
    return _move(Account.AVAILABLE, Account.DEBT, lot.unit, [Part(lot.lot_id, amount)])


def write_off(unit: str, quantity: int) -> list[Posting]:
    """Bear units that were used although nobody was entitled to them (L-8)."""
    return [Posting(Account.REDEEMED, Account.LOSS, unit, quantity, None)]


def forgive(unit: str, owed: int) -> list[Posting]:
    """Write a debt off: it was never taken back, and the bank bears it (L-8)."""
    return [Posting(Account.REVOKED, Account.DEBT, unit, owed, None), *write_off(unit, owed)]


def transfer_out(unit: str, parts: Iterable[Part]) -> list[Posting]:
    """Give units to another member, as when two members are merged (L-2)."""
    return _move(Account.AVAILABLE, Account.TRANSFERRED, unit, parts)


def transfer_in(lot: Lot) -> list[Posting]:
    """Take another member's units as a new lot; the two batches name each other's cause (L-2)."""
    return [Posting(Account.RECEIVED, Account.AVAILABLE, lot.unit, lot.granted, lot.lot_id)]


def give_debt(unit: str, owed: int) -> list[Posting]:
    """Be rid of a debt that another member takes over (T-10)."""
    return [Posting(Account.RECEIVED, Account.DEBT, unit, owed, None)]


def take_debt(unit: str, owed: int) -> list[Posting]:
    """Take over what another member owes; what they come with pays it first (T-10, L-8)."""
    return [Posting(Account.DEBT, Account.TRANSFERRED, unit, owed, None)]


def convert(unit: str, parts: Iterable[Part], to: Lot) -> list[Posting]:
    """Give up units of a choice for a lot of the chosen benefit (L-2)."""
    return _move(Account.AVAILABLE, Account.CONVERTED, unit, parts) + grant(to)


def extend(unit: str, parts: Iterable[Part], to: Lot) -> list[Posting]:
    """Give up what is left of a lot for one that ends later, which may bring more (E-6)."""
    return _move(Account.AVAILABLE, Account.CONVERTED, unit, parts) + grant(to)


def make_up(unit: str, quantity: int) -> list[Posting]:
    """Book units delivered although none is left for them: the bank bears them (G-CB-4)."""
    return [Posting(Account.ISSUED, Account.LOSS, unit, quantity, None)]


def take_up(unit: str, quantity: int) -> list[Posting]:
    """Take back what was booked as delivered for nothing: others bear it, or it never came."""
    return [Posting(Account.LOSS, Account.ISSUED, unit, quantity, None)]


def reserve(cost: Cost) -> list[Posting]:
    """Set the worst cost of a claim aside in its budget (K-4)."""
    return _pay(Account.BUDGET_AVAILABLE, Account.BUDGET_RESERVED, cost, cost.minor)


def unreserve(cost: Cost) -> list[Posting]:
    """Give a reserved cost back to its budget."""
    return _pay(Account.BUDGET_RESERVED, Account.BUDGET_AVAILABLE, cost, cost.minor)


def spend(cost: Cost, actual: int) -> list[Posting]:
    """Spend `actual` minor units of a reserved cost, free the rest, and owe it to the provider.

    What is dearer than the worst cost was delivered all the same: the budget bears it.
    """
    return [
        *_pay(Account.BUDGET_RESERVED, Account.BUDGET_SPENT, cost, min(actual, cost.minor)),
        *_pay(Account.BUDGET_AVAILABLE, Account.BUDGET_SPENT, cost, max(actual - cost.minor, 0)),
        *_pay(
            Account.BUDGET_RESERVED, Account.BUDGET_AVAILABLE, cost, max(cost.minor - actual, 0)
        ),
        *_owe(Account.PAYABLE, Account.EXPENSE, cost, actual),
    ]


def unspend(cost: Cost, actual: int) -> list[Posting]:
    """Take back what was spent for units that come back (L-7)."""
    return [
        *_pay(Account.BUDGET_SPENT, Account.BUDGET_AVAILABLE, cost, actual),
        *_owe(Account.EXPENSE, Account.PAYABLE, cost, actual),
    ]


def bear(cost: Cost) -> list[Posting]:
    """Owe a provider for what nobody was entitled to (G-CB-4)."""
    return _owe(Account.PAYABLE, Account.LOSS, cost, cost.minor)


def recover(cost: Cost) -> list[Posting]:
    """Owe a provider no more what the bank had borne: it bears it itself (G-CB-4)."""
    return _owe(Account.LOSS, Account.PAYABLE, cost, cost.minor)


def charge(cost: Cost) -> list[Posting]:
    """Claim from a provider what a make-good costs, until they settle it (L-9)."""
    return _owe(Account.SUSPENSE, Account.PAYABLE, cost, cost.minor)


def uncharge(cost: Cost) -> list[Posting]:
    """Claim from a provider no more what it refuses to bear: it is owed again (L-9)."""
    return _owe(Account.PAYABLE, Account.SUSPENSE, cost, cost.minor)


def collect(cost: Cost) -> list[Posting]:
    """Book what a provider has settled of a make-good against the bank's losses (L-9)."""
    return _owe(Account.LOSS, Account.SUSPENSE, cost, cost.minor)


def _pay(debit: Account, credit: Account, cost: Cost, minor: int) -> list[Posting]:
    return [Posting(debit, credit, cost.unit, minor, None, cost.budget)] if minor else []


def _owe(debit: Account, credit: Account, cost: Cost, minor: int) -> list[Posting]:
    return [Posting(debit, credit, cost.unit, minor, None, cost.provider)] if minor else []


def post(lots: dict[UUID, Lot], postings: Iterable[Posting]) -> dict[UUID, Lot]:
    """Return the lots after the postings; nothing is overdrawn or made from nothing (L-4, I4)."""
    after = dict(lots)
    for posting in postings:
        if posting.lot_id is None:
            continue
        lot = after[posting.lot_id]
        if posting.debit is Account.ISSUED or posting.debit is Account.RECEIVED:
            assert posting.amount == lot.granted == lot.remaining, "a lot is granted once"
            continue
        lot = _moved(_moved(lot, posting.debit, -posting.amount), posting.credit, posting.amount)
        assert 0 <= lot.held <= lot.remaining, "a lot would be overdrawn"
        assert min(lot.expired, lot.redeemed) >= 0, "a lot would give back what it never gave"
        assert lot.remaining + lot.expired + lot.redeemed <= lot.granted, "units from nothing"
        after[posting.lot_id] = lot
    return after


def _moved(lot: Lot, account: Account, amount: int) -> Lot:
    """Return a lot to whose account units were added; held ones remain until they are spent."""
    if account is Account.AVAILABLE:
        return replace(lot, remaining=lot.remaining + amount)
    if account is Account.HELD:
        return replace(lot, remaining=lot.remaining + amount, held=lot.held + amount)
    if account is Account.EXPIRED:
        return replace(lot, expired=lot.expired + amount)
    if account is Account.REDEEMED:
        return replace(lot, redeemed=lot.redeemed + amount)
    return lot


def fold(postings: Iterable[Posting]) -> dict[tuple[UUID | None, Account], int]:
    """Return the balance of every account per lot: credits minus debits (I2, I3)."""
    balances = dict[tuple[UUID | None, Account], int]()
    for posting in postings:
        for account, sign in ((posting.debit, -1), (posting.credit, 1)):
            key = (posting.lot_id, account)
            balances[key] = balances.get(key, 0) + sign * posting.amount
    return balances
