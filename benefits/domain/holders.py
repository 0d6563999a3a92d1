"""Joint accounts: who holds an account, and for whom its balance counts (A-5).

A holder line is `account,customer,role,valid_from[,valid_to]`. What is said later of the same
account, customer and first day counts. A balance that is brought for one of an account's holders
counts for those who hold it on its day, as the programme's policy says.
"""

import enum
from collections.abc import Mapping
from datetime import date

import msgspec

from benefits.domain.assets import SHORT_MAX, LineInvalid, read_date, read_end
from benefits.domain.spelling import suggestion

REQUIRED = ("account", "customer", "role", "valid_from")
OPTIONAL = ("valid_to",)


class Role(enum.Enum):
    """How a customer holds an account; of several primary holders the first by id is it."""

    PRIMARY = "PRIMARY"
    JOINT = "JOINT"


class HolderLine(msgspec.Struct, frozen=True):
    """A customer holds an account from a day on; `to` is the first day they do not."""

    account: str
    customer: str
    role: Role
    from_: date
    to: date | None = None


def read_line(row: Mapping[str, str]) -> HolderLine:
    """Read one line; LineInvalid says which field is wrong and why."""
    for field in ("account", "customer"):
        if not 1 <= len(row[field].strip()) <= SHORT_MAX:
            raise LineInvalid(f"{field}: must have 1 to {SHORT_MAX} characters")
    role = row["role"].strip()
    if role not in Role.__members__:
        known = ", ".join(Role.__members__)
        hint = suggestion(role, Role.__members__)
        raise LineInvalid(f"role: {role!r} is none of {known}{hint}")
    from_ = read_date(row["valid_from"], "valid_from")
    to = read_end(row.get("valid_to"), "valid_to")
    if to is not None and to < from_:
        raise LineInvalid("valid_to: lies before valid_from; it is the first day without it")
    return HolderLine(row["account"].strip(), row["customer"].strip(), Role[role], from_, to)
