"""What is wrong with the limits and budgets of a programme file, by path (K-1, K-4)."""

from collections.abc import Iterator
from decimal import Decimal

from benefits.domain.labels import Layer
from benefits.domain.limits import Dimension, Limit, OnFull, Scope
from benefits.domain.programme import Programme
from benefits.domain.recurring import Missing, recurring_problems
from benefits.domain.spelling import suggestion
from benefits.domain.units import LARGEST


def budget_problems(programme: Programme) -> Iterator[str]:
    """Yield why budgets are no tree whose totals hold those of the budgets below."""
    known = {budget.code: budget for budget in programme.budget}
    broken = False
    for index, budget in enumerate(programme.budget):
        if budget.parent and budget.parent not in known:
            broken = True
            hint = suggestion(budget.parent, known)
            yield f"budget[{index}].parent: {budget.parent!r} is not defined{hint}"
    if broken:
        return
    for index, budget in enumerate(programme.budget):
        seen, at = {budget.code}, budget.parent
        while at and at not in seen:
            seen.add(at)
            at = known[at].parent
        if at == budget.code:
            broken = True
            yield f"budget[{index}].parent: {budget.code!r} would be above itself"
    if broken or not all(_is_amount(programme, budget.total) for budget in programme.budget):
        return  # what is no amount has been told
    for index, budget in enumerate(programme.budget):
        below = sum(each.total for each in programme.budget if each.parent == budget.code)
        if below > budget.total:
            yield f"budget[{index}].total: {budget.total} is less than the {below} of those below"


def _is_amount(programme: Programme, total: Decimal) -> bool:
    try:
        programme.minor(total)
    except ValueError:
        return False
    return True


def limit_problems(programme: Programme) -> Iterator[str]:
    """Yield why limits do not say what they limit."""
    for index, limit in enumerate(programme.limit):
        path = f"limit[{index}]"
        for code in limit.benefits:
            if code not in programme.benefits:
                hint = suggestion(code, programme.benefits)
                yield f"{path}.benefits: {code!r} is not defined{hint}"
        yield from _window(path, limit)
        if (limit.segment is None) == (limit.scope is Scope.SEGMENT):
            yield f"{path}.segment: stands with the scope SEGMENT, and only with it"
        elif limit.segment is not None and limit.segment.layer is Layer.MODEL:
            yield f"{path}.segment.layer: a MODEL label may rank, never decide (S-2)"
        if limit.on_full is OnFull.WAITLIST and limit.scope in {Scope.MEMBER, Scope.PERSON}:
            yield f"{path}.on_full: nobody else waits for a member's own room: NEXT_WINDOW"
        yield from _amount(programme, path, limit)


def _window(path: str, limit: Limit) -> Iterator[str]:
    said = [limit.window is not None, limit.is_rolling, limit.on is not None]
    if sum(said) != 1:
        yield f"{path}.window: a window of the calendar, days for a rolling one, or a day on"
    if limit.on is not None:
        yield from recurring_problems(path, limit.on, limit.missing)
    elif limit.missing is not Missing.SKIP:
        yield f"{path}.missing: stands with a recurring day"
    if limit.is_rolling and limit.scope is not Scope.MEMBER and limit.on_full is not OnFull.REJECT:
        yield (
            f"{path}.on_full: of a rolling window of many no next one begins, for which to wait: "
            "REJECT, or a window of the calendar"
        )


def _amount(programme: Programme, path: str, limit: Limit) -> Iterator[str]:
    if not limit.limit.is_finite() or limit.limit < 0:
        yield f"{path}.limit: must be at least 0"
    elif limit.dimension is Dimension.COST:
        try:
            programme.minor(limit.limit)
        except ValueError as error:
            yield f"{path}.limit: {error}"
    elif limit.limit > LARGEST or limit.limit % 1:
        yield f"{path}.limit: pieces are whole, and at most {LARGEST}"
