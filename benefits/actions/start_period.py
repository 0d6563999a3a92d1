"""Start periods: bring each member the units of a period on its first day (P-3).

    a day begins  ->  the programme's run: lease, some buckets, advance

Lines that `start` with the period do not wait until the month before is decided: they bring what
the tier brings that is held on the day, or the segment whose label is carried on it. A run is of
all periods that began since the run before it, so that no day is left out. Whoever leases it next
goes on where the last part ended, and what was done twice grants nothing. Members are read
without locks; those for whom units are due are locked, looked at again and written, some hundred
a transaction. The command takes the same lease, begins anew, and looks at all members.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.actions import top_up
from benefits.actions.evaluate import PAGE, UnknownProgramme
from benefits.actions.parts import Parts
from benefits.actions.share import LEASE, LONG_LEASE, Part, do_next, do_until
from benefits.actions.stack import Due
from benefits.domain import packages
from benefits.domain.refusal import Refusal
from benefits.domain.values import bucket_of, end_of, local_date
from benefits.store import members, merged, period_runs
from benefits.store.db import Connection, Database
from benefits.store.facts import Whom
from benefits.store.ledger import Journal
from benefits.store.period_runs import Leased, Run

PART = 2000  # members; the worker's other steps go on between parts


class PeriodStarting(Refusal):
    """Somebody else starts the periods of this programme at the moment."""

    code = "period_starting"
    words = "The periods of this programme are being started by another process."


class Begun(msgspec.Struct, frozen=True):
    """How many members were looked at, and how many grants they got."""

    members: int = 0
    grants: int = 0

    def plus(self, other: "Begun") -> "Begun":
        """Return the two together."""
        return Begun(self.members + other.members, self.grants + other.grants)


async def start_next(database: Database, parts: Parts) -> Part[Leased, Begun] | None:
    """Start periods in the next part of a run that is due; None when there is none."""

    async def lease(conn: Connection) -> Leased | None:
        now = parts.clock()
        catalogue = (await parts.catalogue.plan(conn)).at(now)
        for code, programme in catalogue.programmes.items():
            if packages.starting(programme.line):
                day = local_date(now, programme.tz)
                run = Run(code, day, catalogue.programme_versions[code])
                leased = await period_runs.lease_due(conn, run, now, now + LEASE)
                if leased is not None:
                    return leased
        return None

    return await do_next(database, parts, lease, start, members=PART)


async def begin(database: Database, parts: Parts, code: str) -> Leased:
    """Take today's run from its first bucket on, of all members (PeriodStarting)."""

    async def take(conn: Connection) -> Leased | None:
        now = parts.clock()
        catalogue = (await parts.catalogue.plan(conn)).at(now)
        if code not in catalogue.programmes:
            raise UnknownProgramme
        day = local_date(now, catalogue.programmes[code].tz)
        run = Run(code, day, catalogue.programme_versions[code])
        return await period_runs.lease(conn, run, now, now + LONG_LEASE, anew=True)

    leased = await database.transact(take)
    if leased is None:
        raise PeriodStarting
    return leased


async def go_on(database: Database, parts: Parts, leased: Leased, end: int) -> Part[Leased, Begun]:
    """Start periods up to a bucket and keep the run (PeriodStarting).

    What cannot be done, or is stopped, gives the run back.
    """
    return await do_until(database, parts, leased, start, end=end, lost=PeriodStarting)


class _Wanted(msgspec.Struct, frozen=True):
    """How many members were looked at, and what is due to them."""

    members: int = 0
    dues: Sequence[Due] = ()


async def start(
    database: Database, parts: Parts, leased: Leased, buckets: tuple[int, int]
) -> Begun:
    """Bring the members of some buckets what is due to them of a run's periods (P-3)."""

    async def look(conn: Connection) -> _Wanted:
        return await _wanted(conn, parts, leased, Whom(buckets))

    wanted = await database.transact(look)
    left = sorted({due.member_id for due in wanted.dues}, key=lambda id_: (bucket_of(id_), id_))
    grants = 0
    for wait in (False, True):  # for those whom somebody else holds: after all the others
        busy = list[UUID]()
        for first in range(0, len(left), PAGE):
            page = left[first : first + PAGE]

            async def write(
                conn: Connection, page: Sequence[UUID] = page, *, wait: bool = wait
            ) -> tuple[set[UUID], int]:
                return await _write(conn, parts, leased, page, wait=wait)

            seen, given = await database.transact(write)
            busy += [id_ for id_ in page if id_ not in seen]
            grants += given
        left = busy
    return Begun(wanted.members, grants)


async def _wanted(conn: Connection, parts: Parts, leased: Leased, whom: Whom) -> _Wanted:
    """Compare what tiers bring in periods that begin, and on days missed, with what was given."""
    programme = (await parts.catalogue.current(conn)).programmes[leased.programme]
    lines, now = packages.starting(programme.line), parts.clock()
    begin = packages.beginning(lines, leased.after, leased.day)
    held = await period_runs.held(conn, leased, programme.tz, whom, begin=begin, now=now)
    if begin.month_days is not None:
        ids = [one.member_id for one in held]
        whom = Whom(whom.buckets, ids)
    into = await merged.along(conn, [one.member_id for one in held if one.has_merged])
    days = [(leased.day, lines, held)]
    still = {one.member_id for one in held}
    for day, some in packages.missed(lines, leased.after, leased.day):
        run, last = replace(leased, day=day), end_of(day, programme.tz) - timedelta.resolution
        then = await period_runs.held(conn, run, programme.tz, whom, begin=begin, now=last)
        days.append((day, some, [one for one in then if one.member_id in still]))
    found = list[Due]()
    for day, some, those in days:
        ranks = [(one.member_id, one.rank) for one in those]
        since = {
            one.member_id: local_date(one.since, programme.tz) if one.since else one.opened_on
            for one in those
        }
        before = await top_up.brought(conn, programme, some, day, whom=whom, into=into)
        found += await top_up.due(conn, programme, ranks, before, since=since, now=now)
    return _Wanted(len(held), found)


async def _write(
    conn: Connection, parts: Parts, leased: Leased, page: Sequence[UUID], *, wait: bool
) -> tuple[set[UUID], int]:
    """Look again at members of a page, under their locks, and write; return who they were."""
    locked = await members.lock(conn, page, wait=wait)
    if not locked:
        return set(), 0
    ids = sorted(locked, key=lambda id_: (bucket_of(id_), id_))
    whom = Whom((bucket_of(ids[0]), bucket_of(ids[-1])), ids)
    wanted = await _wanted(conn, parts, leased, whom)
    journal = Journal(locked, parts.clock(), parts.new_id)
    added = await top_up.add_due(conn, journal, wanted.dues, actor="system:start-period")
    await journal.write(conn)
    await top_up.put(conn, added)
    return {*locked}, len(added.grants)
