"""The example programmes at work: members with all that rules ask, from balances to claims."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits import demo
from benefits.actions.evaluate import evaluate
from benefits.actions.import_codes import import_codes
from benefits.actions.keyed import Refused
from benefits.domain.labels import Label, Layer
from benefits.domain.members import PERSON, Person
from benefits.domain.programme import Programme
from benefits.domain.values import Month
from benefits.store.db import connect
from benefits.worker import Worker
from tests.actions.choosing import chose, pick
from tests.actions.life import PHONE, counter, decide, expire_lots, give, said, wallet, wish
from tests.actions.life import gift as reward
from tests.actions.listing import send
from tests.actions.test_claim_granted import claimed
from tests.actions.test_eligibility import say
from tests.actions.waiting import await_room, ends, serve
from tests.builders import World
from tests.conftest import database
from tests.domain.test_examples import example

PAYROLL = Label("payroll", Layer.FACT, date(2024, 1, 1), None)
CARS = Label("car_owner", Layer.RULE, date(2024, 1, 1), None)
PLATE = {"plate": "浙A12345"}


@pytest.fixture
async def bank(migrated: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give an installation without any programme."""
    async with database(cluster_dsn, migrated) as dsn:
        pool = connect(dsn, pool_size=8)
        try:
            yield World(pool)
        finally:
            await pool.close()


def person(born_on: date, city: str = "杭州", *, is_staff: bool = False) -> Person:
    """Return what the customer file tells of somebody."""
    return Person(PERSON, born_on, city, is_staff=is_staff, document="")


async def decided(world: World, code: str, month: str, *daily: int) -> None:
    """Let members have balances in a month, by their number and in yuan, and decide it."""
    for nth, amount in enumerate(daily, 1):
        await world.month(world.name(nth), month, amount * 100)
    parts = world.parts
    await evaluate(world.database, parts, code, Month.parse(month), buckets=(0, 1023))
    await begun(world)


async def begun(world: World) -> None:
    """Let a worker start what is due."""
    while await Worker(world.database, world.parts, {}).start_periods():
        pass
    world.clock.forward(seconds=1)


async def brought(world: World, member: UUID, since: str = "2000-01-01") -> dict[str, int]:
    """Return what lines brought a member, by line."""
    found = await world.rows(
        "SELECT line, quantity FROM entitlement_grant "
        "WHERE member_id = $1 AND granted_at >= $2::text::timestamptz ORDER BY line",
        member,
        since,
    )
    return {row.line: row.quantity for row in found}


async def ask(world: World, member: UUID, benefit: str, **more: Any) -> str:
    """Claim one piece; return `ok` or the code of the refusal."""
    (outcome,) = await decide(world, wish(member, benefit, **more))
    return said(outcome)


async def village(world: World, programme: Programme) -> list[UUID]:
    """Enrol a payroll customer with a car, a silver one, and staff; decide their June."""
    await world.apply(programme)
    people = [
        ((PAYROLL, CARS), person(date(1988, 5, 20))),
        ((PAYROLL,), person(date(1960, 1, 1), "绍兴")),
        ((PAYROLL, CARS), person(date(1990, 1, 1), "嘉兴", is_staff=True)),
    ]
    found = [await world.member(labels=labels, person=who) for labels, who in people]
    await decided(world, "wealth", "2025-06", 600_000, 80_000, 6_000_000)
    return found


async def car_owners_day(world: World) -> None:
    """Let the 18th of July come."""
    world.clock.now = datetime(2025, 7, 18, 2, tzinfo=UTC)
    await begun(world)


