"""The commands about what two people agree on: list, show, approve, reject, block … (X-2)."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TextIO
from uuid import UUID

import rich_click as click

from benefits.actions.agree import Decide, Propose
from benefits.actions.enact import Proposals, UnknownProposal
from benefits.actions.parts import Parts
from benefits.cli.agreements import BY, NOTE, Teller, checked
from benefits.cli.console import console
from benefits.cli.files import DOCUMENT, whole
from benefits.cli.house import DRY_RUN, run
from benefits.domain import proposals as rules
from benefits.domain.blocks import Scope, Why
from benefits.domain.compliance import Nature, Preset, Trigger
from benefits.domain.lattice import Effect as Move
from benefits.domain.proposals import (
    BlockEffect,
    ComplianceEffect,
    Effect,
    FraudEffect,
    OrderEffect,
    ProgrammeEffect,
    ProgrammeWanted,
    ProposalKind,
    ToldChange,
    UnblockEffect,
    Wanted,
)
from benefits.domain.values import member_id
from benefits.house import House
from benefits.store import agreements, proposals
from benefits.store.db import Connection
from benefits.store.proposals import ProposalSeen


@click.group()
def proposal() -> None:
    """Proposals: versions, approvals, blocks, orders, fraud: one person asks, another agrees."""


@proposal.command("block")
@click.argument("customer")
@click.argument("scope", type=click.Choice([one.value for one in Scope]))
@click.option("--why", required=True, type=click.Choice([one.value for one in Why]))
@click.option("--target", default="", help="The code of the BENEFIT or PROVIDER.")
@click.option("--from", "from_", default=None, help="An instant with its offset; else at once.")
@click.option("--to", default=None, help="An instant with its offset; else for ever.")
@NOTE
@BY
@DRY_RUN
def block(customer: str, scope: str, **options: Any) -> None:
    """Propose to block a CUSTOMER from ALL, from every CLAIM, from a BENEFIT or a PROVIDER.

    Example: `benefits proposal block C000001 ALL --why LEGAL_FREEZE --note "Court." --by anna-li`
    """
    from_at, to_at = (_instant(options.pop(name), name) for name in ("from_", "to"))
    why, target = Why(options.pop("why")), options.pop("target")

    def wanted(house: House) -> Wanted:
        id_ = member_id(customer, house.parts.member_key)
        return rules.BlockWanted(
            member_id=id_, scope=Scope(scope), why=why, target=target, from_at=from_at, to_at=to_at
        )

    propose(wanted, **options)


@proposal.command("unblock")
@click.argument("block_id", type=click.UUID)
@NOTE
@BY
@DRY_RUN
def unblock(block_id: UUID, **options: Any) -> None:
    """Propose to end the block BLOCK_ID: the id of its proposal.

    Example: `benefits proposal unblock 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --note "Over." --by
    anna-li`
    """
    propose(lambda _: rules.UnblockWanted(block_id=block_id), **options)


@proposal.command("allow")
@click.argument("programme")
@click.argument("trigger", type=click.Choice([one.value for one in Trigger]))
@click.argument("nature", type=click.Choice([one.value for one in Nature]))
@click.option("--citation", required=True, help="What says that it may be given.")
@click.option("--text", required=True, type=DOCUMENT, help="The opinion.")
@NOTE
@BY
@DRY_RUN
def allow(
    programme: str, trigger: str, nature: str, *, citation: str, text: TextIO, **options: Any
) -> None:
    """Propose that a PROGRAMME may give rewards of a NATURE for a TRIGGER.

    Example: `benefits proposal allow wealth TIER PHYSICAL_GIFT --citation "Opinion 12/2026" --text
    opinion.txt --note "Mooncakes." --by anna-li`
    """
    asked = {"programme": programme, "trigger": trigger, "nature": nature}
    asked |= {"citation": citation, "text": whole(text).strip()}
    wanted = checked(asked, rules.ComplianceWanted)
    propose(lambda _: wanted, **options)


@proposal.command("order")
@click.argument("number")
@click.argument("ended", type=click.Choice(["DELIVERED", "NOT_DELIVERED", "TAKEN_BACK"]))
@click.option("--evidence", required=True, help="The provider's word, or where it lies.")
@click.option("--reference", default="", help="The provider's own number of what it delivered.")
@click.option("--used", type=click.IntRange(0), default=0, help="Pieces that were used by then.")
@click.option("--at", default=None, help="An instant with its offset; else the approval's.")
@NOTE
@BY
@DRY_RUN
def order(number: str, ended: str, **options: Any) -> None:
    """Propose how the order NUMBER ended that nobody answered for, by its provider's word.

    It is MANUAL; or given up, and not taken back so far: DELIVERED says that it stands. Of one
    that came in part it is said whether the rest was delivered.

    Example: `benefits proposal order 0197c94d5d207c7ba95d2f08c5f22ac4 DELIVERED --evidence
    "Mail of 4 May." --reference T-1 --note "Answered by mail." --by anna-li`
    """
    told = {name: options.pop(name) for name in ("evidence", "reference", "used")}
    told |= {"number": number, "delivered": ended != "NOT_DELIVERED"}
    told |= {"taken_back": ended == "TAKEN_BACK"}
    wanted = checked(told | {"at": _instant(options.pop("at"), "at")}, rules.OrderWanted)
    propose(lambda _: wanted, **options)


@proposal.command("fraud")
@click.argument("customer")
@click.argument("programme")
@click.option("--since", required=True, help="The first month with false balances: 2025-03.")
@NOTE
@BY
@DRY_RUN
def fraud(customer: str, programme: str, *, since: str, **options: Any) -> None:
    """Propose that a CUSTOMER's tier in a PROGRAMME is decided anew at once, for fraud.

    By the balances as they are by now, so correct them first. Units that nobody claimed and that
    rest on a wrong tier go with it.

    Example: `benefits proposal fraud C000001 wealth --since 2025-03 --note "False deposits." --by
    anna-li`
    """

    def wanted(house: House) -> Wanted:
        id_ = member_id(customer, house.parts.member_key)
        asked = {"member_id": id_, "programme": programme, "since": since}
        return checked(asked, rules.FraudWanted)

    propose(wanted, **options)


@proposal.command("approve")
@click.argument("proposal_id", type=click.UUID)
@click.option("--hash", "digest", required=True, help="The hash that stood with the proposal.")
@BY
@DRY_RUN
def approve(proposal_id: UUID, *, digest: str, by: str, dry_run: bool) -> None:
    """Approve the proposal PROPOSAL_ID by its hash; what it proposes is done at once.

    Example: `benefits proposal approve 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --hash … --by ben-wu`
    """
    command = Decide(caller=TELLER.named(by), proposal_id=proposal_id, digest=digest)
    run(partial(_decide, command=command, event="approved", dry_run=dry_run))


@proposal.command("reject")
@click.argument("proposal_id", type=click.UUID)
@NOTE
@BY
@DRY_RUN
def reject(proposal_id: UUID, *, note: str, by: str, dry_run: bool) -> None:
    """Reject the proposal PROPOSAL_ID, or withdraw one's own.

    Example: `benefits proposal reject 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --note "No." --by
    ben-wu`
    """
    command = Decide(caller=TELLER.named(by), proposal_id=proposal_id, note=note)
    run(partial(_decide, command=command, event="rejected", dry_run=dry_run))


@proposal.command("show")
@click.argument("proposal_id", type=click.UUID)
def show(proposal_id: UUID) -> None:
    """Show the proposal PROPOSAL_ID, all it would do, and by which hash it is approved.

    Example: `benefits proposal show 01a2046f-5e02-7ae9-8c62-6ed8c8e82000`
    """

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            seen = await agreements.one(conn, proposals.BOOK, proposal_id)
            if seen is None:
                raise UnknownProposal
            await _tell(conn, seen, house.parts)

    run(work_)


@proposal.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that were decided, too.")
def list_(*, everything: bool) -> None:
    """List the proposals that wait for a word.

    Example: `benefits proposal list`
    """
    run(partial(TELLER.waiting, everything=everything))


def propose(wanted: Callable[[House], Wanted], *, note: str, by: str, dry_run: bool) -> None:
    """Make a proposal and say how it stands."""
    caller = TELLER.named(by)

    async def work_(house: House) -> None:
        command = Propose(caller=caller, wanted=wanted(house), note=note)
        await TELLER.word(house, lambda desk: desk.put(command), "made", dry_run=dry_run)

    run(work_)


async def _decide(house: House, *, command: Decide, event: str, dry_run: bool) -> None:
    await TELLER.word(house, lambda desk: desk.say(command), event, dry_run=dry_run)


def _instant(text: str | None, name: str) -> datetime | None:
    """Read an instant with its offset."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = datetime.min  # noqa: DTZ901 - it has no offset, which is what is refused
    if at.tzinfo is None:
        raise click.BadParameter(
            "write it like 2026-01-05T10:00+08:00", param_hint=f"--{name.rstrip('_')}"
        )
    return at


