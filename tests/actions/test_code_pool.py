"""Codes that were bought in advance: in stock once, given to one claim each, shown for ever."""

import asyncio
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.import_codes import Sent, import_codes
from benefits.actions.import_files import Imported
from benefits.actions.read_code import CodeAbsent, SecondLook, read_code
from benefits.actions.see_stock import Low, see_stock, watch_stock
from benefits.domain.assets import FileUnreadable
from benefits.domain.benefit import Consumed
from benefits.domain.benefit import Kind as Benefits
from benefits.domain.code_pool import CodePool
from benefits.domain.corrections import Kind, Why
from benefits.domain.programme import Dialect, Programme, Provider
from benefits.store.schema import metadata
from tests.actions.desk import correct
from tests.actions.life import change, claimed, decide, holder, lease, said, wish
from tests.builders import World, reference_programme

CENTRE = "branch-7"


def with_coffee(**more: Any) -> Programme:
    """Return the reference programme with coffees whose codes lie in stock."""
    programme = reference_programme()
    video = programme.benefits["VIDEO"]
    pool = Provider(
        code="coffee",
        name={"zh": "咖啡", "en": "Coffee"},
        dialect=Dialect.CODE_POOL,
        code_pool=CodePool(low_stock=2),
    )
    coffee = replace(
        video,
        code="COFFEE",
        provider="coffee",
        sku="LATTE",
        recipient=(),
        cap=None,
        stock=None,
        kind=Benefits.CODE_STOCK,
        consumed=Consumed.ISSUE,
    )
    return replace(
        programme,
        provider=(*programme.provider, pool),
        benefit=(*programme.benefit, replace(coffee, **more)),
    )


async def bring(world: World, *lines: str, header: str = "code", **more: Any) -> Imported:
    """Import codes into the batch `B1` unless another is named, each at 12.50."""
    defaults = {"batch": "B1", "cost": Decimal("12.50"), "cost_centre": CENTRE}
    sent = Sent(provider="coffee", sku="LATTE", **{**defaults, **more})
    text = io.StringIO("\n".join([header, *lines]) + "\n")
    return await import_codes(world.database, world.parts, sent, text, progress=lambda _: None)


async def drinker(world: World, quantity: int = 5) -> UUID:
    """Return a member who has coffees."""
    return await holder(world, "COFFEE", quantity=quantity)


def coffee(member: UUID, **more: Any) -> Any:
    """Return a wish for coffee, which needs nobody's phone."""
    return wish(member, "COFFEE", **{"recipient": {}, **more})


async def look(world: World, claim_id: UUID) -> str | None:
    """Look at a claim's codes."""
    async with world.database.transaction() as conn:
        again = SecondLook.NEEDED_AGAIN
        return await read_code(conn, claim_id, world.parts, actor="system:page", again=again)


async def stock(world: World) -> list[tuple[object, ...]]:
    """Return what became of each batch."""
    async with world.database.transaction() as conn:
        found = await see_stock(conn, "coffee", world.parts)
    assert found is not None
    return [
        (
            *(one.batch, one.cost_minor, one.cost_centre, one.codes),
            *(one.free, one.issued, one.shown, one.expired),
        )
        for one in found.batches
    ]


async def test_a_code_is_in_stock_once(world: World) -> None:
    """In a file, in a file again, in another batch, whatever its PIN; bad lines are named."""
    await world.apply(with_coffee())
    lines = ["A1,7,", "A2,,2026-01-31", "A1,8,", ",,", "A3,,2025-07-01", "A4,,PLANTED-1"]
    first = await bring(world, *lines, header="code,pin,expires_on")
    assert (2, 1, 3) == (first.kept, first.unchanged, first.refused)
    assert [
        (5, "code: must have 1 to 256 printable characters"),
        (6, "expires_on: has passed"),
        (7, "expires_on: is not a date such as 2026-06-30"),
    ] == first.shown
    again = await bring(world, "A1", "A2", "A9")
    assert (1, 2, 0) == (again.kept, again.unchanged, again.refused)
    other = await bring(world, "A9", "B1", batch="B2")
    assert (1, 0) == (other.kept, other.unchanged)
    assert [(2, "code: is in stock already, in batch 'B1'")] == other.shown
    with pytest.raises(FileUnreadable):
        await bring(world, "C1", cost=Decimal(9))
    assert [
        ("B1", 1250, CENTRE, 3, 3, 0, 0, 0),
        ("B2", 1250, CENTRE, 1, 1, 0, 0, 0),
    ] == await stock(world)
    assert [] == await world.findings()


async def test_a_claim_is_issued_at_once_with_codes_that_end_first(world: World) -> None:
    """Nobody is asked; the units are spent; those that end before the use can end are kept."""
    await world.apply(with_coffee())
    await bring(
        world, "LATE,,", "SOON,4711,2025-07-31", "MID,,2025-12-31", header="code,pin,expires_on"
    )
    member = await drinker(world)
    (claim_id,) = await claimed(world, coffee(member, quantity=2))
    assert [("ISSUED", 2, None)] == [
        tuple(row) for row in await world.rows("SELECT state, codes, deadline FROM claim")
    ]
    assert [] == await lease(world)
    assert [("claim.placed",), ("order.issued",)] == [
        tuple(row)
        for row in await world.rows(
            "SELECT type FROM outbox WHERE subject_id = $1 ORDER BY seq", claim_id
        )
    ]
    assert "SOON\t4711\nMID" == await look(world, claim_id)
    assert "SOON\t4711\nMID" == await look(world, claim_id)
    assert [("B1", 1250, CENTRE, 3, 1, 2, 2, 0)] == await stock(world)
    assert "stock_exhausted" == said((await decide(world, coffee(member, quantity=2)))[0])
    assert [] == await world.findings()
    world.clock.now = datetime(2026, 8, 1, tzinfo=UTC)
    await bring(world, "OLD,,2026-08-02", header="code,pin,expires_on")
    world.clock.now = datetime(2026, 8, 3, tzinfo=UTC)
    assert [("B1", 1250, CENTRE, 4, 1, 2, 2, 1)] == await stock(world)


