"""The lines of a feed, judged by columns: millions of balances a minute.

A line is `customer,asset_class,currency,balance[,account][,as_of]`; all are of the feed's date.
What is as it should be is read column by column. Wherever anything is not, the same lines are read
one by one, to say which and why.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import methodcaller

import msgspec

from benefits.domain import assets
from benefits.domain.assets import LineInvalid
from benefits.domain.feeds import REASONS_MAX, FeedKey, Tally, reason
from benefits.domain.programme import Programme

REQUIRED = ("customer", "asset_class", "currency", "balance")
OPTIONAL = ("account", "as_of")
_commas = methodcaller("count", ",")
Column = Sequence[str]


class Lines(msgspec.Struct, frozen=True):
    """Good lines as columns of one length, and the place of each among the lines received."""

    customers: Column
    classes: Column
    currencies: Column
    accounts: Column
    balances: Sequence[int]
    places: Sequence[int]


class Read(msgspec.Struct, frozen=True):
    """What lines came to: the good ones, and the tally of all."""

    lines: Lines
    tally: Tally


def read_columns(
    lines: Sequence[str],
    header: Sequence[str],
    key: FeedKey,
    programme: Programme,
    *,
    first: int = 2,
) -> Read | None:
    """Read lines without quotes that are all good and plainly written; None when one is not.

    `first` is the place of the first one.
    """
    count, width = len(lines), len(header)
    if set(map(_commas, lines)) != {width - 1}:
        return None
    # One list of all fields: a list a line would be most of the work.
    fields = ",".join(lines).split(",")
    columns = {name: fields[place::width] for place, name in enumerate(header)}
    classes, currencies = columns["asset_class"], columns["currency"]
    accounts = columns.get("account") or [""] * count
    fine = (
        set(classes) <= set(programme.asset_classes)
        and set(currencies) <= programme.digits.keys()
        and set(columns.get("as_of", ())) <= {str(key.as_of)}
        and _are_names(columns["customer"])
        and max(map(len, accounts)) <= assets.SHORT_MAX
    )
    minor = _amounts(columns["balance"], currencies, programme) if fine else None
    if minor is None:
        return None
    good = Lines(
        columns["customer"], classes, currencies, accounts, minor, range(first, first + count)
    )
    return Read(good, Tally(count, 0, _totals(currencies, minor)))


def _are_names(customers: Column) -> bool:
    lengths = set(map(len, customers))
    return (
        min(lengths) >= 1
        and max(lengths) <= assets.SHORT_MAX
        and all(map(str.__eq__, customers, map(str.strip, customers)))
    )


def _totals(currencies: Column, minor: Sequence[int]) -> dict[str, int]:
    named = sorted(set(currencies))
    if len(named) == 1:
        return {named[0]: sum(minor)}
    pairs = list(zip(currencies, minor, strict=True))
    return {name: sum(n for currency, n in pairs if currency == name) for name in named}


def _amounts(balances: Column, currencies: Column, programme: Programme) -> list[int] | None:
    """Return balances in minor units of their currencies where each has all its decimals."""
    named = set(currencies)
    if len(named) == 1:
        return _minor(balances, programme.digits[currencies[0]])
    amounts = [0] * len(balances)
    for name in named:
        places = [place for place, currency in enumerate(currencies) if currency == name]
        minor = _minor([balances[place] for place in places], programme.digits[name])
        if minor is None:
            return None
        for place, amount in zip(places, minor, strict=True):
            amounts[place] = amount
    return amounts


def _minor(balances: Column, digits: int) -> list[int] | None:
    """Return balances in minor units where each has all its decimals; else None."""
    part = rf"\.[0-9]{{{digits}}}" if digits else ""
    together = "\n".join(balances)
    if not re.fullmatch(rf"(?:-?[0-9]{{1,{15 - digits}}}+{part}\n)*+", together + "\n"):
        return None
    return list(map(int, together.replace(".", "").split("\n")))


def read_each(
    rows: Iterable[tuple[int, Mapping[str, str] | str]],
    key: FeedKey,
    programme: Programme,
    *,
    name: str,
) -> Read:
    """Read lines one by one; `name` is how the place of a bad one is told, like `line {}`."""
    good = list[tuple[str, str, str, str, int, int]]()
    told, count = list[str](), 0
    for place, row in rows:
        count += 1
        try:
            line = _line(row, key, programme)
        except LineInvalid as refusal:
            if len(told) < REASONS_MAX:
                told.append(reason(name.format(place), refusal))
            continue
        good.append(
            (
                line.customer,
                line.asset_class,
                line.currency,
                line.account,
                line.balance_minor,
                place,
            )
        )
    columns = tuple(zip(*good, strict=True)) or ((),) * 6
    lines = Lines(*columns)
    totals = {programme.currency: 0} if not good else _totals(lines.currencies, lines.balances)
    return Read(lines, Tally(count, count - len(good), totals, tuple(told)))


def _line(row: Mapping[str, str] | str, key: FeedKey, programme: Programme) -> assets.AssetLine:
    if isinstance(row, str):
        raise LineInvalid(row)
    line = assets.read_line({"as_of": str(key.as_of), **row}, programme)
    if line.as_of != key.as_of:
        raise LineInvalid(f"as_of: is not {key.as_of}, the date of the feed")
    return line
