"""The log that seals batches: leaves, nodes of its tree, signed checkpoints and their exports.

Why: whoever can change the database cannot change what was signed and taken outside.
Locks: none that anybody could wait for.
"""

from textwrap import dedent

from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = (
    """
    CREATE TABLE leaf (
        leaf_index BIGINT NOT NULL,
        bucket SMALLINT NOT NULL,
        batch_id UUID NOT NULL,
        position BIGINT NOT NULL,
        digest BYTEA NOT NULL,
        CONSTRAINT pk_leaf PRIMARY KEY (leaf_index),
        CONSTRAINT uq_leaf_bucket_batch_id UNIQUE (bucket, batch_id),
        CONSTRAINT ck_leaf_index CHECK (leaf_index >= 0),
        CONSTRAINT ck_leaf_digest CHECK (octet_length(digest) = 32)
    )
    """,
    """
    CREATE TABLE tree_node (
        level SMALLINT NOT NULL,
        node_index BIGINT NOT NULL,
        digest BYTEA NOT NULL,
        CONSTRAINT pk_tree_node PRIMARY KEY (level, node_index),
        CONSTRAINT ck_tree_node_digest CHECK (octet_length(digest) = 32)
    )
    """,
    """
    CREATE TABLE checkpoint (
        size BIGINT NOT NULL,
        root BYTEA NOT NULL,
        signed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        key_id TEXT NOT NULL,
        note TEXT NOT NULL,
        CONSTRAINT pk_checkpoint PRIMARY KEY (size)
    )
    """,
    """
    CREATE TABLE checkpoint_export (
        size BIGINT NOT NULL,
        exported_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_checkpoint_export PRIMARY KEY (size)
    )
    """,
)
APPEND_ONLY = ("leaf", "tree_node", "checkpoint", "checkpoint_export")


def upgrade() -> None:
    """Make the tables, whose rows stay."""
    for statement in TABLES:
        op.execute(dedent(statement))
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
