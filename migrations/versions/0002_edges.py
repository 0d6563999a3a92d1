"""What the edges need: events in commit order, codes read by people, keys with an end, traces.

Why: the CRM reads all events by a cursor, a member sees a provider's code, keys are rotated with
an overlap, and a trace follows a claim to its provider and back.
Locks: ACCESS EXCLUSIVE on `outbox` while it is rewritten (its `xid` becomes `position`) and
indexed; on `installation`, `api_key`, `member`, `provider_request` and `inbox` for an instant;
SHARE on `case_file` while it is indexed. Stop `serve` and `work` first.
"""

from textwrap import dedent

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE installation ADD COLUMN position_start BIGINT DEFAULT '0' NOT NULL",
    "ALTER TABLE api_key RENAME COLUMN revoked_at TO ends_at",
    "ALTER TABLE api_key ADD COLUMN provider TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE member ADD COLUMN event_position BIGINT DEFAULT '0' NOT NULL",
    "ALTER TABLE provider_request ADD COLUMN traceparent TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE inbox ADD COLUMN traceparent TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE outbox ALTER COLUMN xid DROP DEFAULT",
    "ALTER TABLE outbox ALTER COLUMN xid TYPE BIGINT USING xid::text::bigint",
    "ALTER TABLE outbox ALTER COLUMN xid DROP NOT NULL",
    "ALTER TABLE outbox RENAME COLUMN xid TO position",
    "ALTER TABLE outbox ALTER COLUMN position SET NOT NULL",
    """
    CREATE INDEX ix_outbox_position_bucket_member_id_seq
    ON outbox (position, bucket, member_id, seq)
    """,
    """
    UPDATE member SET event_position = e.position
    FROM (SELECT bucket, member_id, max(position) AS position FROM outbox GROUP BY 1, 2) AS e
    WHERE e.bucket = member.bucket AND e.member_id = member.member_id
    """,
    """
    CREATE INDEX ix_case_file_open ON case_file (opened_at, case_id) WHERE closed_at IS NULL
    """,
    """
    CREATE TABLE code_reading (
        bucket SMALLINT NOT NULL,
        reading_id UUID NOT NULL,
        member_id UUID NOT NULL,
        claim_id UUID NOT NULL,
        actor TEXT NOT NULL,
        read_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_code_reading PRIMARY KEY (bucket, reading_id),
        CONSTRAINT fk_code_reading_member
            FOREIGN KEY(bucket, member_id) REFERENCES member (bucket, member_id)
    )
    """,
    "CREATE INDEX ix_code_reading_bucket_claim_id ON code_reading (bucket, claim_id)",
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON code_reading
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON code_reading
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE FUNCTION event_position() RETURNS bigint LANGUAGE sql STABLE
    RETURN (SELECT position_start FROM installation) + pg_current_xact_id()::text::bigint
    """,
)


def upgrade() -> None:
    """Change the tables, then fill what is new."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
