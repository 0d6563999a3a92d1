"""Sums of stretches of months, and calendars of business days (M-4, M-6, M-7).

Why: metrics that do not run over whole calendar months are read from kept sums as the others are.
Locks: none; new tables.
"""

from textwrap import dedent

from alembic import op

revision = "0026"
down_revision = "0025"

STATEMENTS = (
    """
    CREATE TABLE calendar_day (
        calendar TEXT NOT NULL,
        day DATE NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        kind TEXT NOT NULL,
        CONSTRAINT pk_calendar_day PRIMARY KEY (calendar, day, recorded_at),
        CONSTRAINT ck_calendar_day_kind CHECK (kind IN ('HOLIDAY', 'WORKDAY'))
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON calendar_day
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON calendar_day
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TABLE stretch (
        month DATE NOT NULL,
        first_day SMALLINT NOT NULL,
        last_day SMALLINT NOT NULL,
        next_bucket SMALLINT NOT NULL,
        CONSTRAINT pk_stretch PRIMARY KEY (month, first_day, last_day),
        CONSTRAINT ck_stretch_days CHECK (first_day BETWEEN 1 AND last_day AND last_day <= 31)
    )
    """,
    """
    CREATE TABLE asset_stretch (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        month DATE NOT NULL,
        first_day SMALLINT NOT NULL,
        last_day SMALLINT NOT NULL,
        asset_class TEXT NOT NULL,
        currency TEXT NOT NULL,
        sum_minor BIGINT NOT NULL,
        before_minor BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        CONSTRAINT pk_asset_stretch PRIMARY KEY (
            bucket, member_id, month, first_day, last_day, asset_class, currency),
        CONSTRAINT ck_asset_stretch_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_asset_stretch_sum CHECK (sum_minor >= 0)
    ) WITH (fillfactor = 80)
    """,
)


def upgrade() -> None:
    """Add the tables; what a calendar said of a day stays."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
