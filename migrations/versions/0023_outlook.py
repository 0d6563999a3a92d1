"""What is seen ahead of members' tiers: at risk, near the next one.

Why: lists for the bank's people and one event a period, kept by each day's run (M-10, M-11).
Locks: none; a new table.
"""

from textwrap import dedent

from alembic import op

revision = "0023"
down_revision = "0021"

STATEMENT = """
CREATE TABLE tier_outlook (
    bucket SMALLINT NOT NULL,
    member_id UUID NOT NULL,
    programme TEXT NOT NULL,
    outlook TEXT NOT NULL,
    month DATE NOT NULL,
    tier TEXT NOT NULL,
    as_of DATE NOT NULL,
    threshold_minor BIGINT NOT NULL,
    projected_minor BIGINT NOT NULL,
    needed_daily_minor BIGINT,
    is_current BOOLEAN NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_tier_outlook PRIMARY KEY (bucket, member_id, programme, outlook),
    CONSTRAINT ck_tier_outlook_outlook CHECK (outlook IN ('AT_RISK', 'NEAR')),
    CONSTRAINT fk_tier_outlook_member FOREIGN KEY (bucket, member_id)
        REFERENCES member (bucket, member_id)
)
"""


def upgrade() -> None:
    """Add the table."""
    op.execute(dedent(STATEMENT))
