"""The ledger: units are conserved in every lot, spent by first expiry, and end with their time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain import ledger
from benefits.domain.ledger import (
    Account,
    Cost,
    InsufficientUnits,
    Lot,
    LotExpired,
    Part,
    Posting,
    fefo,
    fold,
    take,
)

UNIT = "BENEFIT:LOUNGE"
START = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2025, 3, 31, 16, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def lot(number: int, granted: int, expires_at: datetime | None = END, **more: int) -> Lot:
    """Return a lot nobody has taken from; `number` makes its id."""
    return Lot(
        lot_id=UUID(int=number),
        unit=UNIT,
        granted=granted,
        remaining=granted,
        held=0,
        expires_at=expires_at,
        granted_at=START,
        priority=more.get("priority", 0),
    )


class Books:
    """Lots with everything that was ever posted to them."""

    def __init__(self, lots: Sequence[Lot] = ()) -> None:
        """Grant some lots."""
        self.lots: dict[UUID, Lot] = {}
        self.postings: list[Posting] = []
        for one in lots:
            self.grant(one)

    def grant(self, one: Lot) -> None:
        """Bring a lot into being."""
        self.lots[one.lot_id] = one
        self.post(ledger.grant(one))

    def post(self, postings: list[Posting]) -> None:
        """Apply postings and keep them."""
        for posting in postings:
            assert posting.amount > 0
            assert posting.debit is not posting.credit
        self.lots = ledger.post(self.lots, postings)
        self.postings += postings

    def hold(self, quantity: int, now: datetime) -> list[Part]:
        """Take units and set them aside."""
        parts = take(self.lots.values(), quantity, now)
        self.post(ledger.hold(UNIT, parts))
        return parts

    def balance(self, account: Account) -> int:
        """Return the units in an account over all lots."""
        return sum(n for (_, at), n in fold(self.postings).items() if at is account)


instants = st.integers(0, 40).map(lambda days: START + timedelta(days=days))
lots = st.lists(
    st.builds(
        Lot,
        lot_id=st.uuids(),
        unit=st.just(UNIT),
        granted=st.just(9),
        remaining=st.integers(0, 9),
        held=st.just(0),
        expires_at=st.none() | instants,
        granted_at=instants,
        priority=st.integers(0, 2),
    ).flatmap(lambda one: st.integers(0, one.remaining).map(lambda held: replace(one, held=held))),
    max_size=6,
    unique_by=lambda one: one.lot_id,
)
moves = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("grant", "hold", "capture", "release", "expire", "wait"),
                *("restore", "claw_back", "transfer", "convert"),
            ]
        ),
        st.integers(1, 8),
        st.integers(0, 20),
    ),
    max_size=40,
)


@given(moves)
def test_every_lot_is_conserved_through_any_life(life: list[tuple[str, int, int]]) -> None:
    """After every move each lot's figures are the fold of its postings and add up (L-1, L-4)."""
    books, now, holds = Books(), START, Held()
    for what, amount, chance in life:
        now = _move(books, holds, now, (what, amount, chance))
        _conserved(books)
    for parts in holds.open:
        books.post(ledger.release(parts, books.lots, now))
    _conserved(books)
    assert 0 == books.balance(Account.HELD)


@dataclass
class Held:
    """What holds took: those still open, and those captured."""

    open: list[list[Part]] = field(default_factory=list)
    captured: list[list[Part]] = field(default_factory=list)


def _move(books: Books, holds: Held, now: datetime, move: tuple[str, int, int]) -> datetime:
    what, amount, chance = move
    match what:
        case "grant":
            end = now + timedelta(days=chance) if chance else None
            owed = -books.balance(Account.DEBT)
            one = lot(len(books.lots) + 1, amount, end)
            books.grant(one)
            books.post(ledger.pay_debt(one, owed))
        case "hold":
            try:
                holds.open.append(books.hold(amount, now))
            except (InsufficientUnits, LotExpired):
                assert sum(one.available(now) for one in books.lots.values()) < amount
        case "capture" if holds.open:
            parts, rest = ledger.split(holds.open.pop(chance % len(holds.open)), amount)
            books.post(ledger.capture(UNIT, parts) + ledger.release(rest, books.lots, now))
            holds.captured.append(parts)
        case "release" if holds.open:
            parts = holds.open.pop(chance % len(holds.open))
            books.post(ledger.release(parts, books.lots, now))
        case "expire":
            for one in [one for one in books.lots.values() if one.ended(now)]:
                books.post(ledger.expire(one))
        case "wait":
            return now + timedelta(days=chance)
        case _:
            _undo(books, holds, now, move)
    return now


