"""What people are told of old months, and two more kinds of corrections (A-7, L-9).

Why: what is corrected further back than the worker decides by itself is a person's to decide, who
is told of each correction once. Losses are recovered and charges to providers cleared by two.
Locks: ACCESS EXCLUSIVE on `evaluation_run` for an instant, and on `correction` for as long as its
check takes.
"""

from textwrap import dedent

from alembic import op

revision = "0041"
down_revision = "0040"

STATEMENTS = (
    "ALTER TABLE evaluation_run ADD COLUMN told_generation BIGINT",
    "ALTER TABLE correction DROP CONSTRAINT ck_correction_kind",
    """
    ALTER TABLE correction ADD CONSTRAINT ck_correction_kind CHECK (
        kind IN ('REVERSE', 'REVOKE', 'CLAW_BACK', 'FORGIVE', 'MAKE_GOOD', 'SETTLE', 'RECOVER',
                 'CLEAR'))
    """,
)


def upgrade() -> None:
    """Add the column, of no month anybody was told so far, and the kinds."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
