"""A member at a glance."""

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from benefits.domain.assets import AssetLine
from benefits.domain.metrics import Basket
from benefits.domain.orders import Done, Unknown, Used
from benefits.store import summary
from benefits.store.db import rows, run
from tests.actions import life
from tests.web.site import Site
from tests.web.test_mobile import platinum


async def glance(site: Site, member: UUID, key: str = "") -> tuple[int, Any]:
    """Ask for a member's summary as the CRM."""
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.get(
            f"/v1/members/{member}/summary", headers=site.headers(key or site.crm_key)
        ) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_a_member_at_a_glance(running: Site) -> None:
    """Tier and why, what keeps it, holdings, usage with its cost, what is open."""
    world = running.world
    member = await platinum(running)
    await world.assets([AssetLine(world.name(1), date(2025, 7, 1), "DEPOSIT", "CNY", 400_000_00)])
    used, open_ = await life.claimed(world, life.wish(member), life.wish(member, "LOUNGE"))
    await life.call_back(world, await life.number_of(world, used), Done(at=world.clock()))
    status, seen = await glance(running, member)
    assert (200, False, 1, {}) == (
        *(status, seen["closed"], seen["open_orders"]),
        seen["open_cases"],
    )
    (standing,) = seen["standings"]
    assert "PLATINUM" == standing["programme"]["tier"]["code"]
    assert {"zh", "en"} == set(standing["programme"]["tier"]["why"])
    assert {
        "way": None,
        "threshold_minor": 500_000_00,
        "needed_daily_minor": (500_000_00 * 31 - 400_000_00 + 29) // 30,
        "projected_minor": 400_000_00,
        "outlook": "AT_RISK",
    } == standing["keep"]
    holdings = {one["benefit"]: one for one in seen["holdings"]}
    assert (1, 1, 0) == tuple(
        holdings["LOUNGE"][name] for name in ("available", "held", "expiring_30_days")
    )
    assert (1, 1, "2025-07-31T16:00:00Z") == tuple(
        holdings["VIDEO"][name] for name in ("available", "expiring_30_days", "next_expiry")
    )
    usage = {one["benefit"]: one for one in seen["usage"]}
    assert [(30, 1, 1, 1500), (90, 1, 1, 1500), (365, 1, 1, 1500)] == [
        (w["days"], w["claims"], w["redeemed"], w["cost_minor"]) for w in usage["VIDEO"]["windows"]
    ]
    assert [(1, 0, 0)] * 3 == [
        (w["claims"], w["redeemed"], w["cost_minor"]) for w in usage["LOUNGE"]["windows"]
    ]
    assert str(open_) not in str(seen)


async def test_windows_end_and_cases_show(running: Site) -> None:
    """A claim leaves the windows with time; a case shows while it is open."""
    world = running.world
    member = await life.holder(world, "LOUNGE", valid_days=3000)
    (claim,) = await life.claimed(world, life.wish(member, "LOUNGE"))
    number = await life.number_of(world, claim)
    await life.call_back(world, number, Done(at=world.clock()), Used(at=world.clock()))
    world.clock.forward(days=60)
    _, seen = await glance(running, member)
    assert [0, 1, 1] == [window["redeemed"] for window in seen["usage"][0]["windows"]]
    assert [] == seen["holdings"]
    await life.change(
        world,
        "INSERT INTO case_file (bucket, case_id, member_id, claim_id, kind, detail, opened_at) "
        "SELECT bucket, claim_id, member_id, claim_id, 'no_answer', '', now() FROM claim",
    )
    assert {"no_answer": 1} == (await glance(running, member))[1]["open_cases"]
    await life.change(world, "UPDATE case_file SET closed_at = now()")
    assert {} == (await glance(running, member))[1]["open_cases"]


async def test_the_lowest_tier_has_nothing_to_keep_and_a_closed_member_says_so(
    running: Site,
) -> None:
    """Nothing known, nothing held, nothing used."""
    member = await running.world.member(closed_on=date(2025, 7, 1))
    _, seen = await glance(running, member)
    assert (True, None, [], [], None) == (
        *(seen["closed"], seen["standings"][0]["keep"]),
        *(seen["holdings"], seen["usage"], seen["last_claim_at"]),
    )


async def test_the_summary_needs_a_member_and_a_scope(running: Site) -> None:
    """Nobody is invented, and the mobile bank has its own view."""
    status, problem = await glance(running, uuid4())
    assert (404, "unknown_member") == (status, problem["code"])
    status, problem = await glance(running, await running.world.member(), running.mobile_key)
    assert (403, "forbidden") == (status, problem["code"])


async def test_the_balance_is_that_of_the_highest_revision(running: Site) -> None:
    """Classes add up by weight, an overdraft counts as nothing, other currencies not at all."""
    world, day = running.world, date(2025, 7, 1)
    member = await world.member()
    name = world.name(1)
    await world.assets(
        [
            AssetLine(name, day, "DEPOSIT", "CNY", 100),
            AssetLine(name, day, "DEPOSIT", "CNY", 700, revision=2),
            AssetLine(name, day, "FUND", "CNY", 50),
            AssetLine(name, day, "WEALTH", "CNY", -80),
        ]
    )
    async with world.database.transaction() as conn:
        basket = Basket("CNY", ("DEPOSIT", "FUND", "WEALTH"), (10, 5, 10), 10)
        found = await summary.balance(conn, member, day=day, basket=basket)
    assert 725 == found


async def test_every_statement_is_read_by_an_index(running: Site) -> None:
    """A glance never scans a table."""
    world = running.world
    member = await life.holder(world, quantity=2)
    await life.claimed(world, life.wish(member))
    now = world.clock()
    for sql, values in (
        (summary.USAGE, (now, now, now, ["HELD"])),
        (summary.OPEN_CASES, ()),
    ):
        async with world.database.transaction() as conn:
            await run(conn, "SET LOCAL enable_seqscan = off")
            plan = await rows(conn, f"EXPLAIN {sql}", [0], [member], *values)
            assert "Seq Scan" not in "\n".join(row[0] for row in plan)


async def test_an_unknown_order_is_still_open(running: Site) -> None:
    """An order nobody has cleared up counts as open."""
    world = running.world
    member = await life.holder(world)
    await life.claimed(world, life.wish(member))
    (work,) = await life.lease(world)
    await life.record(world, work, Unknown("silence"))
    assert 1 == (await glance(running, member))[1]["open_orders"]
