"""How far the start of periods has come (P-3).

Why: lines may bring their units on the first day of their period, to everybody who has a tier.
Locks: none; a new table.
"""

from textwrap import dedent

from alembic import op

revision = "0038"
down_revision = "0037"

STATEMENT = """
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
"""


def upgrade() -> None:
    """Add the table."""
    op.execute(dedent(STATEMENT))
