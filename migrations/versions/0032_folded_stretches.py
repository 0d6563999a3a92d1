"""Stretches of months in other currencies and of joint accounts (A-4, A-5, M-4, M-6, M-7).

Why: a programme may count both by days that are no whole months. Which sums are kept so far is
noted apart: none, of the stretches that are there.
Locks: ACCESS EXCLUSIVE on `stretch`, a few rows, for an instant; a new table.
"""

from textwrap import dedent

from alembic import op

revision = "0032"
down_revision = "0031"

STATEMENTS = (
    "ALTER TABLE stretch ADD COLUMN folded_bucket smallint NOT NULL DEFAULT '0'",
    """
    CREATE TABLE asset_stretch_folded (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        month DATE NOT NULL,
        first_day SMALLINT NOT NULL,
        last_day SMALLINT NOT NULL,
        asset_class TEXT NOT NULL,
        currency TEXT NOT NULL,
        kind TEXT NOT NULL,
        sum_minor NUMERIC NOT NULL,
        before_minor NUMERIC NOT NULL,
        generation BIGINT NOT NULL,
        CONSTRAINT pk_asset_stretch_folded PRIMARY KEY (
            bucket, member_id, month, first_day, last_day, asset_class, currency, kind),
        CONSTRAINT ck_asset_stretch_folded_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_asset_stretch_folded_kind CHECK (
            kind IN ('CONVERTED', 'FULL_TO_EACH', 'PRIMARY_ONLY', 'SPLIT_EQUAL'))
    ) WITH (fillfactor = 80)
    """,
)


def upgrade() -> None:
    """Add the column and the table; `work` fills what programmes in force need."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
