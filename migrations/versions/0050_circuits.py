"""When providers are called: breakers, rates, words; and a list of open orders (V-3).

Why: a provider that fails, refuses us or is paused is left alone by all workers together.
Locks: SHARE on `claim` while the index of open orders is made: claims wait. Migrate in a quiet
hour.
"""

from textwrap import dedent

from alembic import op

revision = "0050"
down_revision = "0049"

STATEMENTS = (
    """
    CREATE TABLE provider_circuit (
        provider TEXT NOT NULL,
        sku TEXT NOT NULL,
        minutes JSONB DEFAULT '[]' NOT NULL,
        why TEXT DEFAULT '' NOT NULL,
        paused_until TIMESTAMP WITH TIME ZONE,
        pauses INTEGER DEFAULT '0' NOT NULL,
        probing_until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_provider_circuit PRIMARY KEY (provider, sku),
        CONSTRAINT ck_provider_circuit_why CHECK ((paused_until IS NULL) = (why = '')),
        CONSTRAINT ck_provider_circuit_probing
            CHECK (probing_until IS NULL OR paused_until IS NOT NULL)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE provider_tokens (
        provider TEXT NOT NULL,
        left_over DOUBLE PRECISION NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_provider_tokens PRIMARY KEY (provider),
        CONSTRAINT ck_provider_tokens_left_over CHECK (left_over >= 0)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE provider_word (
        word_id UUID NOT NULL,
        provider TEXT NOT NULL,
        sku TEXT NOT NULL,
        verb TEXT NOT NULL,
        until TIMESTAMP WITH TIME ZONE,
        reason TEXT NOT NULL,
        actor TEXT NOT NULL,
        said_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_provider_word PRIMARY KEY (word_id),
        CONSTRAINT ck_provider_word_verb CHECK (verb IN ('PAUSE', 'RESUME')),
        CONSTRAINT ck_provider_word_until CHECK (verb = 'PAUSE' OR until IS NULL)
    )
    """,
    """
    CREATE INDEX ix_provider_word_provider_sku_word_id
    ON provider_word (provider, sku, word_id)
    """,
    """
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON provider_word
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON provider_word
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE INDEX ix_claim_open ON claim (claimed_at, claim_id)
    WHERE state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN', 'MANUAL')
    """,
)


def upgrade() -> None:
    """Add the tables and the index."""
    for statement in STATEMENTS:
        op.execute(dedent(statement))