async def _line(_: Connection, seen: ProposalSeen, parts: Parts) -> None:
    console.print(
        f"{seen.proposal_id} {seen.state(parts.clock())}: {seen.kind} {seen.subject}; "
        f"by {seen.proposed_by}: {seen.note}"
    )


async def _tell(conn: Connection, seen: ProposalSeen, parts: Parts) -> None:
    """Say what a proposal does, who proposed it, and by which hash it is approved."""
    await _line(conn, seen, parts)
    kept = rules.read(seen.kind, seen.body, seen.effect)
    for line in ["It cannot be read: reject it."] if kept is None else _effect(*kept):
        console.print(line)
    if seen.result and seen.kind == ProposalKind.ORDER.value:
        console.print(f"It is {seen.result}.")
    elif seen.result and seen.kind == ProposalKind.FRAUD.value:
        console.print(f"The tier is {seen.result}.")
    elif seen.result:
        console.print(f"It is version {seen.result} of {seen.subject}.")
    if seen.verdict is None:
        console.print(f"hash {seen.digest}")


def _effect(wanted: Wanted, effect: Effect) -> Iterator[str]:
    """Yield what a proposal would do, line by line."""
    match effect:
        case ProgrammeEffect():
            yield from _version(wanted, effect)
        case ComplianceEffect():
            assert isinstance(wanted, rules.ComplianceWanted), "an effect is of its kind"
            yield f"{wanted.nature.value} for {wanted.trigger.value}: {wanted.citation}"
            yield wanted.text
        case BlockEffect():
            assert isinstance(wanted, rules.BlockWanted), "an effect is of its kind"
            times = f"from {wanted.from_at or 'the approval'} to {wanted.to_at or 'its end'}"
            yield f"stops {effect.member_id}: {wanted.scope.value} {wanted.target} {times}"
        case UnblockEffect():
            yield f"frees {effect.member_id}: {effect.scope.value} {effect.target}"
        case OrderEffect():
            assert isinstance(wanted, rules.OrderWanted), "an effect is of its kind"
            yield from _order(wanted, effect)
        case FraudEffect():
            assert isinstance(wanted, rules.FraudWanted), "an effect is of its kind"
            yield f"{effect.member_id} in {wanted.programme}: false from {wanted.since} on"
            yield f"tier by {effect.month}: {effect.before} -> {effect.after}"
            for one in effect.units:
                yield f"line {one.line}, {one.period}: {one.quantity} units that nobody claimed go"


