"""Finance and audit: totals, liability, vintages, costs, months, as JSON or CSV (Q-6, L-11)."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Request, Response, get
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from benefits.actions import report
from benefits.actions.parts import Parts
from benefits.actions.report import Report, bounds_of, csv_of, instant
from benefits.domain.catalogue import Catalogue
from benefits.domain.past import Bounds
from benefits.domain.reports import (
    By,
    CostLine,
    LiabilityLine,
    LiabilitySum,
    TotalLine,
    VintageLine,
    amount_of,
    csv_chunks,
)
from benefits.domain.values import Month
from benefits.store import months
from benefits.store.db import Connection, Database
from benefits.store.months import Closed
from benefits.web import cursors
from benefits.web.auth import needs
from benefits.web.problems import CursorInvalid

SCOPES = ("operator", "approver", "auditor")
CSV = "text/csv"
PAGE_MAX = 120
LINES_MAX = 1000
MONTHS_HELD = 12
Format = Literal["json", "csv"]
TotalsBy = Literal["unit", "benefit", "programme", "provider", "cost_centre"]
LiabilityBy = Literal["benefit", "programme", "provider", "cost_centre"]
Share = Annotated[str | None, QueryParameter(pattern=r"\A(0(\.[0-9]{1,6})?|1(\.0{1,6})?)\Z")]


InMonth = Annotated[str, QueryParameter(pattern=r"\A20[0-9]{2}-(0[1-9]|1[0-2])\Z")]
Limit = Annotated[int, QueryParameter(ge=1, le=LINES_MAX)]


class _Place(msgspec.Struct, frozen=True):
    """Where a reader of a report stands: what counts for all its pages, and the next line."""

    known_at: datetime
    now: datetime
    first: Annotated[int, msgspec.Meta(ge=1)]


class _ReportView(msgspec.Struct, kw_only=True):
    as_of: datetime
    known_at: datetime
    provisional: bool
    next: str | None


class _CostPlace(msgspec.Struct, frozen=True):
    """The line of a month's costs that a reader has seen last."""

    after: tuple[str, str, str, str, str, str]


class TotalsView(_ReportView, kw_only=True):
    """Balances of all accounts; those of one key and unit sum to zero, over all pages."""

    lines: list[TotalLine]


class LiabilityView(_ReportView, kw_only=True):
    """Outstanding units by benefit; `sums` adds those of all pages up by what was asked for."""

    lines: list[LiabilityLine]
    sums: list[LiabilitySum]


class VintagesView(_ReportView, kw_only=True):
    """Units by benefit and month of grant."""

    lines: list[VintageLine]


class CostsView(msgspec.Struct, kw_only=True):
    """What units cost in a month of the books, by cost centre and line.

    It is `provisional` until the month is closed.
    """

    month: str
    provisional: bool
    lines: list[CostLine]
    next: str | None


class MonthTotalView(msgspec.Struct, kw_only=True):
    """What was booked in a month to an account; `party` is the budget or provider of money."""

    unit: str
    party: str
    account: str
    amount: str
    currency: str


class MonthView(msgspec.Struct, kw_only=True):
    """A closed month: its totals never change."""

    month: str
    closed_at: datetime
    closed_by: str
    totals: list[MonthTotalView]


class MonthsView(msgspec.Struct, kw_only=True):
    """Closed months, the latest first, and the first that is open once one was closed."""

    open_month: str | None
    months: list[MonthView]
    next: str | None


class _MonthLine(msgspec.Struct):
    month: str
    unit: str
    party: str
    account: str
    amount: str
    currency: str
    closed_at: str
    closed_by: str


def _wants_csv(request: Request[Any, Any, Any], asked: Format | None) -> bool:
    if asked is not None:
        return asked == "csv"
    return CSV in request.headers.get("accept", "")


