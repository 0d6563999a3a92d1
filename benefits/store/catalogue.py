"""Programmes as stored: immutable versions of documents, cached by configuration version (U-1)."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.benefit import Benefit
from benefits.domain.calendars import NO_CALENDAR, Calendar
from benefits.domain.catalogue import Catalogue, Judge, Plan, Rules
from benefits.domain.dating import (
    Dated,
    first_month,
    in_force,
    judging,
    kept,
    not_before,
    stays,
    until,
    withdrawn,
)
from benefits.domain.endings import LAST_INSTANT
from benefits.domain.entitlement import budget_counter, stock_counter
from benefits.domain.packages import Line
from benefits.domain.programme import Programme
from benefits.domain.values import Clock, Month, local_date
from benefits.domain.welcome import Welcome, Welcoming
from benefits.store import calendars
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection, rows, run

# What this transaction wrote may be undone, and its numbers may come to mean something else.
_IS_OWN = "(xmin = pg_current_xact_id_if_assigned()::xid) IS TRUE"
VERSION = f"SELECT config_version, {_IS_OWN} FROM installation"
STAMP = "SELECT stamp FROM installation"
# Few, and without their documents: from them follows which of these are needed.
DATED = """
SELECT p.code, p.version, p.applied_at, p.effective_from, p.tiers_from
FROM programme AS p WHERE p.applied_at < $1 OR $1 IS NULL ORDER BY p.code, p.version
"""
SOME = """
SELECT p.code, p.version, p.document FROM programme AS p
JOIN unnest($1::text[], $2::int[]) AS w (code, version)
  ON w.code = p.code AND w.version = p.version
"""
# Few versions welcome anybody; of the others the document is looked through, and not read.
WELCOMES = """
SELECT p.code, p.version, p.document::json #>> '{policy,welcome}' AS welcome FROM programme AS p
WHERE p.document LIKE '%"welcome":{%'
"""
ONE = f"SELECT document, {_IS_OWN} FROM programme WHERE code = $1 AND version = $2"
LOCK_VERSION = "SELECT config_version FROM installation FOR UPDATE"
DIGEST = "SELECT p.digest FROM programme AS p WHERE p.code = $1 AND p.version = $2"
BUDGETS = """
SELECT DISTINCT b.one ->> 'code' AS budget, p.code
FROM programme AS p
CROSS JOIN LATERAL json_array_elements(p.document::json -> 'budget') AS b (one)
WHERE p.code <> $1
"""
LINES = """
SELECT DISTINCT ON (l.one ->> 'code') l.one::text AS line
FROM programme AS p
CROSS JOIN LATERAL json_array_elements(p.document::json -> 'line') AS l (one)
WHERE p.code = $1 AND p.version = ANY($2::int[]) AND l.one ->> 'code' = ANY($3::text[])
ORDER BY l.one ->> 'code', p.version DESC
"""
INSERT = """
INSERT INTO programme (code, version, digest, document, applied_at, tiers_from, effective_from)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
BUMP = "UPDATE installation SET config_version = config_version + 1, book_zone = $1"
NEW_COUNTERS = """
INSERT INTO counter (counter, "window", slice, reserved, spent)
SELECT name, 'all', 0, 0, 0 FROM unnest($1::text[]) AS name ORDER BY name
ON CONFLICT DO NOTHING
"""


EVER = date(2000, 1, 1)


class Numbered(Dated, frozen=True, kw_only=True):
    """A version of the programme of a code, without its document."""

    code: str


Row = tuple[str, int]
Timelines = Mapping[str, list[Numbered]]
Welcomes = Mapping[Row, Welcome]


