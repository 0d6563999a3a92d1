"""Two people agree on rules, approvals and blocks; members are blocked (X-2, X-1, E-6).

Why: whoever changes a rule, or stops a member, is not alone. A member's blocks are told by
`has_blocks`, so that nobody else's claims pay for the looking.
Locks: ACCESS EXCLUSIVE on `member` until all is migrated: claims wait.
"""

from textwrap import dedent

from alembic import op

revision = "0040"
down_revision = "0039"

NEW = ("proposal", "proposal_decision", "member_block", "member_block_end")
STATEMENTS = (
    "ALTER TABLE member ADD COLUMN has_blocks boolean NOT NULL DEFAULT false",
    """
    CREATE TABLE proposal (
        proposal_id UUID NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        body JSONB NOT NULL,
        effect JSONB NOT NULL,
        digest TEXT NOT NULL,
        note TEXT NOT NULL,
        proposed_by TEXT NOT NULL,
        proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_proposal PRIMARY KEY (proposal_id),
        CONSTRAINT ck_proposal_kind CHECK (
            kind IN ('PROGRAMME', 'COMPLIANCE', 'BLOCK', 'UNBLOCK'))
    )
    """,
    "CREATE INDEX ix_proposal_proposed_at_proposal_id ON proposal (proposed_at, proposal_id)",
    "CREATE INDEX ix_proposal_kind_subject ON proposal (kind, subject)",
    """
    CREATE TABLE proposal_decision (
        proposal_id UUID NOT NULL,
        verdict TEXT NOT NULL,
        decided_by TEXT NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
        note TEXT NOT NULL,
        result TEXT DEFAULT '' NOT NULL,
        CONSTRAINT pk_proposal_decision PRIMARY KEY (proposal_id),
        CONSTRAINT fk_proposal_decision_proposal FOREIGN KEY (proposal_id)
            REFERENCES proposal (proposal_id),
        CONSTRAINT ck_proposal_decision_verdict CHECK (
            verdict IN ('APPROVED', 'REJECTED', 'WITHDRAWN')),
        CONSTRAINT ck_proposal_decision_result CHECK (verdict = 'APPROVED' OR result = '')
    )
    """,
    """
    CREATE TABLE member_block (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        block_id UUID NOT NULL,
        scope TEXT NOT NULL,
        target TEXT NOT NULL,
        why TEXT NOT NULL,
        from_at TIMESTAMP WITH TIME ZONE NOT NULL,
        to_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_member_block PRIMARY KEY (bucket, member_id, block_id),
        CONSTRAINT fk_member_block_member FOREIGN KEY (bucket, member_id)
            REFERENCES member (bucket, member_id),
        CONSTRAINT ck_member_block_scope CHECK (
            scope IN ('ALL', 'CLAIM', 'BENEFIT', 'PROVIDER')),
        CONSTRAINT ck_member_block_target CHECK (
            (scope IN ('BENEFIT', 'PROVIDER')) = (target <> '')),
        CONSTRAINT ck_member_block_times CHECK (from_at < to_at)
    )
    """,
    """
    CREATE TABLE member_block_end (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        block_id UUID NOT NULL,
        proposal_id UUID NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_member_block_end PRIMARY KEY (bucket, member_id, block_id),
        CONSTRAINT fk_member_block_end_member_block FOREIGN KEY (bucket, member_id, block_id)
            REFERENCES member_block (bucket, member_id, block_id)
    )
    """,
)


def upgrade() -> None:
    """Add the column and the tables; what people said is added to only."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
    for table in NEW:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
