"""What the mobile bank's backend sees and may do."""

from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from msgspec.structs import replace

from benefits.domain.orders import Done
from benefits.domain.values import Month
from tests.actions.life import call_back, number_of
from tests.builders import NOON, reference_programme
from tests.web.site import Site

WISH = {"benefit": "LOUNGE", "recipient": {"phone": "13800000001"}}


async def platinum(site: Site) -> UUID:
    """Enrol a member whose June average brings platinum in July."""
    member = await site.world.member()
    await site.world.month(site.world.name(1), "2025-06", 520_000_00)
    await site.world.evaluate("2025-06", member)
    return member


async def call(
    site: Site, method: str, path: str, *, key: str | None = None, **more: Any
) -> tuple[int, Any, Any]:
    """Send a request; return status, headers and body."""
    headers = more.pop("headers", None) or site.headers(site.mobile_key)
    if key is not None:
        headers["Idempotency-Key"] = key
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.request(method, path, headers=headers, **more) as answer,
    ):
        return answer.status, answer.headers, await answer.json(content_type=None)


async def test_the_overview_tells_tier_reason_progress_and_entitlements(running: Site) -> None:
    """A member sees the tier and why, the running month, and what there is to claim."""
    member = await platinum(running)
    status, _, seen = await call(running, "GET", f"/v1/members/{member}/benefits")
    assert 200 == status
    (programme,) = seen["programmes"]
    assert ("PLATINUM", 2) == (programme["tier"]["code"], programme["tier"]["rank"])
    assert "520,000.00" in programme["tier"]["why"]["en"]
    assert "2025-06-30T16:00:00Z" == programme["tier"]["since"]
    assert not programme["evaluation_pending"]
    assert ("2025-07", "DIAMOND") == (
        programme["progress"]["month"],
        programme["progress"]["next_tier"],
    )
    assert {"LOUNGE": 2, "VIDEO": 2} == {b["code"]: b["available"] for b in seen["benefits"]}
    assert "2025-09-30T16:00:00Z" == seen["benefits"][0]["lots"][0]["expires_at"]


async def test_the_overview_tells_by_when_the_next_result_is_known(running: Site) -> None:
    """T-3: a day where the programme promises one, of June while June is not evaluated."""
    member = await running.world.member()

    async def told() -> tuple[bool, str | None]:
        _, _, seen = await call(running, "GET", f"/v1/members/{member}/benefits")
        (programme,) = seen["programmes"]
        return programme["evaluation_pending"], programme["result_by"]

    assert (True, None) == await told()
    plain = reference_programme()
    await running.world.apply(
        replace(plain, policy=replace(plain.policy, post_by=8)), tiers_from=Month(2025, 6)
    )
    assert (True, "2025-07-08") == await told()
    await running.world.evaluate("2025-06", member)
    assert (False, "2025-08-08") == await told()


async def test_a_claim_is_placed_once_per_key_and_can_be_followed(running: Site) -> None:
    """The same key gives the same claim and says so; another body under it conflicts."""
    member = await platinum(running)
    path = f"/v1/members/{member}/claims"
    status, headers, placed = await call(running, "POST", path, json=WISH, key="tap")
    assert (201, f"/v1/claims/{placed['id']}") == (status, headers["Location"])
    status, headers, again = await call(running, "POST", path, json=WISH, key="tap")
    assert (201, "true", placed) == (status, headers["Idempotency-Replayed"], again)
    other = {**WISH, "quantity": 2}
    status, _, problem = await call(running, "POST", path, json=other, key="tap")
    assert (422, "idempotency_key_conflict") == (status, problem["code"])
    status, _, claim = await call(running, "GET", headers["Location"])
    assert (200, "HELD", 32) == (status, claim["state"], len(claim["order_number"]))
    _, _, seen = await call(running, "GET", f"/v1/members/{member}/benefits")
    assert [placed["id"]] == [one["id"] for one in seen["claims"]]
    assert (1, 1) == (seen["benefits"][0]["available"], seen["benefits"][0]["held"])


async def test_a_refusal_is_a_problem_and_is_replayed_under_its_key(running: Site) -> None:
    """A stored refusal answers the same again, marked as a replay."""
    member = await running.world.member()
    path = f"/v1/members/{member}/claims"
    for replayed in (None, "true"):
        status, headers, problem = await call(running, "POST", path, json=WISH, key="k")
        assert (409, "insufficient_units") == (status, problem["code"])
        assert "application/problem+json" == headers["Content-Type"].split(";")[0]
        assert replayed == headers.get("Idempotency-Replayed")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"benefit": "NONE"}, 404, "unknown_benefit"),
        ({"benefit": "LOUNGE"}, 422, "recipient_incomplete"),
        ({**WISH, "recipient": {"phone": " "}}, 422, "recipient_incomplete"),
        ({**WISH, "recipient": {"phone": "1\0"}}, 422, "recipient_incomplete"),
        ({**WISH, "recipient": {"phone": "1" * 200}}, 422, "recipient_incomplete"),
        ({**WISH, "quantity": 0}, 422, "quantity_invalid"),
        ({**WISH, "quantity": "two"}, 400, "request_invalid"),
        ({**WISH, "colour": "red"}, 400, "request_invalid"),
        ([], 400, "request_invalid"),
        ({**WISH, "recipient": {"phone": "1" * 70_000}}, 413, "body_too_large"),
    ],
)
async def test_bad_claims_are_refused_in_the_callers_terms(
    running: Site, body: Any, status: int, code: str
) -> None:
    """Each mistake has its status and its stable code."""
    member = await running.world.member()
    path = f"/v1/members/{member}/claims"
    got, _, problem = await call(running, "POST", path, json=body, key="k")
    assert (status, code) == (got, problem["code"])


