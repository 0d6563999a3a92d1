"""Proposals: rules, blocks, approvals, ends of orders, fraud: one asks, another agrees (X-2).

The effects of a programme and of fraud also hold figures that move from day to day; they stay as
they were read, and only the rest must still be so when it is approved.
"""

import enum
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from benefits.domain import guard
from benefits.domain.blocks import Scope, Why
from benefits.domain.compliance import Nature, Preset, Trigger
from benefits.domain.lattice import Effect as Move
from benefits.domain.lattice import Terms
from benefits.domain.orders import (
    Confirmed,
    Done,
    OrderState,
    Outcome,
    PartlyUsed,
    Reason,
    Rejected,
    Revoked,
    Used,
)
from benefits.domain.refusal import Refusal
from benefits.domain.terms import Change

DOCUMENT_MAX = 1_000_000
TEXT_MAX = 4000
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX, pattern=r"\A[^\x00]*\Z")]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\A[^\x00]*\Z")]


class ProposalInvalid(Refusal):
    """It would change nothing, or agree to what needs no agreement or must not be agreed to."""

    code = "proposal_invalid"
    words = "There is nothing to agree on."


class ProposalKind(enum.Enum):
    """What two people agree on."""

    PROGRAMME = "PROGRAMME"
    COMPLIANCE = "COMPLIANCE"
    BLOCK = "BLOCK"
    UNBLOCK = "UNBLOCK"
    ORDER = "ORDER"
    FRAUD = "FRAUD"


class ProgrammeWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A programme's file, to be its next version; it decides tiers from a month on (U-1).

    It holds from `effective_from` on, or, unset, as soon as it is approved.
    """

    document: Annotated[
        str, msgspec.Meta(min_length=1, max_length=DOCUMENT_MAX, pattern=r"\A[^\x00]*\Z")
    ]
    tiers_from: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}\Z")] | None = None
    effective_from: Annotated[datetime, msgspec.Meta(tz=True)] | UnsetType = UNSET

    @property
    def begins(self) -> datetime | None:
        """The instant from which it is to hold; None as soon as it is approved."""
        return self.effective_from or None


class ComplianceWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A nature of reward that a programme may give for a trigger, what says so, and why (X-1)."""

    programme: Code
    trigger: Trigger
    nature: Nature
    citation: Words
    text: Words


class BlockWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member is to be blocked from, as of the approval unless a later instant is named."""

    member_id: UUID
    scope: Scope
    why: Why
    target: Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[^\x00]*\Z")] = ""
    from_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    to_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class UnblockWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block that is to end with the approval of this."""

    block_id: UUID


class OrderWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an order ended that nobody could clear up by asking, and what shows it (V-3).

    Of what was delivered `reference` is the provider's own number, `used` how many pieces the
    customer has used by then; it may have been `taken_back` unused. `at` is when, as of the
    approval unless it is known.
    """

    number: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    delivered: bool
    evidence: Words
    reference: Annotated[str, msgspec.Meta(max_length=256, pattern=r"\A[^\x00-\x1f\x7f]*\Z")] = ""
    used: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    taken_back: bool = False


class FraudWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member whose balances were false from a month on, to be decided anew at once (A-7)."""

    member_id: UUID
    programme: Code
    since: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}\Z")]


Wanted = (
    ProgrammeWanted | ComplianceWanted | BlockWanted | UnblockWanted | OrderWanted | FraudWanted
)


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """A tier's quota of a line that changes: how many members have the tier, and what that costs.

    The quota may stay where the line's rule or the cost of what it brings changes. Or that of a
    `segment`, of those who carry its label; then there is no tier. Costs are the worst ones of a
    period, in minor units.
    """

    line: str
    tier: str
    before: str
    after: str
    members: int
    cost_minor_before: int
    cost_minor_after: int
    segment: str = ""


class ToldChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change, and on which day members were told of it; empty if never, or if it is no worse."""

    change: Change
    told_on: str = ""


class ProgrammeEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What a version would change in the one that holds before it, number `replaces`; 0 is none.

    It judges tiers from `first_month` on, and is held to what `compliance` names. Versions that
    were to begin with it or later, it `withdraws`: unset if there are none, as in digests of
    earlier releases.
    """

    programme: str
    replaces: int
    first_month: str
    compliance: Preset
    changes: tuple[ToldChange, ...]
    reach: tuple[Reach, ...]
    findings: tuple[guard.Finding, ...]
    withdraws: tuple[int, ...] | UnsetType = UNSET


class ComplianceEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What the matrix says of the combination."""

    citation: str


class BlockEffect(msgspec.Struct, frozen=True, kw_only=True):
    """Whom it stops: who counts for the member now."""

    member_id: UUID


class UnblockEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The block that would end."""

    member_id: UUID
    scope: Scope
    why: Why
    target: str


