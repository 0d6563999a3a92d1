"""What a rehearsed import has taken so far: a private file on this machine that leaves with it.

Chunks of a rehearsal are undone, so a later chunk would not meet what an earlier one left. Lines
are kept here with what they speak of; those that later lines speak of too are found again.
"""

import sqlite3
from collections.abc import Sequence

import msgspec

# SQLite deletes a database without a name when it is closed; the system does, after a crash.
_NAMELESS = ""
_CACHE = "PRAGMA cache_size = -65536"
_MAKE = "CREATE TABLE line (number INTEGER PRIMARY KEY, chunk INTEGER, about TEXT, said TEXT)"
_MAKE_INDEX = "CREATE INDEX line_about ON line (about)"
_KEEP = """
INSERT INTO line
SELECT json_extract(value, '$.number'), ?2, json_extract(value, '$.about'),
       json_extract(value, '$.said')
FROM json_each(?1)
"""
# CROSS JOIN keeps the order of the tables: the new lines are few, the old ones are looked up.
_SAME = """
SELECT DISTINCT old.chunk, old.number, old.said
FROM line AS new CROSS JOIN line AS old INDEXED BY line_about
WHERE new.number >= ?1 AND old.about = new.about AND old.number < ?1
ORDER BY old.number
"""


class Kept(msgspec.Struct, frozen=True):
    """A line of a file: its number, a hash of what it speaks of, what it says."""

    number: int
    about: str
    said: str


class Earlier:
    """The lines of earlier chunks; close it when the import ends."""

    def __init__(self) -> None:
        """Begin with none."""
        self._book = sqlite3.connect(_NAMELESS, isolation_level=None, check_same_thread=False)
        self._chunks = 0
        for statement in (_CACHE, _MAKE, _MAKE_INDEX):
            self._book.execute(statement)

    def meet(self, chunk: Sequence[Kept]) -> list[list[tuple[int, str]]]:
        """Keep a chunk; return what earlier ones said of the same things, chunk by chunk."""
        if not chunk:
            return []
        self._chunks += 1
        self._book.execute(_KEEP, (msgspec.json.encode(chunk).decode(), self._chunks))
        found = dict[int, list[tuple[int, str]]]()
        for number_of_chunk, number, said in self._book.execute(_SAME, (chunk[0].number,)):
            found.setdefault(number_of_chunk, []).append((number, said))
        return [found[one] for one in sorted(found)]

    def close(self) -> None:
        """Forget everything."""
        self._book.close()
