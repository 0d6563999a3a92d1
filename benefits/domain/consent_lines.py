"""Lines of the bank's file of consents (E-4, X-4).

A line is `customer,purpose,provider,said_on,given`: `given` is `yes`, or `no` where a member
withdrew it. Of what was said of a purpose and a provider the latest day counts, and of one day
what was recorded last.
"""

import re
from collections.abc import Mapping
from datetime import date

import msgspec

from benefits.domain.assets import LineInvalid, read_date
from benefits.domain.consents import CODE
from benefits.domain.members import customer_of

REQUIRED = ("customer", "purpose", "provider", "said_on", "given")


class ConsentLine(msgspec.Struct, frozen=True):
    """What a member said of a purpose and a provider on a day, as a file tells."""

    customer: str
    purpose: str
    provider: str
    said_on: date
    is_given: bool


def read_line(row: Mapping[str, str], today: date) -> ConsentLine:
    """Read one line; LineInvalid says which field is wrong and why."""
    customer = customer_of(row)
    for field in ("purpose", "provider"):
        if not re.fullmatch(CODE, row[field]):
            raise LineInvalid(f"{field}: must have 1 to 64 letters, digits, - and _")
    said_on = read_date(row["said_on"], "said_on")
    if said_on > today:
        raise LineInvalid(f"said_on: {said_on} lies in the future")
    if row["given"] not in {"yes", "no"}:
        raise LineInvalid(f"given: {row['given']!r} is neither yes nor no")
    return ConsentLine(customer, row["purpose"], row["provider"], said_on, row["given"] == "yes")
