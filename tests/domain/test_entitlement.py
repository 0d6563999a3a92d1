"""Entitlements: a period is topped up to its quota, a claim is refused for its first reason."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain import ledger
from benefits.domain.benefit import Benefit
from benefits.domain.blocks import Blocked
from benefits.domain.downgrades import Change
from benefits.domain.entitlement import (
    BudgetExhausted,
    CapReached,
    Claim,
    ClaimCommand,
    ClaimFacts,
    CounterUse,
    Granted,
    MemberClosed,
    RecipientIncomplete,
    StockExhausted,
    budget_counter,
    cap_limit,
    claim,
    left,
    missed,
    net_of,
    prorated,
    stock_counter,
    top_up,
)
from benefits.domain.exclusions import Excluded
from benefits.domain.ledger import InsufficientUnits, Lot, LotExpired
from benefits.domain.limits import Cap, CapWindow, Left, window_key
from benefits.domain.packages import Line, LinePeriod, UpgradePolicy
from benefits.domain.refusal import Refusal
from benefits.domain.values import Period, PeriodKind, period_of
from tests import golden
from tests.builders import NOON, reference_programme

VIDEO = reference_programme().benefits["VIDEO"]
LOUNGE = reference_programme().benefits["LOUNGE"]
LINE = Line(code="lounge", benefit="LOUNGE", period=LinePeriod.QUARTER, quota={})
QUARTER = period_of(date(2025, 5, 1), PeriodKind.QUARTER)
COMMAND = ClaimCommand(quantity=1, recipient={"phone": "13800000001"})
END = NOON + timedelta(days=1)


def lot(remaining: int = 2, expires_at: datetime | None = END, number: int = 1) -> Lot:
    """Return a lot of video months with units left."""
    return Lot(
        lot_id=UUID(int=number),
        unit=VIDEO.unit,
        granted=max(1, remaining),
        remaining=remaining,
        held=0,
        expires_at=expires_at,
        granted_at=NOON - timedelta(days=1),
    )


def facts(**changes: Any) -> ClaimFacts:
    """Return facts on which a claim is accepted, with changes."""
    room = ClaimFacts(
        today=NOON.date(),
        closed=False,
        lots=(lot(),),
        piece=1,
        cap_limit=2,
        cap_used=0,
        stock=CounterUse(),
        budget=CounterUse(),
        budget_total=10_000_00,
        piece_cost=15_00,
    )
    return replace(room, **changes)


def granted_along(line: Line, quotas: list[int]) -> list[int]:
    """Return what each quota on a way through a period grants."""
    before = list[Granted]()
    units = list[int]()
    for quota in quotas:
        quantity = top_up(line, quota, before, period=QUARTER, from_=QUARTER.start)
        units.append(quantity)
        if quantity:
            before.append(Granted(quota, quantity))
    return units


@pytest.mark.parametrize(
    ("codes", "expected"),
    [(None, None), (0, Left.NONE), (10, Left.FEW), (11, Left.PLENTY), (100, Left.PLENTY)],
)
def test_codes_in_stock_are_left_coarsely(codes: int | None, expected: Left | None) -> None:
    """K-8: ten or fewer are few, however many there were."""
    assert expected is left(replace(VIDEO, stock=None), facts(codes=codes))


@pytest.mark.parametrize("id_", ["G-TOP-1", "G-TOP-2", "G-TOP-3"])
def test_a_rise_inside_a_period_tops_up_to_the_quota(id_: str) -> None:
    """Each worked example of TOP_UP (P-4)."""
    units = granted_along(LINE, golden.given(id_)["quota_sequence_within_period"])
    assert golden.expected(id_) == {"grants": units, "net_total": sum(units)}


def test_g_pro_1_a_prorated_rise_is_exact_before_it_is_rounded() -> None:
    """G-PRO-1: four more for 46 of 91 days are 184/91, so two or three."""
    example, expected = golden.given("G-PRO-1"), golden.expected("G-PRO-1")
    start, end = (date.fromisoformat(day) for day in example["period"])
    period, from_ = Period("2025-Q2", start, end), date.fromisoformat(example["upgrade_on"])
    before = [Granted(example["old_quota"], example["old_quota"])]
    share = prorated(example["new_quota"] - example["old_quota"], period, from_)
    floor, ceil = (
        top_up(
            replace(LINE, upgrade=policy), example["new_quota"], before, period=period, from_=from_
        )
        for policy in (UpgradePolicy.PRORATE_FLOOR, UpgradePolicy.PRORATE_CEIL)
    )
    assert expected == {
        "period_days": period.days,
        "remaining_days": (end - from_).days,
        "exact": str(share),
        "floor": floor,
        "ceil": ceil,
    }


def test_the_first_grant_of_a_period_is_prorated_from_nothing() -> None:
    """Who had no quota before the rise gets the share of the whole new one."""
    period = Period("2025-Q2", date(2025, 4, 1), date(2025, 7, 1))
    line = replace(LINE, upgrade=UpgradePolicy.PRORATE_FLOOR)
    assert 2 == top_up(line, 4, [], period=period, from_=date(2025, 5, 16))


def test_g_top_4_what_was_used_stays_used_after_a_rise() -> None:
    """G-TOP-4: one of two used, then a quota of six: four more, five available."""
    assert [2, 4] == granted_along(LINE, [2, 6])
    lots = {one.lot_id: one for one in (lot(2, number=1), lot(4, number=2))}
    parts = ledger.take(lots.values(), 1, NOON)
    lots = ledger.post(lots, ledger.hold(VIDEO.unit, parts))
    lots = ledger.post(lots, ledger.capture(VIDEO.unit, parts))
    assert 5 == sum(one.available(NOON) for one in lots.values())


def test_g_grant_1_granting_again_grants_nothing() -> None:
    """G-GRANT-1: the same quota three times is one lot of two."""
    assert [2, 0, 0] == granted_along(LINE, [2, 2, 2])


def test_full_brings_the_whole_new_package_on_top() -> None:
    """P-4: each quota that was not reached before, and never one twice."""
    line = replace(LINE, upgrade=UpgradePolicy.FULL)
    assert [2, 6, 0, 0, 12] == granted_along(line, [2, 6, 2, 6, 12])


def test_next_period_brings_more_from_the_next_period_on() -> None:
    """P-4: within the period nothing more; what begins with it brings its quota."""
    line = replace(LINE, upgrade=UpgradePolicy.NEXT_PERIOD)
    before, late = [Granted(2, 2)], QUARTER.start + timedelta(days=1)
    for some, from_, more in (([], late, 0), (before, late, 0), (before, QUARTER.start, 4)):
        assert more == top_up(line, 6, some, period=QUARTER, from_=from_)
    assert [2, 4, 0, 6] == granted_along(line, [2, 6, 2, 12])


quotas = st.lists(st.integers(0, 20), min_size=1, max_size=10)


@given(quotas)
def test_the_way_to_a_quota_does_not_matter(path: list[int]) -> None:
    """Up and down as it may, a period's grants are the highest quota reached (3.18, 4)."""
    assert max(path) == sum(granted_along(LINE, path))


