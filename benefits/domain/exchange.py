"""Exchange rates: what an amount in another currency counts for in the programme's own (A-4).

A rate line is `currency,date,rate,per[,revision]`: `per` units of the currency are worth `rate` of
the programmes' currency at the end of the date. A balance is converted with the rate of its own
date, else with the latest earlier one that is at most `RATE_DAYS` old; without one it is missing.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal

import msgspec

from benefits.domain.assets import LineInvalid, read_date, read_revision
from benefits.domain.programme import Programme, ProgrammeInvalid
from benefits.domain.spelling import suggestion

REQUIRED = ("currency", "date", "rate", "per")
OPTIONAL = ("revision",)
RATE_DAYS = 10
PER = (1, 10, 100, 1_000, 10_000)  # powers of ten, so that every factor is a decimal
FACTOR_MAX = 100_000
_RATE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")


class Converted(msgspec.Struct, frozen=True):
    """A currency that is converted into the programmes' own, and the decimals of both."""

    code: str
    digits: int
    into: str
    into_digits: int


class RateLine(msgspec.Struct, frozen=True):
    """What `per` units of a currency are worth at the end of a date.

    `factor` is what one of its minor units is worth, in minor units.
    """

    currency: str
    as_of: date
    rate: Decimal
    per: int
    factor: Decimal
    revision: int = 0


def read_line(row: Mapping[str, str], known: Mapping[str, Converted], today: date) -> RateLine:
    """Read one line; LineInvalid says which field is wrong and why."""
    currency = known.get(row["currency"])
    if currency is None:
        hint = suggestion(row["currency"], known)
        raise LineInvalid(f"currency: no programme converts {row['currency']!r}{hint}")
    as_of = read_date(row["date"], "date")
    if not date(1970, 1, 1) <= as_of <= today:
        raise LineInvalid(f"date: {as_of} is not a day between 1970 and today")
    if row["per"] not in map(str, PER):
        raise LineInvalid(f"per: {row['per']!r} is not one of {', '.join(map(str, PER))}")
    if not _RATE.fullmatch(row["rate"]) or not Decimal(row["rate"]):
        raise LineInvalid(f"rate: {row['rate']!r} is not a decimal number above 0")
    rate, per = Decimal(row["rate"]), int(row["per"])
    factor = rate.scaleb(currency.into_digits - currency.digits - PER.index(per))
    if factor > FACTOR_MAX:
        raise LineInvalid(f"rate: {row['rate']} is out of range")
    revision = read_revision(row.get("revision") or "0")
    return RateLine(currency.code, as_of, rate, per, factor, revision)


def check_converted(
    programme: Programme, others: Iterable[Programme], known: Mapping[str, Converted]
) -> list[Converted]:
    """Return what a programme converts, new or not; all convert into one and the same currency.

    Nor is a currency converted for one programme and another's own (ProgrammeInvalid).
    """
    if programme.currency in known:
        into = known[programme.currency].into
        raise ProgrammeInvalid(
            f"currency: {programme.currency} is converted into {into} by another programme"
        )
    for other in others:
        if other.currency in programme.currencies:
            raise ProgrammeInvalid(
                f"currencies: {other.currency} is the currency of programme {other.code!r}"
            )
    into = next((one.into for one in known.values()), programme.currency)
    if programme.currencies and into != programme.currency:
        raise ProgrammeInvalid(
            f"currencies: all that is converted is converted into {into}, not {programme.currency}"
        )
    return [
        Converted(code, programme.digits[code], programme.currency, programme.minor_digits)
        for code in programme.currencies
    ]
