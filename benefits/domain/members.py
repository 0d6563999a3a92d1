"""Members: the lines of the bank's customer file and of its label platform's (S-1, S-2).

A line is `customer,opened_on[,closed_on][,branch][,manager][,labels][,deceased]`, and what rules
ask of the person: `[,born_on][,city][,staff][,person]`. `deceased` is empty, or `yes` of a member
who died on the day `closed_on` (T-10). Labels are written `payroll:FACT:2024-01-01:2025-01-01`,
several separated by `;`; the end may be left out. `staff` is `yes` or `no`, `person` the number of
the identity document, which is kept as its keyed hash only (E-5). Of the person's columns an empty
one means that it is not known, and one that the file has not says nothing.
A line of the label file is one label: `customer,label,layer,valid_from[,valid_to][,version]`. An
end of `9999-12-31` is none.
"""

from collections.abc import Mapping
from datetime import date

import msgspec

from benefits.domain.assets import LineInvalid, read_date, read_end
from benefits.domain.labels import TOLD, Label, Layer
from benefits.domain.spelling import suggestion

REQUIRED = ("customer", "opened_on")
PERSON = ("born_on", "city", "staff", "person")
OPTIONAL = ("closed_on", "branch", "manager", "labels", "deceased", *PERSON)
LABEL_REQUIRED = ("customer", "label", "layer", "valid_from")
LABEL_OPTIONAL = ("valid_to", "version")
SHORT_MAX = 64


class Person(msgspec.Struct, frozen=True):
    """What a customer file tells of the person: of its columns `tells`; empty is not known."""

    tells: tuple[str, ...] = ()
    born_on: date | None = None
    city: str = ""
    is_staff: bool | None = None
    document: str = ""


NOBODY = Person()


class MemberLine(msgspec.Struct, frozen=True):
    """A customer of the bank as its file tells."""

    customer: str
    opened_on: date
    closed_on: date | None = None
    branch: str = ""
    manager: str = ""
    labels: tuple[Label, ...] = ()
    deceased: bool = False
    person: Person = NOBODY


class LabelLine(msgspec.Struct, frozen=True):
    """A label of a customer, as a version of the label platform's list says it (S-1)."""

    customer: str
    label: Label
    version: str = ""


def read_line(row: Mapping[str, str]) -> MemberLine:
    """Read one line; LineInvalid says which field is wrong and why."""
    customer = customer_of(row)
    opened_on = read_date(row["opened_on"], "opened_on")
    closed_on = read_end(row.get("closed_on"), "closed_on")
    if closed_on is not None and closed_on < opened_on:
        raise LineInvalid("closed_on: lies before opened_on")
    for field in ("branch", "manager"):
        if len(row.get(field) or "") > SHORT_MAX:
            raise LineInvalid(f"{field}: must have at most {SHORT_MAX} characters")
    labels = tuple(_label(text) for text in (row.get("labels") or "").split(";") if text.strip())
    if len({(label.name, label.from_) for label in labels}) != len(labels):
        raise LineInvalid("labels: one label starts twice on the same day")
    deceased = row.get("deceased") or ""
    if deceased not in {"", "yes"}:
        raise LineInvalid(f"deceased: {deceased!r} is neither yes nor empty")
    if deceased and closed_on is None:
        raise LineInvalid("deceased: needs the day, in closed_on")
    return MemberLine(
        customer,
        opened_on,
        closed_on,
        row.get("branch") or "",
        row.get("manager") or "",
        labels,
        deceased=bool(deceased),
        person=_person(row, opened_on),
    )


def _person(row: Mapping[str, str], opened_on: date) -> Person:
    """Read what a line says of the person, who was born by the opening (LineInvalid)."""
    tells = tuple(column for column in PERSON if column in row)
    if not tells:
        return NOBODY
    given = {column: row.get(column, "").strip() for column in PERSON}
    born_on = read_date(given["born_on"], "born_on") if given["born_on"] else None
    if born_on is not None and born_on > opened_on:
        raise LineInvalid("born_on: lies after opened_on")
    for column in ("city", "person"):
        if len(given[column]) > SHORT_MAX:
            raise LineInvalid(f"{column}: must have at most {SHORT_MAX} characters")
    if given["staff"] not in {"", "yes", "no"}:
        raise LineInvalid(f"staff: {given['staff']!r} is neither yes, no nor empty")
    is_staff = given["staff"] == "yes" if given["staff"] else None
    return Person(tells, born_on, given["city"], is_staff, given["person"].upper())


def read_label_line(row: Mapping[str, str]) -> LabelLine:
    """Read one line of a label file; LineInvalid says which field is wrong and why."""
    name, layer, version = row["label"].strip(), row["layer"].strip(), row.get("version") or ""
    if not 1 <= len(name) <= SHORT_MAX:
        raise LineInvalid(f"label: must have 1 to {SHORT_MAX} characters")
    if layer not in TOLD:
        known = ", ".join(TOLD)
        hint = suggestion(layer, TOLD)
        raise LineInvalid(f"layer: {layer!r} is none of {known}{hint}")
    if len(version) > SHORT_MAX:
        raise LineInvalid(f"version: must have at most {SHORT_MAX} characters")
    from_ = read_date(row["valid_from"], "valid_from")
    to = read_end(row.get("valid_to"), "valid_to")
    if to is not None and to <= from_:
        raise LineInvalid("valid_to: must lie after valid_from; it is the first day without it")
    return LabelLine(customer_of(row), Label(name, Layer[layer], from_, to), version)


def customer_of(row: Mapping[str, str]) -> str:
    """Return the customer reference of a line; LineInvalid when it is none."""
    customer = row["customer"].strip()
    if not 1 <= len(customer) <= SHORT_MAX:
        raise LineInvalid(f"customer: must have 1 to {SHORT_MAX} characters")
    return customer


def _label(text: str) -> Label:
    name, _, rest = text.strip().partition(":")
    layer, _, dates = rest.partition(":")
    start, _, end = dates.partition(":")
    if not 1 <= len(name) <= SHORT_MAX or layer not in TOLD:
        raise LineInvalid(f"labels: {text!r} is not like payroll:FACT:2024-01-01")
    from_ = read_date(start, "labels")
    to = read_end(end, "labels")
    if to is not None and to <= from_:
        raise LineInvalid(f"labels: {text!r} ends before it starts")
    return Label(name, Layer[layer], from_, to)
