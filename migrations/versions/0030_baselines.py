"""Baselines: what members' metrics were before a campaign (M-12).

Why: growth is measured over a value that later corrections do not move.
Locks: none; new tables.
"""

from textwrap import dedent

from alembic import op

revision = "0030"
down_revision = "0029"

STATEMENTS = (
    """
    CREATE TABLE baseline (
        name TEXT NOT NULL,
        programme TEXT NOT NULL,
        month DATE NOT NULL,
        scale INTEGER NOT NULL,
        frozen_by TEXT NOT NULL,
        begun_at TIMESTAMP WITH TIME ZONE NOT NULL,
        next_bucket SMALLINT NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_baseline PRIMARY KEY (name),
        CONSTRAINT ck_baseline_ended CHECK ((next_bucket = 1024) = (ended_at IS NOT NULL))
    )
    """,
    """
    CREATE TABLE member_baseline (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        name TEXT NOT NULL,
        total NUMERIC(30) NOT NULL,
        divisor INTEGER NOT NULL,
        known_days INTEGER NOT NULL,
        days INTEGER NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_member_baseline PRIMARY KEY (bucket, member_id, name),
        CONSTRAINT fk_member_baseline_member FOREIGN KEY (bucket, member_id)
            REFERENCES member (bucket, member_id),
        CONSTRAINT ck_member_baseline_total CHECK (total >= 0 AND divisor > 0),
        CONSTRAINT ck_member_baseline_days CHECK (known_days BETWEEN 0 AND days)
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON member_baseline
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON member_baseline
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Add the tables; what is frozen is added to only."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
