"""The soak is a command of its own; here it is seen that it can begin."""

from pathlib import Path

import pytest

from benefits.sandbox.behaviour import Behaviour
from tests.simulation.ways import WAYS
from tests.soak.__main__ import arguments
from tests.soak.load import COFFEE
from tests.soak.providers import desks
from tests.soak.setting import programme


def test_a_soak_can_begin() -> None:
    """Its words are read, and its programme has a provider and a benefit of every way."""
    given = arguments(["--minutes", "0.5", "--seed", "7"])
    assert (0.5, 7, "") == (given.minutes, given.seed, given.database_url)
    made = programme({way.code: "http://127.0.0.1:9" for way in WAYS})
    codes = {*(way.code for way in WAYS), COFFEE}
    assert (codes, codes) == ({*made.providers}, {*made.benefits})


@pytest.mark.parametrize("behaviour", [Behaviour.MIXED, Behaviour.GOOD])
def test_its_providers_can_be_made(behaviour: Behaviour, tmp_path: Path) -> None:
    """A provider of every way serves under load, and in the rest, where nothing is faulty."""
    made = desks(tmp_path, "http://127.0.0.1:9", behaviour, range(1, len(WAYS) + 1))
    assert len(WAYS) == len(made)
