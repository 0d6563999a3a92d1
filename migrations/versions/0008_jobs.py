"""Jobs: long lists of rewards, taken in parts, with every refused row on record.

Why: a million rewards in one request or file must go on after any crash, and tell what they did.
Locks: none; the tables are new.
"""

from textwrap import dedent

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    """
    CREATE TABLE job (
        bucket SMALLINT NOT NULL,
        job_id UUID NOT NULL,
        caller TEXT NOT NULL,
        key TEXT NOT NULL,
        digest BYTEA NOT NULL,
        lines BIGINT NOT NULL,
        granted BIGINT DEFAULT '0' NOT NULL,
        known BIGINT DEFAULT '0' NOT NULL,
        refused BIGINT DEFAULT '0' NOT NULL,
        begun_at TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_job PRIMARY KEY (bucket, job_id),
        CONSTRAINT uq_job_bucket_caller_key UNIQUE (bucket, caller, key),
        CONSTRAINT ck_job_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_job_figures CHECK (
            granted >= 0 AND known >= 0 AND refused >= 0 AND granted + known + refused <= lines
            AND (ended_at IS NOT NULL) = (granted + known + refused = lines))
    ) WITH (fillfactor=50)
    """,
    "CREATE INDEX ix_job_running ON job (begun_at) WHERE ended_at IS NULL",
    """
    CREATE TABLE job_part (
        bucket SMALLINT NOT NULL,
        job_id UUID NOT NULL,
        part INTEGER NOT NULL,
        lines_sealed BYTEA NOT NULL,
        not_before TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_job_part PRIMARY KEY (bucket, job_id, part),
        CONSTRAINT ck_job_part_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
    """
    CREATE TABLE job_row (
        bucket SMALLINT NOT NULL,
        job_id UUID NOT NULL,
        line BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        code TEXT DEFAULT '' NOT NULL,
        detail TEXT DEFAULT '' NOT NULL,
        lot_id UUID,
        CONSTRAINT pk_job_row PRIMARY KEY (bucket, job_id, line),
        CONSTRAINT fk_job_row_job FOREIGN KEY (bucket, job_id) REFERENCES job (bucket, job_id),
        CONSTRAINT ck_job_row_outcome CHECK (outcome IN ('granted', 'known', 'refused'))
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON job_row
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON job_row
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Make the tables of jobs."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
