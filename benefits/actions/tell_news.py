"""Let the worker decide anew what concerns news that came beside feeds and rates (A-7)."""

from collections.abc import Iterable
from datetime import date

from benefits.actions.keep_tiers import HORIZON_MONTHS
from benefits.actions.parts import Parts
from benefits.domain.values import Month, local_date
from benefits.store import evaluation_news
from benefits.store.db import Connection


async def tell(
    conn: Connection,
    parts: Parts,
    news: Iterable[tuple[str, date]],
    *,
    opens_case: bool = False,
) -> None:
    """Keep news of topics that a programme asks for, from the months of days on.

    What lies behind the horizon counts from there on, but where it `opens_case`. The caller is
    alone.
    """
    catalogue, now = await parts.catalogue.current(conn), parts.clock()
    asked = {topic for rules in catalogue.rules.values() for topic in rules.topics}
    months = {(topic, Month.of(day)) for topic, day in news if topic in asked}
    if not months:
        return
    if not opens_case:
        begin = Month.of(local_date(now, catalogue.zone)).plus(-HORIZON_MONTHS)
        months = {(topic, max(month, begin)) for topic, month in months}
    await evaluation_news.put(conn, months, now)
