"""How providers stand: what of them is paused, by whom, and how many orders wait for them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.circuits import Circuit, stand
from benefits.store import circuits, open_orders
from benefits.store.circuits import Word
from benefits.store.db import Connection
from benefits.store.open_orders import Counted


class Breaker(msgspec.Struct, frozen=True):
    """A SKU's breaker and what it lets through now."""

    sku: str
    circuit: Circuit
    stand: str


class ProviderSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A provider: its breakers, pauses that people asked for and that hold, its orders."""

    code: str
    breakers: Sequence[Breaker]
    words: Sequence[Word]
    orders: Sequence[Counted]

    @property
    def oldest_at(self) -> datetime | None:
        """Since when the oldest order waits."""
        return min((one.oldest_at for one in self.orders), default=None)


async def see(conn: Connection, parts: Parts) -> list[ProviderSeen]:
    """Return all providers of programmes in force, and those for which orders wait, by code."""
    now = parts.clock()
    catalogue = await parts.catalogue.current(conn)
    found = await circuits.everything(conn)
    said = [word for word in (await circuits.words(conn)).values() if word.is_pausing(now)]
    waiting = await open_orders.counted(conn)
    codes = {code for one in catalogue.programmes.values() for code in one.providers}
    codes |= {one.provider for one in waiting}
    return [
        ProviderSeen(
            code=code,
            breakers=[
                Breaker(sku, circuit, stand(circuit, now).value)
                for (provider, sku), circuit in found.items()
                if provider == code
            ],
            words=[word for word in said if word.provider == code],
            orders=[one for one in waiting if one.provider == code],
        )
        for code in sorted(codes)
    ]
