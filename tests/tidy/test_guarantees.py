"""Each guarantee of the ledger is proved by tests that say so."""

import ast
import re

from tests.mutants.guards import GUARDS
from tests.tidy.sources import ROOT, functions

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
NUMBERS = [f"I{n}" for n in range(1, 16)]
PROOF = re.compile(r"`(tests/[a-z_/]+):(test_[a-z0-9_]+)`")
NAMED = re.compile(r"I(\d+)( to I(\d+))?")


def _rows() -> dict[str, list[str]]:
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in PAGE.splitlines()]
    return {row[0]: row[1:] for row in cells if re.fullmatch(r"I\d+", row[0])}


def _docstring(module: str, name: str) -> str:
    for function in functions(ROOT / f"{module}.py"):
        if function.name == name:
            return ast.get_docstring(function) or ""
    return ""


def _numbers(text: str) -> set[str]:
    found = set[str]()
    for first, _, last in NAMED.findall(text):
        found |= {f"I{n}" for n in range(int(first), int(last or first) + 1)}
    return found


def test_every_guarantee_is_proved() -> None:
    """Each has a sentence, a mechanism, and tests that exist and name it."""
    rows = _rows()
    assert NUMBERS == list(rows)
    unproved = []
    for number, (sentence, mechanism, proofs) in rows.items():
        named = PROOF.findall(proofs)
        if not sentence or not mechanism or not named:
            unproved.append(number)
        unproved += [
            f"{number}: {module}:{name}"
            for module, name in named
            if number not in _numbers(_docstring(module, name))
        ]
    assert [] == unproved


def test_every_guard_that_is_taken_away_is_there() -> None:
    """A guard that reads otherwise by now would be taken for one that nothing notices."""
    texts = {guard.path: (ROOT / guard.path).read_text() for guard in GUARDS}
    assert [] == [guard.before for guard in GUARDS if guard.before not in texts[guard.path]]
