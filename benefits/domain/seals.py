"""The bytes of a batch that a seal is made over: every column, each with its length before it.

    name of the form, columns of the batch, columns of its one event, how many postings,
    columns of each posting by its line

A value's bytes are those PostgreSQL sends in binary: text in UTF-8, a UUID's 16 bytes, integers
big-endian (2 or 8 bytes), an instant as microseconds and a date as days since 2000-01-01; JSON is
the text that PostgreSQL makes of `jsonb`. Before it stand four bytes with its length; NULL is the
length -1 and nothing behind it. `store/seals.py`
makes the same bytes in the database, from the same lists of columns.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from benefits.domain import merkle

Kind = Literal["text", "json", "uuid", "int2", "int8", "xid8", "instant", "date"]

Row = Mapping[str, Any]

FORM = "benefits.batch/2"
# Every column of the tables, in this order for ever; another list is another form.
BATCH: tuple[tuple[str, Kind], ...] = (
    ("bucket", "int2"),
    ("batch_id", "uuid"),
    ("member_id", "uuid"),
    ("kind", "text"),
    ("cause_id", "uuid"),
    ("reverses", "uuid"),
    ("actor", "text"),
    ("effective_at", "instant"),
    ("recorded_at", "instant"),
    ("booked_month", "date"),
    ("xid", "xid8"),
)
# Bucket, member_id and batch_id are those of the batch: by them its event is found.
EVENT: tuple[tuple[str, Kind], ...] = (
    ("seq", "int8"),
    ("event_id", "uuid"),
    ("type", "text"),
    ("subject_id", "uuid"),
    ("data", "json"),
    ("recorded_at", "instant"),
    ("position", "int8"),
)
# Bucket and batch_id are those of the batch: by them its postings are found.
POSTING: tuple[tuple[str, Kind], ...] = (
    ("line", "int2"),
    ("debit", "text"),
    ("credit", "text"),
    ("unit", "text"),
    ("amount", "int8"),
    ("lot_id", "uuid"),
    ("party", "text"),
)
_NULL = struct.pack(">i", -1)
_INSTANT_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_DATE_ZERO = date(2000, 1, 1)
_NUMBERS = {"int2": ">h", "int8": ">q", "xid8": ">Q"}


def canonical(batch: Row, event: Row, postings: Sequence[Row]) -> bytes:
    """Return the bytes of a batch, its event and its postings, which may come in any order."""
    ordered = sorted(postings, key=lambda posting: posting["line"])
    return b"".join(
        (
            _field("text", FORM),
            *(_field(kind, batch[name]) for name, kind in BATCH),
            *(_field(kind, event[name]) for name, kind in EVENT),
            struct.pack(">i", len(ordered)),
            *(_field(kind, posting[name]) for posting in ordered for name, kind in POSTING),
        )
    )


def seal(batch: Row, event: Row, postings: Sequence[Row]) -> bytes:
    """Return the digest of the leaf that a batch becomes."""
    return merkle.leaf(canonical(batch, event, postings))


def told(event: Row | None) -> bytes:
    """Return a digest of an event; of none, too."""
    fields = [_field(kind, event[name]) for name, kind in EVENT] if event else []
    return hashlib.sha256(b"".join(fields)).digest()


def to_words(batch: Row, event: Row, postings: Sequence[Row]) -> dict[str, Any]:
    """Return a batch, its event and its postings as JSON has them; instants in UTC, to the µs."""
    return {
        **{name: _word(batch[name]) for name, _ in BATCH},
        "event": {name: _word(event[name]) for name, _ in EVENT},
        "postings": [{name: _word(line[name]) for name, _ in POSTING} for line in postings],
    }


def from_words(words: Row) -> tuple[Row, Row, list[Row]]:
    """Return what `to_words` was made from; ValueError, KeyError or TypeError when it was not."""
    event, lines = words["event"], words["postings"]
    if (len(words), len(event)) != (len(BATCH) + 2, len(EVENT)) or any(
        len(line) != len(POSTING) for line in lines
    ):
        raise ValueError("other columns than those that are sealed")
    return (
        {name: _value(kind, words[name]) for name, kind in BATCH},
        {name: _value(kind, event[name]) for name, kind in EVENT},
        [{name: _value(kind, line[name]) for name, kind in POSTING} for line in lines],
    )


def _word(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case date() | UUID():
            return str(value)
        case _:
            return value


def _value(kind: Kind, word: Any) -> Any:
    if word is None:
        return None
    match kind:
        case "uuid":
            return UUID(word)
        case "instant":
            return datetime.strptime(word, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        case "date":
            return date.fromisoformat(word)
        case "text" | "json":
            if not isinstance(word, str):
                raise TypeError("a text is asked for")
            return word
        case "int2" | "int8" | "xid8":
            if type(word) is not int:
                raise TypeError("a number is asked for")
            return word


def _field(kind: Kind, value: Any) -> bytes:
    if value is None:
        return _NULL
    made = _bytes(kind, value)
    return struct.pack(">i", len(made)) + made


def _bytes(kind: Kind, value: Any) -> bytes:
    match kind:
        case "text" | "json":
            return str(value).encode()
        case "uuid":
            assert isinstance(value, UUID)
            return value.bytes
        case "instant":
            return struct.pack(">q", (value - _INSTANT_ZERO) // timedelta(microseconds=1))
        case "date":
            return struct.pack(">i", (value - _DATE_ZERO).days)
        case "int2" | "int8" | "xid8":
            return struct.pack(_NUMBERS[kind], value)
