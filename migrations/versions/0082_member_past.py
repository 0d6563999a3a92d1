"""What member rows said of relationships and mergers before they were changed.

Why: days of opening and end, and for whom a customer counts, were overwritten, so that what was
decided by them before could not be decided again (C-7, C-8). What was changed earlier is lost.
Locks: the foreign key waits for whoever writes member rows, and they for it: an instant.
"""

from textwrap import dedent

from alembic import op

revision = "0082"
down_revision = "0076"

STATEMENTS = (
    """
    CREATE TABLE member_past (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        until_at TIMESTAMP WITH TIME ZONE NOT NULL,
        opened_on DATE NOT NULL,
        closed_on DATE,
        merged_into UUID,
        CONSTRAINT pk_member_past PRIMARY KEY (bucket, member_id, until_at),
        CONSTRAINT fk_member_past_member FOREIGN KEY (bucket, member_id)
            REFERENCES member (bucket, member_id)
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON member_past
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON member_past
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Make the table; its rows stay as they are."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
