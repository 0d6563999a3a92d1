"""A member's tiers as of a time, and every decision that made them, explained (T-9, X-6)."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.params import FromPath, FromQuery, QueryParameter

from benefits.actions.claim import UnknownMember
from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.recall_month import Recalled, recall_month
from benefits.actions.replay import replay
from benefits.actions.report import bounds_of
from benefits.domain import past as past_times
from benefits.domain.explanation import both_ways, explain, told, told_rank
from benefits.domain.outlook import Sight
from benefits.domain.policy import Metric
from benefits.domain.programme import Programme
from benefits.domain.tiers import Decision, display_average
from benefits.domain.values import local_date
from benefits.domain.windows import days_of
from benefits.store import outlook as sights
from benefits.store import pages, past, standings
from benefits.store.standings import Decided
from benefits.web import cursors
from benefits.web.auth import needs

READERS = ("mobile", "crm", "operator", "auditor", "member", "relationship_manager")
PAGE_MAX = 100
OUTLOOK_MAX = 1000


class TierMonthView(msgspec.Struct, kw_only=True):
    """What a period came to, with everything it was judged by; money in minor units.

    The metric is of the days `[period_from, period_until)`: its `sum_minor` over `divisor` is
    compared with the threshold of `compared_with`, exactly; `margin_minor` is what the sum had
    beyond threshold times divisor, negative where it fell short. `average_minor` is for showing.
    Where the tier has several ways in, all this is of the `way` that held, or that came nearest;
    one by labels alone has no threshold. `labels` are those that counted, with their layers.
    `filled_days` of the known ones are what people filled in where the source sent nothing: then
    the decision is `provisional`, until the days come and the month is decided anew.
    `after` is what is held; a new customer has it as a welcome until the day `welcome_until`, and
    then what is `earned` beneath it. `kept_by` says what keeps that tier, `raised_by` what reaches
    the next one; null for the lowest and the highest.
    """

    programme: str
    programme_version: int
    month: str
    cause: str
    metric: Metric
    period_from: date
    period_until: date
    days: int
    known_days: int
    filled_days: int
    missing_days: int
    divisor: int
    sum_minor: int
    average_minor: int
    compared_with: str
    threshold_minor: int | None
    margin_minor: int | None
    way: str | None
    labels: list[str]
    provisional: bool
    qualified: str
    before: str
    after: str
    misses: int
    lock_until: date | None
    grace_until: date | None
    earned: str | None
    welcome_until: date | None
    why: dict[str, str]
    kept_by: dict[str, str] | None
    raised_by: dict[str, str] | None


class TierDecisionView(TierMonthView, kw_only=True):
    """What a period decided, with everything it was decided on; it holds `effective_from` on."""

    id: UUID
    effective_from: datetime
    decided_at: datetime


class TierStandingView(msgspec.Struct, kw_only=True):
    """The tier in a programme; without a decision it is the lowest one.

    `last_month` is what the last evaluated month came to where it changed nothing; null where the
    decision is of that month, none was evaluated, or another time than now is asked about.
    """

    programme: str
    tier: str
    rank: int
    name: dict[str, str]
    decision: TierDecisionView | None
    last_month: TierMonthView | None


class TierStandingsView(msgspec.Struct, kw_only=True):
    """A member's tiers at `as_of`, as known at `known_at`; a provisional answer may change."""

    as_of: datetime
    known_at: datetime
    provisional: bool
    standings: list[TierStandingView]


class TierDecisionsView(msgspec.Struct, kw_only=True):
    """A page of decisions, the last decided first; `next` is the cursor of the next page."""

    known_at: datetime
    decisions: list[TierDecisionView]
    next: str | None


