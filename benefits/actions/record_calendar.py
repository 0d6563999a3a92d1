"""Record which days a calendar says are business days; a re-run changes nothing (M-6)."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.domain.calendar_lines import CalendarLine
from benefits.store import calendars
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection


async def record_calendar(
    conn: Connection, name: str, lines: Sequence[tuple[int, CalendarLine]], parts: Parts
) -> ChunkResult:
    """Keep numbered lines, once; of two lines about one day the later one counts."""
    days = {line.day: line.kind for _, line in lines}
    new = await calendars.put(conn, name, days, parts.clock())
    return ChunkResult(new, len(lines) - new, [])
