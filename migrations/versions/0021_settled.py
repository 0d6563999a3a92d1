"""Remember of an evaluation whether every day was known: whatever comes later corrects it (A-7).

Why: a correction may raise a tier at once, and lowers one with the next month's evaluation only.
Locks: ACCESS EXCLUSIVE on `evaluation` for an instant; no row is rewritten.
"""

from alembic import op

revision = "0021"
down_revision = "0019"


def upgrade() -> None:
    """Add the column; months evaluated before count as not settled."""
    op.execute("ALTER TABLE evaluation ADD COLUMN settled boolean NOT NULL DEFAULT false")
