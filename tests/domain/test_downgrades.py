"""Falls inside a period: what policies take of unused units, and what comes back (P-6)."""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain import ledger
from benefits.domain.downgrades import Change, given_back, taken_back
from benefits.domain.entitlement import Granted, coming_back, top_up
from benefits.domain.ledger import Lot, Part
from benefits.domain.packages import Downgrade, Line, LinePeriod, UpgradePolicy
from benefits.domain.values import Period
from tests.builders import NOON

YEAR = Period("2025", date(2025, 1, 1), date(2026, 1, 1))
END = NOON + timedelta(days=100)
LINE = Line(
    code="lounge",
    benefit="LOUNGE",
    period=LinePeriod.YEAR,
    quota={"GOLD": 4},
    downgrade=Downgrade.REVOKE_EXCESS,
)


class Life:
    """A member's units of one line in one period, as the books would have them."""

    def __init__(self, line: Line) -> None:
        """Begin with nothing."""
        self.line, self.quota = line, 0
        self.lots: dict[UUID, Lot] = {}
        self.granted: list[Granted] = []
        self.changes: list[Change] = []
        self.at = NOON
        self.from_ = YEAR.start

    def move(self, quota: int) -> None:
        """Have a tier with a quota from now on."""
        self.at += timedelta(seconds=1)
        if quota < self.quota:
            lots = [("2025", lot) for lot in self.lots.values()]
            parts = taken_back(self.line, quota, lots, period="2025", now=self.at)
            self._change(parts, quota, sign=1)
        self.quota = quota
        self.rise()

    def rise(self) -> None:
        """Top up, as every evaluation does."""
        back = coming_back(self.quota, self.granted, self.changes, self.at)
        new = top_up(
            self.line,
            self.quota,
            self.granted,
            self.changes,
            back=sum(part.amount for part in back),
            period=YEAR,
            from_=self.from_,
        )
        self._change(back, self.quota, sign=-1)
        if new:
            lot = Lot(
                lot_id=UUID(int=len(self.lots)),
                unit="BENEFIT:LOUNGE",
                granted=new,
                remaining=new,
                held=0,
                expires_at=END,
                granted_at=self.at,
            )
            self.lots[lot.lot_id] = lot
            assert self.quota not in {one.quota for one in self.granted}
            self.granted.append(Granted(self.quota, new, self.at))

    def _change(self, parts: Sequence[Part], quota: int, *, sign: int) -> None:
        move = ledger.revoke if sign == 1 else ledger.give_again
        self.lots = ledger.post(self.lots, move("BENEFIT:LOUNGE", parts))
        self.changes += [
            Change(lot_id=p.lot_id, taken=sign * p.amount, quota=quota, at=self.at, ends_at=END)
            for p in parts
        ]

    def use(self, count: int, *, only_hold: bool = False) -> None:
        """Use some units, as many as there are, or hold them."""
        count = min(count, self.available)
        parts = ledger.take(self.lots.values(), count, self.at)
        self.lots = ledger.post(self.lots, ledger.hold("BENEFIT:LOUNGE", parts))
        if not only_hold:
            self.lots = ledger.post(self.lots, ledger.capture("BENEFIT:LOUNGE", parts))

    @property
    def available(self) -> int:
        """Units that can be claimed."""
        return sum(lot.available(self.at) for lot in self.lots.values())

    @property
    def gone(self) -> int:
        """Units that were used or are held."""
        return sum(lot.redeemed + lot.held for lot in self.lots.values())

    @property
    def net(self) -> int:
        """What was granted, without what was taken back."""
        return sum(one.quantity for one in self.granted) - sum(c.taken for c in self.changes)


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (Downgrade.KEEP_UNTIL_EXPIRY, 9),
        (Downgrade.REVOKE_EXCESS, 1),
        (Downgrade.REVOKE_UNCLAIMED, 0),
        (Downgrade.REVOKE_ALL, 0),
    ],
)
def test_g_down_1_a_fall_takes_what_its_policy_says(policy: Downgrade, left: int) -> None:
    """G-DOWN-1: yearly twelve, three used, down to four; up again nine are left, never more."""
    life = Life(replace(LINE, downgrade=policy))
    life.move(12)
    life.use(3)
    life.move(4)
    assert (left, 3) == (life.available, life.gone)
    life.rise()
    assert left == life.available
    life.move(12)
    assert (9, 12) == (life.available, life.net)


def test_held_units_are_honoured() -> None:
    """P-6: whatever the policy; those beyond the lower quota, too."""
    for policy in Downgrade:
        life = Life(replace(LINE, downgrade=policy))
        life.move(12)
        life.use(7, only_hold=True)
        life.move(4)
        assert 7 == life.gone
        assert (policy is Downgrade.KEEP_UNTIL_EXPIRY) is (life.available > 0)


steps = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=1, max_size=12)


@given(steps, st.sampled_from(Downgrade))
def test_net_grants_are_never_above_the_highest_quota(
    path: list[tuple[int, int]], policy: Downgrade
) -> None:
    """3.18, 4: whatever the path of rises and falls, and whatever is used on the way."""
    life, highest = Life(replace(LINE, downgrade=policy)), 0
    for quota, used in path:
        life.move(quota)
        highest = max(highest, quota)
        assert life.net <= highest
        if policy is Downgrade.KEEP_UNTIL_EXPIRY:
            assert highest == life.net
        if policy is Downgrade.REVOKE_EXCESS:
            assert max(0, quota - life.gone) == life.available
        before = (life.available, life.net)
        life.rise()
        assert before == (life.available, life.net)
        life.use(used)
    life.move(highest)
    assert highest == life.net