UP_TO_THE_QUOTA = [each for each in UpgradePolicy if each is not UpgradePolicy.FULL]


@given(quotas, st.sampled_from(UP_TO_THE_QUOTA))
def test_a_grant_never_exceeds_the_quota_and_is_never_repeated(
    path: list[int], policy: UpgradePolicy
) -> None:
    """All but FULL grant no more than the highest quota; nothing for the same quota again."""
    line = replace(LINE, upgrade=policy)
    units = granted_along(line, path)
    assert all(quantity >= 0 for quantity in units)
    assert sum(units) <= max(path)
    twice = granted_along(line, [quota for quota in path for _ in range(2)])
    assert [0] * len(path) == twice[1::2]


@given(st.integers(0, 50), st.dates(date(2025, 1, 1), date(2025, 6, 30)))
def test_a_share_is_the_whole_at_the_start_and_less_later(difference: int, from_: date) -> None:
    """From before the start all is due, then less each day, on the last day one part (P-4)."""
    share = prorated(difference, QUARTER, from_)
    if from_ <= QUARTER.start:
        assert difference == share
    assert 0 <= share <= difference
    assert prorated(difference, QUARTER, from_ + timedelta(days=1)) <= share


def test_an_accepted_claim_names_its_units_and_its_worst_cost() -> None:
    """Two units from two lots cost twice the unit's cost (K-4)."""
    here = facts(lots=(lot(1), lot(1, END + timedelta(days=1), number=2)))
    decided = claim(replace(COMMAND, quantity=2), VIDEO, here, NOON)
    parts = [ledger.Part(UUID(int=1), 1), ledger.Part(UUID(int=2), 1)]
    assert Claim(parts, 2, 30_00, 0) == decided


