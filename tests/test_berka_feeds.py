"""Half a year of real accounts as feeds: days in any order, mistakes put right by later revisions.

What the months come to is computed in another way, from the bank's own transactions.
"""

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest

from benefits.actions.evaluate import evaluate
from benefits.actions.import_feed import import_feed
from benefits.actions.record_members import record_members
from benefits.domain import tiers
from benefits.domain.feeds import FeedKey, FeedManifest
from benefits.domain.members import MemberLine
from benefits.domain.programme_file import read
from benefits.domain.values import BUCKETS, Month
from benefits.store.db import connect
from benefits.store.facts import Whom, load
from benefits.store.migrate import ensure_partitions
from tests import berka
from tests.berka_expected import MONTHS, expect
from tests.builders import MEMBER_KEY, World
from tests.conftest import database
from tests.test_berka import NAME, PROGRAMME, id_of, real

HALF, LAST = MONTHS[:6], MONTHS[5]
MISTAKEN = 30
HEADER = "customer,asset_class,currency,balance,account\n"
Lines = dict[str, tuple[str, int]]


@pytest.fixture
async def bank(migrated: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give an installation whose days are known by feeds."""
    programme = msgspec.structs.replace(read(PROGRAMME.read_text()), feeds=("core",))
    async with database(cluster_dsn, migrated) as dsn:
        pool = connect(dsn)
        try:
            world = World(pool)
            world.clock.now = datetime(1993, 7, 3, 2, tzinfo=UTC)
            await ensure_partitions(pool, world.clock())
            await world.apply(programme, tiers_from=MONTHS[0])
            yield world
        finally:
            await pool.close()


async def send(world: World, key: FeedKey, lines: Lines) -> None:
    """Send a day's balances by account: (customer, minor units)."""
    text = HEADER + "".join(
        f"{customer},DEPOSIT,CZK,{Decimal(minor).scaleb(-2)},{account}\n"
        for account, (customer, minor) in lines.items()
    )
    said = FeedManifest(
        source=key.source,
        date=key.as_of,
        revision=key.revision,
        rows=len(lines),
        totals={"CZK": str(Decimal(sum(minor for _, minor in lines.values())).scaleb(-2))},
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
    file = io.BytesIO(text.encode())
    assert [] == await import_feed(
        world.database, world.parts, file, said, programme_code="konto", progress=lambda _: None
    )


async def decide(world: World, month: Month) -> None:
    """Evaluate a month."""
    await evaluate(world.database, world.parts, "konto", month, buckets=(0, BUCKETS - 1))


def mistaken(chance: Random, lines: Lines) -> Lines:
    """Return a day's balances with some wrong, one account missing and one that is nobody's."""
    wrong = dict(lines)
    for account in chance.sample(sorted(lines), min(len(lines), 40)):
        customer, minor = lines[account]
        wrong[account] = (customer, minor + chance.choice([-1, 1]) * chance.randrange(10_000_000))
    wrong.pop(chance.choice(sorted(wrong)), None)
    return wrong | {"none": ("nobody", 1)}


@real
async def test_days_and_corrections_in_any_order_come_to_what_the_transactions_say(
    bank: World,
) -> None:
    """A-2, A-7, T-8: whatever was decided on the way, and however wrong, in the end it is so."""
    source, chance = Path(os.environ[NAME]), Random(1993)
    expected, days = expect(source), defaultdict[date, Lines](dict)
    for account in berka.read(source):
        for day, minor in berka.day_ends(account):
            if day < LAST.end:
                days[day][account.number] = (account.owner, minor)
    opened = {customer: day for customer, day in expected.opened.items() if day < LAST.end}
    async with bank.database.transaction() as conn:
        lines = [(n, MemberLine(*line)) for n, line in enumerate(opened.items(), 1)]
        await record_members(conn, lines, bank.parts, member_key=MEMBER_KEY)
    first = MONTHS[0].start
    every = [first + timedelta(days=n) for n in range((LAST.end - first).days)]
    wrong = set(chance.sample([day for day in every if days[day]], MISTAKEN))
    feeds = [(FeedKey("core", day, int(day in wrong)), days[day]) for day in every]
    feeds += [(FeedKey("core", day, 0), mistaken(chance, days[day])) for day in sorted(wrong)]
    chance.shuffle(feeds)
    for nth, (key, balances) in enumerate(feeds):
        await send(bank, key, balances)
        if nth % 12 == 0:
            await decide(bank, chance.choice(HALF[:-1]))
    for month in HALF:
        await decide(bank, month)

    sums = await bank.rows("SELECT member_id, month, sum_minor FROM asset_month")
    found = {(row.member_id, row.month): row.sum_minor for row in sums if row.sum_minor}
    due = {
        (id_of(customer), month.start): expected.sums[customer][nth]
        for customer in opened
        for nth, month in enumerate(HALF)
        if expected.sums[customer][nth]
    }
    assert due == {key: total for key, total in found.items() if key[0] != id_of("nobody")}
    async with bank.database.transaction() as conn:
        rules = (await bank.parts.catalogue.current(conn)).rules["konto"]
        known = await load(conn, rules, LAST, Whom((0, BUCKETS - 1)))
    assert len(opened) == len(known)
    standings = {id_of(c): [each.get(c, (0, 0)) for each in expected.standings] for c in opened}
    for fact in known:
        decisions = tiers.fold(rules, fact.sums, LAST, opened_on=fact.opened_on)
        folded = {each.month: (each.after.rank, each.after.misses) for each in decisions}
        assert standings[fact.member_id][:6] == [folded.get(m, (0, 0)) for m in HALF]
        assert standings[fact.member_id][5] == (fact.written.rank, fact.written.misses)
    assert [] == await bank.findings()
