"""Who counts as one person, and that a digest tells proposals apart."""

from datetime import date, datetime, timedelta, timezone
from uuid import UUID

import pytest

from benefits.domain import fills, proposals
from benefits.domain.agreements import Said, digest, same_person
from benefits.domain.blocks import Scope
from benefits.domain.blocks import Why as WhyBlocked
from benefits.domain.corrections import Effect, Kind, Wanted, Why
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
    return Said(by=by, at=at, why=why, note=note)


def test_each_part_of_a_proposal_is_bound() -> None:
    """Another request, person, time, reason, note, effect or proposal has another digest."""
    id_, other = UUID(int=1), UUID(int=2)
    wanted = Wanted(kind=Kind.FORGIVE, member_id=id_, quantity=1, benefit="VIDEO")
    more = Wanted(kind=Kind.FORGIVE, member_id=id_, quantity=2, benefit="VIDEO")
    effect, another = Effect(postings=()), Effect(postings=(), cap=1)
    found = [
        digest(id_, [wanted], said(Why.FRAUD, "n"), effect),
        digest(other, [wanted], said(Why.FRAUD, "n"), effect),
        digest(id_, [more], said(Why.FRAUD, "n"), effect),
        digest(id_, [wanted], said(Why.FRAUD, "n"), another),
        digest(id_, [wanted], said(Why.REFUND, "n"), effect),
        digest(id_, [wanted], said(Why.FRAUD, "m"), effect),
        digest(id_, [wanted], said(Why.FRAUD, "n", by="other"), effect),
        digest(id_, [wanted], said(Why.FRAUD, "n", at=NOON + timedelta(seconds=1)), effect),
    ]
    assert len(found) == len(set(found))
    elsewhere = NOON.astimezone(timezone(timedelta(hours=8)))
    assert found[0] == digest(id_, [wanted], said(Why.FRAUD, "n", at=elsewhere), effect)


def test_what_was_bound_stays_bound() -> None:
    """Digests stand in databases for ever: each kind's is made as it always was."""
    id_, said_ = UUID(int=1), Said(by="maker", at=NOON, note="n")
    forgiven = Wanted(kind=Kind.FORGIVE, member_id=id_, quantity=1, benefit="VIDEO")
    day = fills.Wanted(source="core", date=date(2025, 6, 1), kind=fills.FillKind.ZERO)
    blocked = proposals.BlockWanted(
        member_id=id_,
        scope=Scope.ALL,
        why=WhyBlocked.FRAUD,
        from_at=NOON.astimezone(timezone(timedelta(hours=8))),
    )
    assert "d378ef0c202c17f0018a68a6beb32fd11c9e333210b26c64a65e2a1f1a14cbca" == digest(
        id_, [forgiven], said(Why.FRAUD, "n"), Effect(postings=())
    )
    assert "f21bdb95fe5164a19e78973c8a6fe59498e0889319ff764856e3a10f1f0ea098" == digest(
        id_, [day], said_, fills.Effect(programme="wealth")
    )
    assert "e4563c52af87a2b16b9f659c31891306d9addf96a9e57c675e8610ee45bb5d6e" == digest(
        id_, proposals.asked(blocked), said_, proposals.BlockEffect(member_id=id_)
    )
