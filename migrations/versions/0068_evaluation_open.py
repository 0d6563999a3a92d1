"""Of whom days of a month are missing, each member by themselves (A-7).

Why: a month is settled of each member whose days were all known, whatever is missing of others.
What was evaluated with days missing before stays open for all of its bucket until it is evaluated
again.
Locks: none.
"""

from textwrap import dedent

from alembic import op

revision = "0068"
down_revision = "0065"

STATEMENTS = (
    """
    CREATE TABLE evaluation_open (
        bucket SMALLINT NOT NULL,
        programme TEXT NOT NULL,
        month DATE NOT NULL,
        member_id UUID NOT NULL,
        settled_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_evaluation_open PRIMARY KEY (bucket, programme, month, member_id),
        CONSTRAINT ck_evaluation_open_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
)


def upgrade() -> None:
    """Make the table."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
