"""Feeds of changes alone, each standing on its source's day before (A-2).

Why: a bank whose systems tell only what changed need not send all balances every day.
Locks: ACCESS EXCLUSIVE on `feed`, a row per source and day, for as long as its check takes.
"""

from textwrap import dedent

from alembic import op

revision = "0034"
down_revision = "0033"

STATEMENTS = (
    "ALTER TABLE feed ADD COLUMN kind text NOT NULL DEFAULT 'FULL'",
    """
    ALTER TABLE feed ADD CONSTRAINT ck_feed_kind CHECK (
        kind = 'FULL' OR kind = 'DELTA' AND revision >= 0 AND extract(day FROM as_of) > 1)
    """,
)


def upgrade() -> None:
    """Add the column; all feeds so far are FULL."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
