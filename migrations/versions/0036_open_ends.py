"""A last day that no calendar follows is no end of a relationship (T-10).

Why: customer files say 9999-12-31 where there is no end; the day after it, kept in `end_due`, is
one that no client of the database can read, so that nothing could be done for the member any more.
Locks: the rows of those members, found by the index of `end_due`.
"""

from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Let those relationships be without an end, as the import now reads such a line."""
    op.execute(
        "UPDATE member SET closed_on = NULL, deceased = false, end_due = NULL "
        "WHERE end_due > '9999-12-31'"
    )
