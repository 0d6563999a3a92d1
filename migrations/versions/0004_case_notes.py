"""A case says who closed it and why.

Why: cases are listed and closed over the API, by a person who leaves a note.
Locks: ACCESS EXCLUSIVE on `case_file` for an instant, then SHARE while closed cases are indexed.
"""

from textwrap import dedent

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    "ALTER TABLE case_file ADD COLUMN closed_by TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE case_file ADD COLUMN note TEXT DEFAULT '' NOT NULL",
    """
    CREATE INDEX ix_case_file_closed ON case_file (closed_at, case_id)
    WHERE closed_at IS NOT NULL
    """,
)


def upgrade() -> None:
    """Add the columns, then the index."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
