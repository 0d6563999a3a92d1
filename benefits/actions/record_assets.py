"""Record day-end balances and keep the month sums, in one transaction a chunk (A-1, A-6, A-7)."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.actions.tell_news import tell
from benefits.domain import topics
from benefits.domain.assets import AssetLine
from benefits.domain.values import member_ids
from benefits.store import assets
from benefits.store.assets import ChunkResult, Ready
from benefits.store.db import Connection


def ready_assets(lines: Sequence[tuple[int, AssetLine]], member_key: bytes) -> Ready:
    """Make numbered lines ready to be recorded, which needs no database."""
    return assets.ready(lines, member_ids({line.customer for _, line in lines}, member_key))


async def record_assets(conn: Connection, made: Ready, parts: Parts) -> ChunkResult:
    """Keep lines that are ready, once; the result names those that were refused and why."""
    result = await assets.put(conn, made, parts.clock)
    if result.kept:
        days = {(topics.of_balances(line.currency), line.as_of) for _, line in made.lines}
        await tell(conn, parts, days, opens_case=True)
    return result
