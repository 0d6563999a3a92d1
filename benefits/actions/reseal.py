"""Seal anew with the newest secret key what an earlier one sealed, so that it may be thrown away.

Page by page, each a transaction; what was sealed anew is not found again, so a run that was
stopped is simply begun again, and several may run at once. What cannot be sealed anew because it
is not there any more is the secret of an API key: what is kept of it is made anew when it is used
next (`keys.check_key`); those not used since are told.
"""

from collections.abc import AsyncIterator, Sequence

import msgspec

from benefits.actions.parts import Parts
from benefits.store import claims, keys, members, pool, sealed_values
from benefits.store.db import Connection, Database
from benefits.store.envelope import EnvelopeBroken
from benefits.store.keys import ListedKey
from benefits.store.sealed_values import CLAIMED, PLACES, STOCKED, Key, Place, Sealed


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """How far it came in one place: values sealed anew, and those that open with no key."""

    place: str
    done: int = 0
    broken: int = 0


class _Page(msgspec.Struct, frozen=True):
    """A page: what was seen last, what became of it, and what somebody else holds."""

    last: Key | None
    done: int
    broken: int
    busy: Sequence[Sealed] = ()


async def reseal(database: Database, parts: Parts) -> AsyncIterator[Resealed]:
    """Seal all stored values anew, place by place; yield after each page how far it is."""
    for place in PLACES:
        told = Resealed(place=place.name)
        for within in place.ranges:
            async for page in _pages(database, parts, place, within):
                told = Resealed(
                    place=place.name,
                    done=told.done + page.done,
                    broken=told.broken + page.broken,
                )
                yield told


async def unused_keys(conn: Connection, parts: Parts) -> list[ListedKey]:
    """Return the API keys that only an earlier secret key knows: not used since it was newest."""
    return await keys.earlier(conn, parts.envelope.mark, parts.clock())


async def _pages(
    database: Database, parts: Parts, place: Place, within: tuple[int, ...]
) -> AsyncIterator[_Page]:
    """Seal a range anew; what somebody else holds comes last, and is waited for."""
    after, busy = place.begin, list[Sealed]()
    while True:

        async def work(conn: Connection, after: Key = after) -> _Page:
            if place is STOCKED:
                await pool.alone(conn)
            head = parts.envelope.head
            found = await sealed_values.find(conn, place, within, after, head=head)
            return await _seal(conn, parts, place, found, wait=False)

        page = await database.transact(work)
        if page.last is None:
            break
        after = page.last
        busy += page.busy
        yield page
    for start in range(0, len(busy), place.page):
        some = busy[start : start + place.page]

        async def again(conn: Connection, some: Sequence[Sealed] = some) -> _Page:
            return await _seal(conn, parts, place, some, wait=True)

        yield await database.transact(again)


async def _seal(
    conn: Connection, parts: Parts, place: Place, found: Sequence[Sealed], *, wait: bool
) -> _Page:
    """Seal a page of values anew; those of claims under the locks of their members."""
    busy = await _busy(conn, found, wait=wait) if place is CLAIMED else []
    made, broken = list[tuple[Sealed, bytes]](), 0
    for one in found:
        if one in busy:
            continue
        try:
            made.append((one, parts.envelope.seal(parts.envelope.open(one.value))))
        except EnvelopeBroken:
            broken += 1
    done = await sealed_values.replace(conn, place, made)
    return _Page(found[-1].key if found else None, done, broken, busy)


async def _busy(conn: Connection, found: Sequence[Sealed], *, wait: bool) -> list[Sealed]:
    """Lock the members of claims, who write codes with them; return what others hold."""
    owners = await claims.owners(conn, [one.key[-1] for one in found])
    locked = await members.lock(conn, set(owners.values()), wait=wait)
    return [one for one in found if owners[one.key[-1]] not in locked]
