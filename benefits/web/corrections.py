"""Corrections over HTTP: an operator proposes and sees all it would do, an approver decides."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.correct import Asked as Wish
from benefits.actions.correct import Corrections
from benefits.domain import units
from benefits.domain.benefit import UNITS
from benefits.domain.catalogue import Catalogue
from benefits.domain.choice import CHOICES
from benefits.domain.corrections import NEW_LOT, Effect, Wanted, Why
from benefits.domain.units import Asked, Quantity
from benefits.store.corrections import CorrectionSeen, Figures
from benefits.store.db import Connection
from benefits.web import agreements
from benefits.web.agreements import (
    PAGE_MAX,
    READERS,
    AgreementView,
    ApproveRequest,
    Around,
    Asking,
    Counter,
    Note,
    Page,
    RejectRequest,
    StateName,
)
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.past import PostingView

KindName = Literal[
    "REVERSE",
    "REVOKE",
    "CLAW_BACK",
    "FORGIVE",
    "MAKE_GOOD",
    "SETTLE",
    "RECOVER",
    "CLEAR",
]
ReasonName = Literal[
    "OUR_FAULT",
    "PROVIDER_FAULT",
    "NOT_DELIVERED",
    "PARTLY_DELIVERED",
    "REFUND",
    "GRANTED_IN_ERROR",
    "FRAUD",
    "GOODWILL",
]


class CorrectionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A proposal: besides `quantity` it brings exactly the fields its kind needs.

    `quantity` counts whole units, exactly; with a `claim_id` it counts the pieces of the claim. Of
    `CLEAR` it counts minor units of money.

    `REVERSE`, `SETTLE` and `RECOVER`: `claim_id`; `REVOKE`: `lot_id`; `CLAW_BACK` and `FORGIVE`:
    `benefit`; `MAKE_GOOD`: `claim_id`, `fault`, `valid_days`; `CLEAR`: `claim_id`, `fault`. A lot
    to revoke may be of a choice; the postings name its unit. The note holds no personal data.
    """

    member_id: UUID
    kind: KindName
    quantity: Asked
    reason: ReasonName
    note: Note
    claim_id: UUID | None = None
    lot_id: UUID | None = None
    benefit: str | None = None
    fault: Literal["OURS", "PROVIDER"] | None = None
    valid_days: int | None = None


class NewLotView(msgspec.Struct, kw_only=True):
    """The lot that a make-good makes, valid from the approval on."""

    quantity: Quantity
    valid_days: int


class ChangeView(msgspec.Struct, kw_only=True):
    """By how much a shared counter changes."""

    reserved: int
    spent: int


class FiguresView(msgspec.Struct, kw_only=True):
    """The member's units of this benefit, or of this choice."""

    available: Quantity
    held: Quantity
    owed: Quantity


class EffectView(msgspec.Struct, kw_only=True):
    """All that a correction does; `before` and `after` are as of the proposal.

    `earlier` units were given back, made good or taken back before it, or minor units cleared.
    Stock is in pieces.
    """

    postings: list[PostingView]
    reverses: UUID | None
    new_lot: NewLotView | None
    order_state: str | None
    stock: ChangeView
    budget_minor: ChangeView
    cap: Quantity
    earlier: Quantity
    before: FiguresView
    after: FiguresView


class CorrectionView(AgreementView, kw_only=True):
    """A correction: what was asked, what it does, under which hash, and who decided."""

    kind: KindName
    member_id: UUID
    quantity: Quantity
    claim_id: UUID | None
    lot_id: UUID | None
    benefit: str | None
    fault: Literal["OURS", "PROVIDER"] | None
    valid_days: int | None
    reason: ReasonName
    effect: EffectView
    batch_id: UUID | None


class CorrectionsView(msgspec.Struct, kw_only=True):
    """A page of corrections; `next` is the cursor of the next page."""

    corrections: list[CorrectionView]
    next: str | None


def effect_view(stored_effect: Mapping[str, Any], unit: str, catalogue: Catalogue) -> EffectView:
    """Return an effect on a unit as the API shows it."""
    shown = partial(catalogue.whole, unit)
    would = msgspec.convert(stored_effect["would"], Effect)
    moves_units = any(p.unit.startswith((UNITS, CHOICES)) for p in would.postings)
    before, after = (msgspec.convert(stored_effect[name], Figures) for name in ("before", "after"))
    return EffectView(
        postings=[
            PostingView(
                debit=p.debit.value,
                credit=p.credit.value,
                unit=p.unit,
                amount=catalogue.whole(p.unit, p.amount),
                lot_id=None if p.lot_id == NEW_LOT else p.lot_id,
                party=p.party,
            )
            for p in would.postings
        ],
        reverses=would.reverses,
        new_lot=NewLotView(quantity=shown(would.lot.quantity), valid_days=would.lot.valid_days)
        if would.lot
        else None,
        order_state=would.state and would.state.value,
        stock=ChangeView(reserved=would.stock.reserved, spent=would.stock.spent),
        budget_minor=ChangeView(reserved=would.budget.reserved, spent=would.budget.spent),
        cap=shown(would.cap),
        earlier=shown(would.earlier) if moves_units else would.earlier,
        before=_figures(before, shown),
        after=_figures(after, shown),
    )


