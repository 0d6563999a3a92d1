"""What must hold at the end of a soak: the ledger, the providers' books and the clients agree."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benefits.sandbox.book import Book
from tests.builders import World
from tests.simulation.agree import CLAIMS, WALLETS, differences, wallets
from tests.simulation.life import UNSETTLED
from tests.simulation.ways import WAYS
from tests.soak.load import COFFEE, Known
from tests.soak.setting import UNITS, Setting
from tests.tidy.sources import ROOT

OPEN = "SELECT count(*) FROM claim WHERE state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN')"
INBOX = "SELECT count(*) FROM inbox WHERE processed_at IS NULL"
PAUSED = """
SELECT count(*) AS skus, to_char(max(paused_until), 'HH24:MI:SS') AS until FROM provider_circuit
WHERE paused_until > now()
"""
MANUAL = """
SELECT r.request_id, EXISTS (SELECT FROM case_file AS f WHERE f.claim_id = c.claim_id
                             AND f.closed_at IS NULL) AS told
FROM claim AS c JOIN provider_request AS r USING (bucket, claim_id)
WHERE c.state = 'MANUAL' AND r.operation = 'ISSUE'
"""
ATTEMPTS = "SELECT operation, outcome, count(*) FROM provider_attempt GROUP BY 1, 2 ORDER BY 1, 2"
CASES = "SELECT kind, count(*) FROM case_file GROUP BY 1 ORDER BY 1"
STATES = "SELECT state, count(*) FROM claim GROUP BY 1 ORDER BY 1"
COFFEES = """
SELECT (SELECT sum(quantity) FROM claim WHERE benefit = $1 AND state = 'ISSUED') AS claimed,
       count(DISTINCT code_id) FILTER (WHERE claim_id IS NOT NULL) AS given FROM pool_code
"""
OWED = "SELECT count(*) FROM callback WHERE left > 0 AND forged = 0"


def owed(books: Path) -> int:
    """Return how many true callbacks the providers still owe that we listen to."""
    left = 0
    for way in (way for way in WAYS if way.calls_back):
        book = Book(str(books / way.code))
        left += book._db.execute(OWED).fetchone()[0]
        book.close()
    return left


async def under_way(world: World, books: Path) -> dict[str, int]:
    """Return what is not at rest yet, as it is shown; nothing when all is."""
    ((open_,),), ((inbox,),) = await world.rows(OPEN), await world.rows(INBOX)
    asked = len(await world.rows(UNSETTLED)) - open_ - inbox
    found = {"orders": open_, "callbacks": inbox, "requests": asked, "owed": owed(books)}
    return {name: count for name, count in found.items() if count}


async def waits(world: World) -> str:
    """Return for what it waits whatever is under way: providers that are left alone a while."""
    ((skus, until),) = await world.rows(PAUSED)
    return f"; {skus} SKUs are paused, the last until {until}" if skus else ""


async def figures(world: World) -> dict[str, Any]:
    """Return what the ledger counts."""
    return {
        "attempts": {f"{op} {out or 'untold'}": n for op, out, n in await world.rows(ATTEMPTS)},
        "cases": dict(tuple(row) for row in await world.rows(CASES)),
        "states": dict(tuple(row) for row in await world.rows(STATES)),
    }


def faults(books: Path) -> dict[str, int]:
    """Return how many orders met which fault of their provider."""
    met = Counter[str]()
    for way in WAYS:
        book = Book(str(books / way.code))
        sql = "SELECT behaviour, count(*) FROM provider_order GROUP BY 1"
        for behaviour, count in book._db.execute(sql):
            met[str(behaviour)] += count
        book.close()
    return dict(sorted(met.items()))


async def wrongs(setting: Setting, books: Path, known: Known) -> tuple[list[str], dict[str, int]]:
    """Return what does not hold, and how orders ended by provider's book and ledger."""
    world, wrong, ends = setting.world, list[str](), Counter[str]()
    for way in WAYS:
        claims, book = await world.rows(CLAIMS, way.code), Book(str(books / way.code))
        found, ended = differences(way, book, claims, time.time())
        wrong, ends = wrong + found, ends + ended
        expected = wallets(way, book, claims, dict.fromkeys(setting.members, UNITS))
        book.close()
        wrong += _wallets(way.code, expected, await world.rows(WALLETS, f"BENEFIT:{way.code}"))
    ((claimed, given),) = await world.rows(COFFEES, COFFEE)
    if (claimed or 0) != given:
        wrong.append(f"{claimed} coffees claimed, {given} codes given")
    ours = {str(row.claim_id) for row in await world.rows("SELECT claim_id FROM claim")}
    theirs = [*known.claims.values()]
    wrong += [f"claim {id_} was accepted and is not there" for id_ in {*theirs} - ours]
    wrong += [f"claim {id_} is there and nobody asked for it" for id_ in ours - {*theirs}]
    if len({*theirs}) != len(theirs):
        wrong.append("two keys were answered with one claim")
    wrong += [f"key {key} was answered with two claims" for key in known.contradicted]
    return wrong + _verified(setting.environ), dict(ends)


def _wallets(code: str, expected: Mapping[Any, list[int]], found: Sequence[Any]) -> list[str]:
    there = {row.member_id: [row.available, row.held] for row in found}
    return [
        f"{code}: member {member} has {there.get(member)}, not {units}"
        for member, units in expected.items()
        if there.get(member) != units
    ]


def _verified(environ: Mapping[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "benefits", "verify"],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return [] if done.returncode == 0 else [f"verify: {done.stdout}{done.stderr}"]
