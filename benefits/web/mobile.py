"""The mobile bank's backend: what a member has, and how it came."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter

from benefits.actions.claim import UnknownMember
from benefits.actions.look_up import LookUp, Seen
from benefits.domain.benefit import Benefit
from benefits.domain.booking import Booking, LateCancel
from benefits.domain.callers import Caller
from benefits.domain.catalogue import Catalogue, Taker
from benefits.domain.explanation import both_ways, explain
from benefits.domain.policy import Metric
from benefits.domain.progress import nearest
from benefits.domain.refusal import Refusal
from benefits.domain.tiers import certain_through
from benefits.domain.units import Quantity, whole
from benefits.domain.values import local_date
from benefits.domain.windows import days_of, posted_by
from benefits.store import pages
from benefits.store.overview import Standing
from benefits.store.pages import Entitlement
from benefits.web import cursors
from benefits.web.auth import needs
from benefits.web.claims import ClaimView, claim_view
from benefits.web.coming import ComingView, coming_views

PAGE_MAX = 100
BENEFITS = "/v1/members/{member_id:uuid}/benefits"
LOOKERS = ("mobile", "member", "relationship_manager", "operator", "auditor")
Number = Annotated[int, msgspec.Meta(ge=1, le=2**62)]  # of an event in a member's sequence


class TierView(msgspec.Struct, kw_only=True):
    """The tier a member has now, since when, and why.

    It holds at least through `certain_through`; the lowest is nobody's to lose. A tier that is
    kept by a lock is judged again from `lock_until`, and falls at `grace_until` at the earliest.
    `way` is the way by which it is held and whose term counts, if that is not the threshold. A new
    customer has it as a welcome until the day `welcome_until`, with what is `earned` beneath.
    `why` is of the decision that made it, empty where none was ever made; what the last month came
    to since is told by the operation `get_standing`. `kept_by` says what keeps the tier,
    `raised_by` what reaches the next one; null for the lowest and the highest.
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
    kept_by: dict[str, str] | None
    raised_by: dict[str, str] | None


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


class BookingView(msgspec.Struct, kw_only=True):
    """For which days it can be booked, counted from today, and how that is cancelled.

    Freely until so many hours before, never where they are null. Later it is refused, or by
    `CAPTURE` the units count as used.
    """

    first_days: int
    last_days: int
    free_cancel_hours: int | None
    late_cancel: LateCancel


class BenefitView(msgspec.Struct, kw_only=True):
    """A benefit the member has units for, earliest expiry first.

    Each piece of a claim takes `takes` of the `unit`; benefits of one unit share its lots. By tier
    so many `companions` may come along, each with a piece of their own. A claim made now delivers
    the benefit `delivers`, whose fields, companions and booking these are; from the day
    `replaced_on` it is the `replacement`.
    """

    code: str
    name: dict[str, str]
    about: dict[str, str]
    recipient: Sequence[str]
    unit: str
    takes: Quantity
    companions: dict[str, int]
    booking: BookingView | None
    delivers: str
    replacement: str | None
    replaced_on: date | None
    available: Quantity
    held: Quantity
    lots: list[LotView]


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
        booking=None if served.booking is None else _booking(served.booking),
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


def _booking(booking: Booking) -> BookingView:
    return BookingView(
        first_days=booking.first_days,
        last_days=booking.last_days,
        free_cancel_hours=booking.free_cancel_hours,
        late_cancel=booking.late_cancel,
    )


def _standing(seen: Seen, standing: Standing) -> ProgrammeView:
    programme = seen.catalogue.programmes[standing.programme]
    decided = standing.decided
    after = standing.held
    rank, is_last = after.rank, after.rank + 1 == len(programme.tier)
    tier = programme.tier[rank]
    then = seen.then.get(programme.code)
    judge = seen.catalogue.rules[programme.code].at(standing.undecided).programme
    why = dict[str, str]()
    if decided is not None and then is not None:
        why = explain(then, decided, standing.since_day)
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
            kept_by=both_ways(standing.judge, rank) if rank else None,
            raised_by=None if is_last else both_ways(standing.judge, rank + 1),
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


HANDLERS = [get_benefits, get_history]
