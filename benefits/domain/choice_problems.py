"""What is wrong with the choices of a programme file, and with what its lines bring (P-8, P-2)."""

from collections.abc import Iterator

from benefits.domain.packages import Line
from benefits.domain.programme import Programme
from benefits.domain.spelling import suggestion


def choice_problems(programme: Programme) -> Iterator[str]:
    """Yield what of a choice is not defined, or could not be chosen one for one."""
    for index, choice in enumerate(programme.choice):
        path = f"choice[{index}]"
        if choice.code in programme.benefits:
            yield f"{path}.code: {choice.code!r} is a benefit's"
        if len(choice.benefits) < 2:
            yield f"{path}.benefits: there is nothing to choose; name at least two"
        for nth, code in enumerate(choice.benefits):
            benefit, place = programme.benefits.get(code), f"{path}.benefits[{nth}]"
            if code in choice.benefits[:nth]:
                yield f"{place}: {code!r} stands twice"
            if benefit is None:
                yield f"{place}: {code!r} is not defined{suggestion(code, programme.benefits)}"
            elif benefit.draws:
                yield f"{place}: {code!r} has no units of its own"
            elif benefit.scale or benefit.takes != 1:
                yield f"{place}: a unit of {code!r} is not one piece of it"


def brought_problems(programme: Programme, path: str, line: Line) -> Iterator[str]:
    """Yield what is wrong with what a line brings: one benefit, or one choice."""
    if line.choice:
        if line.benefit:
            yield f"{path}.choice: a line brings a benefit or a choice; write two"
        if line.choice not in programme.choices:
            hint = suggestion(line.choice, programme.choices)
            yield f"{path}.choice: {line.choice!r} is not defined{hint}"
        return
    benefit = programme.benefits.get(line.benefit)
    if benefit is None:
        hint = suggestion(line.benefit, programme.benefits)
        yield f"{path}.benefit: {line.benefit!r} is not defined{hint}"
    elif benefit.draws:
        yield f"{path}.benefit: {line.benefit!r} draws units of {benefit.draws!r}: bring those"
