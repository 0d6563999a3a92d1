"""See what codes there are that were bought in advance, and tell once when few are left (V-9)."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from benefits.actions.code_stock import A_MOMENT
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Catalogue
from benefits.domain.code_stocks import low_stocks
from benefits.domain.refusal import Refusal
from benefits.store import common_events, pool
from benefits.store.db import Connection
from benefits.store.pool import Shelf, Sku, Stock


class UnknownStock(Refusal):
    """No programme in force has a provider of this code whose codes lie in stock."""

    code = "unknown_stock"
    words = "No provider of this code has codes in stock."


class SkuStock(msgspec.Struct, frozen=True, kw_only=True):
    """How many codes of an SKU are free; with fewer than `low_stock` its stock is low."""

    sku: str
    free: int
    low_stock: int

    @property
    def is_low(self) -> bool:
        """Whether operators are told."""
        return self.free < self.low_stock


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's stock, by SKU and by batch."""

    skus: list[SkuStock]
    batches: list[Stock]


class Low(msgspec.Struct, frozen=True, kw_only=True):
    """A stock that came below its threshold."""

    provider: str
    sku: str
    free: int
    below: int


def has_stock(catalogue: Catalogue, provider: str) -> bool:
    """Say whether a provider of this code has codes in stock by a programme in force."""
    found = (each.providers.get(provider) for each in catalogue.programmes.values())
    return any(one is not None and one.is_stock for one in found)


async def see_stock(conn: Connection, provider: str, parts: Parts) -> Seen | None:
    """Return a provider's stock; None where none of this code has one."""
    now, catalogue = parts.clock(), await parts.catalogue.current(conn)
    if not has_stock(catalogue, provider):
        return None
    batches = await pool.batches(conn, provider, now)
    free = {one.sku: 0 for one in batches}
    low = {sku: below for (code, sku), below in low_stocks(catalogue).items() if code == provider}
    free |= dict.fromkeys(low, 0)
    for one in batches:
        free[one.sku] += one.free
    skus = [SkuStock(sku=sku, free=free[sku], low_stock=low.get(sku, 0)) for sku in sorted(free)]
    return Seen(skus=skus, batches=batches)


async def watch_stock(conn: Connection, parts: Parts) -> list[Low]:
    """Return which stocks came below their thresholds since they were told last, each once."""
    now = parts.clock()
    below = low_stocks(await parts.catalogue.current(conn))
    free = await _free(conn, [(key, most) for key, most in below.items() if most], now)
    is_low = [key for key in sorted(free) if free[key] < below[key]]
    await pool.enough(conn, sorted(set(below) - set(is_low)))
    new = await pool.newly_low(conn, is_low, now)
    found = [
        Low(provider=code, sku=sku, free=free[code, sku], below=below[code, sku])
        for code, sku in is_low
        if (code, sku) in new
    ]
    if found:
        await common_events.serial(conn)
        told = [msgspec.structs.asdict(one) for one in found]
        await common_events.tell(conn, "codes.low", told, now=now, new_id=parts.new_id)
    return found


async def _free(
    conn: Connection, wanted: Iterable[tuple[Sku, int]], now: datetime
) -> dict[Sku, int]:
    """Return how many codes are free now, up to a bound each."""
    asked = [(Shelf(code, sku, now + A_MOMENT), most) for (code, sku), most in wanted]
    found = await pool.free(conn, asked)
    return {(shelf.provider, shelf.sku): count for shelf, count in found.items()}
