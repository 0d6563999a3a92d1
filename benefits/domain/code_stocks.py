"""Which codes lie in stock by the programmes in force, and when a stock is low (V-9)."""

from benefits.domain.catalogue import Catalogue
from benefits.domain.code_pool import CodePool


def low_stocks(catalogue: Catalogue) -> dict[tuple[str, str], int]:
    """Return by provider and SKU with fewer than how many free codes each stock is low."""
    return {
        (benefit.provider, benefit.sku): (provider.code_pool or CodePool()).threshold(benefit.sku)
        for programme in catalogue.programmes.values()
        for benefit in programme.benefit
        if (provider := programme.providers[benefit.provider]).is_stock
    }
