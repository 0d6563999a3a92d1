"""Two people at their screens fill a day: one proposes, another reads, approves or rejects."""

from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

import aiohttp
import pytest

from benefits.domain.feeds import FeedKey, digest_of
from tests.actions.feeding import fed, file, send
from tests.web.site import Site
from tests.web.test_corrections import Office

FILES = "/v1/feeds/core/2025-06-29/-1"


@pytest.fixture
async def office(running: Site) -> Office:
    """Give the people of a bank whose core system sent all of June but the last two days."""
    world = running.world
    await fed(world)
    await world.member()
    for day in range(1, 29):
        key = FeedKey("core", date(2025, 6, day))
        assert [] == await send(world, key, [(world.name(1), 530_000_00)])
    world.clock.now = datetime(2025, 7, 11, 4, 0, tzinfo=UTC)
    return Office(running)


def wanted(day: int, kind: str = "CARRY_FORWARD", **more: Any) -> dict[str, Any]:
    """Return the body of a proposal."""
    said = {"source": "core", "date": f"2025-06-{day}", "kind": kind, "note": "System down."}
    return said | more


async def propose(office: Office, body: dict[str, Any], who: str = "maker") -> Any:
    """Propose what must be taken; return the fill."""
    status, fill = await office.ask(who, "POST", "/v1/fills", json=body, key=f"p{body}"[:64])
    assert 201 == status, fill
    return fill


async def approve(office: Office, fill: Any, who: str = "checker") -> tuple[int, Any]:
    """Approve by the hash that was shown."""
    path, body = f"/v1/fills/{fill['id']}/approve", {"hash": fill["hash"]}
    return await office.ask(who, "POST", path, json=body)


async def test_g_miss_2_a_filled_month_is_told_as_provisional(office: Office) -> None:
    """28 x 530 000 and two days carried forward: PLATINUM, and every reader learns of the two."""
    world = office.site.world
    for day in (29, 30):
        proposed = await propose(office, wanted(day))
        assert ("PROPOSED", "2025-06-28", 0, 1, {"CNY": "530000.00"}, None) == tuple(
            proposed[name]
            for name in (
                *("state", "carried_day", "carried_revision", "lines", "totals"),
                "feed_state",
            )
        )
        status, approved = await approve(office, proposed)
        assert (200, "APPROVED", -1, "SEALED", "checker") == (
            status,
            *(approved[name] for name in ("state", "revision", "feed_state", "decided_by")),
        )
    (member,) = [row.member_id for row in await world.rows("SELECT member_id FROM member")]
    await world.evaluate("2025-06", member)
    world.clock.forward(seconds=1)
    _, standing = await office.ask("eye", "GET", f"/v1/members/{member}/standing")
    _, decisions = await office.ask("eye", "GET", f"/v1/members/{member}/decisions")
    decision = standing["standings"][0]["decision"]
    assert [decision] == decisions["decisions"]
    assert ("PLATINUM", 1_590_000_000, 30, 2, True) == (
        decision["after"],
        *(decision[name] for name in ("sum_minor", "known_days", "filled_days", "provisional")),
    )
    assert "2 of them filled in: provisional" in decision["why"]["en"]
    assert "其中2天为补录，结果暂定" in decision["why"]["zh"]
    _, feeds = await office.ask("eye", "GET", "/v1/feeds?month=2025-06&limit=100")
    assert [(None, None)] * 28 + [("CARRY_FORWARD", "2025-06-28")] * 2 == [
        (feed["fill"], feed["carried_day"]) for feed in feeds["feeds"]
    ]
    _, missing = await office.ask("eye", "GET", "/v1/feeds:missing?month=2025-06")
    assert [] == missing["missing"]


async def test_a_file_sent_below_zero_fills_a_day(office: Office) -> None:
    """Its chunks are sent like any feed's; it cannot be sealed by a manifest."""
    crm = office.site.crm_key
    world = office.site.world
    headers = office.site.headers(crm)
    text = file([(world.name(1), 7_00)])
    async with aiohttp.ClientSession(office.site.url) as http:
        async with http.put(FILES, headers=headers) as answer:
            assert 201 == answer.status
        csv = {**headers, "Content-Type": "text/csv"}
        async with http.put(f"{FILES}/chunks/1", data=text, headers=csv) as answer:
            assert 201 == answer.status
        digest = digest_of([sha256(text).digest()])
        said = {"rows": 1, "totals": {"CNY": "7.00"}, "sha256": digest}
        async with http.put(f"{FILES}/manifest", json=said, headers=headers) as answer:
            assert 400 == answer.status
    fill = await propose(office, wanted(29, "MANUAL", revision=-1))
    assert (digest, 1, {"CNY": "7.00"}) == (fill["sha256"], fill["lines"], fill["totals"])
    status, approved = await approve(office, fill)
    assert (200, "SEALED") == (status, approved["feed_state"])
    assert [] == await world.findings()


async def test_people_see_fills_and_decide_by_their_rights(office: Office) -> None:
    """Makers do not approve, nobody approves their own, auditors read."""
    first = await propose(office, wanted(29, "ZERO"))
    office.site.world.clock.forward(seconds=1)
    both = await propose(office, wanted(30, "ZERO"), "both")
    for who, fill, code in (
        ("maker", first, "forbidden"),
        ("eye", first, "forbidden"),
        ("both", both, "same_person"),
    ):
        status, problem = await approve(office, fill, who)
        assert (403, code) == (status, problem["code"])
    status, left = await office.ask(
        "both", "POST", f"/v1/fills/{both['id']}/reject", json={"note": "It came."}
    )
    assert (200, "WITHDRAWN", "It came.") == (status, left["state"], left["decision_note"])
    status, page = await office.ask("eye", "GET", "/v1/fills?limit=1")
    assert (200, [first]) == (status, page["fills"])
    _, rest = await office.ask("eye", "GET", f"/v1/fills?limit=1&cursor={page['next']}")
    assert ([left], None) == (rest["fills"], rest["next"])
    _, open_ = await office.ask("eye", "GET", "/v1/fills?state=PROPOSED")
    assert [first] == open_["fills"]
    assert (200, first) == await office.ask("eye", "GET", f"/v1/fills/{first['id']}")
