"""Answers that are kept with the programme they were worked out for.

A version of a programme never changes (U-1), and a rule decides from its values alone: asked the
same of the same version it says the same. What is kept goes with the version, so that no answer
of an older one is ever given.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from benefits.domain.programme import Programme

KEPT_MAX = 4096
Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def remembered(
    rule: Callable[Concatenate[Programme, Asked], Answer],
) -> Callable[Concatenate[Programme, Asked], Answer]:
    """Let a rule of a programme and immutable values, given by place, answer each only once.

    So many answers are kept; then it begins anew.
    """

    @wraps(rule)
    def answer(programme: Programme, /, *values: Asked.args, **named: Asked.kwargs) -> Answer:
        assert not named, "given by place"
        kept = programme.kept.setdefault(rule, {})
        if values not in kept:
            if len(kept) >= KEPT_MAX:
                kept.clear()
            kept[values] = rule(programme, *values, **named)
        return kept[values]  # type: ignore[no-any-return]  # of the rule

    return answer
