"""Balances in other currencies: daily rates, and what lines come to by them (A-4).

Why: a rate is kept with each of its revisions, sealed by the digest of what it came with; which
one the lines of a date use is kept as of when, so that any conversion can be made again.
Locks: none; new tables.
"""

from textwrap import dedent

from alembic import op

revision = "0025"
down_revision = "0024"

STATEMENTS = (
    """
    CREATE TABLE currency (
        code TEXT NOT NULL,
        digits SMALLINT NOT NULL,
        into_code TEXT NOT NULL,
        into_digits SMALLINT NOT NULL,
        CONSTRAINT pk_currency PRIMARY KEY (code)
    )
    """,
    """
    CREATE TABLE rate_run (
        generation BIGINT NOT NULL,
        digest BYTEA NOT NULL,
        rates INTEGER NOT NULL,
        currencies TEXT[] NOT NULL,
        months DATE[] NOT NULL,
        next_bucket SMALLINT NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_rate_run PRIMARY KEY (generation),
        CONSTRAINT ck_rate_run_next_bucket CHECK (next_bucket BETWEEN 0 AND 1024)
    )
    """,
    """
    CREATE TABLE rate (
        currency TEXT NOT NULL,
        as_of DATE NOT NULL,
        revision INTEGER NOT NULL,
        rate NUMERIC NOT NULL,
        per INTEGER NOT NULL,
        factor NUMERIC NOT NULL,
        generation BIGINT NOT NULL,
        CONSTRAINT pk_rate PRIMARY KEY (currency, as_of, revision),
        CONSTRAINT ck_rate_positive CHECK (rate > 0 AND per > 0 AND factor > 0)
    )
    """,
    """
    CREATE TABLE rate_used (
        currency TEXT NOT NULL,
        as_of DATE NOT NULL,
        generation BIGINT NOT NULL,
        rate NUMERIC NOT NULL,
        per INTEGER NOT NULL,
        rate_date DATE NOT NULL,
        factor NUMERIC NOT NULL,
        CONSTRAINT pk_rate_used PRIMARY KEY (currency, as_of, generation),
        CONSTRAINT ck_rate_used_rate_date CHECK (rate_date BETWEEN as_of - 10 AND as_of)
    )
    """,
    """
    CREATE TABLE currency_day (
        currency TEXT NOT NULL,
        as_of DATE NOT NULL,
        CONSTRAINT pk_currency_day PRIMARY KEY (currency, as_of)
    )
    """,
    """
    CREATE TABLE asset_converted (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        month DATE NOT NULL,
        asset_class TEXT NOT NULL,
        currency TEXT NOT NULL,
        sum_minor NUMERIC NOT NULL,
        unrated_days INTEGER NOT NULL,
        before_minor NUMERIC NOT NULL,
        before_unrated INTEGER NOT NULL,
        generation BIGINT NOT NULL,
        CONSTRAINT pk_asset_converted
            PRIMARY KEY (bucket, month, currency, member_id, asset_class),
        CONSTRAINT ck_asset_converted_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_asset_converted_sum CHECK (sum_minor >= 0)
    ) WITH (fillfactor = 80)
    """,
)
NEW = ("currency", "currency_day", "rate", "rate_used")


def upgrade() -> None:
    """Add the tables; rates are added to only."""
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