FAILING: dict[type[Refusal], dict[str, Any]] = {
    MemberClosed: {"closed": True},
    Blocked: {"blocked": True},
    Excluded: {"excluded_by": "LOUNGE"},
    CapReached: {"cap_used": 2},
    StockExhausted: {"stock": CounterUse(20, 30)},
    BudgetExhausted: {"budget": CounterUse(5_000_00, 4_985_01)},
    InsufficientUnits: {"lots": ()},
}


@pytest.mark.parametrize("reason", FAILING)
def test_each_failing_check_is_a_reason(reason: type[Refusal]) -> None:
    """Nothing else is wrong (K-2)."""
    assert reason is type(claim(COMMAND, VIDEO, facts(**FAILING[reason]), NOON))


@given(st.sets(st.sampled_from(list(FAILING))))
def test_the_first_failing_check_is_the_reason(failing: set[type[Refusal]]) -> None:
    """Member, blocks, exclusion, cap, stock, budget, lots: the first that fails is told (K-2)."""
    changes: dict[str, Any] = {}
    for reason in failing:
        changes |= FAILING[reason]
    decided = claim(COMMAND, VIDEO, facts(**changes), NOON)
    first = next((reason for reason in FAILING if reason in failing), Claim)
    assert first is type(decided)


@pytest.mark.parametrize(
    "recipient", [{}, {"phone": ""}, {"openid": "o"}, {"phone": "1", "openid": "o"}]
)
def test_a_claim_brings_exactly_the_recipient_fields(recipient: dict[str, str]) -> None:
    """A field that is missing, empty or needless is refused, after the member's state (X-4)."""
    command = ClaimCommand(quantity=1, recipient=recipient)
    assert RecipientIncomplete is type(claim(command, VIDEO, facts(cap_used=9), NOON))
    assert MemberClosed is type(claim(command, VIDEO, facts(closed=True), NOON))


def test_room_is_used_to_the_last_unit() -> None:
    """Cap, stock and budget admit what exactly fills them."""
    full = facts(
        cap_used=1, stock=CounterUse(20, 29), budget=CounterUse(5_000_00, 4_985_00), lots=(lot(1),)
    )
    assert Claim is type(claim(COMMAND, VIDEO, full, NOON))


def test_a_benefit_without_cap_and_stock_asks_for_neither() -> None:
    """What is not limited is not refused for a limit."""
    here = facts(cap_limit=None, cap_used=99, stock=CounterUse(99, 99), piece_cost=38_00)
    assert Claim is type(claim(COMMAND, LOUNGE, here, NOON))


def test_g_bud_1_a_budget_bears_the_worst_cost_of_every_hold() -> None:
    """G-BUD-1: 10,000.00 bear 263 holds of 38.00; the next is refused with 6.00 left."""
    example = golden.given("G-BUD-1")
    total, cost = example["budget_fen"], example["worst_cost_fen"]
    lots = (lot(1000),)
    taken = holds = 0
    while True:
        here = facts(
            lots=lots, budget=CounterUse(taken), budget_total=total, piece_cost=cost, cap_used=0
        )
        decided = claim(COMMAND, LOUNGE, here, NOON)
        if not isinstance(decided, Claim):
            break
        taken += decided.cost_minor
        holds += 1
    assert BudgetExhausted is type(decided)
    assert golden.expected("G-BUD-1") == {"max_holds": holds, "left_fen": total - taken}


