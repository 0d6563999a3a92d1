"""Codes in stock while claims are decided: locked once for a group, each given to one claim (V-1).

They are locked last of all, after the shared counters, and without waiting for other claims.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from benefits.domain.benefit import Benefit
from benefits.domain.entitlement import CODES_SEEN
from benefits.domain.programme import Programme
from benefits.store import pool
from benefits.store.db import Connection, Writer
from benefits.store.pool import Shelf, Stocked

A_MOMENT = timedelta(microseconds=1)  # what ends now has ended (C-10)


def shelf_of(
    programme: Programme, benefit: Benefit, now: datetime, use_until: datetime | None
) -> Shelf | None:
    """Return from which codes a claim made now takes its own; None where a provider is asked.

    None of them ends before what is claimed can be used no more (P-9).
    """
    if not programme.providers[benefit.provider].is_stock:
        return None
    lasts = now + A_MOMENT if use_until is None else max(use_until, now + A_MOMENT)
    return Shelf(benefit.provider, benefit.sku, lasts)


class CodeStock:
    """What free codes there are, and which claims take them."""

    def __init__(self) -> None:
        """Know of none; `lock` or `look` reads them."""
        self._locked: dict[Shelf, list[Stocked]] = {}
        self._seen: dict[Shelf, int] = {}
        self._taken: dict[UUID, UUID] = {}

    async def lock(self, conn: Connection, wanted: Iterable[tuple[Shelf, int]]) -> None:
        """Lock codes for so many pieces from each shelf."""
        of_sku = dict[tuple[str, str], int]()
        shelves = set[Shelf]()
        for shelf, pieces in wanted:
            shelves.add(shelf)
            of_sku[shelf.provider, shelf.sku] = of_sku.get((shelf.provider, shelf.sku), 0) + pieces
        ordered = sorted(shelves, key=lambda shelf: (shelf.provider, shelf.sku, shelf.lasts))
        if ordered:  # one code may stand on two shelves of an SKU
            asked = [(shelf, of_sku[shelf.provider, shelf.sku]) for shelf in ordered]
            self._locked = await pool.lock(conn, asked)

    async def look(self, conn: Connection, shelves: Iterable[Shelf]) -> None:
        """See how many codes there are for each shelf, as far as one claim may ask."""
        if wanted := [(shelf, CODES_SEEN) for shelf in dict.fromkeys(shelves)]:
            self._seen = await pool.free(conn, wanted)

    def free(self, shelf: Shelf | None) -> int | None:
        """Return how many codes a claim could take by now; None where it takes none."""
        if shelf is None:
            return None
        locked = self._locked.get(shelf)
        return self._seen.get(shelf, 0) if locked is None else len(self._left(locked))

    def take(self, shelf: Shelf, pieces: int, claim_id: UUID) -> list[Stocked]:
        """Give a claim its codes, those that end first."""
        taken = self._left(self._locked[shelf])[:pieces]
        assert len(taken) == pieces, "a claim is refused where too few are left"
        self._taken |= {code.code_id: claim_id for code in taken}
        return taken

    def _left(self, codes: list[Stocked]) -> list[Stocked]:
        return [code for code in codes if code.code_id not in self._taken]

    async def write(self, writer: Writer, now: datetime) -> None:
        """Write whose the codes are."""
        await pool.take(writer, list(self._taken.items()), now)