def _undo(books: Books, holds: Held, now: datetime, move: tuple[str, int, int]) -> None:
    """Take back what was spent or granted, or give it away; nothing when there is none."""
    what, amount, chance = move
    match what:
        case "restore" if holds.captured:
            parts = holds.captured.pop(chance % len(holds.captured))
            books.post(ledger.restore(parts, books.lots, now))
        case "claw_back":
            lots_ = list(books.lots.values())
            owing = chance % 2 == 0
            books.post(ledger.claw_back(lots_, UNIT, amount, now, owing=owing))
        case "transfer" | "convert":
            _give_away(books, now, amount, moved=what == "transfer")
        case _:
            pass  # nothing is held or was spent


def _give_away(books: Books, now: datetime, amount: int, *, moved: bool) -> None:
    """Move units to another lot: of another member, or of what they are a choice of."""
    try:
        parts = take(books.lots.values(), amount, now)
    except (InsufficientUnits, LotExpired):
        return
    new = lot(len(books.lots) + 1, amount, None)
    books.lots[new.lot_id] = new
    if moved:
        books.post(ledger.transfer_out(UNIT, parts))
        books.post(ledger.transfer_in(new))
    else:
        books.post(ledger.convert(UNIT, parts, new))


SOURCES = {Account.ISSUED, Account.RECEIVED}


def _conserved(books: Books) -> None:
    balances = fold(books.postings)
    assert 0 == sum(balances.values())
    assert 0 == books.balance(Account.TRANSFERRED) + books.balance(Account.RECEIVED)
    assert books.balance(Account.DEBT) <= 0 <= books.balance(Account.LOSS)
    for id_, one in books.lots.items():
        in_ = {account: balances.get((id_, account), 0) for account in Account}
        gone = {account: n for account, n in in_.items() if n > 0}
        assert {n for account, n in in_.items() if n < 0 and account not in SOURCES} == set()
        assert one.granted == sum(gone.values())
        assert (one.remaining - one.held, one.held, one.expired, one.redeemed) == (
            in_[Account.AVAILABLE],
            in_[Account.HELD],
            in_[Account.EXPIRED],
            in_[Account.REDEEMED],
        )


@given(lots, st.integers(1, 12), instants)
def test_units_are_taken_by_first_expiry(some: list[Lot], quantity: int, now: datetime) -> None:
    """A debit empties usable lots in FEFO order and takes exactly what is asked (I8, L-3)."""
    usable = [one for one in sorted(some, key=fefo) if one.available(now)]
    if sum(one.available(now) for one in usable) < quantity:
        with pytest.raises((InsufficientUnits, LotExpired)):
            take(some, quantity, now)
        return
    parts = take(some, quantity, now)
    assert quantity == sum(part.amount for part in parts)
    assert [one.lot_id for one in usable[: len(parts)]] == [part.lot_id for part in parts]
    emptied = [one.available(now) for one in usable[: len(parts) - 1]]
    assert emptied == [part.amount for part in parts[:-1]]


@given(lots, st.data())
def test_the_spending_order_is_one_order(some: list[Lot], data: st.DataObject) -> None:
    """Expiry, priority, age, id: whatever order lots are read in, they are spent in one (L-3)."""
    order = sorted(some, key=fefo)
    assert order == sorted(data.draw(st.permutations(some)), key=fefo)
    ends = [one.expires_at for one in order]
    dated = [end for end in ends if end is not None]
    assert [*sorted(dated), *([None] * (len(ends) - len(dated)))] == ends


def test_lots_of_one_expiry_are_spent_by_priority_then_age_then_id() -> None:
    """What breaks a tie of expiry is the source, then the time of the grant, then the id (L-3)."""
    by_source, by_age = lot(9, 1), replace(lot(8, 1), priority=1, granted_at=START - TICK)
    by_id, last = lot(1, 1, priority=1), lot(2, 1, priority=1)
    never = lot(0, 1, None)
    ordered = [by_source, by_age, by_id, last, never]
    assert ordered == sorted([never, last, by_id, by_age, by_source], key=fefo)


