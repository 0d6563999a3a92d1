"""Weigh what a person proposes: what it would do now, or why it cannot be (X-2, U-1)."""

from collections.abc import Mapping
from math import ceil
from typing import assert_never

from msgspec import UNSET

from benefits.actions.apply_programme import check_month, check_programme
from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.domain import blocks as rules
from benefits.domain import compliance, guard, terms
from benefits.domain.blocks import BlockInvalid, Scope, UnknownBlock
from benefits.domain.compliance import Verdict
from benefits.domain.packages import Line
from benefits.domain.production import check_for_production
from benefits.domain.programme import Programme, ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.proposals import (
    BlockEffect,
    BlockWanted,
    ComplianceEffect,
    ComplianceWanted,
    Effect,
    ProgrammeEffect,
    ProgrammeWanted,
    ProposalInvalid,
    Reach,
    ToldChange,
    UnblockEffect,
    UnblockWanted,
    Wanted,
)
from benefits.domain.terms import Change
from benefits.domain.values import Month, local_date
from benefits.store import blocks, catalogue, members, merged, notices, tiers, versions
from benefits.store.db import Connection

Ranks = Mapping[int, int]


async def count(conn: Connection, wanted: Wanted, parts: Parts) -> Ranks:
    """Return how many members have each tier, where a version changes what a tier brings.

    It reads every member's tier: nothing is locked while it does. What cannot be weighed has none.
    """
    if not isinstance(wanted, ProgrammeWanted):
        return {}
    try:
        made = read(wanted.document)
    except ProgrammeInvalid:
        return {}
    now = parts.clock()
    place = await versions.place(
        conn, parts.catalogue, made.code, now=now, effective_from=wanted.begins
    )
    if not _changing(place.before, made):
        return {}
    return await tiers.at_ranks(conn, made.code, now, local_date(now, made.tz))


async def weigh(
    conn: Connection, wanted: Wanted, parts: Parts, counted: Ranks
) -> tuple[str, Effect]:
    """Return whom or what a proposal is about, and what it would do now, to as many as `counted`.

    ProgrammeInvalid, ProposalInvalid, BlockInvalid, UnknownBlock, UnknownMember.
    """
    match wanted:
        case ProgrammeWanted():
            return await _programme(conn, wanted, parts, counted)
        case ComplianceWanted():
            return wanted.programme, _compliance(wanted)
        case BlockWanted():
            return str(wanted.member_id), await _block(conn, wanted, parts)
        case UnblockWanted():
            return await _unblock(conn, wanted, parts)
        case _ as never:
            assert_never(never)


def month_of(wanted: ProgrammeWanted) -> Month | None:
    """Return the first month whose tiers a version is to decide (ProposalInvalid)."""
    if wanted.tiers_from is None:
        return None
    try:
        return Month.parse(wanted.tiers_from)
    except ValueError as error:
        raise ProposalInvalid(f"tiers_from: {error}") from None


async def _programme(
    conn: Connection, wanted: ProgrammeWanted, parts: Parts, counted: Ranks
) -> tuple[str, ProgrammeEffect]:
    """Return what a version changes, whom it reaches, and what compliance says of it."""
    made, tiers_from = read(wanted.document), month_of(wanted)
    checked = await check_programme(conn, made, parts, wanted.begins)
    if await catalogue.is_production(conn):
        check_for_production(made)
        if tiers_from is not None:
            check_month(made, tiers_from, checked.begins)
    before, number, found = checked.before, checked.replaces, list[Change]()
    if before is not None:
        found = terms.changes(before, made)
        if not found and not checked.withdraws and tiers_from in {None, checked.judges_from}:
            raise ProposalInvalid(f"It says what version {number} says, which holds then.")
    given = await notices.unspent(conn, made.code, stays=checked.stays)
    effect = ProgrammeEffect(
        programme=made.code,
        replaces=number,
        changes=tuple(
            ToldChange(
                change=change,
                told_on=str((change.is_worse and terms.told_on(change, given)) or ""),
            )
            for change in found
        ),
        first_month=str(tiers_from or Month.of(local_date(checked.begins, made.tz))),
        compliance=made.compliance,
        reach=tuple(_reach(before, made, counted)),
        findings=guard.findings(made),
        withdraws=tuple(checked.withdraws) or UNSET,
    )
    return made.code, effect


