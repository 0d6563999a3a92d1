"""A claim with its uses: merchants' systems and branches tell of them, and undo them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from benefits.actions.answers import DONE
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.redeem import Command, RedeemClaim, ReverseRedemption
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store import pages, shown_orders
from benefits.store.group import Group
from benefits.store.shown_orders import RedemptionSeen
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.claims import ClaimView, claim_view
from benefits.web.problems import NotFound, refused, stored

Place = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
Payment = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_-]{0,64}\Z")]
AMOUNT_MAX = 10**12
State = Literal["REQUESTED", "DONE", "REFUSED", "REVERSING", "REVERSED"]


class RedemptionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where it is used, and what the sale comes to, in minor units of the programme's currency.

    `payment` is the number of the payment at which it is used, at whoever takes the payment.
    """

    place: Place = ""
    amount_minor: Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)] | None = None
    payment: Payment = ""


class RedemptionAnswer(msgspec.Struct, kw_only=True):
    """The redemption that the provider is told of, or its undoing; follow it with its claim."""

    id: UUID


class RedemptionView(msgspec.Struct, kw_only=True):
    """A use that the provider is told of; `reason` is why it was refused."""

    id: UUID
    requested_at: datetime
    state: State
    reason: str


class ClaimWithUsesView(ClaimView, kw_only=True):
    """A claim, and the uses that the bank told its provider of, oldest first."""

    redemptions: list[RedemptionView]


@get(
    "/v1/claims/{claim_id:uuid}",
    guards=[needs("mobile", "member", "crm", "relationship_manager", "operator", "auditor")],
    tags=["claims"],
    operation_id="get_claim",
)
async def get_claim(
    claim_id: FromPath[UUID], request: Request[Any, Any, Any]
) -> ClaimWithUsesView:
    """Return a claim, where its order stands, and its uses that the provider was told of."""
    async with request.app.state.database.transaction() as conn:
        found = await pages.claim(conn, claim_id)
        if found is None:
            raise NotFound
        uses = await shown_orders.redemptions(conn, found[0], claim_id)
    claim = msgspec.structs.asdict(claim_view(found[1]))
    return ClaimWithUsesView(**claim, redemptions=[_view(seen) for seen in uses])


def _view(seen: RedemptionSeen) -> RedemptionView:
    refused = bool(seen.verdict) and seen.verdict != DONE
    return RedemptionView(
        id=seen.redemption_id,
        requested_at=seen.created_at,
        state=_state(seen),
        reason=seen.verdict if refused else "",
    )


def _state(seen: RedemptionSeen) -> State:
    if seen.is_reversed:
        return "REVERSED"
    if seen.is_reversing:
        return "REVERSING"
    if not seen.verdict:
        return "REQUESTED"
    return "DONE" if seen.verdict == DONE else "REFUSED"


@post(
    "/v1/claims/{claim_id:uuid}/redemptions",
    guards=[needs("crm")],
    tags=["claims"],
    operation_id="redeem",
)
async def post_redemption(
    claim_id: FromPath[UUID],
    data: JSONBody[RedemptionRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[RedemptionAnswer]:
    """Tell the provider that a delivered claim is used. Needs an Idempotency-Key.

    It is told soon after; the claim says what it answered.
    """
    command = RedeemClaim(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        claim_id=claim_id,
        place=data.place,
        amount_minor=data.amount_minor,
        payment=data.payment,
    )
    return await _answer(request, command, dry_run=dry_run)


@post(
    "/v1/claims/{claim_id:uuid}/redemptions/{redemption_id:uuid}/reverse",
    guards=[needs("crm")],
    tags=["claims"],
    operation_id="reverse_redemption",
)
async def post_reversal(
    claim_id: FromPath[UUID],
    redemption_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[RedemptionAnswer]:
    """Undo a use that the provider took: the claim can be used again. Needs an Idempotency-Key."""
    command = ReverseRedemption(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        claim_id=claim_id,
        redemption_id=redemption_id,
    )
    return await _answer(request, command, dry_run=dry_run)


async def _answer(
    request: Request[Any, Any, Any], command: Command, *, dry_run: bool
) -> Response[Any]:
    redemptions: Group[Command, Decided] = request.app.state.redemptions
    outcome = await (redemptions.rehearse if dry_run else redemptions.submit)(command)
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            headers["Location"] = f"/v1/claims/{outcome.ids['claim_id']}"
            answer = RedemptionAnswer(id=UUID(outcome.ids["redemption_id"]))
            return Response(answer, status_code=201, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


TYPES = (ClaimWithUsesView, RedemptionAnswer, RedemptionRequest, RedemptionView)
HANDLERS = [get_claim, post_redemption, post_reversal]
