"""The tables of packages: how far the start of periods has come (P-3)."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# The last run of a programme: of periods that begin after a day, or of all that run on its `day`,
# as a `version` of the programme has them.
period_run = Table(
    "period_run",
    columns.metadata,
    Column("programme", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("after", Date),
    Column("version", Integer, nullable=False),
    Column("next_bucket", SmallInteger, nullable=False),
    Column("leased_until", INSTANT),
    Column("begun_at", INSTANT, nullable=False),
    Column("ended_at", INSTANT),
    PrimaryKeyConstraint("programme"),
    CheckConstraint("(next_bucket = 1024) = (ended_at IS NOT NULL)", name="ended"),
    CheckConstraint("after < day", name="after"),
)
