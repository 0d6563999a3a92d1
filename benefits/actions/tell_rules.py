"""Tell which versions of programmes came into force, at once or by the clock (U-1, N-5).

Nothing has to happen when a version begins, so the worker looks: each is told once, in its order,
however late. Of what held before anything was told, only the version in force is.
"""

from typing import Any

from benefits.actions.parts import Parts
from benefits.domain.dating import begun_since
from benefits.domain.values import Month
from benefits.store import catalogue, common_events
from benefits.store.db import Connection

ACTIVATED = "rule.activated"


async def tell_rules(conn: Connection, parts: Parts) -> list[dict[str, Any]]:
    """Tell of the versions that began since they were told of last; return what was told."""
    current = await parts.catalogue.current(conn)
    told = _by_programme(await common_events.told(conn, ACTIVATED))
    if all(version in told.get(code, ()) for code, version in current.programme_versions.items()):
        return []
    await common_events.serial(conn)
    told = _by_programme(await common_events.told(conn, ACTIVATED))
    now = parts.clock()
    found: list[dict[str, Any]] = [
        {
            "programme": code,
            "version": one.version,
            "effective_from": one.effective_from,
            "first_month": str(Month.of(one.tiers_from)),
        }
        for code in sorted(current.programmes)
        for one in begun_since(await catalogue.timeline(conn, code), told.get(code, ()), now)
    ]
    found.sort(key=lambda one: one["effective_from"])
    await common_events.tell(conn, ACTIVATED, found, now=now, new_id=parts.new_id)
    return found


def _by_programme(told: list[dict[str, Any]]) -> dict[str, set[int]]:
    found = dict[str, set[int]]()
    for data in told:
        found.setdefault(data["programme"], set()).add(data["version"])
    return found
