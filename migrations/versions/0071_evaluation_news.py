"""What is told beside feeds and rates that may change decided months, numbered by topic and month.

Why: labels, holders of joint accounts, mergers and balances without a feed are news for decided
months, too: what is favourable in them holds at once (A-7), not with the next month.
Locks: none.
"""

from textwrap import dedent

from alembic import op

revision = "0071"
down_revision = "0068"

STATEMENTS = (
    """
    CREATE TABLE evaluation_news (
        topic TEXT NOT NULL,
        month DATE NOT NULL,
        number BIGINT NOT NULL,
        earlier BIGINT NOT NULL,
        counts_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_evaluation_news PRIMARY KEY (topic, month),
        CONSTRAINT ck_evaluation_news_earlier CHECK (earlier >= 0 AND earlier < number)
    )
    """,
)


def upgrade() -> None:
    """Make the table."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
