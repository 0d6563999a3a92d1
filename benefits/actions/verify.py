"""Verify the books: fold what cannot change, compare what is kept, name every difference."""

import asyncio
from collections.abc import AsyncIterator
from itertools import chain

from benefits.actions.parts import Parts
from benefits.actions.verify_agreements import verify_agreements
from benefits.actions.verify_archives import verify_archives
from benefits.actions.verify_seals import Audit, verify_leaves, verify_log
from benefits.domain import entitlement
from benefits.domain.values import BUCKETS
from benefits.store import months, rates, waits
from benefits.store import verify as checks
from benefits.store.carried import STEADY
from benefits.store.db import Connection, Database, run
from benefits.store.verify import Finding
from benefits.store.verify_terms import unasked

SLICES = 16
LANES = 2  # slices at a time, each on a connection of its own


async def verify(
    database: Database, parts: Parts, audit: Audit | None = None
) -> AsyncIterator[Finding | int]:
    """Yield findings, and after some slices of buckets how many hundredths of the work are done.

    `audit` is what is known from outside the database, for the log's checkpoints.
    """
    step = BUCKETS // SLICES
    slices = [(first, first + step - 1) for first in range(0, BUCKETS, step)]
    for done in range(0, SLICES, LANES):
        lanes = (_slice(database, buckets) for buckets in slices[done : done + LANES])
        for finding in chain(*await asyncio.gather(*lanes)):
            yield finding
        yield (done + LANES) * 100 // (SLICES + 1)
    for finding in await _shared(database, parts):
        yield finding
    async for finding in verify_agreements(database):
        yield finding
    async for finding in verify_log(database, audit or Audit()):
        yield finding
    async for finding in verify_archives(database, audit or Audit()):
        yield finding
    yield 100


async def _slice(database: Database, buckets: tuple[int, int]) -> list[Finding]:
    found = [finding async for finding in checks.findings(database, buckets)]
    return found + [finding async for finding in verify_leaves(database, buckets)]


async def _shared(database: Database, parts: Parts) -> list[Finding]:
    """Compare stock and budget counters with the holds, and closed months with their batches."""
    async with database.transaction() as conn:
        await run(conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await run(conn, STEADY)
        return (
            await _compare(conn, parts)
            + [
                Finding("month_differs", month, what)
                for month, what in [*await months.differences(conn), *await _zone(conn, parts)]
            ]
            + [
                Finding("request_differs", correction, "proposed or decided by no request")
                for correction in await unasked(conn)
            ]
            + [Finding("rate_differs", what, how) for what, how in await rates.differences(conn)]
        )


async def _zone(conn: Connection, parts: Parts) -> list[tuple[str, str]]:
    """Return what is wrong with the zone of the books: it is that of the programmes in force."""
    catalogue = await parts.catalogue.current(conn)
    zone = (await months.books(conn)).zone.key
    if not catalogue.programmes or zone == catalogue.zone.key:
        return []
    return [(zone, f"is where months begin, in the programmes {catalogue.zone.key}")]


async def _compare(conn: Connection, parts: Parts) -> list[Finding]:
    kept, taken = await checks.shared(conn)
    offers, there = (await parts.catalogue.current(conn)).offers, await checks.versions(conn)
    folded = {name: [0, used] for name, used in (await checks.limited(conn)).items()}
    folded |= {f"{name} queue 0": [many, 0] for name, many in (await waits.queues(conn)).items()}
    found = list[Finding]()
    for one in taken:
        if one.benefit not in offers:
            found.append(
                Finding("benefit_unknown", one.benefit, "claims of no programme's benefit")
            )
            continue
        programme, benefit = offers[one.benefit]
        version = (one.programme, one.programme_version)
        if version in there:  # what another says of the claim is found with its terms
            programme = await parts.catalogue.version(conn, *version)
        sums = {
            entitlement.budget_counter(budget): (one.reserved_minor, one.spent_minor)
            for budget in programme.bearers.get(benefit.budget, (benefit.budget,))
        }
        if benefit.stock is not None:
            name = entitlement.stock_counter(benefit)
            sums[name] = (one.reserved_pieces, one.spent_pieces)
        for name, (reserved, spent) in sums.items():
            before = folded.get(name, [0, 0])
            folded[name] = [before[0] + reserved, before[1] + spent]
    for name in sorted(kept.keys() | folded.keys()):
        says, holds = list(kept.get(name, (0, 0))), folded.get(name, [0, 0])
        if says != holds:
            found.append(Finding("counter_differs", name, f"counter {says}, holds {holds}"))
    return found
