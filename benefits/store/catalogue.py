"""Programmes as stored: immutable versions of documents, cached by configuration version."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from benefits.domain.benefit import Benefit
from benefits.domain.calendars import NO_CALENDAR
from benefits.domain.catalogue import Catalogue, Judge, Rules
from benefits.domain.entitlement import budget_counter, stock_counter
from benefits.domain.programme import Programme
from benefits.domain.values import Month, local_date
from benefits.store import calendars
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection, rows, run

VERSION = "SELECT config_version FROM installation"
STAMP = "SELECT stamp FROM installation"
CURRENT = """
SELECT DISTINCT ON (code) code, version, document FROM programme ORDER BY code, version DESC
"""
# A version judges no tier any more where a later one judges from the same month or before.
JUDGES = """
SELECT p.code, p.version, p.tiers_from, p.document FROM programme AS p
WHERE NOT EXISTS (SELECT FROM programme AS l
                  WHERE l.code = p.code AND l.version > p.version AND l.tiers_from <= p.tiers_from)
ORDER BY p.code, p.version
"""
ONE = "SELECT document FROM programme WHERE code = $1 AND version = $2"
LOCK_VERSION = "SELECT config_version FROM installation FOR UPDATE"
LATEST = """
SELECT version, digest, tiers_from FROM programme WHERE code = $1 ORDER BY version DESC LIMIT 1
"""
OWNERS = """
SELECT DISTINCT ON (code) code, document FROM programme
WHERE code <> $1 ORDER BY code, version DESC
"""
BUDGETS = """
SELECT DISTINCT b.one ->> 'code' AS budget, p.code
FROM programme AS p
CROSS JOIN LATERAL json_array_elements(p.document::json -> 'budget') AS b (one)
WHERE p.code <> $1
"""
INSERT = """
INSERT INTO programme (code, version, digest, document, applied_at, tiers_from)
VALUES ($1, $2, $3, $4, $5, $6)
"""
BUMP = "UPDATE installation SET config_version = config_version + 1, book_zone = $1"
AS_KNOWN = """
SELECT DISTINCT ON (code) code, version, document FROM programme
WHERE applied_at < $1 ORDER BY code, version DESC
"""
NEW_COUNTERS = """
INSERT INTO counter (counter, "window", slice, reserved, spent)
SELECT name, 'all', 0, 0, 0 FROM unnest($1::text[]) AS name ORDER BY name
ON CONFLICT DO NOTHING
"""


EVER = date(2000, 1, 1)


class Cache:
    """The catalogue in force as this process last saw it."""

    def __init__(self) -> None:
        """Start empty: the first `current` loads."""
        self._catalogue = Catalogue(version=-1, programmes={})
        self._versions: dict[tuple[str, int], Programme] = {}

    @property
    def latest(self) -> Catalogue:
        """What `current` returned last: good enough to find a provider by its code."""
        return self._catalogue

    async def current(self, conn: Connection) -> Catalogue:
        """Return the catalogue in force; one cheap query when nothing changed."""
        ((version,),) = await rows(conn, VERSION)
        if version != self._catalogue.version:
            self._catalogue = await _load(conn, version)
        return self._catalogue

    async def version(self, conn: Connection, code: str, version: int) -> Programme:
        """Return a programme as one of its versions said it; versions never change."""
        known = self._versions.get((code, version))
        if known is None:
            ((document,),) = await rows(conn, ONE, code, version)
            known = msgspec.json.decode(document, type=Programme)
            self._versions[code, version] = known
        return known

    async def made_under(self, conn: Connection, claim: ClaimRow) -> tuple[Programme, Benefit]:
        """Return the programme and benefit as they were when a claim was made (U-3)."""
        programme = await self.version(conn, claim.programme, claim.programme_version)
        return programme, programme.benefits[claim.benefit]


async def as_known(conn: Connection, known_at: datetime) -> Catalogue:
    """Return the catalogue as it stood at an instant of the past; programmes never change."""
    return _of(await rows(conn, AS_KNOWN, known_at), version=-1)


async def _load(conn: Connection, version: int) -> Catalogue:
    found = _of(await rows(conn, CURRENT), version=version)
    known = await calendars.current(conn)
    judges = dict[str, tuple[Judge, ...]]()
    for code, number, tiers_from, text in await rows(conn, JUDGES):
        programme = msgspec.json.decode(text, type=Programme)
        calendar = known.get(programme.policy.calendar or "", NO_CALENDAR)
        judge = Judge(number, Month.of(tiers_from), programme, calendar)
        judges[code] = (*judges.get(code, ()), judge)
    rules = {code: Rules(each) for code, each in judges.items()}
    return msgspec.structs.replace(found, rules=rules)


def _of(found: Sequence[Any], *, version: int) -> Catalogue:
    return Catalogue(
        version=version,
        programmes={code: msgspec.json.decode(text, type=Programme) for code, _, text in found},
        programme_versions={code: number for code, number, _ in found},
    )


async def is_production(conn: Connection) -> bool:
    """Say whether real members live here."""
    ((stamp,),) = await rows(conn, STAMP)
    return bool(stamp == "production")


async def others(conn: Connection, code: str) -> dict[str, Programme]:
    """Return the other programmes; configuration keeps still until the transaction ends."""
    await rows(conn, LOCK_VERSION)
    found = await rows(conn, OWNERS, code)
    return {other: msgspec.json.decode(text, type=Programme) for other, text in found}


async def budgets_of_others(conn: Connection, code: str) -> dict[str, str]:
    """Return whose each budget is that another programme ever had, in any version."""
    return {row.budget: row.code for row in await rows(conn, BUDGETS, code)}


async def put(
    conn: Connection, programme: Programme, now: datetime, *, tiers_from: Month | None
) -> tuple[int, bool]:
    """Store a programme's next version; return it and whether anything is new in it.

    It decides tiers from a month on: the running one unless another is named. The first version
    decides whatever came before, too.
    """
    document = msgspec.json.encode(programme, order="deterministic")
    digest = hashlib.sha256(document).digest()
    latest = await rows(conn, LATEST, programme.code)
    version, begin = 1, EVER
    if latest:
        was = latest[0]
        if was.digest == digest and tiers_from in {None, Month.of(was.tiers_from)}:
            return was.version, False
        version = latest[0].version + 1
        begin = (tiers_from or Month.of(local_date(now, programme.tz))).start
    await run(conn, INSERT, programme.code, version, digest, document.decode(), now, begin)
    counters = [stock_counter(b) for b in programme.benefit if b.stock is not None]
    counters += [budget_counter(b.code) for b in programme.budget]
    await run(conn, NEW_COUNTERS, counters)
    await run(conn, BUMP, programme.zone)
    return version, True
