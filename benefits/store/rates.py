"""Exchange rates: kept with every revision, and put to use bucket after bucket (A-4, A-7).

The new rates of a file make a generation, under the digest of their lines. With it is kept what
the lines of each date use from then on; then the months that these dates lie in are folded anew.
One generation is put to use at a time: all before it are in use everywhere.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

import msgspec

from benefits.domain.exchange import RATE_DAYS, Converted, RateLine
from benefits.domain.values import BUCKETS, Month
from benefits.store import assets, exchange, holders
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection, rows, run

CONVERTED = "SELECT c.code, c.digits, c.into_code, c.into_digits FROM currency AS c ORDER BY 1"
PUT_CONVERTED = """
INSERT INTO currency (code, digits, into_code, into_digits)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[], $4::smallint[])
ON CONFLICT (code) DO NOTHING
"""
KNOWN = """
SELECT r.currency, r.as_of, r.revision, r.rate, r.per FROM rate AS r
JOIN unnest($1::text[], $2::date[], $3::int[]) AS n (currency, as_of, revision)
  ON n.currency = r.currency AND n.as_of = r.as_of AND n.revision = r.revision
"""
LAST = "SELECT coalesce(max(r.generation), 0) AS last FROM rate_run AS r"
INSERT = """
INSERT INTO rate (currency, as_of, revision, rate, per, factor, generation)
SELECT n.*, $7 FROM unnest($1::text[], $2::date[], $3::int[], $4::numeric[], $5::int[],
                           $6::numeric[]) AS n
"""
# The latest rate of each day and the days after it, its highest revision, where that is news.
USE = f"""
INSERT INTO rate_used (currency, as_of, generation, rate, per, rate_date, factor)
SELECT d.currency, d.day, $1, q.rate, q.per, q.as_of, q.factor
FROM (SELECT DISTINCT r.currency, r.as_of + g.n AS day
      FROM rate AS r CROSS JOIN generate_series(0, {RATE_DAYS}) AS g (n)
      WHERE r.generation = $1) AS d
CROSS JOIN LATERAL (
    SELECT q.rate, q.per, q.as_of, q.factor FROM rate AS q
    WHERE q.currency = d.currency AND q.as_of BETWEEN d.day - {RATE_DAYS} AND d.day
    ORDER BY q.as_of DESC, q.revision DESC LIMIT 1) AS q
LEFT JOIN LATERAL (
    SELECT u.rate, u.per, u.rate_date FROM rate_used AS u
    WHERE u.currency = d.currency AND u.as_of = d.day
    ORDER BY u.generation DESC LIMIT 1) AS u ON true
WHERE (q.rate, q.per, q.as_of) IS DISTINCT FROM (u.rate, u.per, u.rate_date)
"""
BEGIN = """
INSERT INTO rate_run (generation, digest, rates, currencies, months, next_bucket, recorded_at)
SELECT $1, $2, $3, coalesce(array_agg(DISTINCT u.currency), '{}'),
       coalesce(array_agg(DISTINCT date_trunc('month', u.as_of)::date), '{}'),
       CASE WHEN count(*) = 0 THEN 1024 ELSE 0 END, $4
FROM rate_used AS u JOIN currency_day AS d ON d.currency = u.currency AND d.as_of = u.as_of
WHERE u.generation = $1
"""
UNDER_WAY = """
SELECT r.generation, r.rates, r.currencies, r.months, r.next_bucket, r.recorded_at
FROM rate_run AS r WHERE r.generation = (SELECT max(l.generation) FROM rate_run AS l)
  AND r.next_bucket < 1024
"""
TOUCHED = """
SELECT c.code, min(m.month) AS month, max(r.recorded_at) AS at
FROM rate_run AS r CROSS JOIN unnest(r.currencies) AS c (code)
CROSS JOIN unnest(r.months) AS m (month)
WHERE r.recorded_at >= $1 GROUP BY 1 ORDER BY 1
"""
ADVANCE = "UPDATE rate_run SET next_bucket = $2::smallint WHERE generation = $1"
# Every rate is under the digest of what it came with, and what is used is what the rates give.
DIFFERENCES = f"""
SELECT format('generation %s', coalesce(k.generation, r.generation)) AS subject,
       format('%s rates kept, %s under its digest', k.n, r.rates) AS detail
FROM (SELECT t.generation, count(*) AS n,
             sha256(convert_to(string_agg(format(E'%s,%s,%s,%s,%s\\n', t.currency, t.as_of,
                 t.revision, t.rate, t.per), '' ORDER BY t.currency, t.as_of, t.revision),
                 'UTF8')) AS digest
      FROM rate AS t GROUP BY 1) AS k
FULL JOIN rate_run AS r ON r.generation = k.generation
WHERE k.digest IS DISTINCT FROM r.digest OR k.n IS DISTINCT FROM r.rates
UNION ALL
SELECT format('%s %s', coalesce(d.currency, u.currency), coalesce(d.day, u.as_of)),
       format('used %s of %s, rates %s of %s', u.factor, u.rate_date, d.factor, d.as_of)
