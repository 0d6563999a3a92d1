"""Units with decimals, from the first grant to the last correction: half is a half."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from benefits.actions.keyed import Accepted
from benefits.actions.report import bounds_of, liability, vintages
from benefits.domain.corrections import Fault, Kind, Why
from benefits.domain.orders import Done, Reason, Rejected
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.reports import By
from benefits.domain.units import plain
from tests.actions.desk import ask, correct, figures, lot_of, money, used
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    decide,
    expire_lots,
    gift,
    give,
    holder,
    number_of,
    said,
    wallet,
    wish,
)
from tests.builders import NOON, World
from tests.halves import halved

RAIL: dict[str, Any] = {"benefit": "RAIL", "recipient": {}}
HALL: dict[str, Any] = {"benefit": "HALL", "recipient": {}}


@pytest.fixture
async def world(world: World) -> World:
    """Return the world with the programme that knows halves."""
    await world.apply(halved())
    return world


async def halls(world: World, quantity: int = 2) -> UUID:
    """Enrol a member who has units of HALL."""
    return await holder(world, "HALL", quantity=quantity)


async def delivered(world: World, member: UUID, quantity: int = 1) -> UUID:
    """Claim rail visits and let the provider deliver them."""
    (claim,) = await claimed(world, wish(member, quantity=quantity, **RAIL))
    await call_back(world, await number_of(world, claim), Done(at=NOON))
    return claim


async def last_event(world: World, type_: str) -> Any:
    """Return what the last event of a type tells."""
    found = await world.rows(
        "SELECT data FROM outbox WHERE type = $1 ORDER BY recorded_at DESC, seq DESC LIMIT 1",
        type_,
    )
    return found[0].data


async def test_a_rail_lounge_takes_half_a_visit(world: World) -> None:
    """Of two visits, one in a lounge leaves two by rail; the provider is asked for whole ones."""
    member = await halls(world)
    assert "2.0" == (await last_event(world, "entitlement.granted"))["quantity"]
    await claimed(world, wish(member, **HALL))
    (rail,) = await claimed(world, wish(member, **RAIL))
    assert (5, 15) == await wallet(world, member, "HALL")
    ((quantity, cost),) = await world.rows(
        "SELECT quantity, cost_minor FROM hold WHERE claim_id = $1", rail
    )
    assert (5, 20_01) == (quantity, cost)
    assert 1 == (await last_event(world, "claim.placed"))["quantity"]
    await call_back(world, await number_of(world, rail), Done(at=NOON))
    assert (5, 10) == await wallet(world, member, "HALL")
    await claimed(world, wish(member, **RAIL))
    (none,) = await decide(world, wish(member, **RAIL))
    assert "insufficient_units" == said(none)
    assert [] == await world.findings()


async def test_a_cap_counts_units_and_a_stock_pieces(world: World) -> None:
    """One and a half units a month are three rail visits; the provider has nine (K-1, V-9)."""
    member = await halls(world, 6)
    await claimed(world, wish(member, quantity=3, **RAIL))
    assert [("2025-07", 15)] == await used(world, member)
    assert (3, 0) == await counter(world, "stock:RAIL")
    assert "cap_reached" == said((await decide(world, wish(member, **RAIL)))[0])
    others = [await halls(world) for _ in range(3)]
    outcomes = [(await decide(world, wish(o, quantity=2, **RAIL)))[0] for o in others]
    assert ["ok", "ok", "ok"] == [said(outcome) for outcome in outcomes]
    assert "stock_exhausted" == said((await decide(world, wish(await halls(world), **RAIL)))[0])
    assert [] == await world.findings()


async def test_a_tier_brings_parts_of_units(world: World) -> None:
    """A quota of 2.5 is granted as such, once; a rise tops it up to 6 (P-3, P-4)."""
    member = await world.member()
    await world.month(world.name(1), "2025-06", 60_000_00)
    await world.evaluate("2025-06", member)
    await world.evaluate("2025-06", member)
    assert (25, 0) == await wallet(world, member, "HALL")
    world.clock.forward(days=31)
    await world.month(world.name(1), "2025-07", 600_000_00)
    await world.evaluate("2025-07", member)
    assert (60, 0) == await wallet(world, member, "HALL")
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("benefit", "quantity", "code"),
    [
        ("HALL", "0.5", "ok"),
        ("HALL", "100.0", "ok"),
        ("HALL", "0.05", "quantity_too_fine"),
        ("HALL", "0", "quantity_invalid"),
        ("HALL", "100.1", "quantity_invalid"),
        ("VIDEO", "0.5", "quantity_too_fine"),
        ("RAIL", "1", "units_drawn"),
    ],
)
async def test_a_reward_is_exact_or_refused(
    world: World, benefit: str, quantity: str, code: str
) -> None:
    """More decimals than the units have are refused by name, and nothing is granted."""
    member = await world.member()
    wanted = gift(member, benefit, quantity=plain(quantity), business_key="b")
    (outcome,) = await give(world, wanted)
    assert code == said(outcome)
    if isinstance(outcome, Accepted):
        assert f"{float(quantity):.1f}" == outcome.ids["granted"]
        (again,) = await give(world, gift(member, benefit, business_key="b"))
        assert isinstance(again, Accepted)
        assert "0.0" == again.ids["granted"]
    else:
        assert (0, 0) == await wallet(world, member, benefit)


async def test_what_is_left_of_a_unit_expires_as_such(world: World) -> None:
    """Half a unit ends like a whole one, and is told in whole-unit terms (L-5)."""
    member = await halls(world, 1)
    await delivered(world, member)
    world.clock.forward(days=40)
    assert 1 == await expire_lots(world)
    assert [(10, 0, 0, 5, 5)] == await figures(world, member)
    assert {"unit": "BENEFIT:HALL", "quantity": "0.5"} == await last_event(
        world, "entitlement.expired"
    )


async def test_pieces_are_reversed_settled_and_made_good(world: World) -> None:
    """Where the matter is a claim a correction counts its pieces, money and stock with them."""
    member = await halls(world, 6)
    claim = await delivered(world, member, 3)
    undelivered: dict[str, Any] = {"claim_id": claim, "why": Why.NOT_DELIVERED}
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 4, claim_id=claim)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, **undelivered)
    assert [("2025-07", 10)] == await used(world, member)
    assert (0, 2) == await counter(world, "stock:RAIL")
    assert 2 * 20_01 == await money(world, "budget.spent")
    told = await last_event(world, "entitlement.returned")
    assert ("RAIL", "0.5", "0.0") == (told["benefit"], told["quantity"], told["made_good"])
    assert "ok" == await correct(world, Kind.REVERSE, member, 2, **undelivered)
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 1, claim_id=claim)

    (manual,) = await claimed(world, wish(member, quantity=3, **RAIL))
    await world.rows(
        "UPDATE claim SET state = 'MANUAL', deadline = NULL WHERE claim_id = $1 RETURNING 1",
        manual,
    )
    assert "ok" == await correct(world, Kind.SETTLE, member, 1, claim_id=manual)
    settled = await last_event(world, "order.settled")
    assert (3, 1) == (settled["quantity"], settled["delivered"])
    assert (0, 1) == await counter(world, "stock:RAIL")

    (failed,) = await claimed(world, wish(member, quantity=2, **RAIL))
    world.clock.forward(days=40)  # past the lot's end: what comes back is lost
    await call_back(world, await number_of(world, failed), Rejected(Reason.LIMIT, code="limit"))
    more: dict[str, Any] = {"claim_id": failed, "fault": Fault.PROVIDER, "valid_days": 30}
    assert "correction_exceeds" == await ask(world, Kind.MAKE_GOOD, member, 3, **more)
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 2, **more)
    assert "1.0" == (await last_event(world, "entitlement.made_good"))["quantity"]
    assert -2 * 20_01 == await money(world, "suspense")
    assert "correction_exceeds" == await ask(world, Kind.MAKE_GOOD, member, 1, **more)
    assert (45 + 10, 0) == await wallet(world, member, "HALL")
    assert [] == await world.findings()


async def test_units_are_taken_back_in_parts(world: World) -> None:
    """Where it is units a correction counts units, exactly; pieces have none of their own."""
    half, fine = Decimal("0.5"), Decimal("0.05")
    member = await halls(world, 2)
    lot = await lot_of(world, member)
    assert "quantity_too_fine" == await ask(world, Kind.REVOKE, member, fine, lot_id=lot)
    assert "ok" == await correct(world, Kind.REVOKE, member, half, lot_id=lot)
    assert "0.5" == (await last_event(world, "entitlement.revoked"))["quantity"]
    assert "units_drawn" == await ask(world, Kind.CLAW_BACK, member, 1, benefit="RAIL")
    claim = await delivered(world, member)
    assert "correction_invalid" == await ask(world, Kind.REVERSE, member, half, claim_id=claim)
    wanted = Decimal("1.5")
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, wanted, benefit="HALL")
    told = await last_event(world, "entitlement.clawed_back")
    assert ("1.0", "0.0", "0.5") == (told["taken"], told["owed"], told["borne"])
    assert (0, 0) == await wallet(world, member, "HALL")
    assert [] == await world.findings()


async def test_a_claim_keeps_what_it_took_when_the_programme_asks_more(world: World) -> None:
    """What was delivered late is taken again as it was asked for, not as it would be today."""
    member = await halls(world, 2)
    (claim,) = await claimed(world, wish(member, **RAIL))
    number = await number_of(world, claim)
    await call_back(world, number, Rejected(Reason.LIMIT, code="limit"))
    await world.apply(halved(('takes = "0.5"', 'takes = "1"')))
    await call_back(world, number, Done(at=NOON + timedelta(seconds=9)))
    assert [(20, 15, 0, 5, 0)] == await figures(world, member)
    await claimed(world, wish(member, **RAIL))
    assert (5, 10) == await wallet(world, member, "HALL")
    assert [] == await world.findings()
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert (10, 10) == await wallet(world, member, "HALL")
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("scale = 1", "scale = 2"), "benefit 'HALL': its scale must stay 1"),
        (('draws = "HALL"\ntakes = "0.5"', ""), "benefit 'RAIL': its draws must stay 'HALL'"),
    ],
)
async def test_what_the_books_count_in_must_stay(
    world: World, change: tuple[str, str], words: str
) -> None:
    """Another scale would make other quantities of what is in the books: refused by name."""
    changes = [change]
    if "draws" in change[0]:
        changes.append(('limit = "1.5"', "limit = 1"))
    with pytest.raises(ProgrammeInvalid, match=words):
        await world.apply(halved(*changes))


async def test_reports_value_units_at_their_dearest_use(world: World) -> None:
    """Two halves by rail cost 40.02, one visit 38.00: a unit may cost 40.02 (K-4, C-3)."""
    member = await halls(world, 2)
    await delivered(world, member)
    async with world.database.transaction() as conn:
        bounds = await bounds_of(conn, world.parts, None, None)
        owing = await liability(conn, world.parts, bounds, By.BENEFIT)
        (vintage,) = (await vintages(conn, world.parts, bounds, None)).lines
    (line,) = owing.lines
    assert ("1.5", "0.0", "40.02", "60.03") == (
        str(line.available),
        str(line.held),
        line.unit_cost,
        line.liability,
    )
    assert ("2.0", "0.5", "1.5", "40.02", "2.000000") == (
        str(vintage.issued),
        str(vintage.redeemed),
        str(vintage.outstanding),
        vintage.unit_value,
        vintage.expected_redeemed,
    )
