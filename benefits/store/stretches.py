"""Sums of stretches of months: which are kept, and how they move with the months' sums.

`stretch` is the list. Of a stretch the sums of the buckets below its `next_bucket` are kept: what
moves a month's sum moves them, and only they are read. Those of the other buckets are filled from
the daily rows first (`stretch_sums`). All this is done by one at a time, under `assets.SERIAL`.

What other currencies and joint accounts come to is kept of the buckets below `folded_bucket`, once
all others are filled, where a programme counts them by days: `exchange` and `holders` fold it with
the months' (A-4, A-5).
"""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Any, NamedTuple

from benefits.domain.values import Month
from benefits.domain.windows import Stretch
from benefits.store.db import Connection, rows, run

ANY = "SELECT EXISTS (SELECT FROM stretch AS k WHERE k.month = ANY($1::date[])) AS is_any"
ANY_FOLDED = """
SELECT EXISTS (SELECT FROM stretch AS k
               WHERE k.month = ANY($1::date[]) AND k.folded_bucket > 0) AS is_any
"""
# Primary key.
KEPT = """
SELECT k.month, k.first_day, k.last_day, k.next_bucket, k.folded_bucket
FROM unnest($1::date[], $2::smallint[], $3::smallint[]) AS n (month, first_day, last_day)
JOIN stretch AS k ON k.month = n.month AND k.first_day = n.first_day AND k.last_day = n.last_day
"""
# As the months' sums move: a sum that moves down exists, and its difference would not pass the
# check of a new row.
ADD_SUMS = """
INSERT INTO asset_stretch (bucket, member_id, month, first_day, last_day, asset_class, currency,
                           sum_minor, before_minor, generation)
SELECT v.bucket, v.member_id, v.month, v.first_day, v.last_day, v.asset_class, v.currency,
       v.sum_minor, v.sum_minor, 0
FROM moved_stretch AS v WHERE v.sum_minor > 0
ON CONFLICT (bucket, member_id, month, first_day, last_day, asset_class, currency) DO UPDATE
SET sum_minor = asset_stretch.sum_minor + excluded.sum_minor,
    before_minor = asset_stretch.before_minor + excluded.sum_minor
"""
TAKE_FROM_SUMS = """
UPDATE asset_stretch AS s
SET sum_minor = s.sum_minor + v.sum_minor, before_minor = s.before_minor + v.sum_minor
FROM moved_stretch AS v
WHERE v.sum_minor < 0
  AND s.bucket = v.bucket AND s.member_id = v.member_id AND s.month = v.month
  AND s.first_day = v.first_day AND s.last_day = v.last_day
  AND s.asset_class = v.asset_class AND s.currency = v.currency
"""
UNSTAGE = "DROP TABLE moved_stretch"


class Filled(NamedTuple):
    """The first buckets of a stretch whose sums are not kept, and not folded."""

    next_bucket: int
    folded_bucket: int

    def is_kept(self, bucket: int, *, folded: bool) -> bool:
        """Say whether the sums of a bucket are kept, with what is `folded` or without."""
        return bucket < (self.folded_bucket if folded else self.next_bucket)


def _holds(day: str) -> str:
    return f"""k.month = date_trunc('month', {day})::date
     AND extract(day FROM {day}) BETWEEN k.first_day AND k.last_day"""


def holds(day: str, bucket: str) -> str:
    """Return the condition under which a day of a bucket moves the kept sums of a stretch `k`."""
    return f"{_holds(day)} AND {bucket} < k.next_bucket"


def folds(day: str, bucket: str) -> str:
    """Return the condition under which it counts for what is folded of a stretch `k`."""
    return f"{_holds(day)} AND {bucket} < k.folded_bucket"


def moved_in(moved: str) -> str:
    """Return what a feed of day $1 has `moved` in each stretch whose sums are kept."""
    return f"""SELECT v.*, k.month, k.first_day, k.last_day
FROM ({moved}) AS v JOIN stretch AS k ON {holds("$1::date", "v.bucket")}"""


def add_fed(moved: str) -> str:
    """Return what adds to kept sums what a feed of generation $7 has `moved` in them."""
    return f"""
INSERT INTO asset_stretch (bucket, member_id, month, first_day, last_day, asset_class, currency,
                           sum_minor, before_minor, generation)
SELECT v.bucket, v.member_id, v.month, v.first_day, v.last_day, v.asset_class, v.currency,
       v.moved, 0, $7
FROM ({moved}) AS v
WHERE v.moved > 0
ON CONFLICT (bucket, member_id, month, first_day, last_day, asset_class, currency) DO UPDATE
SET sum_minor = asset_stretch.sum_minor + excluded.sum_minor,
    before_minor = asset_stretch.sum_minor, generation = excluded.generation
"""


def take_fed(moved: str) -> str:
    """Return what takes from kept sums what a feed of generation $7 has `moved` in them."""
    return f"""
UPDATE asset_stretch AS s
SET sum_minor = s.sum_minor + v.moved, before_minor = s.sum_minor, generation = $7
FROM ({moved}) AS v
WHERE v.moved < 0
  AND s.bucket = v.bucket AND s.member_id = v.member_id AND s.month = v.month
  AND s.first_day = v.first_day AND s.last_day = v.last_day
  AND s.asset_class = v.asset_class AND s.currency = v.currency
"""


async def are_in(conn: Connection, months: Iterable[date]) -> bool:
    """Say whether any stretch of some months is on the list."""
    ((is_any,),) = await rows(conn, ANY, list(months))
    return bool(is_any)


async def are_folded(conn: Connection, months: Iterable[date]) -> bool:
    """Say whether other currencies and joint accounts are kept of any stretch of some months."""
    ((is_any,),) = await rows(conn, ANY_FOLDED, list(months))
    return bool(is_any)


async def kept(conn: Connection, wanted: Collection[Stretch]) -> dict[Stretch, Filled]:
    """Return those of some stretches that are on the list, each with what is kept of it."""
    found = await rows(conn, KEPT, *columns(wanted))
    return {stretch_of(row): Filled(row.next_bucket, row.folded_bucket) for row in found}


async def move(conn: Connection) -> None:
    """Move the kept sums by what is in `moved_stretch`."""
    await run(conn, ADD_SUMS)
    await run(conn, TAKE_FROM_SUMS)
    await run(conn, UNSTAGE)


def columns(stretches: Collection[Stretch]) -> tuple[list[date], list[int], list[int]]:
    """Return stretches as columns: their months, their first and their last days."""
    return (
        [each.month.start for each in stretches],
        [each.first for each in stretches],
        [each.last for each in stretches],
    )


def stretch_of(row: Any) -> Stretch:
    """Return the stretch that a row is of."""
    return Stretch(Month.of(row.month), row.first_day, row.last_day)
