"""Feeds: balances of a source's day that count when a manifest has sealed them, and not before.

Why: a day is known when the bank says so and what it sent is what it says (A-2).
Locks: ACCESS EXCLUSIVE on `asset_month` for an instant; the new columns rewrite nothing.
"""

from textwrap import dedent

from alembic import op

revision = "0019"
down_revision = "0018"

STATEMENTS = (
    "ALTER TABLE asset_month ADD COLUMN before_minor BIGINT DEFAULT '0' NOT NULL",
    "ALTER TABLE asset_month ADD COLUMN generation BIGINT DEFAULT '0' NOT NULL",
    """
    CREATE TABLE feed (
        source TEXT NOT NULL,
        as_of DATE NOT NULL,
        revision INTEGER NOT NULL,
        programme TEXT NOT NULL,
        state TEXT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        manifest JSONB,
        reasons JSONB DEFAULT '[]' NOT NULL,
        rows BIGINT DEFAULT '0' NOT NULL,
        totals JSONB DEFAULT '{}' NOT NULL,
        replaces INTEGER,
        generation BIGINT,
        next_bucket SMALLINT DEFAULT '0' NOT NULL,
        judged_at TIMESTAMP WITH TIME ZONE,
        sealed_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_feed PRIMARY KEY (as_of, source, revision),
        CONSTRAINT ck_feed_state CHECK (
            state IN ('OPEN', 'WAITING', 'APPLYING', 'SEALED', 'REFUSED')),
        CONSTRAINT ck_feed_judged CHECK ((state = 'OPEN') = (judged_at IS NULL)),
        CONSTRAINT ck_feed_sealed CHECK ((state = 'SEALED') = (sealed_at IS NOT NULL))
    )
    """,
    "CREATE UNIQUE INDEX uq_feed_applying ON feed (state) WHERE state = 'APPLYING'",
    "CREATE INDEX ix_feed_waiting ON feed (judged_at) WHERE state = 'WAITING'",
    "CREATE UNIQUE INDEX uq_feed_generation ON feed (generation)",
    """
    CREATE TABLE feed_chunk (
        source TEXT NOT NULL,
        as_of DATE NOT NULL,
        revision INTEGER NOT NULL,
        number INTEGER NOT NULL,
        digest BYTEA NOT NULL,
        rows BIGINT NOT NULL,
        bad BIGINT NOT NULL,
        totals JSONB NOT NULL,
        told JSONB NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_feed_chunk PRIMARY KEY (as_of, source, revision, number)
    )
    """,
    """
    CREATE TABLE feed_line (
        bucket SMALLINT NOT NULL,
        as_of DATE NOT NULL,
        source TEXT NOT NULL,
        revision INTEGER NOT NULL,
        member_id UUID NOT NULL,
        asset_class TEXT NOT NULL,
        currency TEXT NOT NULL,
        account TEXT NOT NULL,
        balance_minor BIGINT NOT NULL,
        CONSTRAINT pk_feed_line PRIMARY KEY (
            bucket, as_of, source, revision, member_id, asset_class, currency, account),
        CONSTRAINT ck_feed_line_bucket CHECK (bucket BETWEEN 0 AND 1023)
    ) PARTITION BY RANGE (as_of)
    """,
    """
    CREATE OR REPLACE FUNCTION make_partition(parent text, month date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        first date := date_trunc('month', month)::date;
        next date := (first + interval '1 month')::date;
        name text := format('%s_%s', parent, to_char(first, 'YYYY_MM'));
        low text := quote_literal(first);
        high text := quote_literal(next);
    BEGIN
        IF parent NOT IN ('batch', 'posting', 'asset', 'feed_line') THEN
            RAISE EXCEPTION 'there is no partitioned table %', parent;
        END IF;
        IF to_regclass(name) IS NOT NULL THEN
            RETURN false;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('make_partition'));
        IF EXISTS (SELECT FROM pg_class WHERE relname = name
                   AND relnamespace = 'public'::regnamespace) THEN
            RETURN false;
        END IF;
        IF parent IN ('batch', 'posting') THEN
            low := quote_literal(first_id(first::timestamp AT TIME ZONE 'UTC'));
            high := quote_literal(first_id(next::timestamp AT TIME ZONE 'UTC'));
        END IF;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       parent, name, low, high);
        RETURN true;
    END $$
    """,
)
NEW = ("feed_chunk", "feed_line")


def upgrade() -> None:
    """Add the tables; chunks and lines are added to only."""
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
