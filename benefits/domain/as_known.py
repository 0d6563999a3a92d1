"""What was known by an instant, folded into sums from the daily rows (C-7, C-8, T-8).

The sums that evaluations read move with what comes: they are those of now. What they were when
something was decided follows from the rows that were there by then, each of which stays:

    lines, feeds, rates, holders  ->  what each day counts  ->  sums of months, stretches, points

It is the same as the kept sums by other means: line by line, for one member, without any of the
database's arithmetic. So it shows both that nothing was forgotten and that nothing was miscounted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from uuid import UUID

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.exchange import RATE_DAYS
from benefits.domain.feeds import FeedKind, days_known
from benefits.domain.metrics import Basket, MonthSum, known_sum, net_sum, value_of
from benefits.domain.policy import Joint
from benefits.domain.stretches import are_needed, needed
from benefits.domain.values import Month
from benefits.domain.windows import Days, Kept, Point, Window

_DAY = timedelta(days=1)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A balance that counted for a member's day; `is_plain` where no feed brought it."""

    member_id: UUID
    day: date
    asset_class: str
    currency: str
    source: str
    account: str
    balance_minor: int
    is_plain: bool = True


class Sent(msgspec.Struct, frozen=True):
    """What counted of a source's day: which revision, and whether it says all or changes alone."""

    source: str
    as_of: date
    revision: int
    kind: FeedKind


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds an account on the days `[from_, to)`."""

    account: str
    member_id: UUID
    is_primary: bool
    from_: date
    to: date | None


class Known(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All that counted for a member by an instant, with what others brought of joint accounts.

    `rates` are what a minor unit of a currency came to on a day of which a rate was said; `merged`
    says who counted for whom.
    """

    lines: Sequence[Line] = ()
    feeds: Sequence[Sent] = ()
    rates: Mapping[tuple[str, date], Decimal] = {}
    holders: Sequence[Holder] = ()
    merged: Mapping[UUID, UUID] = {}

    @cached_property
    def sealed(self) -> dict[Month, dict[str, Days]]:
        """The days that feeds sealed, and which people filled, by month and source."""
        found = dict[Month, dict[str, Days]]()
        for one in self.feeds:
            bit = 1 << (one.as_of.day - 1)
            of = found.setdefault(Month.of(one.as_of), {})
            days = of.get(one.source, Days())
            filled = bit if one.revision < 0 else 0
            of[one.source] = Days(days.known | bit, days.filled | filled)
        return found

    @cached_property
    def named(self) -> dict[str, frozenset[UUID]]:
        """Whoever was ever named as a holder, by account."""
        found = dict[str, set[UUID]]()
        for one in self.holders:
            found.setdefault(one.account, set()).add(one.member_id)
        return {account: frozenset(ids) for account, ids in found.items()}

    def held_by(self, account: str, day: date) -> list[UUID]:
        """Return who holds an account on a day, the primary holder first (A-5)."""
        latest = dict[UUID, Holder]()
        for one in sorted(self.holders, key=lambda one: one.from_):
            is_valid = one.from_ <= day and (one.to is None or day < one.to)
            if one.account == account and is_valid and one.member_id not in self.merged:
                latest[one.member_id] = one
        return sorted(latest, key=lambda id_: (not latest[id_].is_primary, id_))

    def worth(self, line: Line, own: str) -> int | None:
        """Return what a line comes to in the `own` currency, None without a rate (A-4, A-8)."""
        balance = max(line.balance_minor, 0)
        if line.currency == own or not balance:
            return balance
        for back in range(RATE_DAYS + 1):
            factor = self.rates.get((line.currency, line.day - back * _DAY))
            if factor is not None:
                return (Fraction(factor) * balance + Fraction(1, 2)).__floor__()
        return None


def standing(feeds: Iterable[Sent], lines: Mapping[Sent, Sequence[Line]]) -> Iterator[Line]:
    """Yield the lines of feeds day by day: each from its day until its key's next one (A-2)."""
    ordered = sorted(feeds, key=lambda one: (one.source, one.as_of))
    for _, of_source in groupby(ordered, lambda one: one.source):
        chains = list[list[Sent]]()
        for one in of_source:
            if one.kind is FeedKind.FULL or not chains:
                chains.append([])
            chains[-1].append(one)
        for chain in chains:
            yield from _of_chain(chain, lines)


def _of_chain(chain: Sequence[Sent], lines: Mapping[Sent, Sequence[Line]]) -> Iterator[Line]:
    past = chain[-1].as_of + _DAY
    by_key = dict[tuple[UUID, str, str, str], list[tuple[Line, bool]]]()
    for sent in chain:
        for line in lines.get(sent, ()):
            is_gone = sent.kind is FeedKind.DELTA and not line.balance_minor
            key = (line.member_id, line.asset_class, line.currency, line.account)
            by_key.setdefault(key, []).append((line, is_gone))
    for each in by_key.values():
        ends = [*(line.day for line, _ in each[1:]), past]
        for (line, is_gone), end in zip(each, ends, strict=True):
            for n in range(0 if is_gone else (end - line.day).days):
                yield msgspec.structs.replace(line, day=line.day + n * _DAY)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a line adds to a member's day: `is_joint` what it adds as one of a joint account."""

    day: date
    asset_class: str
    currency: str
    amount: int
    is_joint: bool = False
    has_balance: bool = False
    is_plain: bool = False
    is_unrated: bool = False


