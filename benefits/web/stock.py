"""Codes that were bought in advance over HTTP: bring them, see what is left (V-1, V-9).

A code is in stock once, so the same request again changes nothing. No answer shows one.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import Request, get, put
from litestar.params import FromPath, FromQuery, JSONBody, PathParameter

from benefits.actions.import_codes import Sent, take_codes
from benefits.actions.see_stock import UnknownStock, see_stock
from benefits.domain.code_lines import NAME
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection
from benefits.store.pool import Stock
from benefits.web import rehearsal
from benefits.web.auth import needs

CODES_MAX = 5_000
BODY_BYTES_MAX = 2**22

Name = Annotated[str, PathParameter(pattern=NAME)]


class SkuStockView(msgspec.Struct, kw_only=True):
    """How many codes of an SKU are free; with fewer than `low_stock` it is low. 0 is never."""

    sku: str
    free: int
    low_stock: int
    is_low: bool


class BatchView(msgspec.Struct, kw_only=True):
    """What became of codes that were bought together, each for `cost_minor`.

    `issued` ones have a claim, `shown` of them were looked at; `expired` ones ended without a
    claim. Of those that are free `next_end` is when the first ends.
    """

    sku: str
    batch: str
    cost_minor: int | None
    cost_centre: str
    imported_at: datetime
    codes: int
    free: int
    issued: int
    shown: int
    expired: int
    next_end: datetime | None


class StockView(msgspec.Struct, kw_only=True):
    """A provider's codes, by SKU and by batch."""

    skus: list[SkuStockView]
    batches: list[BatchView]


class CodeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A code that was bought, with its PIN and its last day where it has them."""

    code: str
    pin: str = ""
    expires_on: date | None = None


class CodesRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Codes of a batch, at most 5 000 a call; those without a last day end with `expires_on`.

    Each cost `cost`, as 12.50, borne by the `cost_centre`: the same in all calls for a batch.
    """

    codes: Annotated[list[CodeRequest], msgspec.Meta(min_length=1, max_length=CODES_MAX)]
    expires_on: date | None = None
    cost: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,9}(\.[0-9]{1,3})?\Z")] | None = None
    cost_centre: Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]{0,64}\Z")] = ""


class CodeRefusedView(msgspec.Struct, kw_only=True):
    """A code that was not taken, by its place in the request, from 1, and why."""

    number: int
    why: str


class CodesTakenView(msgspec.Struct, kw_only=True):
    """How many codes came into stock, how many were there already, and which were refused."""

    kept: int
    unchanged: int
    refused: list[CodeRefusedView]


@put(
    "/v1/providers/{provider:str}/stock/{sku:str}/{batch:str}",
    guards=[needs("operator")],
    tags=["providers"],
    operation_id="put_codes",
    status_code=200,
    request_max_body_size=BODY_BYTES_MAX,
)
async def put_codes(
    data: JSONBody[CodesRequest],
    request: Request[Any, Any, Any],
    *,
    provider: Name,
    sku: Name,
    batch: Name,
    dry_run: FromQuery[bool] = False,
) -> CodesTakenView:
    """Bring codes into stock, a part of a batch or all of it. The same again changes nothing.

    They are sealed as they are read. A batch of more comes in several calls, in any order.
    """
    sent = Sent(
        provider=provider,
        sku=sku,
        batch=batch,
        expires_on=data.expires_on,
        cost=None if data.cost is None else Decimal(data.cost),
        cost_centre=data.cost_centre,
    )
    lines = [
        {"code": one.code, "pin": one.pin, "expires_on": str(one.expires_on or "")}
        for one in data.codes
    ]

    async def work(conn: Connection) -> ChunkResult:
        return await take_codes(conn, request.app.state.parts, sent, lines)

    done = await rehearsal.database(request, dry_run=dry_run).transact(work)
    return CodesTakenView(
        kept=done.kept,
        unchanged=done.unchanged,
        refused=[CodeRefusedView(number=number, why=why) for number, why in done.refused],
    )


@get(
    "/v1/providers/{provider:str}/stock",
    guards=[needs("operator", "auditor")],
    tags=["providers"],
    operation_id="get_stock",
)
async def get_stock(provider: FromPath[str], request: Request[Any, Any, Any]) -> StockView:
    """Return what is left of a provider's codes in stock; no code itself."""
    if "\x00" in provider:
        raise UnknownStock
    state = request.app.state
    async with state.database.transaction() as conn:
        found = await see_stock(conn, provider, state.parts)
    if found is None:
        raise UnknownStock
    return StockView(
        skus=[
            SkuStockView(sku=one.sku, free=one.free, low_stock=one.low_stock, is_low=one.is_low)
            for one in found.skus
        ],
        batches=[_batch(one) for one in found.batches],
    )


def _batch(one: Stock) -> BatchView:
    return BatchView(**msgspec.structs.asdict(one))


HANDLERS = [get_stock, put_codes]
