"""What providers that call back see."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import aiohttp

from benefits.domain.signature import parse_secret, signed_headers
from tests.web.site import SECRET, Site


async def call_back(
    site: Site,
    body: bytes,
    *,
    provider: str = "sandbox",
    secret: str = SECRET,
    id_: str = "e1",
) -> tuple[int, str]:
    """Send a signed callback; return status and text."""
    at_unix = int(site.world.clock().timestamp())
    content = f"{id_}.{at_unix}.".encode() + body
    digest = hmac.digest(parse_secret(secret), content, hashlib.sha256)
    headers = {
        "webhook-id": id_,
        "webhook-timestamp": str(at_unix),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.post(f"/callbacks/{provider}", data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def issued(number: str) -> bytes:
    """Return the callback that says an order is issued."""
    at = "2025-07-02T04:00:00+00:00"
    data: dict[str, Any] = {"number": number, "at": at, "reference": "R"}
    return json.dumps({"type": "order.issued", "timestamp": at, "data": data}).encode()


async def test_a_callback_is_kept_once_and_acknowledged_each_time(running: Site) -> None:
    """The provider's retry is acknowledged again and stored no second time (V-4)."""
    for _ in range(2):
        assert (200, "ok") == await call_back(running, issued("0" * 32))
    assert [("e1",)] == await running.world.rows("SELECT event_id FROM inbox")


async def test_a_callback_that_is_not_the_providers_is_refused(running: Site) -> None:
    """Wrong secret, unknown provider and unreadable body are refused and not kept."""
    other = "whsec_" + SECRET[6:].swapcase()
    for status, code, answer in (
        (401, "signature_refused", await call_back(running, issued("0" * 32), secret=other)),
        (404, "not_found", await call_back(running, issued("0" * 32), provider="nobody")),
        (400, "callback_refused", await call_back(running, b"nonsense")),
        (413, "body_too_large", await call_back(running, b"x" * 70_000)),
    ):
        assert (status, code) == (answer[0], json.loads(answer[1])["code"])
    assert [] == await running.world.rows("SELECT event_id FROM inbox")


async def test_strange_callbacks_are_refused_in_words(running: Site) -> None:
    """Truly signed, and yet no more than refused: NUL, depth, bytes, an id without end."""
    good = issued("0" * 32)
    for status, code, answer in (
        (400, "callback_refused", await call_back(running, good.replace(b'"R"', b'"\\u0000"'))),
        (400, "callback_refused", await call_back(running, b"[" * 60_000)),
        (400, "callback_refused", await call_back(running, good[:-1] + b',"x":"\xff"}')),
        (401, "signature_refused", await call_back(running, good, id_="x" * 8_000)),
    ):
        assert (status, code) == (answer[0], json.loads(answer[1])["code"])
    assert [] == await running.world.rows("SELECT event_id FROM inbox")


async def test_the_tests_sign_with_the_worlds_clock(running: Site) -> None:
    """A callback signed by another time than the installation's is stale."""
    headers = signed_headers([parse_secret(SECRET)], "e1", int(time.time()), b"{}")
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.post("/callbacks/sandbox", data=b"{}", headers=headers) as answer,
    ):
        assert 401 == answer.status