def entries(known: Known, member_id: UUID, basket: Basket) -> list[Entry]:
    """Return what counts of a basket's classes and currencies for a member, line by line."""
    counted = [
        line
        for line in known.lines
        if line.asset_class in basket.classes and line.currency in basket.currencies
    ]
    found = list[Entry]()
    for line in counted:
        if line.member_id == member_id:
            found += _own(known, line, basket)
    if basket.joint:
        found += _shares(known, counted, member_id, basket)
    return found


def _own(known: Known, line: Line, basket: Basket) -> Iterator[Entry]:
    """Yield a line that was brought for a member, and what a joint account takes of it again."""
    worth = known.worth(line, basket.currency)
    yield Entry(
        day=line.day,
        asset_class=line.asset_class,
        currency=line.currency,
        amount=worth or 0,
        has_balance=line.balance_minor > 0,
        is_plain=line.is_plain,
        is_unrated=worth is None,
    )
    named = known.named.get(line.account, frozenset())
    if basket.joint and line.member_id in named and known.held_by(line.account, line.day):
        yield Entry(
            day=line.day,
            asset_class=line.asset_class,
            currency=line.currency,
            amount=-(worth or 0),
            is_joint=True,
        )


def _shares(
    known: Known, lines: Iterable[Line], member_id: UUID, basket: Basket
) -> Iterator[Entry]:
    """Yield what joint accounts bring a member; a line that several brought counts once (A-5)."""
    accounts = {account for account, named in known.named.items() if member_id in named}
    brought = dict[tuple[str, date, str, str, str], list[Line]]()
    for line in lines:
        if line.account in accounts and line.member_id in known.named[line.account]:
            key = (line.account, line.day, line.asset_class, line.currency, line.source)
            brought.setdefault(key, []).append(line)
    for (account, day, *_), several in brought.items():
        holders = known.held_by(account, day)
        counts = holders[:1] if basket.joint == Joint.PRIMARY_ONLY.value else holders
        if member_id not in counts:
            continue
        line = min(
            several,
            key=lambda one: (
                known.merged.get(one.member_id, one.member_id) != holders[0],
                one.member_id,
            ),
        )
        worth = known.worth(line, basket.currency)
        yield Entry(
            day=day,
            asset_class=line.asset_class,
            currency=line.currency,
            amount=_share(worth or 0, holders, member_id, basket.joint),
            is_joint=True,
            is_plain=line.is_plain,
            is_unrated=worth is None,
        )


def _share(worth: int, holders: Sequence[UUID], member_id: UUID, joint: str) -> int:
    if joint != Joint.SPLIT_EQUAL.value:
        return worth
    each, rest = divmod(worth, len(holders))
    return each + (rest if member_id == holders[0] else 0)


class Counted(msgspec.Struct, frozen=True):
    """A month of a member and whoever counts along, each with their entries; its known days."""

    month: Month
    each: Sequence[Sequence[Entry]]
    days: Days


def sums(
    known: Known, ids: Sequence[UUID], rules: Rules, through: Month, *, opened_on: date
) -> dict[Basket, dict[Kept, MonthSum]]:
    """Return the sums of a member, the first of `ids`, with those who counted along (T-8)."""
    found = dict[Basket, dict[Kept, MonthSum]]()
    for basket in rules.baskets:
        months = _months(known, ids, rules, through, basket=basket, opened_on=opened_on)
        found[basket] = {
            piece: total
            for each in months
            for piece, total in _pieces(each, rules, basket, opened_on).items()
        }
    return {basket: pieces for basket, pieces in found.items() if pieces}


def _months(
    known: Known,
    ids: Sequence[UUID],
    rules: Rules,
    through: Month,
    *,
    basket: Basket,
    opened_on: date,
) -> list[Counted]:
    """Return the months of which anything is known."""
    each = [entries(known, id_, basket) for id_ in ids]
    there = {Month.of(one.day) for some in each for one in some}
    there |= {month for month in known.sealed if month >= Month.of(opened_on)}
    found = list[Counted]()
    for month in sorted(month for month in there if month <= through):
        here = [[one for one in some if Month.of(one.day) == month] for some in each]
        plain = unrated = 0
        for one in (one for some in here for one in some):
            bit = 1 << (one.day.day - 1)
            plain |= bit if one.is_plain else 0
            unrated |= bit if one.is_unrated else 0
        feeds = rules.at(month).programme.feeds
        days = days_known(plain, feeds, known.sealed.get(month, {}))
        days = Days(days.known & ~unrated, days.filled & ~unrated)
        if days.known or any(here):
            found.append(Counted(month, here, days))
    return found