class Cache:
    """The catalogues in force and to come as this process last saw them.

    They follow each other by the clock alone: nothing has to happen when a version begins.
    Nothing is kept here that a transaction wrote which has not been committed.
    """

    def __init__(self, clock: Clock) -> None:
        """Start empty: the first `plan` loads."""
        self._clock = clock
        self._plan = Plan((Catalogue(version=-1, programmes={}),))
        self._versions: dict[Row, Programme] = {}

    @property
    def latest(self) -> Catalogue:
        """What is in force by what was loaded last: enough to find a provider by its code."""
        return self.at(self._clock())

    @property
    def loaded(self) -> Plan:
        """The catalogues in force and to come by what was loaded last."""
        return self._plan

    def at(self, now: datetime) -> Catalogue:
        """Return what is in force at an instant by what was loaded last."""
        return self._plan.at(now)

    async def plan(self, conn: Connection) -> Plan:
        """Return the catalogues in force now and later; one cheap query if nothing changed.

        Whoever decides after locks asks it for the instant that they read then.
        """
        ((version, is_own),) = await rows(conn, VERSION)
        if not is_own and version == self._plan.version:
            return self._plan
        plan, texts = await _load(conn, version, self._clock())
        if not is_own:
            self._plan = plan
            self._versions |= texts
        return plan

    async def current(self, conn: Connection) -> Catalogue:
        """Return the catalogue in force."""
        return (await self.plan(conn)).at(self._clock())

    async def version(self, conn: Connection, code: str, version: int) -> Programme:
        """Return a programme as one of its versions said it; versions never change."""
        known = self._versions.get((code, version))
        if known is None:
            ((document, is_own),) = await rows(conn, ONE, code, version)
            known = msgspec.json.decode(document, type=Programme)
            if not is_own:
                self._versions[code, version] = known
        return known

    async def made_under(self, conn: Connection, claim: ClaimRow) -> tuple[Programme, Benefit]:
        """Return the programme and benefit as they were when a claim was made (U-3)."""
        programme = await self.version(conn, claim.programme, claim.programme_version)
        return programme, programme.benefits[claim.benefit]


class _Step:
    """Which versions are in force at an instant, and which judge tiers."""

    def __init__(self, timelines: Timelines, welcomes: Welcomes, at: datetime) -> None:
        """Find them in the versions of every programme; the first holds before all, too."""
        self._at, self._timelines, self._welcomes = at, timelines, welcomes
        found = [in_force(line, not_before(line, at)) or line[0] for line in timelines.values()]
        self._current = {one.code: one.version for one in found}
        self._begun = sorted(found, key=lambda one: (one.effective_from, one.code))
        self._judges = {code: judging(line, at) for code, line in timelines.items()}

    @property
    def rows(self) -> set[Row]:
        """The versions whose documents are needed."""
        judges = {(code, one.version) for code, some in self._judges.items() for one in some}
        return judges | {*self._current.items()}

    def catalogue(
        self, version: int, texts: Mapping[Row, Programme], known: Mapping[str, Calendar]
    ) -> Catalogue:
        """Put the catalogue of that instant together."""
        rules = dict[str, Rules]()
        for code, some in self._judges.items():
            judges = list[Judge]()
            for one in some:
                programme = texts[code, one.version]
                calendar = known.get(programme.policy.calendar or "", NO_CALENDAR)
                judges.append(Judge(one.version, Month.of(one.tiers_from), programme, calendar))
            rules[code] = Rules(
                tuple(judges), tuple(self._welcoming(code, judges[-1].programme.tz))
            )
        return Catalogue(
            version=version,
            programmes={row[0]: texts[row] for row in self._current.items()},
            programme_versions=self._current,
            rules=rules,
            begun=tuple(one.code for one in self._begun),
        )

    def _welcoming(self, code: str, zone: ZoneInfo) -> Iterator[Welcoming]:
        """Yield what versions welcomed to that were in force by then, and on which days."""
        line = self._timelines[code]
        for one in kept(line):
            welcome = self._welcomes.get((code, one.version))
            if welcome is not None and one.effective_from <= not_before(line, self._at):
                first, end = local_date(one.effective_from, zone), until(line, one)
                last = local_date(end - LAST_INSTANT, zone) if end else date.max
                yield Welcoming(first, last, welcome)


async def _load(
    conn: Connection, version: int, now: datetime
) -> tuple[Plan, dict[Row, Programme]]:
    """Read the catalogues in force and to come, and return the documents they are made of."""
    timelines = await _timelines(conn, None)
    starts = sorted(
        {
            one.effective_from
            for line in timelines.values()
            for one in kept(line)
            if one.effective_from > now
        }
    )
    welcomes = await _welcomes(conn)
    steps = [_Step(timelines, welcomes, at) for at in (now, *starts)]
    texts = await _documents(conn, {row for step in steps for row in step.rows})
    known = await calendars.current(conn)
    made = (step.catalogue(version, texts, known) for step in steps)
    return Plan(tuple(made), tuple(starts)), texts


async def _welcomes(conn: Connection) -> Welcomes:
    return {
        (row.code, row.version): msgspec.json.decode(row.welcome, type=Welcome)
        for row in await rows(conn, WELCOMES)
        if row.welcome
    }


