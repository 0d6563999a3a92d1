"""Missing days are filled by two people (A-6); ends of relationships are carried out (T-10).

Why: a month with a day that never comes would stay undetermined for ever; whoever has left keeps
no tier, and units for some days only. The sweep carries out the ends of earlier times, too.
Locks: ACCESS EXCLUSIVE on `feed`, a row per source and day, for as long as its checks take, and on
`member` for an instant; then its rows of those who left, and writes while its index is made.
"""

from textwrap import dedent

from alembic import op

revision = "0027"
down_revision = "0026"

NEW = ("feed_fill", "feed_fill_decision")
STATEMENTS = (
    "ALTER TABLE member ADD COLUMN deceased boolean NOT NULL DEFAULT false",
    "ALTER TABLE member ADD COLUMN end_due date",
    "UPDATE member SET end_due = closed_on + 1 WHERE closed_on IS NOT NULL",
    "CREATE INDEX ix_member_end_due ON member (end_due) WHERE end_due IS NOT NULL",
    "ALTER TABLE feed ADD COLUMN fill text",
    "ALTER TABLE feed ADD COLUMN carried_day date",
    "ALTER TABLE feed ADD COLUMN carried_revision integer",
    """
    ALTER TABLE feed ADD CONSTRAINT ck_feed_fill CHECK (
        (revision < 0) = (fill IS NOT NULL)
        AND coalesce(fill IN ('CARRY_FORWARD', 'ZERO', 'MANUAL'), true))
    """,
    """
    ALTER TABLE feed ADD CONSTRAINT ck_feed_carried CHECK (
        coalesce(fill = 'CARRY_FORWARD', false) = (carried_day IS NOT NULL)
        AND (carried_day IS NULL) = (carried_revision IS NULL))
    """,
    """
    CREATE TABLE feed_fill (
        fill_id UUID NOT NULL,
        body JSONB NOT NULL,
        effect JSONB NOT NULL,
        digest TEXT NOT NULL,
        note TEXT NOT NULL,
        proposed_by TEXT NOT NULL,
        proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_feed_fill PRIMARY KEY (fill_id)
    )
    """,
    "CREATE INDEX ix_feed_fill_proposed_at_fill_id ON feed_fill (proposed_at, fill_id)",
    """
    CREATE TABLE feed_fill_decision (
        fill_id UUID NOT NULL,
        verdict TEXT NOT NULL,
        decided_by TEXT NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
        note TEXT NOT NULL,
        revision INTEGER,
        CONSTRAINT pk_feed_fill_decision PRIMARY KEY (fill_id),
        CONSTRAINT fk_feed_fill_decision_feed_fill FOREIGN KEY (fill_id)
            REFERENCES feed_fill (fill_id),
        CONSTRAINT ck_feed_fill_decision_verdict CHECK (
            verdict IN ('APPROVED', 'REJECTED', 'WITHDRAWN')),
        CONSTRAINT ck_feed_fill_decision_revision CHECK (
            (verdict = 'APPROVED') = (revision IS NOT NULL))
    )
    """,
)


def upgrade() -> None:
    """Add columns and tables; proposals and decisions are added to only."""
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
