"""The mobile bank's backend: what a member has, how it came, and claims on it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from benefits.actions.claim import ClaimUnits, UnknownMember
from benefits.actions.keyed import Accepted, Refused
from benefits.actions.look_up import LookUp, Seen
from benefits.actions.read_code import read_code
from benefits.domain.benefit import Benefit
from benefits.domain.callers import Caller
from benefits.domain.catalogue import Catalogue, Taker
from benefits.domain.code_lines import pieces
from benefits.domain.explanation import explain
from benefits.domain.policy import Metric
from benefits.domain.progress import nearest
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.domain.tiers import certain_through
from benefits.domain.units import Quantity, whole
from benefits.domain.values import local_date
from benefits.domain.windows import days_of, posted_by
from benefits.store import pages
from benefits.store.overview import Standing
from benefits.store.pages import ClaimSeen, Entitlement
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.coming import ComingView, coming_views
from benefits.web.problems import NotFound, refused, stored

PAGE_MAX = 100
BENEFITS = "/v1/members/{member_id:uuid}/benefits"
CLAIMS = "/v1/members/{member_id:uuid}/claims"
LOOKERS = ("mobile", "member", "relationship_manager", "operator", "auditor")
CLAIMERS = ("mobile", "member")
Way = Literal["MOBILE", "BRANCH", "WEB", "PHONE", "WECHAT"]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**62)]  # of an event in a member's sequence


class TierView(msgspec.Struct, kw_only=True):
    """The tier a member has now, since when, and why.

    It holds at least through `certain_through`; the lowest is nobody's to lose. A tier that is
    kept by a lock is judged again from `lock_until`, and falls at `grace_until` at the earliest.
    `way` is the way by which it is held and whose term counts, if that is not the threshold. A new
    customer has it as a welcome until the day `welcome_until`, with what is `earned` beneath.
    """

    code: str
    rank: int
    name: dict[str, str]
    since: datetime | None
    why: dict[str, str]
    certain_through: date | None
    way: str | None
    lock_until: date | None
    grace_until: date | None
    earned: str | None
    welcome_until: date | None


class ProgressView(msgspec.Struct, kw_only=True):
    """The running period, and what the next tier needs on each remaining day (M-9); minor units.

    `month` is the running one. The metric is of the days `[period_from, period_until)`, and what
    decides is its sum over `divisor`. Where the next tier has several ways in, it is of the one
    that asks least; `way` names it if that is not the threshold. A way by labels alone has none.
    """

    month: str
    metric: Metric
    period_from: date
    period_until: date
    divisor: int
    days: int
    known_days: int
    sum_minor: int
    next_tier: str | None
    way: str | None
    threshold_minor: int | None
    needed_daily_minor: int | None


class ProgrammeView(msgspec.Struct, kw_only=True):
    """A member's standing in one programme.

    While `evaluation_pending` the month before is not decided. By the end of `result_by` the next
    result is known, where the programme promises a day.
    """

    code: str
    name: dict[str, str]
    currency: str
    minor_digits: int
    zone: str
    tier: TierView
    evaluation_pending: bool
    result_by: date | None
    progress: ProgressView


class LotView(msgspec.Struct, kw_only=True):
    """Units granted together; usable while now < expires_at."""

    available: Quantity
    held: Quantity
    granted_at: datetime
    expires_at: datetime | None


class BenefitView(msgspec.Struct, kw_only=True):
    """A benefit the member has units for, earliest expiry first.

    Each piece of a claim takes `takes` of the `unit`; benefits of one unit share its lots. By tier
    so many `companions` may come along, each with a piece of their own. A claim made now delivers
    the benefit `delivers`, whose fields and companions these are; from the day `replaced_on`
    it is the `replacement`.
    """

    code: str
    name: dict[str, str]
    about: dict[str, str]
    recipient: Sequence[str]
    unit: str
    takes: Quantity
    companions: dict[str, int]
    delivers: str
    replacement: str | None
    replaced_on: date | None
    available: Quantity
    held: Quantity
    lots: list[LotView]


class ClaimView(msgspec.Struct, kw_only=True):
    """A claim and where its order stands (V-2); the provider knows it by `order_number`.

    What it brings can be used while now < `use_until`, where that is said. `used` of its pieces
    were used, where the provider says how many; what was not used by `ended_at` has ended. The
    benefit came `instead_of` the one that was asked for, where that one's contract had ended.
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


