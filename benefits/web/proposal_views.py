"""Proposals as the API shows them: what is asked, what it does, and who decided (X-2)."""

from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain import proposals as rules
from benefits.domain.proposals import ComplianceWanted
from benefits.store.db import Connection
from benefits.store.proposals import ProposalSeen
from benefits.web import agreements
from benefits.web.agreements import AgreementView, Around


class ChangedView(msgspec.Struct, kw_only=True):
    """A value that the version changes, as JSON, and whether that is worse for members.

    `told_on` is the day on which they were told of what is worse; null if they were not.
    """

    path: str
    before: str
    after: str
    worse: bool
    told_on: str | None


class ReachView(msgspec.Struct, kw_only=True):
    """A tier's quota of a line that changes, the members in the tier, and the period's worst cost.

    Or a `segment`'s, by its label, as `FACT:payroll`. The quota may stay where the line's rule or
    cost changes. Members and costs are as of the proposal.
    """

    line: str
    tier: str
    before: str
    after: str
    members: int
    cost_minor_before: int
    cost_minor_after: int
    segment: str


class ComplianceFindingView(msgspec.Struct, kw_only=True):
    """A benefit that is given for a trigger and may not be, or not without an approval."""

    benefit: str
    trigger: str
    nature: str
    verdict: str
    citation: str


class VersionProposedView(msgspec.Struct, kw_only=True):
    """A programme's next version; `replaces` is the number of the one before it, 0 if none is.

    It holds from `effective_from` on, or, if that is null, from its approval; versions that were
    to begin then or later, it `withdraws`. It judges tiers from `first_month` on. With
    `compliance` of `none` it is held to no matrix. `document` is null in lists.
    """

    document: str | None
    effective_from: datetime | None
    first_month: str
    replaces: int
    withdraws: list[int]
    compliance: str
    changes: list[ChangedView]
    reach: list[ReachView]
    findings: list[ComplianceFindingView]


class CombinationProposedView(msgspec.Struct, kw_only=True):
    """A nature of reward for a trigger, what the proposer cites, and what the matrix says."""

    programme: str
    trigger: str
    nature: str
    citation: str
    text: str
    matrix: str


class BlockProposedView(msgspec.Struct, kw_only=True):
    """A block; `stops` is the member who counts for the one that was named."""

    member_id: UUID
    stops: UUID
    scope: str
    target: str
    why: str
    begins_at: datetime | None
    ends_at: datetime | None


class UnblockProposedView(msgspec.Struct, kw_only=True):
    """The end of a block, and what that stopped."""

    block_id: UUID
    member_id: UUID
    scope: str
    target: str
    why: str


class OrderProposedView(msgspec.Struct, kw_only=True):
    """How an order is said to have ended, and where it, and the units it holds, would stand.

    `units`: CAPTURE, they are spent for `cost_minor`; RELEASE or RETURN, the member has them back,
    and the budget what was reserved or spent; NONE, they stay as they are. REISSUE or
    REISSUE_AND_CAPTURE: the rest came, whose units are taken again, or are a loss, for that cost.
    Once it is `sent` more often than that, the word is old and cannot be approved.
    """

    number: str
    delivered: bool
    evidence: str
    reference: str
    used: int
    at: datetime | None
    taken_back: bool
    member_id: UUID
    claim_id: UUID
    provider: str
    benefit: str
    quantity: int
    state: str
    units: str
    cost_minor: int
    sent: int


class TakenView(msgspec.Struct, kw_only=True):
    """Unclaimed units of a line in a period that go, as of the proposal."""

    line: str
    period: str
    quantity: str


class FraudProposedView(msgspec.Struct, kw_only=True):
    """A member whose balances were false from the month `since` on, and the tier they would have.

    `tier_before` and `tier_after` are as the months through `month` decide, of the member
    `decides` who counts for the one that was named; the same where only `units` go.
    """

    member_id: UUID
    programme: str
    since: str
    decides: UUID
    month: str
    tier_before: str
    tier_after: str
    units: list[TakenView]


