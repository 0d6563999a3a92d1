"""What must be so before requests are sent to a process, as far as the database knows."""

from datetime import UTC, datetime

import msgspec

from benefits.store import migrate
from benefits.store.db import Connection, rows

SKEW_MAX_S = 5.0
# One look: nothing here touches a row that a writer locks.
LOOK = """
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only,
       clock_timestamp() AS now,
       (SELECT version_num FROM alembic_version) AS revision,
       has_table_privilege('posting', 'INSERT') AND has_table_privilege('outbox', 'INSERT')
           AS may_write,
       (SELECT count(*) FROM unnest(ARRAY['batch', 'posting']) AS t,
                             unnest(ARRAY[now(), now() + interval '1 month']) AS m
        WHERE to_regclass(t || to_char(m AT TIME ZONE 'UTC', '_YYYY_MM')) IS NULL) AS missing
"""


class Look(msgspec.Struct, frozen=True):
    """What one look at the database found; `clock_ahead_s` is by how much its clock is ahead."""

    read_only: bool
    clock_ahead_s: float
    revision: str
    may_write: bool
    missing_partitions: int

    def verdicts(self) -> dict[str, str]:
        """Return `ok` or what is wrong, by check."""
        skew = self.clock_ahead_s
        return {
            "writable": _ok("the database is a standby or read-only", self.read_only),
            "revision": _ok(
                f"the database is at revision {self.revision}, not {migrate.head()}",
                self.revision != migrate.head(),
            ),
            "role": _ok("this account may not write", not self.may_write),
            "partitions": _ok(
                f"{self.missing_partitions} partitions of this or the next month are missing",
                self.missing_partitions > 0,
            ),
            "clock": _ok(
                f"the database's clock is {skew:+.1f} s off ours, more than {SKEW_MAX_S:g} s",
                abs(skew) > SKEW_MAX_S,
            ),
        }


def _ok(words: str, wrong: object) -> str:
    return words if wrong else "ok"


async def look(conn: Connection) -> Look:
    """Look at the database once."""
    before = datetime.now(UTC)
    ((read_only, now, revision, may_write, missing),) = await rows(conn, LOOK)
    between = before + (datetime.now(UTC) - before) / 2
    return Look(read_only, (now - between).total_seconds(), revision, may_write, missing)
