"""Requests that were accepted stay: only refused ones are removed.

Why: a key whose success is forgotten could have its effect a second time (C-9).
Locks: SHARE ROW EXCLUSIVE on `request` for an instant.
"""

from textwrap import dedent

from alembic import op

revision = "0018"
down_revision = "0015"

STATEMENTS = (
    """
    CREATE FUNCTION refuse_forgetting() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'only requests that were refused are removed'
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER refuse_forgetting BEFORE DELETE ON request
    FOR EACH ROW WHEN (OLD.refusal = '') EXECUTE FUNCTION refuse_forgetting()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON request
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Let no accepted request be removed."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
