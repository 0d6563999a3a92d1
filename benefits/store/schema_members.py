"""The tables of members: the row that is their lock, the way back to the bank, labels, lists.

`schema.py` has the rules that all tables keep.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# The member row is the one lock of all that a member has; it is updated by every write, hence the
# room for HOT. `end_due` is the day on which something is to be carried out of the end of the
# relationship: the day after it at first, empty when all is done. Of a member who was merged it is
# set by whatever is recorded of them: units may have come free that are another's now. On the day
# `welcome_due` a welcome begins or ends (`store/welcomes`).
member = Table(
    "member",
    columns.metadata,
    *columns.owner(),
    Column("opened_on", Date, nullable=False),
    Column("closed_on", Date),
    Column("branch", Text, nullable=False, server_default=""),
    Column("manager", Text, nullable=False, server_default=""),
    Column("event_seq", BigInteger, nullable=False, server_default="0"),
    Column("recorded_at", INSTANT, nullable=False),
    Column("merged_into", Uuid),
    Column("event_position", BigInteger, nullable=False, server_default="0"),
    Column("deceased", Boolean, nullable=False, server_default="false"),
    Column("end_due", Date),
    Column("has_merged", Boolean, nullable=False, server_default="false"),
    Column("has_blocks", Boolean, nullable=False, server_default="false"),
    Column("welcome_due", Date),
    PrimaryKeyConstraint("bucket", "member_id"),
    columns.in_bucket(),
    Index("ix_member_end_due", "end_due", postgresql_where=text("end_due IS NOT NULL")),
    Index(
        "ix_member_welcome_due",
        "welcome_due",
        postgresql_where=text("welcome_due IS NOT NULL"),
    ),
    Index(
        "ix_member_merged_into",
        "merged_into",
        postgresql_where=text("merged_into IS NOT NULL"),
    ),
    CheckConstraint(
        "merged_into IS NULL OR merged_into <> member_id AND NOT has_merged", name="merged"
    ),
    CheckConstraint("bucket = ('x' || right(member_id::text, 3))::bit(12)::int & 1023", name="id"),
    postgresql_with={"fillfactor": "80"},
)

# What a member's row said of the relationship, and for whom it counted, until it was changed.
member_past = Table(
    "member_past",
    columns.metadata,
    *columns.owner(),
    Column("until_at", INSTANT, nullable=False),
    Column("opened_on", Date, nullable=False),
    Column("closed_on", Date),
    Column("merged_into", Uuid),
    PrimaryKeyConstraint("bucket", "member_id", "until_at"),
    columns.of_member(),
)

# Apart from the ledger and erasable: the way back from a member's id to the bank's customer.
member_profile = Table(
    "member_profile",
    columns.metadata,
    *columns.owner(),
    Column("reference_sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id"),
    columns.of_member(),
)

member_label = Table(
    "member_label",
    columns.metadata,
    *columns.owner(),
    Column("label", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("valid_to", Date),
    Column("layer", Text, nullable=False),
    Column("source_version", Text),
    PrimaryKeyConstraint("bucket", "member_id", "label", "valid_from", "recorded_at"),
    columns.of_member(),
    CheckConstraint("layer IN ('FACT', 'RULE', 'MODEL', 'LIST')", name="layer"),
    CheckConstraint("valid_from <= valid_to", name="validity"),
)

# Snapshots of whitelists, one above the other; `whole_at` is when one began to count.
whitelist = Table(
    "whitelist",
    columns.metadata,
    Column("name", Text, nullable=False),
    Column("snapshot", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date),
    Column("actor", Text, nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("members", BigInteger, nullable=False, server_default="0"),
    Column("whole_at", INSTANT),
    PrimaryKeyConstraint("name", "snapshot"),
    CheckConstraint("valid_from < valid_to", name="validity"),
)

# Whom a snapshot names.
whitelist_member = Table(
    "whitelist_member",
    columns.metadata,
    columns.bucket(),
    Column("name", Text, nullable=False),
    Column("snapshot", Integer, nullable=False),
    columns.member(),
    PrimaryKeyConstraint("bucket", "name", "snapshot", "member_id"),
    columns.of_member(),
)
