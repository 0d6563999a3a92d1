"""The tables about when providers are called: breakers, rates, and what operators said of them.

All of no member, and small: a row for each SKU, for each provider, for each word.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from benefits.store import schema_seals
from benefits.store.columns import INSTANT

metadata = schema_seals.metadata

# A breaker: `minutes` counts calls and failures while it is closed; `paused_until` is NULL then.
provider_circuit = Table(
    "provider_circuit",
    metadata,
    Column("provider", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("minutes", JSONB, nullable=False, server_default=text("'[]'")),
    Column("why", Text, nullable=False, server_default=""),
    Column("paused_until", INSTANT),
    Column("pauses", Integer, nullable=False, server_default="0"),
    Column("probing_until", INSTANT),
    PrimaryKeyConstraint("provider", "sku"),
    CheckConstraint("(paused_until IS NULL) = (why = '')", name="why"),
    CheckConstraint("probing_until IS NULL OR paused_until IS NOT NULL", name="probing"),
    postgresql_with={"fillfactor": "50"},
)

# What a limited provider's bucket held at an instant.
provider_tokens = Table(
    "provider_tokens",
    metadata,
    Column("provider", Text, nullable=False),
    Column("left_over", Double, nullable=False),
    Column("at", INSTANT, nullable=False),
    PrimaryKeyConstraint("provider"),
    CheckConstraint("left_over >= 0", name="left_over"),
    postgresql_with={"fillfactor": "50"},
)

# Who paused or resumed a provider, or one SKU of it: the latest word holds. An empty SKU is all.
provider_word = Table(
    "provider_word",
    metadata,
    Column("word_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("until", INSTANT),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("said_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("word_id"),
    CheckConstraint("verb IN ('PAUSE', 'RESUME')", name="verb"),
    CheckConstraint("verb = 'PAUSE' OR until IS NULL", name="until"),
    Index(None, "provider", "sku", "word_id"),
)
