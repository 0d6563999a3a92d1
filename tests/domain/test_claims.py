"""Claims: what refuses one besides the member's units, and which of them may wait."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.domain.blocks import Blocked
from benefits.domain.booking import BookingTime, Slots
from benefits.domain.consents import ConsentRequired
from benefits.domain.downgrades import Change
from benefits.domain.entitlement import (
    CODES_SEEN,
    BudgetExhausted,
    CapReached,
    Claim,
    ContractEnded,
    CounterUse,
    Granted,
    GuestLimit,
    Node,
    RecipientIncomplete,
    StockExhausted,
    anew,
    cap_counter,
    cap_limit,
    capped_units,
    claim,
    last_use,
    left,
)
from benefits.domain.exclusions import Excluded
from benefits.domain.fields import Known
from benefits.domain.ledger import InsufficientUnits
from benefits.domain.limits import Dimension, Left, OnFull, Place, Room, Scope
from benefits.domain.use import ClaimWindow
from benefits.domain.values import end_of
from benefits.domain.waits import Waiting
from tests.builders import NOON, reference_programme
from tests.domain.test_entitlement import COMMAND, LOUNGE, VIDEO, facts, lot

TODAY = NOON.date()
DAY = timedelta(days=1)
WAITING = replace(COMMAND, waits=True)


def shut(on_full: OnFull = OnFull.REJECT, **more: Any) -> Room:
    """Return a place of a limit that has no room for one more."""
    at = Place(
        programme="wealth",
        limit="monthly",
        scope=Scope.PROGRAMME,
        dimension=Dimension.COUNT,
        window="2025-07",
    )
    plain = Room(place=at, on_full=on_full, most=2, used=2, resets_at=NOON + DAY)
    return replace(plain, waits_until=NOON + DAY, **more)


def test_who_is_blocked_claims_nothing_and_who_is_not_does() -> None:
    """Nobody is, unless somebody says so (E-6)."""
    assert isinstance(claim(COMMAND, VIDEO, facts(blocked=True), NOON), Blocked)
    assert isinstance(claim(COMMAND, VIDEO, facts(), NOON), Claim)


def test_what_was_claimed_of_a_group_keeps_out_all_but_what_is_made_good() -> None:
    """The refusal names what the member has of it (K-2, L-9)."""
    refusal = claim(COMMAND, VIDEO, facts(excluded_by="LOUNGE"), NOON)
    assert isinstance(refusal, Excluded)
    assert "LOUNGE" in refusal.detail
    made_good = facts(excluded_by="LOUNGE", lots=(replace(lot(), capped=False),))
    assert isinstance(claim(COMMAND, VIDEO, made_good, NOON), Claim)


@pytest.mark.parametrize(("days", "answer"), [(0, Claim), (1, ContractEnded)])
def test_a_contract_is_claimed_of_through_its_last_day(days: int, answer: type) -> None:
    """Its end less the days that its provider needs (V-6)."""
    benefit = replace(VIDEO, contract_end=TODAY + 3 * DAY, lead_days=3)
    assert answer is type(claim(COMMAND, benefit, facts(today=TODAY + days * DAY), NOON))


@pytest.mark.parametrize(
    ("first", "last", "answer"),
    [
        (TODAY, TODAY, Claim),
        (TODAY + DAY, None, ClaimWindow),
        (None, TODAY - DAY, ClaimWindow),
        (None, None, Claim),
    ],
)
def test_a_benefit_is_claimed_in_its_window(
    first: date | None, last: date | None, answer: type
) -> None:
    """Both days are of it (P-9)."""
    benefit = replace(VIDEO, claim_from=first, claim_until=last)
    assert answer is type(claim(COMMAND, benefit, facts(), NOON))


@pytest.mark.parametrize(("guests", "answer"), [(1, Claim), (2, GuestLimit)])
def test_no_more_companions_come_than_the_tier_brings(guests: int, answer: type) -> None:
    """By itself it brings none (V-10)."""
    command = replace(COMMAND, companions=guests)
    assert answer is type(claim(command, VIDEO, facts(companions=1), NOON))
    assert isinstance(claim(command, VIDEO, facts(), NOON), GuestLimit)


@pytest.mark.parametrize(
    ("codes", "answer"), [(None, Claim), (1, StockExhausted), (2, Claim), (3, Claim)]
)
def test_each_piece_needs_a_code(codes: int | None, answer: type) -> None:
    """Where the provider is asked no code is (V-1)."""
    assert answer is type(claim(replace(COMMAND, quantity=2), VIDEO, facts(codes=codes), NOON))


def test_every_budget_above_must_bear_a_claim() -> None:
    """One that cannot is enough (K-4)."""
    rich, poor = Node(CounterUse(), 15_00), Node(CounterUse(1, 0), 15_00)
    assert isinstance(claim(COMMAND, VIDEO, facts(above=(rich,)), NOON), Claim)
    for above in ((rich, poor), (poor, rich)):
        assert isinstance(claim(COMMAND, VIDEO, facts(above=above), NOON), BudgetExhausted)


def test_a_claim_waits_for_room_where_it_asks_to_and_all_that_is_full_lets_it() -> None:
    """For the first of them; else the refusal says whether it may, and when there is room."""
    first, second = shut(OnFull.NEXT_WINDOW), shut(OnFull.WAITLIST)
    asked = {"rooms": (first, second)}
    assert Waiting(first, 1) == claim(WAITING, VIDEO, facts(**asked), NOON)
    refusal = claim(COMMAND, VIDEO, facts(**asked), NOON)
    assert isinstance(refusal, CapReached)
    assert "may wait" in refusal.detail
    assert "from" not in refusal.detail
    told = claim(COMMAND, VIDEO, facts(rooms=(first,)), NOON)
    assert isinstance(told, CapReached)
    assert "from 2025-07-03T04:00:00+00:00 on" in told.detail
    never = claim(WAITING, VIDEO, facts(rooms=(first, shut())), NOON)
    assert isinstance(never, CapReached)
    assert CapReached.words == never.detail
    assert isinstance(claim(WAITING, VIDEO, facts(**asked, lots=()), NOON), InsufficientUnits)


def test_a_room_counts_pieces_and_not_their_units() -> None:
    """A piece that takes two units takes one place (K-1)."""
    room = replace(shut(), used=1)
    here = facts(rooms=(room,), piece=2, lots=(lot(4),), cap_limit=None)
    assert isinstance(claim(COMMAND, VIDEO, here, NOON), Claim)
    two = claim(replace(COMMAND, quantity=2), VIDEO, here, NOON)
    assert isinstance(two, CapReached)


def test_what_is_ones_own_is_not_told_as_left_for_all() -> None:
    """Only what members share is (K-8); of codes as many as a claim may ask for are seen."""
    own = replace(shut(), place=replace(shut().place, scope=Scope.MEMBER))
    assert left(replace(LOUNGE, stock=None), facts(rooms=(own,))) is None
    assert left(replace(LOUNGE, stock=None), facts(rooms=(own, shut()))) is Left.NONE
    assert CODES_SEEN == 100  # as many pieces as a claim may be of


@pytest.mark.parametrize(
    ("consents", "answer"), [(frozenset(), ConsentRequired), (frozenset({"terms:sandbox"}), Claim)]
)
def test_what_is_known_of_a_member_lets_them_in_or_not(
    consents: frozenset[str], answer: type
) -> None:
    """Where the benefit asks (E-4); of whom nothing had to be read nothing is asked."""
    benefit = replace(VIDEO, consent="terms")
    assert "terms:sandbox" == benefit.consent_key
    known = Known(today=TODAY, opened_on=TODAY, consents=consents)
    assert answer is type(claim(COMMAND, benefit, facts(known=known), NOON))
    nobody = claim(replace(COMMAND, recipient={}), VIDEO, facts(known=known), NOON)
    assert isinstance(nobody, RecipientIncomplete)


def test_a_booking_is_for_a_time_that_is_to_be_had() -> None:
    """And what is no booking for none (V-10)."""
    slots, at = Slots(NOON, NOON + DAY), replace(COMMAND, booked_for=NOON)
    assert isinstance(claim(at, VIDEO, facts(slots=slots), NOON), Claim)
    beyond = replace(COMMAND, booked_for=NOON + DAY)
    for command, there in ((COMMAND, slots), (beyond, slots), (at, None)):
        assert isinstance(claim(command, VIDEO, facts(slots=there), NOON), BookingTime)


def test_what_is_left_is_what_the_least_of_all_has() -> None:
    """Stock, rooms with what is kept of them, and codes (K-8)."""
    some = replace(shut(), most=100, used=0, kept=90)
    none = CounterUse(50, 0)
    assert left(VIDEO, facts(stock=none)) is Left.NONE
    assert left(VIDEO, facts()) is Left.PLENTY
    assert left(VIDEO, facts(rooms=(some,))) is left(VIDEO, facts(codes=10)) is Left.FEW
    assert left(VIDEO, facts(stock=none, rooms=(some,))) is Left.NONE


def test_what_counts_of_a_claim_is_all_but_the_units_of_a_make_good() -> None:
    """All of it where there are too few: it takes none (L-9)."""
    made_good = replace(lot(1), capped=False)
    lots = [made_good, lot(1, NOON + 2 * DAY, number=2)]
    assert (0, 1, 3) == tuple(capped_units(lots, wanted, NOON) for wanted in (1, 2, 3))


def test_a_benefit_may_have_no_cap_and_a_contract_no_end() -> None:
    """Units end with the contract where that is before (K-1, V-6)."""
    programme = reference_programme()
    assert "cap:VIDEO" == cap_counter(VIDEO.code)
    assert (2, None) == (cap_limit(programme, VIDEO), cap_limit(programme, LOUNGE))
    end, zone = NOON + 30 * DAY, programme.tz
    assert end == last_use(end, None, zone) == last_use(end, TODAY + 40 * DAY, zone)
    assert end_of(TODAY, zone) == last_use(end, TODAY, zone)


@pytest.mark.parametrize(("use", "moves"), [((0, 0), False), ((1, 0), True), ((0, -1), True)])
def test_a_counter_moves_by_either_figure(use: tuple[int, int], *, moves: bool) -> None:
    """What is reserved, or what is spent."""
    assert moves is CounterUse(*use).moves


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([], 3),
        ([Granted(2, 2)], 3),
        ([Granted(4, 4)], 0),
        ([Granted(4, 4, is_own=False)], 1),
        ([Granted(4, 4, is_own=False), Granted(5, 1)], 0),
    ],
)
def test_a_line_that_stacks_grants_a_quota_once(before: list[Granted], expected: int) -> None:
    """Of one that a merged customer had, what falls took of them comes anew (P-7, T-10)."""
    kept = Change(lot_id=UUID(int=1), taken=2, quota=1, at=NOON, ends_at=NOON)
    changes = [kept, replace(kept, taken=1, ends_at=None)]
    assert expected == anew(4, 3, before, changes)
