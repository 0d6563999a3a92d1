"""Secret keys are rotated: what an earlier one sealed is sealed anew, and that one is over."""

import asyncio
import os
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.keyed import Decided
from benefits.actions.keys import KeyUnknown, check_key, make_key
from benefits.actions.parts import Parts
from benefits.actions.reseal import reseal, unused_keys
from benefits.domain.limits import OnFull
from benefits.domain.orders import Done
from benefits.domain.refusal import Refusal
from benefits.store import members, sealed_values
from benefits.store.db import Connection
from benefits.store.envelope import Envelope
from benefits.store.schema import metadata
from benefits.store.sealed_values import Place
from tests.actions.labelling import VERSION, carried, chunk, filled
from tests.actions.labelling import said as labels_said
from tests.actions.labelling import sealed as labels_sealed
from tests.actions.life import (
    call_back,
    change,
    claimed,
    decide,
    gift,
    give,
    holder,
    lease,
    number_of,
    said,
    wish,
)
from tests.actions.limiting import limit
from tests.actions.test_code_pool import bring, coffee, with_coffee
from tests.actions.test_races import waiting
from tests.actions.test_read_code import CODE, read
from tests.actions.test_run_jobs import row, rows_of, started
from tests.actions.waiting import await_room
from tests.builders import NOON, World
from tests.rows import everything

LABELS = [chunk("T000001,payroll,FACT,2025-01-01,")]
OLD, NEW = os.urandom(32), os.urandom(32)
SEALED = {
    (table.name, column.name)
    for table in metadata.tables.values()
    for column in table.columns
    if column.name.endswith("_sealed")
}


async def sealed(world: World) -> dict[str, list[bytes]]:
    """Return all sealed values, by their place; those there are none of are not named."""
    found = dict[str, list[bytes]]()
    for table, column in sorted(SEALED):
        name = f"{table}.{column}"
        for one in await world.rows(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"):
            found.setdefault(name, []).append(one[0])
    return found


async def resealed(world: World, parts: Parts) -> dict[str, tuple[int, int]]:
    """Seal anew; return how many were, by their place, and how many nobody can open."""
    return {one.place: (one.done, one.broken) async for one in reseal(world.database, parts)}


async def live(world: World) -> UUID:
    """Keep something in each place where sealed values stand; return a claim with a code."""
    drop = limit("drop", 2, on_full=OnFull.WAITLIST, benefits=("LOUNGE",))
    await world.apply(replace(with_coffee(), limit=(drop,)))
    await bring(world, "A1", "A2")
    member = await holder(world, "LOUNGE", quantity=3)
    await give(world, gift(member, "COFFEE"))
    (done, _, _) = await claimed(
        world, wish(member, "LOUNGE"), wish(member, "LOUNGE"), coffee(member)
    )
    assert "waits" == await await_room(world, member)
    await call_back(world, await number_of(world, done), Done(at=NOON, code=CODE))
    await started(world, rows_of(row(member)))
    await filled(world, VERSION, LABELS)
    return done


async def test_an_earlier_key_is_not_needed_any_more(world: World) -> None:
    """Nothing but what is sealed changes; what waits goes on with the new key alone."""
    world.parts = replace(world.parts, envelope=Envelope([OLD]))
    claim_id = await live(world)
    async with world.database.transaction() as conn:
        used = await make_key(conn, "mobile", ["mobile"], world.parts)
        unused = await make_key(conn, "crm", ["crm"], world.parts)
    before = await sealed(world)
    assert {f"{table}.{column}" for table, column in SEALED} == before.keys()
    both = replace(world.parts, envelope=Envelope([NEW, OLD]))
    async with world.database.transaction() as conn:
        await check_key(conn, used, both)
        assert ["crm"] == [key.name for key in await unused_keys(conn, both)]
    books = (await everything(world.database))[1]
    assert {name: (len(some), 0) for name, some in before.items()} == await resealed(world, both)
    assert {} == await resealed(world, both)
    touched = {one[0] for one in (await everything(world.database))[1] if one not in books}
    assert {table for table, _ in SEALED} == touched
    world.parts = alone = replace(world.parts, envelope=Envelope([NEW]))
    for name, some in (await sealed(world)).items():
        opened = sorted(map(alone.envelope.open, some))
        assert sorted(map(Envelope([OLD]).open, before[name])) == opened
    assert CODE == await read(world, claim_id)
    assert 1 == len(await lease(world))
    await labels_sealed(world, VERSION, labels_said(LABELS))
    assert 1 == len(await carried(world))
    async with world.database.transaction() as conn:
        assert "mobile" == (await check_key(conn, used, alone)).name
        with pytest.raises(KeyUnknown):
            await check_key(conn, unused, alone)
    assert [] == await world.findings()


async def test_no_claim_passes_over_a_code_that_is_sealed_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V-9: the last code of a stock is there for whoever claims it meanwhile; they wait."""
    world.parts = replace(world.parts, envelope=Envelope([OLD]))
    await world.apply(with_coffee())
    await bring(world, "A1")
    world.parts = replace(world.parts, envelope=Envelope([NEW, OLD]))
    member = await holder(world, "COFFEE")
    put, claims = sealed_values.replace, list[asyncio.Task[list[Decided | Refusal]]]()

    async def slowly(conn: Connection, place: Place, values: Any) -> int:
        done = await put(conn, place, values)
        if place.name == "pool_code.code_sealed" and values:
            claims.append(await waiting(decide(world, coffee(member))))
        return done

    monkeypatch.setattr(sealed_values, "replace", slowly)
    assert (1, 0) == (await resealed(world, world.parts))["pool_code.code_sealed"]
    (task,) = claims
    assert ["ok"] == [said(outcome) for outcome in await task]
    assert [] == await world.findings()


async def test_codes_of_members_whom_somebody_holds_come_last(world: World) -> None:
    """They are waited for; what opens with no key is told, and does not stop the rest."""
    world.parts = replace(world.parts, envelope=Envelope([OLD]))
    await live(world)
    lost = Envelope([os.urandom(32)]).seal(b"lost").hex()
    await change(world, f"UPDATE member_profile SET reference_sealed = '\\x{lost}'")
    both = replace(world.parts, envelope=Envelope([NEW, OLD]))
    ids = [one.member_id for one in await world.rows("SELECT member_id FROM claim")]
    async with world.database.transaction() as conn:
        await members.lock(conn, ids, wait=True)
        resealing = await waiting(resealed(world, both))
    found = await resealing
    assert ((0, 1), (2, 0)) == (
        found["member_profile.reference_sealed"],
        found["claim.code_sealed"],
    )
    assert {"member_profile.reference_sealed": (0, 1)} == await resealed(world, both)
