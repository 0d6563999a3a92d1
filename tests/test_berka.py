"""A year of real accounts through the product: imported, evaluated, granted, claimed, verified.

`tests/berka.py` tells what the data are and how they are converted; `tests/berka_expected.py`
computes in another way what must come of them.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.evaluate import Evaluated, slices
from benefits.actions.evaluate import evaluate as evaluate_month
from benefits.domain.programme_file import read
from benefits.domain.values import member_id
from benefits.sandbox.behaviour import MIXTURES, Behaviour
from benefits.store.db import connect
from benefits.store.group import Group, grouped
from benefits.store.migrate import ensure_partitions
from benefits.store.overview import overviews
from tests import berka
from tests.actions.life import said
from tests.berka_expected import (
    COST,
    CREDITS,
    LOUNGES,
    MONTHS,
    TIERS,
    Expected,
    Standing,
    expect,
)
from tests.berka_provider import provider, work_until
from tests.builders import MEMBER_KEY, World
from tests.conftest import database
from tests.shell import run

NAME = "BENEFITS_BERKA_DIR"
PROGRAMME = Path(__file__).with_name("berka.toml")
NEVER_USED = 10  # lounge visits that are booked and not made
# Every member's standing at an instant as known at another (T-9), all in one statement.
STANDINGS = """
SELECT DISTINCT ON (d.member_id) d.member_id, d.rank, d.misses FROM tier_decision AS d
WHERE d.effective_from <= $1 AND d.decided_at <= $1
ORDER BY d.member_id, d.effective_from DESC, d.decided_at DESC, d.decision_id DESC
"""


def real(test: Any) -> Any:
    """Mark a test that needs the accounts."""
    why = f"{NAME} does not name the folder of the accounts"
    return pytest.mark.skipif(not os.environ.get(NAME), reason=why)(test)


class Year(NamedTuple):
    """An installation that went through 1993, what its commands said, and what was expected."""

    world: World
    expected: Expected
    environ: dict[str, str]
    said: list[str]


async def benefits(environ: dict[str, str], *words: str) -> tuple[str, float]:
    """Run a command of the product; return what it said and how many seconds it took."""
    start = time.perf_counter()
    status, out, err = await asyncio.to_thread(run, words, environ)
    assert 0 == status, err
    return out + err, time.perf_counter() - start


@pytest.fixture(scope="module")
async def year(
    cluster_dsn: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Year]:
    """Convert and import the year by the product's commands, and evaluate it."""
    source, folder = Path(os.environ[NAME]), tmp_path_factory.mktemp("berka")
    async with database(cluster_dsn, migrated) as dsn:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("BENEFITS_")} | {
            "BENEFITS_DATABASE_URL": dsn,
            "BENEFITS_MEMBER_KEY": MEMBER_KEY.hex(),
            "BENEFITS_SECRET_KEYS": MEMBER_KEY[::-1].hex(),
            "COLUMNS": "200",  # no line is broken
        }
        await benefits(environ, "programme", "apply", str(PROGRAMME))
        await import_accounts(environ, source, folder)
        made = connect(dsn)
        try:
            world = World(made)
            await ensure_partitions(made, decided_at(0))
            told = [await evaluate(world, nth) for nth in range(11)]
            told.append(await evaluate_by_command(environ, 11))
            yield Year(world, expect(source), environ, told)
        finally:
            await made.close()


async def import_accounts(environ: dict[str, str], source: Path, folder: Path) -> None:
    """Import members and balances; not a line may be refused."""
    accounts = berka.read(source)
    files = (("members", berka.write_members), ("assets", berka.write_assets))
    for what, write in files:
        path = folder / f"{what}.csv"
        lines = write(accounts, path)
        told, seconds = await benefits(environ, "import", what, str(path))
        assert f"{lines:,} lines: {lines:,} new or changed, 0 known already, 0 refused." in told
        tell(f"import {what}: {lines:,} lines in {seconds:.1f} s")


