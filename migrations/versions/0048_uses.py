"""Uses: what providers tell of them, and requests about orders that stand (V-2, V-5).

Why: a use can be told to the provider and undone, a delivery confirmed; what was not used ends.
Some callbacks know an order by the provider's reference alone; of one not known yet they wait.
Locks: `claim` while its indexes are built, no row is written; `provider_request` while its rows
are looked at for the new checks.
"""

from textwrap import dedent

from alembic import op

revision = "0048"
down_revision = "0047"

STATEMENTS = (
    """
    ALTER TABLE claim
        ADD COLUMN used_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN used BIGINT NOT NULL DEFAULT '0',
        ADD COLUMN ended_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN ends_at TIMESTAMP WITH TIME ZONE
    """,
    """
    ALTER TABLE provider_request
        ADD COLUMN undoes UUID,
        ADD COLUMN verdict TEXT NOT NULL DEFAULT '',
        DROP CONSTRAINT ck_provider_request_operation
    """,
    """
    ALTER TABLE provider_request
        ADD CONSTRAINT ck_provider_request_operation
        CHECK (operation IN ('ISSUE', 'CONFIRM', 'REVOKE', 'REDEEM', 'REVERSE'))
    """,
    """
    ALTER TABLE provider_request
        ADD CONSTRAINT ck_provider_request_undoes
        CHECK ((operation = 'REVERSE') = (undoes IS NOT NULL))
    """,
    "ALTER TABLE inbox ADD COLUMN next_at TIMESTAMP WITH TIME ZONE",
    """
    CREATE INDEX ix_claim_unused ON claim (ends_at)
        WHERE ends_at IS NOT NULL AND state IN ('ISSUED', 'CONFIRMED', 'PARTLY_REDEEMED')
    """,
    """
    CREATE INDEX ix_claim_reference ON claim (provider_reference)
        WHERE provider_reference <> ''
    """,
)


def upgrade() -> None:
    """Add what is known of uses, and what was decided of requests about them."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
