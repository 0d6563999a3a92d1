"""The tables of room: what is taken of it, and who waits for it. `schema.py` has the rules."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# What can refuse and is shared: stock, budgets, limits by window. Locked last, updated once per
# group. Of a budget `told` is the threshold that was told last, in percent of the total `told_of`.
counter = Table(
    "counter",
    columns.metadata,
    Column("counter", Text, nullable=False),
    Column("window", Text, nullable=False),
    Column("slice", SmallInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("told", SmallInteger, nullable=False, server_default="0"),
    Column("told_of", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("counter", "window", "slice"),
    CheckConstraint("reserved >= 0 AND spent >= 0", name="never_negative"),
    Index("ix_counter_queue", "counter", postgresql_where=text("\"window\" = 'queue'")),
    postgresql_with={"fillfactor": "50"},
)

member_counter = Table(
    "member_counter",
    columns.metadata,
    *columns.owner(),
    Column("counter", Text, nullable=False),
    Column("window", Text, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "counter", "window"),
    columns.of_member(),
    CheckConstraint("used >= 0", name="never_negative"),
    postgresql_with={"fillfactor": "80"},
)

# A claim that waits at a limit, by its `number` in the queue of those who share its room; where
# the room is a member's own there is none. It is looked at `next_at`, and whenever its queue has
# room. What was asked is kept while it waits. One at a time for a member and benefit.
wait = Table(
    "wait",
    columns.metadata,
    columns.bucket(),
    Column("wait_id", Uuid, nullable=False),
    columns.member(),
    Column("programme", Text, nullable=False),
    Column("benefit", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("limit_code", Text, nullable=False),
    Column("limit_of", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("body_sealed", LargeBinary),
    Column("begun_at", INSTANT, nullable=False),
    Column("ends_at", INSTANT),
    Column("next_at", INSTANT),
    Column("ended_at", INSTANT),
    Column("reason", Text, nullable=False, server_default=""),
    Column("refusal", Text, nullable=False, server_default=""),
    Column("claim_id", Uuid),
    PrimaryKeyConstraint("bucket", "wait_id"),
    columns.of_member(),
    CheckConstraint("(ended_at IS NULL) = (reason = '')", name="reason"),
    CheckConstraint("(ended_at IS NULL) = (body_sealed IS NOT NULL)", name="body"),
    CheckConstraint("(reason = 'SERVED') = (claim_id IS NOT NULL)", name="claim"),
    CheckConstraint("(reason = 'REFUSED') = (refusal <> '')", name="refusal"),
    Index(
        "uq_wait_open",
        *("bucket", "member_id", "benefit"),
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("ix_wait_bucket_member_id_wait_id", "bucket", "member_id", "wait_id"),
    Index("ix_wait_queue", "queue", "number", postgresql_where=text("ended_at IS NULL")),
    Index("ix_wait_next_at", "next_at", postgresql_where=text("ended_at IS NULL")),
    Index("ix_wait_open", "begun_at", "wait_id", postgresql_where=text("ended_at IS NULL")),
)
