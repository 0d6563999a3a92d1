"""What may be forgotten: ended page sessions, and refusals nobody can ask for again (C-9).

Success is kept for ever.
"""

from datetime import datetime, timedelta

from benefits.store.db import Connection, run

REFUSALS_KEPT = timedelta(days=30)
SESSIONS_KEPT = timedelta(days=1)

# ix_request_refused
REFUSALS = """
DELETE FROM request AS r USING (
    SELECT bucket, caller, operation, key FROM request
    WHERE bucket + 0 BETWEEN $1 AND $2 AND recorded_at < $3 AND refusal <> '' LIMIT $4) AS old
WHERE r.bucket = old.bucket AND r.caller = old.caller AND r.operation = old.operation
  AND r.key = old.key
"""
# ix_page_session_expires_at
SESSIONS = """
DELETE FROM page_session AS s USING (
    SELECT bucket, session_id FROM page_session
    WHERE bucket + 0 BETWEEN $1 AND $2 AND expires_at < $3 LIMIT $4) AS old
WHERE s.bucket = old.bucket AND s.session_id = old.session_id
"""


async def prune(conn: Connection, buckets: tuple[int, int], now: datetime, *, limit: int) -> int:
    """Forget at most `limit` of each kind in a range of buckets; return how many."""
    refusals = await run(conn, REFUSALS, *buckets, now - REFUSALS_KEPT, limit)
    return refusals + await run(conn, SESSIONS, *buckets, now - SESSIONS_KEPT, limit)
