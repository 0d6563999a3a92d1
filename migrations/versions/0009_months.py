"""Months of the books: where they begin, which is the first open one, what closed ones sum to.

Why: finance closes months in order, and a closed month's totals never change (L-11).
Locks: ACCESS EXCLUSIVE on `installation` for an instant. Stop `serve` and `work` first.
Batches from before stay booked in the month they were recorded in.
"""

from textwrap import dedent

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    "ALTER TABLE installation ADD COLUMN book_zone TEXT DEFAULT 'UTC' NOT NULL",
    "ALTER TABLE installation ADD COLUMN open_month DATE DEFAULT '2000-01-01' NOT NULL",
    """
    UPDATE installation SET book_zone = p.document::json ->> 'zone'
    FROM (SELECT document FROM programme ORDER BY code, version DESC LIMIT 1) AS p
    """,
    """
    CREATE TABLE month_close (
        month DATE NOT NULL,
        actor TEXT NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_month_close PRIMARY KEY (month)
    )
    """,
    """
    CREATE TABLE month_total (
        month DATE NOT NULL,
        unit TEXT NOT NULL,
        party TEXT NOT NULL,
        account TEXT NOT NULL,
        amount NUMERIC NOT NULL,
        CONSTRAINT pk_month_total PRIMARY KEY (month, unit, party, account)
    )
    """,
    *(
        statement
        for table in ("month_close", "month_total")
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
)


def upgrade() -> None:
    """Add what closing needs."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