def _pieces(of: Counted, rules: Rules, basket: Basket, opened_on: date) -> dict[Kept, MonthSum]:
    """Return what a month and the stretches of it come to that windows need."""
    month, found = of.month, dict[Kept, MonthSum]()
    for stretch in needed(rules, month) if are_needed(rules) else ():
        found[stretch] = _sum(
            of, stretch, basket, opened_on=opened_on, converted=_converted_in_stretch
        )
        if basket.points and stretch.days == 1:
            point = Point(stretch)
            found[point] = _sum(
                of, point, basket.by_point, opened_on=opened_on, converted=_converted_in_stretch
            )
    value = _value(rules, month, found, opened_on) if basket.points else None
    converted = _converted_in_month
    found[month] = _sum(of, month, basket, opened_on=opened_on, converted=converted, valued=value)
    return found


def _value(
    rules: Rules, month: Month, pieces: Mapping[Kept, MonthSum], opened_on: date
) -> int | None:
    """Return what classes by a point in time come to on each day of a month (A-3)."""
    judge = rules.at(month)
    asked = (judge.programme.policy, month, pieces, opened_on)
    return value_of(*asked, calendar=judge.calendar)


_Converted = Callable[[Iterable[Entry], str], set[str]]


def _sum(
    of: Counted,
    piece: Kept,
    basket: Basket,
    *,
    opened_on: date,
    converted: _Converted,
    valued: int | None = None,
) -> MonthSum:
    weights = dict(zip(basket.classes, basket.weights, strict=True))
    here = [[one for one in some if piece.bits >> (one.day.day - 1) & 1] for some in of.each]
    codes = sorted({code for some in here for code in converted(some, basket.currency)})
    nets = dict[int, int]()
    for one in (one for some in here for one in some):
        nets[one.day.day] = nets.get(one.day.day, 0) + one.amount * weights[one.asset_class]
    if basket.is_net:
        net = net_sum(piece, nets, of.days, opened_on, valued=valued)
        return msgspec.structs.replace(net, converted=tuple(codes))
    total = sum(nets.values())
    return known_sum(piece, total, of.days, opened_on, converted=tuple(codes))


def _converted_in_month(some: Iterable[Entry], own: str) -> set[str]:
    """Return the currencies in which a member had anything, or joint accounts added something."""
    added, found = dict[tuple[str, str], int](), set[str]()
    for one in some:
        if one.currency == own:
            continue
        if one.has_balance:
            found.add(one.currency)
        if one.is_joint:
            key = (one.asset_class, one.currency)
            added[key] = added.get(key, 0) + one.amount
    return found | {currency for (_, currency), amount in added.items() if amount > 0}


def _converted_in_stretch(some: Iterable[Entry], own: str) -> set[str]:
    """Return the currencies in which anything came to something."""
    totals = dict[tuple[str, str, bool], int]()
    for one in some:
        if one.currency != own:
            key = (one.asset_class, one.currency, one.is_joint)
            totals[key] = totals.get(key, 0) + one.amount
    return {currency for (_, currency, _), amount in totals.items() if amount > 0}


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What a day of a metric counted, exactly, and whether it was known, or filled by people."""

    day: date
    is_known: bool
    is_filled: bool
    counted_minor: Decimal


def days(
    known: Known,
    ids: Sequence[UUID],
    rules: Rules,
    through: Month,
    *,
    opened_on: date,
    window: Window,
) -> list[Day]:
    """Return what each day of the policy's own metric counted, with a point's classes (X-6)."""
    basket = rules.at(through).programme.basket
    months = _months(known, ids, rules, through, basket=basket, opened_on=opened_on)
    by_month = {each.month: each for each in months}
    value = None
    if basket.points and through in by_month:
        pieces = _pieces(by_month[through], rules, basket, opened_on)
        value = _value(rules, through, pieces, opened_on)
    found = list[Day]()
    for n in range(window.days):
        day = window.first + n * _DAY
        of, bit = by_month.get(Month.of(day)), 1 << (day.day - 1)
        here = [one for some in of.each for one in some if one.day == day] if of else []
        found.append(
            Day(
                day=day,
                is_known=day < opened_on or bool(of and of.days.known & bit),
                is_filled=bool(of and of.days.filled & bit),
                counted_minor=_worth(here, basket, value or 0),
            )
        )
    return found


def _worth(entries: Iterable[Entry], basket: Basket, more: int) -> Decimal:
    """Return what a day comes to in minor units: exact, and never less than nothing (A-8)."""
    weights = dict(zip(basket.classes, basket.weights, strict=True))
    total = more + sum(one.amount * weights[one.asset_class] for one in entries)
    return Decimal(max(total, 0)) / basket.scale
