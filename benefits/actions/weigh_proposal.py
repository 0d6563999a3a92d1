"""Weigh what a person proposes: what it would do now, or why it cannot be (X-2, U-1)."""

from collections.abc import Mapping
from decimal import Decimal
from math import ceil
from typing import assert_never

from msgspec import UNSET

from benefits.actions.answer_order import weigh_order
from benefits.actions.apply_programme import check_month, check_programme
from benefits.actions.claim import UnknownMember
from benefits.actions.decide_again import weigh_fraud
from benefits.actions.parts import Parts
from benefits.domain import blocks as rules
from benefits.domain import compliance, guard, terms
from benefits.domain.blocks import BlockInvalid, Scope, UnknownBlock
from benefits.domain.choice import Choice
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
    FraudWanted,
    OrderWanted,
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
from benefits.store import (
    blocks,
    catalogue,
    labels,
    members,
    merged,
    notices,
    tiers,
    versions,
)
from benefits.store.db import Connection

Ranks = Mapping[int | str, int]  # members by the rank of their tier, or by a label they carry
# What a line brings somebody: how much, of what, how often, whom of them, at which worst cost.
Share = tuple[object, ...]


async def count(conn: Connection, wanted: Wanted, parts: Parts) -> Ranks:
    """Return how many members have each tier, where a version changes what a tier brings.

    And each label, where it changes what a segment brings. It reads every member: nothing is
    locked while it does. What cannot be weighed has none.
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
    changing = _changing(place.before, made)
    if not changing:
        return {}
    today, keys = local_date(now, made.tz), {segment for *_, segment in changing if segment}
    of_labels = await labels.count(conn, keys, today)
    is_ranked = any(tier for _, tier, _ in changing)
    of_ranks = await tiers.at_ranks(conn, made.code, now, today) if is_ranked else {}
    return dict([*of_labels.items(), *of_ranks.items()])


async def weigh(
    conn: Connection, wanted: Wanted, parts: Parts, counted: Ranks
) -> tuple[str, Effect]:
    """Return whom or what a proposal is about, and what it would do now, to as many as `counted`.

    ProgrammeInvalid, ProposalInvalid, BlockInvalid, UnknownBlock, UnknownMember, UnknownOrder,
    OrderUnfit.
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
        case OrderWanted():
            return wanted.number, await weigh_order(conn, wanted, parts)
        case FraudWanted():
            return str(wanted.member_id), await weigh_fraud(conn, wanted, parts)
        case _ as never:
            assert_never(never)


def month_of(wanted: ProgrammeWanted) -> Month | None:
    """Return the first month whose tiers a version is to decide (ProposalInvalid)."""
    if wanted.tiers_from is None:
        return None
    try:
        return Month.parse(wanted.tiers_from)
    except ValueError as error:
        raise ProposalInvalid(f"first_month: {error}") from None


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
        first_month=str(tiers_from or checked.first_month(made.tz)),
        compliance=made.compliance,
        reach=tuple(_reach(before, made, counted)),
        findings=guard.findings(made),
        withdraws=tuple(checked.withdraws) or UNSET,
    )
    return made.code, effect


def _lines(programme: Programme | None) -> dict[str, Line]:
    return {} if programme is None else {line.code: line for line in programme.line}


def _changing(before: Programme | None, after: Programme) -> list[tuple[str, str, str]]:
    """Return lines with the tiers and segments of which what they bring changes, or its cost."""
    was, will = _lines(before), _lines(after)
    found = list[tuple[str, str, str]]()
    for code in dict.fromkeys([*was, *will]):
        one, other = _shares(before, was.get(code)), _shares(after, will.get(code))
        order = [(tier.code, "") for tier in after.tier]
        order += sorted({*one, *other} - {*order})
        found += [(code, *each) for each in order if one.get(each) != other.get(each)]
    return found


def _reach(before: Programme | None, after: Programme, counted: Ranks) -> list[Reach]:
    """Return the quotas of what changes, with how many members have the tier or the label now."""
    was, will = _lines(before), _lines(after)
    found = list[Reach]()
    for code, tier, segment in _changing(before, after):
        of, members = (tier, segment), counted.get(segment or after.ranks[tier], 0)
        one, other = _shares(before, was.get(code)), _shares(after, will.get(code))
        found.append(
            Reach(
                line=code,
                tier=tier,
                before=str(one[of][0] if of in one else 0),
                after=str(other[of][0] if of in other else 0),
                members=members,
                cost_minor_before=_cost(before, was.get(code), one.get(of), members),
                cost_minor_after=_cost(after, will.get(code), other.get(of), members),
                segment=segment,
            )
        )
    return found


def _shares(programme: Programme | None, line: Line | None) -> dict[tuple[str, str], Share]:
    """Return what a line brings each tier, or a segment, and what it costs at worst."""
    if programme is None or line is None:
        return {}
    item = programme.brought(line)
    among = (item.benefits, item.repeat) if isinstance(item, Choice) else ()
    cost = programme.step_cost(programme.dearest(item))
    alike = (item.code, line.period, among, line.eligible, cost)
    if line.segment is not None:
        return {("", line.segment.key): (line.quantity, *alike)}
    return {(tier, ""): (quota, *alike) for tier, quota in line.quota.items()}


def _cost(
    programme: Programme | None, line: Line | None, share: Share | None, members: int
) -> int:
    """Return what a line costs at worst in a period for so many members, in minor units."""
    if programme is None or line is None or share is None:
        return 0
    item, (quantity, *_) = programme.brought(line), share
    assert isinstance(quantity, int | Decimal), "the first is how much"
    steps = programme.steps(item, quantity)
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
