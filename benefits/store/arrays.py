"""Array parameters as PostgreSQL reads them from text.

The driver asks of each element of an array what it is, and of each id for its bytes: for a group
of commands that was more work than deciding them. One text per array costs a tenth. Statements
say `$1::uuid[]`; what is sent says `$1::text::uuid[]`, and the type chooses who writes the text.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

_PARAMETER = re.compile(r"\$(\d+)::(\w+)\[\]")
_NULL = "NULL"

Writer = Callable[[Sequence[Any]], str]


def sent(sql: str, values: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return a statement and its values as the driver is given them."""
    if not values:
        return sql, values
    text, writers = _planned(sql)
    changed = list(values)
    for place, write in writers:
        if changed[place] is not None:
            changed[place] = write(changed[place])
    return text, tuple(changed)


@cache
def _planned(sql: str) -> tuple[str, tuple[tuple[int, Writer], ...]]:
    """Return a statement whose arrays come as text, and who writes which."""
    kinds = {int(number) - 1: kind for number, kind in _PARAMETER.findall(sql)}
    text = _PARAMETER.sub(r"$\1::text::\2[]", sql)
    return text, tuple((place, _WRITERS[kind]) for place, kind in sorted(kinds.items()))


def _words(values: Sequence[Any]) -> str:
    """Write numbers, dates: what needs no quotes."""
    return "{" + ",".join([_NULL if v is None else str(v) for v in values]) + "}"


def _ids(values: Sequence[UUID | None]) -> str:
    return "{" + ",".join([_NULL if v is None else v.hex for v in values]) + "}"


def _instants(values: Sequence[datetime | None]) -> str:
    """Write instants; those of one group are mostly one and the same."""
    written = list[str]()
    last, text = None, _NULL
    for value in values:
        if value is not last:
            last, text = value, _NULL if value is None else f'"{value.isoformat()}"'
        written.append(text)
    return "{" + ",".join(written) + "}"


def _texts(values: Sequence[str | None]) -> str:
    if not values:
        return "{}"
    if None in values:
        return "{" + ",".join([_NULL if v is None else f'"{_escaped(v)}"' for v in values]) + "}"
    joined = '","'.join(values)  # type: ignore[arg-type]  # none of them is None
    if joined.count('"') > 2 * (len(values) - 1) or "\\" in joined:
        joined = '","'.join([_escaped(v) for v in values if v is not None])
    return '{"' + joined + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _bytes(values: Sequence[bytes | None]) -> str:
    return "{" + ",".join([_NULL if v is None else f'"\\\\x{v.hex()}"' for v in values]) + "}"


_WRITERS: dict[str, Writer] = {
    "bigint": _words,
    "boolean": _words,
    "int": _words,
    "smallint": _words,
    "numeric": _words,
    "date": _words,
    "uuid": _ids,
    "timestamptz": _instants,
    "text": _texts,
    "jsonb": _texts,
    "bytea": _bytes,
}
