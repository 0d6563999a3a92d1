"""Reversals, and corrections that one person proposes and another decides.

Why: what was posted by hand needs two people, and no posting may be given back twice.
Locks: none on tables in use; new tables only.
"""

from textwrap import dedent

from alembic import op

revision = "0007"
down_revision = "0006"

NEW = ("reversal", "correction", "correction_decision")
STATEMENTS = (
    """
    CREATE TABLE reversal (
        bucket SMALLINT NOT NULL,
        reverses UUID NOT NULL,
        line SMALLINT NOT NULL,
        batch_id UUID NOT NULL,
        by_line SMALLINT NOT NULL,
        amount BIGINT NOT NULL,
        CONSTRAINT pk_reversal PRIMARY KEY (bucket, reverses, line, batch_id),
        CONSTRAINT ck_reversal_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_reversal_amount CHECK (amount > 0)
    )
    """,
    """
    CREATE TABLE correction (
        bucket SMALLINT NOT NULL,
        correction_id UUID NOT NULL,
        member_id UUID NOT NULL,
        kind TEXT NOT NULL,
        body JSONB NOT NULL,
        effect JSONB NOT NULL,
        digest TEXT NOT NULL,
        reason TEXT NOT NULL,
        note TEXT NOT NULL,
        proposed_by TEXT NOT NULL,
        proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_correction PRIMARY KEY (bucket, correction_id),
        CONSTRAINT fk_correction_member FOREIGN KEY (bucket, member_id)
            REFERENCES member (bucket, member_id),
        CONSTRAINT ck_correction_kind CHECK (
            kind IN ('REVERSE', 'REVOKE', 'CLAW_BACK', 'FORGIVE', 'MAKE_GOOD', 'SETTLE'))
    )
    """,
    """
    CREATE INDEX ix_correction_proposed_at_correction_id
    ON correction (proposed_at, correction_id)
    """,
    """
    CREATE TABLE correction_decision (
        bucket SMALLINT NOT NULL,
        correction_id UUID NOT NULL,
        verdict TEXT NOT NULL,
        decided_by TEXT NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
        note TEXT NOT NULL,
        batch_id UUID,
        CONSTRAINT pk_correction_decision PRIMARY KEY (bucket, correction_id),
        CONSTRAINT fk_correction_decision_correction FOREIGN KEY (bucket, correction_id)
            REFERENCES correction (bucket, correction_id),
        CONSTRAINT ck_correction_decision_verdict CHECK (
            verdict IN ('APPROVED', 'REJECTED', 'WITHDRAWN')),
        CONSTRAINT ck_correction_decision_batch CHECK (
            (verdict = 'APPROVED') = (batch_id IS NOT NULL))
    )
    """,
)


def upgrade() -> None:
    """Add the tables, to be added to only."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
    for table in NEW:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
