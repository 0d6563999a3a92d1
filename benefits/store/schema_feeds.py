"""The tables of feeds: what was opened and what became of it, its chunks, its lines, its runs.

`schema.py` has the rules that all tables keep. Feeds, chunks and runs are of no member and few;
which months are evaluated is kept by bucket.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
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
from sqlalchemy.dialects.postgresql import JSONB

from benefits.store import columns
from benefits.store.columns import INSTANT

# `replaces` is the revision whose lines it takes from the sums, `generation` the order in which
# feeds move the sums: one at a time, bucket after bucket up to `next_bucket`. A revision below 0
# is what two people filled the day with; what it carries forward are lines of an earlier day. A
# DELTA feed stands on the day before, which is in its month.
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
    Column("fill", Text),
    Column("carried_day", Date),
    Column("carried_revision", Integer),
    Column("kind", Text, nullable=False, server_default="FULL"),
    PrimaryKeyConstraint("as_of", "source", "revision"),
    CheckConstraint("state IN ('OPEN', 'WAITING', 'APPLYING', 'SEALED', 'REFUSED')", name="state"),
    CheckConstraint("(state = 'OPEN') = (judged_at IS NULL)", name="judged"),
    CheckConstraint("(state = 'SEALED') = (sealed_at IS NOT NULL)", name="sealed"),
    CheckConstraint(
        "(revision < 0) = (fill IS NOT NULL) AND coalesce(fill IN ('CARRY_FORWARD', 'ZERO', "
        "'MANUAL'), true)",
        name="fill",
    ),
    CheckConstraint(
        "coalesce(fill = 'CARRY_FORWARD', false) = (carried_day IS NOT NULL) "
        "AND (carried_day IS NULL) = (carried_revision IS NULL)",
        name="carried",
    ),
    CheckConstraint(
        "kind = 'FULL' OR kind = 'DELTA' AND revision >= 0 AND extract(day FROM as_of) > 1",
        name="kind",
    ),
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

# What the label platform sent of a version: `kept`, `unchanged` and `left_out` are lines that were
# taken so far, `told` the first that were left out, with the reason.
label_feed = Table(
    "label_feed",
    columns.metadata,
    Column("version", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("manifest", JSONB),
    Column("reasons", JSONB, nullable=False, server_default="[]"),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("kept", BigInteger, nullable=False, server_default="0"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("left_out", BigInteger, nullable=False, server_default="0"),
    Column("told", JSONB, nullable=False, server_default="[]"),
    Column("judged_at", INSTANT),
    Column("sealed_at", INSTANT),
    PrimaryKeyConstraint("version", "revision"),
    CheckConstraint("state IN ('OPEN', 'WAITING', 'APPLYING', 'SEALED', 'REFUSED')", name="state"),
    CheckConstraint("(state = 'OPEN') = (judged_at IS NULL)", name="judged"),
    CheckConstraint("(state = 'SEALED') = (sealed_at IS NOT NULL)", name="sealed"),
    CheckConstraint("kept + unchanged + left_out <= rows", name="figures"),
    Index(
        "uq_label_feed_applying", "state", unique=True, postgresql_where=text("state = 'APPLYING'")
    ),
    Index("ix_label_feed_waiting", "judged_at", postgresql_where=text("state = 'WAITING'")),
)

label_feed_chunk = Table(
    "label_feed_chunk",
    columns.metadata,
    Column("version", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
    Column("told", JSONB, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("version", "revision", "number"),
)

# The lines of a chunk that wait, sealed: they hold customer references. They go as they are taken.
label_feed_part = Table(
    "label_feed_part",
    columns.metadata,
    Column("version", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("lines_sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("version", "revision", "number"),
)

# What a person proposed to fill a missing day with, under one digest. Never changed; it is decided
# once, by another person, or its time runs out.
feed_fill = Table(
    "feed_fill",
    columns.metadata,
    Column("fill_id", Uuid, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("effect", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("fill_id"),
    Index(None, "proposed_at", "fill_id"),
)

feed_fill_decision = Table(
    "feed_fill_decision",
    columns.metadata,
    Column("fill_id", Uuid, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", INSTANT, nullable=False),
    Column("note", Text, nullable=False),
    Column("revision", Integer),
    PrimaryKeyConstraint("fill_id"),
    ForeignKeyConstraint(["fill_id"], ["feed_fill.fill_id"]),
    CheckConstraint("verdict IN ('APPROVED', 'REJECTED', 'WITHDRAWN')", name="verdict"),
    CheckConstraint("(verdict = 'APPROVED') = (revision IS NOT NULL)", name="revision"),
)

# How far a programme's look ahead has come after the last day that all its sources sealed, up to
# `next_bucket`. `generation` is that of the last feed sealed up to that day.
outlook_run = Table(
    "outlook_run",
    columns.metadata,
    Column("programme", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("next_bucket", SmallInteger, nullable=False),
    Column("leased_until", INSTANT),
    Column("begun_at", INSTANT, nullable=False),
    Column("ended_at", INSTANT),
    PrimaryKeyConstraint("programme"),
    CheckConstraint("(next_bucket = 1024) = (ended_at IS NOT NULL)", name="ended"),
)

evaluation = Table(
    "evaluation",
    columns.metadata,
    columns.bucket(),
    Column("programme", Text, nullable=False),
    Column("month", Date, nullable=False),
    Column("evaluated_at", INSTANT, nullable=False),
    Column("settled", Boolean, nullable=False, server_default="false"),
    Column("seen", BigInteger),
    Column("seen_generation", BigInteger),
    Column("basis", Text),
    Column("decided", BigInteger),
    Column("settled_at", INSTANT),
    PrimaryKeyConstraint("bucket", "programme", "month"),
    columns.in_bucket(),
)

# Of whom days of a month were missing as it was first evaluated; `settled_at` once they were not.
evaluation_open = Table(
    "evaluation_open",
    columns.metadata,
    columns.bucket(),
    Column("programme", Text, nullable=False),
    Column("month", Date, nullable=False),
    columns.member(),
    Column("settled_at", INSTANT),
    PrimaryKeyConstraint("bucket", "programme", "month", "member_id"),
    columns.in_bucket(),
)

# How many times something was told of a topic that matters from a month on: `number` from the
# instant `counts_at`, `earlier` until then.
evaluation_news = Table(
    "evaluation_news",
    columns.metadata,
    Column("topic", Text, nullable=False),
    Column("month", Date, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("earlier", BigInteger, nullable=False),
    Column("counts_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("topic", "month"),
    CheckConstraint("earlier >= 0 AND earlier < number", name="earlier"),
)

# How far a programme's last evaluation of a month has come. `generation` numbers the news for days
# up to the month's end, `told_generation` is that of the last ones about which a case was opened
# because the month is older than the horizon.
evaluation_run = Table(
    "evaluation_run",
    columns.metadata,
    Column("programme", Text, nullable=False),
    Column("month", Date, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("next_bucket", SmallInteger, nullable=False),
    Column("leased_until", INSTANT),
    Column("begun_at", INSTANT, nullable=False),
    Column("ended_at", INSTANT),
    Column("told_generation", BigInteger),
    PrimaryKeyConstraint("programme", "month"),
    CheckConstraint("(next_bucket = 1024) = (ended_at IS NOT NULL)", name="ended"),
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
