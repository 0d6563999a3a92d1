"""The repository speaks of the product only, and gives its reasons."""

import re
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT, files, name_of

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


def _found(path: Path, pattern: str) -> list[str]:
    return [
        f"{name_of(path)}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]


TEXTS = pytest.mark.parametrize("path", _texts(), ids=name_of)


@TEXTS
def test_no_text_names_a_place_on_somebodys_machine(path: Path) -> None:
    """What is written holds on every machine."""
    assert [] == _found(path, r"(?<![\w.])/(work|root|home|Users)/")


@TEXTS
def test_no_text_names_a_package_index(path: Path) -> None:
    """Where packages come from is the lock file's and the installer's affair."""
    assert [] == _found(path, r"py[p]i\.|python[h]osted|npm[j]s|arti[f]actory|jf[r]og")


@TEXTS
def test_no_text_puts_off_what_it_should_do(path: Path) -> None:
    """What is not done is not in the code; what will be done stands in no comment."""
    assert [] == _found(path, r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")


@pytest.mark.parametrize("path", files("benefits", "migrations"), ids=name_of)
def test_every_exception_from_a_rule_has_its_reason(path: Path) -> None:
    """A rule is switched off for one line only, by name, and the line says why."""
    lines = [line for line in path.read_text().splitlines() if re.search("no[q]a|type: ign", line)]
    reason = re.compile(r"# (noqa: [A-Z0-9, ]+ - |type: ignore\[[a-z, -]+\]  # )\w+")
    assert [] == [line.strip() for line in lines if not reason.search(line)]
