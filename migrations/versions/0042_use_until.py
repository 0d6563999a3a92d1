"""Until when what was claimed can be used (P-9).

Why: a claim keeps the terms that it was made under, whatever the benefit says by then.
Locks: `claim` for a moment; no row is written.
"""

from alembic import op

revision = "0042"
down_revision = "0041"

STATEMENTS = ("ALTER TABLE claim ADD COLUMN use_until TIMESTAMP WITH TIME ZONE",)


def upgrade() -> None:
    """Add the column, of no claim that was made so far."""
    for statement in STATEMENTS:
        op.execute(statement)
