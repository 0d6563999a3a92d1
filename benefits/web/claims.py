"""Claims over HTTP: made, looked into for their codes, given up where they are bookings."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, UnsetType

from benefits.actions.cancel import CancelClaim
from benefits.actions.claim import ClaimUnits
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.read_code import SecondLook, read_code
from benefits.domain.callers import Caller
from benefits.domain.code_lines import pieces
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store.group import Group
from benefits.store.pages import ClaimSeen
from benefits.web import rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.problems import NotFound, refused, stored

CLAIMS = "/v1/members/{member_id:uuid}/claims"
CLAIMERS = ("mobile", "member")
Way = Literal["MOBILE", "BRANCH", "WEB", "PHONE", "WECHAT"]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class ClaimView(msgspec.Struct, kw_only=True):
    """A claim and where its order stands (V-2); the provider knows it by `order_number`.

    What it brings can be used while now < `use_until`, where that is said. `used` of its pieces
    were used, where the provider says how many. Where it delivered fewer than were asked for the
    claim is of those, and so many are `missing`, whose units are back and taken again if they
    come. What was not used by `ended_at` has ended. The
    benefit came `instead_of` the one that was asked for, where that one's contract had ended.

    A booking is `booked_for` a time and cancelled freely until `cancel_until`. At `cancelled_at`
    the member gave it up: it is REVOKED once the provider has taken it back, with the reason
    `cancelled`. With the reason `no_show` it has EXPIRED, and counts as used.
    """

    id: UUID
    benefit: str
    quantity: int
    state: str
    reason: str
    claimed_at: datetime
    changed_at: datetime
    order_number: str
    provider_reference: str
    has_code: bool
    use_until: datetime | None
    used: int
    ended_at: datetime | None
    instead_of: str | None
    booked_for: datetime | None
    cancel_until: datetime | None
    cancelled_at: datetime | None
    missing: int


class PieceView(msgspec.Struct, kw_only=True):
    """One code, with its PIN where it has one."""

    code: str
    pin: str


class CodeView(msgspec.Struct, kw_only=True):
    """What the provider gave the member to show or type in.

    Of several pieces each can have a code of its own: all are in `codes`, `code` is the first.
    """

    code: str
    codes: list[PieceView]


class ClaimRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A wish for pieces of a benefit; `recipient` holds just the fields the benefit asks for.

    With each come as many as `companions`, who take as much. The `channel` is the one by which the
    member claims; a rule about it lets nobody in without. What is booked names the time
    `booked_for`. With `wait` it waits where nothing is missing but room that its limit lets it
    wait for.
    """

    benefit: str
    quantity: int = 1
    recipient: dict[str, str] = {}
    channel: Way | UnsetType = UNSET
    companions: int | UnsetType = UNSET
    booked_for: Instant | UnsetType = UNSET
    wait: bool | UnsetType = UNSET


class ClaimAnswer(msgspec.Struct, kw_only=True):
    """The claim that was placed; follow it at `GET /v1/claims/{id}`."""

    id: str


class WaitAnswer(msgspec.Struct, kw_only=True):
    """The claim waits until `ends_at`, if to any end; see `GET /v1/members/{id}/waits`.

    So many wait `ahead` of it.
    """

    id: str
    benefit: str
    ahead: str
    ends_at: datetime | None


def claim_view(seen: ClaimSeen) -> ClaimView:
    """Return a claim as the API shows it."""
    return ClaimView(
        id=seen.claim_id,
        benefit=seen.benefit,
        quantity=seen.quantity,
        state=seen.state,
        reason=seen.reason,
        claimed_at=seen.claimed_at,
        changed_at=seen.changed_at,
        order_number=seen.number,
        provider_reference=seen.provider_reference,
        has_code=seen.has_code,
        use_until=seen.use_until,
        used=seen.used,
        ended_at=seen.ended_at,
        instead_of=seen.instead_of or None,
        booked_for=seen.booked_for,
        cancel_until=seen.cancel_until,
        cancelled_at=seen.cancelled_at,
        missing=seen.missing,
    )