async def test_a_rural_bank_brings_by_tier_and_segment(bank: World) -> None:
    """What tiers bring, and what labels and rules add: nothing twice, nothing to others."""
    young, silver, staff = await village(bank, example("rural_wealth"))
    assert {
        "lounge": 4,
        "video": 1,
        "coffee": 2,
        "season": 2,
        "breakfast": 2,
        "payroll-coffee": 1,
        "payroll-breakfast": 1,
    } == await brought(bank, young)
    assert {
        "coffee": 1,
        "season": 1,
        "breakfast": 1,
        "payroll-coffee": 1,
        "payroll-breakfast": 1,
        "payroll-silver": 1,
    } == await brought(bank, silver)
    assert {
        "lounge": 8,
        "health": 1,
        "video": 2,
        "coffee": 4,
        "season": 3,
        "breakfast": 3,
        "payroll-breakfast": 1,
    } == await brought(bank, staff)
    await car_owners_day(bank)
    assert {"car-owners": 1} == await brought(bank, young, "2025-07-18T00:00+08")
    assert {} == await brought(bank, silver, "2025-07-18T00:00+08")
    bank.clock.now = datetime(2025, 8, 1, 2, tzinfo=UTC)
    await begun(bank)
    august = await brought(bank, young, "2025-08-01T00:00+08")
    assert {"payroll-coffee": 1, "payroll-breakfast": 1} == august
    await decided(bank, "wealth", "2025-07", 7_000_000)  # more breakfasts from October on
    assert {"lounge": 4, "health": 1, "season": 1} == {
        line: count
        for line, count in (await brought(bank, young, "2025-08-01T01:00+08")).items()
        if line in {"lounge", "health", "season", "breakfast"}
    }
    assert [] == await bank.findings()


async def test_a_rural_banks_breakfasts_are_codes_in_stock(bank: World) -> None:
    """What payroll brings is claimed as it comes; what the tier brings when a member asks."""
    young, _, _ = await village(bank, example("rural_wealth"))
    codes = "code\nBF1\nBF2\nBF3\nBF4\n".splitlines(keepends=True)
    await import_codes(bank.database, bank.parts, demo.BOUGHT, codes, progress=lambda _: None)
    assert 3 == await claimed(bank)
    assert "ok" == await ask(bank, young, "BREAKFAST", recipient={})
    assert "stock_exhausted" == await ask(bank, young, "BREAKFAST", recipient={})
    states = await bank.rows("SELECT state, member_id FROM claim WHERE benefit = 'BREAKFAST'")
    assert ["ISSUED"] * 4 == [row.state for row in states]
    assert 2 == [row.member_id for row in states].count(young)
    assert [] == await bank.findings()


async def test_a_rural_bank_refuses_in_the_callers_terms(bank: World) -> None:
    """Age, city, consent, companions, the season's cap and its limit for all; then it claims."""
    programme = example("rural_wealth")
    fewer = tuple(
        msgspec.structs.replace(limit, limit=Decimal(2)) if limit.code == "season-month" else limit
        for limit in programme.limit
    )
    young, silver, staff = await village(bank, msgspec.structs.replace(programme, limit=fewer))
    assert "not_eligible" == await ask(bank, young, "SILVER_CHECK")
    assert "ok" == await ask(bank, silver, "SILVER_CHECK")
    assert "insufficient_units" == await ask(bank, young, "CAR_WASH", recipient=PLATE)
    await car_owners_day(bank)
    assert "not_eligible" == await ask(bank, staff, "CAR_WASH", recipient=PLATE)
    assert "ok" == await ask(bank, young, "CAR_WASH", recipient=PLATE)
    assert "consent_required" == await ask(bank, young, "VIDEO")
    assert "ok" == await say(bank, young)
    assert "ok" == await ask(bank, young, "VIDEO")
    assert "guest_limit" == await ask(bank, young, "LOUNGE", companions=2)
    assert "ok" == await ask(bank, young, "LOUNGE", companions=1)
    assert (2, 2) == await wallet(bank, young, "LOUNGE")
    assert "ok" == await ask(bank, young, "SEASON", recipient={})
    assert "cap_reached" == await ask(bank, young, "SEASON", recipient={})
    assert "ok" == await ask(bank, silver, "SEASON", recipient={})
    (full,) = await decide(bank, wish(staff, "SEASON", recipient={}))
    assert isinstance(full, Refused)
    assert "There is room again from 2025-07-31T16:00:00+00:00 on." in full.detail
    branch = 180_00 + 30_00 + 2 * 20_00
    assert (branch, 0) == await counter(bank, "budget:county-branch")
    assert (branch + 2 * 120_00 + 15_00, 0) == await counter(bank, "budget:head-office")
    assert "waits" == await await_room(bank, staff, "SEASON", recipient={})
    bank.clock.now = datetime(2025, 7, 31, 16, tzinfo=UTC)
    assert 1 == await serve(bank)
    assert [(staff, "SERVED")] == await ends(bank)
    assert [] == await bank.findings()


