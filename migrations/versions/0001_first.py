"""The tables, functions and triggers of the first release.

Why: the beginning. Locks: none that anybody could wait for.
"""

from textwrap import dedent

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE api_key (
        key_id UUID NOT NULL,
        name TEXT NOT NULL,
        secret_hash BYTEA NOT NULL,
        scopes TEXT[] NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        revoked_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_api_key PRIMARY KEY (key_id)
    )
    """,
    """
    CREATE TABLE asset (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        as_of DATE NOT NULL,
        asset_class TEXT NOT NULL,
        currency TEXT NOT NULL,
        source TEXT NOT NULL,
        account TEXT NOT NULL,
        revision INTEGER NOT NULL,
        balance_minor BIGINT NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_asset PRIMARY KEY (
            bucket, member_id, as_of, asset_class, currency, source, account, revision
        ),
        CONSTRAINT ck_asset_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
     PARTITION BY RANGE (as_of)
    """,
    """
    CREATE TABLE asset_month (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        month DATE NOT NULL,
        asset_class TEXT NOT NULL,
        currency TEXT NOT NULL,
        sum_minor BIGINT NOT NULL,
        known_days INTEGER NOT NULL,
        CONSTRAINT pk_asset_month PRIMARY KEY (bucket, member_id, month, asset_class, currency),
        CONSTRAINT ck_asset_month_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_asset_month_sum CHECK (sum_minor >= 0)
    )
     WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE batch (
        bucket SMALLINT NOT NULL,
        batch_id UUID NOT NULL,
        member_id UUID NOT NULL,
        kind TEXT NOT NULL,
        cause_id UUID,
        reverses UUID,
        actor TEXT NOT NULL,
        effective_at TIMESTAMP WITH TIME ZONE NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        booked_month DATE NOT NULL,
        xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
        CONSTRAINT pk_batch PRIMARY KEY (bucket, batch_id),
        CONSTRAINT ck_batch_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
     PARTITION BY RANGE (batch_id)
    """,
    "CREATE INDEX ix_batch_bucket_member_id_batch_id ON batch (bucket, member_id, batch_id)",
    """
    CREATE TABLE case_file (
        bucket SMALLINT NOT NULL,
        case_id UUID NOT NULL,
        member_id UUID,
        claim_id UUID,
        kind TEXT NOT NULL,
        detail TEXT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_case_file PRIMARY KEY (bucket, case_id),
        CONSTRAINT ck_case_file_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
    "CREATE INDEX ix_case_file_bucket_claim_id ON case_file (bucket, claim_id)",
    """
    CREATE TABLE counter (
        counter TEXT NOT NULL,
        "window" TEXT NOT NULL,
        slice SMALLINT NOT NULL,
        reserved BIGINT NOT NULL,
        spent BIGINT NOT NULL,
        CONSTRAINT pk_counter PRIMARY KEY (counter, "window", slice),
        CONSTRAINT ck_counter_never_negative CHECK (reserved >= 0 AND spent >= 0)
    )
     WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE evaluation (
        bucket SMALLINT NOT NULL,
        programme TEXT NOT NULL,
        month DATE NOT NULL,
        evaluated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_evaluation PRIMARY KEY (bucket, programme, month),
        CONSTRAINT ck_evaluation_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
    """
    CREATE TABLE hold (
        bucket SMALLINT NOT NULL,
        hold_id UUID NOT NULL,
        member_id UUID NOT NULL,
        claim_id UUID NOT NULL,
        batch_id UUID NOT NULL,
        unit TEXT NOT NULL,
        quantity BIGINT NOT NULL,
        cost_minor BIGINT NOT NULL,
        placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_hold PRIMARY KEY (bucket, hold_id),
        CONSTRAINT ck_hold_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_hold_quantity CHECK (quantity > 0)
    )
    """,
    """
    CREATE TABLE inbox (
        bucket SMALLINT NOT NULL,
        provider TEXT NOT NULL,
        event_id TEXT NOT NULL,
        number TEXT NOT NULL,
        body_sealed BYTEA NOT NULL,
        notice_sealed BYTEA NOT NULL,
        received_at TIMESTAMP WITH TIME ZONE NOT NULL,
        processed_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_inbox PRIMARY KEY (bucket, provider, event_id),
        CONSTRAINT ck_inbox_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
    "CREATE INDEX ix_inbox_waiting ON inbox (received_at) WHERE processed_at IS NULL",
    """
    CREATE TABLE installation (
        single SMALLINT NOT NULL,
        stamp TEXT NOT NULL,
        member_key_fingerprint BYTEA NOT NULL,
        config_version INTEGER DEFAULT '0' NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_installation PRIMARY KEY (single),
        CONSTRAINT ck_installation_single CHECK (single = 1),
        CONSTRAINT ck_installation_stamp CHECK (stamp IN ('production', 'demo', 'test'))
    )
    """,
    """
    CREATE TABLE member (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        opened_on DATE NOT NULL,
        closed_on DATE,
        branch TEXT DEFAULT '' NOT NULL,
        manager TEXT DEFAULT '' NOT NULL,
        event_seq BIGINT DEFAULT '0' NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        merged_into UUID,
        CONSTRAINT pk_member PRIMARY KEY (bucket, member_id),
        CONSTRAINT ck_member_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_member_id CHECK (
            bucket = ('x' || right(member_id::text, 3))::bit(12)::int & 1023
        )
    )
     WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE outbox (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        seq BIGINT NOT NULL,
        event_id UUID NOT NULL,
        type TEXT NOT NULL,
        batch_id UUID,
        subject_id UUID,
        data JSONB NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
        CONSTRAINT pk_outbox PRIMARY KEY (bucket, member_id, seq),
        CONSTRAINT ck_outbox_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
    """
    CREATE TABLE posting (
        bucket SMALLINT NOT NULL,
        batch_id UUID NOT NULL,
        line SMALLINT NOT NULL,
        debit TEXT NOT NULL,
        credit TEXT NOT NULL,
        unit TEXT NOT NULL,
        amount BIGINT NOT NULL,
        lot_id UUID,
        CONSTRAINT pk_posting PRIMARY KEY (bucket, batch_id, line),
        CONSTRAINT ck_posting_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_posting_amount CHECK (amount > 0),
        CONSTRAINT ck_posting_accounts CHECK (debit <> credit)
    )
     PARTITION BY RANGE (batch_id)
    """,
    """
    CREATE TABLE programme (
        code TEXT NOT NULL,
        version INTEGER NOT NULL,
        digest BYTEA NOT NULL,
        document TEXT NOT NULL,
        applied_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_programme PRIMARY KEY (code, version)
    )
    """,
    """
    CREATE TABLE provider_attempt (
        bucket SMALLINT NOT NULL,
        request_id UUID NOT NULL,
        attempt INTEGER NOT NULL,
        operation TEXT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        outcome TEXT DEFAULT '' NOT NULL,
        evidence TEXT DEFAULT '' NOT NULL,
        CONSTRAINT pk_provider_attempt PRIMARY KEY (bucket, request_id, attempt),
        CONSTRAINT ck_provider_attempt_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
    """
    CREATE TABLE provider_request (
        bucket SMALLINT NOT NULL,
        request_id UUID NOT NULL,
        member_id UUID NOT NULL,
        claim_id UUID NOT NULL,
        provider TEXT NOT NULL,
        sku TEXT NOT NULL,
        operation TEXT NOT NULL,
        body_sealed BYTEA NOT NULL,
        body_hash BYTEA NOT NULL,
        disclosed TEXT[] NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        sent_by TIMESTAMP WITH TIME ZONE,
        next_at TIMESTAMP WITH TIME ZONE,
        leased_until TIMESTAMP WITH TIME ZONE,
        attempt INTEGER DEFAULT '0' NOT NULL,
        queries INTEGER DEFAULT '0' NOT NULL,
        CONSTRAINT pk_provider_request PRIMARY KEY (bucket, request_id),
        CONSTRAINT ck_provider_request_bucket CHECK (bucket BETWEEN 0 AND 1023),
        CONSTRAINT ck_provider_request_operation CHECK (operation IN ('ISSUE', 'REVOKE'))
    )
     WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX ix_provider_request_bucket_member_id_claim_id ON provider_request (
        bucket, member_id, claim_id
    )
    """,
    """
    CREATE INDEX ix_provider_request_due ON provider_request (next_at)
    WHERE next_at IS NOT NULL
    """,
    """
    CREATE TABLE request (
        bucket SMALLINT NOT NULL,
        caller TEXT NOT NULL,
        operation TEXT NOT NULL,
        key TEXT NOT NULL,
        body_hash BYTEA NOT NULL,
        refusal TEXT DEFAULT '' NOT NULL,
        detail TEXT DEFAULT '' NOT NULL,
        ids JSONB NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_request PRIMARY KEY (bucket, caller, operation, key),
        CONSTRAINT ck_request_bucket CHECK (bucket BETWEEN 0 AND 1023)
    )
    """,
    "CREATE INDEX ix_request_refused ON request (recorded_at) WHERE refusal <> ''",
    """
    CREATE TABLE claim (
        bucket SMALLINT NOT NULL,
        claim_id UUID NOT NULL,
        member_id UUID NOT NULL,
        programme TEXT NOT NULL,
        benefit TEXT NOT NULL,
        quantity BIGINT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT DEFAULT '' NOT NULL,
        hold_id UUID NOT NULL,
        cap_window TEXT DEFAULT '' NOT NULL,
        claimed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        deadline TIMESTAMP WITH TIME ZONE,
        provider_reference TEXT DEFAULT '' NOT NULL,
        code_sealed BYTEA,
        CONSTRAINT pk_claim PRIMARY KEY (bucket, claim_id),
        CONSTRAINT fk_claim_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        )
    )
     WITH (fillfactor = 80)
    """,
    "CREATE INDEX ix_claim_bucket_member_id_claim_id ON claim (bucket, member_id, claim_id)",
    "CREATE INDEX ix_claim_unsent ON claim (deadline) WHERE deadline IS NOT NULL",
    """
    CREATE TABLE entitlement_grant (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        programme TEXT NOT NULL,
        line TEXT NOT NULL,
        period TEXT NOT NULL,
        cause TEXT NOT NULL,
        quota BIGINT NOT NULL,
        quantity BIGINT NOT NULL,
        lot_id UUID NOT NULL,
        granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_entitlement_grant PRIMARY KEY (
            bucket, member_id, programme, line, period, cause, quota
        ),
        CONSTRAINT fk_entitlement_grant_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        ),
        CONSTRAINT ck_entitlement_grant_cause CHECK (cause IN ('TIER', 'REWARD'))
    )
    """,
    """
    CREATE TABLE hold_end (
        bucket SMALLINT NOT NULL,
        hold_id UUID NOT NULL,
        batch_id UUID NOT NULL,
        captured BIGINT NOT NULL,
        released BIGINT NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_hold_end PRIMARY KEY (bucket, hold_id),
        CONSTRAINT fk_hold_end_hold FOREIGN KEY(
            bucket, hold_id) REFERENCES hold (bucket, hold_id
        ),
        CONSTRAINT ck_hold_end_parts CHECK (captured >= 0 AND released >= 0)
    )
    """,
    """
    CREATE TABLE lot (
        bucket SMALLINT NOT NULL,
        lot_id UUID NOT NULL,
        member_id UUID NOT NULL,
        unit TEXT NOT NULL,
        programme TEXT NOT NULL,
        line TEXT NOT NULL,
        period TEXT NOT NULL,
        cause TEXT NOT NULL,
        priority SMALLINT DEFAULT '0' NOT NULL,
        granted BIGINT NOT NULL,
        remaining BIGINT NOT NULL,
        held BIGINT NOT NULL,
        expired BIGINT NOT NULL,
        granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_lot PRIMARY KEY (bucket, lot_id),
        CONSTRAINT fk_lot_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        ),
        CONSTRAINT ck_lot_held CHECK (held >= 0 AND held <= remaining),
        CONSTRAINT ck_lot_conserved CHECK (expired >= 0 AND remaining + expired <= granted),
        CONSTRAINT ck_lot_granted CHECK (granted > 0)
    )
     WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX ix_lot_bucket_member_id_unit_expires_at ON lot (
        bucket, member_id, unit, expires_at
    )
    """,
    """
    CREATE INDEX ix_lot_unspent ON lot (
        expires_at
    ) WHERE remaining > held AND expires_at IS NOT NULL
    """,
    """
    CREATE TABLE member_counter (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        counter TEXT NOT NULL,
        "window" TEXT NOT NULL,
        used BIGINT NOT NULL,
        CONSTRAINT pk_member_counter PRIMARY KEY (bucket, member_id, counter, "window"),
        CONSTRAINT fk_member_counter_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        ),
        CONSTRAINT ck_member_counter_never_negative CHECK (used >= 0)
    )
     WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE member_label (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        label TEXT NOT NULL,
        valid_from DATE NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        valid_to DATE,
        layer TEXT NOT NULL,
        CONSTRAINT pk_member_label PRIMARY KEY (
            bucket, member_id, label, valid_from, recorded_at
        ),
        CONSTRAINT fk_member_label_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        ),
        CONSTRAINT ck_member_label_layer CHECK (layer IN ('FACT', 'RULE', 'MODEL')),
        CONSTRAINT ck_member_label_validity CHECK (valid_from < valid_to)
    )
    """,
    """
    CREATE TABLE member_profile (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        reference_sealed BYTEA NOT NULL,
        CONSTRAINT pk_member_profile PRIMARY KEY (bucket, member_id),
        CONSTRAINT fk_member_profile_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        )
    )
    """,
    """
    CREATE TABLE page_session (
        bucket SMALLINT NOT NULL,
        session_id UUID NOT NULL,
        member_id UUID NOT NULL,
        code_hash BYTEA NOT NULL,
        code_expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        secret_hash BYTEA,
        entered_at TIMESTAMP WITH TIME ZONE,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_page_session PRIMARY KEY (bucket, session_id),
        CONSTRAINT fk_page_session_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        )
    )
    """,
    "CREATE INDEX ix_page_session_expires_at ON page_session (expires_at)",
    """
    CREATE TABLE tier_decision (
        bucket SMALLINT NOT NULL,
        decision_id UUID NOT NULL,
        member_id UUID NOT NULL,
        programme TEXT NOT NULL,
        programme_version INTEGER NOT NULL,
        month DATE NOT NULL,
        cause TEXT NOT NULL,
        before_rank SMALLINT NOT NULL,
        before_misses SMALLINT NOT NULL,
        rank SMALLINT NOT NULL,
        misses SMALLINT NOT NULL,
        qualified SMALLINT NOT NULL,
        sum_minor BIGINT NOT NULL,
        known_days SMALLINT NOT NULL,
        effective_from TIMESTAMP WITH TIME ZONE NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_tier_decision PRIMARY KEY (bucket, decision_id),
        CONSTRAINT uq_tier_decision_bucket_member_id_programme_month_decided_at UNIQUE (
            bucket, member_id, programme, month, decided_at
        ),
        CONSTRAINT fk_tier_decision_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        )
    )
    """,
    """
    CREATE TABLE wallet (
        bucket SMALLINT NOT NULL,
        member_id UUID NOT NULL,
        unit TEXT NOT NULL,
        available BIGINT NOT NULL,
        held BIGINT NOT NULL,
        CONSTRAINT pk_wallet PRIMARY KEY (bucket, member_id, unit),
        CONSTRAINT fk_wallet_member FOREIGN KEY(
            bucket, member_id) REFERENCES member (bucket, member_id
        ),
        CONSTRAINT ck_wallet_never_negative CHECK (available >= 0 AND held >= 0)
    )
     WITH (fillfactor = 80)
    """,
)

FUNCTIONS = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION first_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
    RETURN (
        lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000'
    )::uuid
    """,
    """
    CREATE FUNCTION make_partition(parent text, month date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        first date := date_trunc('month', month)::date;
        next date := (first + interval '1 month')::date;
        name text := format('%s_%s', parent, to_char(first, 'YYYY_MM'));
        low text := quote_literal(first);
        high text := quote_literal(next);
    BEGIN
        IF parent NOT IN ('batch', 'posting', 'asset') THEN
            RAISE EXCEPTION 'there is no partitioned table %', parent;
        END IF;
        IF to_regclass(name) IS NOT NULL THEN
            RETURN false;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('make_partition'));
        IF to_regclass(name) IS NOT NULL THEN
            RETURN false;
        END IF;
        IF parent <> 'asset' THEN
            low := quote_literal(first_id(first::timestamp AT TIME ZONE 'UTC'));
            high := quote_literal(first_id(next::timestamp AT TIME ZONE 'UTC'));
        END IF;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       parent, name, low, high);
        RETURN true;
    END $$
    """,
)

# Rows that are never changed or removed.
APPEND_ONLY = (
    "batch",
    "posting",
    "hold",
    "hold_end",
    "entitlement_grant",
    "tier_decision",
    "asset",
    "outbox",
)


def upgrade() -> None:
    """Make everything."""
    for statement in (*TABLES, *FUNCTIONS):
        op.execute(dedent(statement))
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
