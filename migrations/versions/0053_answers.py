"""Orders that two people decide, and what became of callbacks (V-3, V-4).

Why: how an order ended that its provider never answered is proposed by one person and approved by
another, like a block. A callback that was not understood is found, and read again after a fix.
Locks: ACCESS EXCLUSIVE on `proposal` for as long as its check takes, and on `inbox` for as long
as its check and its index take: callbacks are taken again after that.
"""

from textwrap import dedent

from alembic import op

revision = "0053"
down_revision = "0051"

STATEMENTS = (
    "ALTER TABLE proposal DROP CONSTRAINT ck_proposal_kind",
    """
    ALTER TABLE proposal ADD CONSTRAINT ck_proposal_kind CHECK (
        kind IN ('PROGRAMME', 'COMPLIANCE', 'BLOCK', 'UNBLOCK', 'ORDER'))
    """,
    """
    ALTER TABLE inbox
        ADD COLUMN verdict TEXT NOT NULL DEFAULT '',
        ADD COLUMN reread_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN reread_by TEXT NOT NULL DEFAULT '',
        ADD CONSTRAINT ck_inbox_verdict CHECK (
            verdict IN ('', 'APPLIED', 'IGNORED', 'NOT_UNDERSTOOD', 'NO_ORDER', 'FAILED'))
    """,
    # What could not be applied has a case of its bucket, opened right after.
    """
    UPDATE inbox AS i SET verdict = 'FAILED'
    FROM case_file AS f
    WHERE f.kind = 'callback_failed' AND f.bucket = i.bucket
      AND i.processed_at BETWEEN f.opened_at - INTERVAL '1 second' AND f.opened_at
    """,
    """
    CREATE INDEX ix_inbox_unsettled ON inbox (provider, received_at, event_id)
        WHERE processed_at IS NOT NULL AND verdict NOT IN ('APPLIED', 'IGNORED')
    """,
)


def upgrade() -> None:
    """Widen the check; of earlier callbacks it is known which could not be applied."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
