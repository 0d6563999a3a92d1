"""The tables of packages: starts of periods, what falls took, what was chosen (P-3, P-6, P-8)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# Units of a line that went with a tier, and came back with it: `taken` is above 0, or below.
entitlement_change = Table(
    "entitlement_change",
    columns.metadata,
    *columns.owner(),
    Column("programme", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("lot_id", Uuid, nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("taken", BigInteger, nullable=False),
    Column("quota", BigInteger, nullable=False),
    Column("changed_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "programme", "line", "period", "batch_id"),
    columns.of_member(),
    CheckConstraint("taken <> 0 AND quota >= 0", name="taken"),
)

# A unit of a choice that became the lot of a benefit, by which batch. In a period of a line each
# benefit is chosen once, unless the choice may repeat.
choice = Table(
    "choice",
    columns.metadata,
    columns.bucket(),
    Column("lot_id", Uuid, nullable=False),
    columns.member(),
    Column("from_lot_id", Uuid, nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("programme", Text, nullable=False),
    Column("choice", Text, nullable=False),
    Column("benefit", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("chosen_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "lot_id"),
    columns.of_member(),
    Index(None, "bucket", "member_id"),
)

# Lots whose units are claimed for their members as they come: when that is tried next, and how
# often it was, and was refused; nothing is to be done without a `next_at`. A refusal is told once.
auto_claim = Table(
    "auto_claim",
    columns.metadata,
    columns.bucket(),
    Column("lot_id", Uuid, nullable=False),
    columns.member(),
    Column("programme", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("next_at", INSTANT),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    Column("refusals", SmallInteger, nullable=False, server_default="0"),
    Column("is_told", Boolean, nullable=False, server_default="false"),
    PrimaryKeyConstraint("bucket", "lot_id"),
    columns.of_member(),
    Index("ix_auto_claim_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
)

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