async def test_a_body_that_is_no_text_is_refused(running: Site) -> None:
    """Bytes that are not UTF-8 are the caller's mistake, not ours."""
    member = await running.world.member()
    path = f"/v1/members/{member}/claims"
    got, _, problem = await call(running, "POST", path, data=b'{"benefit":"\xff"}', key="k")
    assert (400, "request_invalid") == (got, problem["code"])


async def test_what_is_not_there_is_not_found(running: Site) -> None:
    """Unknown members, claims and addresses answer 404 with a code."""
    for path, code in (
        (f"/v1/members/{uuid4()}/benefits", "unknown_member"),
        (f"/v1/members/{uuid4()}/history", "unknown_member"),
        (f"/v1/claims/{uuid4()}", "not_found"),
        ("/v1/members/no-id/benefits", "not_found"),
        ("/nowhere", "not_found"),
    ):
        status, _, problem = await call(running, "GET", path)
        assert (404, code) == (status, problem["code"])


async def test_only_a_valid_key_with_the_scope_may_call(running: Site) -> None:
    """No key, a wrong key and another service's key are told apart."""
    member = await running.world.member()
    path = f"/v1/members/{member}/benefits"
    wrong = running.mobile_key[:-1] + ("0" if running.mobile_key[-1] != "0" else "1")
    for headers, expected in (
        ({}, (401, "unauthenticated")),
        ({"Authorization": "Bearer nonsense"}, (401, "unauthenticated")),
        ({"Authorization": f"Bearer {wrong}"}, (401, "unauthenticated")),
        ({"Authorization": f"Bearer {running.crm_key}"}, (403, "forbidden")),
    ):
        status, _, problem = await call(
            running, "GET", path, headers={"X-Nothing": "1", **headers}
        )
        assert expected == (status, problem["code"])


async def test_a_write_needs_a_usable_key(running: Site) -> None:
    """Without an Idempotency-Key, or with a strange one, nothing is done."""
    member = await platinum(running)
    for key in ("", "x" * 65):
        status, _, problem = await call(
            running, "POST", f"/v1/members/{member}/claims", json=WISH, key=key
        )
        assert (400, "idempotency_key_invalid") == (status, problem["code"])
    assert [(0,)] == await running.world.rows("SELECT count(*) FROM claim")


async def test_history_comes_page_by_page_and_newest_first(running: Site) -> None:
    """Following the cursor gives every event once, in descending sequence."""
    member = await platinum(running)
    await call(running, "POST", f"/v1/members/{member}/claims", json=WISH, key="k")
    path, sequences, types = f"/v1/members/{member}/history", list[int](), set[str]()
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        status, _, page = await call(running, "GET", path, params=query)
        assert 200 == status
        sequences += [event["sequence"] for event in page["events"]]
        types |= {event["type"] for event in page["events"]}
        cursor = page["next"]
    assert [4, 3, 2, 1] == sequences
    assert {"tier.upgraded", "entitlement.granted", "claim.placed"} == types
    status, _, problem = await call(running, "GET", path, params={"cursor": "e1x"})
    assert (400, "cursor_invalid") == (status, problem["code"])
    status, _, problem = await call(running, "GET", path, params={"limit": "1000"})
    assert (400, "request_invalid") == (status, problem["code"])


async def test_a_code_is_told_only_when_asked_for_and_each_time_on_record(running: Site) -> None:
    """The claim says that there is one; neither claim nor history shows it; it is never kept."""
    member = await platinum(running)
    path = f"/v1/members/{member}/claims"
    _, _, placed = await call(running, "POST", path, json=WISH)
    claim = f"/v1/claims/{placed['id']}"
    status, _, problem = await call(running, "POST", f"{claim}/code")
    assert (409, "code_absent") == (status, problem["code"])
    number = await number_of(running.world, UUID(placed["id"]))
    await call_back(running.world, number, Done(at=NOON, code="4829-1355"))
    _, _, seen = await call(running, "GET", claim)
    assert (True, "ISSUED") == (seen["has_code"], seen["state"])
    _, _, history = await call(running, "GET", f"/v1/members/{member}/history?limit=100")
    assert "4829-1355" not in f"{seen} {history}"
    status, headers, told = await call(running, "POST", f"{claim}/code")
    one = {"code": "4829-1355", "pin": ""}
    assert (200, {"code": "4829-1355", "codes": [one]}) == (status, told)
    assert "no-store" == headers["Cache-Control"]
    status, _, problem = await call(running, "POST", f"{claim}/code")
    assert (409, "code_shown") == (status, problem["code"])
    assert told == (await call(running, "POST", f"{claim}/code?again=NOT_ARRIVED"))[2]
    assert 400 == (await call(running, "POST", f"{claim}/code?again=so"))[0]
    looks = await running.world.rows(
        "SELECT actor, again FROM code_reading ORDER BY read_at, again"
    )
    assert [("mobile", ""), ("mobile", "NOT_ARRIVED")] == [tuple(row) for row in looks]
    assert 404 == (await call(running, "POST", f"/v1/claims/{uuid4()}/code"))[0]
    headers = running.headers(running.crm_key)
    assert 403 == (await call(running, "POST", f"{claim}/code", headers=headers))[0]
