"""The tables of the log: one for all buckets, for its order is one. Rows are only ever added.

`schema.py` has the rules that the other tables keep.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

metadata = columns.metadata

# A batch's place in the log. `position` is that of its event: there the sealer goes on.
leaf = Table(
    "leaf",
    metadata,
    Column("leaf_index", BigInteger, nullable=False, autoincrement=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("leaf_index"),
    UniqueConstraint("bucket", "batch_id"),
    CheckConstraint("leaf_index >= 0", name="index"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
)

# Nodes over 256, 65,536, … leaves; those between are computed.
tree_node = Table(
    "tree_node",
    metadata,
    Column("level", SmallInteger, nullable=False),
    Column("node_index", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("level", "node_index"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, nullable=False, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("signed_at", INSTANT, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("size"),
)

# A checkpoint that left the database.
checkpoint_export = Table(
    "checkpoint_export",
    metadata,
    Column("size", BigInteger, nullable=False, autoincrement=False),
    Column("exported_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("size"),
)
