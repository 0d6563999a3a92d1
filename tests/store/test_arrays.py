"""Arrays go as text: the database reads just what was given, whatever stands in it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.store.arrays import sent
from benefits.store.db import rows
from benefits.store.ids import make_new_id
from tests.builders import World

texts = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=9)
moments = st.datetimes(
    datetime(1, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
    timezones=st.just(UTC),
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "uuid": st.uuids(),
    "text": texts | st.sampled_from(["", "NULL", "null", "{}", ",", '"', "\\", "\\\\", ' " ']),
    "bytea": st.binary(max_size=9),
    "boolean": st.booleans(),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "int": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=3),
    "date": st.dates(),
    "timestamptz": moments,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_array_arrives_as_it_was_given(kind: str, world: World) -> None:
    """Every value of every type the statements use, with nulls, in its place."""
    kept = list[list[Any]]()

    @given(st.lists(st.none() | KINDS[kind], max_size=6))
    def gather(values: list[Any]) -> None:
        kept.append(values)

    gather()
    async with world.database.transaction() as conn:
        for values in kept:
            found = await rows(conn, f"SELECT v FROM unnest($1::{kind}[]) AS v", values)
            assert values == [row.v for row in found]


async def test_json_arrives_as_it_was_given(world: World) -> None:
    """Quotes and backslashes of JSON are JSON's."""
    given_ = ['{"a": "\\"\\\\ \\n 财富"}', "[]", None]
    async with world.database.transaction() as conn:
        found = await rows(conn, "SELECT v::text FROM unnest($1::jsonb[]) AS v", given_)
    assert given_ == [row.v for row in found]


def test_values_that_are_no_arrays_are_left_alone() -> None:
    """Only arrays change, and a null in the place of one stays."""
    now = datetime(2025, 7, 1, tzinfo=UTC)
    text, values = sent("SELECT $1::uuid, $2::int[], $3::int[]", (UUID(int=1), [1, 2], None))
    assert ("SELECT $1::uuid, $2::text::int[], $3::text::int[]", 3) == (text, len(values))
    assert (UUID(int=1), "{1,2}", None) == values
    assert ("SELECT now() < $1", (now,)) == sent("SELECT now() < $1", (now,))


def test_new_ids_never_come_twice() -> None:
    """Chance is asked for in bulk and used once."""
    new_id, at = make_new_id(), datetime(2025, 7, 1, tzinfo=UTC)
    made = [new_id(at, bucket % 1024) for bucket in range(5000)]
    assert 5000 == len(set(made))
    assert list(range(1024)) == [id_.int & 1023 for id_ in made[:1024]]
    assert {7} == {id_.version for id_ in made}
