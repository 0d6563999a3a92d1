"""Members whose tier two people have decided anew at once, because of fraud (A-7).

Why: what a correction of balances takes away waits for the next month, unless it was fraud; that
one person proposes and another approves, like a block.
Locks: ACCESS EXCLUSIVE on `proposal` for as long as its check takes.
"""

from textwrap import dedent

from alembic import op

revision = "0072"
down_revision = "0071"

STATEMENTS = (
    "ALTER TABLE proposal DROP CONSTRAINT ck_proposal_kind",
    """
    ALTER TABLE proposal ADD CONSTRAINT ck_proposal_kind CHECK (
        kind IN ('PROGRAMME', 'COMPLIANCE', 'BLOCK', 'UNBLOCK', 'ORDER', 'FRAUD'))
    """,
)


def upgrade() -> None:
    """Widen the check."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
