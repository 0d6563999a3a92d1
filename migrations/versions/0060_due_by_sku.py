"""What is due is found by provider and SKU (V-3).

Why: whoever looks for due requests walked through all that wait for a provider that is down or
paused; a hundred thousand of them cost each look 100 ms, and so every other provider.
Locks: SHARE on `provider_request` while the index is made: claims and workers wait. It holds only
what is still to be asked; migrate in a quiet hour where that is much.
"""

from textwrap import dedent

from alembic import op

revision = "0060"
down_revision = "0051"

STATEMENTS = (
    "DROP INDEX ix_provider_request_due",
    """
    CREATE INDEX ix_provider_request_due ON provider_request (provider, sku, next_at)
    WHERE next_at IS NOT NULL
    """,
)


def upgrade() -> None:
    """Make the index anew."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