@pytest.mark.parametrize(("tick", "answer"), [(-1, Claim), (0, LotExpired), (1, LotExpired)])
def test_g_exp_1_a_claim_at_the_end_is_too_late(tick: int, answer: type) -> None:
    """G-EXP-1: accepted a microsecond before the end, `expired` at it and after."""
    end = datetime(2025, 3, 31, 16, 0, tzinfo=UTC)
    decided = claim(COMMAND, VIDEO, facts(lots=(lot(1, end),)), end + timedelta(microseconds=tick))
    assert answer is type(decided)
    assert "expired" == LotExpired.code


@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 3), max_size=4),
    st.integers(0, 3),
    st.integers(0, 60),
    st.integers(0, 10_000_00),
)
def test_an_accepted_claim_keeps_every_limit(
    quantity: int, remaining: list[int], cap_used: int, stock: int, budget: int
) -> None:
    """Whatever the facts, what is accepted fits into lots, cap, stock and budget (3.18, 6)."""
    here = facts(
        lots=tuple(lot(n, number=i) for i, n in enumerate(remaining)),
        cap_used=cap_used,
        stock=CounterUse(stock),
        budget=CounterUse(budget),
    )
    fits = (
        sum(remaining) >= quantity
        and cap_used + quantity <= 2
        and stock + quantity <= 50
        and budget + quantity * 15_00 <= 10_000_00
    )
    decided = claim(replace(COMMAND, quantity=quantity), VIDEO, here, NOON)
    assert fits is isinstance(decided, Claim)
    if isinstance(decided, Claim):
        assert quantity == sum(part.amount for part in decided.parts)


@pytest.mark.parametrize(
    ("window", "key"),
    [
        (CapWindow.MONTH, "2025-06"),
        (CapWindow.QUARTER, "2025-Q2"),
        (CapWindow.YEAR, "2025"),
        (CapWindow.LIFETIME, "all"),
    ],
)
def test_a_cap_counts_in_its_calendar_window(window: CapWindow, key: str) -> None:
    """The 30th of June lies in June, in the second quarter, in 2025 and in a life (K-3)."""
    assert key == window_key(window, date(2025, 6, 30))


@given(st.sampled_from(CapWindow), st.integers(1, 5))
def test_a_cap_of_any_window_and_limit_is_kept(window: CapWindow, limit: int) -> None:
    """One claim after the other is accepted until the limit, then refused (K-1)."""
    benefit: Benefit = replace(VIDEO, cap=Cap(limit=limit, window=window))
    most = cap_limit(reference_programme(), benefit)
    accepted = [
        isinstance(claim(COMMAND, benefit, facts(cap_limit=most, cap_used=used), NOON), Claim)
        for used in range(limit + 2)
    ]
    assert [True] * limit + [False] * 2 == accepted


def test_counters_are_named_after_what_they_guard() -> None:
    """A stock and a budget of one name do not share a counter."""
    assert ("stock:VIDEO", "budget:VIDEO") == (stock_counter(VIDEO), budget_counter("VIDEO"))


@pytest.mark.parametrize("policy", UpgradePolicy)
def test_a_quota_reached_before_is_reached_by_whatever_policy(policy: UpgradePolicy) -> None:
    """What was prorated for a quota is not topped up when the policy changes later (P-4)."""
    line = replace(LINE, upgrade=policy)
    for reached in (6, 8):
        before = [Granted(reached, 3)]
        assert 0 == top_up(line, 6, before, period=QUARTER, from_=QUARTER.start)
    late = QUARTER.start + timedelta(days=1)
    more = top_up(line, 12, [Granted(6, 3)], period=QUARTER, from_=late)
    assert (policy is not UpgradePolicy.NEXT_PERIOD) is (more > 0)


