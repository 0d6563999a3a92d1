"""A membership-benefits and loyalty ledger service for banks."""
