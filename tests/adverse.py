"""What members come to have of one benefit over half a year, counted without the service's rules.

Lives are led under one version of a programme up to a month, and under another from then on. A
version is worse if anybody has had less of the benefit, on whichever day, than without it.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, product
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.benefit import Benefit
from benefits.domain.carry import Carry
from benefits.domain.eligibility import Rule
from benefits.domain.fields import Years
from benefits.domain.labels import Layer
from benefits.domain.limits import Cap, CapWindow, Limit, Scope
from benefits.domain.packages import Downgrade, Line, LinePeriod, Segment, Start
from benefits.domain.programme import Programme
from benefits.domain.stacking import StackBy, Stacking
from tests.builders import reference_programme

MONTHS = range(7, 13)
TIERS = ("GOLD", "PLATINUM", "DIAMOND")
PAYROLL = Segment(label="payroll", layer=Layer.FACT, name={"zh": "代发", "en": "Payroll"})
OLD, YOUNG = Rule(age=Years(at_least=60)), Rule(age=Years(at_most=40))
TOLD = (None, OLD, YOUNG)
DAYS = [date(2025, month, day) for month in MONTHS for day in (1, 11, 21, 30)]
VALUES: dict[str, Sequence[Any]] = {
    "threshold": (40_000, 50_000, 60_000),
    "misses": (1, 2, 3),
    "period": (LinePeriod.MONTH, LinePeriod.QUARTER),
    "GOLD": (0, 1, 2, 3),
    "PLATINUM": (0, 1, 3, 4),
    "DIAMOND": (1, 3, 6),
    "quantity": (1, 2, 4),
    "valid_days": (0, 5, 15, 70),
    "segment_days": (0, 5, 70),
    "carry": (None, Carry(periods=1, cap=3), Carry(periods=1, cap=9), Carry(periods=2, cap=9)),
    "downgrade": tuple(Downgrade),
    "line_rule": TOLD,
    "benefit_rule": TOLD,
    "stacking": (
        Stacking(),
        Stacking(cap=2),
        Stacking(cap=4),
        Stacking(by=StackBy.MAX),
        Stacking(by=StackBy.PRIORITY),
    ),
    "cap": (
        None,
        Cap(limit=2, window=CapWindow.MONTH),
        Cap(limit=3, window=CapWindow.MONTH),
        Cap(limit=3, window=CapWindow.YEAR),
    ),
    "limit": (None, 1, 2, 3),
    "stock": (99, 2, 5, 9),
    "takes": (1, 2),
    "contract_end": (None, date(2025, 8, 15), date(2025, 10, 31)),
    "lead_days": (0, 40),
    "claim_from": (None, date(2025, 7, 20), date(2025, 9, 1)),
    "claim_until": (None, date(2025, 9, 15), date(2025, 11, 1)),
}
PLAIN: dict[str, Any] = {name: values[0] for name, values in VALUES.items()} | {
    "misses": 3,
    "GOLD": 2,
    "PLATINUM": 4,
    "DIAMOND": 6,
    "quantity": 4,
    "carry": Carry(periods=2, cap=9),
    "contract_end": date(2025, 10, 31),
}
# Of each field what takes something from somebody of PEOPLE who has it PLAIN; a period stays.
WORSE: dict[str, Any] = {
    "threshold": 60_000,
    "misses": 1,
    "GOLD": 1,
    "PLATINUM": 3,
    "DIAMOND": 3,
    "quantity": 2,
    "valid_days": 15,
    "segment_days": 5,
    "carry": None,
    "downgrade": Downgrade.REVOKE_ALL,
    "line_rule": OLD,
    "benefit_rule": YOUNG,
    "stacking": Stacking(by=StackBy.MAX),
    "cap": Cap(limit=3, window=CapWindow.MONTH),
    "limit": 3,
    "stock": 9,
    "takes": 2,
    "contract_end": date(2025, 8, 15),
    "lead_days": 40,
    "claim_from": date(2025, 7, 20),
    "claim_until": date(2025, 9, 15),
}


def versions() -> st.SearchStrategy[tuple[dict[str, Any], str, Any]]:
    """Return in what a version is not plain, and the field of which the next has another value."""
    fields = st.sampled_from(sorted(VALUES))
    drawn = fields.flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(VALUES[name])))
    some = st.lists(drawn, max_size=5).map(dict)
    return st.tuples(some, drawn).map(lambda pair: (pair[0], *pair[1]))


def programme(values: dict[str, Any]) -> Programme:
    """Return the reference programme with such a benefit, a line of tiers and one of a segment."""
    made = reference_programme()
    base, gold, platinum, *rest = made.tier
    gold = replace(gold, threshold=Decimal(values["threshold"]), misses=values["misses"])
    platinum = replace(platinum, misses=values["misses"])
    stacks = not values["stacking"].is_plain
    quotas = accumulate((values[code] for code in TIERS), max)  # a higher tier brings no less
    of_tiers = Line(
        code="tiers",
        benefit="VIDEO",
        period=values["period"],
        quota={code: quota for code, quota in zip(TIERS, quotas, strict=True) if quota},
        eligible=values["line_rule"],
        valid_days=values["valid_days"],
        carry=None if stacks or values["valid_days"] else values["carry"],
        downgrade=values["downgrade"],
        start=Start.PERIOD,
    )
    of_segment = Line(
        code="payroll",
        benefit="VIDEO",
        period=values["period"],
        segment=PAYROLL,
        quantity=values["quantity"],
        valid_days=values["segment_days"],
        start=Start.PERIOD,
    )
    video = replace(
        made.benefits["VIDEO"],
        eligible=values["benefit_rule"],
        takes=Decimal(values["takes"]),
        lead_days=values["lead_days"] if values["contract_end"] else 0,
        **{
            name: values[name]
            for name in ("stacking", "cap", "stock", "contract_end", "claim_from", "claim_until")
        },
    )
    most = values["limit"]
    monthly = Limit(code="m", scope=Scope.MEMBER, limit=Decimal(most or 0), window=CapWindow.MONTH)
    return replace(
        made,
        tier=(base, gold, platinum, *rest),
        benefit=(video, made.benefits["LOUNGE"]),
        line=(of_tiers, of_segment),
        limit=() if most is None else (monthly,),
    )


class Person(msgspec.Struct, frozen=True):
    """Balances by month, an age, a label or none, and on every which of `DAYS` all is claimed."""

    balances: tuple[int, ...]
    age: int
    is_payroll: bool
    every: int


PEOPLE = [
    Person(balances, age, is_payroll, every)
    for (balances, is_payroll), age, every in product(
        [
            ((55_000,) * 6, False),
            ((45_000,) * 6, True),
            ((600_000, 55_000, 55_000, 55_000, 600_000, 600_000), True),
            ((6_000_000, 6_000_000, 600_000, 600_000, 55_000, 55_000), False),
        ],
        (30, 70),
        (1, 7),
    )
]


class Lot(msgspec.Struct):
    """Units of a line and a period, usable through their last day."""

    line: str
    period: str
    left: int
    last: date


class Life:
    """One person's half-year: what they were given, and what they claimed by each day."""

    def __init__(self, person: Person) -> None:
        """Begin as a customer without a tier."""
        self.person = person
        self.lots: list[Lot] = []
        self.net: dict[tuple[str, str], int] = {}
        self.used: dict[str, int] = {}
        self.forfeit: dict[str, int] = {}
        self.tier, self.missed = 0, 0

    def lead(self, months: Sequence[Programme]) -> list[int]:
        """Live through a version for each month; return how much was claimed by each day."""
        claims = list[int]()
        for nth, day in enumerate(DAYS):
            made = months[day.month - MONTHS.start]
            if day.day == 1:
                self.turn(made, day)
            if nth % self.person.every == self.person.every - 1:
                while self.claim(made, day):
                    pass
            claims.append(self.used.get("ever", 0))
        return claims

    def turn(self, made: Programme, day: date) -> None:
        """Be judged by the month's balance, rise at once, fall after misses; be given units."""
        balance, before = self.person.balances[day.month - MONTHS.start], self.tier
        reached = [n for n, one in enumerate(made.tier) if balance >= (one.threshold or 0)][-1]
        self.missed = self.missed + 1 if reached < self.tier else 0
        if reached > self.tier or self.missed >= made.tier[self.tier].misses:
            self.tier, self.missed = reached, 0
        tiers, segment = made.line
        code = made.tier[self.tier].code
        period, quota = self.period(tiers, day), int(tiers.quota.get(code, 0))
        quotas = {tiers.code: quota}
        quotas[segment.code] = int(segment.quantity) if self.person.is_payroll else 0
        if self.tier < before:
            self.fall(made, quotas, period, day)
        if quota > self.forfeit.get(period, quota):
            del self.forfeit[period]
        if not self.lets_in(tiers) or period in self.forfeit:
            quotas[tiers.code] = 0
        for line in made.line:
            if quotas[line.code]:
                self.give(made, line, quotas, day)

    def lets_in(self, asking: Line | Benefit) -> bool:
        """Say whether one is old or young enough."""
        rule, age = asking.eligible, self.person.age
        return rule is None or (age >= 60 if rule == OLD else age <= 40)

    def period(self, line: Line, day: date) -> str:
        """Name a line's period."""
        is_month = line.period is LinePeriod.MONTH
        return f"M{day.month}" if is_month else f"Q{(day.month - 1) // 3}"

    def end(self, line: Line, day: date, more: int = 0) -> date:
        """Return the last day of a line's period, or of one that comes so many after it."""
        size = 1 if line.period is LinePeriod.MONTH else 3
        after = (day.month - 1) // size * size + size * (more + 1)
        return date(2025 + after // 12, after % 12 + 1, 1) - timedelta(days=1)

    def missing(self, made: Programme, line: Line, quotas: dict[str, int], period: str) -> int:
        """Return what is missing to a quota, or to what lines bring together."""
        benefit = made.benefit[0]
        lines = [one for one in made.line if quotas[one.code]]
        missing = max(0, quotas[line.code] - self.net.get((line.code, period), 0))
        standing = sum(net for (_, of), net in self.net.items() if of == period)
        match benefit.stacking.by:
            case StackBy.SUM if benefit.stacking.cap is not None:
                missing = min(missing, max(0, int(benefit.stacking.cap) - standing))
            case StackBy.MAX:
                best = max(lines, key=lambda one: quotas[one.code], default=None)
                missing = max(0, quotas[best.code] - standing) if best and line is best else 0
            case StackBy.PRIORITY:
                is_first = lines and line is lines[0]
                missing = max(0, quotas[line.code] - standing) if is_first else 0
            case _:
                pass
        return missing

    def give(self, made: Programme, line: Line, quotas: dict[str, int], day: date) -> None:
        """Be given what is missing."""
        period = self.period(line, day)
        own = self.net.get((line.code, period), 0)
        missing = self.missing(made, line, quotas, period)
        if not missing:
            return
        last = self.end(line, day)
        if line.valid_days:
            last = day + timedelta(days=line.valid_days)
        if line.carry is not None:
            last = self.end(line, day, line.carry.periods)
        self.net[line.code, period] = own + missing
        self.lots.append(Lot(line.code, period, missing, last))
        if line.carry is not None:
            mine = [lot for lot in self.free(day) if lot.line == line.code]
            over = sum(lot.left for lot in mine) - int(line.carry.cap)
            self.end_first([lot for lot in mine if lot.period != period], over)

    def fall(self, made: Programme, quotas: dict[str, int], period: str, day: date) -> None:
        """Lose what the line of tiers takes at a fall: it may come back with a rise."""
        line = made.line[0]
        mine = [lot for lot in self.free(day) if lot.line == line.code]
        current = [lot for lot in mine if lot.period == period]
        free = sum(lot.left for lot in current)
        lost = free
        match line.downgrade:
            case Downgrade.KEEP_UNTIL_EXPIRY:
                return
            case Downgrade.REVOKE_EXCESS:
                self.net[line.code, period] = self.net.get((line.code, period), 0) - free
                stays = self.missing(made, line, quotas, period)
                self.net[line.code, period] += free
                lost = self.end_first(current, free - stays)
            case Downgrade.REVOKE_UNCLAIMED:
                self.end_first(current, free)
            case Downgrade.REVOKE_ALL:
                self.end_first(mine, sum(lot.left for lot in mine))
        if lost:
            self.net[line.code, period] -= lost
            if line.downgrade is not Downgrade.REVOKE_EXCESS:
                self.forfeit[period] = quotas[line.code]

    def free(self, day: date) -> list[Lot]:
        """Return what can be claimed, what ends first first."""
        return sorted((lot for lot in self.lots if lot.last >= day), key=lambda lot: lot.last)

    def end_first(self, lots: Sequence[Lot], units: int) -> int:
        """End units of lots, the first first; return how many."""
        ended = 0
        for lot in lots:
            some = max(0, min(lot.left, units - ended))
            lot.left -= some
            ended += some
        return ended

    def claim(self, made: Programme, day: date) -> bool:
        """Claim a piece if nothing refuses it."""
        benefit, windows = made.benefit[0], ("ever", f"{day:%Y}", f"{day:%Y-%m}")
        used = {window: self.used.get(window, 0) for window in windows}
        month, takes = f"{day:%Y-%m}", int(benefit.takes)
        last = benefit.contract_end and benefit.contract_end - timedelta(days=benefit.lead_days)
        cap = benefit.cap
        refused = (
            not self.lets_in(benefit)
            or (last is not None and day > last)
            or (benefit.claim_from is not None and day < benefit.claim_from)
            or (benefit.claim_until is not None and day > benefit.claim_until)
            or (benefit.stock is not None and used["ever"] >= benefit.stock)
            or any(used[month] >= limit.limit for limit in made.limit)
        )
        if cap is not None:
            window = month if cap.window is CapWindow.MONTH else f"{day:%Y}"
            refused = refused or (used[window] + 1) * takes > cap.limit
        free = self.free(day)
        if refused or sum(lot.left for lot in free) < takes:
            return False
        self.end_first(free, takes)
        self.used |= {window: amount + 1 for window, amount in used.items()}
        return True


def is_worse(before: Programme, after: Programme, since: int) -> bool:
    """Say whether anybody has less on any day if a version holds from the so-manieth month on."""
    count = len(MONTHS)
    both = [before] * since + [after] * (count - since)
    return any(
        later < earlier
        for person in PEOPLE
        for earlier, later in zip(
            Life(person).lead([before] * count), Life(person).lead(both), strict=True
        )
    )
