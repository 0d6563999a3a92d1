"""The tables of archived months: which they are, what they leave behind, which came back.

Their rows are written by the owner alone, never by the service. `schema.py` has the rules that
the other tables keep.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

metadata = columns.metadata

# A month whose batches lie in a file: which ids and leaves are its, from when to when they tell,
# the digests of the file and of what is left here. All of it is signed in `note`.
month_archive = Table(
    "month_archive",
    metadata,
    Column("month", Date, nullable=False),
    Column("archived_at", INSTANT, nullable=False),
    Column("first_id", Uuid, nullable=False),
    Column("beyond_id", Uuid, nullable=False),
    Column("first_leaf", BigInteger, nullable=False),
    Column("beyond_leaf", BigInteger, nullable=False),
    Column("batches", BigInteger, nullable=False),
    Column("recorded_from", INSTANT, nullable=False),
    Column("recorded_to", INSTANT, nullable=False),
    Column("effective_from", INSTANT, nullable=False),
    Column("effective_to", INSTANT, nullable=False),
    Column("file_digest", LargeBinary, nullable=False),
    Column("carried_digest", LargeBinary, nullable=False),
    Column("holds_digest", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("month", "archived_at"),
)

# The batches of an archived month are back.
month_restore = Table(
    "month_restore",
    metadata,
    Column("month", Date, nullable=False),
    Column("archived_at", INSTANT, nullable=False),
    Column("restored_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("month", "archived_at"),
    ForeignKeyConstraint(
        ["month", "archived_at"], ["month_archive.month", "month_archive.archived_at"]
    ),
)

# What the postings of an archived month come to: one row for all of a member that move the same
# unit and lot from the same account to the same other one. A partition for each archived month.
posting_carried = Table(
    "posting_carried",
    metadata,
    *columns.owner(),
    Column("month", Date, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("booked_month", Date, nullable=False),
    Column("unit", Text, nullable=False),
    Column("lot_id", Uuid),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "month", "line"),
    columns.in_bucket(),
    CheckConstraint("amount > 0", name="amount"),
    postgresql_partition_by="RANGE (month)",
)
