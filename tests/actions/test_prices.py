"""What is captured costs its price: the rest of the reserve is free again (K-4, V-7)."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from benefits.domain.corrections import Fault, Kind
from benefits.domain.orders import Done, Expired, PartlyUsed, Reason, Rejected, Reversed, Used
from benefits.domain.prices import Price, PricedAt
from benefits.domain.programme import Programme
from tests.actions.desk import correct, lost, money
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    decide,
    gift,
    give,
    holder,
    number_of,
    said,
    wish,
)
from tests.actions.limiting import programme_of
from tests.actions.test_budgets import tree
from tests.builders import World, reference_programme

LOUNGE = ("lounge", "branch", "head")


def priced(
    programme: Programme, *prices: tuple[date, str], at: PricedAt = PricedAt.CLAIM
) -> Programme:
    """Return a programme with prices of its lounge."""
    listed = tuple(Price(from_=day, cost=Decimal(cost)) for day, cost in prices)
    lounge = msgspec.structs.replace(programme.benefits["LOUNGE"], prices=listed, priced_at=at)
    others = tuple(one for one in programme.benefit if one.code != "LOUNGE")
    return msgspec.structs.replace(programme, benefit=(lounge, *others))


async def use(world: World, *claims: UUID) -> None:
    """Let the provider deliver claims, and say that they were used."""
    now = world.clock.now
    for claim in claims:
        await call_back(world, await number_of(world, claim), Done(at=now), Used(at=now))


async def budgets(world: World, codes: Iterable[str] = LOUNGE) -> list[tuple[int, int]]:
    """Return what of budgets is reserved and spent."""
    return [await counter(world, f"budget:{code}") for code in codes]


async def test_g_bud_1_a_capture_frees_what_its_price_is_below_the_worst_cost(
    world: World,
) -> None:
    """G-BUD-1: 263 holds of 38.00 leave 6.00; captured at 35.00 frees 3.00, for another each."""
    await world.apply(priced(reference_programme(), (date(2025, 1, 1), "35.00")))
    members = await world.members(3)
    await give(world, *(gift(member, "LOUNGE", quantity=89) for member in members))
    commands = [wish(members[n % 3], "LOUNGE") for n in range(264)]
    outcomes = await decide(world, *commands)
    assert ["ok"] * 263 + ["budget_exhausted"] == [said(one) for one in outcomes]
    assert [(999_400, 0)] == await budgets(world, ["lounge"])
    ids = [row.claim_id for row in await world.rows("SELECT claim_id FROM claim LIMIT 11")]
    await use(world, ids[0])
    assert [(995_600, 3_500)] == await budgets(world, ["lounge"])
    assert "budget_exhausted" == said((await decide(world, wish(members[0], "LOUNGE")))[0])
    await use(world, *ids[1:])
    assert [(957_600, 38_500)] == await budgets(world, ["lounge"])
    assert "ok" == said((await decide(world, wish(members[0], "LOUNGE")))[0])
    assert (38_500, 38_500) == (await money(world, "budget.spent"), await money(world, "expense"))
    assert [] == await world.findings()


async def test_what_was_spent_is_what_comes_back(world: World) -> None:
    """In the budget and all above it; a make-good is charged with it, and the part of an order."""
    await world.apply(
        priced(
            programme_of(budgets=tree("300.00", "300.00", "300.00")), (date(2025, 7, 1), "35.00")
        )
    )
    member = await holder(world, "LOUNGE", quantity=5)
    (claim,) = await claimed(world, wish(member, "LOUNGE", quantity=2))
    await use(world, claim)
    assert [(0, 7_000)] * 3 == await budgets(world)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert [(0, 3_500)] * 3 == await budgets(world)
    more = {"claim_id": claim, "fault": Fault.PROVIDER, "valid_days": 7}
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    assert -3_500 == await money(world, "suspense")
    part = await lost(world, member, "LOUNGE", 3)
    assert "ok" == await correct(world, Kind.SETTLE, member, 2, claim_id=part)
    assert [(0, 10_500)] * 3 == await budgets(world)
    assert "ok" == await correct(world, Kind.REVERSE, member, 2, claim_id=part)
    assert [(0, 3_500)] * 3 == await budgets(world)
    assert [] == await world.findings()


async def test_a_late_delivery_is_paid_at_its_price(world: World) -> None:
    """Reserved at worst, spent at the price; what the bank bears is no dearer (G-CB-4)."""
    await world.apply(priced(reference_programme(), (date(2025, 7, 1), "35.00")))
    member = await holder(world, "LOUNGE")
    claims = []
    for _ in range(2):
        (claim,) = await claimed(world, wish(member, "LOUNGE"))
        await call_back(world, await number_of(world, claim), Rejected(Reason.LIMIT, "no"))
        claims.append(claim)
    await use(world, *claims)
    assert [(0, 3_500)] == await budgets(world, ["lounge"])
    assert (3_500, -7_000) == (
        await money(world, "budget.spent"),
        await money(world, "provider.payable"),
    )
    assert [] == await world.findings()


@pytest.mark.parametrize(("at", "spent"), [(PricedAt.CLAIM, 3_500), (PricedAt.USE, 3_300)])
async def test_the_price_is_that_of_the_claim_or_of_the_use(
    world: World, at: PricedAt, spent: int
) -> None:
    """V-7: by the terms of the claim, or by prices that were agreed on since."""
    july, august = date(2025, 7, 1), date(2025, 8, 1)
    await world.apply(priced(reference_programme(), (july, "35.00"), at=at))
    member = await holder(world, "LOUNGE", valid_days=90)
    (claim,) = await claimed(world, wish(member, "LOUNGE"))
    await world.apply(priced(reference_programme(), (july, "34.00"), (august, "33.00"), at=at))
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    told = world.clock.now - timedelta(days=1)
    await call_back(world, await number_of(world, claim), Done(at=told), Used(at=told))
    assert [(0, spent)] == await budgets(world, ["lounge"])
    assert [] == await world.findings()


async def test_pieces_that_were_used_are_paid_as_of_their_use(world: World) -> None:
    """V-5, V-7: whenever the order's end is told, or that all of it was used."""
    july, august = date(2025, 7, 1), date(2025, 8, 1)
    prices = ((july, "35.00"), (august, "33.00"))
    await world.apply(priced(reference_programme(), *prices, at=PricedAt.USE))
    member = await holder(world, "LOUNGE", quantity=5, valid_days=90)
    some = await claimed(
        world, wish(member, "LOUNGE", quantity=3), wish(member, "LOUNGE", quantity=2)
    )
    first, second = [await number_of(world, claim) for claim in some]
    used = world.clock.now + timedelta(hours=1)
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    ended = world.clock.now
    await call_back(world, first, Done(at=used), PartlyUsed(at=used, used=1), Expired(at=ended))
    await call_back(world, second, Done(at=used), PartlyUsed(at=used, used=2))
    assert [(0, 3 * 3_500)] == await budgets(world, ["lounge"])
    assert [] == await world.findings()


async def test_a_free_use_that_is_undone_is_reserved_again(world: World) -> None:
    """K-4: it had spent nothing; budget and ledger hold the worst cost, and let it go with it."""
    await world.apply(priced(reference_programme(), (date(2025, 7, 1), "0.00")))
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    reserved = await budgets(world, ["lounge"])
    await use(world, claim_id)
    assert [(0, 0)] == await budgets(world, ["lounge"])
    world.clock.forward(minutes=1)
    await call_back(world, await number_of(world, claim_id), Reversed(at=world.clock.now))
    assert reserved == await budgets(world, ["lounge"])
    assert [] == await world.findings()
    ((held,),) = await world.rows(
        "SELECT sum(CASE 'budget.reserved' WHEN credit THEN amount WHEN debit THEN -amount END) "
        "FROM posting"
    )
    assert reserved[0][0] == held
