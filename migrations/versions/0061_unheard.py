"""What nothing was heard of is found by benefit and provider (V-3).

Why: an order whose provider cannot be called at all was asked about for ever, behind a breaker not
even that; so was what was asked about it. The sweep that leaves it to people looks for it here.
Locks: SHARE on `claim` and `provider_request` while the indexes are made: claims and workers wait.
"""

from textwrap import dedent

from alembic import op

revision = "0061"
down_revision = "0060"

STATEMENTS = (
    """
    CREATE INDEX ix_claim_unheard ON claim (benefit, changed_at)
    WHERE state IN ('SUBMITTED', 'PENDING', 'UNKNOWN')
    """,
    """
    CREATE INDEX ix_provider_request_unheard ON provider_request (provider, created_at)
    WHERE next_at IS NOT NULL AND operation IN ('REVOKE', 'REDEEM', 'REVERSE')
    """,
)


def upgrade() -> None:
    """Make the indexes."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
