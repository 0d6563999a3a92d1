"""The tables of feeds: what was opened and what became of it, its chunks, its lines.

`schema.py` has the rules that all tables keep. Feeds and chunks are of no member and few.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from benefits.store import columns
from benefits.store.columns import INSTANT

# `replaces` is the revision whose lines it takes from the sums, `generation` the order in which
# feeds move the sums: one at a time, bucket after bucket up to `next_bucket`.
feed = Table(
    "feed",
    columns.metadata,
    Column("source", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("programme", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("manifest", JSONB),
    Column("reasons", JSONB, nullable=False, server_default="[]"),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("totals", JSONB, nullable=False, server_default="{}"),
    Column("replaces", Integer),
    Column("generation", BigInteger),
    Column("next_bucket", SmallInteger, nullable=False, server_default="0"),
    Column("judged_at", INSTANT),
    Column("sealed_at", INSTANT),
    PrimaryKeyConstraint("as_of", "source", "revision"),
    CheckConstraint("state IN ('OPEN', 'WAITING', 'APPLYING', 'SEALED', 'REFUSED')", name="state"),
    CheckConstraint("(state = 'OPEN') = (judged_at IS NULL)", name="judged"),
    CheckConstraint("(state = 'SEALED') = (sealed_at IS NOT NULL)", name="sealed"),
    Index("uq_feed_applying", "state", unique=True, postgresql_where=text("state = 'APPLYING'")),
    Index("ix_feed_waiting", "judged_at", postgresql_where=text("state = 'WAITING'")),
    Index("uq_feed_generation", "generation", unique=True),
)

feed_chunk = Table(
    "feed_chunk",
    columns.metadata,
    Column("source", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
    Column("totals", JSONB, nullable=False),
    Column("told", JSONB, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("as_of", "source", "revision", "number"),
)

# The date stands before the member: a feed's lines of a bucket lie together.
feed_line = Table(
    "feed_line",
    columns.metadata,
    columns.bucket(),
    Column("as_of", Date, nullable=False),
    Column("source", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    columns.member(),
    Column("asset_class", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("balance_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint(
        *("bucket", "as_of", "source", "revision", "member_id"),
        *("asset_class", "currency", "account"),
    ),
    columns.in_bucket(),
    postgresql_partition_by="RANGE (as_of)",
)
