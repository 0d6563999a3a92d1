"""Reports over the whole ledger: totals, liability, vintages, as of a time (C-8, Q-6).

What a benefit belongs to and costs is told by the programmes as they stood at `known_at`, so that
an answer that is not provisional stays the same for ever (I11).
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from benefits.actions.parts import Parts
from benefits.domain import reports
from benefits.domain.catalogue import Catalogue
from benefits.domain.past import Bounds, until
from benefits.domain.reports import (
    By,
    CostLine,
    LiabilityLine,
    LiabilitySum,
    TotalLine,
    Units,
    VintageLine,
)
from benefits.domain.values import Month, midnight
from benefits.store import catalogue, months, past
from benefits.store import costs as of_lines
from benefits.store import totals as sums
from benefits.store.db import Connection, Database
from benefits.store.months import Closed

Line_co = TypeVar("Line_co", covariant=True)


class Report(msgspec.Struct, Generic[Line_co], frozen=True, kw_only=True):
    """Lines in a fixed order, as of when, and whether they may still change."""

    as_of: datetime
    known_at: datetime
    provisional: bool
    lines: Sequence[Line_co]
    added: Sequence[LiabilitySum] = ()


async def bounds_of(
    conn: Connection, parts: Parts, as_of: str | None, known_at: str | None
) -> Bounds:
    """Return what a caller asks about; days end in the zone of the books (TimeInvalid)."""
    zone = (await parts.catalogue.current(conn)).zone
    return Bounds(until(as_of, zone), until(known_at, zone), parts.clock())


async def totals(conn: Connection, parts: Parts, bounds: Bounds, by: By) -> Report[TotalLine]:
    """Return the balance of every account, added up by what it belongs to."""
    provisional = await past.is_provisional(conn, bounds)
    known = await _catalogue(conn, parts, bounds)
    found = await sums.totals(conn, bounds)
    balances = [(s.unit, s.party, s.account, s.amount) for s in found]
    lines = reports.total_lines(known, by, balances)
    return _report(bounds, lines, provisional=provisional)


async def liability(
    conn: Connection, parts: Parts, bounds: Bounds, by: By
) -> Report[LiabilityLine]:
    """Return outstanding units and what they cost at most."""
    provisional = await past.is_provisional(conn, bounds)
    known = await _catalogue(conn, parts, bounds)
    found = await sums.totals(conn, bounds)
    balances = [(s.unit, s.party, s.account, s.amount) for s in found]
    lines, added = reports.liability_lines(known, by, balances)
    return _report(bounds, lines, provisional=provisional, added=added)


async def vintages(
    conn: Connection, parts: Parts, bounds: Bounds, expected_use: Decimal | None
) -> Report[VintageLine]:
    """Return the units of each benefit and month of grant; an estimate of use may be given."""
    provisional = await past.is_provisional(conn, bounds)
    known = await _catalogue(conn, parts, bounds)
    units = dict[tuple[str, Month], Units]()
    for one in await sums.vintages(conn, bounds, known.zone):
        place = (one.unit, Month.of(one.month))
        units.setdefault(place, Units()).add(one.account, one.amount, over=one.over)
    lines = reports.vintage_lines(known, units, expected_use)
    return _report(bounds, lines, provisional=provisional)


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What units cost in a month of the books; `provisional` until the month is closed."""

    month: Month
    provisional: bool
    lines: Sequence[CostLine]


async def costs(conn: Connection, parts: Parts, month: Month) -> Costs:
    """Return what was spent in a month by line and cost centre, net of what came back (P-7).

    Cost centres are told by the programmes as they stood at the month's end.
    """
    closed = await months.last_closed(conn)
    known = await parts.catalogue.current(conn)
    ended = midnight(month.end, known.zone)
    if ended <= parts.clock():
        known = await catalogue.as_known(conn, ended)
    spent = [msgspec.structs.astuple(one) for one in await of_lines.spent(conn, month)]
    return Costs(
        month=month,
        provisional=closed is None or closed < month,
        lines=reports.cost_lines(known, spent),
    )


async def months_by_page(
    database: Database, before: Month | None, size: int
) -> AsyncIterator[Sequence[Closed]]:
    """Yield closed months before one, the latest first, so many at a time.

    Each page is read when it is wanted: what is closed stays as it is, and what is closed
    meanwhile comes before all of it.
    """
    while True:
        async with database.transaction() as conn:
            page = await months.closed(conn, before, limit=size)
        if page:
            yield page
            before = page[-1].month
        if len(page) < size:
            return


def csv_of(kind: type[msgspec.Struct], found: Report[msgspec.Struct]) -> Iterator[str]:
    """Yield a report as CSV, some lines at a time; each line tells as of when."""
    return reports.csv_chunks(
        kind,
        found.lines,
        as_of=instant(found.as_of),
        known_at=instant(found.known_at),
        provisional=str(found.provisional).lower(),
    )


def costs_csv(found: Costs) -> Iterator[str]:
    """Yield what a month cost as CSV, some lines at a time."""
    provisional = str(found.provisional).lower()
    return reports.csv_chunks(
        CostLine, found.lines, month=str(found.month), provisional=provisional
    )


def instant(at: datetime) -> str:
    """Return an instant as text, in UTC."""
    return at.isoformat().replace("+00:00", "Z")


async def _catalogue(conn: Connection, parts: Parts, bounds: Bounds) -> Catalogue:
    if bounds.known_at is None:
        return await parts.catalogue.current(conn)
    return await catalogue.as_known(conn, bounds.known_at)


def _report(
    bounds: Bounds,
    lines: Sequence[Line_co],
    *,
    provisional: bool,
    added: Sequence[LiabilitySum] = (),
) -> Report[Line_co]:
    return Report(
        as_of=bounds.ends,
        known_at=bounds.known_at or bounds.now,
        provisional=provisional,
        lines=lines,
        added=added,
    )
