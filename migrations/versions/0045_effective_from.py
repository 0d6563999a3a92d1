"""When a version of a programme begins, and what was really paid for captured units (U-1, K-4).

Why: a version that is agreed on today may hold from an instant to come; a price may be below the
worst cost that was reserved.
Locks: `programme`, for as long as its few rows take; `hold_end` for the catalogue alone, and to
read it once for the check.
"""

from textwrap import dedent

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
    "ALTER TABLE hold_end ADD COLUMN spent_minor BIGINT",
    """
    ALTER TABLE hold_end ADD CONSTRAINT ck_hold_end_spent
    CHECK (spent_minor IS NULL OR spent_minor >= 0 AND captured > 0) NOT VALID
    """,
    "ALTER TABLE hold_end VALIDATE CONSTRAINT ck_hold_end_spent",
)


def upgrade() -> None:
    """Add the columns; versions so far began when they were applied, at the worst cost."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
