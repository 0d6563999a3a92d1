"""The database's own functions and triggers: append-only rows stay, months get partitions.

Triggers look only at their own row. `migrations/` is the truth for a database; a test compares.
"""

APPEND_ONLY = (
    "batch",
    "posting",
    "hold",
    "hold_end",
    "entitlement_grant",
    "choice",
    "entitlement_change",
    "tier_decision",
    "asset",
    "outbox",
    "code_reading",
    "leaf",
    "tree_node",
    "checkpoint",
    "checkpoint_export",
    "reversal",
    "correction",
    "correction_decision",
    "job_row",
    "job_outcome",
    "month_close",
    "month_total",
    "month_archive",
    "month_restore",
    "baseline",
    "member_baseline",
    "programme_notice",
    "posting_carried",
    "feed_chunk",
    "feed_fill",
    "feed_fill_decision",
    "feed_line",
    "calendar_day",
    "account_holder",
    "currency",
    "currency_day",
    "rate",
    "rate_used",
    "consent",
    "proposal",
    "proposal_decision",
    "member_block",
    "member_block_end",
    "member_block_over",
    "member_past",
    "whitelist_member",
    "provider_word",
    "label_feed_chunk",
)
PARTITIONED_BY_ID = ("batch", "posting")

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""

# A partition whose month is archived takes nothing any more.
REFUSE_ARCHIVED = """
CREATE FUNCTION refuse_archived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the month of % is archived', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""

# That a key had success is kept for ever, or its request could have its effect again (C-9).
REFUSE_FORGETTING = """
CREATE FUNCTION refuse_forgetting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'only requests that were refused are removed'
        USING ERRCODE = 'restrict_violation';
END $$
"""

# The first UUIDv7 of an instant: 48 bits of milliseconds, then zeros.
FIRST_ID = """
CREATE FUNCTION first_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
RETURN (
    lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000'
)::uuid
"""

# A missing partition refuses every insert. Made apart and then attached, so that no writer waits
# for the making. After the wait for the lock the catalogue itself is asked: what this session
# remembers of it may be older. It runs as the owner, so it looks for nothing among the caller's
# own tables.
MAKE_PARTITION = """
CREATE FUNCTION make_partition(parent text, month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    next date := (first + interval '1 month')::date;
    name text := format('%s_%s', parent, to_char(first, 'YYYY_MM'));
    low text := quote_literal(first);
    high text := quote_literal(next);
BEGIN
    IF parent NOT IN ('batch', 'posting', 'asset', 'feed_line') THEN
        RAISE EXCEPTION 'there is no partitioned table %', parent;
    END IF;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('make_partition'));
    IF EXISTS (SELECT FROM pg_class WHERE relname = name
               AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    IF parent IN ('batch', 'posting') THEN
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
"""

# Where this transaction stands in the order of events. Transaction ids begin anew in a restored
# database; `position_start` is then set so that no position comes twice.
EVENT_POSITION = """
CREATE FUNCTION event_position() RETURNS bigint LANGUAGE sql STABLE
RETURN (SELECT position_start FROM installation) + pg_current_xact_id()::text::bigint
"""

FUNCTIONS = (
    *(REFUSE_CHANGE, REFUSE_ARCHIVED, REFUSE_FORGETTING),
    *(FIRST_ID, MAKE_PARTITION, EVENT_POSITION),
)
NAMES = (
    *("refuse_change", "refuse_archived", "refuse_forgetting"),
    *("first_id", "make_partition", "event_position"),
)

REQUEST_TRIGGERS = (
    """CREATE TRIGGER refuse_forgetting BEFORE DELETE ON request
    FOR EACH ROW WHEN (OLD.refusal = '') EXECUTE FUNCTION refuse_forgetting()""",
    """CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON request
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
)
TRIGGERS = REQUEST_TRIGGERS + tuple(
    statement
    for table in APPEND_ONLY
    for statement in (
        (
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        ),
        (
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        ),
    )
)
