"""Calendars of business days: what is said of a day is added to; what came last counts (M-6)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from benefits.domain.calendars import Calendar, DayKind
from benefits.store.db import Connection, rows, run

# Primary key. Of a day what was recorded last counts.
CURRENT = """
SELECT DISTINCT ON (d.calendar, d.day) d.calendar, d.day, d.kind FROM calendar_day AS d
WHERE $1::timestamptz IS NULL OR d.recorded_at <= $1
ORDER BY d.calendar, d.day, d.recorded_at DESC
"""
# Who reads the configuration notices; and one at a time compares and adds.
LOCK = "SELECT config_version FROM installation FOR UPDATE"
BUMP = "UPDATE installation SET config_version = config_version + 1"
PUT = """
INSERT INTO calendar_day (calendar, day, recorded_at, kind)
SELECT $1, n.day, greatest($2, l.recorded_at + interval '1 microsecond'), n.kind
FROM unnest($3::date[], $4::text[]) AS n (day, kind)
LEFT JOIN LATERAL (
    SELECT d.recorded_at, d.kind FROM calendar_day AS d
    WHERE d.calendar = $1 AND d.day = n.day ORDER BY d.recorded_at DESC LIMIT 1) AS l ON true
WHERE l.kind IS DISTINCT FROM n.kind
RETURNING day
"""


async def current(conn: Connection) -> dict[str, Calendar]:
    """Return the calendars by name."""
    return await as_known(conn, None)


async def as_known(conn: Connection, known_at: datetime | None) -> dict[str, Calendar]:
    """Return the calendars as they were known at an instant, or as they are."""
    days = dict[str, dict[date, DayKind]]()
    for row in await rows(conn, CURRENT, known_at):
        days.setdefault(row.calendar, {})[row.day] = DayKind(row.kind)
    return {name: Calendar(kinds) for name, kinds in days.items()}


async def put(
    conn: Connection, name: str, days: Mapping[date, DayKind], now: datetime
) -> list[date]:
    """Add what a calendar says of days where it says something new; return which."""
    await rows(conn, LOCK)
    kinds: Sequence[str] = [kind.value for kind in days.values()]
    added = [row.day for row in await rows(conn, PUT, name, now, list(days), kinds)]
    if added:
        await run(conn, BUMP)
    return added
