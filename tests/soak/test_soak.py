"""The soak is a command of its own; here it is seen that it can begin."""

import asyncio
import os
from pathlib import Path

from benefits.sandbox.behaviour import Behaviour
from tests.service import free_port
from tests.simulation.ways import WAYS
from tests.soak.__main__ import arguments
from tests.soak.load import COFFEE
from tests.soak.processes import Child, is_up
from tests.soak.setting import programme


def test_a_soak_can_begin() -> None:
    """Its words are read, and its programme has a provider and a benefit of every way."""
    given = arguments(["--minutes", "0.5", "--seed", "7"])
    assert (0.5, 7, "") == (given.minutes, given.seed, given.database_url)
    made = programme({way.code: "http://127.0.0.1:9" for way in WAYS})
    codes = {*(way.code for way in WAYS), COFFEE}
    assert (codes, codes) == ({*made.providers}, {*made.benefits})


async def test_its_providers_serve_in_the_rest(tmp_path: Path) -> None:
    """They start where nothing is faulty any more, each with a desk that answers."""
    ports = [str(free_port()) for _ in WAYS]
    words = ["-m", "tests.soak.providers", str(tmp_path), "http://127.0.0.1:9"]
    providers = Child("providers", [*words, Behaviour.GOOD.value, *ports], os.environ, tmp_path)
    providers.start()
    try:
        async with asyncio.timeout(60):
            desks = [f"http://127.0.0.1:{port}/health" for port in ports]
            while not await asyncio.to_thread(is_up, desks, [providers]):
                assert providers.runs, (tmp_path / "providers.log").read_text()
                await asyncio.sleep(0.2)
    finally:
        providers.kill()
