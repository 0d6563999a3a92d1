"""Orders that two people decide (V-3).

Why: how an order ended that its provider never answered is proposed by one person and approved by
another, like a block.
Locks: ACCESS EXCLUSIVE on `proposal` for as long as its check takes.
"""

from textwrap import dedent

from alembic import op

revision = "0053"
down_revision = "0051"

STATEMENTS = (
    "ALTER TABLE proposal DROP CONSTRAINT ck_proposal_kind",
    """
    ALTER TABLE proposal ADD CONSTRAINT ck_proposal_kind CHECK (
        kind IN ('PROGRAMME', 'COMPLIANCE', 'BLOCK', 'UNBLOCK', 'ORDER'))
    """,
)


def upgrade() -> None:
    """Widen the check."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
