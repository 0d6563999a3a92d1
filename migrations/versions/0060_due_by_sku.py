"""What is due is found by provider and SKU (V-3).

Why: whoever looked for due requests walked through all that wait for a provider that is down or
paused; a hundred thousand of them cost each look 100 ms, and so every other provider.
Locks: SHARE on `provider_request` while the index is made, and all of it for a moment at the end:
claims and workers wait. A worker of the version before reads all that waits at each look: replace
it soon.
"""

from textwrap import dedent

from alembic import op

revision = "0060"
down_revision = "0058"

STATEMENTS = (
    """
    CREATE INDEX ix_provider_request_due_by_sku ON provider_request (provider, sku, next_at)
    WHERE next_at IS NOT NULL
    """,
    "DROP INDEX ix_provider_request_due",
    "ALTER INDEX ix_provider_request_due_by_sku RENAME TO ix_provider_request_due",
)


def upgrade() -> None:
    """Make the index anew."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
