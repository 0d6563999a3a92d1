"""Label feeds over HTTP: open one, send it in chunks, seal it; how they stand (S-1).

A feed is named by the version of the platform's list and its revision, a chunk by its number
besides: names that are keys by themselves, as those of feeds of balances are.
"""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, put
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from benefits.actions.fill_feed import Part
from benefits.actions.fill_labels import (
    judge_labels,
    known_labels,
    open_labels,
    put_labels,
    see_labels,
)
from benefits.actions.seal_labels import LabelSealing, seal_labels_at_once
from benefits.domain.feeds import (
    REVISION_MAX,
    Digest,
    FeedRefused,
    FeedState,
    FeedUnknown,
    Manifest,
    Rows,
)
from benefits.domain.label_feeds import VERSION, LabelFeedKey
from benefits.store import label_feeds
from benefits.store.db import Connection
from benefits.store.feeds import Chunk
from benefits.store.label_feeds import LabelsReceived
from benefits.web import cursors, rehearsal
from benefits.web.auth import needs
from benefits.web.feeds import PAGE_MAX, READERS, ChunkView, Number, chunk_view
from benefits.web.problems import refused

CHUNK_BYTES_MAX = 2**20  # taken in one transaction
ONE = "/v1/label-feeds/{version:str}/{revision:int}"

Version = Annotated[str, PathParameter(pattern=VERSION)]
Revision = Annotated[int, PathParameter(ge=0, le=REVISION_MAX)]


class LabelSealRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A manifest of labels: lines, and the digest."""

    rows: Rows
    sha256: Digest


class LabelManifestView(msgspec.Struct, kw_only=True):
    """What a manifest of labels said."""

    rows: int
    sha256: str


class LabelFeedView(msgspec.Struct, kw_only=True):
    """How a label feed stands: what was received, why it was refused, how far it is applied.

    Of its lines some were news and are `kept`, some said what was known (`unchanged`), others were
    `left_out`: the first of these are told, with the reason.
    """

    version: str
    revision: int
    state: str
    chunks: int
    lines: int
    bad_lines: int
    manifest: LabelManifestView | None
    reasons: list[str]
    applied: float
    kept: int
    unchanged: int
    left_out: int
    left_out_lines: list[str]
    opened_at: datetime
    judged_at: datetime | None
    sealed_at: datetime | None


class LabelFeedsView(msgspec.Struct, kw_only=True):
    """A page of label feeds; `next` is absent at the end."""

    feeds: list[LabelFeedView]
    next: str | None


@put(ONE, guards=[needs("crm")], tags=["feeds"], operation_id="open_label_feed", status_code=201)
async def put_label_feed(
    request: Request[Any, Any, Any],
    *,
    version: Version,
    revision: Revision,
    dry_run: FromQuery[bool] = False,
) -> Response[LabelFeedView]:
    """Open a feed: labels of a version of the platform's list. One that is open stays so (200).

    It adds to what was said of labels before, or says it anew; it takes back nothing that it
    leaves out. A version that was refused is sent again as its next revision.
    """
    key, parts = LabelFeedKey(version, revision), request.app.state.parts

    async def work(conn: Connection) -> tuple[LabelsReceived, bool]:
        return await open_labels(conn, key, parts)

    seen, is_new = await rehearsal.database(request, dry_run=dry_run).transact(work)
    return Response(_view(seen), status_code=201 if is_new else 200)


@put(
    ONE + "/chunks/{chunk:int}",
    guards=[needs("crm")],
    tags=["feeds"],
    operation_id="put_label_chunk",
    status_code=201,
    request_max_body_size=CHUNK_BYTES_MAX,
)
async def put_label_chunk(
    request: Request[Any, Any, Any],
    *,
    version: Version,
    revision: Revision,
    chunk: Number,
    dry_run: FromQuery[bool] = False,
) -> Response[ChunkView]:
    """Send a part of a label feed: CSV with its own header. Chunks come in any order, from 1 on.

    Columns: `customer,label,layer,valid_from[,valid_to][,version]`, as `benefits import labels`
    takes them; a version is the feed's. The same bytes again get the first answer (200). Lines
    that are not valid refuse the feed when it is sealed. Of two lines about one label and first
    day the later one counts, by chunk and line.
    """
    state, key = request.app.state, LabelFeedKey(version, revision)
    part = Part.of(chunk, await request.body())
    async with state.database.transaction() as conn:
        if await label_feeds.one(conn, key) is None:
            raise FeedUnknown(f"There is no feed {key}.")
        known = await known_labels(conn, key, part)
    if known is not None:
        return Response(chunk_view(known), status_code=200)
    ready = await asyncio.to_thread(judge_labels, part, key, state.parts.envelope)

    async def work(conn: Connection) -> tuple[Chunk, bool]:
        return await put_labels(conn, key, ready, state.parts)

    kept, is_new = await rehearsal.database(request, dry_run=dry_run).transact(work)
    return Response(chunk_view(kept), status_code=201 if is_new else 200)


@put(ONE + "/manifest", guards=[needs("crm")], tags=["feeds"], operation_id="seal_label_feed")
async def put_label_manifest(
    data: JSONBody[LabelSealRequest],
    request: Request[Any, Any, Any],
    *,
    version: Version,
    revision: Revision,
    dry_run: FromQuery[bool] = False,
) -> Response[LabelFeedView]:
    """Seal a label feed by its manifest: its lines count when all is as said, else none does.

    `sha256` is that of the chunks' own digests: each in hexadecimal with a line's end, in their
    order. A feed that is long, or behind another, is `WAITING` or `APPLYING` (202) until the
    worker has sealed it. The same manifest again gets the feed as it stands. Lines about customers
    who are not enrolled are left out, and so are those that use a whitelist's name.
    """
    parts = request.app.state.parts
    manifest = Manifest(rows=data.rows, totals={}, sha256=data.sha256)
    sealing = LabelSealing(LabelFeedKey(version, revision), manifest)

    async def work(conn: Connection) -> LabelsReceived:
        await seal_labels_at_once(conn, sealing, parts)
        return await see_labels(conn, sealing.key)

    seen = await rehearsal.database(request, dry_run=dry_run).transact(work)
    if seen.feed.state is FeedState.REFUSED:
        return refused(FeedRefused("; ".join(seen.feed.reasons)))
    return Response(_view(seen), status_code=200 if seen.feed.state is FeedState.SEALED else 202)


@get(ONE, guards=[needs(*READERS)], tags=["feeds"], operation_id="get_label_feed")
async def get_label_feed(
    request: Request[Any, Any, Any], *, version: Version, revision: Revision
) -> LabelFeedView:
    """Return how a label feed stands. None of its lines counts before it met its manifest.

    `applied` is the share of its lines that do.
    """
    async with request.app.state.database.transaction() as conn:
        return _view(await see_labels(conn, LabelFeedKey(version, revision)))


@get("/v1/label-feeds", guards=[needs(*READERS)], tags=["feeds"], operation_id="get_label_feeds")
async def get_label_feeds(
    request: Request[Any, Any, Any],
    *,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> LabelFeedsView:
    """Return label feeds by version and revision."""
    after = cursors.read("label feeds", cursor, LabelFeedKey)
    async with request.app.state.database.transaction() as conn:
        found = await label_feeds.listed(conn, after, limit=limit + 1)
    page = found[:limit]
    more = cursors.write("label feeds", page[-1].feed.key) if len(found) > limit else None
    return LabelFeedsView(feeds=[_view(seen) for seen in page], next=more)


def _view(seen: LabelsReceived) -> LabelFeedView:
    feed = seen.feed
    said = feed.manifest
    return LabelFeedView(
        version=feed.version,
        revision=feed.revision,
        state=feed.state.value,
        chunks=seen.chunks,
        lines=seen.lines,
        bad_lines=seen.bad,
        manifest=LabelManifestView(rows=said.rows, sha256=said.sha256) if said else None,
        reasons=feed.reasons,
        applied=feed.applied,
        kept=feed.kept,
        unchanged=feed.unchanged,
        left_out=feed.left_out,
        left_out_lines=feed.told,
        opened_at=feed.opened_at,
        judged_at=feed.judged_at,
        sealed_at=feed.sealed_at,
    )


HANDLERS = [
    put_label_feed,
    put_label_chunk,
    put_label_manifest,
    get_label_feed,
    get_label_feeds,
]
TYPES: tuple[type, ...] = (LabelFeedView, LabelFeedsView, LabelSealRequest)
