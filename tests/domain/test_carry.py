"""Carry-over: what lives on, what a cap takes of it, and that nothing is lost unseen (P-5)."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import ledger
from benefits.domain.carry import Carry, beyond
from benefits.domain.ledger import Account, Lot, Part, Posting
from benefits.domain.packages import Anchor, Line, LinePeriod, ends_at, period_at
from benefits.domain.values import Period, midnight
from tests.domain.test_packages import ZONE

OPENED = date(2024, 1, 31)
UNIT = "BENEFIT:LOUNGE"


class Life:
    """A member's units of one line, period by period, as the books would have them."""

    def __init__(self, line: Line) -> None:
        """Begin with the first period of 2025, and nothing."""
        self.line = line
        self.period = self._at(date(2025, 1, 1))
        self.at = midnight(self.period.start, ZONE)
        self.lots: dict[UUID, tuple[str, Lot]] = {}
        self.postings: list[Posting] = []

    def _at(self, day: date) -> Period:
        period = period_at(self.line, day, OPENED)
        assert period is not None
        return period

    def go_on(self) -> None:
        """Let the next period begin."""
        self.period = self._at(self.period.end)
        self.at = midnight(self.period.start, ZONE)

    def grant(self, quantity: int) -> list[Part]:
        """Grant units of the period; return what its carry-over then loses."""
        assert self.line.carry is not None
        self.at += timedelta(seconds=1)
        lot = Lot(
            lot_id=UUID(int=len(self.lots)),
            unit=UNIT,
            granted=quantity,
            remaining=quantity,
            held=0,
            expires_at=ends_at(self.line, self.period, ZONE, self.at, opened_on=OPENED),
            granted_at=self.at,
        )
        self.lots[lot.lot_id] = (self.period.key, lot)
        self.postings += ledger.grant(lot)
        gone = beyond(
            int(self.line.carry.cap), self.lots.values(), period=self.period.key, now=self.at
        )
        self.post(ledger.cut(UNIT, gone))
        return gone

    def claim(self, quantity: int, *, only_hold: bool = False) -> int:
        """Use or hold as many of some units as there are; return how many."""
        count = min(quantity, self.available)
        parts = ledger.take([lot for _, lot in self.lots.values()], count, self.at)
        self.post(ledger.hold(UNIT, parts))
        if not only_hold:
            self.post(ledger.capture(UNIT, parts))
        return count

    def post(self, postings: list[Posting]) -> None:
        """Move units between the accounts of their lots."""
        after = ledger.post({id_: lot for id_, (_, lot) in self.lots.items()}, postings)
        self.lots = {id_: (self.lots[id_][0], lot) for id_, lot in after.items()}
        self.postings += postings

    @property
    def available(self) -> int:
        """Units that can be claimed."""
        return sum(lot.available(self.at) for _, lot in self.lots.values())


def line(periods: int, cap: int, period: LinePeriod = LinePeriod.MONTH, **more: Any) -> Line:
    """Return a line whose units are carried over."""
    carry = Carry(periods=periods, cap=cap)
    every: dict[str, Any] = {"code": "lounge", "benefit": "LOUNGE", "quota": {"GOLD": cap}}
    return Line(period=period, carry=carry, **(every | more))


def test_g_carry_1_unused_units_live_one_more_month_up_to_a_cap() -> None:
    """G-CARRY-1: monthly 2, one more period, cap 3; 0, 1, 0 and 4 are asked for."""
    life, told = Life(line(1, 3)), []
    for asked in (0, 1, 0, 4):
        cut = sum(part.amount for part in life.grant(2))
        there = life.available
        told.append((cut, there, life.claim(asked), life.available))
        life.go_on()
    assert [(0, 2, 0, 2), (1, 3, 1, 2), (1, 3, 0, 3), (1, 3, 3, 0)] == told