@post(
    CLAIMS,
    guards=[needs(*CLAIMERS)],
    tags=["claims"],
    operation_id="claim",
)
async def post_claim(
    member_id: FromPath[UUID],
    data: JSONBody[ClaimRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ClaimAnswer]:
    """Claim units: they are held, and the provider is asked. Needs an Idempotency-Key.

    A claim that waits for room takes nothing yet: 202. It is made by itself as soon as there is
    room for it, before any claim that comes later.
    """
    claims = request.app.state.claims
    wanted = command(request.auth, check_key(idempotency_key), member_id, data)
    return answer(await (claims.rehearse if dry_run else claims.submit)(wanted), wanted)


def command(caller: Caller, key: str, member_id: UUID, asked: ClaimRequest) -> ClaimUnits:
    """Return a wish as the group decides it."""
    return ClaimUnits(
        caller=caller.name,
        key=key,
        member_id=member_id,
        benefit=asked.benefit,
        quantity=asked.quantity,
        companions=0 if asked.companions is UNSET else asked.companions,
        recipient=asked.recipient,
        channel="" if asked.channel is UNSET else asked.channel,
        booked_for=None if asked.booked_for is UNSET else asked.booked_for,
        waits=False if asked.wait is UNSET else asked.wait,
    )


def answer(outcome: Accepted | Refused | Refusal, asked: ClaimUnits) -> Response[Any]:
    """Return a claim's outcome as a response; a replayed one says so."""
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            if "wait_id" in outcome.ids:
                headers["Location"] = f"/v1/members/{asked.member_id}/waits"
                return Response(_wait_answer(outcome, asked), status_code=202, headers=headers)
            headers["Location"] = f"/v1/claims/{outcome.ids['claim_id']}"
            return Response(
                ClaimAnswer(id=outcome.ids["claim_id"]), status_code=201, headers=headers
            )
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


def _wait_answer(outcome: Accepted, asked: ClaimUnits) -> WaitAnswer:
    ends_at = outcome.ids.get("ends_at")
    return WaitAnswer(
        id=outcome.ids["wait_id"],
        benefit=asked.benefit,
        ahead=outcome.ids["ahead"],
        ends_at=None if ends_at is None else datetime.fromisoformat(ends_at),
    )


@post(
    "/v1/claims/{claim_id:uuid}/code",
    guards=[needs("mobile", "member")],
    status_code=200,
    tags=["claims"],
    operation_id="read_code",
)
async def post_code(
    claim_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    *,
    again: FromQuery[Literal["NOT_ARRIVED", "NEEDED_AGAIN"] | None] = None,
    dry_run: FromQuery[bool] = False,
) -> Response[CodeView]:
    """Return the provider's code of a delivered claim; each time is recorded, with the caller.

    Ask when the member taps, and keep it nowhere. It is shown once: a further look says why it is
    wanted `again`, by the member's word, which is recorded too. A dry run, which records nothing,
    gives an empty code.
    """
    parts = request.app.state.parts
    async with rehearsal.database(request, dry_run=dry_run).transaction() as conn:
        why = SecondLook(again) if again else None
        code = await read_code(conn, claim_id, parts, actor=request.auth.name, again=why)
    if code is None:
        raise NotFound
    found = [] if dry_run else [PieceView(code=one.code, pin=one.pin) for one in pieces(code)]
    view = CodeView(code=found[0].code if found else "", codes=found)
    return Response(view, headers={"Cache-Control": "no-store"})


class CancellationAnswer(msgspec.Struct, kw_only=True):
    """The claim that is given up; follow it at `GET /v1/claims/{id}`."""

    id: str


@post(
    "/v1/claims/{claim_id:uuid}/cancellation",
    guards=[needs(*CLAIMERS)],
    tags=["claims"],
    operation_id="cancel_claim",
)
async def post_cancellation(
    claim_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[CancellationAnswer]:
    """Give a booking up. Needs an Idempotency-Key.

    Its units come back once the provider has taken it back; the claim says so.
    """
    asked = CancelClaim(
        caller=request.auth.name, key=check_key(idempotency_key), claim_id=claim_id
    )
    cancellations: Group[CancelClaim, Decided] = request.app.state.cancellations
    outcome = await (cancellations.rehearse if dry_run else cancellations.submit)(asked)
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            headers["Location"] = f"/v1/claims/{claim_id}"
            view = CancellationAnswer(id=outcome.ids["claim_id"])
            return Response(view, status_code=201, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


HANDLERS = [post_claim, post_code, post_cancellation]
