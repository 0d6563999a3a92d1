"""The presets' lives by the service: balances and labels in, months decided and told out."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import msgspec
import pytest

from benefits.actions.evaluate import evaluate
from benefits.actions.import_files import assets_of, calendar_of, import_file
from benefits.actions.keep_stretches import keep_stretches
from benefits.actions.recall_month import recall_month
from benefits.domain.explanation import explain
from benefits.domain.feeds import FeedKey, FeedState
from benefits.domain.programme import Programme
from benefits.domain.tiers import Decision
from benefits.domain.values import Month, bucket_of
from benefits.store import standings
from tests import builders
from tests.actions.exchanging import ASSETS, send
from tests.actions.labelling import VERSION, chunk, sent
from tests.builders import World
from tests.conftest import database
from tests.presets import LIVES, Life, preset

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
async def bare(migrated: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give an installation without a programme."""
    async with database(cluster_dsn, migrated) as dsn, builders.opened(dsn) as made:
        yield made


async def begun(world: World, life: Life) -> tuple[Programme, UUID]:
    """Put the preset into force and bring its member, business days and labels."""
    feeds = ("core",) if life.fed else ()
    programme = msgspec.structs.replace(preset(life.preset), feeds=feeds)
    world.clock.now = after(life.since.plus(-1))
    await world.apply(programme, tiers_from=life.since)
    member = await world.member()
    if programme.policy.calendar:
        days = ["date,kind\n", *(f"{day},HOLIDAY\n" for day in life.holidays)]
        kind = calendar_of(programme.policy.calendar)
        await import_file(world.database, world.parts, kind, days, progress=lambda _: None)
    if life.labels:
        lines = [f"T000001,{x.name},{x.layer.value},{x.from_},{x.to or ''}" for x in life.labels]
        assert FeedState.SEALED is (await sent(world, VERSION, chunk(*lines))).state
    return programme, member


def after(month: Month) -> datetime:
    """Return the noon after a month is over everywhere."""
    return datetime.combine(month.end, time(12), UTC) + timedelta(days=1)


async def bring(world: World, programme: Programme, life: Life, month: Month) -> None:
    """Bring a month's balances: day by day under manifests, or by the line."""
    currency, lines = programme.currency, list[str]()
    for day, classes in life.balances():
        if Month.of(day) != month:
            continue
        if life.fed:
            fed = [f"T000001,{code},{currency},{n}," for code, n in classes.items() if n]
            assert [] == await send(world, FeedKey("core", day), fed)
        lines += [f"T000001,{day},{code},{currency},{n},,0\n" for code, n in classes.items()]
    if not life.fed:
        kind = assets_of(programme)
        done = await import_file(
            world.database, world.parts, kind, [ASSETS, *lines], progress=lambda _: None
        )
        assert (len(lines), 0) == (done.kept, done.refused)


async def came_to(world: World, code: str, member: UUID, month: Month) -> Decision:
    """Return what a month came to, as it is on record or, where it changed nothing, recalled."""
    async with world.database.transaction() as conn:
        await world.parts.catalogue.current(conn)
        found = await standings.decisions(conn, member, LATER, before=None, limit=1)
        if found and found[0].decision.month == month:
            return found[0].decision
        return (await recall_month(conn, world.parts, member))[code].decision


@pytest.mark.parametrize("life", LIVES, ids=lambda life: f"{life.preset}: {life.name}")
async def test_the_service_decides_as_the_presets_bank_publishes(bare: World, life: Life) -> None:
    """3.14: month after month, what is decided, by which way, and the words it is told in."""
    programme, member = await begun(bare, life)
    bucket = bucket_of(member)
    decisions = list[Decision]()
    for month in life.months:
        bare.clock.now = after(month)
        await bring(bare, programme, life, month)
        await keep_stretches(bare.database, bare.parts)
        await evaluate(bare.database, bare.parts, life.preset, month, buckets=(bucket, bucket))
        decisions.append(await came_to(bare, life.preset, member, month))
    assert list(life.told) == [each.cause.value for each in decisions]
    last = decisions[-1]
    assert (life.tier, life.way) == (programme.tier[last.after.rank].code, last.after.way)
    told = explain(programme, last)
    assert life.en in told["en"]
    assert life.zh in told["zh"]
