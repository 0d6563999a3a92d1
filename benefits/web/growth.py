"""By how much members' averages grew over a baseline that was frozen before (M-12)."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.params import FromPath, FromQuery, QueryParameter

from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.measure_growth import GrownMember, Place, UnknownBaseline, growth_page
from benefits.domain.growth import read_steps
from benefits.domain.values import Month
from benefits.store import baselines
from benefits.web import cursors
from benefits.web.auth import needs
from benefits.web.feeds import MONTH

PAGE_MAX = 1000


class GrownView(msgspec.Struct, kw_only=True):
    """A member's growth: averages in minor units, floored for showing, and known days.

    `reached` counts the steps that are certain, `possible` those that missing days do not exclude.
    Who is not `base_frozen` reaches none for certain. Where people filled in days it is
    `provisional`.
    """

    member_id: UUID
    base_minor: int
    base_frozen: bool
    average_minor: int
    known_days: int
    days: int
    growth_minor: int
    reached: int
    possible: int
    provisional: bool


class GrowthView(msgspec.Struct, kw_only=True):
    """A page of members by their growth from `base_month` to `month`.

    It may have fewer than `limit`, even none, while `next` is the cursor of the next page.
    """

    baseline: str
    base_month: str
    month: str
    members: list[GrownView]
    next: str | None


@get(
    "/v1/programmes/{programme:str}/growth",
    guards=[needs("crm", "operator", "auditor")],
    tags=["members"],
    operation_id="get_growth",
)
async def get_growth(
    programme: FromPath[str],
    request: Request[Any, Any, Any],
    *,
    baseline: Annotated[str, QueryParameter(pattern=r"\A[a-z0-9_-]{1,64}\Z")],
    month: Annotated[str, QueryParameter(pattern=MONTH)],
    steps: Annotated[str, QueryParameter(max_length=400)] = "",
    follow_corrections: FromQuery[bool] = False,
    everybody: FromQuery[bool] = False,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
) -> GrowthView:
    """Return by how much members' averages grew from the baseline's month to another one.

    Told are those who can still reach the first of the `steps`, all without steps or with
    `everybody`. Each page is as of when it is read.
    """
    state, options = request.app.state, (follow_corrections, everybody)
    kind = f"growth {programme} {baseline} {month} {steps} {options}"
    place = cursors.read(kind, cursor, Place)
    async with state.database.transaction() as conn:
        catalogue = await state.parts.catalogue.current(conn)
        one = await baselines.find(conn, baseline)
    if programme not in catalogue.programmes:
        raise UnknownProgramme
    if one is None or one.programme != programme:
        raise UnknownBaseline
    page = await growth_page(
        state.database,
        state.parts,
        baseline,
        Month.parse(month),
        steps=read_steps(steps, catalogue.programmes[programme]),
        place=place or Place(),
        limit=limit,
        is_corrected=follow_corrections,
        is_all=everybody,
    )
    following = cursors.write(kind, page.following) if page.following else None
    return GrowthView(
        baseline=baseline,
        base_month=str(one.month),
        month=month,
        members=[_view(each) for each in page.members],
        next=following,
    )


def _view(told: GrownMember) -> GrownView:
    grown = told.grown
    return GrownView(
        member_id=told.member_id,
        base_minor=grown.base.measure.average.__floor__(),
        base_frozen=grown.base.is_frozen,
        average_minor=grown.now.average.__floor__(),
        known_days=grown.now.known_days,
        days=grown.now.days,
        growth_minor=grown.growth_minor,
        reached=grown.reached,
        possible=grown.possible,
        provisional=grown.provisional,
    )


HANDLERS = [get_growth]
