"""Until when a provider asked to be left alone about a request (V-3).

Why: neither a callback nor a person's "now" calls it sooner.
Locks: `provider_request` for a moment, no row is written.
"""

from alembic import op

revision = "0057"
down_revision = "0055"


def upgrade() -> None:
    """Add the instant; of what was asked before nothing is known."""
    op.execute("ALTER TABLE provider_request ADD COLUMN not_before TIMESTAMP WITH TIME ZONE")
