"""The bank's feeds over HTTP: open one, send it in chunks, seal it; how feeds stand (A-1, A-2).

A feed is named by source, day and revision, a chunk by its number besides: names that are keys by
themselves, so a request again is the same request.
"""

import asyncio
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, put
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from benefits.actions.fill_feed import (
    Part,
    judge,
    keep_chunk,
    known_chunk,
    open_feed,
    programme_of,
)
from benefits.actions.seal_feed import Sealing, seal_at_once
from benefits.actions.see_feeds import Seen, list_feeds, list_missing, see_feed
from benefits.domain.feeds import (
    CHUNK_MAX,
    FILL_MIN,
    REVISION_MAX,
    SOURCE,
    Digest,
    FeedKey,
    FeedKind,
    FeedRefused,
    FeedState,
    FeedUnknown,
    Manifest,
    Rows,
    Totals,
)
from benefits.domain.values import BUCKETS, Month
from benefits.store import feeds
from benefits.store.db import Connection
from benefits.store.feeds import Chunk
from benefits.web import cursors, rehearsal
from benefits.web.auth import needs
from benefits.web.problems import refused

CHUNK_BYTES_MAX = 2**22
PAGE_MAX = 100
MONTH = r"\A(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])\Z"
ONE = "/v1/feeds/{source:str}/{day:date}/{revision:int}"
READERS = ("crm", "operator", "auditor")

Source = Annotated[str, PathParameter(pattern=SOURCE)]
Revision = Annotated[int, PathParameter(ge=FILL_MIN, le=REVISION_MAX)]
Sealable = Annotated[int, PathParameter(ge=0, le=REVISION_MAX)]
Number = Annotated[int, PathParameter(ge=1, le=CHUNK_MAX)]
Day = Annotated[date, PathParameter()]
KindName = Literal["CARRY_FORWARD", "ZERO", "MANUAL"]
FeedKindName = Literal["FULL", "DELTA"]
OtherDay = date | None


class ManifestView(msgspec.Struct, kw_only=True):
    """What a manifest said."""

    rows: int
    totals: dict[str, str]
    sha256: str
    kind: FeedKindName


class SealRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A manifest: lines, the exact sum of the balances of each currency, and the digest.

    `FULL`: what is absent is 0. `DELTA`: what is absent is unchanged since the day before.
    """

    rows: Rows
    totals: Totals
    sha256: Digest
    kind: FeedKindName = "FULL"


class DecidedView(msgspec.Struct, kw_only=True):
    """A month that a programme had decided."""

    programme: str
    month: str


class FeedView(msgspec.Struct, kw_only=True):
    """How a feed stands: what was received, why it was refused, how far it is applied.

    `totals` are told once it met its manifest. A revision below 0 is what people filled the day
    with (`fill`), such as the lines `carried_day` another day. A DELTA feed `waits_for` the day
    that it stands on, when that one is not sealed. `decided_before` are months it touched after
    they had been decided: evaluating the last of them anew decides them all.
    """

    source: str
    date: date
    revision: int
    programme: str
    state: str
    chunks: int
    lines: int
    bad_lines: int
    totals: dict[str, str]
    manifest: ManifestView | None
    reasons: list[str]
    applied: float
    opened_at: datetime
    judged_at: datetime | None
    sealed_at: datetime | None
    fill: KindName | None
    carried_day: OtherDay
    waits_for: OtherDay
    decided_before: list[DecidedView]


class ChunkView(msgspec.Struct, kw_only=True):
    """What a chunk holds; `errors` are the first of its lines that are not valid."""

    number: int
    sha256: str
    lines: int
    bad_lines: int
    errors: list[str]


class FeedsView(msgspec.Struct, kw_only=True):
    """A page of feeds; `next` is absent at the end."""

    feeds: list[FeedView]
    next: str | None


class MissingView(msgspec.Struct, kw_only=True):
    """Days for which a programme waits for a source."""

    programme: str
    source: str
    days: list[date]


class MissingDaysView(msgspec.Struct, kw_only=True):
    """The days of a month that are not sealed, to its last one: nothing is known of them."""

    month: str
    missing: list[MissingView]


@put(ONE, guards=[needs("crm")], tags=["feeds"], operation_id="open_feed", status_code=201)
async def put_feed(
    request: Request[Any, Any, Any],
    *,
    source: Source,
    day: Day,
    revision: Revision,
    programme: FromQuery[str | None] = None,
    dry_run: FromQuery[bool] = False,
) -> Response[FeedView]:
    """Open a feed: balances of a source at the end of a day. One that is open stays so (200).

    A day that was sealed is replaced as a whole by a higher revision. One below 0 counts only when
    two people fill a missing day with it.
    """
    key, parts = FeedKey(source, day, revision), request.app.state.parts

    async def work(conn: Connection) -> tuple[Seen, bool]:
        _, is_new = await open_feed(conn, key, programme, parts)
        return await see_feed(conn, key, parts), is_new

    seen, is_new = await rehearsal.database(request, dry_run=dry_run).transact(work)
    return Response(_view(seen), status_code=201 if is_new else 200)


@put(
    ONE + "/chunks/{chunk:int}",
    guards=[needs("crm")],
    tags=["feeds"],
    operation_id="put_chunk",
    status_code=201,
    request_max_body_size=CHUNK_BYTES_MAX,
)
async def put_chunk(
    request: Request[Any, Any, Any],
    *,
    source: Source,
    day: Day,
    revision: Revision,
    chunk: Number,
    dry_run: FromQuery[bool] = False,
) -> Response[ChunkView]:
    """Send a part of a feed: CSV with its own header. Chunks come in any order, from 1 on.

    Columns: `customer,asset_class,currency,balance[,account][,as_of]`. The same bytes again get
    the first answer (200). Lines that are not valid refuse the feed when it is sealed.
    """
    state, key = request.app.state, FeedKey(source, day, revision)
    part = Part.of(chunk, await request.body())
    async with state.database.transaction() as conn:
        feed = await feeds.one(conn, key)
        if feed is None:
            raise FeedUnknown(f"There is no feed {key}.")
        known = await known_chunk(conn, key, part)
        chosen = await programme_of(conn, feed.programme, state.parts)
    if known is not None:
        return Response(chunk_view(known), status_code=200)
    ready = await asyncio.to_thread(judge, part, key, chosen, state.parts.member_key)
    on = rehearsal.database(request, dry_run=dry_run)
    kept, is_new = await keep_chunk(on, key, ready, state.parts)
    return Response(chunk_view(kept), status_code=201 if is_new else 200)


@put(ONE + "/manifest", guards=[needs("crm")], tags=["feeds"], operation_id="seal_feed")
async def put_manifest(
    data: JSONBody[SealRequest],
    request: Request[Any, Any, Any],
    *,
    source: Source,
    day: Day,
    revision: Sealable,
    dry_run: FromQuery[bool] = False,
) -> Response[FeedView]:
    """Seal a feed by its manifest: it counts whole when all of it is as said, else not at all.

    `sha256` is that of the chunks' own digests: each in hexadecimal with a line's end, in their
    order. A feed that is long, or behind another, is `WAITING` or `APPLYING` (202) until the
    worker has sealed it; so is a DELTA feed while the day that it `waits_for` is not sealed. The
    same manifest again gets the feed as it stands.
    """
    parts = request.app.state.parts
    manifest = Manifest(
        rows=data.rows, totals=data.totals, sha256=data.sha256, kind=FeedKind(data.kind)
    )
    sealing = Sealing(FeedKey(source, day, revision), manifest)

    async def work(conn: Connection) -> Seen:
        await seal_at_once(conn, sealing, parts)
        return await see_feed(conn, sealing.key, parts)

    seen = await rehearsal.database(request, dry_run=dry_run).transact(work)
    feed = seen.received.feed
    if feed.state is FeedState.REFUSED:
        return refused(FeedRefused("; ".join(feed.reasons)))
    return Response(_view(seen), status_code=200 if feed.state is FeedState.SEALED else 202)


@get(ONE, guards=[needs(*READERS)], tags=["feeds"], operation_id="get_feed")
async def get_feed(
    request: Request[Any, Any, Any], *, source: Source, day: Day, revision: Revision
) -> FeedView:
    """Return how a feed stands. Nothing of it counts before it is `SEALED`.

    `applied` is the share of the sums that were moved.
    """
    async with request.app.state.database.transaction() as conn:
        key = FeedKey(source, day, revision)
        return _view(await see_feed(conn, key, request.app.state.parts))


@get("/v1/feeds", guards=[needs(*READERS)], tags=["feeds"], operation_id="get_feeds")
async def get_feeds(
    request: Request[Any, Any, Any],
    *,
    month: Annotated[str | None, QueryParameter(pattern=MONTH)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> FeedsView:
    """Return feeds by day, source and revision."""
    kind = f"feeds {month or ''}"
    after = cursors.read(kind, cursor, FeedKey)
    wanted = Month.parse(month) if month else None
    async with request.app.state.database.transaction() as conn:
        parts = request.app.state.parts
        found = await list_feeds(conn, parts, wanted, after=after, limit=limit + 1)
    page = found[:limit]
    more = cursors.write(kind, page[-1].received.feed.key) if len(found) > limit else None
    return FeedsView(feeds=[_view(seen) for seen in page], next=more)


@get(
    "/v1/feeds:missing",
    guards=[needs(*READERS)],
    tags=["feeds"],
    operation_id="get_missing_days",
)
async def get_missing_days(
    month: Annotated[str, QueryParameter(pattern=MONTH)], request: Request[Any, Any, Any]
) -> MissingDaysView:
    """Return which days of a month are not sealed, by programme and source.

    They hurt nobody: what is proven is given, everything else stays undetermined until they come.
    """
    wanted = Month.parse(month)
    async with request.app.state.database.transaction() as conn:
        found = await list_missing(conn, request.app.state.parts, wanted)
    return MissingDaysView(
        month=month,
        missing=[
            MissingView(
                programme=one.programme,
                source=one.source,
                days=[
                    wanted.start.replace(day=n + 1)
                    for n in range(wanted.days)
                    if one.days >> n & 1
                ],
            )
            for one in found
        ],
    )


def _view(seen: Seen) -> FeedView:
    received = seen.received
    feed = received.feed
    return FeedView(
        source=feed.source,
        date=feed.as_of,
        revision=feed.revision,
        programme=feed.programme,
        state=feed.state.value,
        chunks=received.chunks,
        lines=received.lines,
        bad_lines=received.bad,
        totals={c: f"{Decimal(n).scaleb(-seen.digits[c]):f}" for c, n in feed.totals.items()},
        manifest=_manifest_view(feed.manifest) if feed.manifest else None,
        reasons=feed.reasons,
        applied=1.0 if feed.state is FeedState.SEALED else round(feed.next_bucket / BUCKETS, 3),
        opened_at=feed.opened_at,
        judged_at=feed.judged_at,
        sealed_at=feed.sealed_at,
        fill=feed.fill and feed.fill.value,
        carried_day=feed.carried_day,
        waits_for=received.waits_for,
        decided_before=[
            DecidedView(programme=one.programme, month=str(one.month)) for one in seen.decided
        ],
    )


def _manifest_view(said: Manifest) -> ManifestView:
    return ManifestView(
        rows=said.rows, totals=said.totals, sha256=said.sha256, kind=said.kind.value
    )


def chunk_view(chunk: Chunk) -> ChunkView:
    """Tell of a chunk."""
    tally = chunk.tally
    return ChunkView(
        number=chunk.number,
        sha256=chunk.digest.hex(),
        lines=tally.rows,
        bad_lines=tally.bad,
        errors=list(tally.told),
    )


HANDLERS = [put_feed, put_chunk, put_manifest, get_feed, get_feeds, get_missing_days]
