"""Members: one line of the bank's customer file, and labels with their layer and time (S-1, S-2).

A line is `customer,opened_on[,closed_on][,branch][,manager][,labels]`. Labels are written
`payroll:FACT:2024-01-01:2025-01-01`, several separated by `;`; the end may be left out.
"""

import enum
from collections.abc import Mapping
from datetime import date

import msgspec

from benefits.domain.assets import LineInvalid, read_date

REQUIRED = ("customer", "opened_on")
OPTIONAL = ("closed_on", "branch", "manager", "labels")


class Layer(enum.Enum):
    """Where a label comes from; a MODEL label may rank but never decide money (S-2)."""

    FACT = "FACT"
    RULE = "RULE"
    MODEL = "MODEL"


class Label(msgspec.Struct, frozen=True):
    """A label a member carries on the days `[from_, to)`; `to` None means until further notice."""

    name: str
    layer: Layer
    from_: date
    to: date | None


class MemberLine(msgspec.Struct, frozen=True):
    """A customer of the bank as its file tells."""

    customer: str
    opened_on: date
    closed_on: date | None = None
    branch: str = ""
    manager: str = ""
    labels: tuple[Label, ...] = ()


def read_line(row: Mapping[str, str]) -> MemberLine:
    """Read one line; LineInvalid says which field is wrong and why."""
    customer = row["customer"].strip()
    if not 1 <= len(customer) <= 64:
        raise LineInvalid("customer: must have 1 to 64 characters")
    opened_on = read_date(row["opened_on"], "opened_on")
    closed_on = read_date(row["closed_on"], "closed_on") if row.get("closed_on") else None
    if closed_on is not None and closed_on < opened_on:
        raise LineInvalid("closed_on: lies before opened_on")
    for field in ("branch", "manager"):
        if len(row.get(field) or "") > 64:
            raise LineInvalid(f"{field}: must have at most 64 characters")
    labels = tuple(_label(text) for text in (row.get("labels") or "").split(";") if text.strip())
    if len({(label.name, label.from_) for label in labels}) != len(labels):
        raise LineInvalid("labels: one label starts twice on the same day")
    return MemberLine(
        customer, opened_on, closed_on, row.get("branch") or "", row.get("manager") or "", labels
    )


def _label(text: str) -> Label:
    name, _, rest = text.strip().partition(":")
    layer, _, dates = rest.partition(":")
    start, _, end = dates.partition(":")
    if not 1 <= len(name) <= 64 or layer not in Layer.__members__:
        raise LineInvalid(f"labels: {text!r} is not like payroll:FACT:2024-01-01")
    from_ = read_date(start, "labels")
    to = read_date(end, "labels") if end else None
    if to is not None and to <= from_:
        raise LineInvalid(f"labels: {text!r} ends before it starts")
    return Label(name, Layer[layer], from_, to)