FROM (SELECT DISTINCT ON (r.currency, r.as_of + g.n) r.currency, r.as_of + g.n AS day, r.as_of,
             r.factor, r.factor * r.per * power(10::numeric, c.digits)
                       = r.rate * power(10::numeric, c.into_digits) AS is_exact
      FROM rate AS r JOIN currency AS c ON c.code = r.currency
      CROSS JOIN generate_series(0, {RATE_DAYS}) AS g (n)
      ORDER BY r.currency, r.as_of + g.n, r.as_of DESC, r.revision DESC) AS d
FULL JOIN (SELECT DISTINCT ON (v.currency, v.as_of) v.currency, v.as_of, v.rate_date, v.factor
           FROM rate_used AS v ORDER BY v.currency, v.as_of, v.generation DESC) AS u
  ON u.currency = d.currency AND u.as_of = d.day
WHERE (u.factor, u.rate_date) IS DISTINCT FROM (d.factor, d.as_of) OR NOT d.is_exact
"""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """New rates that are being put to use, in the buckets before `next_bucket` so far."""

    generation: int
    rates: int
    currencies: list[str]
    months: list[date]
    next_bucket: int
    recorded_at: datetime


async def converted(conn: Connection) -> dict[str, Converted]:
    """Return the currencies that are converted, by code."""
    return {row[0]: Converted(*row) for row in await rows(conn, CONVERTED)}


async def put_converted(conn: Connection, currencies: Iterable[Converted]) -> None:
    """Convert currencies from now on, for ever."""
    each = list(currencies)
    if each:
        await run(
            conn,
            PUT_CONVERTED,
            [one.code for one in each],
            [one.digits for one in each],
            [one.into for one in each],
            [one.into_digits for one in each],
        )


async def under_way(conn: Connection) -> Run | None:
    """Return the rates that are being put to use."""
    found = await rows(conn, UNDER_WAY)
    return msgspec.convert(found[0]._asdict(), Run) if found else None


class Touched(msgspec.Struct, frozen=True):
    """Lines in a currency whose rates changed: since which month, and when that was last."""

    currency: str
    month: Month
    at: datetime


async def touched(conn: Connection, since: datetime) -> list[Touched]:
    """Return what rates changed that were recorded since an instant."""
    found = await rows(conn, TOUCHED, since)
    return [Touched(row.code, Month.of(row.month), row.at) for row in found]


async def serial(conn: Connection) -> None:
    """Keep sums and rates still until the transaction ends."""
    await run(conn, assets.SERIAL)


async def put(
    conn: Connection, lines: Sequence[tuple[int, RateLine]], now: datetime
) -> ChunkResult:
    """Keep numbered rates and begin to use them; nothing else may be under way."""
    known = await _known(conn, lines)
    new, refused, unchanged = list[RateLine](), list[tuple[int, str]](), 0
    for number, line in lines:
        grain, said = (line.currency, line.as_of, line.revision), (line.rate, line.per)
        if grain not in known:
            known[grain] = said
            new.append(line)
        elif known[grain] == said:
            unchanged += 1
        else:
            refused.append((number, "revision: this revision is known with another rate"))
    if new:
        await _put_new(conn, sorted(new, key=lambda n: (n.currency, n.as_of, n.revision)), now)
    return ChunkResult(len(new), unchanged, refused)


async def _known(
    conn: Connection, lines: Sequence[tuple[int, RateLine]]
) -> dict[tuple[str, date, int], tuple[Decimal, int]]:
    found = await rows(
        conn,
        KNOWN,
        [line.currency for _, line in lines],
        [line.as_of for _, line in lines],
        [line.revision for _, line in lines],
    )
    return {(r.currency, r.as_of, r.revision): (r.rate, r.per) for r in found}


async def _put_new(conn: Connection, new: Sequence[RateLine], now: datetime) -> None:
    ((last,),) = await rows(conn, LAST)
    generation = int(last) + 1
    await run(
        conn,
        INSERT,
        [line.currency for line in new],
        [line.as_of for line in new],
        [line.revision for line in new],
        [line.rate for line in new],
        [line.per for line in new],
        [line.factor for line in new],
        generation,
    )
    await run(conn, USE, generation)
    await run(conn, BEGIN, generation, digest_of(new), len(new), now)


def digest_of(lines: Iterable[RateLine]) -> bytes:
    """Return the digest that rates are sealed with: of their lines, in order."""
    text = "".join(
        f"{line.currency},{line.as_of},{line.revision},{line.rate:f},{line.per}\n"
        for line in lines
    )
    return hashlib.sha256(text.encode()).digest()


async def use(conn: Connection, run_: Run, count: int) -> Run:
    """Put rates to use in the next `count` buckets: fold what they touch anew."""
    first, last = run_.next_bucket, min(run_.next_bucket + count, BUCKETS) - 1
    await run(conn, ADVANCE, run_.generation, last + 1)
    await exchange.refold_months(conn, run_.months, run_.currencies, (first, last))
    await holders.refold_rated(conn, run_.months, run_.currencies, (first, last))
    return msgspec.structs.replace(run_, next_bucket=last + 1)


async def differences(conn: Connection) -> Sequence[tuple[str, str]]:
    """Return what rates are not as they were sealed, or are not used as they should be."""
    return [(row.subject, row.detail) for row in await rows(conn, DIFFERENCES)]
