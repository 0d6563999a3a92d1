"""Stacking: what several lines of one benefit bring a member together in a period (P-7).

    lines that apply, first by priority      GOLD 2    payroll 2    car owner 1
    SUM                                      2         2            1
    SUM, cap 4                               2         2            -
    MAX, PRIORITY                            2         -            -

All that lines of the benefit brought in the period counts, of whichever line, and of one that no
longer applies: so the total is what the best moment brings, whatever came first. Only lines with
the same periods stack; each lot stays its line's own.

A fall of the tier takes of the lines that fall alone, and of their own units, what they would not
bring any more if all that is free of them were gone (P-6). What is used or held of them counts.
"""

import enum
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from benefits.domain.packages import Line, UpgradePolicy
from benefits.domain.units import Quantity


class StackBy(enum.Enum):
    """What of several lines counts: all together, the largest, or the first by priority (P-7)."""

    SUM = "SUM"
    MAX = "MAX"
    PRIORITY = "PRIORITY"


class Stacking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How lines of a benefit stack; a sum may have a `cap` of units per period."""

    by: StackBy = StackBy.SUM
    cap: Quantity | None = None

    @property
    def is_plain(self) -> bool:
        """Whether each line brings its units, whatever the others do."""
        return self.by is StackBy.SUM and self.cap is None


class Fall(msgspec.Struct, frozen=True):
    """What is free of a line's units of the period as its tier falls, and what is used or held."""

    free: int
    gone: int


class Share(msgspec.Struct, frozen=True):
    """What a line that applies would bring in a period, and what it brought, net, in steps.

    Of a line that falls `net` is without what is free, which stays as far as it is still brought.
    One that does not let its member in any more brings nothing, but for what stays.
    """

    quota: int
    net: int
    fall: Fall | None = None
    lets_in: bool = True

    @property
    def bare(self) -> "Share":
        """What it would bring if all were gone that a fall may take; no more of whom it shuts."""
        if self.fall is None:
            return self
        there = self.fall.gone + self.fall.free
        return Share(self.quota if self.lets_in else min(self.quota, there), self.fall.gone)


class Allotted(msgspec.Struct, frozen=True):
    """How many steps of a line stay at a fall, and how many more it brings."""

    stays: int
    more: int


def allot(by: StackBy, shares: Sequence[Share], standing: int, *, cap: int | None) -> list[int]:
    """Return how much more each line brings, of lines that apply, the first first (P-7).

    `standing` is what all lines of the benefit brought in the period, net.
    """
    if by is StackBy.SUM:
        more, left = list[int](), None if cap is None else max(0, cap - standing)
        for share in shares:
            missing = max(0, share.quota - share.net)
            given = missing if left is None else min(missing, left)
            more.append(given)
            left = None if left is None else left - given
        return more
    if not shares:
        return []
    chosen = 0
    if by is StackBy.MAX:
        chosen = max(range(len(shares)), key=lambda n: (shares[n].quota, -n))
    more = [0] * len(shares)
    more[chosen] = max(0, shares[chosen].quota - standing)
    return more


def settle(
    by: StackBy, shares: Sequence[Share], standing: int, *, cap: int | None
) -> list[Allotted]:
    """Return what stays of lines that fall, and what each line brings, the first first (P-6, P-7).

    `standing` is what all lines of the benefit brought, net, without what is free of those that
    fall. First is said what stays: as much as each would bring anew beside what is used or held of
    it. The rest goes, and leaves its room to whichever line comes then.
    """
    stays = [0] * len(shares)
    if any(share.fall for share in shares):
        bare = [share.bare for share in shares]
        there = standing + sum(one.net for one in bare) - sum(one.net for one in shares)
        for n, still in enumerate(allot(by, bare, there, cap=cap)):
            fall = shares[n].fall
            stays[n] = min(fall.free, still) if fall else 0
    after = [Share(one.quota, one.net + kept) for one, kept in zip(shares, stays, strict=True)]
    bringing = [n for n, share in enumerate(shares) if share.lets_in]
    more = [0] * len(shares)
    whole = standing + sum(stays)
    given = allot(by, [after[n] for n in bringing], whole, cap=cap)
    for n, amount in zip(bringing, given, strict=True):
        more[n] = amount
    return [Allotted(*each) for each in zip(stays, more, strict=True)]


def stack_problems(stacking: Stacking, lines: Sequence[tuple[int, Line]]) -> Iterator[str]:
    """Yield what of a benefit's lines, given with their numbers, does not stack, by its path."""
    if stacking.is_plain:
        return
    for (_, first), (index, line) in pairwise(sorted(lines, key=lambda each: each[1].order)):
        if first.order == line.order:
            yield (
                f"line[{index}].priority: {line.code!r} and {first.code!r} stack and have the "
                f"same, {line.order}; say which comes first"
            )
    for index, line in lines:
        of, path = lines[0][1], f"line[{index}]"
        if _periods(line) != _periods(of):
            yield f"{path}.period: {line.code!r} and {of.code!r} stack, so they share all of it"
        if line.start is not of.start:
            yield f"{path}.start: {line.code!r} and {of.code!r} stack, so they start together"
        if line.upgrade is not UpgradePolicy.TOP_UP:
            yield f"{path}.upgrade: lines that stack are TOP_UP, not {line.upgrade.value}"
        if line.carry is not None:
            yield f"{path}.carry: what lines that stack brought is not carried over"


def _periods(line: Line) -> tuple[object, ...]:
    return (line.period, line.anchor, line.days, line.on, line.missing)
