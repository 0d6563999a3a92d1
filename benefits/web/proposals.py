"""Proposals over HTTP: rules, blocks, orders' ends, fraud: one asks, another decides (X-2).

What is proposed is one of six; an approver agrees to what they read, by its hash.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.enact import Proposals
from benefits.domain import proposals as rules
from benefits.domain.proposals import ProposalInvalid, Wanted
from benefits.web.agreements import (
    PAGE_MAX,
    READERS,
    ApproveRequest,
    Asking,
    Counter,
    Note,
    Page,
    RejectRequest,
    StateName,
)
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.crm import TriggerName
from benefits.web.proposal_views import ProposalsView, ProposalView, shown

BODY_BYTES_MAX = 4 * rules.DOCUMENT_MAX  # a file has Chinese words, and JSON its escapes
ProposalKindName = Literal["PROGRAMME", "COMPLIANCE", "BLOCK", "UNBLOCK", "ORDER", "FRAUD"]
NatureName = Literal[
    "CASH",
    "SECURITY",
    "PHYSICAL_GIFT",
    "VOUCHER_VALUE",
    "DISCOUNT",
    "SERVICE",
    "POINTS",
    "STATUS",
]
ScopeName = Literal["ALL", "CLAIM", "BENEFIT", "PROVIDER"]
WhyName = Literal["LEGAL_FREEZE", "FRAUD", "DISPUTE", "MEMBER_WISH", "OTHER"]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class VersionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A programme's file; its tiers and policy decide months from `first_month` on (`2025-07`).

    It holds from `effective_from` on, or from its approval.
    """

    document: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=rules.DOCUMENT_MAX, pattern=r"\A[^\x00]*\Z"),
    ]
    first_month: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}\Z")] | None = None
    effective_from: Instant | None = None


class CombinationRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A nature of reward that the programme may give for a trigger, what says so, and why."""

    programme: rules.Code
    trigger: TriggerName
    nature: NatureName
    citation: rules.Words
    text: rules.Words


class BlockRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a member is blocked from: from the approval on, or a later instant, for ever or until.

    `target` is the code of the benefit or the provider, where the scope is one.
    """

    member_id: UUID
    scope: ScopeName
    why: WhyName
    target: Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[^\x00]*\Z")] = ""
    begins_at: Instant | None = None
    ends_at: Instant | None = None


class UnblockRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The block that is to end with the approval: the id of its proposal."""

    block_id: UUID


class OrderAnswerRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How an order ended by its provider's word, which `evidence` brings or names.

    It is MANUAL; or its member gave it up, and its provider never said whether it took it back; or
    it came in part, and it is said whether the rest, which nobody asks for any more, did.
    Of what was delivered: the provider's `reference`, how many pieces the customer has `used` by
    then, or that it was `taken_back` unused, and when that was (`at`; else as of the approval). No
    personal data.
    """

    number: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    delivered: bool
    evidence: rules.Words
    reference: Annotated[str, msgspec.Meta(max_length=256, pattern=r"\A[^\x00-\x1f\x7f]*\Z")] = ""
    used: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    at: Instant | None = None
    taken_back: bool = False


class FraudRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A member whose balances were false from a month on (`2025-03`), and are corrected by now.

    Their tier in the programme is decided anew with the approval, though it is against them, and
    unclaimed units that rest on a wrong one go.
    """

    member_id: UUID
    programme: rules.Code
    since: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}\Z")]


class ProposalRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What another person is to agree to: one of the six. The note has no personal data."""

    note: Note
    programme: VersionRequest | None = None
    compliance: CombinationRequest | None = None
    block: BlockRequest | None = None
    unblock: UnblockRequest | None = None
    order: OrderAnswerRequest | None = None
    fraud: FraudRequest | None = None


