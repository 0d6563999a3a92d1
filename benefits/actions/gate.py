"""What may be sent to which provider now, by breakers, people's words and rates, and what came.

Waiting is all that happens to what may not go: it stays due, no attempt is used up, and nobody is
told of a failure (V-3). All workers share what stands in the database.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from benefits.domain.catalogue import Catalogue
from benefits.domain.circuits import (
    Circuit,
    Heard,
    Stand,
    Tokens,
    hear_all,
    probing,
    refilled,
    spent,
    stand,
)
from benefits.domain.orders import Rate
from benefits.store import circuits
from benefits.store.circuits import Pair
from benefits.store.db import Connection
from benefits.store.due import Room, Way
from benefits.store.orders import RequestRow


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What one lease may take: of the providers `without` and what is `stopped` only its ways.

    The rows behind `probes` and `tokens` are locked until the lease is committed.
    """

    without: frozenset[str]
    stopped: frozenset[Pair]
    ways: tuple[Way, ...]
    probes: Mapping[Pair, Circuit]
    tokens: Mapping[str, Tokens]


def rates(catalogue: Catalogue) -> dict[str, Rate]:
    """Return the rates of providers that have one."""
    return {code: able.rate for code, able in catalogue.capabilities.items() if able.rate}


async def look(
    conn: Connection,
    limits: Mapping[str, Rate],
    *,
    now: datetime,
    room: Room,
) -> Gate:
    """Return what may go now; nobody is waited for."""
    found = await circuits.open_ones(conn)
    said = {pair for pair, word in (await circuits.words(conn)).items() if word.is_pausing(now)}
    closed = {provider for provider in room.under_way if not room.of(provider)}
    closed |= {provider for provider, sku in said if not sku}
    asked = sorted(set(limits) - closed)
    held = await circuits.lock_tokens(conn, asked, now)
    closed |= set(asked) - set(held)
    tokens = {code: refilled(one, limits[code], now) for code, one in held.items()}
    left = {code: min(int(one.left), room.of(code)) for code, one in tokens.items()}
    ready = [
        pair
        for pair, circuit in found.items()
        if stand(circuit, now) is Stand.PROBE and pair[0] not in closed and pair not in said
    ]
    locked = await circuits.lock_free(conn, ready)
    probes = {pair: one for pair, one in locked.items() if stand(one, now) is Stand.PROBE}
    ways = list[Way]()
    for provider, sku in sorted(probes):
        if provider in tokens:
            if not left[provider]:
                continue
            left[provider] -= 1
        ways.append(Way(provider, sku, 1))
    ways += [Way(code, "", calls) for code, calls in sorted(left.items()) if calls]
    return Gate(
        without=frozenset(closed | set(limits)),
        stopped=frozenset({*found, *said}),
        ways=tuple(ways),
        probes=probes,
        tokens=tokens,
    )


async def went(
    conn: Connection, gate: Gate, requests: Sequence[RequestRow], until: datetime
) -> None:
    """Keep that requests were leased `until` then: which is a probe, and what tokens they took."""
    leased = {(request.provider, request.sku) for request in requests}
    taken = {pair: probing(one, until) for pair, one in gate.probes.items() if pair in leased}
    await circuits.put(conn, taken)
    calls = Counter(request.provider for request in requests)
    left = {code: spent(one, calls[code]) for code, one in gate.tokens.items() if calls[code]}
    await circuits.put_tokens(conn, left)


class Turned(msgspec.Struct, frozen=True):
    """A breaker that came to something else: paused, or closed again."""

    provider: str
    sku: str
    circuit: Circuit


async def hear(
    conn: Connection, heard: Sequence[tuple[Pair, Heard]], now: datetime
) -> list[Turned]:
    """Count what calls came to; return the breakers that opened, paused again, or closed."""
    told = dict[Pair, list[Heard]]()
    for pair, one in heard:
        told.setdefault(pair, []).append(one)
    if not told:
        return []
    before = await circuits.lock(conn, sorted(told))
    after = {pair: hear_all(before[pair], told[pair], now) for pair in before}
    changed = {pair: one for pair, one in after.items() if one != before[pair]}
    await circuits.put(conn, changed)
    return [
        Turned(*pair, one)
        for pair, one in changed.items()
        if one.paused_until != before[pair].paused_until
    ]
