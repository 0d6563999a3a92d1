"""Welcomes: the tier that a new customer has at least, and what is earned beneath it (M-8).

Why: what is held and what is earned differ while a welcome runs; the sweep looks for who is new.
Locks: `member` and `tier_decision` for an instant each. The index is of no row at first; it is
made while nobody writes to members.
"""

from alembic import op

revision = "0047"
down_revision = "0045"

STATEMENTS = (
    "ALTER TABLE tier_decision ADD COLUMN earned smallint",
    "ALTER TABLE tier_decision ADD COLUMN welcome_until date",
    "ALTER TABLE member ADD COLUMN welcome_due date",
    "CREATE INDEX ix_member_welcome_due ON member (welcome_due) WHERE welcome_due IS NOT NULL",
)


def upgrade() -> None:
    """Add the columns and the index."""
    for statement in STATEMENTS:
        op.execute(statement)
