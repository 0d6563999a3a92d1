"""A member at a glance, for the CRM and the people who care for customers. No personal data."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.params import FromPath

from benefits.actions.claim import UnknownMember
from benefits.actions.look_up import Seen, see
from benefits.domain.catalogue import Catalogue
from benefits.domain.orders import OPEN
from benefits.domain.progress import Outlook, expecting, foretell
from benefits.domain.units import Quantity
from benefits.domain.values import local_date
from benefits.store import summary
from benefits.store.db import Connection
from benefits.store.overview import Standing
from benefits.store.summary import Used
from benefits.web.auth import needs
from benefits.web.mobile import BenefitView, ProgrammeView, overview

SOON = timedelta(days=30)
WINDOWS = (30, 90, 365)


class KeepView(msgspec.Struct, kw_only=True):
    """What keeping the tier asks of the running month, and where the month goes (M-9, M-11).

    `projected_minor` is the daily average if every remaining day is like the last known one. Of
    several ways it is the one that asks least; `way` names it if that is not the threshold. A way
    by labels alone has no threshold.
    """

    way: str | None
    threshold_minor: int | None
    needed_daily_minor: int | None
    projected_minor: int
    outlook: Outlook


class StandingView(msgspec.Struct, kw_only=True):
    """A programme: the standing as the member sees it, and what keeps a tier above the lowest."""

    programme: ProgrammeView
    keep: KeepView | None


class HoldingView(msgspec.Struct, kw_only=True):
    """Units of a benefit now; `expiring_30_days` of the available ones end within 30 days."""

    benefit: str
    name: dict[str, str]
    available: Quantity
    held: Quantity
    next_expiry: datetime | None
    expiring_30_days: Quantity


class WindowView(msgspec.Struct, kw_only=True):
    """Claims placed in the last `days` days, and what of them was redeemed and spent by now."""

    days: int
    claims: int
    redeemed: int
    cost_minor: int


class UsageView(msgspec.Struct, kw_only=True):
    """How a benefit was used: how lately, how often, at what cost in the programme's currency."""

    programme: str
    benefit: str
    last_claim_at: datetime
    open_orders: int
    windows: list[WindowView]


class SummaryView(msgspec.Struct, kw_only=True):
    """A member at a glance; `open_cases` counts them by kind."""

    member_id: UUID
    as_of: datetime
    closed: bool
    standings: list[StandingView]
    holdings: list[HoldingView]
    last_claim_at: datetime | None
    open_orders: int
    usage: list[UsageView]
    open_cases: dict[str, int]


@get(
    "/v1/members/{member_id:uuid}/summary",
    guards=[needs("crm", "relationship_manager", "operator", "auditor")],
    tags=["members"],
    operation_id="get_summary",
)
async def get_summary(member_id: FromPath[UUID], request: Request[Any, Any, Any]) -> SummaryView:
    """Return a member at a glance: tier and why, holdings, usage, what is open."""
    state = request.app.state
    async with state.database.transaction() as conn:
        found = await see(conn, [member_id], state.parts, claims=0)
        if member_id not in found:
            raise UnknownMember
        seen = found[member_id]
        now, shown = seen.now, overview(seen)
        instants = tuple(now - timedelta(days=days) for days in WINDOWS)
        standings = [
            await _standing(conn, seen, place, view)
            for place, view in zip(seen.overview.standings, shown.programmes, strict=True)
        ]
        used = await summary.usage(
            conn, seen.member_id, (instants[0], instants[1], instants[2]), [s.value for s in OPEN]
        )
        cases = await summary.open_cases(conn, seen.member_id)
    return SummaryView(
        member_id=seen.member_id,
        as_of=now,
        closed=_is_over(seen.overview.closed_on, seen.catalogue, now),
        standings=standings,
        holdings=[_holding(benefit, now) for benefit in shown.benefits],
        last_claim_at=max((one.last_claim_at for one in used), default=None),
        open_orders=sum(one.open_orders for one in used),
        usage=[_usage(one) for one in used],
        open_cases=cases,
    )


def _is_over(ended: date | None, catalogue: Catalogue, now: datetime) -> bool:
    """Say whether a relationship has ended, in every programme's zone."""
    zones = [programme.tz for programme in catalogue.programmes.values()]
    return ended is not None and all(ended < local_date(now, zone) for zone in zones)


async def _standing(
    conn: Connection, seen: Seen, place: Standing, shown: ProgrammeView
) -> StandingView:
    if shown.tier.rank == 0:
        return StandingView(programme=shown, keep=None)
    return StandingView(programme=shown, keep=await _keep(conn, seen, place, shown.tier.rank))


async def _keep(conn: Connection, seen: Seen, place: Standing, rank: int) -> KeepView:
    baskets, running = place.judge.baskets, place.running
    last, points = dict.fromkeys(baskets, 0), dict.fromkeys(baskets, 0)
    if place.day:
        day = place.month.start + timedelta(days=place.day - 1)
        for each in last:
            last[each] = await summary.balance(conn, seen.member_id, day=day, basket=each)
            if each.points:
                whole = await summary.balance(conn, seen.member_id, day=day, basket=each.whole)
                points[each] = whole - last[each]
        running = expecting(running, [points[each] for each in baskets])
    need, told = foretell(place.judge, rank, running, last_minor=[last[each] for each in baskets])
    return KeepView(
        way=need.way or None,
        threshold_minor=need.threshold_minor,
        needed_daily_minor=told.needed_daily_minor,
        projected_minor=told.projected_minor,
        outlook=told.outlook,
    )


def _holding(benefit: BenefitView, now: datetime) -> HoldingView:
    ends = [lot.expires_at for lot in benefit.lots if lot.expires_at and lot.available]
    soon = [lot for lot in benefit.lots if lot.expires_at and lot.expires_at <= now + SOON]
    return HoldingView(
        benefit=benefit.code,
        name=benefit.name,
        available=benefit.available,
        held=benefit.held,
        next_expiry=min(ends, default=None),
        expiring_30_days=sum(lot.available for lot in soon),
    )


def _usage(used: Used) -> UsageView:
    figures = zip(WINDOWS, used.claims, used.redeemed, used.cost_minor, strict=True)
    return UsageView(
        programme=used.programme,
        benefit=used.benefit,
        last_claim_at=used.last_claim_at,
        open_orders=used.open_orders,
        windows=[
            WindowView(days=days, claims=claims, redeemed=redeemed, cost_minor=cost)
            for days, claims, redeemed, cost in figures
        ],
    )


HANDLERS = [get_summary]
