"""Blocks: what a member may not do from one instant to another, by two people's word (E-6).

    ALL: claims and rewards · CLAIM: claims · BENEFIT: claims of it · PROVIDER: claims of its own

Orders in flight finish, and lots expire. What a tier or a segment brings is granted all the same:
the quota is of a period, and would be lost. A LEGAL_FREEZE is of ALL and stops that, too; what it
withheld of the periods that run when it ends is brought then. Its days are added to the ends of
units where the programme says so; those of several freezes at a time count once.
"""

import enum
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.benefit import Benefit
from benefits.domain.refusal import Refusal
from benefits.domain.values import YEARS


class Blocked(Refusal):
    """The member is blocked from this at the moment (E-6)."""

    code = "blocked"
    words = "The member is blocked from this."


class BlockInvalid(Refusal):
    """A block that is none: its scope and target, or its times, do not fit."""

    code = "block_invalid"
    words = "This is no block."


class UnknownBlock(Refusal):
    """No block that is not over has this id."""

    code = "unknown_block"
    words = "No block that is not over has this id."


class Scope(enum.Enum):
    """What a block stops."""

    ALL = "ALL"
    CLAIM = "CLAIM"
    BENEFIT = "BENEFIT"
    PROVIDER = "PROVIDER"


class Why(enum.Enum):
    """Why a member is blocked (closed list)."""

    LEGAL_FREEZE = "LEGAL_FREEZE"
    FRAUD = "FRAUD"
    DISPUTE = "DISPUTE"
    MEMBER_WISH = "MEMBER_WISH"
    OTHER = "OTHER"


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block, in force in [from, until); `target` is a benefit's or a provider's code."""

    block_id: UUID
    scope: Scope
    target: str
    why: Why
    from_at: datetime
    until: datetime | None

    def holds(self, at: datetime) -> bool:
        """Say whether it is in force at an instant."""
        return self.from_at <= at and not self.is_over(at)

    def is_over(self, at: datetime) -> bool:
        """Say whether it has ended."""
        return self.until is not None and self.until <= at


def stop_claim(blocks: Iterable[Block], benefit: Benefit, at: datetime) -> bool:
    """Say whether any of a member's blocks stops a claim of a benefit at an instant (E-6)."""
    return any(block.holds(at) and _stops(block, benefit) for block in blocks)


def _stops(block: Block, benefit: Benefit) -> bool:
    match block.scope:
        case Scope.ALL | Scope.CLAIM:
            return True
        case Scope.BENEFIT:
            return block.target == benefit.code
        case Scope.PROVIDER:
            return block.target == benefit.provider


def stop_reward(blocks: Iterable[Block], at: datetime) -> bool:
    """Say whether any of a member's blocks stops rewards at an instant."""
    return any(block.scope is Scope.ALL and block.holds(at) for block in blocks)


def stop_units(blocks: Iterable[Block], at: datetime) -> bool:
    """Say whether any of a member's blocks stops what tiers and segments bring (E-6)."""
    return any(block.why is Why.LEGAL_FREEZE and block.holds(at) for block in blocks)


class Frozen(msgspec.Struct, frozen=True, order=True):
    """From when until when a member was frozen without a break."""

    begin: datetime
    end: datetime


def frozen(blocks: Iterable[Block], lifted: Collection[UUID]) -> list[Frozen]:
    """Return the times for which a member was frozen that end with one of the blocks lifted now.

    A time of several freezes ends with the last of them; of those that end together, with the one
    that has the least id.
    """
    found = list[list[Block]]()
    freezes = (block for block in blocks if block.why is Why.LEGAL_FREEZE)
    for block in sorted(freezes, key=lambda one: (one.from_at, one.block_id)):
        before = found[-1] if found else []
        until = _last(before).until if before else None
        if before and (until is None or block.from_at <= until):
            before.append(block)
        else:
            found.append([block])
    each = ((some[0].from_at, _last(some)) for some in found)
    return [
        Frozen(begin, last.until)
        for begin, last in each
        if last.until is not None and last.block_id in lifted
    ]


def after(times: Iterable[Frozen], at: datetime) -> list[Frozen]:
    """Return what of the times lies after an instant."""
    return [Frozen(max(time.begin, at), time.end) for time in times if time.end > at]


def later(end: datetime, since: datetime, times: Sequence[Frozen], zone: ZoneInfo) -> datetime:
    """Return when units end that are there `since` then, with the days they were frozen (E-6).

    A part of a day is a day. What had ended before a freeze began gets nothing of it.
    """
    for time in sorted(times):
        begin = max(time.begin, since)
        if begin < min(end, time.end):
            days = -(-(time.end - begin) // timedelta(days=1))
            local = end.astimezone(zone).replace(tzinfo=None) + timedelta(days=days)
            end = local.replace(tzinfo=zone).astimezone(UTC)
    return end


def _last(blocks: Iterable[Block]) -> Block:
    """Return the block that ends last."""
    ever = datetime.max.replace(tzinfo=UTC)
    return max(blocks, key=lambda one: (one.until or ever, -one.block_id.int))


def check(scope: Scope, target: str, why: Why) -> None:
    """Refuse a block that does not say what it stops, or a freeze of less than all.

    BlockInvalid.
    """
    if (scope in {Scope.BENEFIT, Scope.PROVIDER}) != bool(target):
        raise BlockInvalid("BENEFIT and PROVIDER name a target, no other scope names one.")
    if why is Why.LEGAL_FREEZE and scope is not Scope.ALL:
        raise BlockInvalid("A LEGAL_FREEZE is of ALL.")


def check_times(from_at: datetime | None, to_at: datetime | None, now: datetime) -> None:
    """Refuse a block that would be over before it begins, or is at no time (BlockInvalid)."""
    if any(at is not None and at.year not in YEARS for at in (from_at, to_at)):
        raise BlockInvalid(f"Its times lie in the years {YEARS.start} to {YEARS.stop - 1}.")
    if to_at is not None and to_at <= max(from_at or now, now):
        raise BlockInvalid("It would be over before it begins.")