async def test_a_private_banks_year_is_the_clients_own(bank: World) -> None:
    """A package from the opening's day on, companions, a fall that takes only the excess."""
    await bank.apply(example("rural_wealth"))
    await bank.apply(example("private_bank"))
    client = await bank.member(date(2020, 8, 15))
    await send(bank, bank.name(1))
    await decided(bank, "private_bank", "2025-06", 35_000_000)
    first = {"vip-hall": 24, "transfer": 10, "clinic": 2, "welcome-dental": 1, "dental": 1}
    first |= {"leisure": 3, "founders-salon": 2, "remittance": 12}
    assert dict(sorted(first.items())) == await brought(bank, client)
    assert "guest_limit" == await ask(bank, client, "VIP_HALL", companions=4)
    assert "ok" == await ask(bank, client, "VIP_HALL", companions=3)
    assert (20, 4) == await wallet(bank, client, "VIP_HALL")
    assert "ok" == await ask(bank, client, "REMITTANCE", recipient={})
    assert (11, 0) == await wallet(bank, client, "REMITTANCE")
    gift = reward(client, "BIRTHDAY_GIFT")
    assert ["ok"] == [said(outcome) for outcome in await give(bank, gift)]
    chosen = [pick(client, code, choice="LEISURE") for code in ("SPA", "SPA", "GOLF")]
    assert ["ok", "choice_repeated", "ok"] == await chose(bank, *chosen)
    assert "ok" == await ask(bank, client, "SPA")
    assert "ok" == await ask(bank, client, "GOLF")
    visit = {**PHONE, "name": "王小明"}
    assert "ok" == await ask(bank, client, "SALON", recipient=visit, quantity=2)
    assert "consent_required" == await ask(bank, client, "CLINIC", recipient=visit)
    assert "ok" == await say(bank, client, purpose="health")
    assert "recipient_incomplete" == await ask(bank, client, "CLINIC")
    assert "ok" == await ask(bank, client, "CLINIC", recipient=visit)
    for _ in range(3):
        assert "ok" == await ask(bank, client, "TRANSFER")
    assert "cap_reached" == await ask(bank, client, "TRANSFER")
    bank.clock.now = datetime(2025, 8, 15, 2, tzinfo=UTC)
    await begun(bank)
    year = {"clinic": 2, "leisure": 3, "remittance": 12, "transfer": 10, "vip-hall": 24}
    assert year == await brought(bank, client, "2025-08-15")
    assert "ok" == await ask(bank, client, "VIP_HALL", companions=1)
    for nth in range(7, 13):
        bank.clock.now = datetime(2025 + nth // 12, nth % 12 + 1, 3, 2, tzinfo=UTC)
        await decided(bank, "private_bank", f"2025-{nth:02d}", 10_000_000)
    fallen = await bank.rows(
        "SELECT rank FROM tier_decision WHERE programme = 'private_bank' ORDER BY month DESC"
    )
    assert 1 == fallen[0].rank
    assert "guest_limit" == await ask(bank, client, "VIP_HALL", companions=2)
    taken = await bank.rows("SELECT line, taken FROM entitlement_change ORDER BY line")
    less = [("leisure", 1), ("remittance", 6), ("transfer", 6), ("vip-hall", 12)]
    assert less == [tuple(row) for row in taken]
    await expire_lots(bank)
    assert (10, 6) == await wallet(bank, client, "VIP_HALL")
    assert [] == await bank.findings()