def _version(wanted: Wanted, effect: ProgrammeEffect) -> Iterator[str]:
    """Yield what a version changes, whom it reaches, and what compliance says of it."""
    if effect.compliance is Preset.NONE:
        yield "compliance none: what it gives for what is not judged"
    yield f"tiers from {effect.first_month}"
    yield f"replaces version {effect.replaces}" if effect.replaces else "is the first"
    if isinstance(wanted, ProgrammeWanted) and not effect.replaces:
        yield from (f"  {line}" for line in wanted.document.splitlines())  # all of it is new
    if isinstance(wanted, ProgrammeWanted) and wanted.begins is not None:
        yield f"holds from {wanted.begins.isoformat()} on"
    yield from (f"withdraws version {number}" for number in effect.withdraws or ())
    yield from map(_change, effect.changes)
    for one in effect.reach:
        whose = f"tier {one.tier}" if one.tier else f"segment {one.segment}"
        yield (
            f"line {one.line}, {whose}: {one.before} -> {one.after} for "
            f"{one.members:,} members; at worst {one.cost_minor_before:,} -> "
            f"{one.cost_minor_after:,} minor units a period"
        )
    yield from (f"{each.verdict.value} {each}" for each in effect.findings)


def _order(wanted: rules.OrderWanted, effect: OrderEffect) -> Iterator[str]:
    """Yield how an order is said to have ended, and what comes of it."""
    at = wanted.at.isoformat() if wanted.at else "the approval"
    if wanted.taken_back:
        told = f"taken back unused as of {at}"
    elif wanted.delivered:
        told = f"delivered as {wanted.reference or '-'}, {wanted.used} used as of {at}"
    else:
        told = "not delivered"
    yield f"{effect.provider}: {told}: {wanted.evidence}"
    claim = f"claim {effect.claim_id} of {effect.member_id}: {effect.quantity} {effect.benefit}"
    yield f"{claim} -> {effect.state.value}, sent {effect.sent} times"
    match effect.units:
        case Move.CAPTURE:
            yield f"its units are spent, for {effect.cost_minor:,} minor units"
        case Move.RELEASE | Move.RETURN:
            yield f"its units return, and {effect.cost_minor:,} minor units to the budget"
        case Move.REISSUE | Move.REISSUE_AND_CAPTURE:
            cost = f"{effect.cost_minor:,} minor units"
            yield f"the rest takes its units again, or is a loss, for {cost}"
        case _:
            yield f"its units stay as they are, and {effect.cost_minor:,} minor units for them"


def _change(told: ToldChange) -> str:
    """Say what changes, whether it is worse, and since when members know."""
    if not told.change.is_worse:
        return str(told.change)
    known = f"told on {told.told_on}" if told.told_on else "not told"
    return f"{told.change} (worse; {known})"


TELLER = Teller(Proposals, _line, _tell)
