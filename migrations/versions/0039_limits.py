"""Where a claim took room by limits, and which thresholds of budgets were told (K-1 to K-5).

Why: a release gives back to the windows that were taken from, whatever limits say by then; and
each threshold of a budget is told once for a total.
Locks: `claim` and `counter` for a moment each; no row is written.
"""

from alembic import op

revision = "0039"
down_revision = "0038"

STATEMENTS = (
    "ALTER TABLE claim ADD COLUMN limits JSONB",
    "ALTER TABLE counter ADD COLUMN told SMALLINT DEFAULT '0' NOT NULL",
    "ALTER TABLE counter ADD COLUMN told_of BIGINT DEFAULT '0' NOT NULL",
)


def upgrade() -> None:
    """Add the columns."""
    for statement in STATEMENTS:
        op.execute(statement)
