"""What is measured: every instrument, defined once, and told to Prometheus by `text`.

Units stand in the names. Labels are bounded: route templates, methods, statuses, the codes of
providers, budgets and benefits of the programme, kinds and steps of this code; never an id, a path
or a word that a caller chose. Whoever measures imports this module and names the instrument.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def _counter(name: str, says: str, *labels: str) -> Counter:
    return Counter(f"benefits_{name}", says, labels, registry=REGISTRY)


def _gauge(name: str, says: str, *labels: str) -> Gauge:
    return Gauge(f"benefits_{name}", says, labels, registry=REGISTRY)


def _histogram(
    name: str, says: str, *labels: str, buckets: tuple[float, ...] = _QUICK_S
) -> Histogram:
    return Histogram(f"benefits_{name}", says, labels, buckets=buckets, registry=REGISTRY)


BUILD = Info("benefits_build", "Which program runs.", registry=REGISTRY)

# Requests. `route` is the template; what matches none is `unmatched`.
REQUESTS = _counter("http_requests_total", "Requests answered.", "route", "method", "status")
REQUEST_DURATION = _histogram(
    "http_request_duration_seconds", "From the request's head to the answer's last byte.", "route"
)
IN_FLIGHT = _gauge("http_requests_in_flight", "Requests being answered.")

# The groups in which write commands are committed together.
GROUP_SIZE = _histogram(
    "group_size_commands", "Commands committed together.", "action", buckets=_SIZES
)
GROUP_WAIT = _histogram("group_wait_seconds", "A command's wait for its group to begin.", "action")
GROUP_DURATION = _histogram("group_duration_seconds", "A group's transaction.", "action")
GROUP_QUEUE = _gauge("group_queue_commands", "Commands that wait for their group.", "action")

# The database, as this process uses it.
TRANSACTIONS_OPEN = _gauge("database_transactions_open", "Connections in use by transactions.")
POOL_SIZE = _gauge("database_pool_size_connections", "Connections this process may open.")
TRANSACTION_REPEATS = _counter(
    "database_transaction_repeats_total", "Transactions run again after a race or a lost link."
)

# Providers, and the orders at them.
CALLS = _counter("provider_calls_total", "Calls made.", "provider", "operation", "outcome")
CALL_DURATION = _histogram(
    "provider_call_duration_seconds", "Calls' duration.", "provider", buckets=_SLOW_S
)
CALLS_IN_FLIGHT = _gauge("provider_calls_in_flight", "Calls under way.", "provider")
CALLBACKS = _counter(
    "callbacks_total", "Callbacks, by what became of them.", "provider", "verdict"
)
CLAIMS = _counter(
    "claims_total", "Claims that came to a state, counted where it is written.", "state"
)

# What the look back at the start found; the process is read-only when it found something.
BOOKS_FINDINGS = _gauge("books_findings", "What was wrong with the last members' books at start.")

# The worker's steps.
STEP_DURATION = _histogram(
    "worker_step_duration_seconds", "Steps' duration.", "step", buckets=_SLOW_S
)
STEP_FAILURES = _counter("worker_step_failures_total", "Steps that failed.", "step")
STEP_SUCCESS = _gauge(
    "worker_step_last_success_timestamp_seconds", "When a step last succeeded.", "step"
)

# Traces on their way out.
SPANS = _counter("trace_spans_total", "Spans handed to the exporter, by result.", "result")

# Read from the database, at most every few seconds (`store.gauges`). Counts end at 10,000.
DATABASE_UP = _gauge("database_up", "1 when the database answered the last look at it.")
QUEUE_DUE = _gauge("provider_queue_due_requests", "Requests that are due.", "provider")
QUEUE_AGE = _gauge("provider_queue_oldest_age_seconds", "How long one has been due.", "provider")
LEASES_LAPSED = _gauge(
    "provider_leases_lapsed_requests", "Due requests whose worker never came back.", "provider"
)
LEASE_AGE = _gauge(
    "provider_lease_oldest_age_seconds", "How long ago a lapsed lease ended.", "provider"
)
HELD = _gauge("orders_held", "Orders that were tried and never left.", "provider")
HELD_AGE = _gauge("orders_held_oldest_age_seconds", "Since when the oldest waits.", "provider")
PROVIDER_PAUSED = _gauge(
    "provider_paused", "Open breakers and pauses by operators; 0 when there are none.", "provider"
)
INBOX_WAITING = _gauge("inbox_waiting_callbacks", "Callbacks nobody has worked off.")
INBOX_AGE = _gauge("inbox_oldest_age_seconds", "How long one has been waiting.")
OUTBOX_LAG = _gauge(
    "outbox_lag_seconds", "Age of the oldest event that the feed holds back for an open write."
)
SEALED = _gauge("sealed_batches", "Batches in the log.")
UNSEALED_AGE = _gauge("unsealed_oldest_age_seconds", "Age of the oldest batch not in the log.")
CHECKPOINT_AGE = _gauge(
    "checkpoint_oldest_age_seconds", "Age of the oldest batch that no exported checkpoint covers."
)
LOG_CONTRADICTED = _gauge(
    "log_contradicted", "1 while the log is not the one that its last checkpoint signed."
)
BUDGET_LEFT = _gauge("budget_left_minor", "What a budget can still bear.", "programme", "budget")
STOCK_LEFT = _gauge("stock_left_units", "Units a benefit's stock still has.", "benefit")
CODES_FREE = _gauge("codes_free", "Free codes in stock, up to 10,000.", "provider", "sku")
CODES_LOW = _gauge(
    "codes_low_stock", "With fewer free codes than this a stock is low.", "provider", "sku"
)
PARTITION_MONTHS = _gauge("partition_months_left", "Months ahead with a partition.", "table")
FEED_UNSEALED_AGE = _gauge(
    "feed_unsealed_oldest_age_seconds",
    "How long ago the oldest day ended of the last two months for which a feed is not sealed.",
    "source",
)
FEEDS_REFUSED = _gauge(
    "feeds_refused",
    "Days of the last two months whose feed was refused and is not sealed.",
    "source",
)
FEED_WAITING_AGE = _gauge(
    "feed_waiting_oldest_age_seconds",
    "How long a feed that matches has not been sealed.",
    "source",
)
OUTLOOK_AGE = _gauge(
    "outlook_run_age_seconds",
    "How long the look ahead after a sealed day has been under way; 0 when it is done.",
    "programme",
)
EVALUATION_WAITING_AGE = _gauge(
    "evaluation_waiting_oldest_age_seconds",
    "Since when a month could be evaluated that never was.",
    "programme",
)
EVALUATION_OVERDUE = _gauge(
    "evaluation_overdue_seconds",
    "How long ago the day ended by which the result of a month was to be known.",
    "programme",
)
EVALUATION_AGE = _gauge(
    "evaluation_run_age_seconds",
    "How long ago the evaluation that is under way was begun; 0 when it is done.",
    "programme",
)
CASES_OPEN = _gauge("cases_open", "Cases a person must look at.", "kind")
CASE_AGE = _gauge("case_oldest_age_seconds", "Age of the oldest open case.", "kind")
FROM_DATABASE = (
    *(QUEUE_DUE, QUEUE_AGE, LEASES_LAPSED, LEASE_AGE, HELD, HELD_AGE, BUDGET_LEFT, STOCK_LEFT),
    *(PROVIDER_PAUSED, CODES_FREE, CODES_LOW),
    *(PARTITION_MONTHS, CASES_OPEN, CASE_AGE),
    *(FEED_UNSEALED_AGE, FEEDS_REFUSED, FEED_WAITING_AGE, OUTLOOK_AGE),
    *(EVALUATION_WAITING_AGE, EVALUATION_OVERDUE, EVALUATION_AGE),
)


_REHEARSED: ContextVar[bool] = ContextVar("_REHEARSED", default=False)


@contextmanager
def rehearsed() -> Iterator[None]:
    """Count nothing as done inside: it will be undone."""
    before = _REHEARSED.set(True)
    try:
        yield
    finally:
        _REHEARSED.reset(before)


def count_claims(state: str, claims: int) -> None:
    """Count claims that came to a state, unless it is rehearsed only."""
    if not _REHEARSED.get():
        CLAIMS.labels(state).inc(claims)


def describe(version: str, command: str) -> None:
    """Say which program runs."""
    BUILD.info({"version": version, "command": command, "python": platform.python_version()})


def text() -> bytes:
    """Return all that is measured, as Prometheus reads it."""
    return generate_latest(REGISTRY)
