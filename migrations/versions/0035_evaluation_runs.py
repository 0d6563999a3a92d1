"""How far the evaluation of each month has come (T-3, A-7).

Why: months are decided once at a time, by whoever comes to it, and go on where they were stopped.
Locks: none; a new table.
"""

from textwrap import dedent

from alembic import op

revision = "0035"
down_revision = "0034"

STATEMENT = """
    CREATE TABLE evaluation_run (
        programme TEXT NOT NULL,
        month DATE NOT NULL,
        generation BIGINT NOT NULL,
        next_bucket SMALLINT NOT NULL,
        leased_until TIMESTAMP WITH TIME ZONE,
        begun_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_evaluation_run PRIMARY KEY (programme, month),
        CONSTRAINT ck_evaluation_run_ended CHECK ((next_bucket = 1024) = (ended_at IS NOT NULL))
    )
"""


def upgrade() -> None:
    """Add the table."""
    op.execute(dedent(STATEMENT))
