"""Let what members have follow a tier that falls, of lines that stack as well (P-6, P-7).

What a line alone loses hangs on its own quota. Of lines that stack as much stays as they still
bring beside the others, and who falls gets what then comes first: both come from one answer, of
what would be due if all that is free of the lines that fall were gone.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

from msgspec.structs import replace

from benefits.actions import top_up
from benefits.actions.follow_quota import Falling, Falls, falling, take_back
from benefits.actions.stack import Brought, Due, stacking_of
from benefits.domain import packages
from benefits.domain.downgrades import Change
from benefits.domain.packages import Start
from benefits.domain.programme import Programme
from benefits.domain.values import bucket_of, local_date
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
    ids = sorted({one.member_id for one in stack}, key=lambda id_: (bucket_of(id_), id_))
    before = await _brought(conn, programme, codes, ids, day=falls.day)
    before = replace(before, falling={one.place: one for one in stack})
    ranks = [(id_, falls.ranks[id_][1]) for id_ in ids]
    return await top_up.due(conn, programme, ranks, before, since=falls.day, now=now)


async def _brought(
    conn: Connection,
    programme: Programme,
    codes: Collection[str],
    ids: Sequence[UUID],
    *,
    day: date,
) -> Brought:
    """Read what lines of some benefits brought members, in the order of buckets and ids."""
    lines = [line for line in top_up.deciding(programme) if line.benefit in codes]
    whom = Whom((bucket_of(ids[0]), bucket_of(ids[-1])), ids)
    into = await merged.along(conn, ids)
    return await top_up.brought(conn, programme, lines, day, whom=whom, into=into)


async def in_turn(
    conn: Connection,
    journal: Journal,
    programme: Programme,
    held: tuple[UUID, int],
    *,
    gone: Sequence[ChangeRow],
    dues: Sequence[Due],
    on: date,
) -> list[Due]:
    """Return what is due to a member of a tier after units are `gone`, whichever took them (P-7).

    Lines that stack with theirs come to their turn; other lines' `dues` stay as they are.
    """
    lines = {line.code: programme.brought(line) for line in programme.line}
    items = (lines[one.line] for one in gone)
    codes = {item.code for item in items if not stacking_of(item).is_plain}
    if not codes:
        return list(dues)
    now, day = journal.now, local_date(journal.now, programme.tz)
    before = await _brought(conn, programme, codes, [held[0]], day=day)
    for one in gone:
        lot = journal.lots[one.lot_id]
        change = Change(
            lot_id=one.lot_id,
            taken=one.taken,
            quota=one.quota,
            at=one.changed_at,
            ends_at=lot.expires_at,
        )
        before.changes.setdefault((held[0], one.line, one.period), []).append(change)
    there = await top_up.due(conn, programme, [held], before, since=day, now=now)
    others = [due for due in dues if due.item.code not in codes]
    return [*others, *(due for due in there if due.whole and _comes(due, on))]


def _comes(due: Due, on: date) -> bool:
    """Say whether a line brings units now: with its period, or once that of the day is decided."""
    if due.line.start is Start.PERIOD:
        return True
    period = packages.period_at(due.line, on, on)  # of the calendar
    return period is not None and period.key == due.for_.period