class ProposalView(AgreementView, kw_only=True):
    """A proposal: what was asked and what it does, under which hash, and who decided.

    `result` is what an approved one became: the number of a programme's version, the state of an
    order, a member's tier, or empty.
    """

    kind: str
    subject: str
    programme: VersionProposedView | None
    compliance: CombinationProposedView | None
    block: BlockProposedView | None
    unblock: UnblockProposedView | None
    order: OrderProposedView | None
    fraud: FraudProposedView | None
    result: str | None


class ProposalsView(msgspec.Struct, kw_only=True):
    """A page of proposals; `next` is the cursor of the next page."""

    proposals: list[ProposalView]
    next: str | None


async def shown(_: Connection, seen: ProposalSeen, around: Around) -> ProposalView:
    """Return a proposal as it is shown at an instant; only a whole one has its file.

    Of what cannot be read any more nothing is shown but who said what, so that it can be rejected.
    """
    made = ProposalView(
        **agreements.words(seen, around.now),
        kind=seen.kind,
        subject=seen.subject,
        programme=None,
        compliance=None,
        block=None,
        unblock=None,
        order=None,
        fraud=None,
        result=seen.result,
    )
    match rules.read(seen.kind, seen.body, seen.effect):
        case None:
            pass
        case (rules.ProgrammeWanted() as wanted, rules.ProgrammeEffect() as effect):
            made.programme = _version(wanted, effect, whole=around.whole)
        case (rules.ComplianceWanted() as wanted, rules.ComplianceEffect() as effect):
            made.compliance = _combination(wanted, effect)
        case (rules.BlockWanted() as wanted, rules.BlockEffect() as effect):
            made.block = BlockProposedView(
                member_id=wanted.member_id,
                stops=effect.member_id,
                scope=wanted.scope.value,
                target=wanted.target,
                why=wanted.why.value,
                begins_at=wanted.from_at,
                ends_at=wanted.to_at,
            )
        case (rules.UnblockWanted() as wanted, rules.UnblockEffect() as effect):
            made.unblock = UnblockProposedView(
                block_id=wanted.block_id,
                member_id=effect.member_id,
                scope=effect.scope.value,
                target=effect.target,
                why=effect.why.value,
            )
        case (rules.OrderWanted() as wanted, rules.OrderEffect() as effect):
            told = msgspec.structs.asdict(wanted) | msgspec.structs.asdict(effect)
            told |= {"state": effect.state.value, "units": effect.units.value}
            made.order = OrderProposedView(**told)
        case (rules.FraudWanted() as wanted, rules.FraudEffect() as effect):
            made.fraud = _fraud(wanted, effect)
        case _:
            msg = f"a proposal of {seen.kind} is none"
            raise AssertionError(msg)
    return made


def _fraud(wanted: rules.FraudWanted, effect: rules.FraudEffect) -> FraudProposedView:
    return FraudProposedView(
        member_id=wanted.member_id,
        programme=wanted.programme,
        since=wanted.since,
        decides=effect.member_id,
        month=effect.month,
        tier_before=effect.before,
        tier_after=effect.after,
        units=[TakenView(**msgspec.structs.asdict(one)) for one in effect.units],
    )


def _version(
    wanted: rules.ProgrammeWanted, effect: rules.ProgrammeEffect, *, whole: bool
) -> VersionProposedView:
    return VersionProposedView(
        document=wanted.document if whole else None,
        effective_from=wanted.begins,
        first_month=effect.first_month,
        replaces=effect.replaces,
        withdraws=[*(effect.withdraws or ())],
        compliance=effect.compliance.value,
        changes=[
            ChangedView(
                path=each.change.path,
                before=each.change.before,
                after=each.change.after,
                worse=each.change.is_worse,
                told_on=each.told_on or None,
            )
            for each in effect.changes
        ],
        reach=[ReachView(**msgspec.structs.asdict(each)) for each in effect.reach],
        findings=[ComplianceFindingView(**msgspec.to_builtins(each)) for each in effect.findings],
    )


def _combination(
    wanted: ComplianceWanted, effect: rules.ComplianceEffect
) -> CombinationProposedView:
    return CombinationProposedView(
        programme=wanted.programme,
        trigger=wanted.trigger.value,
        nature=wanted.nature.value,
        citation=wanted.citation,
        text=wanted.text,
        matrix=effect.citation,
    )
