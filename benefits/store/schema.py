"""The tables, as SQLAlchemy Core sees them; `functions.py` has what goes with them.

Here stand members' assets, tiers, the ledger and claims; `schema_members.py` has the members
themselves, `schema_edges.py` the tables between the service and others, each other `schema_*.py`
those that its name says.

Rules kept here (a test reads them from this file): every table about a member has `bucket` first
in its primary key, unique keys and foreign keys; no hot table refers to a reference table.
`migrations/` is the truth for a database; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from benefits.store import (
    columns,
    schema_archive,
    schema_baselines,
    schema_circuits,
    schema_codes,
    schema_days,
    schema_edges,
    schema_feeds,
    schema_holders,
    schema_jobs,
    schema_members,
    schema_packages,
    schema_people,
    schema_proposals,
    schema_rates,
    schema_room,
)
from benefits.store.columns import INSTANT

metadata = schema_edges.metadata  # one for all tables, those beside this file included
assert metadata is schema_jobs.job.metadata is schema_archive.month_archive.metadata
assert metadata is schema_feeds.feed.metadata is schema_baselines.baseline.metadata
assert metadata is schema_members.member.metadata is schema_packages.period_run.metadata
assert metadata is schema_people.consent.metadata
assert metadata is schema_days.stretch.metadata is schema_codes.pool_code.metadata
assert metadata is schema_proposals.proposal.metadata
assert metadata is schema_circuits.metadata is schema_room.wait.metadata
assert metadata is schema_rates.rate.metadata is schema_holders.account_holder.metadata

# One row per grain and revision; the highest revision counts. No foreign key: a day is millions of
# rows.
asset = Table(
    "asset",
    metadata,
    *columns.owner(),
    Column("as_of", Date, nullable=False),
    Column("asset_class", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("balance_minor", BigInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint(
        *("bucket", "member_id", "as_of", "asset_class"),
        *("currency", "source", "account", "revision"),
    ),
    columns.in_bucket(),
    postgresql_partition_by="RANGE (as_of)",
)

# Kept by the import: the sum of a month's day-end balances, and a bit for each day with a plain
# line (bit 0 is day 1). A sum that a feed of a later generation than the sealed ones has moved
# counts as it was before.
asset_month = Table(
    "asset_month",
    metadata,
    *columns.owner(),
    Column("month", Date, nullable=False),
    Column("asset_class", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("sum_minor", BigInteger, nullable=False),
    Column("known_days", Integer, nullable=False),
    Column("before_minor", BigInteger, nullable=False, server_default="0"),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("moved", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("bucket", "member_id", "month", "asset_class", "currency"),
    columns.in_bucket(),
    CheckConstraint("sum_minor >= 0", name="sum"),
    postgresql_with={"fillfactor": "80"},
)

# One row: the number of the last part of an import that moved sums. Whoever moves takes the next
# and holds the row to its end, so numbers are seen in their order.
asset_move = Table(
    "asset_move",
    metadata,
    Column("single", SmallInteger, nullable=False, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("single"),
    CheckConstraint("single = 1", name="single"),
)

# What is seen ahead of a member in the running period, or was in the last one that had it: one row
# a kind. `is_current` while it is so.
tier_outlook = Table(
    "tier_outlook",
    metadata,
    *columns.owner(),
    Column("programme", Text, nullable=False),
    Column("outlook", Text, nullable=False),
    Column("month", Date, nullable=False),
    Column("tier", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("threshold_minor", BigInteger, nullable=False),
    Column("projected_minor", BigInteger, nullable=False),
    Column("needed_daily_minor", BigInteger),
    Column("is_current", Boolean, nullable=False),
    Column("seen_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "programme", "outlook"),
    CheckConstraint("outlook IN ('AT_RISK', 'NEAR')", name="outlook"),
    columns.of_member(),
)

tier_decision = Table(
    "tier_decision",
    metadata,
    columns.bucket(),
    Column("decision_id", Uuid, nullable=False),
    columns.member(),
    Column("programme", Text, nullable=False),
    Column("programme_version", Integer, nullable=False),
    Column("month", Date, nullable=False),
    Column("cause", Text, nullable=False),
    Column("before_rank", SmallInteger, nullable=False),
    Column("before_misses", SmallInteger, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("misses", SmallInteger, nullable=False),
    Column("qualified", SmallInteger, nullable=False),
    Column("sum_minor", BigInteger, nullable=False),
    Column("known_days", SmallInteger, nullable=False),
    Column("effective_from", INSTANT, nullable=False),
    Column("decided_at", INSTANT, nullable=False),
    Column("days", SmallInteger),  # the month's, where it and the divisor are null
    Column("divisor", SmallInteger),
    Column("lock_until", Date),
    Column("grace_until", Date),
    Column("before_way", Text),  # null where a tier has no ways besides its threshold
    Column("way", Text),
    Column("grounds", Text),
    Column("earned", SmallInteger),  # what lies beneath a tier that a welcome gives
    Column("welcome_until", Date),
    PrimaryKeyConstraint("bucket", "decision_id"),
    UniqueConstraint("bucket", "member_id", "programme", "month", "decided_at"),
    columns.of_member(),
)

entitlement_grant = Table(
    "entitlement_grant",
    metadata,
    *columns.owner(),
    Column("programme", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("quota", BigInteger, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("lot_id", Uuid, nullable=False),
    Column("granted_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "programme", "line", "period", "cause", "quota"),
    columns.of_member(),
    CheckConstraint("cause IN ('TIER', 'SEGMENT', 'REWARD', 'MAKE_GOOD')", name="cause"),
)

lot = Table(
    "lot",
    metadata,
    columns.bucket(),
    Column("lot_id", Uuid, nullable=False),
    columns.member(),
    Column("unit", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("granted", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("granted_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT),
    Column("redeemed", BigInteger, nullable=False, server_default="0"),
    Column("swept", Boolean, nullable=False, server_default="false"),
    PrimaryKeyConstraint("bucket", "lot_id"),
    columns.of_member(),
    CheckConstraint("held >= 0 AND held <= remaining", name="held"),
    CheckConstraint(
        "expired >= 0 AND redeemed >= 0 AND remaining + expired + redeemed <= granted",
        name="conserved",
    ),
    CheckConstraint("granted > 0", name="granted"),
    Index(None, "bucket", "member_id", "unit", "expires_at"),
    # No column that claims change: their updates stay HOT.
    Index(
        "ix_lot_unswept",
        "expires_at",
        postgresql_where=text("NOT swept AND expires_at IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "80"},
)

wallet = Table(
    "wallet",
    metadata,
    *columns.owner(),
    Column("unit", Text, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("owed", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("bucket", "member_id", "unit"),
    columns.of_member(),
    CheckConstraint("available >= 0 AND held >= 0 AND owed >= 0", name="never_negative"),
    postgresql_with={"fillfactor": "80"},
)

batch = Table(
    "batch",
    metadata,
    columns.bucket(),
    Column("batch_id", Uuid, nullable=False),
    columns.member(),
    Column("kind", Text, nullable=False),
    Column("cause_id", Uuid),
    Column("reverses", Uuid),
    Column("actor", Text, nullable=False),
    Column("effective_at", INSTANT, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("booked_month", Date, nullable=False),
    columns.xid(),
    PrimaryKeyConstraint("bucket", "batch_id"),
    columns.in_bucket(),
    Index(None, "bucket", "member_id", "batch_id"),
    postgresql_partition_by="RANGE (batch_id)",
)

posting = Table(
    "posting",
    metadata,
    columns.bucket(),
    Column("batch_id", Uuid, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("lot_id", Uuid),
    Column("party", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("bucket", "batch_id", "line"),
    columns.in_bucket(),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("debit <> credit", name="accounts"),
    postgresql_partition_by="RANGE (batch_id)",
)

# A closed month and, per account, what was booked in it: fixed for ever (L-11).
month_close = Table(
    "month_close",
    metadata,
    Column("month", Date, nullable=False),
    Column("actor", Text, nullable=False),
    Column("closed_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("month"),
)

month_total = Table(
    "month_total",
    metadata,
    Column("month", Date, nullable=False),
    Column("unit", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount", Numeric, nullable=False),
    PrimaryKeyConstraint("month", "unit", "party", "account"),
)

hold = Table(
    "hold",
    metadata,
    columns.bucket(),
    Column("hold_id", Uuid, nullable=False),
    columns.member(),
    Column("claim_id", Uuid, nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("unit", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("cost_minor", BigInteger, nullable=False),
    Column("placed_at", INSTANT, nullable=False),
    Column("uncapped", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("bucket", "hold_id"),
    columns.in_bucket(),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("uncapped >= 0 AND uncapped <= quantity", name="uncapped"),
)

hold_end = Table(
    "hold_end",
    metadata,
    columns.bucket(),
    Column("hold_id", Uuid, nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("released", BigInteger, nullable=False),
    Column("ended_at", INSTANT, nullable=False),
    Column("uncapped", BigInteger, nullable=False, server_default="0"),
    Column("spent_minor", BigInteger),
    PrimaryKeyConstraint("bucket", "hold_id"),
    ForeignKeyConstraint(["bucket", "hold_id"], ["hold.bucket", "hold.hold_id"]),
    CheckConstraint("captured >= 0 AND released >= 0", name="parts"),
    CheckConstraint("spent_minor IS NULL OR spent_minor >= 0 AND captured > 0", name="spent"),
    CheckConstraint("uncapped >= 0 AND uncapped <= released", name="uncapped"),
)

# What of an earlier batch's posting was given back, by which posting of which batch (I7).
reversal = Table(
    "reversal",
    metadata,
    columns.bucket(),
    Column("reverses", Uuid, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("by_line", SmallInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "reverses", "line", "batch_id"),
    columns.in_bucket(),
    CheckConstraint("amount > 0", name="amount"),
)

# A claim and the order it became. `hold_id` is the hold its units are in now; `deadline` counts
# until it is sent.
claim = Table(
    "claim",
    metadata,
    columns.bucket(),
    Column("claim_id", Uuid, nullable=False),
    columns.member(),
    Column("programme", Text, nullable=False),
    Column("benefit", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("hold_id", Uuid, nullable=False),
    Column("cap_window", Text, nullable=False, server_default=""),
    Column("claimed_at", INSTANT, nullable=False),
    Column("changed_at", INSTANT, nullable=False),
    Column("deadline", INSTANT),
    Column("provider_reference", Text, nullable=False, server_default=""),
    Column("code_sealed", LargeBinary),
    Column("programme_version", Integer, nullable=False),  # whose terms it keeps
    Column("limits", JSONB),  # where it took room beside its cap, if anywhere
    Column("use_until", INSTANT),  # when what it brings can be used no more, where that is said
    # What the provider told of its use: so many pieces as of its instant, and when it ended.
    Column("used_at", INSTANT),
    Column("used", BigInteger, nullable=False, server_default="0"),
    Column("ended_at", INSTANT),
    Column("ends_at", INSTANT),  # when it ends by our clock, if it is not used
    Column("codes", BigInteger, nullable=False, server_default="0"),  # of our stock (V-1)
    Column("instead_of", Text, nullable=False, server_default=""),  # what it replaces (V-6)
    # For when it is booked, until when that is cancelled freely, and when the member did (V-10).
    Column("booked_for", INSTANT),
    Column("cancel_until", INSTANT),
    Column("cancelled_at", INSTANT),
    # Where fewer pieces came than were ordered: how many were, how many may still come, and until
    # when they are asked for (V-5).
    Column("ordered", BigInteger),
    Column("missing", BigInteger, nullable=False, server_default="0"),
    Column("rest_until", INSTANT),
    CheckConstraint(
        "quantity > 0 AND missing BETWEEN 0 AND coalesce(ordered, 0) "
        "AND (ordered IS NULL OR quantity <= ordered)",
        name="missing",
    ),
    CheckConstraint("rest_until IS NULL OR missing > 0", name="rest"),
    PrimaryKeyConstraint("bucket", "claim_id"),
    columns.of_member(),
    Index(None, "bucket", "member_id", "claim_id"),
    Index(
        "ix_claim_unused",
        "ends_at",
        postgresql_where=text(
            "ends_at IS NOT NULL AND state IN ('ISSUED', 'CONFIRMED', 'PARTLY_REDEEMED')"
        ),
    ),
    Index(
        "ix_claim_reference",
        "provider_reference",
        postgresql_where=text("provider_reference <> ''"),
    ),
    Index("ix_claim_unsent", "deadline", postgresql_where=text("deadline IS NOT NULL")),
    Index("ix_claim_rest", "rest_until", postgresql_where=text("rest_until IS NOT NULL")),
    Index(
        "ix_claim_open",
        *("claimed_at", "claim_id"),
        postgresql_where=text("state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN', 'MANUAL')"),
    ),
    Index(
        "ix_claim_unheard",
        *("benefit", "changed_at"),
        postgresql_where=text("state IN ('SUBMITTED', 'PENDING', 'UNKNOWN')"),
    ),
    postgresql_with={"fillfactor": "80"},
)
