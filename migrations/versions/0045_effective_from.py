"""When a version of a programme begins, which may be later than when it was applied (U-1).

Why: a version that is agreed on today may hold from an instant to come.
Locks: `programme`, for as long as its few rows take.
"""

from alembic import op

revision = "0045"
down_revision = "0044"

STATEMENTS = (
    "ALTER TABLE programme ADD COLUMN effective_from TIMESTAMP WITH TIME ZONE",
    "UPDATE programme SET effective_from = applied_at",
    "ALTER TABLE programme ALTER COLUMN effective_from SET NOT NULL",
    """
    ALTER TABLE programme ADD CONSTRAINT ck_programme_effective_from
    CHECK (effective_from >= applied_at)
    """,
)


def upgrade() -> None:
    """Add the column; versions so far began when they were applied."""
    for statement in STATEMENTS:
        op.execute(statement)
