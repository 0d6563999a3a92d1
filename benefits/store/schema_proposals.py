"""What two people agree on, corrections too, and what members are blocked from (X-2, L-7, E-6).

`schema.py` has the rules that all tables keep.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from benefits.store import columns
from benefits.store.columns import INSTANT

# What a person proposed, with all it would do, under one digest. Never changed; it is decided
# once, by another person, or its time runs out.
proposal = Table(
    "proposal",
    columns.metadata,
    Column("proposal_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("effect", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("proposal_id"),
    CheckConstraint(
        "kind IN ('PROGRAMME', 'COMPLIANCE', 'BLOCK', 'UNBLOCK', 'ORDER', 'FRAUD')", name="kind"
    ),
    Index(None, "proposed_at", "proposal_id"),
    Index(None, "kind", "subject"),
)

# `result` is what an approved one became: the number of a programme's version, an order's state, a
# member's tier.
proposal_decision = Table(
    "proposal_decision",
    columns.metadata,
    Column("proposal_id", Uuid, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", INSTANT, nullable=False),
    Column("note", Text, nullable=False),
    Column("result", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("proposal_id"),
    ForeignKeyConstraint(["proposal_id"], ["proposal.proposal_id"]),
    CheckConstraint("verdict IN ('APPROVED', 'REJECTED', 'WITHDRAWN')", name="verdict"),
    CheckConstraint("verdict = 'APPROVED' OR result = ''", name="result"),
)

# A block has the id of the proposal that two people agreed on.
member_block = Table(
    "member_block",
    columns.metadata,
    *columns.owner(),
    Column("block_id", Uuid, nullable=False),
    Column("scope", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("from_at", INSTANT, nullable=False),
    Column("to_at", INSTANT),
    PrimaryKeyConstraint("bucket", "member_id", "block_id"),
    columns.of_member(),
    CheckConstraint("scope IN ('ALL', 'CLAIM', 'BENEFIT', 'PROVIDER')", name="scope"),
    CheckConstraint("(scope IN ('BENEFIT', 'PROVIDER')) = (target <> '')", name="target"),
    CheckConstraint("from_at < to_at", name="times"),
)

# The end that two people agreed on before the block's own, by the proposal of that.
member_block_end = Table(
    "member_block_end",
    columns.metadata,
    *columns.owner(),
    Column("block_id", Uuid, nullable=False),
    Column("proposal_id", Uuid, nullable=False),
    Column("ended_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "block_id"),
    ForeignKeyConstraint(
        ["bucket", "member_id", "block_id"],
        ["member_block.bucket", "member_block.member_id", "member_block.block_id"],
    ),
)

# A block whose end was told, and after which what it withheld was brought.
member_block_over = Table(
    "member_block_over",
    columns.metadata,
    *columns.owner(),
    Column("block_id", Uuid, nullable=False),
    Column("noted_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "member_id", "block_id"),
    ForeignKeyConstraint(
        ["bucket", "member_id", "block_id"],
        ["member_block.bucket", "member_block.member_id", "member_block.block_id"],
    ),
)

# What a person proposed to post by hand, and all it would do, under one digest. Never changed; it
# is decided once, by another person, or its time runs out.
correction = Table(
    "correction",
    columns.metadata,
    columns.bucket(),
    Column("correction_id", Uuid, nullable=False),
    columns.member(),
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("effect", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "correction_id"),
    columns.of_member(),
    CheckConstraint(
        "kind IN ('REVERSE', 'REVOKE', 'CLAW_BACK', 'FORGIVE', 'MAKE_GOOD', 'SETTLE', 'RECOVER', "
        "'CLEAR')",
        name="kind",
    ),
    Index(None, "proposed_at", "correction_id"),
)

correction_decision = Table(
    "correction_decision",
    columns.metadata,
    columns.bucket(),
    Column("correction_id", Uuid, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", INSTANT, nullable=False),
    Column("note", Text, nullable=False),
    Column("batch_id", Uuid),
    PrimaryKeyConstraint("bucket", "correction_id"),
    ForeignKeyConstraint(
        ["bucket", "correction_id"], ["correction.bucket", "correction.correction_id"]
    ),
    CheckConstraint("verdict IN ('APPROVED', 'REJECTED', 'WITHDRAWN')", name="verdict"),
    CheckConstraint("(verdict = 'APPROVED') = (batch_id IS NOT NULL)", name="batch"),
)
