"""The tables of the people behind members: what rules ask of them, and what they agreed to.

`schema.py` has the rules that all tables keep. Both are apart from the ledger, which needs
neither: a person's row can be erased while the books stay (X-4).
"""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)

from benefits.store import columns
from benefits.store.columns import INSTANT

# What the customer file tells; empty is what nobody told. `person` is a keyed hash of the identity
# document, by which customer numbers of one person are found; the document itself is nowhere.
member_person = Table(
    "member_person",
    columns.metadata,
    *columns.owner(),
    Column("born_on", Date),
    Column("city", Text),
    Column("is_staff", Boolean),
    Column("person", Uuid),
    PrimaryKeyConstraint("bucket", "member_id"),
    columns.of_member(),
    Index("ix_member_person_person", "person", postgresql_where=text("person IS NOT NULL")),
)

# What a member said of a purpose and a provider: the latest day counts, and of one day what was
# recorded last.
consent = Table(
    "consent",
    columns.metadata,
    *columns.owner(),
    Column("purpose", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("said_on", Date, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("is_given", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "purpose", "provider", "said_on", "recorded_at"),
    columns.of_member(),
)
