"""Replacements: of a claim what was asked for, where something else was delivered (V-6).

Why: units of a benefit whose contract ended are claimed as what replaces it.
Locks: `claim` for the moment in which the column is added.
"""

from alembic import op

revision = "0054"
down_revision = "0053"


def upgrade() -> None:
    """Add what a claim's benefit came instead of."""
    op.execute("ALTER TABLE claim ADD COLUMN instead_of TEXT NOT NULL DEFAULT ''")
