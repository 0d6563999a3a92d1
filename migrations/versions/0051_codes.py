"""Codes that were bought in advance, and how many of them a claim has (V-1, V-9).

Why: what is sold as codes is given from stock, at once and without asking a provider.
Locks: `claim` for a moment, no row is written.
"""

from textwrap import dedent

from alembic import op

revision = "0051"
down_revision = "0050"

STATEMENTS = (
    "ALTER TABLE claim ADD COLUMN codes BIGINT NOT NULL DEFAULT '0'",
    """
    CREATE TABLE code_batch (
        provider TEXT NOT NULL,
        sku TEXT NOT NULL,
        batch TEXT NOT NULL,
        cost_minor BIGINT,
        cost_centre TEXT NOT NULL DEFAULT '',
        imported_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_code_batch PRIMARY KEY (provider, sku, batch),
        CONSTRAINT ck_code_batch_cost CHECK (cost_minor >= 0)
    )
    """,
    """
    CREATE TABLE pool_code (
        provider TEXT NOT NULL,
        sku TEXT NOT NULL,
        code_id UUID NOT NULL,
        batch TEXT NOT NULL,
        code_hash BYTEA NOT NULL,
        code_sealed BYTEA NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE,
        imported_at TIMESTAMP WITH TIME ZONE NOT NULL,
        claim_id UUID,
        issued_at TIMESTAMP WITH TIME ZONE,
        shown_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_pool_code PRIMARY KEY (code_id),
        CONSTRAINT uq_pool_code_provider_code_hash UNIQUE (provider, code_hash),
        CONSTRAINT ck_pool_code_issued CHECK ((claim_id IS NULL) = (issued_at IS NULL)),
        CONSTRAINT ck_pool_code_shown CHECK (shown_at IS NULL OR claim_id IS NOT NULL)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX ix_pool_code_free ON pool_code (provider, sku, expires_at, code_id)
        WHERE claim_id IS NULL
    """,
    """
    CREATE INDEX ix_pool_code_claim_id ON pool_code (claim_id) WHERE claim_id IS NOT NULL
    """,
    """
    CREATE TABLE stock_low (
        provider TEXT NOT NULL,
        sku TEXT NOT NULL,
        told_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_stock_low PRIMARY KEY (provider, sku)
    )
    """,
)


def upgrade() -> None:
    """Add the tables, and the column."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
