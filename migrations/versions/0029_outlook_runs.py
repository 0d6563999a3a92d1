"""How far the look ahead has come after each sealed day (T-12).

Why: `work` looks ahead by itself for programmes that name feeds, once a sealed day.
Locks: none; a new table.
"""

from textwrap import dedent

from alembic import op

revision = "0029"
down_revision = "0028"

STATEMENT = """
    CREATE TABLE outlook_run (
        programme TEXT NOT NULL,
        as_of DATE NOT NULL,
        generation BIGINT NOT NULL,
        next_bucket SMALLINT NOT NULL,
        leased_until TIMESTAMP WITH TIME ZONE,
        begun_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_outlook_run PRIMARY KEY (programme),
        CONSTRAINT ck_outlook_run_ended CHECK ((next_bucket = 1024) = (ended_at IS NOT NULL))
    )
"""


def upgrade() -> None:
    """Add the table."""
    op.execute(dedent(STATEMENT))