async def _timelines(conn: Connection, known_at: datetime | None) -> Timelines:
    found = dict[str, list[Numbered]]()
    for row in await rows(conn, DATED, known_at):
        found.setdefault(row.code, []).append(Numbered(**row._asdict()))
    return found


async def _documents(conn: Connection, wanted: Iterable[Row]) -> dict[Row, Programme]:
    some = sorted(wanted)
    found = await rows(conn, SOME, [code for code, _ in some], [number for _, number in some])
    return {
        (row.code, row.version): msgspec.json.decode(row.document, type=Programme) for row in found
    }


async def as_known(conn: Connection, known_at: datetime) -> Catalogue:
    """Return the catalogue as it stood at an instant of the past; programmes never change.

    Whoever was applied at that instant was not known before it, nor in force.
    """
    timelines = await _timelines(conn, known_at)
    last = known_at - timedelta(microseconds=1)
    found = {code: in_force(line, last) for code, line in timelines.items()}
    current = {code: one.version for code, one in found.items() if one is not None}
    texts = await _documents(conn, current.items())
    return Catalogue(
        version=-1,
        programmes={row[0]: texts[row] for row in current.items()},
        programme_versions=current,
    )


async def rules_as_known(conn: Connection, cache: Cache, code: str, known_at: datetime) -> Rules:
    """Return by which versions a programme's months were judged, as of an instant.

    Whoever decided then knew of what was applied by then, and of the first one in any case.
    """
    every = await timeline(conn, code)
    timelines = {code: [one for one in every if one.applied_at <= known_at] or every[:1]}
    step = _Step(timelines, await _welcomes(conn), known_at)
    texts = {row: await cache.version(conn, *row) for row in step.rows}
    return step.catalogue(-1, texts, await calendars.as_known(conn, known_at)).rules[code]


async def is_production(conn: Connection) -> bool:
    """Say whether real members live here."""
    ((stamp,),) = await rows(conn, STAMP)
    return bool(stamp == "production")


async def keep_still(conn: Connection) -> None:
    """Let configuration keep still until the transaction ends."""
    await rows(conn, LOCK_VERSION)


async def budgets_of_others(conn: Connection, code: str) -> dict[str, str]:
    """Return whose each budget is that another programme ever had, in any version."""
    return {row.budget: row.code for row in await rows(conn, BUDGETS, code)}


async def lines_of(
    conn: Connection, code: str, versions: Iterable[int], lines: Iterable[str]
) -> list[Line]:
    """Return lines by their codes as the last of some versions of a programme said them."""
    found = await rows(conn, LINES, code, [*versions], sorted(lines))
    return [msgspec.json.decode(row.line, type=Line) for row in found]


async def timeline(conn: Connection, code: str) -> list[Numbered]:
    """Return the versions of a programme in their order, without their documents."""
    return (await _timelines(conn, None)).get(code, [])


async def put(
    conn: Connection,
    programme: Programme,
    now: datetime,
    *,
    tiers_from: Month | None,
    effective_from: datetime | None,
) -> tuple[int, bool]:
    """Store a programme's next version; return it and whether anything is new in it.

    It holds from an instant on: at once unless another is named. It decides tiers from a month
    on (`dating.first_month`) unless another is named. The first version decides whatever came
    before, too.
    """
    document = msgspec.json.encode(programme, order="deterministic")
    digest = hashlib.sha256(document).digest()
    begin, judges = effective_from or now, EVER
    known = await timeline(conn, programme.code)
    then = in_force(known, begin)
    if then is not None:
        ((was,),) = await rows(conn, DIGEST, programme.code, then.version)
        named = tiers_from in {None, Month.of(then.tiers_from)}
        if was == digest and named and not withdrawn(known, begin, now, but=then.version):
            return then.version, False
    if before := stays(known, begin, now):
        last = Month.of(before[-1].tiers_from)
        judges = (tiers_from or first_month(last, begin, programme.tz)).start
    version = len(known) + 1
    await run(conn, INSERT, programme.code, version, digest, document.decode(), now, judges, begin)
    counters = [stock_counter(b) for b in programme.benefit if b.stock is not None]
    counters += [budget_counter(b.code) for b in programme.budget]
    await run(conn, NEW_COUNTERS, counters)
    await run(conn, BUMP, programme.zone)
    return version, True