def _csv(chunks: AsyncIterator[bytes], name: str) -> Response[Any]:
    """Answer with CSV, which is written while it is read."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Vary": "Accept"}
    return Stream(chunks, media_type=f"{CSV}; charset=utf-8", headers=headers)


async def _sent(chunks: Iterable[str]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk.encode()


async def _months_sent(
    database: Database, before: Month | None, catalogue: Catalogue
) -> AsyncIterator[bytes]:
    """Give months as CSV, of which no more than a page is held."""
    (header,) = csv_chunks(_MonthLine, ())
    yield header.encode()
    async for page in report.months_by_page(database, before, MONTHS_HELD):
        lines = _month_lines([_month_view(one, catalogue) for one in page])
        _, *chunks = csv_chunks(_MonthLine, lines)
        for chunk in chunks:
            yield chunk.encode()


async def _bounds(
    conn: Connection,
    parts: Parts,
    as_of: str | None,
    known_at: str | None,
    *,
    place: _Place | None,
) -> Bounds:
    """Return what is asked about; later pages are of what was known when the first was read."""
    asked = await bounds_of(conn, parts, as_of, known_at)
    return asked if place is None else Bounds(asked.as_of, place.known_at, place.now)


Line = TypeVar("Line")


def _page(
    kind: str, found: Report[Line], bounds: Bounds, *, place: _Place | None, limit: int
) -> tuple[list[Line], str | None]:
    """Return the lines of a page, and the cursor of the next."""
    first = place.first if place else 0
    beyond = first + limit
    following = None
    if beyond < len(found.lines):
        following = cursors.write(kind, _Place(found.known_at, bounds.now, beyond))
    return list(found.lines[first:beyond]), following


@get("/v1/ledger/totals", guards=[needs(*SCOPES)], tags=["ledger"], operation_id="get_totals")
async def get_totals(
    request: Request[Any, Any, Any],
    *,
    by: FromQuery[TotalsBy] = "unit",
    as_of: FromQuery[str | None] = None,
    known_at: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = LINES_MAX,
    format_: Annotated[Format | None, QueryParameter(name="format")] = None,
) -> Response[TotalsView]:
    """Return the balance of every account over all members, at a time, as known at another.

    All pages are of one moment. As CSV the lines come whole, whatever the `limit`.
    """
    state, kind = request.app.state, f"totals {by} {as_of} {known_at}"
    place = cursors.read(kind, cursor, _Place)
    async with state.database.transaction() as conn:
        bounds = await _bounds(conn, state.parts, as_of, known_at, place=place)
        found = await report.totals(conn, state.parts, bounds, By(by))
    if _wants_csv(request, format_):
        return _csv(_sent(csv_of(TotalLine, found)), "totals")
    lines, following = _page(kind, found, bounds, place=place, limit=limit)
    return Response(
        TotalsView(
            as_of=found.as_of,
            known_at=found.known_at,
            provisional=found.provisional,
            next=following,
            lines=lines,
        )
    )


@get(
    "/v1/ledger/liability",
    guards=[needs(*SCOPES)],
    tags=["ledger"],
    operation_id="get_liability",
)
async def get_liability(
    request: Request[Any, Any, Any],
    *,
    by: FromQuery[LiabilityBy] = "benefit",
    as_of: FromQuery[str | None] = None,
    known_at: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = LINES_MAX,
    format_: Annotated[Format | None, QueryParameter(name="format")] = None,
) -> Response[LiabilityView]:
    """Return the units that members may still use, and what these cost at most.

    All pages are of one moment. As CSV the lines come whole, whatever the `limit`.
    """
    state, kind = request.app.state, f"liability {by} {as_of} {known_at}"
    place = cursors.read(kind, cursor, _Place)
    async with state.database.transaction() as conn:
        bounds = await _bounds(conn, state.parts, as_of, known_at, place=place)
        found = await report.liability(conn, state.parts, bounds, By(by))
    if _wants_csv(request, format_):
        return _csv(_sent(csv_of(LiabilityLine, found)), "liability")
    lines, following = _page(kind, found, bounds, place=place, limit=limit)
    return Response(
        LiabilityView(
            as_of=found.as_of,
            known_at=found.known_at,
            provisional=found.provisional,
            next=following,
            lines=lines,
            sums=list(found.added),
        )
    )


@get(
    "/v1/ledger/vintages",
    guards=[needs(*SCOPES)],
    tags=["ledger"],
    operation_id="get_vintages",
)
async def get_vintages(
    request: Request[Any, Any, Any],
    *,
    expected_use: Share = None,
    as_of: FromQuery[str | None] = None,
    known_at: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = LINES_MAX,
    format_: Annotated[Format | None, QueryParameter(name="format")] = None,
) -> Response[VintagesView]:
    """Return what became of the units of each benefit and month of grant, and what is expected.

    The share of outstanding units that will be used is `expected_use`, or observed of ended ones.
    All pages are of one moment. As CSV the lines come whole, whatever the `limit`.
    """
    state, kind = request.app.state, f"vintages {expected_use} {as_of} {known_at}"
    place = cursors.read(kind, cursor, _Place)
    use = Decimal(expected_use) if expected_use is not None else None
    async with state.database.transaction() as conn:
        bounds = await _bounds(conn, state.parts, as_of, known_at, place=place)
        found = await report.vintages(conn, state.parts, bounds, use)
    if _wants_csv(request, format_):
        return _csv(_sent(csv_of(VintageLine, found)), "vintages")
    lines, following = _page(kind, found, bounds, place=place, limit=limit)
    return Response(
        VintagesView(
            as_of=found.as_of,
            known_at=found.known_at,
            provisional=found.provisional,
            next=following,
            lines=lines,
        )
    )


@get("/v1/ledger/costs", guards=[needs(*SCOPES)], tags=["ledger"], operation_id="get_costs")
async def get_costs(
    request: Request[Any, Any, Any],
    *,
    month: InMonth,
    cursor: FromQuery[str | None] = None,
    limit: Limit = LINES_MAX,
    format_: Annotated[Format | None, QueryParameter(name="format")] = None,
) -> Response[CostsView]:
    """Return what was spent in a month, net of what came back, by cost centre and line.

    As CSV the lines come whole, whatever the `limit`.
    """
    state, kind = request.app.state, f"costs {month}"
    place = cursors.read(kind, cursor, _CostPlace)
    async with state.database.transaction() as conn:
        found = await report.costs(conn, state.parts, Month.parse(month))
    if _wants_csv(request, format_):
        return _csv(_sent(report.costs_csv(found)), "costs")
    left = [one for one in found.lines if place is None or one.place > place.after]
    lines, more = left[:limit], len(left) > limit
    return Response(
        CostsView(
            month=month,
            provisional=found.provisional,
            next=cursors.write(kind, _CostPlace(lines[-1].place)) if more else None,
            lines=lines,
        )
    )


@get("/v1/ledger/months", guards=[needs(*SCOPES)], tags=["ledger"], operation_id="get_months")
async def get_months(
    request: Request[Any, Any, Any],
    *,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 12,
    format_: Annotated[Format | None, QueryParameter(name="format")] = None,
) -> Response[MonthsView]:
    """Return closed months with what was booked in each, the latest first.

    As CSV they come whole, whatever the `limit`.
    """
    state, as_csv = request.app.state, _wants_csv(request, format_)
    before = _month(cursors.read("months", cursor, str))
    async with state.database.transaction() as conn:
        catalogue = await state.parts.catalogue.current(conn)
        books = await months.books(conn)
        found = [] if as_csv else await months.closed(conn, before, limit=limit + 1)
    if as_csv:
        return _csv(_months_sent(state.database, before, catalogue), "months")
    views = [_month_view(one, catalogue) for one in found[:limit]]
    more = len(found) > limit
    return Response(
        MonthsView(
            open_month=str(books.open_month) if books.open_month > months.FIRST else None,
            months=views,
            next=cursors.write("months", views[-1].month) if more else None,
        )
    )


def _month_view(closed: Closed, catalogue: Catalogue) -> MonthView:
    totals = list[MonthTotalView]()
    for one in closed.totals:
        amount, currency = amount_of(catalogue, one.unit, one.amount)
        totals.append(
            MonthTotalView(
                unit=one.unit,
                party=one.party,
                account=one.account,
                amount=amount,
                currency=currency,
            )
        )
    return MonthView(
        month=str(closed.month),
        closed_at=closed.closed_at,
        closed_by=closed.actor,
        totals=totals,
    )


def _month_lines(views: list[MonthView]) -> list[_MonthLine]:
    return [
        _MonthLine(
            one.month,
            t.unit,
            t.party,
            t.account,
            t.amount,
            t.currency,
            instant(one.closed_at),
            one.closed_by,
        )
        for one in views
        for t in one.totals
    ]


def _month(text: str | None) -> Month | None:
    try:
        return None if text is None else Month.parse(text)
    except ValueError:
        raise CursorInvalid from None


HANDLERS = [get_totals, get_liability, get_vintages, get_costs, get_months]