class OrderEffect(msgspec.Struct, frozen=True, kw_only=True):
    """Where the order of a claim would stand, and what becomes of the units it holds.

    They are spent for `cost_minor`, or given back with it, or stay held, and it reserved. Where
    the rest came, those of its pieces are taken again, or are a loss, and it is their cost. What
    people know is of an order that was `sent` so often: one sent again may have been delivered.
    """

    member_id: UUID
    claim_id: UUID
    provider: str
    benefit: str
    quantity: int
    state: OrderState
    units: Move
    cost_minor: int
    sent: int = 0


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Unclaimed units of a line in a period that would go."""

    line: str
    period: str
    quantity: str


class FraudEffect(msgspec.Struct, frozen=True, kw_only=True):
    """Which tier a member would have instead of which, as the months through one decide.

    Both are the same where only units that rested on a wrong tier are left to go. Those, `units`,
    are what they were when it was read: claims go on.
    """

    member_id: UUID
    month: str
    before: str
    after: str
    units: tuple[Taken, ...]


Effect = (
    ProgrammeEffect | ComplianceEffect | BlockEffect | UnblockEffect | OrderEffect | FraudEffect
)

KINDS: dict[ProposalKind, tuple[type[Wanted], type[Effect]]] = {
    ProposalKind.PROGRAMME: (ProgrammeWanted, ProgrammeEffect),
    ProposalKind.COMPLIANCE: (ComplianceWanted, ComplianceEffect),
    ProposalKind.BLOCK: (BlockWanted, BlockEffect),
    ProposalKind.UNBLOCK: (UnblockWanted, UnblockEffect),
    ProposalKind.ORDER: (OrderWanted, OrderEffect),
    ProposalKind.FRAUD: (FraudWanted, FraudEffect),
}


def kind_of(wanted: Wanted) -> ProposalKind:
    """Return what kind of proposal asks for this."""
    return next(kind for kind, (type_, _) in KINDS.items() if isinstance(wanted, type_))


def read(kind: str, body: object, effect: object) -> tuple[Wanted, Effect] | None:
    """Return what is kept of a proposal; None when it is none, which can only be rejected."""
    try:
        asked, does = KINDS[ProposalKind(kind)]
        return msgspec.convert(body, asked), msgspec.convert(effect, does)
    except (msgspec.ValidationError, ValueError):
        return None


def told(wanted: OrderWanted, terms: Terms, claimed_at: datetime, now: datetime) -> Outcome:
    """Return what people say of an order, as if its provider had said it (ProposalInvalid)."""
    at = wanted.at or now
    if not wanted.delivered:
        if wanted.reference or wanted.used or wanted.at or wanted.taken_back:
            raise ProposalInvalid("What was not delivered has no reference, use, end or instant.")
        return Rejected(Reason.NOT_FOUND, "not_delivered")
    if wanted.taken_back and (wanted.reference or wanted.used):
        raise ProposalInvalid("What was taken back has no reference, and nobody used it.")
    if wanted.used > terms.quantity:
        raise ProposalInvalid(f"The order has {terms.quantity} pieces.")
    if not claimed_at <= at <= now:
        raise ProposalInvalid("It was delivered after it was claimed, and not in the future.")
    if wanted.taken_back:
        return Revoked(at)
    if wanted.used == terms.quantity:
        return Used(at, wanted.reference)
    if wanted.used:
        return PartlyUsed(at, wanted.used, wanted.reference)
    if terms.two_phase:  # of the pieces that are set aside
        return Confirmed(at, wanted.reference, terms.quantity)
    return Done(at, wanted.reference)


def told_of_rest(
    wanted: OrderWanted, terms: Terms, claimed_at: datetime, now: datetime
) -> Outcome:
    """Return what people say of all pieces that are missing: they came, or will not (V-5).

    ProposalInvalid.
    """
    if wanted.used or wanted.taken_back:
        raise ProposalInvalid("Of what is missing is said whether it was delivered, and as what.")
    said = told(wanted, terms, claimed_at, now)
    if isinstance(said, Done | Confirmed):
        at, reference, came = said.at, said.reference, None
    else:  # no news of what came
        at, reference, came = claimed_at, "", terms.quantity
    if terms.two_phase:
        return Confirmed(at, reference, came)
    return Done(at, reference, delivered=came)


def binding(effect: Effect) -> object:
    """Return what of an effect must still be so when it is approved."""
    if isinstance(effect, ProgrammeEffect):
        changes = tuple(each.change for each in effect.changes)
        return (msgspec.structs.replace(effect, changes=(), reach=()), changes)
    if isinstance(effect, FraudEffect):
        return msgspec.structs.replace(effect, units=())
    return effect


def asked(wanted: Wanted) -> list[object]:
    """Return what of a request the digest of its proposal binds: instants in UTC."""
    kind = kind_of(wanted)
    if isinstance(wanted, BlockWanted):
        wanted = msgspec.structs.replace(
            wanted, from_at=_in_utc(wanted.from_at), to_at=_in_utc(wanted.to_at)
        )
    if isinstance(wanted, OrderWanted):
        wanted = msgspec.structs.replace(wanted, at=_in_utc(wanted.at))
    if isinstance(wanted, ProgrammeWanted) and wanted.effective_from:
        wanted = msgspec.structs.replace(
            wanted, effective_from=wanted.effective_from.astimezone(UTC)
        )
    return [kind, wanted]


def _in_utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)
