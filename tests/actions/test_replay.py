"""What was decided comes out again of the rules and the facts of its instant (3.18, 10; C-7)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benefits.domain.programme import Programme
from tests.actions.rewinding import (
    Life,
    by_feeds,
    by_lines,
    by_points,
    by_the_last_day,
    by_windows,
    prepared,
)
from tests.builders import World
from tests.lives import TIMES

EACH = {
    by_lines: "lines month rate holder label relationship merger version evaluate look sweep",
    by_feeds: "feed feed feed fill rate holder label relationship merger version evaluate sweep",
    by_windows: "lines month rate holder label relationship merger version evaluate",
    by_the_last_day: "lines month rate label relationship holiday version evaluate",
    by_points: "value value lines month rate label relationship holiday version evaluate",
}
_LIVES = count(1)


@pytest.mark.parametrize("make", EACH, ids=lambda make: make.__name__)
async def test_whatever_comes_each_decision_comes_out_again(
    world: World, make: Callable[[], Programme]
) -> None:
    """3.18, 10: through all that comes, is corrected, and was fraud."""
    loop = asyncio.get_running_loop()
    programme, causes = make(), Counter[str]()
    await prepared(world, programme)

    async def live(seed: int, life: Sequence[tuple[str, int]]) -> None:
        one = Life(world, programme, next(_LIVES))
        await one.begin(seed)
        for step in life:
            await one.take(step)
        await one.take(("evaluate", 0))
        causes.update(await one.check())
        told = await one.told()
        assert len(told) == len({*told})

    steps = st.tuples(st.sampled_from([*EACH[make].split(), "fraud"]), st.integers(0, 10**6))

    @settings(
        max_examples=6 * TIMES,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # the world stays as it was left: nothing is found anew
    )
    @given(st.integers(0, 10**6), st.lists(steps, min_size=8, max_size=16))
    def whatever(seed: int, life: list[tuple[str, int]]) -> None:
        asyncio.run_coroutine_threadsafe(live(seed, life), loop).result()

    await asyncio.to_thread(whatever)
    assert sum(causes.values()) > 20
    assert len(causes) > 3
