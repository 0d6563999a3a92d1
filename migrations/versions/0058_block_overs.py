"""Which blocks are over and told of: what a freeze withheld was brought (E-6).

Why: a block may end by the clock alone, and a freeze stops what tiers bring.
Locks: none on what is written to; blocks that are over already are noted without being told of.
"""

from textwrap import dedent

from alembic import op

revision = "0058"
down_revision = "0057"

STATEMENTS = (
    """
    CREATE TABLE member_block_over (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        block_id UUID NOT NULL,
        noted_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_member_block_over PRIMARY KEY (bucket, member_id, block_id),
        CONSTRAINT fk_member_block_over_member_block FOREIGN KEY (bucket, member_id, block_id)
            REFERENCES member_block (bucket, member_id, block_id)
    )
    """,
    """
    INSERT INTO member_block_over (bucket, member_id, block_id, noted_at)
    SELECT b.bucket, b.member_id, b.block_id, now() FROM member_block AS b
    LEFT JOIN member_block_end AS e
      ON e.bucket = b.bucket AND e.member_id = b.member_id AND e.block_id = b.block_id
    WHERE least(b.to_at, e.ended_at) <= now()
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON member_block_over
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON member_block_over
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Add the table, and what is over; it is added to only."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
