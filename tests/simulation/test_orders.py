"""Whatever the wire does and whenever we are killed: each unit reaches its customer once (V-3).

Two workers, calls whose requests and answers are lost, late, twice or distorted, callbacks in any
order, members and people who go on meanwhile, and every process ending at any statement: when
quiet has come, the provider's own book says what the ledger says, order by order.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import database
from tests.lives import TIMES
from tests.simulation.agree import agree
from tests.simulation.life import STEPS, Life, Step
from tests.simulation.scene import opened
from tests.simulation.ways import WAYS


@pytest.mark.parametrize("third", [0, 1, 2])
def test_each_unit_reaches_its_customer_once(third: int, migrated: str, cluster_dsn: str) -> None:
    """The provider's book and the ledger agree, whatever was lost and whoever was killed."""

    async def lived(steps: list[Step]) -> None:
        async with (
            database(cluster_dsn, migrated) as dsn,
            opened(dsn, WAYS[third::3]) as scene,
        ):
            life = Life(scene)
            await life.begin()
            await life.take(steps)
            await life.end()
            await agree(life)

    @settings(
        max_examples=1 + TIMES,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.lists(STEPS, min_size=50, max_size=110))
    def live(steps: list[Step]) -> None:
        if any(step.word == "claim" for step in steps):  # the first has none
            asyncio.run(lived(steps))

    live()
