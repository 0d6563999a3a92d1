"""Number what moves sums, and note what an evaluation saw of it (T-8).

Why: a month leaves most members where they are; only those whom something moved are folded.
Locks: ACCESS EXCLUSIVE on `asset_month` and `evaluation` for an instant each; no row is rewritten.
"""

from alembic import op

revision = "0025"
down_revision = "0024"

STATEMENTS = (
    """CREATE TABLE asset_move (
    single SMALLINT NOT NULL,
    number BIGINT NOT NULL,
    CONSTRAINT pk_asset_move PRIMARY KEY (single),
    CONSTRAINT ck_asset_move_single CHECK (single = 1)
)""",
    "INSERT INTO asset_move (single, number) VALUES (1, 0)",
    "ALTER TABLE asset_month ADD COLUMN moved bigint NOT NULL DEFAULT '0'",
    "ALTER TABLE evaluation ADD COLUMN seen bigint",
    "ALTER TABLE evaluation ADD COLUMN seen_generation bigint",
    "ALTER TABLE evaluation ADD COLUMN basis text",
    "ALTER TABLE evaluation ADD COLUMN decided bigint",
)


def upgrade() -> None:
    """Add them; of months evaluated before nothing is noted, so their members are folded."""
    for statement in STATEMENTS:
        op.execute(statement)
