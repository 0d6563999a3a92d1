"""What is told of a request: one line, figures and no word of the customer's."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import structlog

from benefits import logs, measures
from benefits.domain.orders import Done
from benefits.worker import Worker
from tests.actions import life
from tests.test_worker import Slowly
from tests.web.site import Site

PHONE = "13912345678"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """Give what is logged while a test runs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(fmt="json", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO, event: str) -> list[dict[str, Any]]:
    """Return the log lines of an event."""
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    return [one for one in found if one["event"] == event]


def requests(route: str, status: int, method: str = "POST") -> float:
    """Return how many requests were counted."""
    labels = {"route": route, "method": method, "status": str(status)}
    return measures.REGISTRY.get_sample_value("benefits_http_requests_total", labels) or 0.0


async def test_a_claim_is_told_in_one_line(running: Site, out: io.StringIO) -> None:
    """Route template, caller, outcome, sizes; a stored answer says that it is one."""
    member = await life.holder(running.world)
    route = "/v1/members/{member_id}/claims"
    before = requests(route, 201)
    headers = running.headers(running.mobile_key)
    wish = {"benefit": "VIDEO", "recipient": {"phone": PHONE}}
    async with aiohttp.ClientSession(running.url, headers=headers) as http:
        for _ in range(2):
            async with http.post(f"/v1/members/{member}/claims", json=wish) as answer:
                assert 201 == answer.status
                asked = answer.headers["X-Request-Id"]
    first, again = lines(out, "request.done")
    assert (False, True) == (first["replayed"], again["replayed"])
    assert asked == again["request_id"]
    assert first["bytes_in"] == len(json.dumps(wish))
    assert first["bytes_out"] > 0
    assert first["duration_ms"] > 0
    told = {"route", "method", "status", "code", "caller", "scope"}
    assert {name: first[name] for name in told} == {
        "route": route,
        "method": "POST",
        "status": 201,
        "code": "",
        "caller": "mobile",
        "scope": "mobile",
    }
    assert 2 == requests(route, 201) - before


async def test_problems_and_strangers_are_told_by_code(running: Site, out: io.StringIO) -> None:
    """The code of a problem stands in the line; an address that is none has no name of its own."""
    async with aiohttp.ClientSession(running.url) as http:
        for path in ("/v1/members:lookup", "/no/such/C0001", "/health", "/ready"):
            async with http.post(path, json={"references": ["C0001"]}) as answer:
                await answer.read()
        async with http.get("/health?C0001") as answer:
            assert 200 == answer.status
    told = [(one["route"], one["status"], one["code"]) for one in lines(out, "request.done")]
    assert ("/v1/members:lookup", 401, "unauthenticated") == told[0]
    assert ("unmatched", 404, "not_found") == told[1]
    assert 2 == len(told)
    assert "C0001" not in out.getvalue()
    assert b"C0001" not in measures.text()


async def test_the_main_job_tells_nothing_of_the_customer(running: Site, out: io.StringIO) -> None:
    """Phone, reference, codes and keys that pass through leave no trace in log or figures."""
    world = running.world
    member = await life.holder(world)
    reference = world.name(1)
    body = {"benefit": "VIDEO", "recipient": {"phone": PHONE}}
    await running.post("/v1/members:lookup", {"references": [reference]}, running.crm_key)
    status, placed = await running.post(f"/v1/members/{member}/claims", body, running.mobile_key)
    assert 201 == status
    bad = {"benefit": "VIDEO", "recipient": {"phone": PHONE, "openid": "secret-openid"}}
    status, _ = await running.post(f"/v1/members/{member}/claims", bad, running.mobile_key)
    assert 422 == status
    page = await running.page_url(member)
    async with running.browser() as http, http.get(page) as answer:
        assert 200 == answer.status
    provider = Slowly(code="CARD-CODE-4711")
    worker, stop = Worker(world.database, world.parts, {"sandbox": provider}), asyncio.Event()
    provider.go.set()
    working = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(120):
        while ["ISSUED"] != await life.states(world):
            await asyncio.sleep(0.02)
    number = await life.number_of(world, UUID(placed["id"]))
    await life.tell(world, number, Done(at=world.clock(), code="CARD-CODE-4712"))
    async with aiohttp.ClientSession(running.url) as http:
        callback = {"number": number, "phone": PHONE, "code": "CARD-CODE-4713"}
        async with http.post("/callbacks/sandbox", json=callback) as answer:
            assert 401 == answer.status
    stop.set()
    await working
    assert lines(out, "provider.called")
    assert lines(out, "worker.step")
    (called,) = lines(out, "provider.called")
    assert ("sandbox", "issue", "done", 1) == (
        called["provider"],
        called["operation"],
        called["outcome"],
        called["attempt"],
    )
    code = page.split("code=")[1]
    keys = (running.mobile_key, running.crm_key, running.mobile_key.split("_")[2])
    told = out.getvalue() + measures.text().decode()
    for secret in (PHONE, reference, "secret-openid", "CARD-CODE", code, *keys, str(member)):
        assert secret not in told, secret
    assert member.hex not in told


async def test_held_orders_are_told_together_and_leave_no_events(
    running: Site, out: io.StringIO
) -> None:
    """However often an order is tried, the history stays short, and the log counts them."""
    world = running.world
    for _ in range(2):
        await life.claimed(world, life.wish(await life.holder(world)))
    worker = Worker(world.database, world.parts, {})
    for _ in range(3):
        await worker.deliver()
        await worker.finish()
        world.clock.forward(minutes=10)
    assert 6 == len(lines(out, "provider.called"))
    assert 0 == await worker.tell_held()
    (held,) = lines(out, "orders.held")
    assert ("sandbox", 2, "warning") == (held["provider"], held["count"], held["level"])
    assert ["claim.placed"] * 2 == [
        row.type
        for row in await world.rows(
            "SELECT type FROM outbox WHERE type LIKE 'claim.%' OR type LIKE 'order.%'"
        )
    ]
