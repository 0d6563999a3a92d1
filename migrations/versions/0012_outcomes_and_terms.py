"""What became of every row of a long list; the version of the programme a claim was made under.

Why: who sent a list learns of each row which lot it has. A row of a table for each would cost the
bulk path much; one row for what was decided together costs 25 bytes a line.
Open claims keep their terms when a programme changes (U-3), so they must know which they are.
Locks: SHARE ROW EXCLUSIVE on `job` for an instant; ACCESS EXCLUSIVE on `claim` while every claim
is written anew. Stop `serve` and `work` first.
Lists of more than 1000 rows from before have no such rows: `verify` names them (`job_differs`).
Claims from before get the version that was in force when they were made.
"""

from textwrap import dedent

from alembic import op

revision = "0012"
down_revision = "0010"

STATEMENTS = (
    """
    CREATE TABLE job_outcome (
        bucket SMALLINT NOT NULL,
        job_id UUID NOT NULL,
        part INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        lines BIGINT[] NOT NULL,
        lots UUID[] NOT NULL,
        known BOOLEAN[] NOT NULL,
        CONSTRAINT pk_job_outcome PRIMARY KEY (bucket, job_id, part, tries),
        CONSTRAINT fk_job_outcome_job FOREIGN KEY (bucket, job_id)
            REFERENCES job (bucket, job_id),
        CONSTRAINT ck_job_outcome_lines CHECK (
            cardinality(lines) > 0 AND cardinality(lots) = cardinality(lines)
            AND cardinality(known) = cardinality(lines))
    )
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON job_outcome
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON job_outcome
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    "ALTER TABLE claim ADD COLUMN programme_version INTEGER DEFAULT 1 NOT NULL",
    """
    UPDATE claim AS c SET programme_version = p.version
    FROM (SELECT code, version, applied_at,
                 lead(applied_at, 1, 'infinity') OVER (PARTITION BY code ORDER BY version) AS until
          FROM programme) AS p
    WHERE c.programme = p.code AND c.claimed_at >= p.applied_at AND c.claimed_at < p.until
    """,
    "ALTER TABLE claim ALTER COLUMN programme_version DROP DEFAULT",
)


def upgrade() -> None:
    """Make the table and the column."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
