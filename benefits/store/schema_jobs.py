"""The tables of jobs: long lists, what of them waits, and what became of their rows.

`schema.py` has the rules that all tables keep. A job lies where hash(caller, key) says.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# A job has ended when its figures add up to its lines.
job = Table(
    "job",
    columns.metadata,
    columns.bucket(),
    Column("job_id", Uuid, nullable=False),
    Column("caller", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("granted", BigInteger, nullable=False, server_default="0"),
    Column("known", BigInteger, nullable=False, server_default="0"),
    Column("refused", BigInteger, nullable=False, server_default="0"),
    Column("begun_at", INSTANT, nullable=False),
    Column("changed_at", INSTANT, nullable=False),
    Column("ended_at", INSTANT),
    PrimaryKeyConstraint("bucket", "job_id"),
    UniqueConstraint("bucket", "caller", "key"),
    columns.in_bucket(),
    CheckConstraint(
        "granted >= 0 AND known >= 0 AND refused >= 0 AND granted + known + refused <= lines "
        "AND (ended_at IS NOT NULL) = (granted + known + refused = lines)",
        name="figures",
    ),
    Index("ix_job_running", "begun_at", postgresql_where=text("ended_at IS NULL")),
    postgresql_with={"fillfactor": "50"},
)

# Lines that wait, sealed: they hold customer references. A part goes when it is decided. They are
# written before their job, whose size only the last of them tells.
job_part = Table(
    "job_part",
    columns.metadata,
    columns.bucket(),
    Column("job_id", Uuid, nullable=False),
    Column("part", Integer, nullable=False),
    Column("lines_sealed", LargeBinary, nullable=False),
    Column("not_before", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "job_id", "part"),
    columns.in_bucket(),
)

# What became of the other rows of a long list: one row for what was decided of a part at a time.
job_outcome = Table(
    "job_outcome",
    columns.metadata,
    columns.bucket(),
    Column("job_id", Uuid, nullable=False),
    Column("part", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("lines", ARRAY(BigInteger), nullable=False),
    Column("lots", ARRAY(Uuid), nullable=False),
    Column("known", ARRAY(Boolean), nullable=False),
    PrimaryKeyConstraint("bucket", "job_id", "part", "tries"),
    ForeignKeyConstraint(["bucket", "job_id"], ["job.bucket", "job.job_id"]),
    CheckConstraint(
        "cardinality(lines) > 0 AND cardinality(lots) = cardinality(lines) "
        "AND cardinality(known) = cardinality(lines)",
        name="lines",
    ),
)

# Every refused row, and every row of a short list.
job_row = Table(
    "job_row",
    columns.metadata,
    columns.bucket(),
    Column("job_id", Uuid, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("lot_id", Uuid),
    PrimaryKeyConstraint("bucket", "job_id", "line"),
    ForeignKeyConstraint(["bucket", "job_id"], ["job.bucket", "job.job_id"]),
    CheckConstraint("outcome IN ('granted', 'known', 'refused')", name="outcome"),
)
