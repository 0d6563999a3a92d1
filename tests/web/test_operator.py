"""What the bank's operators and auditors see and may do."""

from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from benefits.actions.keys import make_key
from benefits.domain.orders import Done, Reason, Rejected, Unknown
from benefits.web import cursors
from tests.actions import life
from tests.web.site import Site


async def key_of(site: Site, scope: str) -> str:
    """Return a key with one scope."""
    async with site.world.database.transaction() as conn:
        return await make_key(conn, scope, [scope], site.world.parts)


async def ask(
    site: Site, method: str, path: str, scope: str, *, key: str = "", **more: Any
) -> tuple[int, Any, Any]:
    """Send a request with a key of a scope; return status, headers and body."""
    headers = site.headers(await key_of(site, scope))
    if key:
        headers["Idempotency-Key"] = key
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.request(method, path, headers=headers, **more) as answer,
    ):
        return answer.status, answer.headers, await answer.json(content_type=None)


async def strange_callbacks(site: Site, count: int) -> None:
    """Receive callbacks for numbers nobody gave: a case each, a second apart."""
    for _ in range(count):
        await life.call_back(site.world, uuid4().hex, Done(at=site.world.clock()))


async def test_cases_come_oldest_first_page_by_page(running: Site) -> None:
    """Every open case once; another kind has none."""
    await strange_callbacks(running, 5)
    seen, cursor = list[Any](), None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        status, _, page = await ask(running, "GET", "/v1/cases", "auditor", params=query)
        assert 200 == status
        seen += page["cases"]
        cursor = page["next"]
        if cursor is None:
            break
    assert (5, {"unknown_order"}) == (len(seen), {case["kind"] for case in seen})
    assert sorted(case["opened_at"] for case in seen) == [case["opened_at"] for case in seen]
    _, _, other = await ask(running, "GET", "/v1/cases", "approver", params={"kind": "no_answer"})
    assert ([], None) == (other["cases"], other["next"])


async def test_a_case_is_closed_once_with_a_note_and_by_whom(running: Site) -> None:
    """The same key again is the same answer; another finds it closed."""
    await strange_callbacks(running, 1)
    _, _, page = await ask(running, "GET", "/v1/cases", "operator")
    (case,) = page["cases"]
    path, body = f"/v1/cases/{case['id']}/close", {"note": "Their test system; told them."}
    for replayed in (None, "true"):
        status, headers, closed = await ask(
            running, "POST", path, "operator", json=body, key="one"
        )
        assert (200, replayed) == (status, headers.get("Idempotency-Replayed"))
        assert (body["note"], "operator") == (closed["note"], closed["closed_by"])
        assert closed["closed_at"]
    status, _, problem = await ask(
        running, "POST", path, "operator", json={"note": "other"}, key="one"
    )
    assert (422, "idempotency_key_conflict") == (status, problem["code"])
    status, _, problem = await ask(running, "POST", path, "operator", json=body, key="two")
    assert (409, "case_closed") == (status, problem["code"])
    _, _, page = await ask(running, "GET", "/v1/cases", "operator")
    assert [] == page["cases"]
    _, _, page = await ask(running, "GET", "/v1/cases", "operator", params={"closed": "true"})
    assert [case["id"]] == [one["id"] for one in page["cases"]]


async def test_the_closing_of_a_members_case_is_told_and_its_key_is_taken(running: Site) -> None:
    """N-5: an event of the claim, once; the same key closes no other case (C-9)."""
    world = running.world
    for _ in range(2):
        member = await life.holder(world)
        (claim_id,) = await life.claimed(world, life.wish(member))
        number = await life.number_of(world, claim_id)
        await life.call_back(world, number, Rejected(Reason.LIMIT, "no"))
        await life.claimed(world, life.wish(member))  # there is no unit left for a late success
        await life.call_back(world, number, Done(at=world.clock()))
    _, _, page = await ask(running, "GET", "/v1/cases", "operator")
    first, second = page["cases"]
    body = {"note": "Delivered after all; the bank pays."}
    for case, expected in ((first, 200), (first, 200), (second, 422)):
        path = f"/v1/cases/{case['id']}/close"
        status, _, _ = await ask(running, "POST", path, "operator", json=body, key="one")
        assert expected == status
    told = await world.rows("SELECT subject_id::text FROM outbox WHERE type = 'case.closed'")
    assert [(first["claim_id"],)] == [tuple(row) for row in told]
    _, _, page = await ask(running, "GET", "/v1/cases", "operator")
    assert [second["id"]] == [case["id"] for case in page["cases"]]
    assert [] == await world.findings()


