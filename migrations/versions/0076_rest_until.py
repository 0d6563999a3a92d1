"""The rest of an order that came in part is asked for until an instant (V-5).

Why: what a provider that cannot be reached never answers is a person's in the end, the rest of an
order as well as an order; so there is an instant to look for. A rest that is asked for when this
runs is so for two days more.
Locks: `claim` for the catalogue alone; then the rows of such orders, and SHARE while the index is
made: claims and workers wait.
"""

from textwrap import dedent

from alembic import op

revision = "0076"
down_revision = "0074"

STATEMENTS = (
    "ALTER TABLE claim ADD COLUMN rest_until TIMESTAMP WITH TIME ZONE",
    """
    ALTER TABLE claim ADD CONSTRAINT ck_claim_rest
    CHECK (rest_until IS NULL OR missing > 0) NOT VALID
    """,
    "ALTER TABLE claim VALIDATE CONSTRAINT ck_claim_rest",
    """
    UPDATE claim AS c SET rest_until = now() + interval '2 days'
    FROM provider_request AS r
    WHERE c.missing > 0 AND c.state IN ('ISSUED', 'CONFIRMED', 'PARTLY_REDEEMED', 'REDEEMED')
      AND r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
      AND r.operation = 'ISSUE' AND r.next_at IS NOT NULL
    """,
    "CREATE INDEX ix_claim_rest ON claim (rest_until) WHERE rest_until IS NOT NULL",
)


def upgrade() -> None:
    """Add the column, check it, fill it, and let it be found."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