def _wanted(data: ProposalRequest) -> Wanted:
    """Return the one thing that is proposed (ProposalInvalid)."""
    each = (data.programme, data.compliance, data.block, data.unblock, data.order, data.fraud)
    given = [one for one in each if one is not None]
    if len(given) != 1:
        raise ProposalInvalid(
            "It names exactly one of programme, compliance, block, unblock, order and fraud."
        )
    match one := given[0]:
        case VersionRequest():
            return rules.ProgrammeWanted(
                document=one.document,
                tiers_from=one.first_month,
                effective_from=one.effective_from or msgspec.UNSET,
            )
        case CombinationRequest():
            return msgspec.convert(msgspec.to_builtins(one), rules.ComplianceWanted)
        case BlockRequest():
            asked = msgspec.structs.asdict(one)
            asked |= {"from_at": asked.pop("begins_at"), "to_at": asked.pop("ends_at")}
            return msgspec.convert(asked, rules.BlockWanted)
        case UnblockRequest():
            return rules.UnblockWanted(block_id=one.block_id)
        case OrderAnswerRequest():
            return rules.OrderWanted(**msgspec.structs.asdict(one))
        case FraudRequest():
            return rules.FraudWanted(**msgspec.structs.asdict(one))


COUNTER = Counter(Proposals, shown)


@post(
    "/v1/proposals",
    guards=[needs("operator")],
    tags=["proposals"],
    operation_id="propose",
    request_max_body_size=BODY_BYTES_MAX,
)
async def post_proposal(
    data: JSONBody[ProposalRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ProposalView]:
    """Propose a version, an approval, a block, an order's end or fraud. Needs an Idempotency-Key.

    Another person approves it within 7 days by the `hash`, which covers all that is shown of it.
    """
    asking = Asking(request, idempotency_key, dry_run)
    return await COUNTER.propose(asking, _wanted(data), data.note)


@post(
    "/v1/proposals/{proposal_id:uuid}/approve",
    guards=[needs("approver")],
    tags=["proposals"],
    operation_id="approve_proposal",
    status_code=200,
)
async def post_proposal_approve(
    proposal_id: FromPath[UUID],
    data: JSONBody[ApproveRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ProposalView]:
    """Approve what another person proposed, by the hash that was read. Needs an Idempotency-Key.

    It is weighed anew (`proposal_stale`) and done at once: the version is in force, the member is
    blocked, the order has ended, the member has the lower tier.
    """
    return await COUNTER.decide(Asking(request, idempotency_key, dry_run), proposal_id, data)


@post(
    "/v1/proposals/{proposal_id:uuid}/reject",
    guards=[needs("operator", "approver")],
    tags=["proposals"],
    operation_id="reject_proposal",
    status_code=200,
)
async def post_proposal_reject(
    proposal_id: FromPath[UUID],
    data: JSONBody[RejectRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ProposalView]:
    """Reject a proposal, or withdraw one's own, with a note. Needs an Idempotency-Key."""
    return await COUNTER.decide(Asking(request, idempotency_key, dry_run), proposal_id, data)


@get("/v1/proposals", guards=[needs(*READERS)], tags=["proposals"], operation_id="get_proposals")
async def get_proposals(
    request: Request[Any, Any, Any],
    *,
    of_kind: Annotated[ProposalKindName | None, QueryParameter(name="kind")] = None,
    in_state: Annotated[StateName | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> ProposalsView:
    """Return proposals in the order they were made, without the files of programmes."""
    page = Page(cursor, limit, in_state, of_kind)
    views, following = await COUNTER.listed(request, f"proposals {of_kind or ''}", page)
    return ProposalsView(proposals=views, next=following)


@get(
    "/v1/proposals/{proposal_id:uuid}",
    guards=[needs(*READERS)],
    tags=["proposals"],
    operation_id="get_proposal",
)
async def get_proposal(
    proposal_id: FromPath[UUID], request: Request[Any, Any, Any]
) -> ProposalView:
    """Return a proposal, all it does, and who decided."""
    return await COUNTER.one(request, proposal_id)


HANDLERS = [
    get_proposals,
    get_proposal,
    post_proposal,
    post_proposal_approve,
    post_proposal_reject,
]
