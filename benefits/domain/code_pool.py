"""When operators are told that few codes are left that were bought in advance (V-9)."""

from typing import Annotated

import msgspec

Threshold = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class CodePool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With fewer free codes of an SKU than `low_stock`, or `skus` for some, operators are told."""

    low_stock: Threshold = 0
    skus: dict[str, Threshold] = {}

    def threshold(self, sku: str) -> int:
        """Return with fewer than how many codes of an SKU its stock is low; 0 is never."""
        return self.skus.get(sku, self.low_stock)
