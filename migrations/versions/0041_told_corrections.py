"""Which news of an old month a case was opened for (A-7).

Why: what is corrected further back than the worker decides by itself is a person's to decide, who
is told of each correction once.
Locks: ACCESS EXCLUSIVE on `evaluation_run` for an instant.
"""

from alembic import op

revision = "0041"
down_revision = "0036"


def upgrade() -> None:
    """Add the column; of no month anybody was told so far."""
    op.execute("ALTER TABLE evaluation_run ADD COLUMN told_generation BIGINT")
