"""What the bank told beside feeds and rates that may change decided months, by topic and month.

News are numbered within their topic and the month from which on they matter. They count together
some while after the first of them, so that a long file is one news, or few; until then those
before them count. So no sum of numbers ever falls, and each news raises it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from benefits.domain.values import Month
from benefits.store.db import Connection, run

QUIET = timedelta(minutes=15)
# Whoever tells is alone (`assets.alone`), so rows need no order.
PUT = """
INSERT INTO evaluation_news AS e (topic, month, number, earlier, counts_at)
SELECT n.topic, n.month, 1, 0, $4 FROM unnest($1::text[], $2::date[]) AS n (topic, month)
ON CONFLICT (topic, month) DO UPDATE
SET number = e.number + 1,
    earlier = CASE WHEN e.counts_at <= $3 THEN e.number ELSE e.earlier END,
    counts_at = CASE WHEN e.counts_at <= $3 THEN excluded.counts_at ELSE e.counts_at END
"""


def counted(topics: str, now: str, month: str) -> str:
    """Return what gives how many news of topics count at an instant, that matter in a month.

    It is of the primary key.
    """
    return f"""coalesce((
    SELECT sum(CASE WHEN e.counts_at <= {now} THEN e.number ELSE e.earlier END)::bigint
    FROM evaluation_news AS e WHERE e.topic = ANY({topics}::text[]) AND e.month <= {month}), 0)"""


async def put(conn: Connection, news: Collection[tuple[str, Month]], now: datetime) -> None:
    """Keep that there are news of topics from months on; the caller is alone."""
    topics, months = [topic for topic, _ in news], [month.start for _, month in news]
    await run(conn, PUT, topics, months, now, now + QUIET)