def test_g_fefo_1_debits_bound_to_lots_leave_the_right_balance() -> None:
    """G-FEFO-1: 60 of 100 and 50 come from the first; when it ends 40 expire and 50 are left."""
    first = lot(1, 100, END)
    second = lot(2, 50, datetime(2025, 12, 31, 16, 0, tzinfo=UTC))
    books = Books([second, first])
    march = END - timedelta(days=10)
    parts = books.hold(60, march)
    assert [Part(first.lot_id, 60)] == parts
    books.post(ledger.capture(UNIT, parts))
    books.post(ledger.expire(books.lots[first.lot_id]))
    assert 40 == books.balance(Account.EXPIRED)
    assert 50 == books.balance(Account.AVAILABLE)
    assert 50 == sum(one.available(END) for one in books.lots.values())


def test_g_exp_1_a_unit_is_usable_until_its_end_and_not_at_it() -> None:
    """G-EXP-1: one microsecond before the end it is taken, at the end it is refused."""
    one = lot(1, 1)
    assert [Part(one.lot_id, 1)] == take([one], 1, END - TICK)
    with pytest.raises(LotExpired):
        take([one], 1, END)


def test_g_exp_4_a_late_job_changes_nothing_but_the_record() -> None:
    """G-EXP-4: a second after the end units are refused, before and after the job has run."""
    books = Books([lot(1, 2)])
    claimed = END + timedelta(seconds=1)
    for _ in range(2):
        with pytest.raises(LotExpired):
            books.hold(1, claimed)
        for one in list(books.lots.values()):
            books.post(ledger.expire(one))
    assert (0, 2) == (books.balance(Account.AVAILABLE), books.balance(Account.EXPIRED))


def test_g_hold_1_a_hold_across_the_end_is_captured() -> None:
    """G-HOLD-1: held two seconds before the end, confirmed five after: redeemed."""
    books = Books([lot(1, 1)])
    parts = books.hold(1, END - timedelta(seconds=2))
    books.post(ledger.expire(books.lots[UUID(int=1)]))
    books.post(ledger.capture(UNIT, parts))
    assert (1, 0) == (books.balance(Account.REDEEMED), books.balance(Account.EXPIRED))


def test_g_hold_2_a_hold_across_the_end_is_released_and_expires() -> None:
    """G-HOLD-2: held two seconds before the end, refused five after: returned and expired."""
    books = Books([lot(1, 1)])
    parts = books.hold(1, END - timedelta(seconds=2))
    released = ledger.release(parts, books.lots, END + timedelta(seconds=5))
    assert [
        (Account.HELD, Account.AVAILABLE),
        (Account.AVAILABLE, Account.EXPIRED),
    ] == [(posting.debit, posting.credit) for posting in released]
    books.post(released)
    assert (0, 1) == (books.balance(Account.AVAILABLE), books.balance(Account.EXPIRED))


@given(st.none() | instants, instants)
def test_a_lot_is_usable_exactly_before_its_end(end: datetime | None, now: datetime) -> None:
    """The end itself is excluded, and a lot without one never ends (C-4)."""
    one = lot(1, 3, end)
    usable = end is None or now < end
    assert usable is not one.ended(now)
    assert (3 if usable else 0) == one.available(now)


@pytest.mark.parametrize(
    ("quantity", "reason"), [(3, LotExpired), (4, LotExpired), (5, InsufficientUnits)]
)
def test_a_refusal_tells_expired_from_insufficient(quantity: int, reason: type[Exception]) -> None:
    """`expired` when the ended units would have sufficed, else there never were enough (C-4)."""
    ended, live = lot(1, 2, END), lot(2, 2, END + timedelta(days=1))
    with pytest.raises(reason):
        take([ended, live], quantity, END)


def test_what_a_provider_gave_without_a_unit_is_a_loss_of_no_lot() -> None:
    """G-CB-4: units that are made up come from `issued`, go to `loss` and touch no lot."""
    books = Books([lot(1, 1)])
    before = books.lots
    books.post(ledger.make_up(UNIT, 2))
    assert before == books.lots
    assert 2 == books.balance(Account.LOSS)
    assert 0 == sum(fold(books.postings).values())


