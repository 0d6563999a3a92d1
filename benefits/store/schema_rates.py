"""The tables of other currencies: rates as they came, rates as they are used, converted sums.

`schema.py` has the rules that all tables keep. Rates are of no member and few.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from benefits.store import columns
from benefits.store.columns import INSTANT

# Lines in these currencies are converted; none is a programme's own.
currency = Table(
    "currency",
    columns.metadata,
    Column("code", Text, nullable=False),
    Column("digits", SmallInteger, nullable=False),
    Column("into_code", Text, nullable=False),
    Column("into_digits", SmallInteger, nullable=False),
    PrimaryKeyConstraint("code"),
)

# The rates of a file that were new, under the digest of their lines. They are used bucket after
# bucket, up to `next_bucket`, in the months that they are of.
rate_run = Table(
    "rate_run",
    columns.metadata,
    Column("generation", BigInteger, nullable=False, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    Column("rates", Integer, nullable=False),
    Column("currencies", ARRAY(Text), nullable=False),
    Column("months", ARRAY(Date), nullable=False),
    Column("next_bucket", SmallInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("generation"),
    CheckConstraint("next_bucket BETWEEN 0 AND 1024", name="next_bucket"),
)

rate = Table(
    "rate",
    columns.metadata,
    Column("currency", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rate", Numeric, nullable=False),
    Column("per", Integer, nullable=False),
    Column("factor", Numeric, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint("currency", "as_of", "revision"),
    CheckConstraint("rate > 0 AND per > 0 AND factor > 0", name="positive"),
)

# What lines of a date are converted with, from a generation on.
rate_used = Table(
    "rate_used",
    columns.metadata,
    Column("currency", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("rate", Numeric, nullable=False),
    Column("per", Integer, nullable=False),
    Column("rate_date", Date, nullable=False),
    Column("factor", Numeric, nullable=False),
    PrimaryKeyConstraint("currency", "as_of", "generation"),
    CheckConstraint("rate_date BETWEEN as_of - 10 AND as_of", name="rate_date"),
)

# The days that have lines in a currency, whose sums a rate may change.
currency_day = Table(
    "currency_day",
    columns.metadata,
    Column("currency", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    PrimaryKeyConstraint("currency", "as_of"),
)

# Beside a row of `asset_month` in a converted currency: what its lines come to, and a bit for each
# day with a line that has no rate. What counts while a feed is applied is as there. The month
# stands before the member: a rate changes those of a month.
asset_converted = Table(
    "asset_converted",
    columns.metadata,
    *columns.owner(),
    Column("month", Date, nullable=False),
    Column("asset_class", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("sum_minor", Numeric, nullable=False),
    Column("unrated_days", Integer, nullable=False),
    Column("before_minor", Numeric, nullable=False),
    Column("before_unrated", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "month", "currency", "member_id", "asset_class"),
    columns.in_bucket(),
    CheckConstraint("sum_minor >= 0", name="sum"),
    postgresql_with={"fillfactor": "80"},
)