class BenefitsView(msgspec.Struct, kw_only=True):
    """All that a member has, and what is `coming` of it by versions that are to begin."""

    member_id: UUID
    as_of: datetime
    programmes: list[ProgrammeView]
    benefits: list[BenefitView]
    claims: list[ClaimView]
    coming: list[ComingView]


class EventView(msgspec.Struct, kw_only=True):
    """One thing that happened to a member; `sequence` is strictly ascending per member."""

    sequence: int
    type: str
    subject_id: UUID | None
    recorded_at: datetime
    data: dict[str, Any]


class HistoryView(msgspec.Struct, kw_only=True):
    """A page of history, newest first; `next` is the cursor of the next page."""

    events: list[EventView]
    next: str | None


class ClaimRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A wish for pieces of a benefit; `recipient` holds just the fields the benefit asks for.

    With each come as many as `companions`, who take as much. The `channel` is the one by which the
    member claims; a rule about it lets nobody in without.
    """

    benefit: str
    quantity: int = 1
    recipient: dict[str, str] = {}
    channel: Way | UnsetType = UNSET
    companions: int | UnsetType = UNSET


class ClaimAnswer(msgspec.Struct, kw_only=True):
    """The claim that was placed; follow it at `GET /v1/claims/{id}`."""

    id: str


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
    )


def overview(seen: Seen) -> BenefitsView:
    """Return what was seen of a member as the API shows it."""
    return BenefitsView(
        member_id=seen.member_id,
        as_of=seen.now,
        programmes=[_standing(seen, standing) for standing in seen.overview.standings],
        benefits=_benefits(seen.catalogue, seen.overview.lots, seen.now),
        claims=[claim_view(claim) for claim in seen.overview.claims],
        coming=coming_views(seen),
    )


def _benefits(
    catalogue: Catalogue, lots: Sequence[Entitlement], now: datetime
) -> list[BenefitView]:
    """Return the benefits that take each unit; lots come by unit."""
    views, of_unit = list[BenefitView](), catalogue.of_unit
    for unit, some in groupby(lots, key=attrgetter("unit")):
        mine = list(some)
        for taker in of_unit.get(unit, ()):
            served = taker.benefit
            if served.replacement:
                programme, _ = catalogue.offers[served.code]
                served = programme.serving(served, local_date(now, programme.tz))
            views.append(_benefit(taker, served, mine))
    return views


def _benefit(taker: Taker, served: Benefit, lots: Sequence[Entitlement]) -> BenefitView:
    benefit, scale = taker.benefit, taker.scale
    last = served.last_claim if served.replacement else None
    return BenefitView(
        code=benefit.code,
        name=benefit.name,
        about=benefit.about,
        recipient=served.recipient,
        unit=lots[0].unit,
        takes=taker.takes,
        companions=served.companions,
        delivers=served.code,
        replacement=served.replacement or None,
        replaced_on=last + timedelta(days=1) if last else None,
        available=whole(sum([lot.available for lot in lots]), scale),
        held=whole(sum([lot.held for lot in lots]), scale),
        lots=[
            LotView(
                available=whole(lot.available, scale) if scale else lot.available,
                held=whole(lot.held, scale) if scale else lot.held,
                granted_at=lot.granted_at,
                expires_at=lot.expires_at,
            )
            for lot in lots
        ],
    )


def _standing(seen: Seen, standing: Standing) -> ProgrammeView:
    programme = seen.catalogue.programmes[standing.programme]
    decided = standing.decided
    after = standing.held
    rank = after.rank
    tier = programme.tier[rank]
    then = seen.then.get(programme.code)
    judge = seen.catalogue.rules[programme.code].at(standing.undecided).programme
    why = dict[str, str]()
    if decided is not None and then is not None:
        why = explain(then, decided)
    return ProgrammeView(
        code=programme.code,
        name=programme.name,
        currency=programme.currency,
        minor_digits=programme.minor_digits,
        zone=programme.zone,
        tier=TierView(
            code=tier.code,
            rank=rank,
            name=tier.name,
            since=standing.since,
            why=why,
            certain_through=(
                certain_through(standing.judge, after, standing.undecided) if rank else None
            ),
            way=after.way or None,
            lock_until=after.lock_until,
            grace_until=after.grace_until,
            earned=None if after.earned is None else programme.tier[after.earned].code,
            welcome_until=after.welcome_until,
        ),
        evaluation_pending=standing.evaluated != standing.month.plus(-1),
        result_by=posted_by(judge.policy, standing.undecided),
        progress=_progress(standing, rank),
    )


def _progress(standing: Standing, rank: int) -> ProgressView:
    programme, running = standing.judge, standing.running
    upper = rank + 1 if rank + 1 < len(programme.tier) else None
    need = nearest(programme, upper, running) if upper is not None else None
    metric = programme.ladder.metrics[need.metric if need else 0]
    reading = need.reading if need else running.readings[0]
    first, last = days_of(metric, reading.month, reading.day)
    return ProgressView(
        month=str(standing.month),
        metric=metric.metric,
        period_from=first,
        period_until=last + timedelta(days=1),
        divisor=reading.divisor,
        days=reading.days,
        known_days=reading.known_days,
        sum_minor=reading.sum_minor,
        next_tier=programme.tier[upper].code if upper is not None else None,
        way=need.way or None if need else None,
        threshold_minor=need.threshold_minor if need else None,
        needed_daily_minor=need.needed_daily if need else None,
    )


@get(
    BENEFITS,
    guards=[needs(*LOOKERS)],
    tags=["members"],
    operation_id="get_benefits",
)
async def get_benefits(member_id: FromPath[UUID], request: Request[Any, Any, Any]) -> BenefitsView:
    """Return tier and progress, entitlements, and the latest claims of a member."""
    return overview(await seen(request.app.state, request.auth, member_id))


async def seen(state: State, caller: Caller, member_id: UUID) -> Seen:
    """Look a member up, together with whoever else looks (UnknownMember)."""
    found: Seen | Refusal = await state.looks.submit(
        LookUp(caller=caller.name, member_id=member_id)
    )
    if isinstance(found, Refusal):
        raise found
    return found


@get(
    "/v1/members/{member_id:uuid}/history",
    guards=[needs("mobile", "member", "relationship_manager", "operator", "auditor")],
    tags=["members"],
    operation_id="get_history",
)
async def get_history(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> HistoryView:
    """Return what happened to a member, newest first, a page at a time."""
    before = cursors.read("history", cursor, Number)
    async with request.app.state.database.transaction() as conn:
        if not await pages.member_exists(conn, member_id):
            raise UnknownMember
        found = await pages.history(conn, member_id, before=before or 2**62, limit=limit + 1)
    events = [
        EventView(
            sequence=event.seq,
            type=event.type,
            subject_id=event.subject_id,
            recorded_at=event.recorded_at,
            data=event.data,
        )
        for event in found[:limit]
    ]
    more = len(found) > limit
    return HistoryView(
        events=events, next=cursors.write("history", events[-1].sequence) if more else None
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
    """Claim units: they are held, and the provider is asked. Needs an Idempotency-Key."""
    claims = request.app.state.claims
    wanted = command(request.auth, check_key(idempotency_key), member_id, data)
    return answer(await (claims.rehearse if dry_run else claims.submit)(wanted))


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
    )


def answer(outcome: Accepted | Refused | Refusal) -> Response[Any]:
    """Return a claim's outcome as a response; a replayed one says so."""
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            headers["Location"] = f"/v1/claims/{outcome.ids['claim_id']}"
            return Response(
                ClaimAnswer(id=outcome.ids["claim_id"]), status_code=201, headers=headers
            )
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


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
    dry_run: FromQuery[bool] = False,
) -> Response[CodeView]:
    """Return the provider's code of a delivered claim; each time is recorded, with the caller.

    Ask when the member taps, and keep it nowhere. A dry run, which records nothing, gives an empty
    code.
    """
    parts = request.app.state.parts
    async with rehearsal.database(request, dry_run=dry_run).transaction() as conn:
        code = await read_code(conn, claim_id, parts, actor=request.auth.name)
    if code is None:
        raise NotFound
    found = [] if dry_run else [PieceView(code=one.code, pin=one.pin) for one in pieces(code)]
    view = CodeView(code=found[0].code if found else "", codes=found)
    return Response(view, headers={"Cache-Control": "no-store"})


HANDLERS = [get_benefits, get_history, post_claim, post_code]