def test_an_overdraft_stops_the_world() -> None:
    """A template that would overdraw a lot is a bug, whatever the tables would allow (I4, L-4)."""
    books = Books([lot(1, 1)])
    with pytest.raises(AssertionError):
        books.post(ledger.capture(UNIT, [Part(UUID(int=1), 1)]))
    with pytest.raises(AssertionError):
        books.post(ledger.hold(UNIT, [Part(UUID(int=1), 2)]))


@pytest.mark.parametrize(
    ("debit", "credit", "amount"),
    [(Account.HELD, Account.HELD, 1), (Account.HELD, Account.LOSS, 0)],
)
def test_what_is_no_posting_cannot_be_made(debit: Account, credit: Account, amount: int) -> None:
    """A posting moves at least one unit between two accounts (L-1)."""
    with pytest.raises(AssertionError):
        Posting(debit, credit, UNIT, amount, None)


def test_expiring_twice_expires_once() -> None:
    """A job that runs again finds nothing to record (L-5)."""
    books = Books([lot(1, 2)])
    books.post(ledger.expire(books.lots[UUID(int=1)]))
    assert [] == ledger.expire(books.lots[UUID(int=1)])


COST = Cost("MONEY:CNY", "lounge", "sandbox", 38_00)
OPENED = datetime(2025, 3, 1, tzinfo=UTC)


def _money(postings: list[Posting]) -> dict[tuple[str, str], int]:
    """Return what each account of each party holds, in minor units."""
    balances = dict[tuple[str, str], int]()
    for posting in postings:
        assert "MONEY:CNY" == posting.unit
        for account, sign in ((posting.debit, -1), (posting.credit, 1)):
            key = (account.value, posting.party)
            balances[key] = balances.get(key, 0) + sign * posting.amount
    return {key: n for key, n in balances.items() if n}


def test_g_bud_1_a_capture_below_the_worst_cost_frees_the_rest() -> None:
    """Reserved at 38.00, spent at 35.00: 3.00 are free again, 35.00 are the provider's (K-4)."""
    assert {
        ("budget.available", "lounge"): -35_00,
        ("budget.spent", "lounge"): 35_00,
        ("provider.payable", "sandbox"): -35_00,
        ("expense", "sandbox"): 35_00,
    } == _money(ledger.reserve(COST) + ledger.spend(COST, 35_00))


def test_what_is_dearer_than_the_worst_cost_is_borne_by_the_budget() -> None:
    """What was delivered at 40.00 is owed, whatever had been reserved for it (L-2)."""
    assert {
        ("budget.available", "lounge"): -40_00,
        ("budget.spent", "lounge"): 40_00,
        ("provider.payable", "sandbox"): -40_00,
        ("expense", "sandbox"): 40_00,
    } == _money(ledger.reserve(COST) + ledger.spend(COST, 40_00))


@given(st.integers(0, 50_00), st.integers(0, 60_00))
def test_each_money_template_is_undone_by_the_one_beside_it(worst: int, actual: int) -> None:
    """Reserve and unreserve, spend and unspend leave nothing behind, free ones neither (L-2)."""
    cost = replace(COST, minor=worst)
    assert {} == _money(ledger.reserve(cost) + ledger.unreserve(cost))
    spent = ledger.reserve(cost) + ledger.spend(cost, actual)
    assert {} == _money(spent + ledger.unspend(cost, actual))


def test_what_nobody_was_entitled_to_and_a_make_good_have_a_party_that_pays() -> None:
    """The bank bears a loss; a make-good at the provider's fault waits in suspense (L-9)."""
    assert {("provider.payable", "sandbox"): -38_00, ("loss", "sandbox"): 38_00} == _money(
        ledger.bear(COST)
    )
    assert {("provider.payable", "sandbox"): 38_00, ("suspense", "sandbox"): -38_00} == _money(
        ledger.charge(COST)
    )


def test_g_debt_1_a_debt_is_paid_by_the_next_grant() -> None:
    """G-DEBT-1: 30 clawed back with 12 left: 0 and a debt of 18; of the next 24 six are left."""
    books = Books([lot(1, 30)])
    spent = books.hold(18, OPENED)
    books.post(ledger.capture(UNIT, spent))
    books.post(ledger.claw_back(books.lots.values(), UNIT, 30, OPENED, owing=True))
    assert (0, -18) == (books.balance(Account.AVAILABLE), books.balance(Account.DEBT))
    one = lot(2, 24)
    books.grant(one)
    books.post(ledger.pay_debt(one, 18))
    assert (6, 0) == (books.balance(Account.AVAILABLE), books.balance(Account.DEBT))


