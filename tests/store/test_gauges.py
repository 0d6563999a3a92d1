"""Looking at what waits costs the same on a bad day: each statement walks the index it names."""

import pytest

from benefits import measures
from benefits.store import gauges
from benefits.store.db import rows, run
from tests.actions.life import claimed, holder, wish
from tests.builders import World

PLANS = [
    (gauges.QUEUE, "ix_provider_request_due"),
    (gauges.HELD, "ix_claim_unsent"),
    (gauges.INBOX, "ix_inbox_waiting"),
    (gauges.OUTBOX, "ix_outbox_position"),
    (gauges.CASES, "ix_case_file_open"),
]


@pytest.mark.parametrize(("statement", "index"), PLANS, ids=[index for _, index in PLANS])
async def test_each_statement_walks_its_index(world: World, statement: str, index: str) -> None:
    """Without reading a table from end to end, and in the index's order."""
    async with world.database.transaction() as conn:
        await run(conn, "SET LOCAL enable_seqscan = off")
        await run(conn, "SET LOCAL enable_sort = off")
        explained = statement.replace("$1", "10000")
        plan = "\n".join(row[0] for row in await rows(conn, f"EXPLAIN {explained}"))
    assert index in plan
    assert "Seq Scan on provider_request" not in plan


async def test_what_ended_is_told_no_more(world: World) -> None:
    """A queue that has emptied, or cannot be looked at, has no old figure left."""
    await claimed(world, wish(await holder(world)))
    due = {"provider": "sandbox"}
    name = "benefits_provider_queue_due_requests"

    async def look() -> float | None:
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        return measures.REGISTRY.get_sample_value(name, due)

    assert 1.0 == await look()
    await world.rows("UPDATE provider_request SET next_at = NULL RETURNING 1")
    assert await look() is None
    stock = {"benefit": "VIDEO"}
    assert 49.0 == measures.REGISTRY.get_sample_value("benefits_stock_left_units", stock)
    gauges.forget()
    assert measures.REGISTRY.get_sample_value("benefits_stock_left_units", stock) is None
