"""Quantities are exact in every form they take, and what cannot be said exactly is refused."""

import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.ledger import Lot, capture, hold, post, release, take
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.units import (
    SCALE_MAX,
    Asked,
    Quantity,
    QuantityTooFine,
    plain,
    steps,
    told,
    whole,
)
from tests.builders import NOON
from tests.domain.test_entitlement import lot
from tests.halves import halved

AnyAsked: Any = Asked
Wire: Any = Quantity  # a union is a type to msgspec
SCALES = st.integers(0, SCALE_MAX)
COUNTS = st.integers(0, 2**53)


@given(COUNTS, SCALES)
def test_what_the_ledger_counts_is_told_exactly_and_read_back(count: int, scale: int) -> None:
    """Steps, the wire, text and the plain form all mean the same quantity (C-2)."""
    shown = whole(count, scale)
    wire = msgspec.json.encode(shown)
    assert count == steps(msgspec.json.decode(wire, type=Wire), scale)
    assert count == steps(told(str(shown)), scale)
    assert count == steps(plain(shown), scale)
    assert Decimal(count) / 10**scale == shown
    # As it was before there were scales, or all places of the scale and no exponent.
    pattern = rb"[0-9]+" if scale == 0 else rb'"[0-9]+\.[0-9]{%d}"' % scale
    assert re.fullmatch(pattern, wire)


@given(st.decimals(0, 1000, places=SCALE_MAX + 1), SCALES)
def test_what_is_too_fine_is_refused_and_nothing_is_rounded(asked: Decimal, scale: int) -> None:
    """A quantity is so many steps exactly, or none."""
    try:
        assert asked == Decimal(steps(asked, scale)).scaleb(-scale)
    except QuantityTooFine:
        assert asked != round(asked, scale)


def test_equal_quantities_have_one_plain_form() -> None:
    """So the same wish has the same hash, and whole ones the hash they always had (C-9)."""
    assert [2, 2, 2, Decimal("0.5"), 100] == [plain(q) for q in (2, "2", "2.00", "0.50", "100")]
    assert b'[2,"0.5"]' == msgspec.json.encode([plain("2.0"), plain("0.50")])


@pytest.mark.parametrize("text", ["0.5", "1.0", "1e2", '"1e2"', '"-1"', '"NaN"', '" 1"', '"."'])
def test_a_request_brings_no_float_and_nothing_strange(text: str) -> None:
    """A JSON number with a fraction would be a float for others: it is refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=AnyAsked)


@given(
    claims=st.lists(st.sampled_from(["HALL", "RAIL"]), max_size=20),
    granted=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    is_used=st.booleans(),
)
def test_pieces_of_two_benefits_conserve_the_units_they_share(
    claims: list[str], granted: list[int], *, is_used: bool
) -> None:
    """Whole visits and halves come from one stock of units, and none is lost (L-4)."""
    programme = halved()
    lots = dict[UUID, Lot]()
    for number, count in enumerate(granted, 1):
        one = msgspec.structs.replace(
            lot(count, number=number), unit=programme.benefits["RAIL"].unit
        )
        lots[one.lot_id] = one
    had = sum(granted)
    for code in claims:
        benefit = programme.benefits[code]
        wanted = programme.piece(benefit)
        assert {"HALL": 10, "RAIL": 5}[code] == wanted
        if sum(one.available(NOON) for one in lots.values()) < wanted:
            continue
        parts = take(lots.values(), wanted, NOON)
        assert wanted == sum(part.amount for part in parts)
        lots = post(lots, hold(benefit.unit, parts))
        ending = capture(benefit.unit, parts) if is_used else release(parts, lots, NOON)
        lots = post(lots, ending)
    assert had == sum(one.remaining + one.redeemed for one in lots.values())
    assert 0 == sum(one.held for one in lots.values())


WRONG = {
    "draws nothing": (
        ('draws = "HALL"', 'draws = "HALLS"'),
        "benefit[3].draws: 'HALLS' is not defined; did you mean 'HALL'?",
    ),
    "draws itself": (
        ('draws = "HALL"', 'draws = "RAIL"'),
        "benefit[3].draws: 'RAIL' has no units of its own",
    ),
    "another's scale": (
        ('takes = "0.5"', 'takes = "0.5"\nscale = 1'),
        "benefit[3].scale: stands with 'HALL', whose units these are",
    ),
    "too fine a piece": (
        ('takes = "0.5"', 'takes = "0.25"'),
        "benefit[3].takes: 0.25 has more than 1 decimals; see the benefit's scale",
    ),
    "too fine a cap": (
        ('limit = "1.5"', 'limit = "1.55"'),
        "benefit[3].cap.limit: 1.55 has more than 1 decimals; see the benefit's scale",
    ),
    "too fine a quota": (
        ('GOLD = "2.5"', 'GOLD = "2.55"'),
        "line[2].quota.GOLD: 2.55 has more than 1 decimals; see the benefit's scale",
    ),
    "takes nothing": (
        ('takes = "0.5"', 'takes = "0"'),
        "benefit[3].takes: must be between 0.1 and 100",
    ),
    "takes no number": (
        ('takes = "0.5"', 'takes = "nan"'),
        "benefit[3].takes: must be between 0.1 and 100",
    ),
    "takes too much": (
        ('takes = "0.5"', 'takes = "101"'),
        "benefit[3].takes: must be between 0.1 and 100",
    ),
    "a line of what draws": (
        ('benefit = "HALL"\nperiod', 'benefit = "RAIL"\nperiod'),
        "line[2].benefit: 'RAIL' draws units of 'HALL': bring those",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_counted_is_named_by_its_path(name: str) -> None:
    """A programme whose units do not fit each other is refused."""
    change, problem = WRONG[name]
    with pytest.raises(ProgrammeInvalid) as refused:
        halved(change)
    assert problem in refused.value.detail.splitlines()


def test_a_scale_has_at_most_three_decimals() -> None:
    """More would be a mistake."""
    with pytest.raises(ProgrammeInvalid, match="scale"):
        halved(("scale = 1", "scale = 4"))
