"""Label feeds: what the label platform sends in chunks, to count when a manifest has sealed it.

Why: labels came by file and command alone; what a platform sends over HTTP is to count as a whole,
or not at all (S-1).
Locks: none.
"""

from textwrap import dedent

from alembic import op

revision = "0074"
down_revision = "0072"

STATEMENTS = (
    """
    CREATE TABLE label_feed (
        version TEXT NOT NULL,
        revision INTEGER NOT NULL,
        state TEXT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        manifest JSONB,
        reasons JSONB DEFAULT '[]' NOT NULL,
        rows BIGINT DEFAULT '0' NOT NULL,
        kept BIGINT DEFAULT '0' NOT NULL,
        unchanged BIGINT DEFAULT '0' NOT NULL,
        left_out BIGINT DEFAULT '0' NOT NULL,
        told JSONB DEFAULT '[]' NOT NULL,
        judged_at TIMESTAMP WITH TIME ZONE,
        sealed_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_label_feed PRIMARY KEY (version, revision),
        CONSTRAINT ck_label_feed_state CHECK (
            state IN ('OPEN', 'WAITING', 'APPLYING', 'SEALED', 'REFUSED')),
        CONSTRAINT ck_label_feed_judged CHECK ((state = 'OPEN') = (judged_at IS NULL)),
        CONSTRAINT ck_label_feed_sealed CHECK ((state = 'SEALED') = (sealed_at IS NOT NULL)),
        CONSTRAINT ck_label_feed_figures CHECK (kept + unchanged + left_out <= rows)
    )
    """,
    "CREATE UNIQUE INDEX uq_label_feed_applying ON label_feed (state) WHERE state = 'APPLYING'",
    "CREATE INDEX ix_label_feed_waiting ON label_feed (judged_at) WHERE state = 'WAITING'",
    """
    CREATE TABLE label_feed_chunk (
        version TEXT NOT NULL,
        revision INTEGER NOT NULL,
        number INTEGER NOT NULL,
        digest BYTEA NOT NULL,
        rows BIGINT NOT NULL,
        bad BIGINT NOT NULL,
        told JSONB NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_label_feed_chunk PRIMARY KEY (version, revision, number)
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON label_feed_chunk
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON label_feed_chunk
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TABLE label_feed_part (
        version TEXT NOT NULL,
        revision INTEGER NOT NULL,
        number INTEGER NOT NULL,
        lines_sealed BYTEA NOT NULL,
        CONSTRAINT pk_label_feed_part PRIMARY KEY (version, revision, number)
    )
    """,
)


def upgrade() -> None:
    """Make the tables; chunks are added to only."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
