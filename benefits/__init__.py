"""A membership-benefits and loyalty ledger service for banks."""

VERSION = "0.1.0"