def test_what_a_claw_back_cannot_reach_is_written_off_by_default() -> None:
    """Without terms that say so there is no debt: what was used is a loss (L-8)."""
    books = Books([lot(1, 30)])
    books.post(ledger.capture(UNIT, books.hold(18, OPENED)))
    books.post(ledger.claw_back(books.lots.values(), UNIT, 30, OPENED, owing=False))
    found = [books.balance(a) for a in (Account.AVAILABLE, Account.DEBT, Account.LOSS)]
    assert [0, 0, 18] == found
    assert 12 == books.balance(Account.REVOKED)


def test_a_debt_that_is_forgiven_is_a_loss() -> None:
    """A debt and its write-off leave what writing off at once would have left (L-8)."""
    owed = Books([lot(1, 30)])
    owed.post(ledger.capture(UNIT, owed.hold(18, OPENED)))
    owed.post(ledger.claw_back(owed.lots.values(), UNIT, 30, OPENED, owing=True))
    owed.post(ledger.forgive(UNIT, 18))
    found = [owed.balance(a) for a in (Account.DEBT, Account.LOSS, Account.REVOKED)]
    assert [0, 18, 12] == found


def test_a_reversal_goes_back_to_its_lot_and_ends_with_it() -> None:
    """Units come back to the lot they were from, with its end; after the end they expire (L-7)."""
    books = Books([lot(1, 2), lot(2, 2, END + timedelta(days=30))])
    parts = books.hold(3, OPENED)
    books.post(ledger.capture(UNIT, parts))
    books.post(ledger.restore(parts, books.lots, END))
    first, second = books.lots[UUID(int=1)], books.lots[UUID(int=2)]
    assert (0, 2) == (first.remaining, first.expired)
    assert (2, 0) == (second.remaining, second.expired)


def test_no_more_comes_back_than_was_spent() -> None:
    """A lot never gives back units it did not give out (I7, L-4)."""
    books = Books([lot(1, 2)])
    parts = books.hold(1, OPENED)
    books.post(ledger.capture(UNIT, parts))
    books.post(ledger.restore(parts, books.lots, OPENED))
    with pytest.raises(AssertionError):
        books.post(ledger.restore(parts, books.lots, OPENED))


@given(st.lists(st.integers(1, 5), max_size=5), st.integers(0, 30))
def test_parts_are_split_in_their_order(amounts: list[int], quantity: int) -> None:
    """The first units are captured and the rest comes back; nothing is lost between them (I6)."""
    parts = [Part(UUID(int=n), amount) for n, amount in enumerate(amounts)]
    first, rest = ledger.split(parts, quantity)
    assert min(quantity, sum(amounts)) == sum(part.amount for part in first)
    units = [part.lot_id for some in (first, rest) for part in some for _ in range(part.amount)]
    assert units == [part.lot_id for part in parts for _ in range(part.amount)]
    assert all(part.amount > 0 for part in (*first, *rest))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_what_expires_is_exactly_what_was_left(amounts: list[int], data: st.DataObject) -> None:
    """Neither what was spent nor what is held: the rest of each ended lot, once (I8, L-5)."""
    ends = [END + timedelta(days=data.draw(st.integers(0, 3))) for _ in amounts]
    books = Books([lot(n, amount, ends[n]) for n, amount in enumerate(amounts)])
    used = data.draw(st.integers(0, sum(amounts)))
    kept = data.draw(st.integers(0, sum(amounts) - used))
    if used:
        books.post(ledger.capture(UNIT, books.hold(used, OPENED)))
    if kept:
        books.hold(kept, OPENED)
    now = END + timedelta(days=1)
    left = {one.lot_id: one.remaining - one.held for one in books.lots.values() if one.ended(now)}
    for one in [one for one in books.lots.values() if one.ended(now)]:
        books.post(ledger.expire(one))
    assert left == {id_: books.lots[id_].expired for id_ in left}
    assert sum(left.values()) == books.balance(Account.EXPIRED)
    assert (used, kept) == (books.balance(Account.REDEEMED), books.balance(Account.HELD))
