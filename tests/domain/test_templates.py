"""Each template moves units between its accounts, and lots follow no posting that cannot be."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.domain import ledger
from benefits.domain.ledger import (
    Account,
    InsufficientUnits,
    Lot,
    LotExpired,
    Part,
    Posting,
    take,
)
from tests.domain.test_ledger import COST, END, START, TICK, UNIT, Books, lot

PARTS = [Part(UUID(int=1), 2)]
ENDED = {UUID(int=1): lot(1, 9, END)}
A = Account


@pytest.mark.parametrize(
    ("postings", "moves"),
    [
        (ledger.grant(lot(1, 2)), [(A.ISSUED, A.AVAILABLE)]),
        (ledger.hold(UNIT, PARTS), [(A.AVAILABLE, A.HELD)]),
        (ledger.capture(UNIT, PARTS), [(A.HELD, A.REDEEMED)]),
        (ledger.release(PARTS, ENDED, END - TICK), [(A.HELD, A.AVAILABLE)]),
        (ledger.release(PARTS, ENDED, END), [(A.HELD, A.AVAILABLE), (A.AVAILABLE, A.EXPIRED)]),
        (ledger.restore(PARTS, ENDED, END - TICK), [(A.REDEEMED, A.AVAILABLE)]),
        (
            ledger.restore(PARTS, ENDED, END),
            [(A.REDEEMED, A.AVAILABLE), (A.AVAILABLE, A.EXPIRED)],
        ),
        (ledger.unspent(UNIT, PARTS), [(A.REDEEMED, A.AVAILABLE)]),
        (ledger.unheld(UNIT, PARTS), [(A.HELD, A.AVAILABLE)]),
        (
            ledger.let_end(A.HELD, UNIT, PARTS),
            [(A.HELD, A.AVAILABLE), (A.AVAILABLE, A.EXPIRED)],
        ),
        (ledger.expire(lot(1, 2)), [(A.AVAILABLE, A.EXPIRED)]),
        (ledger.cut(UNIT, PARTS), [(A.AVAILABLE, A.EXPIRED)]),
        (ledger.revoke(UNIT, PARTS), [(A.AVAILABLE, A.REVOKED)]),
        (ledger.give_again(UNIT, PARTS), [(A.REVOKED, A.AVAILABLE)]),
        (ledger.owe(UNIT, 2), [(A.DEBT, A.REVOKED)]),
        (ledger.pay_debt(lot(1, 2), 2), [(A.AVAILABLE, A.DEBT)]),
        (ledger.write_off(UNIT, 2), [(A.REDEEMED, A.LOSS)]),
        (ledger.forgive(UNIT, 2), [(A.REVOKED, A.DEBT), (A.REDEEMED, A.LOSS)]),
        (ledger.transfer_out(UNIT, PARTS), [(A.AVAILABLE, A.TRANSFERRED)]),
        (ledger.transfer_in(lot(1, 2)), [(A.RECEIVED, A.AVAILABLE)]),
        (ledger.give_debt(UNIT, 2), [(A.RECEIVED, A.DEBT)]),
        (ledger.take_debt(UNIT, 2), [(A.DEBT, A.TRANSFERRED)]),
        (
            ledger.convert(UNIT, PARTS, lot(2, 2)),
            [(A.AVAILABLE, A.CONVERTED), (A.ISSUED, A.AVAILABLE)],
        ),
        (
            ledger.extend(UNIT, PARTS, lot(2, 2)),
            [(A.AVAILABLE, A.CONVERTED), (A.ISSUED, A.AVAILABLE)],
        ),
        (ledger.make_up(UNIT, 2), [(A.ISSUED, A.LOSS)]),
        (ledger.take_up(UNIT, 2), [(A.LOSS, A.ISSUED)]),
    ],
)
def test_whatever_a_template_posts_is_a_posting(
    postings: list[Posting], moves: list[tuple[Account, Account]]
) -> None:
    """Each template moves two units of one kind between the accounts of its event (I1, L-2)."""
    assert moves == [(posting.debit, posting.credit) for posting in postings]
    assert {(2, UNIT)} == {(posting.amount, posting.unit) for posting in postings}


@pytest.mark.parametrize(
    ("postings", "moves"),
    [
        (ledger.bear(COST), (A.PAYABLE, A.LOSS)),
        (ledger.recover(COST), (A.LOSS, A.PAYABLE)),
        (ledger.charge(COST), (A.SUSPENSE, A.PAYABLE)),
        (ledger.uncharge(COST), (A.PAYABLE, A.SUSPENSE)),
        (ledger.collect(COST), (A.LOSS, A.SUSPENSE)),
    ],
)
def test_what_a_provider_is_owed_or_owes_is_booked_in_its_name(
    postings: list[Posting], moves: tuple[Account, Account]
) -> None:
    """All of a cost moves between two accounts of its provider, and no lot is concerned (L-9)."""
    assert [Posting(*moves, COST.unit, COST.minor, None, COST.provider)] == postings


@pytest.mark.parametrize(("owed", "paid"), [(0, []), (1, [1]), (2, [2]), (3, [2])])
def test_a_debt_is_paid_as_far_as_the_new_units_go(owed: int, paid: list[int]) -> None:
    """Nothing is posted where nothing is owed, and no more than is there (L-8)."""
    assert paid == [posting.amount for posting in ledger.pay_debt(lot(1, 2), owed)]


@pytest.mark.parametrize("quantity", [0, -1])
def test_of_nothing_wanted_nothing_is_free(quantity: int) -> None:
    """Whoever takes back as far as units go takes none where none are to go (P-6)."""
    assert [] == ledger.first_free([lot(1, 2)], quantity, START)


def test_a_claw_back_leaves_held_and_ended_units_alone() -> None:
    """It takes what is available, earliest end first, and the rest is owed (L-8)."""
    books = Books([lot(1, 3), lot(2, 3, END + TICK), lot(3, 3, END + 2 * TICK)])
    books.post(ledger.expire(books.lots[UUID(int=1)]))
    books.hold(2, END)
    taken = ledger.claw_back(books.lots.values(), UNIT, 3, END, owing=True)
    assert [(UUID(int=2), 1), (UUID(int=3), 2)] == [(p.lot_id, p.amount) for p in taken]
    some = ledger.claw_back(books.lots.values(), UNIT, 5, END, owing=True)
    assert [(A.REVOKED, 1), (A.REVOKED, 3), (A.REVOKED, 1)] == [(p.credit, p.amount) for p in some]
    assert A.DEBT is some[-1].debit


def test_a_lot_is_granted_once_and_whole() -> None:
    """Units of a source go into a lot nobody took from, all of them (L-4)."""
    one = lot(1, 3)
    for wrong in (replace(one, remaining=2), replace(one, granted=4)):
        with pytest.raises(AssertionError):
            ledger.post({one.lot_id: wrong}, ledger.grant(one))


def test_a_lots_figures_can_never_be_what_is_impossible() -> None:
    """Neither more than was granted, nor less than nothing anywhere (L-4, I4)."""
    one = lot(1, 3)
    wrongs = [
        Posting(A.REVOKED, A.AVAILABLE, UNIT, 1, one.lot_id),  # never revoked
        Posting(A.EXPIRED, A.LOSS, UNIT, 1, one.lot_id),  # never expired
        Posting(A.REDEEMED, A.LOSS, UNIT, 1, one.lot_id),  # never redeemed
        Posting(A.LOSS, A.EXPIRED, UNIT, 1, one.lot_id),  # more than there were
        Posting(A.LOSS, A.REDEEMED, UNIT, 1, one.lot_id),
        Posting(A.HELD, A.EXPIRED, UNIT, 1, one.lot_id),
    ]
    for wrong in wrongs:
        with pytest.raises(AssertionError):
            ledger.post({one.lot_id: one}, [wrong])


def test_postings_of_one_batch_are_applied_one_after_the_other() -> None:
    """What follows a grant, or a posting of no lot, counts as what came before it (L-2)."""
    one, moved = lot(1, 3), replace(lot(2, 2), capped=True)
    lots_ = {one.lot_id: one, moved.lot_id: moved}
    batch = [*ledger.grant(one), *ledger.owe(UNIT, 1), *ledger.pay_debt(one, 1)]
    after = ledger.post(lots_, [*ledger.transfer_in(moved), *batch])
    assert [2, 2] == [after[one.lot_id].remaining, after[moved.lot_id].remaining]


def test_a_lot_counts_against_caps_and_was_never_touched_unless_somebody_says_so() -> None:
    """A lot that tells nothing of itself is an ordinary new one of first priority (L-3, L-9)."""
    one = Lot(
        lot_id=UUID(int=1),
        unit=UNIT,
        granted=1,
        remaining=1,
        held=0,
        expires_at=None,
        granted_at=START,
    )
    assert (0, 0, 0, True) == (one.priority, one.expired, one.redeemed, one.capped)


def test_units_held_beyond_the_end_are_not_what_has_expired() -> None:
    """A refusal says `expired` only when the units that ended free would have sufficed (C-4)."""
    books = Books([lot(1, 3)])
    books.hold(1, END - TICK)
    with pytest.raises(LotExpired):
        take(books.lots.values(), 2, END)
    with pytest.raises(InsufficientUnits):
        take(books.lots.values(), 3, END)
