"""What archived months left behind, for whoever folds the books: which there are, and their sums.

Batches of an archived month are not in the database, but for those that a correction touched.
Their postings are carried: added up in `posting_carried`. So sums over everything add `batch` with
`posting` and `posting_carried`; what needs single entries says that the month is archived.
"""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from benefits.domain.archive import Archive, MonthArchived, counted
from benefits.domain.past import Bounds
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

# The archived months whose batches did not come back.
_AWAY = """
FROM month_archive AS a WHERE NOT EXISTS (
    SELECT FROM month_restore AS r WHERE r.month = a.month AND r.archived_at = a.archived_at)
"""
ARCHIVES = f"""
SELECT a.month, a.archived_at, a.first_id, a.beyond_id, a.first_leaf, a.beyond_leaf, a.batches,
       a.recorded_from, a.recorded_to, a.effective_from, a.effective_to, a.file_digest,
       a.carried_digest, a.holds_digest, a.note
{_AWAY} ORDER BY a.month
"""
# Primary key of posting_carried.
MONTHS_OF = """
SELECT m.month FROM unnest($3::date[]) AS m (month)
WHERE EXISTS (SELECT FROM posting_carried AS c
              WHERE c.bucket = $1 AND c.member_id = $2 AND c.month = m.month)
ORDER BY m.month
"""
# Taken before the first statement of a view that must not change: it takes no view itself, and a
# month that is being archived is waited for. Whoever archives locks the same, whole.
STEADY = "LOCK TABLE ONLY batch, ONLY posting, ONLY posting_carried IN ACCESS SHARE MODE"


def is_away(batch_id: str) -> str:
    """Return the condition that a batch is of a month that is archived now."""
    return f"EXISTS (SELECT {_AWAY} AND {batch_id} >= a.first_id AND {batch_id} < a.beyond_id)"


async def steady(conn: Connection) -> list[Archive]:
    """Return the months that are archived, in their order, for as long as the transaction lasts.

    For whoever reads the ledger by a later statement: no month leaves or comes back before it.
    """
    await run(conn, STEADY)
    return await archives(conn)


async def archives(conn: Connection) -> list[Archive]:
    """Return the months that are archived now, in their order."""
    return [Archive(**row._asdict()) for row in await rows(conn, ARCHIVES)]


async def months_below(
    conn: Connection, bounds: Bounds, member_id: UUID | None = None
) -> list[date]:
    """Return the archived months that count in an answer, of one member or of all.

    They stay so until the transaction ends. MonthArchived when only a part of one would.
    """
    found = counted(await steady(conn), bounds)
    parted = [one.month for one in found.parted]
    if parted and member_id is not None:
        parted = await months_of(conn, member_id, parted)
    if parted:
        raise MonthArchived(
            f"{parted[0]:%Y-%m} is archived, and not all of it counts here. "
            "Ask for it to be restored."
        )
    return [one.month for one in found.whole]


async def months_of(conn: Connection, member_id: UUID, months: Sequence[date]) -> list[date]:
    """Return which of some archived months have entries of a member."""
    found = await rows(conn, MONTHS_OF, bucket_of(member_id), member_id, list(months))
    return [row.month for row in found]