async def test_closing_needs_a_case_a_note_and_the_scope(running: Site) -> None:
    """Each mistake has its code."""
    path = f"/v1/cases/{uuid4()}/close"
    for scope, body, expected in (
        ("operator", {"note": "x"}, (404, "unknown_case")),
        ("operator", {"note": " "}, (400, "request_invalid")),
        ("operator", {"note": "x" * 1001}, (400, "request_invalid")),
        ("operator", {"note": "a\x00"}, (400, "request_invalid")),
        ("operator", {}, (400, "request_invalid")),
        ("auditor", {"note": "x"}, (403, "forbidden")),
        ("mobile", {"note": "x"}, (403, "forbidden")),
    ):
        status, _, problem = await ask(running, "POST", path, scope, json=body)
        assert expected == (status, problem["code"])


async def test_cursors_of_open_and_closed_cases_are_not_mixed(running: Site) -> None:
    """A cursor is good for the list that gave it."""
    await strange_callbacks(running, 2)
    _, _, page = await ask(running, "GET", "/v1/cases", "operator", params={"limit": "1"})
    query = {"closed": "true", "cursor": page["next"]}
    status, _, problem = await ask(running, "GET", "/v1/cases", "operator", params=query)
    assert (400, "cursor_invalid") == (status, problem["code"])


async def test_a_place_out_of_all_time_is_refused(running: Site) -> None:
    """A cursor that names the year 1 is none of ours, though it reads well."""
    mark = ("0001-01-01T00:00:00+14:00", "00000000-0000-0000-0000-000000000000")
    cursor = cursors.write("open cases ", mark)
    path = f"/v1/cases?cursor={cursor}"
    status, _, problem = await ask(running, "GET", path, "operator")
    assert (400, "cursor_invalid") == (status, problem["code"])


async def test_an_order_is_found_by_its_number_without_its_member(running: Site) -> None:
    """State, times and attempts' outcomes; no evidence, no recipient, no member."""
    world = running.world
    member = await life.holder(world)
    (claim_id,) = await life.claimed(world, life.wish(member))
    number = await life.number_of(world, claim_id)
    (work,) = await life.lease(world)
    await life.record(world, work, Unknown("the evidence"))
    status, _, seen = await ask(
        running, "GET", f"/v1/providers/sandbox/orders/{number}", "operator"
    )
    assert (200, number, "UNKNOWN", "video-month", 1) == (
        *(status, seen["number"], seen["state"]),
        *(seen["sku"], seen["quantity"]),
    )
    (attempt,) = seen["attempts"]
    assert ("ISSUE", "unknown") == (attempt["operation"], attempt["outcome"])
    for secret in (str(member), "the evidence", "13800000001", str(claim_id)):
        assert secret not in str(seen)


@pytest.mark.parametrize("provider", ["sandbox", "nobody"])
async def test_what_is_not_a_number_of_the_provider_is_not_found(
    running: Site, provider: str
) -> None:
    """A wrong number, another spelling of one, and another provider's are nothing."""
    member = await life.holder(running.world)
    (claim_id,) = await life.claimed(running.world, life.wish(member))
    number = await life.number_of(running.world, claim_id)
    wrong = [uuid4().hex, str(UUID(number)), "1", number.upper() + "0"]
    for each in [number] if provider == "nobody" else wrong:
        path = f"/v1/providers/{provider}/orders/{each}"
        status, _, problem = await ask(running, "GET", path, "auditor")
        assert (404, "not_found") == (status, problem["code"])
