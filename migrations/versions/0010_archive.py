"""Months taken out of the ledger into files, with what they leave behind so that books still fold.

Why: a ledger grows for ever, and old months must be able to leave without the proof of the books.
Locks: none that anybody could wait for.
"""

from textwrap import dedent

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    """
    CREATE TABLE month_archive (
        month DATE NOT NULL,
        archived_at TIMESTAMP WITH TIME ZONE NOT NULL,
        first_id UUID NOT NULL,
        beyond_id UUID NOT NULL,
        first_leaf BIGINT NOT NULL,
        beyond_leaf BIGINT NOT NULL,
        batches BIGINT NOT NULL,
        recorded_from TIMESTAMP WITH TIME ZONE NOT NULL,
        recorded_to TIMESTAMP WITH TIME ZONE NOT NULL,
        effective_from TIMESTAMP WITH TIME ZONE NOT NULL,
        effective_to TIMESTAMP WITH TIME ZONE NOT NULL,
        file_digest BYTEA NOT NULL,
        carried_digest BYTEA NOT NULL,
        holds_digest BYTEA NOT NULL,
        note TEXT NOT NULL,
        CONSTRAINT pk_month_archive PRIMARY KEY (month, archived_at)
    )
    """,
    """
    CREATE TABLE month_restore (
        month DATE NOT NULL,
        archived_at TIMESTAMP WITH TIME ZONE NOT NULL,
        restored_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_month_restore PRIMARY KEY (month, archived_at),
        CONSTRAINT fk_month_restore_month_archive FOREIGN KEY(month, archived_at)
            REFERENCES month_archive (month, archived_at)
    )
    """,
    """
    CREATE TABLE posting_carried (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        month DATE NOT NULL,
        line BIGINT NOT NULL,
        booked_month DATE NOT NULL,
        unit TEXT NOT NULL,
        lot_id UUID,
        debit TEXT NOT NULL,
        credit TEXT NOT NULL,
        party TEXT NOT NULL,
        amount BIGINT NOT NULL,
        CONSTRAINT pk_posting_carried PRIMARY KEY (bucket, member_id, month, line),
        CONSTRAINT ck_posting_carried_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_posting_carried_amount CHECK (amount > 0)
    ) PARTITION BY RANGE (month)
    """,
    *(
        statement
        for table in ("month_archive", "month_restore", "posting_carried")
        for statement in (
            f"""
            CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change()
            """,
            f"""
            CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
            """,
        )
    ),
    """
    CREATE FUNCTION refuse_archived() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the month of % is archived', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
)


def upgrade() -> None:
    """Make the tables, whose rows stay."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
