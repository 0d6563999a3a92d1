"""Why a code was looked at that had been shown before.

Why: it is shown once; a further look says why, and that is kept with it.
Locks: briefly, the list of looks, which no row of is rewritten or read.
"""

from textwrap import dedent

from alembic import op

revision = "0063"
down_revision = "0062"

STATEMENTS = ("ALTER TABLE code_reading ADD COLUMN again TEXT NOT NULL DEFAULT ''",)


def upgrade() -> None:
    """Make the change."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
