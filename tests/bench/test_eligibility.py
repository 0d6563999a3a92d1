"""Rules: one member over many offers in Python, and a rule over everybody in SQL.

Counting is measured against a plain count of the same members. `BENCH_MEMBERS` says how many.
"""

import os
import statistics
import time
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest

from benefits.domain.eligibility import Rule, weigh
from benefits.domain.fields import Among, Known, New, Years
from benefits.domain.values import BUCKETS
from benefits.embedded import Postgres
from benefits.store import eligibility
from benefits.store.db import connect
from benefits.store.eligibility import Asked
from tests.bench.test_expire import prepare
from tests.builders import reference_programme
from tests.service import fresh_keys

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
MEMBERS = int(os.environ.get("BENCH_MEMBERS", "1000000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
OFFERS = 200
OLD = Rule(age=Years(at_least=60))
SILVER = Rule(
    all_=(
        OLD,
        Rule(staff=False),
        Rule(any_=(Rule(city=Among(in_=("上海", "北京"))), Rule(branch=Among(is_="b7")))),
    )
)
RULES = {
    "age": OLD,
    "age, staff, city or branch": SILVER,
    "label": Rule(label=Among(is_="FACT:payroll")),
    "new customer": Rule(new_customer=New(months=12)),
}
FILL = (
    """INSERT INTO member (bucket, member_id, opened_on, branch, recorded_at)
       SELECT ('x' || right(i.id::text, 3))::bit(12)::int & 1023, i.id,
              date '2015-01-01' + i.n % 3600, 'b' || i.n % 20, now()
       FROM (SELECT n, md5(n::text)::uuid AS id FROM generate_series(1, $1::int) AS n) AS i""",
    """INSERT INTO member_person (bucket, member_id, born_on, city, is_staff, person)
       SELECT m.bucket, m.member_id, date '1940-01-01' + abs(hashtext(m.member_id::text)) % 25000,
              (ARRAY['上海', '北京', '杭州'])[1 + abs(hashtext(m.member_id::text)) % 3], false,
              m.member_id
       FROM member AS m""",
    """INSERT INTO member_label (bucket, member_id, label, valid_from, recorded_at, layer)
       SELECT m.bucket, m.member_id, 'payroll', '2025-01-01', now(), 'FACT'
       FROM member AS m WHERE abs(hashtext(m.member_id::text)) % 4 = 0""",
)


def test_a_member_is_judged_over_many_offers() -> None:
    """Print the microseconds that a rule of five conditions takes of one member."""
    known = Known(
        today=date(2025, 7, 2),
        opened_on=date(2020, 1, 1),
        born_on=date(1960, 1, 1),
        city="杭州",
        branch="b7",
        is_staff=False,
    )
    rules = [
        Rule(all_=(Rule(age=Years(at_least=n % 60)), *(SILVER.all_ or ()))) for n in range(OFFERS)
    ]
    took = list[float]()
    for _ in range(50):
        begun = time.perf_counter()
        for rule in rules:
            weigh(rule, known)
        took.append(time.perf_counter() - begun)
    each = statistics.median(took) / OFFERS * 1e6
    print(f"{OFFERS} offers in {each * OFFERS / 1000:.2f} ms, {each:.2f} us a rule")


async def test_a_population_is_measured_against_a_plain_count(durable_server: Postgres) -> None:
    """Print seconds of each rule, and the ratio to counting the members."""
    with durable_server as server:
        dsn = await prepare(server.dsn, fresh_keys())
        raw = await asyncpg.connect(dsn)
        for statement in FILL:
            await raw.execute(statement, *([MEMBERS] if "$1" in statement else []))
        await raw.execute("VACUUM ANALYZE")
        plain = await _measured(raw.fetchval, "SELECT count(*) FROM member")
        print(f"{MEMBERS:,} members counted in {plain:.3f} s")
        database = connect(dsn)
        for name, rule in RULES.items():
            asked = Asked(
                rule=rule,
                programme=reference_programme(),
                today=date(2025, 7, 2),
                now=datetime.now(UTC),
            )
            async with database.transaction() as conn:
                took = await _measured(eligibility.count, conn, asked, (0, BUCKETS - 1))
                found = await eligibility.count(conn, asked, (0, BUCKETS - 1))
            print(f"{name}: {found:,} in {took:.3f} s, {took / plain:.1f} times a plain count")
        await database.close()
        await raw.close()


async def _measured(what: Any, *values: Any) -> float:
    took = list[float]()
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await what(*values)
        took.append(time.perf_counter() - begun)
    return statistics.median(took)
