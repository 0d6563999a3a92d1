"""Starts of periods, grants that segments bring, units that falls take back (P-2, P-3, P-6).

Why: lines may bring their units on the first day of their period, to everybody who has a tier, and
to who carries a label; and what a fall took is given back first when the tier rises again.
Locks: SHARE ROW EXCLUSIVE on `member`, and ACCESS EXCLUSIVE on `entitlement_grant` while its rows
are read once: claims and grants wait. Migrate in a quiet hour.
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
    """
    CREATE TABLE entitlement_change (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        programme TEXT NOT NULL,
        line TEXT NOT NULL,
        period TEXT NOT NULL,
        lot_id UUID NOT NULL,
        batch_id UUID NOT NULL,
        taken BIGINT NOT NULL,
        quota BIGINT NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_entitlement_change
            PRIMARY KEY (bucket, member_id, programme, line, period, batch_id),
        CONSTRAINT fk_entitlement_change_member
            FOREIGN KEY (bucket, member_id) REFERENCES member (bucket, member_id),
        CONSTRAINT ck_entitlement_change_taken CHECK (taken <> 0 AND quota >= 0)
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON entitlement_change
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON entitlement_change
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    "ALTER TABLE entitlement_grant DROP CONSTRAINT ck_entitlement_grant_cause",
    """
    ALTER TABLE entitlement_grant ADD CONSTRAINT ck_entitlement_grant_cause
    CHECK (cause IN ('TIER', 'SEGMENT', 'REWARD', 'MAKE_GOOD'))
    """,
)


def upgrade() -> None:
    """Add the tables, and let segments bring units."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
