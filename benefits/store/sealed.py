"""What counts while feeds are applied, and which days they make known (A-2, A-6).

A feed's sums move in many transactions and count at once: each row it moves keeps what counted
before and takes the feed's generation. A reader whose snapshot has not that generation sealed
takes the value from before. One feed is applied at a time, so one value from before is enough.
"""

from collections.abc import Mapping
from datetime import date

import msgspec

from benefits.domain.values import Month
from benefits.domain.windows import Days


def counted(row: str, now: str, before: str) -> str:
    """Return what a row counts for that feeds move; uq_feed_generation, backwards."""
    return f"""CASE WHEN {row}.generation > (SELECT coalesce(max(f.generation), 0) FROM feed AS f
                          WHERE f.state = 'SEALED')
     THEN {row}.{before} ELSE {row}.{now} END"""


# What a sum `s` of asset_month counts for, and one `c` of asset_converted.
COUNTED = counted("s", "sum_minor", "before_minor")
COUNTED_CONVERTED = counted("c", "sum_minor", "before_minor")
COUNTED_UNRATED = counted("c", "unrated_days", "before_unrated")
# And one `j` of asset_joint.
COUNTED_JOINT = counted("j", "sum_minor", "before_minor")
COUNTED_JOINT_UNRATED = counted("j", "unrated_days", "before_unrated")
# And one `g` of asset_stretch_folded.
COUNTED_FOLDED = counted("g", "sum_minor", "before_minor")


Sealed = Mapping[Month, Mapping[str, Days]]


def sealed_days(sources: str, first: str = "date '-infinity'") -> str:
    """Return what gives the days sealed from a day on, by month and source; `read_days` reads it.

    It is asked in the statement that reads sums: both are of one instant.
    """
    return f"""(
    SELECT json_agg(json_build_array(o.month, o.source, o.days, o.filled))::text FROM (
        SELECT date_trunc('month', d.as_of)::date AS month, d.source, bit_or(d.day) AS days,
               coalesce(bit_or(d.day) FILTER (WHERE d.is_filled), 0) AS filled
        FROM (SELECT f.as_of, f.source, max(f.revision) < 0 AS is_filled,
                     1 << (extract(day FROM f.as_of)::int - 1) AS day
              FROM feed AS f
              WHERE f.state = 'SEALED' AND f.source = ANY({sources}::text[])
                AND f.as_of >= {first}
              GROUP BY 1, 2) AS d
        GROUP BY 1, 2) AS o)"""


def read_days(text: str | None) -> Sealed:
    """Read what `sealed_days` gave: the days sealed and filled, by month and source."""
    found = dict[Month, dict[str, Days]]()
    if text is not None:
        made = msgspec.json.decode(text, type=list[tuple[date, str, int, int]])
        for first, source, *days in made:
            found.setdefault(Month.of(first), {})[source] = Days(*days)
    return found


# The revision of each source's day that counts.
HIGHEST = """SELECT DISTINCT ON (f.as_of, f.source) f.as_of, f.source, f.revision FROM feed AS f
WHERE f.state = 'SEALED' {} ORDER BY f.as_of, f.source, f.revision DESC"""
