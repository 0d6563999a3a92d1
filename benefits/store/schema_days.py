"""The tables of what counts by the day: business days, and sums of stretches of months.

`schema.py` has the rules that all tables keep. Calendars and the list of stretches are of no
member and few.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# Days that are not what their weekday says; of a day what was recorded last counts.
calendar_day = Table(
    "calendar_day",
    columns.metadata,
    Column("calendar", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("kind", Text, nullable=False),
    PrimaryKeyConstraint("calendar", "day", "recorded_at"),
    CheckConstraint("kind IN ('HOLIDAY', 'WORKDAY')", name="kind"),
)

# Days of a month whose sums are kept beside the month's: those of the buckets below `next_bucket`,
# and of the buckets below `folded_bucket` what other currencies and joint accounts come to.
stretch = Table(
    "stretch",
    columns.metadata,
    Column("month", Date, nullable=False),
    Column("first_day", SmallInteger, nullable=False),
    Column("last_day", SmallInteger, nullable=False),
    Column("next_bucket", SmallInteger, nullable=False),
    Column("folded_bucket", SmallInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("month", "first_day", "last_day"),
    CheckConstraint("first_day BETWEEN 1 AND last_day AND last_day <= 31", name="days"),
)

# As asset_month, whose known days are known here too.
asset_stretch = Table(
    "asset_stretch",
    columns.metadata,
    *columns.owner(),
    Column("month", Date, nullable=False),
    Column("first_day", SmallInteger, nullable=False),
    Column("last_day", SmallInteger, nullable=False),
    Column("asset_class", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("sum_minor", BigInteger, nullable=False),
    Column("before_minor", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint(
        *("bucket", "member_id", "month", "first_day", "last_day", "asset_class", "currency")
    ),
    columns.in_bucket(),
    CheckConstraint("sum_minor >= 0", name="sum"),
    postgresql_with={"fillfactor": "80"},
)

# Of a stretch what lines in a converted currency come to, as asset_converted has it of months, and
# what joint accounts add by each policy, as asset_joint. Days without a rate are the month's.
asset_stretch_folded = Table(
    "asset_stretch_folded",
    columns.metadata,
    *columns.owner(),
    Column("month", Date, nullable=False),
    Column("first_day", SmallInteger, nullable=False),
    Column("last_day", SmallInteger, nullable=False),
    Column("asset_class", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sum_minor", Numeric, nullable=False),
    Column("before_minor", Numeric, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint(
        *("bucket", "member_id", "month", "first_day", "last_day", "asset_class", "currency"),
        "kind",
    ),
    columns.in_bucket(),
    CheckConstraint(
        "kind IN ('CONVERTED', 'FULL_TO_EACH', 'PRIMARY_ONLY', 'SPLIT_EQUAL')", name="kind"
    ),
    postgresql_with={"fillfactor": "80"},
)
