"""Forget what may be forgotten (C-9, X-4)."""

from benefits.actions.parts import Parts
from benefits.store import prune as statements
from benefits.store.db import Connection

PAGE = 1000


async def prune(conn: Connection, parts: Parts, *, buckets: tuple[int, int]) -> int:
    """Forget ended page sessions and old refusals, a page of each; return how many."""
    return await statements.prune(conn, buckets, parts.clock(), limit=PAGE)