def _lines(programme: Programme | None) -> dict[str, Line]:
    return {} if programme is None else {line.code: line for line in programme.line}


def _changing(before: Programme | None, after: Programme) -> list[tuple[str, str, int]]:
    """Return lines and tiers, with their ranks, whose quota changes."""
    was, will = _lines(before), _lines(after)
    return [
        (code, tier.code, rank)
        for code in dict.fromkeys([*was, *will])
        for rank, tier in enumerate(after.tier)
        if _quota(was.get(code), tier.code) != _quota(will.get(code), tier.code)
    ]


def _reach(before: Programme | None, after: Programme, counted: Ranks) -> list[Reach]:
    """Return the quotas that change, with how many members have the tier now."""
    was, will = _lines(before), _lines(after)
    return [
        Reach(
            line=code,
            tier=tier,
            before=str(_quota(was.get(code), tier)[1]),
            after=str(_quota(will.get(code), tier)[1]),
            members=counted.get(rank, 0),
            cost_minor_before=_cost(before, was.get(code), tier, counted.get(rank, 0)),
            cost_minor_after=_cost(after, will.get(code), tier, counted.get(rank, 0)),
        )
        for code, tier, rank in _changing(before, after)
    ]


def _quota(line: Line | None, tier: str) -> tuple[object, ...]:
    """Return what a line brings a tier: of what, how much, how often."""
    if line is None or tier not in line.quota:
        return ("", 0, "")
    return (line.choice or line.benefit, line.quota[tier], line.period)


def _cost(programme: Programme | None, line: Line | None, tier: str, members: int) -> int:
    """Return what a line costs at worst in a period for those in a tier, in minor units."""
    if programme is None or line is None or tier not in line.quota:
        return 0
    item = programme.brought(line)
    steps = programme.steps(item, line.quota[tier])
    return ceil(programme.step_cost(programme.dearest(item)) * steps * members)


def _compliance(wanted: ComplianceWanted) -> ComplianceEffect:
    """Return what the matrix says of what needs an approval (ProposalInvalid)."""
    verdict, citation = compliance.matrix(wanted.trigger, wanted.nature)
    match verdict:
        case Verdict.FORBIDDEN:
            raise ProposalInvalid(f"It is forbidden: {citation}")
        case Verdict.ALLOWED:
            raise ProposalInvalid("It is allowed without an approval.")
        case Verdict.NEEDS_APPROVAL:
            return ComplianceEffect(citation=citation)


async def _block(conn: Connection, wanted: BlockWanted, parts: Parts) -> BlockEffect:
    """Return whom a block would stop (BlockInvalid, UnknownMember)."""
    rules.check(wanted.scope, wanted.target, wanted.why)
    rules.check_times(wanted.from_at, wanted.to_at, parts.clock())
    offers = await parts.catalogue.current(conn)
    known = {
        Scope.BENEFIT: set(offers.offers),
        Scope.PROVIDER: {code for each in offers.programmes.values() for code in each.providers},
    }
    if wanted.scope in known and wanted.target not in known[wanted.scope]:
        raise BlockInvalid(f"There is no {wanted.scope.value.lower()} {wanted.target!r}.")
    moved = await merged.current(conn, [wanted.member_id])
    whom = moved.get(wanted.member_id, wanted.member_id)
    if not await members.existing(conn, [whom]):
        raise UnknownMember
    return BlockEffect(member_id=whom)


async def _unblock(
    conn: Connection, wanted: UnblockWanted, parts: Parts
) -> tuple[str, UnblockEffect]:
    """Return the block that would end (UnknownBlock)."""
    held = await blocks.one(conn, wanted.block_id)
    if held is None or held.block.is_over(parts.clock()):
        raise UnknownBlock
    block = held.block
    effect = UnblockEffect(
        member_id=held.member_id, scope=block.scope, why=block.why, target=block.target
    )
    return str(held.member_id), effect