@pytest.mark.parametrize(("length", "accepted"), [(128, True), (129, False), (0, False)])
def test_a_recipients_field_has_room_for_128_characters(length: int, *, accepted: bool) -> None:
    """The longest value that is taken, and the first that is not."""
    command = ClaimCommand(quantity=1, recipient={"phone": "1" * length})
    decided = claim(command, VIDEO, facts(), NOON)
    assert accepted is isinstance(decided, Claim)
    assert accepted is not isinstance(decided, RecipientIncomplete)


@pytest.mark.parametrize("policy", UpgradePolicy)
def test_who_has_a_tier_from_the_first_day_gets_the_whole_quota(policy: UpgradePolicy) -> None:
    """With nothing granted before and no day missed there is nothing to prorate (P-4)."""
    line = replace(LINE, upgrade=policy)
    assert 4 == top_up(line, 4, [], period=QUARTER, from_=QUARTER.start)


def test_a_counter_nobody_touched_has_nothing_taken() -> None:
    """Neither reserved nor spent, and both count (K-2)."""
    assert (CounterUse(0, 0), 0, 5) == (CounterUse(), CounterUse().taken, CounterUse(2, 3).taken)


@pytest.mark.parametrize(
    ("needed", "brought", "named"),
    [
        (("phone", "name"), {"phone": "138", "name": " "}, "phone, name"),
        (("phone", "name"), {"phone": "", "name": "Li"}, "phone, name"),
        ((), {"phone": "138"}, "none"),
    ],
)
def test_each_recipient_field_must_be_filled_and_the_refusal_names_them(
    needed: tuple[str, ...], brought: dict[str, str], named: str
) -> None:
    """One empty field is enough to refuse, and whoever is refused learns which are needed."""
    command = ClaimCommand(quantity=1, recipient=brought)
    refused = claim(command, replace(VIDEO, recipient=needed), facts(), NOON)
    assert isinstance(refused, RecipientIncomplete)
    assert f"needed: {named};" in refused.detail


def test_a_make_goods_units_are_claimed_beside_the_cap() -> None:
    """They count against no cap; with one other unit among them, that one does (L-9)."""
    assert VIDEO.cap is not None
    full = VIDEO.cap.limit
    good, other = replace(lot(1, number=1), capped=False), lot(1, number=2)
    one = claim(COMMAND, VIDEO, facts(lots=(good, other), cap_used=full), NOON)
    assert isinstance(one, Claim)
    assert 1 == one.uncapped
    both = replace(COMMAND, quantity=2)
    assert isinstance(
        claim(both, VIDEO, facts(lots=(good, other), cap_used=full), NOON), CapReached
    )
    room = claim(both, VIDEO, facts(lots=(good, other), cap_used=full - 1), NOON)
    assert isinstance(room, Claim)


@given(
    st.sampled_from(UpgradePolicy),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=3),
    st.integers(0, 12),
    st.integers(0, 5),
    st.dates(QUARTER.start, QUARTER.end - timedelta(days=1)),
)
def test_what_a_period_lacks_is_never_more_than_its_net_quota(
    upgrade: UpgradePolicy, came: list[tuple[int, int]], quota: int, made_good: int, day: date
) -> None:
    """A-7, L-9: by whatever rises and falls; all of it where it was right from the first day."""
    each = replace(LINE, upgrade=upgrade)
    before = [Granted(units, units) for units, _ in came]
    changes = [
        Change(lot_id=UUID(int=n), taken=min(units, taken), quota=0, at=NOON)
        for n, (units, taken) in enumerate(came)
    ]
    found = missed(each, quota, before, changes, made_good=made_good, period=QUARTER, from_=day)
    total = net_of(before, changes) + made_good
    assert 0 <= found <= max(0, quota - total)
    is_whole = upgrade is UpgradePolicy.TOP_UP or any(one.quota >= quota for one in before)
    if is_whole and not changes:
        assert max(0, quota - total) == found
