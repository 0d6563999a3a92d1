"""Values read and written as TOML: short tables stand on one line, the rest under headings.

What is read back is what was written; nothing is lost but what is None, which TOML cannot say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

Of = TypeVar("Of")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LINE = 90


def read(text: str, of: type[Of]) -> Of:
    """Read a document that people wrote (msgspec.DecodeError, RecursionError).

    Some editors put a mark of the order of bytes before it, which says nothing.
    """
    return msgspec.toml.decode(text.removeprefix("\ufeff"), type=of, strict=False)


def write(table: Mapping[str, Any]) -> str:
    """Write a table of strings, numbers, booleans, lists and tables as a TOML document."""
    return "\n".join(_table((), table)).strip("\n") + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table: what stands on a line first, then what has a heading."""
    given = {key: value for key, value in table.items() if value is not None}
    below = {key: value for key, value in given.items() if _has_heading(key, value)}
    for key, value in given.items():
        if key not in below:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in below.items():
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            yield from ("", f"[{name}]")
            yield from _table((*path, key), value)
        else:
            for each in value:
                yield from ("", f"[[{name}]]")
                yield from _table((*path, key), each)


def _has_heading(key: str, value: Any) -> bool:
    """Say whether a value is a table too long for a line, or a list of tables."""
    if isinstance(value, Mapping):
        return len(f"{_key(key)} = {_value(value)}") > _LINE
    listed = isinstance(value, list | tuple) and bool(value)
    return listed and all(isinstance(each, Mapping) for each in value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """Write a string; JSON's escapes are TOML's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int() | float():
            return repr(value)
        case Mapping():
            pairs = (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
            inner = ", ".join(pairs)
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            msg = f"TOML has no {type(value).__name__}"
            raise TypeError(msg)