async def test_one_of_many_gets_the_last_code(world: World) -> None:
    """One by one in parallel, and together in a group: the others are sold out, and keep all."""
    await world.apply(with_coffee())
    await bring(world, "X1", "X2")
    members = [await drinker(world, 1) for _ in range(24)]
    outcomes = await asyncio.gather(*(decide(world, coffee(one)) for one in members[:12]))
    assert ["ok"] * 2 + ["stock_exhausted"] * 10 == sorted(said(o) for (o,) in outcomes)
    await bring(world, "X3")
    together = await decide(world, *(coffee(one) for one in members[12:]))
    assert ["ok"] + ["stock_exhausted"] * 11 == [said(outcome) for outcome in together]
    assert [(3, 3)] == [
        tuple(r)
        for r in await world.rows("SELECT count(*), count(DISTINCT claim_id) FROM pool_code")
    ]
    assert [(21,)] == [
        tuple(r) for r in await world.rows("SELECT sum(remaining) FROM lot WHERE held = 0")
    ]
    assert [] == await world.findings()


@pytest.mark.parametrize("is_shown", [True, False])
async def test_only_a_code_that_nobody_saw_comes_back(world: World, *, is_shown: bool) -> None:
    """What was not delivered puts it back; shown or given up for another reason it stays."""
    await world.apply(with_coffee())
    await bring(world, "Y1,2026-01-31", "Y2,2026-01-31", "Y3,", header="code,expires_on")
    member = await drinker(world)
    (claim_id,) = await claimed(world, coffee(member, quantity=2))
    (kept,) = await claimed(world, coffee(member))
    seen = await look(world, claim_id) if is_shown else None
    for _ in range(2):
        why = {"why": Why.NOT_DELIVERED, "claim_id": claim_id}
        assert "ok" == await correct(world, Kind.REVERSE, member, 1, **why)
        assert [] == await world.findings()
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, why=Why.GOODWILL, claim_id=kept)
    assert "Y3" == await look(world, kept)
    if is_shown:
        assert seen == await look(world, claim_id)
        assert "stock_exhausted" == said((await decide(world, coffee(member)))[0])
    else:
        with pytest.raises(CodeAbsent):
            await look(world, claim_id)
        (again,) = await claimed(world, coffee(member, quantity=2))
        assert {"Y1", "Y2"} == set((await look(world, again) or "").split("\n"))
    assert [] == await world.findings()


async def test_a_low_stock_is_told_once(world: World) -> None:
    """Each time that it falls below the threshold, until it is filled again."""
    await world.apply(with_coffee())
    await bring(world, "Z1", "Z2")

    async def told() -> list[Low]:
        async with world.database.transaction() as conn:
            return await watch_stock(conn, world.parts)

    low = [Low(provider="coffee", sku="LATTE", free=1, below=2)]
    assert [] == await told()
    member = await drinker(world)
    await claimed(world, coffee(member))
    assert [low, []] == [await told(), await told()]
    await bring(world, "Z3")
    assert [] == await told()
    await claimed(world, coffee(member))
    assert low == await told()
    events = await world.rows("SELECT seq, data FROM outbox WHERE type = 'codes.low' ORDER BY seq")
    expected = {"provider": "coffee", "sku": "LATTE", "free": 1, "below": 2}
    assert [(1, expected), (2, expected)] == [tuple(row) for row in events]


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM pool_code WHERE claim_id IS NOT NULL",
        "UPDATE claim SET codes = 0",
        "UPDATE claim SET codes = 3",
        "UPDATE pool_code SET sku = 'MOCHA'",
        "UPDATE pool_code SET claim_id = gen_random_uuid() WHERE claim_id IS NOT NULL",
        "UPDATE pool_code SET shown_at = NULL",
        "DELETE FROM code_reading",
    ],
)
async def test_verify_finds_codes_that_do_not_fit_their_claims(
    world: World, tampering: str
) -> None:
    """Whichever of the two was changed behind the service's back."""
    await world.apply(with_coffee())
    await bring(world, "V1", "V2")
    (claim_id,) = await claimed(world, coffee(await drinker(world), quantity=2))
    await look(world, claim_id)
    assert [] == await world.findings()
    await change(world, "SET LOCAL session_replication_role = replica", tampering)
    assert {"codes_differ"} == {one.kind for one in await world.findings()}


async def test_a_code_stands_in_the_clear_nowhere(world: World) -> None:
    """Neither in a table nor in what an import says of it."""
    await world.apply(with_coffee())
    planted = "PLANTED-482913557201"
    done = await bring(world, planted, f"{planted},x", planted + "\x01", f'"{planted}')
    assert planted not in str(done)
    (claim_id,) = await claimed(world, coffee(await drinker(world)))
    assert planted == await look(world, claim_id)
    for table in metadata.tables:
        for row in await world.rows(f'SELECT t::text AS text FROM "{table}" AS t'):
            assert planted not in row.text, table
            assert planted.encode().hex() not in row.text, table
