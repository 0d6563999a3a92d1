"""What is wrong with what a programme says replaces a benefit whose contract ends (V-6)."""

from collections.abc import Iterator
from datetime import timedelta

from benefits.domain.benefit import Benefit
from benefits.domain.programme import Programme
from benefits.domain.spelling import suggestion


def replacement_problems(programme: Programme) -> Iterator[str]:
    """Yield why a benefit could not be served by its replacement, by path."""
    for index, benefit in enumerate(programme.benefit):
        if not benefit.replacement:
            continue
        path, other = f"benefit[{index}].replacement", programme.benefits.get(benefit.replacement)
        if other is None:
            hint = suggestion(benefit.replacement, programme.benefits)
            yield f"{path}: {benefit.replacement!r} is not defined{hint}"
        elif any(one.replacement == benefit.code for one in programme.succession(benefit)):
            yield f"{path}: {benefit.code!r} would replace itself in the end"
        else:
            yield from _piece(programme, path, benefit, other)
            yield from _days(path, benefit, other)


def _piece(programme: Programme, path: str, benefit: Benefit, other: Benefit) -> Iterator[str]:
    """Yield why a piece of one is not a piece of the other."""
    if (programme.scale(other), other.takes) != (programme.scale(benefit), benefit.takes):
        yield f"{path}: a piece of {other.code!r} takes other units, or more or less of them"
    if other.exclusion != benefit.exclusion:
        yield f"{path}: {other.code!r} must be of its exclusion group, too"


def _days(path: str, benefit: Benefit, other: Benefit) -> Iterator[str]:
    """Yield why one does not go on where the other ends."""
    if benefit.contract_end is None or benefit.last_claim is None:
        yield f"{path}: stands with a contract_end"
        return
    if benefit.window_ends is not None:
        yield f"{path}: claims end on {benefit.window_ends} for good; leave one of the two out"
    last = min(
        (day for day in (other.last_claim, other.window_ends) if day is not None), default=None
    )
    if last is not None and last <= benefit.contract_end:
        yield f"{path}: {other.code!r} can be claimed through {last}, no longer than this lasts"
    follows = benefit.last_claim + timedelta(days=1)
    if other.claim_from is not None and other.claim_from > follows:
        yield f"{path}: {other.code!r} must be there to be claimed from {follows} on"
