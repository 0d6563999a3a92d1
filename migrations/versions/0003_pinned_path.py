"""The function that makes partitions looks for tables in one place only.

Why: it runs as its owner for a role that may do less. With the search path of whoever migrated, a
caller's temporary table could stand before ours.
Locks: none on tables.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Pin the search path, the caller's temporary tables last."""
    op.execute("ALTER FUNCTION make_partition(text, date) SET search_path = public, pg_temp")
