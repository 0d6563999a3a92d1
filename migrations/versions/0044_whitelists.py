"""Whitelists, whose labels follow, and lots that are claimed for their members (P-2, S-1).

Why: package lines may be of a named list, which the bank uploads as a whole, and their units may
be claimed as they come.
Locks: ACCESS EXCLUSIVE on `member_label` while its rows are read twice: evaluations and imports of
labels wait. Migrate in a quiet hour.
"""

from textwrap import dedent

from alembic import op

revision = "0044"
down_revision = "0043"

STATEMENTS = (
    "ALTER TABLE member_label DROP CONSTRAINT ck_member_label_layer",
    """
    ALTER TABLE member_label ADD CONSTRAINT ck_member_label_layer
    CHECK (layer IN ('FACT', 'RULE', 'MODEL', 'LIST'))
    """,
    "ALTER TABLE member_label DROP CONSTRAINT ck_member_label_validity",
    """
    ALTER TABLE member_label ADD CONSTRAINT ck_member_label_validity
    CHECK (valid_from <= valid_to)
    """,
    """
    CREATE TABLE whitelist (
        name TEXT NOT NULL,
        snapshot INTEGER NOT NULL,
        digest TEXT NOT NULL,
        valid_from DATE NOT NULL,
        valid_to DATE,
        actor TEXT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        members BIGINT DEFAULT '0' NOT NULL,
        whole_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_whitelist PRIMARY KEY (name, snapshot),
        CONSTRAINT ck_whitelist_validity CHECK (valid_from < valid_to)
    )
    """,
    """
    CREATE TABLE whitelist_member (
        bucket SMALLINT NOT NULL,
        name TEXT NOT NULL,
        snapshot INTEGER NOT NULL,
        member_id UUID NOT NULL,
        CONSTRAINT pk_whitelist_member PRIMARY KEY (bucket, name, snapshot, member_id),
        CONSTRAINT fk_whitelist_member_member
            FOREIGN KEY (bucket, member_id) REFERENCES member (bucket, member_id)
    )
    """,
    """
    CREATE TABLE auto_claim (
        bucket SMALLINT NOT NULL,
        lot_id UUID NOT NULL,
        member_id UUID NOT NULL,
        programme TEXT NOT NULL,
        line TEXT NOT NULL,
        next_at TIMESTAMP WITH TIME ZONE,
        tries SMALLINT DEFAULT '0' NOT NULL,
        refusals SMALLINT DEFAULT '0' NOT NULL,
        is_told BOOLEAN DEFAULT 'false' NOT NULL,
        CONSTRAINT pk_auto_claim PRIMARY KEY (bucket, lot_id),
        CONSTRAINT fk_auto_claim_member
            FOREIGN KEY (bucket, member_id) REFERENCES member (bucket, member_id)
    )
    """,
    "CREATE INDEX ix_auto_claim_next_at ON auto_claim (next_at) WHERE next_at IS NOT NULL",
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON whitelist_member
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON whitelist_member
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Add the tables, and let labels be of lists."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
