"""Everything is small enough to be read at once, and named for what it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.sources import CODE, Function, files, functions, name_of, public, tree

FUNCTION_LINES = 60
MODULE_LINES = 500
POSITIONAL = 4
COLUMNS = 99

# A released revision is one fixed list of statements; it is never edited, so never split.
LONG_BY_NATURE = {"migrations/versions/0001_first.py"}

NO_ROOM = {"util", "utils", "helper", "helpers", "common", "core", "manager", "base", "misc"}
NO_SUFFIX = ("Manager", "Service", "Helper", "Util", "Base", "Impl", "Info", "Data", "DTO")
# The callback's body has a member called `data`, as the Standard Webhooks format asks.
NAMED_BY_OTHERS = {"CallbackData"}

SOURCES = pytest.mark.parametrize("path", files(*CODE), ids=name_of)


def _positional(function: Function) -> list[ast.arg]:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return arguments[1:] if arguments and arguments[0].arg in {"self", "cls"} else arguments


def _says_bool(argument: ast.arg) -> bool:
    """Say whether an argument is annotated as bool, alone or in a union."""
    return argument.annotation is not None and any(
        isinstance(node, ast.Name) and node.id == "bool"
        for node in (
            argument.annotation,
            *(ast.walk(argument.annotation) if _is_union(argument.annotation) else ()),
        )
    )


def _is_union(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr)


def _at(path: Path, found: Iterator[ast.stmt]) -> list[str]:
    return [f"{name_of(path)}:{node.lineno} {getattr(node, 'name', '')}" for node in found]


@SOURCES
def test_functions_are_short(path: Path) -> None:
    """A function has at most 60 lines."""
    long = (
        node
        for node in functions(path)
        if (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES
    )
    assert [] == _at(path, long)


@SOURCES
def test_modules_are_short(path: Path) -> None:
    """A module has at most 500 lines."""
    if name_of(path) in LONG_BY_NATURE:
        return
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@SOURCES
def test_functions_take_few_positional_arguments(path: Path) -> None:
    """A function takes at most four arguments by position; the others are named by the caller."""
    many = (node for node in functions(path) if len(_positional(node)) > POSITIONAL)
    assert [] == _at(path, many)


@pytest.mark.parametrize("path", files("benefits"), ids=name_of)
def test_no_public_function_takes_a_bare_boolean(path: Path) -> None:
    """A caller never writes a True that nobody understands: it is named, or another function."""
    bare = (
        node
        for node in public(path)
        if isinstance(node, Function) and any(_says_bool(a) for a in _positional(node))
    )
    assert [] == _at(path, bare)


@pytest.mark.parametrize(
    "path",
    [path for ending in (".py", ".sql", ".html") for path in files(*CODE, ending=ending)],
    ids=name_of,
)
def test_lines_are_short(path: Path) -> None:
    """A line has at most 99 characters."""
    long = [
        f"{name_of(path)}:{number}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > COLUMNS
    ]
    assert [] == long


@SOURCES
def test_no_module_is_named_for_nothing(path: Path) -> None:
    """There is no room for what belongs nowhere."""
    parts = {*path.relative_to(path.parents[-2]).parts[:-1], path.stem}
    assert set() == parts & NO_ROOM


@SOURCES
def test_no_class_is_named_for_its_role(path: Path) -> None:
    """A class is named for what it is, without a suffix that says nothing."""
    empty = (
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(NO_SUFFIX)
        and node.name not in NAMED_BY_OTHERS
    )
    assert [] == _at(path, empty)
