"""The worked examples we carry say what the original says."""

import json
from pathlib import Path

import pytest

from tests import golden

ORIGINAL = Path(__file__).parents[2] / "shared" / "golden" / "golden.json"


@pytest.mark.parametrize("id_", golden.EXAMPLES)
def test_every_example_we_carry_equals_the_original(id_: str) -> None:
    """Rule, inputs and outputs are those of the original beside the checkout."""
    if not ORIGINAL.exists():
        pytest.skip("the original of the worked examples does not stand beside the checkout")
    original = {example["id"]: example for example in json.loads(ORIGINAL.read_text())}
    assert original[id_] == {"id": id_, **golden.EXAMPLES[id_]}