@given(steps, st.sampled_from(Downgrade), st.sampled_from(UpgradePolicy), st.integers(0, 364))
def test_a_fall_that_is_undone_leaves_all_as_it_was(
    path: list[tuple[int, int]], policy: Downgrade, upgrade: UpgradePolicy, days: int
) -> None:
    """P-6: by whatever policy of rises; and none brings more than the highest quota."""
    life = Life(replace(LINE, downgrade=policy, upgrade=upgrade))
    for quota, used in path:
        life.move(quota)
        life.use(used)
        life.from_ = YEAR.start + timedelta(days=days)
        reached = {one.quota for one in life.granted}
        highest = max(reached, default=0)
        assert life.net <= (sum(reached) if upgrade is UpgradePolicy.FULL else highest)
    life.move(13)
    whole = (life.net, life.available)
    life.move(0)
    life.move(13)
    assert whole == (life.net, life.available)


@pytest.mark.parametrize("upgrade", UpgradePolicy)
def test_a_wrong_fall_costs_nothing(upgrade: UpgradePolicy) -> None:
    """P-6: what it took comes back whole, in the middle of the year too."""
    life = Life(replace(LINE, upgrade=upgrade))
    life.move(12)
    life.from_ = date(2025, 6, 1)
    life.move(4)
    assert 4 == life.net
    life.move(12)
    assert 12 == life.net


@pytest.mark.parametrize(
    ("upgrade", "net"),
    [
        (UpgradePolicy.TOP_UP, 20),
        (UpgradePolicy.PRORATE_FLOOR, 18),
        (UpgradePolicy.PRORATE_CEIL, 19),
        (UpgradePolicy.FULL, 32),
        (UpgradePolicy.NEXT_PERIOD, 12),
    ],
)
def test_a_rise_above_what_was_before_a_fall_is_as_if_there_was_none(
    upgrade: UpgradePolicy, net: int
) -> None:
    """P-4, P-6: 8 more for 275 of 365 days are 6 or 7; what the fall took comes back besides."""
    for falls in (False, True):
        life = Life(replace(LINE, upgrade=upgrade))
        life.move(12)
        life.use(10)
        life.from_ = date(2025, 4, 1)
        if falls:
            life.move(4)
        life.move(20)
        assert net == life.net


def test_what_was_lost_of_who_was_merged_is_granted_anew() -> None:
    """P-6, T-10: it comes back to no lot; what the member was granted before is not doubled."""
    before = [Granted(12, 12, NOON, is_own=False)]
    lot = UUID(int=1)
    changes = [Change(lot_id=lot, taken=8, quota=4, at=NOON + timedelta(days=1), ends_at=None)]
    for upgrade in UpgradePolicy:
        line = replace(LINE, upgrade=upgrade)
        assert [] == coming_back(12, before, changes, NOON)
        for granted, more in (
            ([], 8),
            ([Granted(4, 4, NOON)], 4),
            ([Granted(12, 12, NOON)], 0),
        ):
            assert more == top_up(
                line, 12, before + granted, changes, period=YEAR, from_=YEAR.start
            )


@given(steps, st.sampled_from(Downgrade), st.sampled_from(UpgradePolicy))
def test_no_policy_grants_the_same_quota_twice(
    path: list[tuple[int, int]], policy: Downgrade, upgrade: UpgradePolicy
) -> None:
    """P-3: what comes back comes back to its lot; nothing is taken that is not there."""
    life = Life(replace(LINE, downgrade=policy, upgrade=upgrade))
    for quota, used in path:
        life.move(quota)
        before = life.net
        life.rise()
        assert before == life.net
        life.use(used)


def test_revoke_all_takes_units_of_earlier_periods_too() -> None:
    """P-6: those with a life of their own; the others take of the period alone."""
    lots = [
        (
            key,
            Lot(
                lot_id=UUID(int=n),
                unit="u",
                granted=2,
                remaining=2,
                held=0,
                expires_at=END,
                granted_at=NOON,
            ),
        )
        for n, key in enumerate(("2024", "2025"))
    ]
    for policy, count in (
        (Downgrade.KEEP_UNTIL_EXPIRY, 0),
        (Downgrade.REVOKE_EXCESS, 1),
        (Downgrade.REVOKE_UNCLAIMED, 2),
        (Downgrade.REVOKE_ALL, 4),
    ):
        one = replace(LINE, downgrade=policy)
        parts = taken_back(one, 1, lots, period="2025", now=NOON)
        assert count == sum(part.amount for part in parts)


def test_what_has_ended_comes_back_no_more() -> None:
    """P-6, L-5: nor what is no longer the member's own."""
    lots = [UUID(int=n) for n in range(3)]
    taken = [
        Change(lot_id=lots[0], taken=2, quota=1, at=NOON, ends_at=NOON),
        Change(lot_id=lots[1], taken=2, quota=1, at=NOON, ends_at=None),
        Change(lot_id=lots[2], taken=2, quota=1, at=NOON, ends_at=END),
    ]
    assert [Part(lots[2], 2)] == given_back(taken, 6, NOON)
