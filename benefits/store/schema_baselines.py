"""The tables of baselines: which were frozen, and what each member's metric was then (M-12).

`schema.py` has the rules that all tables keep. A baseline is of no member, and there are few.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# Members of the buckets below `next_bucket` are frozen; sums are in minor units times `scale`.
baseline = Table(
    "baseline",
    columns.metadata,
    Column("name", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("month", Date, nullable=False),
    Column("scale", Integer, nullable=False),
    Column("frozen_by", Text, nullable=False),
    Column("begun_at", INSTANT, nullable=False),
    Column("next_bucket", SmallInteger, nullable=False),
    Column("ended_at", INSTANT),
    PrimaryKeyConstraint("name"),
    CheckConstraint("(next_bucket = 1024) = (ended_at IS NOT NULL)", name="ended"),
)

member_baseline = Table(
    "member_baseline",
    columns.metadata,
    *columns.owner(),
    Column("name", Text, nullable=False),
    Column("total", Numeric(30), nullable=False),
    Column("divisor", Integer, nullable=False),
    Column("known_days", Integer, nullable=False),
    Column("days", Integer, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "name"),
    columns.of_member(),
    CheckConstraint("total >= 0 AND divisor > 0", name="total"),
    CheckConstraint("known_days BETWEEN 0 AND days", name="days"),
)
