"""Proposals over HTTP: an operator proposes a rule, an approval or a block, another decides (X-2).

What is proposed is one of four; an approver agrees to what they read, by its hash.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.agree import Decide, Propose, UnknownProposal, decide, propose
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.domain import proposals as rules
from benefits.domain.proposals import ProposalInvalid, Wanted
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store import proposals
from benefits.store.db import Connection, Database
from benefits.store.proposals import Mark, ProposalSeen, Sort
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.corrections import ApproveRequest, Note, RejectRequest, StateName
from benefits.web.crm import TriggerName
from benefits.web.problems import refused, stored
from benefits.web.proposal_views import ProposalsView, ProposalView, shown

PAGE_MAX = 100
BODY_BYTES_MAX = 4 * rules.DOCUMENT_MAX  # a file has Chinese words, and JSON its escapes
READERS = ("operator", "approver", "auditor")
ProposalKindName = Literal["PROGRAMME", "COMPLIANCE", "BLOCK", "UNBLOCK"]
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


class ProposalRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What another person is to agree to: one of the four. The note has no personal data."""

    note: Note
    programme: VersionRequest | None = None
    compliance: CombinationRequest | None = None
    block: BlockRequest | None = None
    unblock: UnblockRequest | None = None


def _wanted(data: ProposalRequest) -> Wanted:
    """Return the one thing that is proposed (ProposalInvalid)."""
    each = (data.programme, data.compliance, data.block, data.unblock)
    given = [one for one in each if one is not None]
    if len(given) != 1:
        raise ProposalInvalid("It names exactly one of programme, compliance, block and unblock.")
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


Work = Callable[[Connection], Awaitable[Decided | Refusal]]


async def _answer(
    request: Request[Any, Any, Any], work: Work, status: int, on: Database
) -> Response[ProposalView]:
    """Do the work in one transaction and answer with the proposal it was about."""

    async def whole(conn: Connection) -> tuple[Decided | Refusal, ProposalView | None]:
        outcome = await work(conn)
        if not isinstance(outcome, Accepted):
            return outcome, None
        return outcome, await _seen(conn, UUID(outcome.ids["proposal_id"]), request)

    done: tuple[Decided | Refusal, ProposalView | None] = await on.transact(whole)
    outcome, view = done
    match outcome:
        case Accepted():
            assert view is not None, "it is shown"
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            return Response(view, status_code=status, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


async def _seen(
    conn: Connection, proposal_id: UUID, request: Request[Any, Any, Any]
) -> ProposalView:
    """Return a proposal as the API shows it (UnknownProposal)."""
    seen = await proposals.one(conn, proposal_id)
    if seen is None:
        raise UnknownProposal
    return _view(seen, request)


def _view(
    seen: ProposalSeen, request: Request[Any, Any, Any], *, whole: bool = True
) -> ProposalView:
    return shown(seen, request.app.state.parts.clock(), whole=whole)


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
    """Propose a programme's next version, an approval or a block. Needs an Idempotency-Key.

    Another person approves it within 7 days by the `hash`, which covers all that is shown of it.
    """
    command = Propose(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        wanted=_wanted(data),
        note=data.note,
    )
    parts = request.app.state.parts
    on = rehearsal.database(request, dry_run=dry_run)
    return await _answer(request, lambda conn: propose(conn, command, parts), 201, on)


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
    blocked.
    """
    command = Decide(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        proposal_id=proposal_id,
        digest=data.hash,
    )
    return await _decided(request, command, dry_run=dry_run)


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
    command = Decide(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        proposal_id=proposal_id,
        note=data.note,
    )
    return await _decided(request, command, dry_run=dry_run)


async def _decided(
    request: Request[Any, Any, Any], command: Decide, *, dry_run: bool
) -> Response[ProposalView]:
    """Say a person's word on a proposal, for good or only as if."""
    parts = request.app.state.parts
    on = rehearsal.database(request, dry_run=dry_run)
    return await _answer(request, lambda conn: decide(conn, command, parts), 200, on)


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
    kind = f"proposals {of_kind or ''} {in_state or ''}"
    after = cursors.read(kind, cursor, Mark)  # type: ignore[arg-type]  # a tuple type is a type to msgspec
    sort = Sort(of_kind, in_state, request.app.state.parts.clock())
    async with request.app.state.database.transaction() as conn:
        found = await proposals.listed(conn, after, sort, limit=limit + 1)
    page, following = found[:limit], None
    if len(found) > limit:
        following = cursors.write(kind, (page[-1].proposed_at, page[-1].proposal_id))
    views = [_view(seen, request, whole=False) for seen in page]
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
    async with request.app.state.database.transaction() as conn:
        return await _seen(conn, proposal_id, request)


HANDLERS = [
    get_proposals,
    get_proposal,
    post_proposal,
    post_proposal_approve,
    post_proposal_reject,
]
