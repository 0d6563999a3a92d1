"""Bookings: for when a claim is, until when it is cancelled freely, and that it was (V-10).

Why: a claim may be for a time, and its member may give it up.
Locks: `claim` for the moment in which the columns are added.
"""

from alembic import op

revision = "0055"
down_revision = "0054"


def upgrade() -> None:
    """Add what is agreed on a booking."""
    op.execute("""
ALTER TABLE claim
    ADD COLUMN booked_for TIMESTAMP WITH TIME ZONE,
    ADD COLUMN cancel_until TIMESTAMP WITH TIME ZONE,
    ADD COLUMN cancelled_at TIMESTAMP WITH TIME ZONE
""")
