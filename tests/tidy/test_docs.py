"""What is public is explained, every Refusal is complete and has a status, the domain is pure."""

import ast
import re
from collections import Counter

from benefits.domain.refusal import Refusal
from tests.tidy.sources import files, modules, name_of, public, tree

SNAKE = re.compile(r"[a-z]+(_[a-z]+)*")
IMPURE = {"now", "today", "utcnow", "time_ns", "monotonic", "uuid1", "uuid4", "uuid7", "random"}
# What they refuse ends a command at its start; no request ever meets it.
NEVER_OVER_HTTP = {"embedded", "settings", "logs", "app", "process", "up", "cli", "demo"}


def _below(kind: type[Refusal]) -> set[type[Refusal]]:
    return {kind}.union(*(_below(child) for child in kind.__subclasses__()))


def _refusals() -> list[type[Refusal]]:
    """Return every kind of Refusal that the service defines."""
    modules()
    found = [
        kind for kind in _below(Refusal) - {Refusal} if kind.__module__.startswith("benefits.")
    ]
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def test_every_module_says_what_it_owns() -> None:
    """A module begins with a docstring."""
    silent = [name_of(path) for path in files("benefits") if not ast.get_docstring(tree(path))]
    assert [] == silent


def test_everything_public_has_a_docstring() -> None:
    """Whoever calls a function or makes an object is told what it does."""
    silent = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in files("benefits")
        for node in public(path)
        if not ast.get_docstring(node)
    ]
    assert [] == silent


def test_every_refusal_has_a_code_and_words_of_its_own() -> None:
    """A kind of Refusal has a snake_case code and says what is the matter."""
    incomplete = [
        kind.__name__
        for kind in _refusals()
        if not SNAKE.fullmatch(vars(kind).get("code", "")) or not vars(kind).get("words")
    ]
    assert [] == incomplete


def test_no_two_refusals_share_a_code() -> None:
    """A code means one thing."""
    codes = Counter(kind.code for kind in _refusals())
    assert [] == [code for code, times in codes.items() if times > 1]


def test_every_refusal_has_a_status() -> None:
    """The edge knows how to say each no over HTTP, and knows of no other."""
    from benefits.web.problems import STATUSES

    met = {kind for kind in _refusals() if kind.__module__.split(".")[1] not in NEVER_OVER_HTTP}
    assert set() == met - set(STATUSES)
    assert set() == set(STATUSES) - met
    assert all(400 <= status <= 599 for status in STATUSES.values())


def test_the_domain_never_asks_for_time_or_chance() -> None:
    """What the domain decides follows from its arguments alone."""
    asked = [
        f"{name_of(path)}:{node.lineno} {name}"
        for path in files("benefits/domain")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and (name := getattr(node.func, "attr", getattr(node.func, "id", ""))) in IMPURE
    ]
    assert [] == asked