def _month(
    programme: Programme, version: int, decision: Decision, since: date | None = None
) -> dict[str, Any]:
    """Return what the views of a month and of a decision say; it holds `since` a day."""
    earned, rank = decision.after.earned, decision.after.rank
    seen = told(programme, decision)
    reading = seen.reading or decision.readings[0]
    first, last = days_of(seen.metric, reading.month, reading.day)
    has_bound = seen.reading is not None
    margin = reading.sum_minor - seen.needed_minor * reading.divisor
    is_last = rank + 1 == len(programme.tier)
    return {
        "programme": programme.code,
        "programme_version": version,
        "month": str(decision.month),
        "cause": decision.cause.value,
        "metric": seen.metric.metric,
        "period_from": first,
        "period_until": last + timedelta(days=1),
        "days": reading.days,
        "known_days": reading.known_days,
        "filled_days": reading.filled_days,
        "missing_days": reading.days - reading.known_days,
        "divisor": reading.divisor,
        "sum_minor": reading.sum_minor,
        "average_minor": display_average(reading.sum_minor, reading.divisor),
        "compared_with": programme.tier[told_rank(programme, decision)].code,
        "threshold_minor": seen.needed_minor if has_bound else None,
        "margin_minor": margin if has_bound else None,
        "way": seen.way.code or None,
        "labels": list(decision.grounds.labels),
        "provisional": decision.is_provisional,
        "qualified": programme.tier[decision.qualified].code,
        "before": programme.tier[decision.before.rank].code,
        "after": programme.tier[rank].code,
        "misses": decision.after.misses,
        "lock_until": decision.after.lock_until,
        "grace_until": decision.after.grace_until,
        "earned": None if earned is None else programme.tier[earned].code,
        "welcome_until": decision.after.welcome_until,
        "why": explain(programme, decision, since),
        "kept_by": both_ways(programme, rank) if rank else None,
        "raised_by": None if is_last else both_ways(programme, rank + 1),
    }


def _decision(programme: Programme, one: Decided) -> TierDecisionView:
    since = local_date(one.effective_from, programme.tz)
    return TierDecisionView(
        id=one.decision_id,
        effective_from=one.effective_from,
        decided_at=one.decided_at,
        **_month(programme, one.version, one.decision, since),
    )


def _recalled(one: Recalled | None) -> TierMonthView | None:
    if one is None:
        return None
    return TierMonthView(**_month(one.judge.programme, one.judge.version, one.decision))


@get(
    "/v1/members/{member_id:uuid}/standing",
    guards=[needs(*READERS)],
    tags=["members"],
    operation_id="get_standing",
)
async def get_standing(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    as_of: FromQuery[str | None] = None,
    known_at: FromQuery[str | None] = None,
) -> TierStandingsView:
    """Return a member's tiers at a time, as they were known at another. Without them: now."""
    state = request.app.state
    async with state.database.transaction() as conn:
        bounds = await bounds_of(conn, state.parts, as_of, known_at)
        if not await pages.member_exists(conn, member_id):
            raise UnknownMember
        provisional = await past.is_provisional(conn, bounds)
        ends, known = bounds.ends, bounds.known_at or bounds.now
        at = past_times.last_of(as_of or known_at, ends)
        decided = await standings.as_of(conn, member_id, at, past_times.last_of(known_at, known))
        catalogue = await state.parts.catalogue.current(conn)
        is_now = as_of is None and known_at is None
        recalled = await recall_month(conn, state.parts, member_id) if is_now else {}
        found = list[TierStandingView]()
        for programme in catalogue.programmes.values():
            one = decided.get(programme.code)
            then, rank = programme, 0
            if one is not None:
                then = await state.parts.catalogue.version(conn, one.programme, one.version)
                rank = one.decision.after.on(local_date(at, programme.tz)).rank
            found.append(
                TierStandingView(
                    programme=programme.code,
                    tier=then.tier[rank].code,
                    rank=rank,
                    name=then.tier[rank].name,
                    decision=_decision(then, one) if one is not None else None,
                    last_month=_recalled(recalled.get(programme.code)),
                )
            )
    return TierStandingsView(as_of=ends, known_at=known, provisional=provisional, standings=found)


