"""Claims wait for room (K-1, K-8).

Why: a claim that finds a limit full may wait for room that comes back, or for the next window; who
waits is served before whoever comes later.
Locks: SHARE on `counter` while its index is made: claims wait for a moment. A worker of the
version before serves nobody who waits, and a server of that version takes no heed of them: claims
that arrive there may take their room. Replace both soon.
"""

from textwrap import dedent

from alembic import op

revision = "0065"
down_revision = "0063"

STATEMENTS = (
    """
    CREATE TABLE wait (
        bucket smallint NOT NULL,
        wait_id uuid NOT NULL,
        member_id uuid NOT NULL,
        programme text NOT NULL,
        benefit text NOT NULL,
        quantity integer NOT NULL,
        limit_code text NOT NULL,
        limit_of text NOT NULL,
        queue text NOT NULL,
        number bigint NOT NULL,
        body_sealed bytea,
        begun_at timestamptz NOT NULL,
        ends_at timestamptz,
        next_at timestamptz,
        ended_at timestamptz,
        reason text NOT NULL DEFAULT '',
        refusal text NOT NULL DEFAULT '',
        claim_id uuid,
        CONSTRAINT pk_wait PRIMARY KEY (bucket, wait_id),
        CONSTRAINT fk_wait_member
            FOREIGN KEY (bucket, member_id) REFERENCES member (bucket, member_id),
        CONSTRAINT ck_wait_reason CHECK ((ended_at IS NULL) = (reason = '')),
        CONSTRAINT ck_wait_body CHECK ((ended_at IS NULL) = (body_sealed IS NOT NULL)),
        CONSTRAINT ck_wait_claim CHECK ((reason = 'SERVED') = (claim_id IS NOT NULL)),
        CONSTRAINT ck_wait_refusal CHECK ((reason = 'REFUSED') = (refusal <> ''))
    )
    """,
    """
    CREATE UNIQUE INDEX uq_wait_open ON wait (bucket, member_id, benefit) WHERE ended_at IS NULL
    """,
    "CREATE INDEX ix_wait_bucket_member_id_wait_id ON wait (bucket, member_id, wait_id)",
    "CREATE INDEX ix_wait_queue ON wait (queue, number) WHERE ended_at IS NULL",
    "CREATE INDEX ix_wait_next_at ON wait (next_at) WHERE ended_at IS NULL",
    "CREATE INDEX ix_wait_open ON wait (begun_at, wait_id) WHERE ended_at IS NULL",
    "CREATE INDEX ix_counter_queue ON counter (counter) WHERE \"window\" = 'queue'",
)


def upgrade() -> None:
    """Make the table and what finds its rows."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
