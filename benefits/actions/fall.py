"""Let what members have follow a tier that falls, of lines that stack as well (P-6, P-7).

What a line alone loses hangs on its own quota. Of lines that stack as much stays as they still
bring beside the others, and who falls gets what then comes first: both come from one answer, of
what would be due if all that is free of the lines that fall were gone.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime

from msgspec.structs import replace

from benefits.actions import top_up
from benefits.actions.follow_quota import Falling, Falls, falling, take_back
from benefits.actions.stack import Due, stacking_of
from benefits.domain import packages
from benefits.domain.packages import Start
from benefits.domain.programme import Programme
from benefits.domain.values import bucket_of
from benefits.store import merged
from benefits.store.db import Connection
from benefits.store.facts import Whom
from benefits.store.ledger import Journal
from benefits.store.quota_changes import ChangeRow


async def fall(
    conn: Connection,
    journal: Journal,
    programme: Programme,
    falls: Falls,
    *,
    dues: Sequence[Due],
    on: date,
    now: datetime,
) -> tuple[list[Due], list[ChangeRow]]:
    """Take what falls take of members who are locked; return what is due then, and what went.

    `dues` are what is due of the periods of a day, as if nobody fell.
    """
    found = await falling(conn, journal, programme, falls, now=now)
    stack = [one for one in found if not stacking_of(one.item).is_plain]
    stays = {one.place: 0 for one in stack}
    due = list(dues)
    if stack:
        there = await _due(conn, programme, falls, stack, now=now)
        stays |= {one.place: one.stays for one in there if one.place in stays}
        settled = {(one.member_id, one.item.code, one.period) for one in stack}
        due = [one for one in due if one.stack not in settled]
        due += [one for one in there if one.stack in settled and _comes(one, on)]
    taken = take_back(journal, programme.code, found, stays, now=now)
    return [replace(one, stays=0) for one in due if one.whole], taken


async def _due(
    conn: Connection,
    programme: Programme,
    falls: Falls,
    stack: Collection[Falling],
    *,
    now: datetime,
) -> list[Due]:
    """Return what stays of lines that stack and fall, and what is due of all lines beside them."""
    codes = {one.item.code for one in stack}
    lines = [line for line in top_up.deciding(programme) if line.benefit in codes]
    ids = sorted({one.member_id for one in stack}, key=lambda id_: (bucket_of(id_), id_))
    whom = Whom((bucket_of(ids[0]), bucket_of(ids[-1])), ids)
    into = await merged.along(conn, ids)
    before = await top_up.brought(conn, programme, lines, falls.day, whom=whom, into=into)
    before = replace(before, falling={one.place: one for one in stack})
    ranks = [(id_, falls.ranks[id_][1]) for id_ in ids]
    return await top_up.due(conn, programme, ranks, before, since=falls.day, now=now)


def _comes(due: Due, on: date) -> bool:
    """Say whether a line brings units now: with its period, or once that of the day is decided."""
    if due.line.start is Start.PERIOD:
        return True
    period = packages.period_at(due.line, on, on)
    return period is not None and period.key == due.for_.period
