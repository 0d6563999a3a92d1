"""Customers are merged: one row per customer stays, and says whom it counts for now (T-10).

Why: two customer numbers of one person become one member. `merged_into` was there; whoever has
others merged into them is told by `has_merged`, so that nobody else pays for the looking.
Locks: ACCESS EXCLUSIVE on `member` while its rows are checked; writes while its index is made.
"""

from textwrap import dedent

from alembic import op

revision = "0033"
down_revision = "0032"

STATEMENTS = (
    "ALTER TABLE member ADD COLUMN has_merged boolean NOT NULL DEFAULT false",
    """
    ALTER TABLE member ADD CONSTRAINT ck_member_merged CHECK (
        merged_into IS NULL OR merged_into <> member_id AND NOT has_merged)
    """,
    "CREATE INDEX ix_member_merged_into ON member (merged_into) WHERE merged_into IS NOT NULL",
)


def upgrade() -> None:
    """Add the column, the check and the index."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
