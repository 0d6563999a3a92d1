"""Providers call back by GET or by forms, of several events at once, each with its own literal."""

import json
from uuid import UUID

import aiohttp

from benefits.actions.reread import Reread, reread_all
from benefits.domain.orders import Capabilities
from benefits.providers.client import Client
from benefits.providers.http import Dialect, HttpProvider
from tests.actions import life
from tests.actions.life import claimed, holder, number_of, wish
from tests.web import dialects
from tests.web.dialects import ByForm, ByQuery, written
from tests.web.site import Site

AT = "2025-07-02T04:00:00+00:00"


def speaks(site: Site, dialect: Dialect) -> None:
    """Let the site's provider speak a dialect."""
    heard = HttpProvider(dialect, Client(), site.world.clock, Capabilities())
    site.app.state.providers = {"sandbox": heard}


async def call(site: Site, *, query: bytes = b"", body: bytes | None = None) -> tuple[int, str]:
    """Call back by GET with a query, or by POST with a form's body."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    url = f"/callbacks/sandbox?{query.decode()}" if query else "/callbacks/sandbox"
    async with aiohttp.ClientSession(site.url) as http:
        asked = http.get(url) if body is None else http.post(url, data=body, headers=form)
        async with asked as answer:
            return answer.status, await answer.text()


async def ordered(site: Site, count: int) -> list[str]:
    """Return the numbers of orders that were placed."""
    claims = list[UUID]()
    for _ in range(count):
        claims += await claimed(site.world, wish(await holder(site.world)))
    return [await number_of(site.world, claim_id) for claim_id in claims]


async def told(site: Site) -> list[tuple[str, str]]:
    """Return number and verdict of all that was kept and worked off."""
    await life.work_off(site.world)
    found = await site.world.rows("SELECT number, verdict FROM inbox ORDER BY event_id")
    return [tuple(row) for row in found]


def test_the_vendors_own_examples_are_signed_so() -> None:
    """Or the dialects of these tests would be of nobody."""
    fields = {"appKey": "testappkey"}
    assert "925e68506cf5a9ac740aedc2bd78f5e4" == dialects.sign(fields)
    fields |= {"timestamp": "1415250311646", "uid": "test111", "credits": "0"}
    assert "b4dfe715af6ea706417362c0b3f05e81" == dialects.sign(fields)


async def test_a_result_in_a_query_is_kept_once_and_read_again(running: Site) -> None:
    """By GET, with the provider's own words for yes and no; what is kept of it is the query."""
    speaks(running, ByQuery())
    first, second = await ordered(running, 2)
    came = {"bizId": "B 1&2", "time": AT}
    for number, success in ((first, "true"), (first, "true"), (second, "false?")):
        query = written({"orderNum": number, "success": success, **came})
        assert (200, "ok") == await call(running, query=query)
    wanted = {(first, "APPLIED"), (second, "NOT_UNDERSTOOD")}
    assert (wanted, 2) == (set(came_to := await told(running)), len(came_to))
    forged = query.replace(b"sign=", b"sign=0")
    assert (401, "fail") == await call(running, query=forged)
    assert (400, "fail") == await call(running, body=query)
    mended = ByQuery(no="false?")
    again = Reread(caller="op", provider="sandbox", understand=mended.understand)
    world = running.world
    (page,) = [page async for page in reread_all(world.database, again, world.parts)]
    assert [second] == [one.number for one in page]
    assert ["ISSUED", "COMPENSATED"] == await life.states(world)
    assert ["B 1&2"] == [
        one.provider_reference
        for one in await world.rows("SELECT provider_reference FROM claim WHERE state = 'ISSUED'")
    ]


async def test_a_form_tells_of_several_orders_at_once(running: Site) -> None:
    """Each event is kept by its own id, and one that is known keeps the others out of nothing."""
    speaks(running, ByForm())
    numbers = await ordered(running, 3)
    events = [
        {"id": f"e{n}", "out_biz_no": number, "event_time": AT, "voucher_id": f"V{n}"}
        for n, number in enumerate(numbers)
    ]
    for some in (events[:2], events, []):
        form = written({"msg_method": "received", "biz_content": json.dumps(some)})
        assert (200, "success") == await call(running, body=form)
    assert [(number, "APPLIED") for number in numbers] == await told(running)
    assert ["ISSUED"] * 3 == await life.states(running.world)
    assert (400, "fail") == await call(running, query=form)
