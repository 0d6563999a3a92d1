"""Due requests are found by provider and SKU: what waits of one is not walked for another."""

from benefits.store import due
from benefits.store.db import rows, run
from tests.builders import World


async def test_the_queue_of_each_sku_is_entered_where_it_is_due(world: World) -> None:
    """Planned for any values, as a lease runs it."""
    types = (
        "smallint, smallint, timestamptz, int, text[], text[], text[], text[], text[], int[], int"
    )
    values = "0, 1023, now(), 32, '{}', '{}', '{}', '{}', '{}', '{}', 128"
    async with world.database.transaction() as conn:
        await run(conn, "SET LOCAL enable_seqscan = off")
        await run(conn, "SET LOCAL plan_cache_mode = force_generic_plan")
        await run(conn, f"PREPARE due ({types}) AS {due.DUE}")
        plan = "\n".join(row[0] for row in await rows(conn, f"EXPLAIN EXECUTE due ({values})"))
    entered = "((provider = s.provider) AND (sku = s.sku) AND (next_at <= $3)"
    leaps = "ROW(provider, sku) > ROW(w.provider, w.sku)"
    assert 3 <= plan.count("ix_provider_request_due")
    assert entered in plan
    assert leaps in plan
