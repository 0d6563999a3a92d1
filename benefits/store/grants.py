"""Who may do what in the database: the whole list, compared with what is, and made so.

A privilege is given to a role of ours and to nobody else; PUBLIC has none. Rows of the append-only
tables are read and added, and that is all: no role but their owner could do more. Partitions have
no privileges of their own; they are reached through their tables. Whatever other roles were given
by hand is left alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from benefits.store.db import Connection, rows, run

EVERYBODY = "PUBLIC"
# Never shown to the auditor: what opens with our keys, and what could be guessed from its hash.
SEALED = ("_sealed", "_hash")

# What `serve`, `work` and the commands beside them add, change and remove. A test compares these
# lists with the statements.
INSERTS = (
    *("account_holder", "api_key", "asset", "asset_converted", "asset_joint", "asset_month"),
    *("asset_stretch", "asset_stretch_folded", "baseline", "batch", "calendar_day"),
    *("case_file", "claim", "code_reading", "consent", "member_person"),
    *("correction", "correction_decision", "counter", "currency", "currency_day"),
    *("rate", "rate_run", "rate_used"),
    *("entitlement_grant", "evaluation", "evaluation_news", "evaluation_open"),
    "evaluation_run",
    *("feed", "feed_chunk", "feed_fill"),
    *("label_feed", "label_feed_chunk", "label_feed_part"),
    *("feed_fill_decision", "feed_line"),
    *("hold", "hold_end", "inbox", "job", "job_part"),
    *("job_outcome", "job_row", "lot", "member", "month_close", "month_total", "outlook_run"),
    *("member_baseline", "member_block", "member_block_end", "member_block_over", "member_past"),
    "period_run",
    *("auto_claim", "choice", "entitlement_change"),
    *("code_batch", "pool_code", "stock_low"),
    *("proposal", "proposal_decision"),
    *("member_counter", "member_label", "member_profile", "outbox", "page_session", "posting"),
    *(
        "programme",
        "programme_notice",
        "provider_attempt",
        "provider_request",
        *("provider_circuit", "provider_tokens", "provider_word"),
        "request",
        "reversal",
        "tier_decision",
    ),
    *("stretch", "tier_outlook"),
    *("whitelist", "whitelist_member"),
    *("wait", "wallet", "leaf", "tree_node", "checkpoint", "checkpoint_export"),
)
UPDATES: Mapping[str, tuple[str, ...]] = {
    "api_key": ("ends_at", "secret_hash"),
    "asset_month": ("sum_minor", "known_days", "before_minor", "generation", "moved"),
    "asset_move": ("number",),
    "asset_stretch": ("sum_minor", "before_minor", "generation"),
    "asset_stretch_folded": ("sum_minor", "before_minor", "generation"),
    "asset_converted": (
        *("sum_minor", "unrated_days", "before_minor", "before_unrated", "generation"),
    ),
    "asset_joint": (
        *("sum_minor", "known_days", "unrated_days", "before_minor", "before_unrated"),
        "generation",
    ),
    "auto_claim": ("next_at", "tries", "refusals", "is_told"),
    "claim": (
        *("state", "reason", "hold_id", "changed_at", "deadline", "provider_reference"),
        *("code_sealed", "codes", "used_at", "used", "ended_at", "cancelled_at"),
        *("quantity", "ordered", "missing", "rest_until"),
    ),
    "case_file": ("closed_at", "closed_by", "note"),
    "counter": ("reserved", "spent", "told", "told_of"),
    "evaluation": (
        *("evaluated_at", "settled", "settled_at", "seen", "seen_generation", "basis"),
        "decided",
    ),
    "evaluation_news": ("number", "earlier", "counts_at"),
    "evaluation_open": ("settled_at",),
    "evaluation_run": (
        *("generation", "next_bucket", "leased_until", "begun_at", "ended_at"),
        "told_generation",
    ),
    "feed": (
        *("state", "manifest", "reasons", "rows", "totals", "replaces", "generation"),
        *("next_bucket", "judged_at", "sealed_at", "kind"),
    ),
    "inbox": (
        *("next_at", "processed_at", "body_sealed", "notice_sealed"),
        *("verdict", "reread_at", "reread_by"),
    ),
    "installation": ("config_version", "book_zone", "open_month"),
    "job": ("granted", "known", "refused", "changed_at", "ended_at"),
    "job_part": ("lines_sealed", "not_before"),
    "label_feed": (
        *("state", "manifest", "reasons", "rows", "kept", "unchanged", "left_out", "told"),
        *("judged_at", "sealed_at"),
    ),
    "label_feed_part": ("lines_sealed",),
    "lot": ("remaining", "held", "expired", "redeemed", "swept"),
    "member": (
        *("opened_on", "closed_on", "branch", "manager", "event_seq", "event_position"),
        *("recorded_at", "deceased", "end_due", "merged_into", "has_merged", "has_blocks"),
        "welcome_due",
    ),
    "member_counter": ("used",),
    "member_profile": ("reference_sealed",),
    "member_person": ("born_on", "city", "is_staff", "person"),
    "outlook_run": (
        *("as_of", "generation", "next_bucket", "leased_until", "begun_at", "ended_at"),
    ),
    "page_session": ("secret_hash", "entered_at", "expires_at"),
    "pool_code": ("claim_id", "issued_at", "shown_at", "code_sealed"),
    "period_run": (
        *("day", "after", "version", "next_bucket", "leased_until", "begun_at", "ended_at"),
    ),
    "provider_attempt": ("ended_at", "outcome", "evidence"),
    "provider_circuit": ("minutes", "why", "paused_until", "pauses", "probing_until"),
    "provider_tokens": ("left_over", "at"),
    "provider_request": (
        *("attempt", "leased_until", "next_at", "sent_by", "queries", "verdict", "not_before"),
        "body_sealed",
    ),
    "rate_run": ("next_bucket",),
    "request": ("recorded_at",),
    "stretch": ("next_bucket", "folded_bucket"),
    "tier_outlook": (
        *("month", "tier", "as_of", "threshold_minor", "projected_minor", "needed_daily_minor"),
        *("is_current", "seen_at"),
    ),
    "wait": (
        *("limit_code", "limit_of", "queue", "number", "next_at", "ended_at", "reason", "refusal"),
        *("claim_id", "body_sealed"),
    ),
    "wallet": ("available", "held", "owed"),
    "whitelist": ("members", "whole_at"),
}
DELETES = ("job_part", "label_feed_part", "page_session", "request", "stock_low")
CALLS = ("event_position()", "make_partition(text,date)")

# For reports and monitoring: figures without any column that names a member, a customer, a claim
# or an order, or that leads to one.
FIGURES: Mapping[str, tuple[str, ...]] = {
    "alembic_version": ("version_num",),
    "baseline": ("name", "programme", "month", "frozen_at"),
    "batch": ("kind", "effective_at", "recorded_at", "booked_month"),
    "calendar_day": ("calendar", "day", "recorded_at", "kind"),
    "case_file": ("kind", "opened_at", "closed_at"),
    "claim": ("programme", "benefit", "quantity", "state", "reason", "claimed_at", "changed_at"),
    "code_batch": ("provider", "sku", "batch", "cost_minor", "cost_centre", "imported_at"),
    "counter": ("counter", "window", "slice", "reserved", "spent"),
    "currency": ("code", "digits", "into_code", "into_digits"),
    "currency_day": ("currency", "as_of"),
    "evaluation": (*("bucket", "programme", "month", "evaluated_at", "settled", "settled_at"),),
    "evaluation_news": ("topic", "month", "number", "counts_at"),
    "evaluation_run": ("programme", "month", "next_bucket", "begun_at", "ended_at"),
    "feed": (
        *("source", "as_of", "revision", "programme", "state", "rows", "fill", "kind"),
        *("opened_at", "judged_at", "sealed_at"),
    ),
    "inbox": ("provider", "received_at", "processed_at", "verdict", "reread_at"),
    "installation": ("stamp", "config_version", "created_at", "book_zone", "open_month"),
    "job": (*("lines", "granted", "known", "refused", "begun_at", "changed_at", "ended_at"),),
    "job_row": ("outcome", "code"),
    "label_feed": (
        *("version", "revision", "state", "rows", "kept", "unchanged", "left_out"),
        *("opened_at", "judged_at", "sealed_at"),
    ),
    "lot": (
        *("unit", "programme", "line", "cause", "granted", "remaining", "held"),
        *("expired", "redeemed", "granted_at", "expires_at"),
    ),
    "month_close": ("month", "closed_at"),
    "month_total": ("month", "unit", "party", "account", "amount"),
    "month_archive": ("month", "archived_at", "batches", "recorded_from", "recorded_to"),
    "month_restore": ("month", "archived_at", "restored_at"),
    "outlook_run": ("programme", "as_of", "next_bucket", "begun_at", "ended_at"),
    "wait": (
        *("programme", "benefit", "quantity", "limit_code", "begun_at", "ends_at", "ended_at"),
        *("reason", "refusal"),
    ),
    "period_run": ("programme", "day", "after", "next_bucket", "begun_at", "ended_at"),
    "pool_code": (
        *("provider", "sku", "batch", "expires_at", "imported_at", "issued_at", "shown_at"),
    ),
    "posting": ("debit", "credit", "unit", "amount", "party"),
    "posting_carried": (*("month", "booked_month", "unit", "debit", "credit", "party", "amount"),),
    "programme": (*("code", "version", "document", "applied_at", "tiers_from", "effective_from"),),
    "programme_notice": ("programme", "channel", "given_on", "text", "recorded_at"),
    "proposal": ("kind", "proposed_at", "expires_at"),
    "proposal_decision": ("verdict", "decided_at"),
    "provider_attempt": ("attempt", "operation", "started_at", "ended_at", "outcome"),
    "provider_request": (
        *("provider", "sku", "operation", "created_at", "next_at", "leased_until", "attempt"),
        "queries",
    ),
    "provider_circuit": ("provider", "sku", "why", "paused_until", "pauses"),
    "provider_word": ("provider", "sku", "verb", "until", "said_at"),
    "stretch": ("month", "first_day", "last_day", "next_bucket", "folded_bucket"),
    "rate": ("currency", "as_of", "revision", "rate", "per", "generation"),
    "rate_run": ("generation", "rates", "next_bucket", "recorded_at"),
    "rate_used": ("currency", "as_of", "generation", "rate", "per", "rate_date"),
    "tier_decision": (
        *("programme", "programme_version", "month", "cause", "before_rank", "rank"),
        *("effective_from", "decided_at", "earned", "welcome_until"),
    ),
    "tier_outlook": ("programme", "outlook", "month", "tier", "as_of", "is_current", "seen_at"),
}

# The owner's tables with their columns, partitions apart.
TABLES = """
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition AND c.relowner = to_regrole(quote_ident($1))
GROUP BY 1 ORDER BY 1
"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = to_regrole(quote_ident($1))
"""
# Every privilege that one of the roles, or everybody, has on the database, its schema, and what
# the owner has there.
GIVEN = """
SELECT g.kind, g.name, g.col, coalesce(r.rolname::text, 'PUBLIC') AS role, g.privilege
FROM (
    SELECT 'DATABASE' AS kind, d.datname::text AS name, '' AS col, a.grantee,
           a.privilege_type AS privilege
    FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
    WHERE d.datname = current_database()
    UNION ALL
    SELECT 'SCHEMA', n.nspname::text, '', a.grantee, a.privilege_type
    FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
    WHERE n.nspname = 'public'
    UNION ALL
    SELECT 'TABLE', c.relname::text, '', a.grantee, a.privilege_type
    FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND c.relowner = to_regrole(quote_ident($1))
    UNION ALL
    SELECT 'TABLE', c.relname::text, t.attname::text, a.grantee, a.privilege_type
    FROM pg_class AS c
    JOIN pg_attribute AS t ON t.attrelid = c.oid AND NOT t.attisdropped
    CROSS JOIN LATERAL aclexplode(t.attacl) AS a
    WHERE c.relnamespace = 'public'::regnamespace AND c.relowner = to_regrole(quote_ident($1))
    UNION ALL
    SELECT 'FUNCTION', p.oid::regprocedure::text, '', a.grantee, a.privilege_type
    FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE p.pronamespace = 'public'::regnamespace
      AND p.proowner = to_regrole(quote_ident($1))) AS g
