"""Codes that were bought in advance over HTTP: what is left of each SKU and batch (V-1, V-9)."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, get
from litestar.params import FromPath

from benefits.actions.see_stock import UnknownStock, see_stock
from benefits.store.pool import Stock
from benefits.web.auth import needs


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


HANDLERS = [get_stock]
