"""The counters of what can refuse: stock, budgets and limits, shared ones and members' own.

`schema.py` has the rules that all tables keep.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from benefits.store import columns, schema_edges

metadata = schema_edges.metadata  # one for all tables

# What can refuse and is shared: stock, budgets, limits by window. Locked last, updated once per
# group. Of a budget `told` is the threshold that was told last, in percent of the total `told_of`.
counter = Table(
    "counter",
    metadata,
    Column("counter", Text, nullable=False),
    Column("window", Text, nullable=False),
    Column("slice", SmallInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("told", SmallInteger, nullable=False, server_default="0"),
    Column("told_of", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("counter", "window", "slice"),
    CheckConstraint("reserved >= 0 AND spent >= 0", name="never_negative"),
    postgresql_with={"fillfactor": "50"},
)

member_counter = Table(
    "member_counter",
    metadata,
    *columns.owner(),
    Column("counter", Text, nullable=False),
    Column("window", Text, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "counter", "window"),
    columns.of_member(),
    CheckConstraint("used >= 0", name="never_negative"),
    postgresql_with={"fillfactor": "80"},
)
