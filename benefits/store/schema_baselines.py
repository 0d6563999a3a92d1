"""The tables of baselines: which were frozen, and what each member's metric was then (M-12).

`schema.py` has the rules that all tables keep. A baseline is of no member, and there are few.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# Sums are in minor units times `scale`; the version is the one that judged the month.
baseline = Table(
    "baseline",
    columns.metadata,
    Column("name", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("programme_version", Integer, nullable=False),
    Column("month", Date, nullable=False),
    Column("scale", Integer, nullable=False),
    Column("frozen_by", Text, nullable=False),
    Column("frozen_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("name"),
)

# Members whose month was whole; `generation` is that of the last feed that had been sealed.

member_baseline = Table(
    "member_baseline",
    columns.metadata,
    *columns.owner(),
    Column("name", Text, nullable=False),
    Column("total", Numeric(30), nullable=False),
    Column("divisor", Integer, nullable=False),
    Column("days", Integer, nullable=False),
    Column("filled_days", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "name"),
    columns.of_member(),
    CheckConstraint("total >= 0 AND divisor > 0", name="total"),
    CheckConstraint("filled_days BETWEEN 0 AND days", name="days"),
)
