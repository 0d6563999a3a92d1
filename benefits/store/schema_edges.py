"""The tables between the service and others: who may call, requests, providers, events, cases.

`schema.py` has the rules that all tables keep.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from benefits.store import columns, schema_seals
from benefits.store.columns import INSTANT

metadata = schema_seals.metadata  # one for all tables, those of the log included

# `position_start` is what the outbox adds to transaction ids: a restore counts these anew.
# `book_zone` is where months of the books begin, `open_month` the first that is not closed.
installation = Table(
    "installation",
    metadata,
    Column("single", SmallInteger, nullable=False, autoincrement=False),
    Column("stamp", Text, nullable=False),
    Column("member_key_fingerprint", LargeBinary, nullable=False),
    Column("config_version", Integer, nullable=False, server_default="0"),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("position_start", BigInteger, nullable=False, server_default="0"),
    Column("book_zone", Text, nullable=False, server_default="UTC"),
    Column("open_month", Date, nullable=False, server_default="2000-01-01"),
    PrimaryKeyConstraint("single"),
    CheckConstraint("single = 1", name="single"),
    CheckConstraint("stamp IN ('production', 'demo', 'test')", name="stamp"),
)

programme = Table(
    "programme",
    metadata,
    Column("code", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("document", Text, nullable=False),
    Column("applied_at", INSTANT, nullable=False),
    Column("tiers_from", Date, nullable=False, server_default="2000-01-01"),
    Column("effective_from", INSTANT, nullable=False),
    PrimaryKeyConstraint("code", "version"),
    CheckConstraint("effective_from >= applied_at", name="effective_from"),
)

# `ends_at` is when a key was or will be revoked; `provider` is whose key it is, where it is one's.
api_key = Table(
    "api_key",
    metadata,
    Column("key_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("ends_at", INSTANT),
    Column("provider", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("key_id"),
)

# One number for ever: the request's id in hex. `next_at` NULL means nothing more is to be done.
provider_request = Table(
    "provider_request",
    metadata,
    columns.bucket(),
    Column("request_id", Uuid, nullable=False),
    columns.member(),
    Column("claim_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("body_sealed", LargeBinary, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("disclosed", ARRAY(Text), nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("sent_by", INSTANT),
    Column("next_at", INSTANT),
    Column("leased_until", INSTANT),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("queries", Integer, nullable=False, server_default="0"),
    Column("traceparent", Text, nullable=False, server_default=""),
    Column("undoes", Uuid),  # the redemption that is reversed
    Column("verdict", Text, nullable=False, server_default=""),
    Column("not_before", INSTANT),  # the provider asked to be left alone until then
    PrimaryKeyConstraint("bucket", "request_id"),
    columns.in_bucket(),
    CheckConstraint(
        "operation IN ('ISSUE', 'CONFIRM', 'REVOKE', 'REDEEM', 'REVERSE')", name="operation"
    ),
    CheckConstraint("(operation = 'REVERSE') = (undoes IS NOT NULL)", name="undoes"),
    Index(
        "ix_provider_request_due",
        *("provider", "sku", "next_at"),
        postgresql_where=text("next_at IS NOT NULL"),
    ),
    Index(
        "ix_provider_request_unheard",
        *("provider", "created_at"),
        postgresql_where=text(
            "next_at IS NOT NULL AND operation IN ('REVOKE', 'REDEEM', 'REVERSE')"
        ),
    ),
    Index(None, "bucket", "member_id", "claim_id"),
    postgresql_with={"fillfactor": "80"},
)

provider_attempt = Table(
    "provider_attempt",
    metadata,
    columns.bucket(),
    Column("request_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("operation", Text, nullable=False),
    Column("started_at", INSTANT, nullable=False),
    Column("ended_at", INSTANT),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("evidence", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("bucket", "request_id", "attempt"),
    columns.in_bucket(),
)

# Callbacks as they came, kept once; the bucket is taken from (provider, event id), for the order
# may be unknown. What has no verdict waits, or an earlier release worked it off.
inbox = Table(
    "inbox",
    metadata,
    columns.bucket(),
    Column("provider", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("body_sealed", LargeBinary, nullable=False),
    Column("notice_sealed", LargeBinary, nullable=False),
    Column("received_at", INSTANT, nullable=False),
    Column("processed_at", INSTANT),
    Column("traceparent", Text, nullable=False, server_default=""),
    Column("next_at", INSTANT),
    Column("verdict", Text, nullable=False, server_default=""),
    Column("reread_at", INSTANT),
    Column("reread_by", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("bucket", "provider", "event_id"),
    columns.in_bucket(),
    CheckConstraint(
        "verdict IN ('', 'APPLIED', 'IGNORED', 'NOT_UNDERSTOOD', 'NO_ORDER', 'FAILED')",
        name="verdict",
    ),
    Index("ix_inbox_waiting", "received_at", postgresql_where=text("processed_at IS NULL")),
    Index(
        "ix_inbox_unsettled",
        "provider",
        "received_at",
        "event_id",
        postgresql_where=text(
            "processed_at IS NOT NULL AND verdict NOT IN ('APPLIED', 'IGNORED')"
        ),
    ),
)

# Events, in the order of `position`: the transaction that wrote a member's event, but never before
# the event of that member before it.
outbox = Table(
    "outbox",
    metadata,
    *columns.owner(),
    Column("seq", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("batch_id", Uuid),
    Column("subject_id", Uuid),
    Column("data", JSONB, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "seq"),
    columns.in_bucket(),
    Index(None, "position", "bucket", "member_id", "seq"),
)

# What members were told of changes that are worse for them, before a version with them holds.
programme_notice = Table(
    "programme_notice",
    metadata,
    Column("notice_id", Uuid, nullable=False),
    Column("programme", Text, nullable=False),
    Column("changes", JSONB, nullable=False),
    Column("channel", Text, nullable=False),
    Column("given_on", Date, nullable=False),
    Column("text", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("notice_id"),
)

# What a person must look at; a callback for an unknown order belongs to no member.
case_file = Table(
    "case_file",
    metadata,
    columns.bucket(),
    Column("case_id", Uuid, nullable=False),
    Column("member_id", Uuid),
    Column("claim_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("closed_at", INSTANT),
    Column("closed_by", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("bucket", "case_id"),
    columns.in_bucket(),
    Index(None, "bucket", "claim_id"),
    Index("ix_case_file_open", "opened_at", "case_id", postgresql_where=text("closed_at IS NULL")),
    Index(
        "ix_case_file_closed",
        "closed_at",
        "case_id",
        postgresql_where=text("closed_at IS NOT NULL"),
    ),
)

request = Table(
    "request",
    metadata,
    columns.bucket(),
    Column("caller", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("refusal", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("ids", JSONB, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "caller", "operation", "key"),
    columns.in_bucket(),
    Index("ix_request_refused", "recorded_at", postgresql_where=text("refusal <> ''")),
)

page_session = Table(
    "page_session",
    metadata,
    columns.bucket(),
    Column("session_id", Uuid, nullable=False),
    columns.member(),
    Column("code_hash", LargeBinary, nullable=False),
    Column("code_expires_at", INSTANT, nullable=False),
    Column("secret_hash", LargeBinary),
    Column("entered_at", INSTANT),
    Column("expires_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "session_id"),
    columns.of_member(),
    Index(None, "expires_at"),
)

# Who looked at a provider's code, and when; the code itself lies sealed with its claim.
code_reading = Table(
    "code_reading",
    metadata,
    columns.bucket(),
    Column("reading_id", Uuid, nullable=False),
    columns.member(),
    Column("claim_id", Uuid, nullable=False),
    Column("actor", Text, nullable=False),
    Column("read_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "reading_id"),
    columns.of_member(),
    Index(None, "bucket", "claim_id"),
)
