"""Exclusion groups: which benefits rule each other out (P-7)."""

import pytest
from msgspec.structs import replace

from benefits.domain.exclusions import exclusion_problems, others, place_of
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.terms import changes
from tests.builders import PROGRAMME, reference_programme

LOUNGE, VIDEO = reference_programme().benefit
GIFTS = (replace(LOUNGE, exclusion="gift"), replace(VIDEO, exclusion="gift"))


def test_others_of_a_group_are_those_that_name_it() -> None:
    """P-7: never the benefit itself; without a group there are none."""
    bound = replace(reference_programme(), benefit=GIFTS)
    assert (place_of(GIFTS[1], programme="wealth"),) == others(bound, GIFTS[0])
    assert () == others(replace(bound, benefit=(LOUNGE, GIFTS[1])), LOUNGE)
    assert place_of(LOUNGE, programme="w") is None
    assert "limit:w:exclusion:gift:MEMBER:COUNT:LOUNGE" == getattr(
        place_of(GIFTS[0], programme="w"), "counter", ""
    )


def test_what_follows_a_benefit_is_no_other_of_its_group() -> None:
    """V-6, K-2: who claimed one claims the next; who claimed another claims neither."""
    first, second = GIFTS[1], replace(GIFTS[1], code="NEXT")
    third = replace(second, code="LAST")
    chain = (replace(first, replacement="NEXT"), replace(second, replacement="LAST"), third)
    made = replace(reference_programme(), benefit=(GIFTS[0], *chain))
    ruled_out = [[place.of for place in others(made, each)] for each in made.benefit]
    assert [["VIDEO", "NEXT", "LAST"], ["LOUNGE"], ["LOUNGE"], ["LOUNGE"]] == ruled_out


def test_a_group_of_one_is_refused() -> None:
    """P-7: it excludes nothing, so a name is misspelt."""
    problem = "benefit[0].exclusion: no other benefit is of 'gift'"
    assert [problem] == list(exclusion_problems((GIFTS[0], VIDEO)))
    assert [] == list(exclusion_problems(GIFTS))
    sku = 'sku = "lounge-visit"'
    for name, words in (("gift", problem), ("a gift", "Expected `str` matching regex")):
        with pytest.raises(ProgrammeInvalid) as caught:
            read(PROGRAMME.replace(sku, f'{sku}\nexclusion = "{name}"'))
        assert words in caught.value.detail


def test_a_group_is_worse_and_its_end_is_not() -> None:
    """U-2: it takes from what could be claimed together."""
    free = reference_programme()
    bound = replace(free, benefit=GIFTS)
    assert [True, True] == [each.is_worse for each in changes(free, bound)]
    assert [False, False] == [each.is_worse for each in changes(bound, free)]
