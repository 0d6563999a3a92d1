"""The repository speaks of the product only, and gives its reasons."""

import ast
import re
from pathlib import Path

from tests.tidy.sources import ROOT, files, name_of, tree

FOLDERS = ("benefits", "migrations", "openapi", "docker", "docs", "tests")
WORDS = {".py", ".md", ".toml", ".json", ".html", ".css", ".js", ".sql", ".yaml", ".yml", ".mako"}
LOCKS = {"uv.lock"}


def _texts() -> list[Path]:
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name not in LOCKS]
    return sorted(
        path
        for path in (*top, *files(*FOLDERS, ending=""))
        if path.suffix in WORDS or (not path.suffix and not path.name.startswith("."))
    )


def _found(paths: list[Path], pattern: str) -> list[str]:
    return [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_no_text_names_a_place_on_somebodys_machine() -> None:
    """What is written holds on every machine."""
    assert [] == _found(_texts(), r"(?<![\w.])/(work|root|home|Users)/")


def test_no_text_names_a_package_index() -> None:
    """Where packages come from is the lock file's and the installer's affair."""
    assert [] == _found(_texts(), r"py[p]i\.|python[h]osted|npm[j]s|arti[f]actory|jf[r]og")


def test_no_text_puts_off_what_it_should_do() -> None:
    """What is not done is not in the code; what will be done stands in no comment."""
    assert [] == _found(_texts(), r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")


def test_every_exception_from_a_rule_has_its_reason() -> None:
    """A rule is switched off for one line only, by name, and the line says why."""
    lines = _found(files("benefits", "migrations", "tests"), "# no[q]a|# type: ig[n]")
    reason = re.compile(r"# (noqa: [A-Z0-9, ]+ - |type: ignore\[[a-z, -]+\]  # )\w+")
    assert [] == [line for line in lines if not reason.search(line)]


def test_no_pattern_lets_a_line_end_through() -> None:
    """To Python `$` is also before a last line end; that of the published document is not."""
    bare = [
        f"{name_of(path)}:{node.lineno}: {node.value}"
        for path in files("benefits")
        if "document" not in path.parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"^\^.*(?<!\\)\$$", node.value)
    ]
    assert [] == bare