LINES = [
    line(1, 6),
    line(3, 9, LinePeriod.QUARTER),
    line(1, 7, anchor=Anchor.ANNIVERSARY),
    line(2, 8, LinePeriod.ROLLING, days=45, anchor=Anchor.ANNIVERSARY),
]
lives = st.lists(
    st.tuples(
        st.lists(st.integers(1, 3), max_size=2),
        st.integers(0, 6),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(st.sampled_from(LINES), lives)
def test_after_each_grant_the_balance_is_within_the_cap(
    one: Line, life_of: list[tuple[list[int], int, int, bool]]
) -> None:
    """P-5: whatever is granted, used and held; the period's own units and held ones stay."""
    assert one.carry is not None
    life = Life(one)
    for grants, used, held, skips in life_of:
        for quantity in grants:
            carried = {
                id_: lot.available(life.at)
                for id_, (key, lot) in life.lots.items()
                if key != life.period.key
            }
            before, held_before = life.available, held_of(life)
            gone = life.grant(quantity)
            excess = max(0, before + quantity - int(one.carry.cap))
            assert min(excess, sum(carried.values())) == sum(part.amount for part in gone)
            assert life.available <= one.carry.cap
            assert held_before == held_of(life)
            assert {part.lot_id for part in gone} <= set(carried)
            assert oldest_first(life, gone, carried)
            again = beyond(
                int(one.carry.cap), life.lots.values(), period=life.period.key, now=life.at
            )
            assert [] == again
        life.claim(used)
        life.claim(held, only_hold=True)
        life.go_on()
        if skips:
            life.go_on()
    folded = ledger.fold(life.postings)
    for id_, (_, lot) in life.lots.items():
        there = [folded.get((id_, account), 0) for account in Account if account is not A.ISSUED]
        assert lot.granted == sum(there)
        assert min(there) >= 0


A = Account


def held_of(life: Life) -> dict[UUID, int]:
    """Return how many units of each lot are held."""
    return {id_: lot.held for id_, (_, lot) in life.lots.items() if lot.held}


def oldest_first(life: Life, gone: list[Part], carried: dict[UUID, int]) -> bool:
    """Say whether nothing ended of a lot while an earlier end had units left."""
    ended = {part.lot_id for part in gone}
    order = sorted(
        (id_ for id_ in carried if carried[id_]), key=lambda i: ledger.fefo(lot(life, i))
    )
    left = [id_ for id_ in order if lot(life, id_).available(life.at)]
    return all(order.index(a) <= order.index(b) for a in ended for b in left)


def lot(life: Life, id_: UUID) -> Lot:
    """Return a lot of a life."""
    return life.lots[id_][1]


steps = st.lists(st.integers(0, 6), min_size=1, max_size=5)


@given(st.integers(0, 6), steps)
def test_rises_in_steps_keep_what_one_rise_keeps(unused: int, path: list[int]) -> None:
    """P-4, P-5: carried units count for no quota, so the way to the highest does not matter."""
    balances = list[int]()
    for rises in (path, [max(path)]):
        life = Life(line(1, 6))
        if unused:
            life.grant(unused)
        life.go_on()
        brought = 0
        for quota in rises:
            if quota > brought:
                life.grant(quota - brought)
                brought = quota
        balances.append(life.available)
    assert balances[0] == balances[1]


@pytest.mark.parametrize(
    ("one", "until"),
    [
        (line(1, 3), date(2025, 3, 1)),
        (line(12, 3), date(2026, 2, 1)),
        (line(2, 3, LinePeriod.QUARTER), date(2025, 10, 1)),
        (line(1, 3, LinePeriod.YEAR), date(2027, 1, 1)),
        (line(1, 3, anchor=Anchor.ANNIVERSARY), date(2025, 2, 28)),
        (line(2, 3, anchor=Anchor.ANNIVERSARY), date(2025, 3, 31)),
        (line(1, 3, LinePeriod.ROLLING, days=10, anchor=Anchor.ANNIVERSARY), date(2025, 1, 15)),
    ],
)
def test_carried_units_end_with_a_later_period_of_the_line(one: Line, until: date) -> None:
    """P-5, C-6: of the calendar, or counted from the opening on a 31st."""
    life = Life(one)
    life.grant(1)
    ((_, granted),) = life.lots.values()
    assert midnight(until, ZONE) == granted.expires_at
