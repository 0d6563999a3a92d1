"""Tiers have other ways in than a threshold, by labels and by other metrics (T-2).

Why: a decision names the way by which the tier is held, whose term counts, and what it counted
besides the policy's metric; a label names the version of the list that said it (S-1).
Locks: ACCESS EXCLUSIVE on `tier_decision` and `member_label` for an instant each; no row is
rewritten.
"""

from alembic import op

revision = "0024"
down_revision = "0023"

STATEMENTS = (
    "ALTER TABLE member_label ADD COLUMN source_version text",
    "ALTER TABLE tier_decision ADD COLUMN before_way text",
    "ALTER TABLE tier_decision ADD COLUMN way text",
    "ALTER TABLE tier_decision ADD COLUMN grounds text",
)


def upgrade() -> None:
    """Add the columns; what is there has no other ways."""
    for statement in STATEMENTS:
        op.execute(statement)
