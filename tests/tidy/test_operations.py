"""What the documents list is what the code has, and what they refer to is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from benefits.actions import keep_tiers, resolve, seal_feed
from benefits.store.verify import CHECKS
from benefits.store.verify_terms import TERMS
from tests.tidy.sources import ROOT, Function, files, name_of, tree

DOCS = ROOT / "docs"
OPERATIONS = "\n".join(
    path.read_text()
    for path in [DOCS / "operations.md", *sorted((DOCS / "operations").glob("*.md"))]
)
REFERENCE = re.compile(r"`((?:tests/)?[a-z_]+(?:/[a-z_]+)*):([A-Za-z_]+(?:\.[a-z_]+)?)`")


def _rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table below a heading, by the code in their first cell."""
    section = re.split(rf"(?:^|\n)##? {heading}\n", OPERATIONS)[1].split("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return {row[0].strip("`"): row[1:] for row in cells if row[0].startswith("`")}


def _said(module: str, name: str, place: int) -> set[str]:
    """Return the texts that a module gives to a function or class at a place."""
    calls = [
        node.args[place]
        for node in ast.walk(tree(ROOT / "benefits" / module))
        if isinstance(node, ast.Call)
        and name == getattr(node.func, "attr", getattr(node.func, "id", ""))
        and len(node.args) > place
    ]
    return {str(given.value) for given in calls if isinstance(given, ast.Constant)}


def test_every_problem_code_is_documented_with_its_status() -> None:
    """Whoever is refused finds the code, and no code that does not exist."""
    from benefits.web import problems

    statuses = {kind.code: status for kind, status in problems.STATUSES.items()}
    statuses |= {code: status for status, code in problems.HTTP_CODES.items()}
    statuses |= {"internal": 500}
    documented = {code: int(row[0]) for code, row in _rows("Problem codes").items()}
    assert statuses == documented


def test_every_finding_is_documented() -> None:
    """Whoever runs `benefits verify` is told what each finding means."""
    shared = _said("actions/verify.py", "Finding", 0) | {"checkpoint_differs", "tree_differs"}
    for file in (
        "verify_seals",
        "verify_archives",
        "verify_agreements",
    ):
        said = _said(f"actions/{file}.py", "Finding", 0)
        assert said
        shared |= said
    assert {*CHECKS, *TERMS, *shared} == set(_rows("What verify finds"))


def test_every_kind_of_case_is_documented() -> None:
    """Whoever looks at cases is told what to do."""
    kinds = _said("domain/lattice.py", "Step", 2) | _said("actions/resolve.py", "case", 1)
    kinds |= _said("actions/effects.py", "Trouble", 0) | set(resolve.UNANSWERED.values())
    kinds |= _said("actions/receive.py", "Matter", 1) | {seal_feed.REFUSED, keep_tiers.OLD}
    kinds.add(resolve.NO_ANSWER)
    assert len(kinds) > 3
    assert kinds == set(_rows("Cases and MANUAL orders"))


def test_every_setting_is_documented() -> None:
    """Each variable of the environment is in the table, and nothing else is."""
    text = (ROOT / "benefits" / "settings.py").read_text()
    read = set(re.findall(r'"(BENEFITS_[A-Z_]+[A-Z])"', text))
    assert len(read) > 5
    assert read == set(_rows("Settings"))


def test_every_trouble_in_the_log_is_documented() -> None:
    """Whoever watches the log knows the events that tell of trouble."""
    modules = [name_of(path).removeprefix("benefits/") for path in files("benefits")]
    events = {e for m in modules for how in ("error", "exception") for e in _said(m, how, 0)}
    assert len(events) > 3
    assert [] == [event for event in sorted(events) if f"`{event}`" not in OPERATIONS]


def _defined(path: Path) -> set[str]:
    """Return the names that a module defines, those of methods and attributes with the class."""
    body = tree(path).body
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    return {*_names(body)} | {f"{c.name}.{name}" for c in classes for name in _names(c.body)}


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_every_reference_of_a_document_leads_somewhere() -> None:
    """Where `docs/` name a module and something in it, it is there."""
    found = [
        (name_of(document), module, name)
        for document in files("docs", ending=".md")
        for module, name in REFERENCE.findall(document.read_text())
    ]
    assert len(found) > 100
    lost = []
    for document, module, name in found:
        path = ROOT / f"{module if module.startswith('tests/') else f'benefits/{module}'}.py"
        if not path.is_file() or name not in _defined(path):
            lost.append(f"{document}: {module}:{name}")
    assert [] == lost
