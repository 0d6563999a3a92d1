"""Exclusion groups: of the benefits of one group a member has claimed at most one (P-7, K-2).

What a claim takes of its group is a place like that of a limit: it is kept with the claim, counts
while any unit of a piece does, and is free again when all came back.
"""

from collections.abc import Iterator, Sequence

from benefits.domain.benefit import Benefit
from benefits.domain.limits import WHENEVER, Dimension, Place, Scope
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal

_PREFIX = "exclusion:"  # the codes of limits have no colon


class Excluded(Refusal):
    """The member has claimed another benefit of the same exclusion group (K-2)."""

    code = "excluded"
    words = "Only one of these benefits can be claimed, and another one was."

    def __init__(self, other: str = "") -> None:
        """Name the other benefit."""
        super().__init__(f"Only one of these can be claimed, and {other} was." if other else "")
        self.other = other


def place_of(benefit: Benefit, *, programme: str) -> Place | None:
    """Return where a claim of a programme's benefit counts in its group, if it has one."""
    if not benefit.exclusion:
        return None
    return Place(
        programme=programme,
        limit=f"{_PREFIX}{benefit.exclusion}",
        scope=Scope.MEMBER,
        dimension=Dimension.COUNT,
        window=WHENEVER,
        of=benefit.code,
    )


def others(programme: Programme, benefit: Benefit) -> tuple[Place, ...]:
    """Return where claims of the others in a benefit's group count.

    What it replaces and what replaces it are no others: their units are the same (V-6).
    """
    if not benefit.exclusion:
        return ()
    after = programme.succession(benefit)
    group = (one for one in programme.benefit if one.exclusion == benefit.exclusion)
    there = (one for one in group if one not in after and benefit not in programme.succession(one))
    places = (place_of(one, programme=programme.code) for one in there)
    return tuple(place for place in places if place is not None)


def exclusion_problems(benefits: Sequence[Benefit]) -> Iterator[str]:
    """Yield why groups exclude nothing, by their paths."""
    groups = [benefit.exclusion for benefit in benefits]
    for index, benefit in enumerate(benefits):
        if benefit.exclusion and groups.count(benefit.exclusion) == 1:
            yield f"benefit[{index}].exclusion: no other benefit is of {benefit.exclusion!r}"
