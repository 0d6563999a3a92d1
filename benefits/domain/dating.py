"""When versions of a programme hold: each from an instant on, until the next one begins (U-1).

```
version  1        2              3
         |--------|··············|      3 begins at 2's instant or before it, and was applied
         |--------|------|              while 2 was still to come: 2 is withdrawn, and never holds
                         3
```

A version is compared with the one before its own instant, and whatever is put in between
withdraws it: what was read of it, and told to members, is what it does.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.values import Month, local_date


class Dated(msgspec.Struct, frozen=True, kw_only=True):
    """A version, when it was applied, since when it holds, and from when on it judges tiers."""

    version: int
    applied_at: datetime
    effective_from: datetime
    tiers_from: date


D = TypeVar("D", bound=Dated)


def kept(versions: Sequence[D]) -> list[D]:
    """Return the versions that held or are to hold, in their order: those not withdrawn.

    The first is never to come: it holds at once.
    """
    return [
        one
        for place, one in enumerate(versions)
        if not place
        or not any(
            later.applied_at < one.effective_from and later.effective_from <= one.effective_from
            for later in versions[place + 1 :]
        )
    ]


def in_force(versions: Sequence[D], at: datetime) -> D | None:
    """Return the version in force at an instant; None before the first."""
    return next((one for one in reversed(versions) if one.effective_from <= at), None)


def not_before(versions: Sequence[D], at: datetime) -> datetime:
    """Return an instant, or that of the first version: earlier a programme is as it was then."""
    return max(at, versions[0].effective_from) if versions else at


def begun_since(versions: Sequence[D], told: Collection[int], now: datetime) -> list[D]:
    """Return the versions that began since the last of those told of, in their order.

    Where none was told of, the one in force alone.
    """
    now = not_before(versions, now)
    begun = [one for one in kept(versions) if one.effective_from <= now]
    return [one for one in begun if one.version > max(told)] if told else begun[-1:]


def until(versions: Sequence[D], version: D) -> datetime | None:
    """Return the instant at which a version that is kept ends; None while no other is to come."""
    later = (one.effective_from for one in kept(versions) if one.version > version.version)
    return next(later, None)


def judging(versions: Sequence[D], at: datetime) -> list[D]:
    """Return the versions that judge some month, as of an instant.

    A version judges no tier any more where a later one judges from the same month or before.
    """
    begun = [one for one in kept(versions) if one.effective_from <= not_before(versions, at)]
    return [
        one
        for place, one in enumerate(begun)
        if not any(later.tiers_from <= one.tiers_from for later in begun[place + 1 :])
    ]


def first_month(before: Month | None, begin: datetime, zone: ZoneInfo) -> Month:
    """Return the first month that a version judges unless one is named: in which it begins.

    Where the one `before` it judges from a later one on, it is that: what was put off is not
    brought forward by whatever else changes meanwhile.
    """
    running = Month.of(local_date(begin, zone))
    return running if before is None else max(before, running)


def stays(versions: Sequence[D], begin: datetime, now: datetime) -> list[D]:
    """Return the versions that hold before one that is applied now, to begin at an instant.

    The other ones that are kept are withdrawn by it.
    """
    now = not_before(versions, now)
    return [
        one for one in kept(versions) if one.effective_from < begin or one.effective_from <= now
    ]


def withdrawn(
    versions: Sequence[D], begin: datetime, now: datetime, *, but: int | None = None
) -> list[int]:
    """Return the numbers of the versions that one applied now, to begin at an instant, withdraws.

    All `but` one, if that is what it says again.
    """
    left = {one.version for one in stays(versions, begin, now)} | {but}
    return [one.version for one in kept(versions) if one.version not in left]
