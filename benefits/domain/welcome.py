"""A welcome: the tier that a new customer has at least, for some months from the opening (M-8)."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Annotated

import msgspec

from benefits.domain.spelling import suggestion

WELCOME_MAX = 24


class Welcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who opens a relationship has at least a `tier` for `months`, whatever the balances."""

    tier: str
    months: Annotated[int, msgspec.Meta(ge=1, le=WELCOME_MAX)]


class Welcoming(msgspec.Struct, frozen=True):
    """A welcome, and the days `[first, last]` on which a version was in force that says it."""

    first: date
    last: date
    welcome: Welcome


def welcome_problems(welcome: Welcome | None, codes: Sequence[str]) -> Iterator[str]:
    """Yield where a welcome names no tier that lifts anybody, by path."""
    if welcome is None:
        return
    if welcome.tier not in codes:
        hint = suggestion(welcome.tier, codes)
        yield f"policy.welcome.tier: {welcome.tier!r} is none of the tiers{hint}"
    elif welcome.tier == codes[0]:
        yield "policy.welcome.tier: everybody has the lowest tier; name a higher one"
