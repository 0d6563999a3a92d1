"""Breakers, rates and words about providers: read before each lease, written after calls.

Whoever leases never waits for a row here: what another worker holds is left to it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.circuits import Circuit, Minute, Tokens
from benefits.store.db import Connection, rows, run

Pair = tuple[str, str]  # a provider, a SKU

_COLUMNS = "c.provider, c.sku, c.minutes, c.why, c.paused_until, c.pauses, c.probing_until"
ALL = f"SELECT {_COLUMNS} FROM provider_circuit AS c ORDER BY c.provider, c.sku"
OPEN = f"SELECT {_COLUMNS} FROM provider_circuit AS c WHERE c.paused_until IS NOT NULL"
_NAMED = f"""
SELECT {_COLUMNS} FROM provider_circuit AS c
JOIN unnest($1::text[], $2::text[]) AS k (provider, sku)
  ON k.provider = c.provider AND k.sku = c.sku
ORDER BY c.provider, c.sku
"""
LOCK = f"{_NAMED} FOR UPDATE OF c"
LOCK_FREE = f"{_NAMED} FOR UPDATE OF c SKIP LOCKED"
ADD = """
INSERT INTO provider_circuit (provider, sku)
SELECT k.* FROM unnest($1::text[], $2::text[]) AS k (provider, sku)
ON CONFLICT DO NOTHING
"""
PUT = """
UPDATE provider_circuit AS c
SET minutes = k.minutes::jsonb, why = k.why, paused_until = k.paused_until, pauses = k.pauses,
    probing_until = k.probing_until
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::int[],
            $7::timestamptz[])
     AS k (provider, sku, minutes, why, paused_until, pauses, probing_until)
WHERE c.provider = k.provider AND c.sku = k.sku
"""
TOKENS = """
SELECT t.provider, t.left_over, t.at FROM provider_tokens AS t
WHERE t.provider = ANY($1::text[]) ORDER BY t.provider FOR UPDATE SKIP LOCKED
"""
ADD_TOKENS = """
INSERT INTO provider_tokens (provider, left_over, at)
SELECT k.provider, 0, $2 FROM unnest($1::text[]) AS k (provider)
ON CONFLICT DO NOTHING RETURNING provider
"""
PUT_TOKENS = """
UPDATE provider_tokens AS t SET left_over = k.left_over::float8, at = k.at
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (provider, left_over, at)
WHERE t.provider = k.provider
"""
# ix_provider_word_provider_sku_word_id: ids come in the order of time.
WORDS = """
SELECT DISTINCT ON (w.provider, w.sku) w.provider, w.sku, w.verb, w.until, w.reason, w.actor,
       w.said_at
FROM provider_word AS w ORDER BY w.provider, w.sku, w.word_id DESC
"""
SAY = """
INSERT INTO provider_word (word_id, provider, sku, verb, until, reason, actor, said_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
SERIAL = "SELECT pg_advisory_xact_lock(hashtextextended('provider words', 0))"


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said last of a provider or one of its SKUs; an empty `sku` is all of them."""

    provider: str
    sku: str
    verb: str
    until: datetime | None
    reason: str
    actor: str
    said_at: datetime

    def is_pausing(self, now: datetime) -> bool:
        """Say whether it keeps calls back now."""
        return self.verb == "PAUSE" and (self.until is None or self.until > now)


async def everything(conn: Connection) -> dict[Pair, Circuit]:
    """Return all breakers."""
    return _circuits(await rows(conn, ALL))


async def open_ones(conn: Connection) -> dict[Pair, Circuit]:
    """Return the breakers that do not let everything through."""
    return _circuits(await rows(conn, OPEN))


async def lock_free(conn: Connection, pairs: Collection[Pair]) -> dict[Pair, Circuit]:
    """Lock breakers; what somebody else holds is left out."""
    return _circuits(await rows(conn, LOCK_FREE, *_keys(pairs))) if pairs else {}


async def lock(conn: Connection, pairs: Collection[Pair]) -> dict[Pair, Circuit]:
    """Lock breakers, those that nobody heard of yet included."""
    keys = _keys(pairs)
    found = _circuits(await rows(conn, LOCK, *keys))
    if len(found) < len(pairs):
        await run(conn, ADD, *keys)
        found = _circuits(await rows(conn, LOCK, *keys))
    return found


async def put(conn: Connection, circuits: Mapping[Pair, Circuit]) -> None:
    """Write locked breakers."""
    if not circuits:
        return
    each = list(circuits.values())
    await run(
        conn,
        PUT,
        *_keys(circuits),
        [msgspec.json.encode(one.minutes).decode() for one in each],
        [one.why for one in each],
        [one.paused_until for one in each],
        [one.pauses for one in each],
        [one.probing_until for one in each],
    )


async def lock_tokens(
    conn: Connection, providers: Sequence[str], now: datetime
) -> dict[str, Tokens | None]:
    """Lock what limited providers have left, None for new ones; others' locks are left out."""
    if not providers:
        return {}
    found = await rows(conn, TOKENS, list(providers))
    held: dict[str, Tokens | None] = {row.provider: Tokens(row.left_over, row.at) for row in found}
    if missing := sorted(set(providers) - set(held)):
        held |= {row.provider: None for row in await rows(conn, ADD_TOKENS, missing, now)}
    return held


async def put_tokens(conn: Connection, tokens: Mapping[str, Tokens]) -> None:
    """Write what locked providers have left."""
    if tokens:
        each = tokens.values()
        left, at = [str(one.left) for one in each], [one.at for one in each]
        await run(conn, PUT_TOKENS, list(tokens), left, at)


async def words(conn: Connection) -> dict[Pair, Word]:
    """Return what was said last of providers and SKUs."""
    return {(row.provider, row.sku): Word(**row._asdict()) for row in await rows(conn, WORDS)}


async def serial(conn: Connection) -> None:
    """Let words be said one after the other."""
    await run(conn, SERIAL)


async def say(conn: Connection, word_id: UUID, word: Word) -> None:
    """Keep a word."""
    await run(conn, SAY, word_id, *msgspec.structs.astuple(word))


def _keys(pairs: Iterable[Pair]) -> tuple[list[str], list[str]]:
    ordered = list(pairs)
    return [provider for provider, _ in ordered], [sku for _, sku in ordered]


def _circuits(found: Sequence[Any]) -> dict[Pair, Circuit]:
    circuits = dict[Pair, Circuit]()
    for row in found:
        values = row._asdict()
        pair = (values.pop("provider"), values.pop("sku"))
        minutes = msgspec.convert(values.pop("minutes"), tuple[Minute, ...])
        circuits[pair] = Circuit(minutes=minutes, **values)
    return circuits
