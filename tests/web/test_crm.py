"""What the CRM and the bank's feeds may do."""

from typing import Any
from uuid import uuid4

import aiohttp

from tests.web.phone import platinum
from tests.web.site import Site
from tests.web.test_mobile import WISH
from tests.web.test_operator import key_of

CSV = "customer,as_of,asset_class,currency,balance\n"


async def send_csv(site: Site, text: str, key: str) -> tuple[int, Any, Any]:
    """Send day-end balances; return status, headers and body."""
    headers = {**site.headers(site.crm_key), "Idempotency-Key": key, "Content-Type": "text/csv"}
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.post("/v1/assets:import", data=text.encode(), headers=headers) as answer,
    ):
        return answer.status, answer.headers, await answer.json(content_type=None)


async def test_references_are_looked_up_in_the_body(running: Site) -> None:
    """Known references give their ids, the others are named."""
    member = await running.world.member()
    body = {"references": [running.world.name(1), "nobody"]}
    status, seen = await running.post("/v1/members:lookup", body, running.crm_key)
    assert (200, {running.world.name(1): str(member)}, ["nobody"]) == (
        status,
        seen["members"],
        seen["unknown"],
    )


async def test_customers_are_merged_by_reference(running: Site) -> None:
    """Once, whoever asks; the merged one's addresses show the member, but for the history."""
    a, b = await platinum(running), await platinum(running)
    names = {"customer": running.world.name(2), "into": running.world.name(1)}
    status, seen = await running.post("/v1/members:merge", names, running.crm_key)
    assert (200, {"member_id": str(b), "into": str(a)}) == (status, seen)
    status, again = await running.post("/v1/members:merge", names, running.crm_key)
    assert (200, seen) == (status, again)
    body = {"references": [*names.values()]}
    _, found = await running.post("/v1/members:lookup", body, running.crm_key)
    assert dict.fromkeys(names.values(), str(a)) == found["members"]
    status, claim = await running.post(f"/v1/members/{b}/claims", WISH, running.mobile_key)
    assert 201 == status
    shown = [await look(running, f"/v1/members/{each}/benefits") for each in (a, b)]
    assert shown[0] == shown[1]
    assert (str(a), [claim["id"]]) == (
        shown[1]["member_id"],
        [one["id"] for one in shown[1]["claims"]],
    )
    operator = await key_of(running, "operator")
    histories = [await look(running, f"/v1/members/{m}/history", operator) for m in (a, b)]
    told = [[event["type"] for event in each["events"]] for each in histories]
    assert ["claim.placed", "entitlement.transferred"] == [each[0] for each in told]
    assert [1, 1] == [each.count("member.merged") for each in told]
    glances = [await look(running, f"/v1/members/{m}/summary", operator) for m in (a, b)]
    assert (glances[0], 1) == (glances[1], glances[1]["open_orders"])
    balances = await look(running, f"/v1/members/{b}/balances", operator)
    assert {0} == {float(one["available"]) for one in balances["balances"]}


async def look(running: Site, path: str, key: str = "") -> Any:
    """Return what an address shows."""
    headers = running.headers(key or running.mobile_key)
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.get(path, headers=headers) as answer,
    ):
        assert 200 == answer.status
        return await answer.json()


async def test_too_many_references_are_refused_whole(running: Site) -> None:
    """No reference is silently left out."""
    body = {"references": [f"r{n}" for n in range(1001)]}
    status, problem = await running.post("/v1/members:lookup", body, running.crm_key)
    assert (400, "request_invalid") == (status, problem["code"])


async def test_bodies_that_no_reader_takes_are_refused_in_words(running: Site) -> None:
    """Nested without end: 400. Packed: 415, whatever is inside."""
    headers = running.headers(running.crm_key)
    deep = '{"references": ' + "[" * 10_000 + "]" * 10_000 + "}"
    for body, more, expected in (
        (deep, {}, (400, "request_invalid")),
        ("{}", {"Content-Encoding": "gzip"}, (415, "media_type_unsupported")),
    ):
        async with (
            aiohttp.ClientSession(running.url) as http,
            http.post("/v1/members:lookup", data=body, headers=headers | more) as answer,
        ):
            problem = await answer.json(content_type=None)
            assert expected == (answer.status, problem["code"])


async def test_a_reward_is_granted_once_per_business_key(running: Site) -> None:
    """G-TRG-1: two triggers for one birthday give one lot."""
    member = await running.world.member()
    body = {
        "member_id": str(member),
        "benefit": "VIDEO",
        "business_key": "birthday:2025",
        "valid_days": 30,
    }
    status, first = await running.post("/v1/rewards", body, running.crm_key)
    assert (201, 1) == (status, first["granted"])
    status, again = await running.post("/v1/rewards", body, running.crm_key)
    assert (201, 0, first["lot_id"]) == (status, again["granted"], again["lot_id"])
    assert [(1, "2025-08-01 16:00:00+00:00")] == [
        (row.granted, str(row.expires_at))
        for row in await running.world.rows("SELECT granted, expires_at FROM lot")
    ]


async def test_bad_rewards_are_refused_in_the_callers_terms(running: Site) -> None:
    """Unknown members and benefits, and impossible figures, have codes of their own."""
    member = str(await running.world.member())
    good = {"member_id": member, "benefit": "VIDEO", "business_key": "b"}
    for change, status, code in (
        ({"member_id": str(uuid4())}, 404, "unknown_member"),
        ({"benefit": "NONE"}, 404, "unknown_benefit"),
        ({"quantity": 101}, 422, "quantity_invalid"),
        ({"valid_days": 0}, 422, "valid_days_invalid"),
        ({"business_key": ""}, 400, "request_invalid"),
        ({"business_key": "b\n"}, 400, "request_invalid"),
    ):
        got, problem = await running.post("/v1/rewards", {**good, **change}, running.crm_key)
        assert (status, code) == (got, problem["code"])


async def test_balances_are_taken_and_bad_lines_named(running: Site) -> None:
    """Good lines count, bad ones come back with number and reason, a replay changes nothing."""
    await running.world.member()
    name = running.world.name(1)
    text = (
        CSV
        + f"{name},2025-06-01,DEPOSIT,CNY,100.00\n"
        + f"{name},2025-06-02,DEPOSIT,USD,1\n"
        + "stranger,2025-06-02,DEPOSIT,CNY,1\n"
        + f"{name},2025-06-31,DEPOSIT,CNY,1\n"
    )
    status, headers, seen = await send_csv(running, text, "day")
    assert (200, 4, 1, 0, 3) == (
        status,
        seen["lines"],
        seen["kept"],
        seen["unchanged"],
        seen["refused"],
    )
    assert [3, 4, 5] == [error["line"] for error in seen["errors"]]
    assert "Idempotency-Replayed" not in headers
    status, headers, again = await send_csv(running, text, "day")
    assert (200, "true", seen) == (status, headers["Idempotency-Replayed"], again)
    status, _, problem = await send_csv(running, text + "\n", "day")
    assert (422, "idempotency_key_conflict") == (status, problem["code"])
    status, _, seen = await send_csv(running, text, "the same again")
    assert (200, 0, 1) == (status, seen["kept"], seen["unchanged"])


async def test_a_file_that_is_none_is_refused_whole(running: Site) -> None:
    """A missing header and bytes that are no text have clear words."""
    for text in ("", "customer,as_of\n", "\xff\xfe".encode("latin-1").decode("latin-1")):
        status, _, problem = await send_csv(running, text, uuid4().hex)
        assert (422, "file_unreadable") == (status, problem["code"])
