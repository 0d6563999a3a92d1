"""Choices: which unit of a choice became which lot (P-8).

Why: a member chooses a benefit for a unit, each once unless it may be repeated.
Locks: none on tables that are there.
"""

from textwrap import dedent

from alembic import op

revision = "0043"
down_revision = "0042"

STATEMENTS = (
    """
    CREATE TABLE choice (
        bucket SMALLINT NOT NULL,
        lot_id UUID NOT NULL,
        member_id UUID NOT NULL,
        from_lot_id UUID NOT NULL,
        batch_id UUID NOT NULL,
        programme TEXT NOT NULL,
        choice TEXT NOT NULL,
        benefit TEXT NOT NULL,
        line TEXT NOT NULL,
        period TEXT NOT NULL,
        chosen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_choice PRIMARY KEY (bucket, lot_id),
        CONSTRAINT fk_choice_member
            FOREIGN KEY (bucket, member_id) REFERENCES member (bucket, member_id)
    )
    """,
    "CREATE INDEX ix_choice_bucket_member_id ON choice (bucket, member_id)",
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON choice
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON choice
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Add the table."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
