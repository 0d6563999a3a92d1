"""Who counts as one person, and that a digest tells proposals apart."""

from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest

from benefits.domain.corrections import Effect, Kind, Said, Wanted, Why, digest, same_person
from tests.builders import NOON


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("maker", "maker", True),
        ("maker", "checker", False),
        ("login:ab12", "login:ab12", True),
        ("login:ab12", "branch:ab12", True),
        ("login:ab12", "login:ab13", False),
        ("login:ab12", "ab12", False),
        ("system:proposal:anna-li", "anna-li", True),
        ("system:proposal:anna-li", "system:fill:anna-li", True),
        ("system:proposal:anna-li", "system:proposal:ben-wu", False),
        ("system:fill:ab12", "login:ab12", False),
    ],
)
def test_a_subject_is_one_person_under_every_issuer(
    one: str, other: str, *, expected: bool
) -> None:
    """Names are compared whole, those of tokens by their subject too."""
    assert expected == same_person(one, other) == same_person(other, one)


def said(why: Why, note: str, by: str = "maker", at: datetime = NOON) -> Said:
    """Return a maker's words."""
    return Said(by, at, why, note)


def test_each_part_of_a_proposal_is_bound() -> None:
    """Another request, person, time, reason, note, effect or proposal has another digest."""
    id_, other = UUID(int=1), UUID(int=2)
    wanted = Wanted(kind=Kind.FORGIVE, member_id=id_, quantity=1, benefit="VIDEO")
    more = Wanted(kind=Kind.FORGIVE, member_id=id_, quantity=2, benefit="VIDEO")
    effect, another = Effect(postings=()), Effect(postings=(), cap=1)
    found = [
        digest(id_, wanted, effect, said(Why.FRAUD, "n")),
        digest(other, wanted, effect, said(Why.FRAUD, "n")),
        digest(id_, more, effect, said(Why.FRAUD, "n")),
        digest(id_, wanted, another, said(Why.FRAUD, "n")),
        digest(id_, wanted, effect, said(Why.REFUND, "n")),
        digest(id_, wanted, effect, said(Why.FRAUD, "m")),
        digest(id_, wanted, effect, said(Why.FRAUD, "n", by="other")),
        digest(id_, wanted, effect, said(Why.FRAUD, "n", at=NOON + timedelta(seconds=1))),
    ]
    assert len(found) == len(set(found))
    elsewhere = NOON.astimezone(timezone(timedelta(hours=8)))
    assert found[0] == digest(id_, wanted, effect, said(Why.FRAUD, "n", at=elsewhere))
