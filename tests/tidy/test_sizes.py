"""Everything is small enough to be read at once, and named for what it is."""

import ast
import re
from collections.abc import Callable

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


def _positional(function: Function) -> list[ast.arg]:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return arguments[1:] if arguments and arguments[0].arg in {"self", "cls"} else arguments


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _takes_bool(function: Function) -> bool:
    """Say whether an argument without a name at the caller's is a bool, alone or in a union."""
    annotations = [a.annotation for a in _positional(function) if a.annotation is not None]
    alone = [each for each in annotations if isinstance(each, ast.Name)]
    unions = [each for each in annotations if isinstance(each, ast.BinOp)]
    names = [*alone, *(node for union in unions for node in ast.walk(union))]
    return any(isinstance(node, ast.Name) and node.id == "bool" for node in names)


def _functions(wrong: Callable[[Function], bool]) -> list[str]:
    """Return the functions that are wrong, and where."""
    return [
        f"{name_of(path)}:{function.lineno} {function.name}"
        for path in files(*CODE)
        for function in functions(path)
        if wrong(function)
    ]


def test_functions_are_short() -> None:
    """A function has at most 60 lines."""
    assert [] == _functions(lambda function: _lines(function) > FUNCTION_LINES)


def test_modules_are_short() -> None:
    """A module has at most 500 lines."""
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in files(*CODE)}
    long = {name for name, length in lengths.items() if length > MODULE_LINES}
    assert set() == long - LONG_BY_NATURE


def test_functions_take_few_positional_arguments() -> None:
    """A function takes at most four arguments by position; a test's are given by name."""
    assert [] == _functions(
        lambda function: (
            len(_positional(function)) > POSITIONAL and not function.name.startswith("test_")
        )
    )


def test_no_public_function_takes_a_bare_boolean() -> None:
    """A caller never writes a True that nobody understands: it is named, or another function."""
    bare = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in files("benefits")
        for node in public(path)
        if isinstance(node, Function) and _takes_bool(node)
    ]
    assert [] == bare


def test_lines_are_short() -> None:
    """A line has at most 99 characters, the reason for an exception from a rule not counted."""
    long = [
        f"{name_of(path)}:{number}"
        for ending in (".py", ".sql", ".html")
        for path in files(*CODE, ending=ending)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(re.sub(r"\s+# (no[q]a|type: ignore).*", "", line)) > COLUMNS
    ]
    assert [] == long


def test_no_module_is_named_for_nothing() -> None:
    """There is no room for what belongs nowhere."""
    named = {
        name_of(path): {*name_of(path).removesuffix(".py").split("/")} for path in files(*CODE)
    }
    assert [] == [name for name, parts in named.items() if parts & NO_ROOM]


def test_no_class_is_named_for_its_role() -> None:
    """A class is named for what it is, without a suffix that says nothing."""
    empty = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in files(*CODE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(NO_SUFFIX)
        and node.name not in NAMED_BY_OTHERS
    ]
    assert [] == empty