def _figures(figures: Figures, shown: Callable[[int], Quantity]) -> FiguresView:
    return FiguresView(
        available=shown(figures.available), held=shown(figures.held), owed=shown(figures.owed)
    )


def _unit(seen: CorrectionSeen) -> str:
    """Return the unit a correction is about: what its postings move besides money, if anything."""
    postings = msgspec.convert(seen.effect["would"], Effect).postings
    moved = (p.unit for p in postings if p.unit.startswith((UNITS, CHOICES)))
    return next(moved, "") or str(seen.effect["unit"])


async def _shown(_: Connection, seen: CorrectionSeen, around: Around) -> CorrectionView:
    """Return a correction as the API shows it."""
    wanted = msgspec.convert(seen.body, Wanted)
    reason: Any = seen.reason
    return CorrectionView(
        **agreements.words(seen, around.now),
        kind=wanted.kind.value,
        member_id=seen.member_id,
        quantity=wanted.quantity,
        claim_id=wanted.claim_id,
        lot_id=wanted.lot_id,
        benefit=wanted.benefit or None,
        fault=wanted.fault and wanted.fault.value,
        valid_days=wanted.valid_days or None,
        reason=reason,
        effect=effect_view(seen.effect, _unit(seen), around.catalogue),
        batch_id=seen.batch_id,
    )


COUNTER = Counter(Corrections, _shown)


@post(
    "/v1/corrections",
    guards=[needs("operator")],
    tags=["corrections"],
    operation_id="propose_correction",
)
async def post_correction(
    data: JSONBody[CorrectionRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[CorrectionView]:
    """Propose a correction and learn all it would do; nothing is posted. Needs an Idempotency-Key.

    Another person approves it within 7 days by the `hash`, which covers what is asked and the
    effect; figures before and after are shown beside it.
    """
    asked = msgspec.to_builtins(data) | {"quantity": units.plain(data.quantity)}
    why, note = Why(asked.pop("reason")), asked.pop("note")
    wanted = msgspec.convert({k: v for k, v in asked.items() if v is not None}, Wanted)
    asking = Asking(request, idempotency_key, dry_run)
    return await COUNTER.propose(asking, Wish(wanted, why), note)


@post(
    "/v1/corrections/{correction_id:uuid}/approve",
    guards=[needs("approver")],
    tags=["corrections"],
    operation_id="approve_correction",
    status_code=200,
)
async def post_approve(
    correction_id: FromPath[UUID],
    data: JSONBody[ApproveRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[CorrectionView]:
    """Approve what another person proposed, by the hash that was read; it is posted whole.

    What it would do is found out anew: if that is no longer what was proposed, nothing is written
    (`correction_stale`). Needs an Idempotency-Key.
    """
    return await COUNTER.decide(Asking(request, idempotency_key, dry_run), correction_id, data)


@post(
    "/v1/corrections/{correction_id:uuid}/reject",
    guards=[needs("operator", "approver")],
    tags=["corrections"],
    operation_id="reject_correction",
    status_code=200,
)
async def post_reject(
    correction_id: FromPath[UUID],
    data: JSONBody[RejectRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[CorrectionView]:
    """Reject a proposal, or withdraw one's own, with a note. Needs an Idempotency-Key."""
    return await COUNTER.decide(Asking(request, idempotency_key, dry_run), correction_id, data)


@get(
    "/v1/corrections",
    guards=[needs(*READERS)],
    tags=["corrections"],
    operation_id="get_corrections",
)
async def get_corrections(
    request: Request[Any, Any, Any],
    *,
    in_state: Annotated[StateName | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> CorrectionsView:
    """Return corrections in the order they were proposed, those of one state if it is named."""
    page = Page(cursor, limit, in_state)
    views, following = await COUNTER.listed(request, "corrections", page)
    return CorrectionsView(corrections=views, next=following)


@get(
    "/v1/corrections/{correction_id:uuid}",
    guards=[needs(*READERS)],
    tags=["corrections"],
    operation_id="get_correction",
)
async def get_correction(
    correction_id: FromPath[UUID], request: Request[Any, Any, Any]
) -> CorrectionView:
    """Return a correction, all it does, and who decided."""
    return await COUNTER.one(request, correction_id)


HANDLERS = [get_corrections, get_correction, post_correction, post_approve, post_reject]
