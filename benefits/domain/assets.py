"""Asset lines: one day-end balance each, as the bank's file brings them (A-1, A-6, A-8).

A line is `customer,as_of,asset_class,currency,balance[,account][,source][,revision]`, the balance
a decimal in major units. Lines are judged one by one; a bad one is told with its number and does
not stop the rest.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from functools import lru_cache

import msgspec

from benefits.domain.currencies import minor_of
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.spelling import suggestion
from benefits.domain.values import YEARS

REQUIRED = ("customer", "as_of", "asset_class", "currency", "balance")
OPTIONAL = ("account", "source", "revision")
SHORT_MAX = 64
OPEN_ENDED = date(9999, 12, 31)  # how banks' systems write that there is no end
_LARGEST = 10**15
_DECIMAL = re.compile(r"-?[0-9]{1,24}(\.[0-9]{1,9})?")


class FileUnreadable(Refusal):
    """The file as a whole cannot be taken: no header, or columns that are missing or unknown."""

    code = "file_unreadable"
    words = "The file cannot be read."


class LineInvalid(Refusal):
    """One line of a file says something that cannot be."""

    code = "line_invalid"
    words = "The line is not valid."


class AssetLine(msgspec.Struct, frozen=True):
    """A day-end balance in minor units; a negative one counts as zero in every metric (A-8).

    What is owed in a class of liabilities is not negative.
    """

    customer: str
    as_of: date
    asset_class: str
    currency: str
    balance_minor: int
    account: str = ""
    source: str = ""
    revision: int = 0


class Sifted(msgspec.Struct, frozen=True):
    """What lines have to do with each other, by their places.

    `twice` are those whose revision stands there before, each with the place of the first, which
    wins; `lower` are those above which another revision stands.
    """

    twice: list[tuple[int, int]]
    lower: set[int]


def sift(lines: Sequence[AssetLine]) -> Sifted:
    """Find among lines those that another one of the same grain makes needless (A-1)."""
    grains = [(o.customer, o.as_of, o.asset_class, o.currency, o.source, o.account) for o in lines]
    sifted = Sifted([], set())
    if len(set(grains)) == len(grains):  # as in nearly every file
        return sifted
    first, highest = dict[tuple[object, ...], int](), dict[tuple[object, ...], int]()
    for nth, (grain, line) in enumerate(zip(grains, lines, strict=True)):
        if first.setdefault((grain, line.revision), nth) != nth:
            sifted.twice.append((nth, first[grain, line.revision]))
            continue
        before = highest.setdefault(grain, nth)
        if lines[before].revision < line.revision:
            highest[grain] = nth
            sifted.lower.add(before)
        elif before != nth:
            sifted.lower.add(nth)
    return sifted


def check_header(header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> None:
    """Refuse a header that lacks a column or has one nobody knows (FileUnreadable)."""
    if missing := [name for name in required if name not in header]:
        raise FileUnreadable(f"The header lacks: {', '.join(missing)}.")
    known = (*required, *optional)
    if unknown := [name for name in header if name not in known]:
        hint = suggestion(unknown[0], known)
        raise FileUnreadable(f"The header has an unknown column {unknown[0]!r}{hint}.")
    if len(set(header)) != len(header):
        raise FileUnreadable("The header names a column twice.")


def read_line(row: Mapping[str, str], programme: Programme) -> AssetLine:
    """Read one line for a programme; LineInvalid says which field is wrong and why."""
    customer = row["customer"].strip()
    if not 1 <= len(customer) <= SHORT_MAX:
        raise LineInvalid("customer: must have 1 to 64 characters")
    if row["currency"] not in programme.digits:
        raise LineInvalid(_not_taken(row["currency"], programme))
    if row["asset_class"] not in programme.asset_classes:
        hint = suggestion(row["asset_class"], programme.asset_classes)
        raise LineInvalid(f"asset_class: {row['asset_class']!r} is not known{hint}")
    as_of = read_date(row["as_of"], "as_of")
    if as_of.year < 1970:
        raise LineInvalid(f"as_of: {as_of} lies too far back")
    return AssetLine(
        customer,
        as_of,
        row["asset_class"],
        row["currency"],
        _balance(row["balance"], programme.digits[row["currency"]]),
        _short(row, "account"),
        _source(row, programme),
        read_revision(row.get("revision") or "0"),
    )


def _not_taken(currency: str, programme: Programme) -> str:
    if not programme.currencies:
        return f"currency: {currency!r} is not the programme's {programme.currency}"
    hint = suggestion(currency, programme.digits)
    return f"currency: {currency!r} is not one of {', '.join(programme.digits)}{hint}"


def read_date(text: str, field: str) -> date:
    """Read `2025-06-30`; LineInvalid names the field."""
    day = _plain(text, field)
    if day.year not in YEARS:
        between = f"between {YEARS[0]}-01-01 and {YEARS[-1]}-12-31"
        raise LineInvalid(f"{field}: {text} does not lie {between}")
    return day


def read_end(text: str | None, field: str) -> date | None:
    """Read a date that may be left out; `9999-12-31` is no end, too (LineInvalid)."""
    if not text or _plain(text, field) == OPEN_ENDED:
        return None
    try:
        return read_date(text, field)
    except LineInvalid as refusal:
        raise LineInvalid(f"{refusal.detail}; leave it out where there is no end") from None


def _plain(text: str, field: str) -> date:
    with suppress(ValueError):
        return _date(text)
    raise LineInvalid(f"{field}: {text!r} is not a date like 2025-06-30")


@lru_cache(maxsize=1024)  # a file says the same days over and over
def _date(text: str) -> date:
    if len(text) != 10 or text[7] != "-":  # ISO weeks are as long
        raise ValueError(text)
    return date.fromisoformat(text)


def _balance(text: str, digits: int) -> int:
    if not _DECIMAL.fullmatch(text):
        raise LineInvalid(f"balance: {text!r} is not a decimal number")
    try:
        minor = minor_of(Decimal(text), digits)
    except ValueError as error:
        raise LineInvalid(f"balance: {error}") from None
    if abs(minor) > _LARGEST:
        raise LineInvalid(f"balance: {text} is out of range")
    return minor


def _short(row: Mapping[str, str], field: str) -> str:
    text = row.get(field) or ""
    if len(text) > SHORT_MAX:
        raise LineInvalid(f"{field}: must have at most 64 characters")
    return text


def _source(row: Mapping[str, str], programme: Programme) -> str:
    source = _short(row, "source")
    if source in programme.feeds:
        raise LineInvalid(f"source: {source!r} comes as sealed feeds")
    return source


def read_revision(text: str) -> int:
    """Read a revision; LineInvalid when it is none."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 10**9:
        raise LineInvalid(f"revision: {text!r} is not a whole number of at least 0")
    return int(text)
