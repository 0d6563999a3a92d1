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

    Of all sources where `sources` is NULL.
    It is asked in the statement that reads sums: both are of one instant.
    """
    return f"""(
    SELECT json_agg(json_build_array(o.month, o.source, o.days, o.filled))::text FROM (
        SELECT date_trunc('month', d.as_of)::date AS month, d.source, bit_or(d.day) AS days,
               coalesce(bit_or(d.day) FILTER (WHERE d.is_filled), 0) AS filled
        FROM (SELECT f.as_of, f.source, max(f.revision) < 0 AS is_filled,
                     1 << (extract(day FROM f.as_of)::int - 1) AS day
              FROM feed AS f
              WHERE f.state = 'SEALED'
                AND ({sources}::text[] IS NULL OR f.source = ANY({sources}::text[]))
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


def is_ready(feed: str) -> str:
    """Return the condition under which a feed can be applied; primary key of feed.

    A DELTA feed can when the source itself sent the day before, and that day counts; or when it
    will count nowhere.
    """
    return f"""({feed}.kind = 'FULL' OR EXISTS (
    SELECT FROM feed AS d WHERE d.state = 'SEALED' AND d.source = {feed}.source
      AND (d.as_of = {feed}.as_of - 1 AND d.revision >= 0
           OR d.as_of = {feed}.as_of AND d.revision > {feed}.revision)))"""


# The revision of each source's day that counts.
HIGHEST = """SELECT DISTINCT ON (f.as_of, f.source) f.as_of, f.source, f.revision, f.kind
FROM feed AS f WHERE f.state = 'SEALED' {} ORDER BY f.as_of, f.source, f.revision DESC"""


def chained(feeds: str) -> str:
    """Return what numbers the chains of feeds, one of each source's day, whole months of them.

    A chain is a FULL day and the DELTA days that stand on it; it ends before `until`.
    """
    return f"""
    SELECT g.*, max(g.as_of) OVER same + 1 AS until, count(*) OVER same = 1 AS is_alone
    FROM (SELECT h.*, count(*) FILTER (WHERE h.kind = 'FULL') OVER (
              PARTITION BY h.source ORDER BY h.as_of) AS chain
          FROM ({feeds}) AS h) AS g
    WINDOW same AS (PARTITION BY g.source, g.chain)"""


def standing(fed: str, lines: str) -> str:
    """Return what gives the lines of feeds day by day; `fed` is what `chained` them.

    A line stands until its key's next one. `lines` is the condition for those that are read, `l`;
    it leaves out no line of a key's chain but those behind the days that are wanted.
    """
    joined = f"""FROM {fed} AS c JOIN feed_line AS l
      ON l.as_of = c.as_of AND l.source = c.source AND l.revision = c.revision"""
    columns = "asset_class", "currency", "account", "balance_minor"
    plain = ", ".join(f"l.{name}" for name in columns)
    held = ", ".join(f"t.{name}" for name in columns)
    return f"""
    SELECT l.bucket, l.member_id, l.as_of, {plain} {joined} WHERE c.is_alone AND {lines}
    UNION ALL
    SELECT t.bucket, t.member_id, t.as_of + n.day, {held}
    FROM (SELECT l.*, lead(l.as_of, 1, c.until) OVER (
              PARTITION BY l.bucket, l.member_id, c.source, c.chain, l.asset_class, l.currency,
                           l.account ORDER BY l.as_of) AS until
          {joined} WHERE NOT c.is_alone AND {lines}) AS t
    CROSS JOIN generate_series(0, t.until - t.as_of - 1) AS n (day)"""
