"""How tests send labels: feeds in chunks with their manifests, as a label platform does."""

from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from typing import Any

from benefits.actions.fill_feed import Part
from benefits.actions.fill_labels import judge_labels, open_labels, put_labels, see_labels
from benefits.actions.seal_labels import LabelSealing, seal_labels_at_once
from benefits.domain.feeds import Manifest, digest_of
from benefits.domain.label_feeds import LabelFeedKey
from benefits.store.db import Connection
from benefits.store.label_feeds import LabelFeed
from tests.builders import World

HEADER = "customer,label,layer,valid_from,valid_to\n"
VERSION = LabelFeedKey("2025-06")


def chunk(*lines: str) -> bytes:
    """Write lines as a chunk."""
    return "".join([HEADER, *(f"{line}\n" for line in lines)]).encode()


def said(chunks: Sequence[bytes], rows: int | None = None) -> Manifest:
    """Say of chunks what they are, or that they have other lines."""
    lines = sum(one.count(b"\n") - 1 for one in chunks)
    digest = digest_of(sha256(one).digest() for one in chunks)
    return Manifest(rows=lines if rows is None else rows, totals={}, sha256=digest)


async def put(world: World, key: LabelFeedKey, number: int, text: bytes) -> bool:
    """Send a chunk; return whether it was new."""
    ready = judge_labels(Part.of(number, text), key, world.parts.envelope)
    async with world.database.transaction() as conn:
        return (await put_labels(conn, key, ready, world.parts))[1]


async def filled(world: World, key: LabelFeedKey, chunks: Sequence[bytes]) -> None:
    """Open a feed and send its chunks, the last one first."""
    async with world.database.transaction() as conn:
        await open_labels(conn, key, world.parts)
    for number in range(len(chunks), 0, -1):
        assert await put(world, key, number, chunks[number - 1])


async def sealed(world: World, key: LabelFeedKey, manifest: Manifest) -> LabelFeed:
    """Seal a feed as a request does; return how it stands."""

    async def work(conn: Connection) -> LabelFeed:
        await seal_labels_at_once(conn, LabelSealing(key, manifest), world.parts)
        return (await see_labels(conn, key)).feed

    return await world.database.transact(work)


async def sent(world: World, key: LabelFeedKey, *chunks: bytes) -> LabelFeed:
    """Send a feed and seal it; return how it stands."""
    await filled(world, key, chunks)
    return await sealed(world, key, said(chunks))


async def carried(world: World) -> set[tuple[str, Any, date, date | None, Any]]:
    """Return what counts of all labels: name, layer, first day, first day without, version."""
    found = await world.rows(
        "SELECT DISTINCT ON (member_id, label, valid_from) label, layer, valid_from, valid_to, "
        "source_version FROM member_label ORDER BY member_id, label, valid_from, recorded_at DESC"
    )
    return {tuple(row) for row in found}
