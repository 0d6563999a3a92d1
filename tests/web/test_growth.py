"""Growth over HTTP is what the command prints, page by page (M-12)."""

import asyncio
import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from benefits.actions import measure_growth
from benefits.domain.values import bucket_of
from tests.actions.test_expire import dsn_of
from tests.actions.test_measure_growth import frozen
from tests.shell import Shell
from tests.web.site import Site
from tests.web.test_operator import ask

PATH = "/v1/programmes/wealth/growth"
JULY = {"baseline": "summer", "month": "2025-07"}
STEPS = {"steps": "100000,200000"}
MEMBERS = 12


@pytest.fixture
async def members(running: Site) -> list[UUID]:
    """Return members whose averages grew by 0, 20,000, 40,000 … since May, in their order."""
    world = running.world
    ids = await world.members(MEMBERS)
    for nth in range(MEMBERS):
        await world.month(world.name(nth + 1), "2025-05", 300_000_00)
    await frozen(world)
    for nth in range(MEMBERS):
        await world.month(world.name(nth + 1), "2025-07", 300_000_00 + nth * 20_000_00)
    world.clock.now = datetime(2025, 8, 2, 4, 0, tzinfo=UTC)
    return sorted(ids, key=lambda id_: (bucket_of(id_), id_))


async def get(site: Site, scope: str = "crm", **params: str) -> Any:
    """Read a page."""
    status, _, body = await ask(site, "GET", PATH, scope, params=params)
    assert 200 == status, body
    return body


async def whole(site: Site, **params: str) -> list[Any]:
    """Read all pages; return the members of them all."""
    page = await get(site, **params)
    found = page["members"]
    while page["next"]:
        page = await get(site, **params, cursor=page["next"])
        found += page["members"]
    return list(found)


async def test_growth_is_told_page_by_page_as_the_command_prints_it(
    running: Site, members: list[UUID], tmp_path: Path
) -> None:
    """Whoever can still reach the first step, in one order, whatever the size of a page."""
    told = await whole(running, **JULY, **STEPS)
    assert 7 == len(told)
    assert {1, 2} == {one["reached"] for one in told}
    assert told == await whole(running, **JULY, **STEPS, limit="2")
    every = await whole(running, **JULY, **STEPS, everybody="true", limit="5")
    assert [str(id_) for id_ in members] == [one["member_id"] for one in every]
    assert members == [UUID(one["member_id"]) for one in await whole(running, **JULY)]
    shell = Shell(dsn_of(running.world), tmp_path)
    words = ("growth", "summer", "--month", "2025-07", "--steps", "100000,200000")
    status, printed = await asyncio.to_thread(shell.run, *words)
    assert 0 == status
    lines = {line["member_id"]: line for line in csv.DictReader(io.StringIO(printed))}
    assert lines.keys() == {one["member_id"] for one in told}
    for one in told:
        line = lines[one["member_id"]]
        assert {name: str(value).lower() for name, value in one.items()} == {
            name: line[name].lower() for name in one
        }


async def test_a_page_looks_at_so_many_members_and_no_more(
    running: Site, members: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few can reach a step a page may be short, and the next one goes on from there."""
    before = await whole(running, **JULY, **STEPS)
    monkeypatch.setattr(measure_growth, "SEEN_MAX", 1)
    monkeypatch.setattr(measure_growth, "PART_BUCKETS", 64)
    page = await get(running, **JULY, **STEPS)
    assert len(page["members"]) < 7
    assert page["next"] is not None
    assert before == await whole(running, **JULY, **STEPS)


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        (JULY | {"baseline": "winter"}, 404, "unknown_baseline"),
        (JULY | {"month": "2025-05"}, 422, "baseline_invalid"),
        (JULY | {"month": "2025-08"}, 409, "month_not_over"),
        (JULY | {"steps": "2,1"}, 422, "steps_invalid"),
        (JULY | {"steps": "1,"}, 422, "steps_invalid"),
        (JULY | {"month": "2025-13"}, 400, "request_invalid"),
        (JULY | {"cursor": "x"}, 400, "cursor_invalid"),
    ],
)
async def test_what_cannot_be_measured_is_refused(
    running: Site, members: list[UUID], params: dict[str, str], status: int, code: str
) -> None:
    """In the caller's terms, as the command does."""
    answered, _, problem = await ask(running, "GET", PATH, "operator", params=params)
    assert (status, code) == (answered, problem["code"])


async def test_a_baseline_is_of_its_programme(running: Site, members: list[UUID]) -> None:
    """Of a programme that is not there nothing is told."""
    path = PATH.replace("wealth", "other")
    status, _, problem = await ask(running, "GET", path, "auditor", params=JULY)
    assert (404, "unknown_programme") == (status, problem["code"])
