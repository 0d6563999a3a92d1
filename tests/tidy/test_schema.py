"""The rules of the schema that let it grow: the bucket stands first, and in every statement."""

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint

import benefits.store
from benefits.store.schema import metadata
from tests.tidy.sources import files, modules, name_of

# Small, read everywhere, of no member; `counter` is placed by its own name.
REFERENCE = {
    *("installation", "programme", "api_key", "counter", "month_close", "month_total"),
    *("month_archive", "month_restore", "feed", "feed_chunk", "asset_move"),
    *("calendar_day", "stretch", "feed_fill", "feed_fill_decision"),
    *("label_feed", "label_feed_chunk", "label_feed_part"),
    *("currency", "currency_day", "rate", "rate_run", "rate_used"),
    *("outlook_run", "evaluation_run", "baseline", "programme_notice", "period_run"),
    *("evaluation_news",),
    *("proposal", "proposal_decision", "whitelist"),
    *("provider_circuit", "provider_tokens", "provider_word"),
    *("code_batch", "pool_code", "stock_low"),
}
# One log of all buckets, in an order of its own.
LOG = {"leaf", "tree_node", "checkpoint", "checkpoint_export"}
BUCKETED = sorted(set(metadata.tables) - REFERENCE - LOG)

_TOUCHES = re.compile(
    rf"\b(FROM|JOIN|UPDATE|INTO|USING)\s+({'|'.join(BUCKETED)})\b(?:\s+AS\s+(\w+))?", re.IGNORECASE
)


def _statements(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Yield the texts a module keeps under names, alone or collected."""
    for name, value in vars(module).items():
        if name.startswith("__"):
            continue
        for text in _texts(value):
            yield f"{module.__name__}.{name}", text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


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
    assert set(BUCKETED) == has_bucket - LOG
    assert set() == has_member & (REFERENCE | LOG)
    assert set(metadata.tables) >= REFERENCE | LOG


def _keys(table: Table) -> dict[str, str]:
    """Return the first column of each key of a table, by the key's name."""
    keys = {
        str(key.name): next(iter(key.columns)).name
        for key in table.constraints
        if isinstance(key, PrimaryKeyConstraint | UniqueConstraint | ForeignKeyConstraint)
    }
    return keys | {str(i.name): i.columns[0].name for i in table.indexes if i.unique}


def test_every_key_begins_with_the_bucket() -> None:
    """Primary key, unique keys and foreign keys hold within a bucket, so a bucket can move."""
    for name in BUCKETED:
        keys = _keys(metadata.tables[name])
        assert dict.fromkeys(keys, "bucket") == keys, name


def test_the_bucket_is_bounded() -> None:
    """A bucket is 0 to 1023: checked, or taken over from the row a foreign key names."""
    for name in BUCKETED:
        table = metadata.tables[name]
        checked = f"ck_{name}_bucket" in {constraint.name for constraint in table.constraints}
        assert checked or table.foreign_key_constraints, name


def test_no_row_of_a_member_depends_on_a_reference_table() -> None:
    """A foreign key to a table read everywhere would lock its row for every claim."""
    for name in BUCKETED:
        keys = metadata.tables[name].foreign_key_constraints
        assert set() == {key.referred_table.name for key in keys} & REFERENCE, name


def test_every_statement_names_the_bucket() -> None:
    """Wherever a statement touches a table with buckets, it says which."""
    statements = [named for module in modules(benefits.store) for named in _statements(module)]
    touching = [sql for _, sql in statements if _TOUCHES.search(sql)]
    assert len(touching) > 50
    assert {} == {name: bad for name, sql in statements if (bad := _without_bucket(sql))}


def test_a_statement_without_bucket_would_be_found() -> None:
    """The search above sees tables in every place, with and without another name."""
    assert ["FROM lot"] == _without_bucket("SELECT 1 FROM lot AS l WHERE l.lot_id = $1")
    assert ["JOIN hold"] == _without_bucket("FROM lot AS l JOIN hold AS h ON l.bucket = $1")
    assert ["UPDATE wallet"] == _without_bucket("UPDATE wallet SET held = 0")
    assert ["INTO batch"] == _without_bucket("INSERT INTO batch (batch_id, bucket) SELECT 1")
    assert [] == _without_bucket("SELECT 1 FROM counter AS c JOIN lot AS l ON l.bucket = $1")


def test_the_store_sends_sets_and_signals_nobody() -> None:
    """No row-by-row sending, no MERGE, no NOTIFY, no sequences: each would break on many nodes."""
    words = r"\b(executemany|MERGE|NOTIFY|pg_notify|LISTEN|nextval|SEQUENCE)\b"
    found = [
        f"{name_of(path)}: {match[0]}"
        for path in files("benefits/store", "migrations")
        for match in re.finditer(words, path.read_text())
    ]
    assert [] == found
