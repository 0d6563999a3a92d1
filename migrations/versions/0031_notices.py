"""Notices: what members were told before a version that is worse for them holds (U-2).

Why: such a version cannot be put into force without one.
Locks: none; a new table.
"""

from textwrap import dedent

from alembic import op

revision = "0031"
down_revision = "0030"

STATEMENTS = (
    """
    CREATE TABLE programme_notice (
        notice_id UUID NOT NULL,
        programme TEXT NOT NULL,
        changes JSONB NOT NULL,
        channel TEXT NOT NULL,
        given_on DATE NOT NULL,
        text TEXT NOT NULL,
        recorded_by TEXT NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_programme_notice PRIMARY KEY (notice_id)
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON programme_notice
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON programme_notice
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Add the table; what is recorded is added to only."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
