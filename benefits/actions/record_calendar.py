"""Record which days a calendar says are business days; a re-run changes nothing (M-6)."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.actions.tell_news import tell
from benefits.domain import topics
from benefits.domain.calendar_lines import CalendarLine
from benefits.store import assets, calendars
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection


async def record_calendar(
    conn: Connection, name: str, lines: Sequence[tuple[int, CalendarLine]], parts: Parts
) -> ChunkResult:
    """Keep numbered lines, once; of two lines about one day the later one counts."""
    days = {line.day: line.kind for _, line in lines}
    await assets.alone(conn)
    new = await calendars.put(conn, name, days, parts.clock())
    await tell(conn, parts, ((topics.of_calendar(name), day) for day in new))
    return ChunkResult(len(new), len(lines) - len(new), [])
