"""Member lines: a customer with dates, branch, manager and labels, or the field that is wrong."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import consent_lines
from benefits.domain.assets import LineInvalid
from benefits.domain.labels import TOLD, Label, Layer
from benefits.domain.members import PERSON, MemberLine, Person, read_label_line, read_line

ROW = {"customer": "C0001", "opened_on": "2020-01-01"}
OUTSIDE = "does not lie between 1900-01-01 and 2999-12-31"
LEAVE_OUT = "leave it out where there is no end"

labels = st.builds(
    Label,
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=10),
    st.sampled_from([Layer(layer) for layer in TOLD]),
    st.dates(date(2000, 1, 1), date(2019, 12, 31)),
    st.none() | st.dates(date(2020, 1, 1), date(2030, 1, 1)),
)


def text_of(label: Label) -> str:
    """Write a label as a file does."""
    text = f"{label.name}:{label.layer.value}:{label.from_}"
    return f"{text}:{label.to}" if label.to else text


def test_a_line_of_the_required_columns_is_read() -> None:
    """A customer needs a name and a day of opening."""
    assert MemberLine("C0001", date(2020, 1, 1)) == read_line(ROW)


def test_a_line_of_all_columns_is_read() -> None:
    """Closing, branch, manager and labels with an open or a closed end."""
    row = {
        **ROW,
        "closed_on": "2025-06-30",
        "branch": "B1",
        "manager": "M1",
        "deceased": "yes",
        "labels": "payroll:FACT:2024-01-01:2025-01-01; silver:MODEL:2024-06-01",
    }
    assert MemberLine(
        "C0001",
        date(2020, 1, 1),
        date(2025, 6, 30),
        "B1",
        "M1",
        (
            Label("payroll", Layer.FACT, date(2024, 1, 1), date(2025, 1, 1)),
            Label("silver", Layer.MODEL, date(2024, 6, 1), None),
        ),
        deceased=True,
    ) == read_line(row)


def test_of_the_person_a_line_tells_what_its_columns_are() -> None:
    """A column that is not there says nothing; an empty one that it is not known (E-2 to E-5)."""
    assert Person() == read_line(ROW).person
    row = {**ROW, "city": " 上海 ", "staff": ""}
    assert Person(("city", "staff"), city="上海") == read_line(row).person
    row = {**ROW, "born_on": "1965-03-01", "city": "", "staff": "no", "person": " 31010x "}
    whole = Person(PERSON, date(1965, 3, 1), "", is_staff=False, document="31010X")
    assert whole == read_line(row).person


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("customer", "", "customer: must have 1 to 64 characters"),
        ("purpose", "a purpose", "purpose: must have 1 to 64 letters, digits, - and _"),
        ("provider", "", "provider: must have 1 to 64 letters, digits, - and _"),
        ("said_on", "soon", "said_on: 'soon' is not a date like 2025-06-30"),
        ("said_on", "2025-07-03", "said_on: 2025-07-03 lies in the future"),
        ("given", "", "given: '' is neither yes nor no"),
    ],
)
def test_a_bad_consent_is_refused_by_its_field(field: str, value: str, detail: str) -> None:
    """Each reason names the column (E-4)."""
    row = {"customer": "C1", "purpose": "phone", "provider": "p", "said_on": "2025-07-02"}
    with pytest.raises(LineInvalid) as refused:
        consent_lines.read_line({**row, "given": "yes", field: value}, date(2025, 7, 2))
    assert detail == refused.value.detail


@given(st.lists(labels, max_size=5, unique_by=lambda label: (label.name, label.from_)))
def test_labels_read_back_as_written(some: list[Label]) -> None:
    """Any labels, in their order, are read from their text (S-1)."""
    row = {**ROW, "labels": ";".join(text_of(label) for label in some)}
    assert tuple(some) == read_line(row).labels


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("customer", "", "customer: must have 1 to 64 characters"),
        ("opened_on", "", "opened_on: '' is not a date like 2025-06-30"),
        ("opened_on", "0001-01-01", f"opened_on: 0001-01-01 {OUTSIDE}"),
        ("opened_on", "9999-12-31", f"opened_on: 9999-12-31 {OUTSIDE}"),
        ("closed_on", "9999-12-30", f"closed_on: 9999-12-30 {OUTSIDE}; {LEAVE_OUT}"),
        ("labels", "a:FACT:9999-12-31", f"labels: 9999-12-31 {OUTSIDE}"),
        ("labels", "a:FACT:2024-01-01:3000-01-01", f"labels: 3000-01-01 {OUTSIDE}; {LEAVE_OUT}"),
        ("closed_on", "2019-12-31", "closed_on: lies before opened_on"),
        ("branch", "B" * 65, "branch: must have at most 64 characters"),
        ("manager", "M" * 65, "manager: must have at most 64 characters"),
        ("deceased", "yes", "deceased: needs the day, in closed_on"),
        ("deceased", "no", "deceased: 'no' is neither yes nor empty"),
        ("born_on", "1965-02-29", "born_on: '1965-02-29' is not a date like 2025-06-30"),
        ("born_on", "1899-12-31", f"born_on: 1899-12-31 {OUTSIDE}"),
        ("born_on", "2020-01-02", "born_on: lies after opened_on"),
        ("city", "C" * 65, "city: must have at most 64 characters"),
        ("staff", "maybe", "staff: 'maybe' is neither yes, no nor empty"),
        ("person", "1" * 65, "person: must have at most 64 characters"),
        ("labels", "payroll", "labels: 'payroll' is not like payroll:FACT:2024-01-01"),
        (
            "labels",
            "payroll:GUESS:2024-01-01",
            "labels: 'payroll:GUESS:2024-01-01' is not like payroll:FACT:2024-01-01",
        ),
        ("labels", "payroll:FACT:soon", "labels: 'soon' is not a date like 2025-06-30"),
        (
            "labels",
            "a:FACT:2024-01-01:2024-01-01",
            "labels: 'a:FACT:2024-01-01:2024-01-01' ends before it starts",
        ),
        (
            "labels",
            "a:FACT:2024-01-01;a:RULE:2024-01-01",
            "labels: one label starts twice on the same day",
        ),
    ],
)
def test_a_bad_field_is_named_with_its_value(field: str, value: str, detail: str) -> None:
    """The refusal says which field is wrong and why."""
    with pytest.raises(LineInvalid) as refused:
        read_line({**ROW, field: value})
    assert detail == refused.value.detail


def test_an_end_that_never_comes_is_none() -> None:
    """What banks' systems write of open relationships and labels is read as left out (T-10)."""
    never = "9999-12-31"
    label = {"customer": "C0001", "label": "a", "layer": "FACT", "valid_from": "2024-01-01"}
    open_ = {**ROW, "labels": "a:FACT:2024-01-01"}
    assert read_line(open_) == read_line(
        {**ROW, "closed_on": never, "labels": f"a:FACT:2024-01-01:{never}"}
    )
    assert read_label_line(label) == read_label_line({**label, "valid_to": never})
    with pytest.raises(LineInvalid, match="deceased: needs the day, in closed_on"):
        read_line({**ROW, "closed_on": never, "deceased": "yes"})
