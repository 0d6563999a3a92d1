"""Of what was ordered fewer pieces may come (V-5).

Why: a provider that delivers a part of an order has delivered it: those pieces are the member's,
and the units of the others come back.
Locks: `claim` for the catalogue alone.
"""

from textwrap import dedent

from alembic import op

revision = "0062"
down_revision = "0061"

STATEMENTS = (
    """
    ALTER TABLE claim ADD COLUMN ordered BIGINT,
        ADD COLUMN missing BIGINT DEFAULT '0' NOT NULL
    """,
    """
    ALTER TABLE claim ADD CONSTRAINT ck_claim_missing
    CHECK (quantity > 0 AND missing BETWEEN 0 AND coalesce(ordered, 0)
           AND (ordered IS NULL OR quantity <= ordered)) NOT VALID
    """,
    "ALTER TABLE claim VALIDATE CONSTRAINT ck_claim_missing",
)


def upgrade() -> None:
    """Add the columns, and check them."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