async def evaluate(world: World, nth: int) -> str:
    """Evaluate a month on the third of the next; return what the command would say."""
    world.clock.now = decided_at(nth)
    start, total = time.perf_counter(), Evaluated()
    for buckets in await slices(world.database):
        total = total.plus(
            await evaluate_month(
                world.database, world.parts, "konto", MONTHS[nth], buckets=buckets
            )
        )
    names = [f"{tier} {total.ranks.get(rank, 0):,}" for rank, tier in enumerate(TIERS)]
    told = f"{total.decisions:,} decisions, {total.grants:,} grants; {', '.join(names)}."
    tell(f"{MONTHS[nth]}: {told} ({time.perf_counter() - start:.2f} s)")
    return f"{MONTHS[nth]}: {told}"


async def evaluate_by_command(environ: dict[str, str], nth: int) -> str:
    """Evaluate a month as an operator does; return what the command says in the end."""
    now = decided_at(nth).isoformat()
    command = ("evaluate", "--period", str(MONTHS[nth]), "--now", now)
    told, seconds = await benefits(environ, *command)
    tell(f"{told.splitlines()[-1]} ({seconds:.1f} s, the start of the program with it)")
    return told.splitlines()[-1]


def tell(text: str) -> None:
    """Say something to whoever runs the tests with `-s`."""
    sys.stdout.write(f"\n{text}")


def id_of(customer: str) -> UUID:
    """Return the id of a customer."""
    return member_id(customer, MEMBER_KEY)


def decided_at(nth: int) -> datetime:
    """Return when the nth month was evaluated."""
    first = MONTHS[nth].end
    return datetime(first.year, first.month, 3, 3, 10, tzinfo=UTC)


def test_rows_of_one_day_are_put_in_the_order_in_which_each_balance_follows() -> None:
    """The order in the file means nothing; amounts are off by up to 0.1."""
    rows = [berka.Row(-30_00, 50_05), berka.Row(-20_00, 80_00), berka.Row(100_00, 100_00)]
    assert 50_05 == berka.chain(0, rows)
    assert None is berka.chain(1_00, rows)


def test_a_balance_stays_until_the_next_row_and_begins_at_the_opening() -> None:
    """Every day from the opening to the end of the year has a balance, also a negative one."""
    days = {date(1993, 12, 28): [berka.Row(-5_00, -5_00)]}
    account = berka.Account("1", "7", date(1993, 12, 27), days)
    ends = [(27, 0), (28, -5_00), (29, -5_00), (30, -5_00), (31, -5_00)]
    assert [(date(1993, 12, day), end) for day, end in ends] == list(berka.day_ends(account))


