"""The worked examples that come with exact numbers, kept in `golden.json` by their ids."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "golden.json"
EXAMPLES: dict[str, dict[str, Any]] = json.loads(FILE.read_text())


def given(id_: str) -> Any:
    """Return the inputs of an example."""
    return EXAMPLES[id_]["given"]


def expected(id_: str) -> Any:
    """Return what an example must give."""
    return EXAMPLES[id_]["expect"]


def ids(rule: str) -> list[str]:
    """Return the ids of a rule's examples."""
    return [id_ for id_, example in EXAMPLES.items() if example["rule"] == rule]
