"""Who counts as one person, and that a digest tells proposals apart."""

from uuid import UUID

import pytest

from benefits.domain.corrections import Effect, Kind, Wanted, Why, digest, same_person


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("maker", "maker", True),
        ("maker", "checker", False),
        ("login:ab12", "login:ab12", True),
        ("login:ab12", "branch:ab12", True),
        ("login:ab12", "login:ab13", False),
        ("login:ab12", "ab12", False),
    ],
)
def test_a_subject_is_one_person_under_every_issuer(
    one: str, other: str, *, expected: bool
) -> None:
    """Names are compared whole, those of tokens by their subject too."""
    assert expected == same_person(one, other) == same_person(other, one)


def test_each_part_of_a_proposal_is_bound() -> None:
    """Another request, reason, note, effect or proposal has another digest; the same the same."""
    id_, other = UUID(int=1), UUID(int=2)
    wanted = Wanted(kind=Kind.FORGIVE, member_id=id_, quantity=1, benefit="VIDEO")
    more = Wanted(kind=Kind.FORGIVE, member_id=id_, quantity=2, benefit="VIDEO")
    effect, another = Effect(postings=()), Effect(postings=(), cap=1)
    found = [
        digest(id_, wanted, effect, why=Why.FRAUD, note="n"),
        digest(other, wanted, effect, why=Why.FRAUD, note="n"),
        digest(id_, more, effect, why=Why.FRAUD, note="n"),
        digest(id_, wanted, another, why=Why.FRAUD, note="n"),
        digest(id_, wanted, effect, why=Why.REFUND, note="n"),
        digest(id_, wanted, effect, why=Why.FRAUD, note="m"),
    ]
    assert len(found) == len(set(found))
    assert found[0] == digest(id_, wanted, effect, why=Why.FRAUD, note="n")