def test_a_member_is_the_owner_from_the_first_of_their_accounts_on(tmp_path: Path) -> None:
    """A second person on an account is no member; two accounts of one owner are one member."""
    tables = {
        "account": '"account_id";"date"\n1;931231\n2;931230\n3;940101',
        "disp": '"client_id";"account_id";"type"\n7;1;"OWNER"\n8;1;"DISPONENT"\n7;2;"OWNER"',
        "trans": '"account_id";"date";"type";"amount";"balance"\n1;931231;"VYBER";0.50;-0.50',
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    accounts = berka.read(tmp_path)
    assert 1 == berka.write_members(accounts, tmp_path / "members")
    assert 3 == berka.write_assets(accounts, tmp_path / "assets")
    assert ["customer,opened_on", "7,1993-12-30"] == (tmp_path / "members").read_text().split()
    assert [
        "7,1993-12-31,DEPOSIT,CZK,-0.50,1",
        "7,1993-12-30,DEPOSIT,CZK,0.00,2",
        "7,1993-12-31,DEPOSIT,CZK,0.00,2",
    ] == (tmp_path / "assets").read_text().split()[1:]


@real
def test_the_last_row_of_a_day_is_not_its_end() -> None:
    """Whoever takes it is wrong on about one account-day in ten."""
    wrong = days = 0
    for account in berka.read(Path(os.environ[NAME])):
        for day, end in berka.day_ends(account):
            if day in account.days:
                days += 1
                wrong += account.days[day][-1].balance != end
    assert (2172, 23_440) == (wrong, days)


@real
async def test_month_sums_agree_with_the_transactions(year: Year) -> None:
    """Every member's sum of every month since the opening is to the haléř what it must be."""
    found = await year.world.rows(
        "SELECT member_id, month, sum_minor, known_days FROM asset_month"
    )
    days_known = {
        (customer, nth): min((month.end - opened_on).days, month.days)
        for customer, opened_on in year.expected.opened.items()
        for nth, month in enumerate(MONTHS)
        if opened_on < month.end
    }
    expected = {
        (id_of(customer), MONTHS[nth].start): (year.expected.sums[customer][nth], days)
        for (customer, nth), days in days_known.items()
    }
    assert expected == {
        (row.member_id, row.month): (row.sum_minor, row.known_days.bit_count()) for row in found
    }


@real
async def test_every_standing_of_every_month_agrees_with_the_fold_done_anew(year: Year) -> None:
    """Tier and misses, of every member after every month, and what the command counted."""
    for nth, standings in enumerate(year.expected.standings):
        expected = {id_of(customer): standing for customer, standing in standings.items()}
        decided = {
            row.member_id: (row.rank, row.misses)
            for row in await year.world.rows(STANDINGS, decided_at(nth))
        }
        assert expected == {id_: decided.get(id_, (0, 0)) for id_ in expected}
        assert set() == decided.keys() - expected.keys()
        assert year.expected.told(nth) == year.said[nth]


@real
async def test_the_standing_that_is_shown_agrees(year: Year) -> None:
    """What the service tells of a member at the end is the last of the standings."""
    ids = {customer: id_of(customer) for customer in year.expected.opened}
    async with year.world.database.transaction() as conn:
        catalogue = await year.world.parts.catalogue.current(conn)
        programmes = [catalogue.rules["konto"]]
        found = await overviews(conn, ids.values(), programmes, decided_at(11), claims=0)
    shown = dict[str, Standing]()
    for customer, id_ in ids.items():
        (standing,) = found[id_].standings
        after = standing.decided.after if standing.decided else None
        shown[customer] = (after.rank, after.misses) if after else (0, 0)
    assert year.expected.standings[11] == shown


@real
async def test_all_that_can_happen_to_a_tier_happened(year: Year) -> None:
    """From February on every tier has members; they rise, stay, are watched and fall."""
    for standings in year.expected.standings[1:]:
        assert set(range(len(TIERS))) == {rank for rank, _ in standings.values()}
    causes = sum(year.expected.causes, Counter[str]())
    assert {"upgraded", "retained", "watched", "downgraded"} == causes.keys()


@real
async def test_grants_agree_with_the_quotas(year: Year) -> None:
    """Each month tops every member up to the quota of the tier, and a second run to nothing."""
    found = await year.world.rows(
        "SELECT member_id, line, period, quota, quantity FROM entitlement_grant"
        " WHERE cause = 'TIER' ORDER BY granted_at"
    )
    expected = sorted(
        (id_of(customer), line, period, *granted)
        for grants in year.expected.grants
        for (customer, line, period), granted in grants.items()
    )
    assert expected == sorted(map(tuple, found))
    assert ": 0 decisions, 0 grants; " in await evaluate_by_command(year.environ, 11)


async def claim_all(world: World, customers: Sequence[str]) -> Counter[str]:
    """Claim a unit of each benefit for each customer, one of them twice; count the outcomes."""
    wishes = [
        ClaimUnits(
            caller="mobile",
            key=f"{benefit}-{nth}",
            member_id=id_of(customer),
            benefit=benefit,
            recipient={"phone": f"6{nth:04d}{0 if nth % 10 == 0 else nth:04d}"},
        )
        for nth, customer in enumerate(customers)
        for benefit in COST
    ]
    wishes.append(msgspec.structs.replace(wishes[0], key="one more than the cap"))
    group = Group[ClaimUnits, Any](world.database, grouped(claim, world.parts), "claim")
    group.start()
    outcomes = await asyncio.gather(*map(group.submit, wishes))
    await group.close()
    return Counter(
        f"{wish.benefit} {said(outcome)}" for wish, outcome in zip(wishes, outcomes, strict=True)
    )


UNSETTLED = """
SELECT count(*) FROM claim WHERE state NOT IN ('ISSUED', 'REDEEMED', 'COMPENSATED')
"""
UNUSED = f"""
SELECT count(*) - {NEVER_USED} FROM claim WHERE benefit = 'LOUNGE' AND state = 'ISSUED'
"""
OUTCOMES = "SELECT operation, outcome, count(*) AS times FROM provider_attempt GROUP BY 1, 2"
ORDERS = """
SELECT r.request_id, c.benefit, c.state, c.quantity FROM claim AS c
JOIN provider_request AS r ON r.bucket = c.bucket AND r.claim_id = c.claim_id
"""
REDEEMED = """
SELECT unit, sum(CASE WHEN credit = 'redeemed' THEN amount ELSE -amount END)::int AS units
FROM posting WHERE 'redeemed' IN (debit, credit) GROUP BY 1
"""
STATES = {"issued": "ISSUED", "redeemed": "REDEEMED", "rejected": "COMPENSATED"}
SKUS = {"phone-credit-200": "CREDIT", "lounge-visit": "LOUNGE"}


@real
async def test_a_hundred_members_claim_and_ledger_and_provider_say_the_same(year: Year) -> None:
    """However the provider behaves: every claim comes to its end, and no unit is lost or twice."""
    world = year.world
    world.clock.now = decided_at(11) + timedelta(hours=5)
    entitled = [c for c, (rank, _) in year.expected.standings[11].items() if rank >= 2]
    outcomes = await claim_all(world, entitled[:100])
    assert {
        "CREDIT ok": CREDITS,
        "CREDIT cap_reached": 1,
        "CREDIT stock_exhausted": 100 - CREDITS,
        "LOUNGE ok": LOUNGES,
        "LOUNGE budget_exhausted": 100 - LOUNGES,
    } == outcomes
    (config,) = read(PROGRAMME.read_text()).provider
    async with provider(world, config) as (worker, inbox, desk):
        await work_until(world, worker, UNSETTLED)
        lounges = [o for o in (await desk.orders()).values() if SKUS[o["sku"]] == "LOUNGE"]
        booked = sorted(o["number"] for o in lounges if o["status"] == "issued")
        for number in booked[NEVER_USED:]:
            await desk.use(number)
        await work_until(world, worker, UNUSED)
        book = await desk.orders()
    assert {*MIXTURES[Behaviour.MIXED]} == {
        Behaviour(order["behaviour"]) for order in book.values()
    }
    attempts = {(row.operation, row.outcome): row.times for row in await world.rows(OUTCOMES)}
    expected = {("ISSUE", "done"), ("ISSUE", "pending"), ("ISSUE", "unknown"), ("QUERY", "done")}
    assert set() == expected - attempts.keys()
    assert inbox.new < inbox.arrived  # some came twice
    tell(f"{outcomes}; {attempts}; {inbox.new} callbacks of {inbox.arrived} were new")

    orders = await world.rows(ORDERS)
    assert {
        number: (SKUS[order["sku"]], STATES[order["status"]], order["quantity"])
        for number, order in book.items()
    } == {row.request_id.hex: (row.benefit, row.state, row.quantity) for row in orders}
    states = Counter((row.benefit, row.state) for row in orders)
    assert {
        ("CREDIT", "ISSUED"): CREDITS - 9,
        ("CREDIT", "COMPENSATED"): 9,
        ("LOUNGE", "REDEEMED"): LOUNGES - 8 - NEVER_USED,
        ("LOUNGE", "ISSUED"): NEVER_USED,
        ("LOUNGE", "COMPENSATED"): 8,
    } == states
    await check_books(year, states)


async def check_books(year: Year, states: Counter[tuple[str, str]]) -> None:
    """Compare units, stock and budgets with the orders; nothing may be wrong anywhere."""
    world = year.world
    spent = {"CREDIT": states["CREDIT", "ISSUED"], "LOUNGE": states["LOUNGE", "REDEEMED"]}
    booked = states["LOUNGE", "ISSUED"]
    assert {f"BENEFIT:{benefit}": units for benefit, units in spent.items()} == {
        row.unit: row.units for row in await world.rows(REDEEMED)
    }
    counters = await world.rows("SELECT counter, reserved, spent FROM counter")
    assert {
        "stock:CREDIT": (0, spent["CREDIT"]),
        "budget:credit": (0, spent["CREDIT"] * COST["CREDIT"]),
        "budget:lounge": (booked * COST["LOUNGE"], spent["LOUNGE"] * COST["LOUNGE"]),
    } == {row.counter: (row.reserved, row.spent) for row in counters}
    assert [] == await world.findings()
    told, _ = await benefits(year.environ, "verify")
    assert "0 findings." in told
