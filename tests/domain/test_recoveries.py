"""Losses are recovered and charges cleared as far as they go, to the last minor unit (L-9)."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import ledger
from benefits.domain.corrections import CorrectionExceeds, Fault, Line
from benefits.domain.ledger import Account, Cost, Posting, fold
from benefits.domain.recoveries import Charged, charged, clear, loss_left, recover
from tests.domain.test_ledger import COST, UNIT

BATCH = UUID(int=7)


def booked(quantity: int, minor: int, back: dict[int, int]) -> list[Line]:
    """Return what a delivery without entitlement posted, with what came back of each line."""
    cost = Cost(COST.unit, "", COST.provider, minor)
    postings = ledger.make_up(UNIT, quantity) + ledger.bear(cost)
    return [Line(n, one, back.get(n, 0)) for n, one in enumerate(postings)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 10_000))
def test_a_loss_recovered_bit_by_bit_leaves_nothing(pieces: list[int], minor: int) -> None:
    """Each bit takes its share, each line comes back once, and no more than there was (I7)."""
    whole, back, posted = sum(pieces), dict[int, int](), list[Posting]()
    for quantity in pieces:
        effect = recover(BATCH, booked(whole, minor, back), quantity)
        assert BATCH == effect.reverses
        for one in effect.undone:
            assert effect.postings[one.by_line].amount == one.amount
            back[one.line] = back.get(one.line, 0) + one.amount
        posted += effect.postings
    lines = booked(whole, minor, back)
    assert all(line.left == 0 for line in lines)
    balances = fold([*(line.posting for line in lines), *posted])
    assert set() == {account for (_, account), amount in balances.items() if amount}
    with pytest.raises(CorrectionExceeds):
        recover(BATCH, lines, 1)


@given(st.integers(0, 10_000))
def test_each_template_is_undone_by_the_one_beside_it(minor: int) -> None:
    """What is borne or charged and then is not leaves nothing behind, free or not (L-2)."""
    cost = Cost(COST.unit, "", COST.provider, minor)
    for one, other in (
        (ledger.make_up(UNIT, 2), ledger.take_up(UNIT, 2)),
        (ledger.bear(cost), ledger.recover(cost)),
        (ledger.charge(cost), ledger.uncharge(cost)),
    ):
        assert not any(fold([*one, *other]).values())


def test_only_what_was_delivered_without_entitlement_is_such_a_loss() -> None:
    """Units written off by a claw-back are none that a provider delivered for nothing."""
    assert 1 == loss_left(booked(1, 15_00, {}))
    assert 0 == loss_left([Line(0, one, 0) for one in ledger.write_off(UNIT, 1)])
    assert 0 == loss_left([])


def test_what_is_charged_is_told_by_what_corrections_posted() -> None:
    """Make-goods at the provider's fault, less whatever cleared them; else there is none."""
    assert charged(ledger.make_up(UNIT, 1)) is None
    half = Cost(COST.unit, "", COST.provider, COST.minor // 2)
    posted = ledger.charge(COST) + ledger.collect(half)
    known = Charged(COST.unit, COST.provider, COST.minor, COST.minor // 2)
    assert known == charged(posted)
    assert Charged(COST.unit, COST.provider, COST.minor, COST.minor) == charged(
        posted + ledger.uncharge(half)
    )


@pytest.mark.parametrize(
    ("fault", "debit"), [(Fault.PROVIDER, Account.LOSS), (Fault.OURS, Account.PAYABLE)]
)
def test_a_charge_ends_where_it_is_borne(fault: Fault, debit: Account) -> None:
    """What is settled stands against losses, what is refused is owed again; never too much."""
    known = Charged(COST.unit, COST.provider, 30_00, 10_00)
    effect = clear(known, 20_00, fault)
    (posting,) = effect.postings
    assert (debit, Account.SUSPENSE, 20_00) == (posting.debit, posting.credit, posting.amount)
    assert (COST.provider, 10_00) == (posting.party, effect.earlier)
    for charge, minor in ((known, 20_01), (None, 1)):
        with pytest.raises(CorrectionExceeds):
            clear(charge, minor, fault)
