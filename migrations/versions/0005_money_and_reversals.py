"""Money in the books, spent units of a lot, debts, make-goods outside caps, a sweep that ends.

Why: holds reserve money in postings of their own; what was spent can come back to its lot.
Locks: ACCESS EXCLUSIVE on the named tables for an instant; SHARE while lots are indexed anew.
"""

from textwrap import dedent

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE posting ADD COLUMN party TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE lot ADD COLUMN redeemed BIGINT DEFAULT '0' NOT NULL",
    "ALTER TABLE lot ADD COLUMN swept BOOLEAN DEFAULT false NOT NULL",
    "UPDATE lot SET redeemed = granted - remaining - expired WHERE granted > remaining + expired",
    "ALTER TABLE lot DROP CONSTRAINT ck_lot_conserved",
    """
    ALTER TABLE lot ADD CONSTRAINT ck_lot_conserved
    CHECK (expired >= 0 AND redeemed >= 0 AND remaining + expired + redeemed <= granted)
    """,
    "DROP INDEX ix_lot_unspent",
    "CREATE INDEX ix_lot_unswept ON lot (expires_at) WHERE NOT swept AND expires_at IS NOT NULL",
    "ALTER TABLE wallet ADD COLUMN owed BIGINT DEFAULT '0' NOT NULL",
    "ALTER TABLE wallet DROP CONSTRAINT ck_wallet_never_negative",
    """
    ALTER TABLE wallet ADD CONSTRAINT ck_wallet_never_negative
    CHECK (available >= 0 AND held >= 0 AND owed >= 0)
    """,
    "ALTER TABLE hold ADD COLUMN uncapped BIGINT DEFAULT '0' NOT NULL",
    """
    ALTER TABLE hold ADD CONSTRAINT ck_hold_uncapped
    CHECK (uncapped >= 0 AND uncapped <= quantity)
    """,
    "ALTER TABLE hold_end ADD COLUMN uncapped BIGINT DEFAULT '0' NOT NULL",
    """
    ALTER TABLE hold_end ADD CONSTRAINT ck_hold_end_uncapped
    CHECK (uncapped >= 0 AND uncapped <= released)
    """,
    "ALTER TABLE entitlement_grant DROP CONSTRAINT ck_entitlement_grant_cause",
    """
    ALTER TABLE entitlement_grant ADD CONSTRAINT ck_entitlement_grant_cause
    CHECK (cause IN ('TIER', 'REWARD', 'MAKE_GOOD'))
    """,
)


def upgrade() -> None:
    """Add what the books need."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
