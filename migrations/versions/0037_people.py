"""The people behind members: what rules ask of them, and what they agreed to (E-2 to E-5, X-4).

Why: who may claim something is decided by age, city, staff and earlier relationships, and by
consents, each of which is said on a day and withdrawn by a later row.
Locks: SHARE ROW EXCLUSIVE on `member`, for the keys that refer to it, until all is migrated:
claims wait.
"""

from textwrap import dedent

from alembic import op

revision = "0037"
down_revision = "0036"

STATEMENTS = (
    """
    CREATE TABLE member_person (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        born_on DATE,
        city TEXT,
        is_staff BOOLEAN,
        person UUID,
        CONSTRAINT pk_member_person PRIMARY KEY (bucket, member_id),
        CONSTRAINT fk_member_person_member FOREIGN KEY (bucket, member_id)
            REFERENCES member (bucket, member_id)
    )
    """,
    """
    CREATE INDEX ix_member_person_person ON member_person (person) WHERE person IS NOT NULL
    """,
    """
    CREATE TABLE consent (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        purpose TEXT NOT NULL,
        provider TEXT NOT NULL,
        said_on DATE NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        is_given BOOLEAN NOT NULL,
        actor TEXT NOT NULL,
        CONSTRAINT pk_consent PRIMARY KEY
            (bucket, member_id, purpose, provider, said_on, recorded_at),
        CONSTRAINT fk_consent_member FOREIGN KEY (bucket, member_id)
            REFERENCES member (bucket, member_id)
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON consent
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON consent
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Add the tables; what was said is added to only."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