LEFT JOIN pg_roles AS r ON r.oid = g.grantee
WHERE g.grantee = 0 OR r.rolname = ANY ($2::text[])
"""
DATABASE = "SELECT current_database()::text"


class Grant(NamedTuple):
    """One privilege on one thing; `column` is empty when it is on the whole table."""

    kind: str
    name: str
    role: str
    privilege: str
    column: str = ""

    def __str__(self) -> str:
        """Say it in words."""
        column = f" ({self.column})" if self.column else ""
        return f"{self.role}: {self.privilege}{column} on {self.kind.lower()} {self.name}"


class Names(NamedTuple):
    """The roles of one installation: the same words behind one prefix."""

    prefix: str

    @property
    def owner(self) -> str:
        """Owns every table and function; nobody logs in as it."""
        return f"{self.prefix}owner"

    @property
    def migrator(self) -> str:
        """Changes the schema, as the owner."""
        return f"{self.prefix}migrator"

    @property
    def runtime(self) -> str:
        """Serves and works."""
        return f"{self.prefix}runtime"

    @property
    def auditor(self) -> str:
        """Reads everything but what is sealed."""
        return f"{self.prefix}auditor"

    @property
    def reader(self) -> str:
        """Reads figures that lead to nobody."""
        return f"{self.prefix}reader"

    @property
    def callers(self) -> tuple[str, str, str, str]:
        """Those who log in."""
        return (self.migrator, self.runtime, self.auditor, self.reader)

    @property
    def everyone(self) -> tuple[str, ...]:
        """All of them."""
        return (self.owner, *self.callers)


async def surroundings(conn: Connection, names: Names) -> set[Grant]:
    """Return what should be given on the database and its schema."""
    ((database,),) = await rows(conn, DATABASE)
    return {
        *(Grant("DATABASE", database, role, "CONNECT") for role in names.callers),
        Grant("DATABASE", database, names.runtime, "TEMPORARY"),
        *(Grant("SCHEMA", "public", role, "USAGE") for role in names.everyone),
        Grant("SCHEMA", "public", names.owner, "CREATE"),
    }


async def contents(conn: Connection, names: Names) -> set[Grant]:
    """Return what should be given on the owner's tables and functions that are there."""
    wanted = set[Grant]()
    for name, columns in await rows(conn, TABLES, names.owner):
        wanted |= set(_of_table(names, name, columns))
    there = {name for (name,) in await rows(conn, FUNCTIONS, names.owner)}
    wanted |= {Grant("FUNCTION", f, names.runtime, "EXECUTE") for f in CALLS if f in there}
    return wanted


