"""Terms of tiers, what a metric was divided by, and from which month a programme's version judges.

Why: tiers may be kept by a lock and a grace time, and averages span quarters, years or days since
the opening (T-5, M-2 to M-8); past months are judged by the version of their time (U-1).
Locks: ACCESS EXCLUSIVE on `tier_decision` and `programme` for an instant. Stop `serve` and `work`
first. Decisions from before keep NULL: they have no term, and were divided by their month's days.
Versions from before all begin in 2000-01, so the newest of them judges as it did.
"""

from textwrap import dedent

from alembic import op

revision = "0015"
down_revision = "0012"

STATEMENTS = (
    "ALTER TABLE tier_decision ADD COLUMN days SMALLINT",
    "ALTER TABLE tier_decision ADD COLUMN divisor SMALLINT",
    "ALTER TABLE tier_decision ADD COLUMN lock_until DATE",
    "ALTER TABLE tier_decision ADD COLUMN grace_until DATE",
    "ALTER TABLE programme ADD COLUMN tiers_from DATE DEFAULT '2000-01-01' NOT NULL",
)


def upgrade() -> None:
    """Add what policies need."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
