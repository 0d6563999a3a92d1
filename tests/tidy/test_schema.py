"""The rules of the schema that let it grow: the bucket stands first, and in every statement."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint

import benefits.store
from benefits.store.schema import metadata
from tests.tidy.sources import files, modules, name_of

# Small, read everywhere, of no member; `counter` is placed by its own name.
REFERENCE = {"installation", "programme", "api_key", "counter"}
BUCKETED = sorted(set(metadata.tables) - REFERENCE)

_TOUCHES = re.compile(
    rf"\b(FROM|JOIN|UPDATE|INTO|USING)\s+({'|'.join(BUCKETED)})\b(?:\s+AS\s+(\w+))?", re.IGNORECASE
)


def _tables(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("table", [metadata.tables[n] for n in names], ids=names)


def _statements(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Yield the texts a module keeps under names, alone or in dictionaries and tuples."""
    for name, value in vars(module).items():
        texts = value.values() if isinstance(value, dict) else value
        for text in [texts] if isinstance(texts, str) else _listed(texts):
            yield f"{module.__name__}.{name}", text


def _listed(value: object) -> list[str]:
    if not isinstance(value, tuple | list) and type(value).__name__ != "dict_values":
        return []
    assert isinstance(value, tuple | list) or hasattr(value, "__iter__")
    return [text for text in value if isinstance(text, str)]


def _without_bucket(sql: str) -> list[str]:
    """Return what a statement touches without naming its bucket."""
    missing = []
    for verb, table, alias in _TOUCHES.findall(sql):
        if verb.upper() == "INTO":
            named = re.search(rf"INTO\s+{table}\s*\(\s*bucket\b", sql)
        elif alias:
            named = re.search(rf"\b{alias}\.bucket\b", sql)
        else:
            named = re.search(r"\bbucket\b", sql)
        if not named:
            missing.append(f"{verb} {table}")
    return missing


def test_reference_tables_are_those_without_a_member() -> None:
    """A table is of a member, and has a bucket, or is on the short list of those that are not."""
    has_bucket = {t.name for t in metadata.tables.values() if "bucket" in t.columns}
    has_member = {t.name for t in metadata.tables.values() if "member_id" in t.columns}
    assert set(BUCKETED) == has_bucket
    assert set() == has_member & REFERENCE
    assert set(metadata.tables) >= REFERENCE


@_tables(BUCKETED)
def test_every_key_begins_with_the_bucket(table: Table) -> None:
    """Primary key, unique keys and foreign keys hold within a bucket, so a bucket can move."""
    keys = {
        str(key.name): next(iter(key.columns)).name
        for key in table.constraints
        if isinstance(key, PrimaryKeyConstraint | UniqueConstraint | ForeignKeyConstraint)
    }
    keys |= {str(index.name): index.columns[0].name for index in table.indexes if index.unique}
    assert {name: "bucket" for name in keys} == keys


@_tables(BUCKETED)
def test_the_bucket_is_bounded(table: Table) -> None:
    """A bucket is 0 to 1023: checked, or taken over from the row a foreign key names."""
    checked = f"ck_{table.name}_bucket" in {constraint.name for constraint in table.constraints}
    assert checked or table.foreign_key_constraints


@_tables(BUCKETED)
def test_no_row_of_a_member_depends_on_a_reference_table(table: Table) -> None:
    """A foreign key to a table read everywhere would lock its row for every claim."""
    referred = {key.referred_table.name for key in table.foreign_key_constraints}
    assert set() == referred & REFERENCE


@pytest.mark.parametrize("module", modules(benefits.store), ids=lambda module: module.__name__)
def test_every_statement_names_the_bucket(module: ModuleType) -> None:
    """Wherever a statement touches a table with buckets, it says which."""
    found = {name: bad for name, sql in _statements(module) if (bad := _without_bucket(sql))}
    assert {} == found


def test_a_statement_without_bucket_would_be_found() -> None:
    """The search above sees tables in every place, with and without another name."""
    assert ["FROM lot"] == _without_bucket("SELECT 1 FROM lot AS l WHERE l.lot_id = $1")
    assert ["JOIN hold"] == _without_bucket("FROM lot AS l JOIN hold AS h ON l.bucket = $1")
    assert ["UPDATE wallet"] == _without_bucket("UPDATE wallet SET held = 0")
    assert ["INTO batch"] == _without_bucket("INSERT INTO batch (batch_id, bucket) SELECT 1")
    assert [] == _without_bucket("SELECT 1 FROM counter AS c JOIN lot AS l ON l.bucket = $1")


@pytest.mark.parametrize("path", files("benefits/store"), ids=name_of)
def test_the_store_sends_sets_and_signals_nobody(path: Path) -> None:
    """No row-by-row sending, no MERGE, no NOTIFY, no sequences: each would break on many nodes."""
    words = r"\bexecutemany\b|\bMERGE\s+INTO\b|\bNOTIFY\b|\bSERIAL\b(?! =)|\bnextval\b"
    found = [
        match[0]
        for match in re.finditer(words, path.read_text())
        if not path.read_text()[match.end() :].startswith((" =", ")"))
    ]
    assert [] == found
