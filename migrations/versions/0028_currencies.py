"""Balances in other currencies, by daily rates (A-4), and of joint accounts (A-5).

Why: a rate is kept with each of its revisions, sealed by the digest of what it came with; which
one the lines of a date use is kept as of when, so that any conversion can be made again. What a
joint account counts for its holders is kept for each policy, so that programmes may differ.
Locks: none; new tables.
"""

from textwrap import dedent

from alembic import op

revision = "0028"
down_revision = "0027"

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
    """
    CREATE TABLE account_holder (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        account TEXT NOT NULL,
        valid_from DATE NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        role TEXT NOT NULL,
        valid_to DATE,
        CONSTRAINT pk_account_holder
            PRIMARY KEY (bucket, member_id, account, valid_from, recorded_at),
        CONSTRAINT ck_account_holder_role CHECK (role IN ('PRIMARY', 'JOINT')),
        CONSTRAINT ck_account_holder_validity CHECK (valid_from <= valid_to),
        CONSTRAINT fk_account_holder_member FOREIGN KEY (bucket, member_id)
            REFERENCES member (bucket, member_id)
    )
    """,
    "CREATE INDEX ix_account_holder_account_bucket ON account_holder (account, bucket)",
    """
    CREATE TABLE asset_joint (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        month DATE NOT NULL,
        asset_class TEXT NOT NULL,
        currency TEXT NOT NULL,
        joint TEXT NOT NULL,
        sum_minor NUMERIC NOT NULL,
        known_days INTEGER NOT NULL,
        unrated_days INTEGER NOT NULL,
        before_minor NUMERIC NOT NULL,
        before_unrated INTEGER NOT NULL,
        generation BIGINT NOT NULL,
        CONSTRAINT pk_asset_joint
            PRIMARY KEY (bucket, member_id, month, asset_class, currency, joint),
        CONSTRAINT ck_asset_joint_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_asset_joint_joint CHECK (
            joint IN ('FULL_TO_EACH', 'PRIMARY_ONLY', 'SPLIT_EQUAL'))
    ) WITH (fillfactor = 80)
    """,
)
NEW = ("account_holder", "currency", "currency_day", "rate", "rate_used")


def upgrade() -> None:
    """Add the tables; rates and holders are added to only."""
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