@get(
    "/v1/members/{member_id:uuid}/decisions",
    guards=[needs(*READERS)],
    tags=["members"],
    operation_id="get_decisions",
)
async def get_decisions(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    *,
    known_at: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> TierDecisionsView:
    """Return what was decided about a member's tiers, and why, the last decision first."""
    state = request.app.state
    kind = f"decisions {member_id}"
    before = cursors.read(kind, cursor, tuple[datetime, UUID])
    async with state.database.transaction() as conn:
        bounds = await bounds_of(conn, state.parts, None, known_at)
        if not await pages.member_exists(conn, member_id):
            raise UnknownMember
        known = bounds.known_at or bounds.now
        last_known = past_times.last_of(known_at, known)
        found = await standings.decisions(
            conn, member_id, last_known, before=before, limit=limit + 1
        )
        shown = [
            _decision(await state.parts.catalogue.version(conn, one.programme, one.version), one)
            for one in found[:limit]
        ]
    last = found[limit - 1] if len(found) > limit else None
    place = (last.decided_at, last.decision_id) if last else None
    return TierDecisionsView(
        known_at=known, decisions=shown, next=cursors.write(kind, place) if place else None
    )


class CountedDayView(msgspec.Struct, kw_only=True):
    """What a day counted, in minor units and exactly: weights may leave decimals."""

    day: date
    known: bool
    filled: bool
    counted_minor: str


class TierDecisionAgainView(msgspec.Struct, kw_only=True):
    """A decision, and what it was made of, as it was known then.

    It is decided again from the balances, rates, holders, labels and rules that were known at
    `decided_at`: `differs` names the figures that come out otherwise, none if all is as it was.
    `days` are those of the programme's metric; none for what no balance decided.
    """

    decision: TierDecisionView
    differs: list[str]
    days: list[CountedDayView]


@get(
    "/v1/members/{member_id:uuid}/decisions/{decision_id:uuid}",
    guards=[needs("operator", "auditor")],
    tags=["members"],
    operation_id="get_decision",
)
async def get_decision(
    member_id: FromPath[UUID], decision_id: FromPath[UUID], request: Request[Any, Any, Any]
) -> TierDecisionAgainView:
    """Return a decision about a member's tier, decided again from what was known then."""
    state = request.app.state
    async with state.database.transaction() as conn:
        again = await replay(conn, state.parts, member_id, decision_id)
        one = again.decided
        then = await state.parts.catalogue.version(conn, one.programme, one.version)
    return TierDecisionAgainView(
        decision=_decision(then, one),
        differs=again.differs,
        days=[
            CountedDayView(
                day=each.day,
                known=each.is_known,
                filled=each.is_filled,
                counted_minor=f"{each.counted_minor:f}",
            )
            for each in again.days
        ],
    )


class SightedView(msgspec.Struct, kw_only=True):
    """A member whose running period goes below the tier, or comes near it; in minor units.

    `projected_minor` is the daily average if every remaining day is like the last known one
    (`day`), `needed_daily_minor` what each of them needs for the tier; null: out of reach.
    """

    member_id: UUID
    month: str
    tier: str
    day: date
    threshold_minor: int
    projected_minor: int
    needed_daily_minor: int | None


class OutlookView(msgspec.Struct, kw_only=True):
    """A page of members, as the last look ahead saw them; `next` is the next page's cursor."""

    members: list[SightedView]
    next: str | None


@get(
    "/v1/programmes/{programme:str}/outlook/{outlook:str}",
    guards=[needs("crm", "operator", "auditor")],
    tags=["members"],
    operation_id="get_outlook",
)
async def get_outlook(
    programme: FromPath[str],
    outlook: FromPath[Literal["AT_RISK", "NEAR"]],
    request: Request[Any, Any, Any],
    *,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=OUTLOOK_MAX)] = 100,
) -> OutlookView:
    """Return whose tier is at risk (`AT_RISK`), or who is near a higher one (`NEAR`)."""
    state = request.app.state
    kind = f"outlook {programme} {outlook}"
    after = cursors.read(kind, cursor, UUID)
    async with state.database.transaction() as conn:
        if programme not in (await state.parts.catalogue.current(conn)).programmes:
            raise UnknownProgramme
        found = await sights.page(conn, programme, Sight(outlook), after=after, limit=limit + 1)
    shown = [
        SightedView(
            member_id=one.member_id,
            month=str(one.month),
            tier=one.tier,
            day=one.as_of,
            threshold_minor=one.threshold_minor,
            projected_minor=one.projected_minor,
            needed_daily_minor=one.needed_daily_minor,
        )
        for one in found[:limit]
    ]
    more = cursors.write(kind, shown[-1].member_id) if len(found) > limit else None
    return OutlookView(members=shown, next=more)


HANDLERS = [get_standing, get_decisions, get_decision, get_outlook]