def _of_table(names: Names, table: str, columns: Iterable[str]) -> Iterator[Grant]:
    """Yield what is given on one table."""

    def on(role: str, privilege: str, column: str = "") -> Grant:
        return Grant("TABLE", table, role, privilege, column)

    yield on(names.runtime, "SELECT")
    if table in INSERTS:
        yield on(names.runtime, "INSERT")
    if table in DELETES:
        yield on(names.runtime, "DELETE")
    yield from (on(names.runtime, "UPDATE", c) for c in UPDATES.get(table, ()) if c in columns)
    open_ = [column for column in columns if not column.endswith(SEALED)]
    if len(open_) == len(list(columns)):
        yield on(names.auditor, "SELECT")
    else:
        yield from (on(names.auditor, "SELECT", column) for column in open_)
    yield from (on(names.reader, "SELECT", c) for c in FIGURES.get(table, ()) if c in columns)


async def given(conn: Connection, names: Names) -> set[Grant]:
    """Return what the roles and everybody have, apart from what the owner has as owner."""
    found = {
        Grant(row.kind, row.name, row.role, row.privilege, row.col)
        for row in await rows(conn, GIVEN, names.owner, list(names.everyone))
    }
    return {g for g in found if not (g.role == names.owner and g.kind in {"TABLE", "FUNCTION"})}


async def make_so(conn: Connection, names: Names, wanted: set[Grant], *kinds: str) -> None:
    """Revoke what is too much and give what is missing, on things of these kinds."""
    # Taking a privilege from a table takes it from its columns too, so what is missing is asked
    # after the revoking.
    for verb, towards in (("REVOKE", "FROM"), ("GRANT", "TO")):
        have = {grant for grant in await given(conn, names) if grant.kind in kinds}
        different = have - wanted if verb == "REVOKE" else wanted - have
        for (kind, name, role), grants in groupby(sorted(different), lambda g: g[:3]):
            what = ", ".join(f'{g.privilege} ("{g.column}")'.replace(' ("")', "") for g in grants)
            whom = role if role == EVERYBODY else f'"{role}"'
            thing = name if kind == "FUNCTION" else f'"{name}"'
            await run(conn, f"{verb} {what} ON {kind} {thing} {towards} {whom}")
