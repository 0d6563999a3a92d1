"""The tables of codes that were bought in advance: batches, and each code with whose claim has it.

They are of no member: a code is anybody's until a claim takes it. `schema.py` has the rules that
the other tables keep.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

code_batch = Table(
    "code_batch",
    columns.metadata,
    Column("provider", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("batch", Text, nullable=False),
    Column("cost_minor", BigInteger),
    Column("cost_centre", Text, nullable=False, server_default=""),
    Column("imported_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("provider", "sku", "batch"),
    CheckConstraint("cost_minor >= 0", name="cost"),
)

# A code that was shown belongs to its claim for ever; one that was not may come back (V-9).
pool_code = Table(
    "pool_code",
    columns.metadata,
    Column("provider", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("code_id", Uuid, nullable=False),
    Column("batch", Text, nullable=False),
    Column("code_hash", LargeBinary, nullable=False),
    Column("code_sealed", LargeBinary, nullable=False),
    Column("expires_at", INSTANT),
    Column("imported_at", INSTANT, nullable=False),
    Column("claim_id", Uuid),
    Column("issued_at", INSTANT),
    Column("shown_at", INSTANT),
    PrimaryKeyConstraint("code_id"),
    UniqueConstraint("provider", "code_hash"),
    CheckConstraint("(claim_id IS NULL) = (issued_at IS NULL)", name="issued"),
    CheckConstraint("shown_at IS NULL OR claim_id IS NOT NULL", name="shown"),
    Index(
        "ix_pool_code_free",
        *("provider", "sku", "expires_at", "code_id"),
        postgresql_where=text("claim_id IS NULL"),
    ),
    Index("ix_pool_code_claim_id", "claim_id", postgresql_where=text("claim_id IS NOT NULL")),
    postgresql_with={"fillfactor": "80"},
)

# Which stock is low, so that it is told once: a row while it is.
stock_low = Table(
    "stock_low",
    columns.metadata,
    Column("provider", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("told_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("provider", "sku"),
)
