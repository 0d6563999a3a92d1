"""How far the start of periods has come; grants that segments bring (P-2, P-3).

Why: lines may bring their units on the first day of their period, to everybody who has a tier, and
to who carries a label.
Locks: entitlement_grant, while its rows are read once.
"""

from textwrap import dedent

from alembic import op

revision = "0038"
down_revision = "0037"

STATEMENTS = (
    """
    CREATE TABLE period_run (
        programme TEXT NOT NULL,
        day DATE NOT NULL,
        after DATE,
        version INTEGER NOT NULL,
        next_bucket SMALLINT NOT NULL,
        leased_until TIMESTAMP WITH TIME ZONE,
        begun_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_period_run PRIMARY KEY (programme),
        CONSTRAINT ck_period_run_ended CHECK ((next_bucket = 1024) = (ended_at IS NOT NULL)),
        CONSTRAINT ck_period_run_after CHECK (after < day)
    )
    """,
    "ALTER TABLE entitlement_grant DROP CONSTRAINT ck_entitlement_grant_cause",
    """
    ALTER TABLE entitlement_grant ADD CONSTRAINT ck_entitlement_grant_cause
    CHECK (cause IN ('TIER', 'SEGMENT', 'REWARD', 'MAKE_GOOD'))
    """,
)


def upgrade() -> None:
    """Add the table, and let segments bring units."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
