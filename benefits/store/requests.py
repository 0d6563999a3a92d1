"""Idempotency rows: what was decided for a caller's key, kept together with its effect (C-9).

A member's own row lies in the member's bucket, so the member's lock guards it. A machine caller's
row lies where hash(caller, operation, key) says, so that the same key for another member is found;
two that race for one key meet in the primary key, and the loser runs again and finds the winner's
outcome.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from benefits.domain.requests import StoredOutcome
from benefits.domain.values import placed_bucket
from benefits.store.db import Connection, Writer, rows, write


class RequestKey(msgspec.Struct, frozen=True):
    """Where an idempotency row lies."""

    bucket: int
    caller: str
    operation: str
    key: str

    @classmethod
    def placed(cls, caller: str, operation: str, key: str) -> "RequestKey":
        """Place a row by its key alone, whatever it is about."""
        return cls(placed_bucket(caller, operation, key), caller, operation, key)


# Primary key.
FIND = """
SELECT r.bucket, r.caller, r.operation, r.key, r.body_hash, r.refusal, r.detail, r.ids
FROM request AS r
JOIN unnest($1::smallint[], $2::text[], $3::text[], $4::text[])
     AS k (bucket, caller, operation, key)
  ON r.bucket = k.bucket AND r.caller = k.caller AND r.operation = k.operation AND r.key = k.key
"""
INSERT = """
INSERT INTO request (bucket, caller, operation, key, body_hash, refusal, detail, ids, recorded_at)
SELECT n.*, $9 FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bytea[],
                           $6::text[], $7::text[], $8::jsonb[]) AS n
"""
# A group of replays only still ends in a real write, so that its commit waits like any other.
TOUCH = """
UPDATE request SET recorded_at = recorded_at
WHERE bucket = $1 AND caller = $2 AND operation = $3 AND key = $4
"""


async def find(
    conn: Connection, keys: Sequence[RequestKey]
) -> dict[RequestKey, tuple[bytes, StoredOutcome]]:
    """Return body hash and outcome of every key that was decided before."""
    columns = _columns(keys)
    found = await rows(conn, FIND, *columns)
    return {
        RequestKey(r.bucket, r.caller, r.operation, r.key): (
            r.body_hash,
            StoredOutcome(refusal=r.refusal, detail=r.detail, ids=r.ids),
        )
        for r in found
    }


async def put(
    writer: Writer, decided: Sequence[tuple[RequestKey, bytes, StoredOutcome]], now: datetime
) -> None:
    """Store outcomes in key order; a key decided elsewhere meanwhile ends the transaction."""
    ordered = sorted(decided, key=lambda d: (d[0].bucket, d[0].caller, d[0].operation, d[0].key))
    await write(
        writer,
        INSERT,
        *_columns([key for key, _, _ in ordered]),
        [body for _, body, _ in ordered],
        [outcome.refusal for _, _, outcome in ordered],
        [outcome.detail for _, _, outcome in ordered],
        [msgspec.json.encode(outcome.ids).decode() for _, _, outcome in ordered],
        now,
    )


async def touch(writer: Writer, key: RequestKey) -> None:
    """Write a decided row as it stands."""
    await write(writer, TOUCH, key.bucket, key.caller, key.operation, key.key)


def _columns(keys: Sequence[RequestKey]) -> list[list[Any]]:
    return [
        [key.bucket for key in keys],
        [key.caller for key in keys],
        [key.operation for key in keys],
        [key.key for key in keys],
    ]
