"""Since when a month is settled (A-7).

Why: a correction takes back no tier that stood on record when the month was first decided on all
its days, and undoes what raised one since.
Locks: `evaluation` for as long as its rows take, one for each bucket and month: months that were
settled before count as settled when they were evaluated last.
"""

from alembic import op

revision = "0049"
down_revision = "0048"

STATEMENTS = (
    "ALTER TABLE evaluation ADD COLUMN settled_at TIMESTAMP WITH TIME ZONE",
    "UPDATE evaluation SET settled_at = evaluated_at WHERE settled AND bucket BETWEEN 0 AND 1023",
)


def upgrade() -> None:
    """Add the column, and fill it."""
    for statement in STATEMENTS:
        op.execute(statement)
