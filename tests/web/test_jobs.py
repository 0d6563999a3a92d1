"""Lists of rewards over HTTP: short ones answered at once, long ones as a job."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec

from benefits.actions.keys import make_key
from benefits.domain.jobs import PART_LINES
from benefits.worker import Worker
from tests.web.site import Site

NDJSON = "application/x-ndjson"


async def send(
    site: Site, body: bytes, key: str, content_type: str = NDJSON
) -> tuple[int, Any, Any]:
    """Send a list; return status, headers and body."""
    headers = {**site.headers(site.crm_key), "Idempotency-Key": key, "Content-Type": content_type}
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.post("/v1/grants:bulk", data=body, headers=headers) as answer,
    ):
        return answer.status, answer.headers, await answer.json(content_type=None)


async def get(site: Site, path: str, key: str = "") -> tuple[int, Any]:
    """Ask as the CRM, or with another key."""
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.get(path, headers=site.headers(key or site.crm_key)) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


def listed(members: list[UUID], count: int) -> bytes:
    """Write a list of so many rows over some members."""
    size = len(members)
    return b"".join(
        msgspec.json.encode(
            {"member_id": members[n % size], "benefit": "VIDEO", "business_key": f"k{n // size}"}
        )
        + b"\n"
        for n in range(count)
    )


async def test_a_short_list_is_answered_line_by_line(running: Site) -> None:
    """Granted, known and refused; the same request again says the same and does nothing."""
    await running.world.member()
    name = running.world.name(1)
    text = (
        "customer,benefit,business_key,quantity,valid_days\n"
        f"{name},VIDEO,spring,2,\n{name},VIDEO,spring,2,\n"
        f"nobody,VIDEO,spring,1,\n{name},VIDEO,,1,5\n"
    ).encode()
    status, headers, seen = await send(running, text, "k", "text/csv; charset=utf-8")
    job, rows = seen["job"], seen["rows"]
    assert (200, "done", 4, 1, 1, 2) == (
        status,
        job["state"],
        *(job[what] for what in ("lines", "granted", "known", "refused")),
    )
    assert [(2, "granted"), (3, "known"), (4, "refused"), (5, "refused")] == [
        (row["line"], row["outcome"]) for row in rows
    ]
    assert rows[0]["lot_id"] == rows[1]["lot_id"]
    assert ["unknown_member", "line_invalid"] == [row["code"] for row in rows[2:]]
    status, again, replayed = await send(running, text, "k", "text/csv")
    assert (200, "true", seen) == (status, again["Idempotency-Replayed"], replayed)
    assert f"/v1/jobs/{job['id']}" == headers["Location"] == again["Location"]
    assert (200, job) == await get(running, headers["Location"])
    status, _, problem = await send(running, text + b"\n", "k", "text/csv")
    assert (422, "idempotency_key_conflict") == (status, problem["code"])
    assert [(2,)] == [tuple(r) for r in await running.world.rows("SELECT granted FROM lot")]


async def test_a_long_list_becomes_a_job_that_a_worker_decides(running: Site) -> None:
    """It survives whatever process took it; its refused rows are read page by page."""
    members = [*await running.world.members(9), uuid4()]
    body = listed(members, 2 * PART_LINES)
    status, headers, seen = await send(running, body, "k")
    assert (202, "running", 0, []) == (
        status,
        seen["job"]["state"],
        seen["job"]["granted"],
        seen["rows"],
    )
    path = headers["Location"]
    worker = Worker(running.world.database, running.world.parts, {})
    while (await get(running, path))[1]["state"] == "running":
        await worker.run_jobs()
        running.world.clock.forward(seconds=1)
    _, job = await get(running, path)
    refused = PART_LINES // 5
    assert (2 * PART_LINES, 9 * refused, 0, refused) == tuple(
        job[what] for what in ("lines", "granted", "known", "refused")
    )
    assert job["lines_per_s"] > 0
    status, _, again = await send(running, body, "k")
    assert (200, job, []) == (status, again["job"], again["rows"])
    lines, cursor = list[int](), ""
    while True:
        _, page = await get(running, f"{path}/rows?outcome=refused&limit=150{cursor}")
        lines += [row["line"] for row in page["rows"]]
        assert {"unknown_member"} == {row["code"] for row in page["rows"]}
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert list(range(10, 2 * PART_LINES + 1, 10)) == lines
    found, cursor = list[Any](), ""
    while True:
        _, page = await get(running, f"{path}/rows?limit=1000{cursor}")
        found += page["rows"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert list(range(1, 2 * PART_LINES + 1)) == [row["line"] for row in found]
    lots = {str(lot) for (lot,) in await running.world.rows("SELECT lot_id FROM lot")}
    assert lots == {row["lot_id"] for row in found if row["outcome"] == "granted"}
    assert [] == await running.world.findings()


async def test_a_job_is_shown_to_who_sent_it_and_to_those_who_look_after_all(
    running: Site,
) -> None:
    """To another CRM it is not there, neither its figures nor its rows."""
    world = running.world
    _, headers, _ = await send(running, listed([await world.member()], 1), "k")
    for name, scopes, expected in (
        ("other", ["crm"], 404),
        ("desk", ["operator"], 200),
        ("audit", ["auditor"], 200),
        ("both", ["crm", "operator"], 200),
    ):
        async with world.database.transaction() as conn:
            key = await make_key(conn, name, scopes, world.parts)
        for path in (headers["Location"], f"{headers['Location']}/rows"):
            status, told = await get(running, path, key)
            assert expected == status
            if status == 404:
                _, strange = await get(running, f"/v1/jobs/{uuid4()}", key)
                assert strange == told


async def test_lists_that_cannot_be_taken_are_refused_whole(running: Site) -> None:
    """Another type, no header, no key, a strange job, a strange cursor."""
    for content_type, body, expected in (
        ("application/json", b"[]", (415, "media_type_unsupported")),
        ("text/csv; charset=gbk", b"", (415, "media_type_unsupported")),
        ("text/csv", b"", (422, "file_unreadable")),
        ("text/csv", b"customer,benefit\n", (422, "file_unreadable")),
    ):
        status, _, problem = await send(running, body, uuid4().hex, content_type)
        assert expected == (status, problem["code"])
    status, _, problem = await send(running, b"", " " * 70)
    assert (400, "idempotency_key_invalid") == (status, problem["code"])
    status, problem = await get(running, f"/v1/jobs/{uuid4()}")
    assert (404, "unknown_job") == (status, problem["code"])
    status, _, seen = await send(running, b"", "empty")
    assert (200, "done", 0) == (status, seen["job"]["state"], seen["job"]["lines"])
    for query, code in (
        ("outcome=lost", "request_invalid"),
        ("outcome=granted%0A", "request_invalid"),
        ("cursor=x", "cursor_invalid"),
    ):
        status, problem = await get(running, f"/v1/jobs/{seen['job']['id']}/rows?{query}")
        assert (400, code) == (status, problem["code"])


async def test_a_connection_lost_in_the_middle_begins_no_job(running: Site) -> None:
    """The same request again, whole this time, is taken as if it were the first."""
    members = await running.world.members(3)
    body = listed(members, 3)
    host, _, port = running.url.removeprefix("http://").partition(":")
    head = (
        f"POST /v1/grants:bulk HTTP/1.1\r\nHost: {host}\r\nContent-Type: {NDJSON}\r\n"
        f"Authorization: Bearer {running.crm_key}\r\nIdempotency-Key: cut\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body[:100])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    status, headers, seen = await send(running, body, "cut")
    assert (200, 3) == (status, seen["job"]["granted"])
    assert "Idempotency-Replayed" not in headers
    assert [(1,)] == [tuple(r) for r in await running.world.rows("SELECT count(*) FROM job")]
