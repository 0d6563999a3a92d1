"""The tables of joint accounts: who holds them, and what they change in members' sums.

`schema.py` has the rules that all tables keep.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

account_holder = Table(
    "account_holder",
    columns.metadata,
    *columns.owner(),
    Column("account", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("role", Text, nullable=False),
    Column("valid_to", Date),
    PrimaryKeyConstraint("bucket", "member_id", "account", "valid_from", "recorded_at"),
    columns.of_member(),
    CheckConstraint("role IN ('PRIMARY', 'JOINT')", name="role"),
    CheckConstraint("valid_from <= valid_to", name="validity"),
    Index("ix_account_holder_account_bucket", "account", "bucket"),
)

# What joint accounts add to a row of `asset_month` by a policy; less than nothing where what was
# brought for a member counts for others.
asset_joint = Table(
    "asset_joint",
    columns.metadata,
    *columns.owner(),
    Column("month", Date, nullable=False),
    Column("asset_class", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("joint", Text, nullable=False),
    Column("sum_minor", Numeric, nullable=False),
    Column("known_days", Integer, nullable=False),
    Column("unrated_days", Integer, nullable=False),
    Column("before_minor", Numeric, nullable=False),
    Column("before_unrated", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "month", "asset_class", "currency", "joint"),
    columns.in_bucket(),
    CheckConstraint("joint IN ('FULL_TO_EACH', 'PRIMARY_ONLY', 'SPLIT_EQUAL')", name="joint"),
    postgresql_with={"fillfactor": "80"},
)
