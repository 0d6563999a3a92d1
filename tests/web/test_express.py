"""What is answered without the framework is answered just as with it."""

from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from benefits.domain.rates import Quota
from benefits.domain.signature import parse_secret, signed_headers
from benefits.web.express import Express
from benefits.web.rates import Quotas, Rates
from tests.web.site import SECRET, Site
from tests.web.test_callbacks import issued
from tests.web.test_mobile import WISH, call, platinum

# Of each answer its own.
OWN = {"date", "x-request-id", "ratelimit", "location"}
NOBODY = "7d4f9c0e-5b1a-4c3d-8e2f-a1b2c3d4e5f6"
FRAMEWORK = "?dry_run=false"  # a query is never plain


class Counted:
    """Counts what goes on to the framework."""

    def __init__(self, site: Site) -> None:
        limits: Any = site.app.asgi_handler._app  # type: ignore[attr-defined]  # of Observed
        express: Express = limits._app
        self._app = express._app
        express._app = self.ask
        self.asked = 0

    async def ask(self, scope: Any, receive: Any, send: Any) -> None:
        """Count and go on."""
        self.asked += 1
        await self._app(scope, receive, send)


async def both(site: Site, member: UUID | str, body: Any, **headers: str) -> tuple[Any, Any]:
    """Return the answers to a claim with and without the framework, each under its own key."""
    answers = []
    for query in ("", FRAMEWORK):
        sent = site.headers(site.mobile_key) | {"Accept-Language": "zh"} | headers
        status, got, said = await call(
            *(site, "POST", f"/v1/members/{member}/claims{query}"), headers=sent, **body
        )
        kept = {n.lower(): value for n, value in got.items() if n.lower() not in OWN}
        if "id" in said:
            UUID(said.pop("id"))
        answers.append((status, kept, said))
    return answers[0], answers[1]


async def test_a_backends_claim_does_not_meet_the_framework(running: Site) -> None:
    """Once the key is known, claims, replays and refusals are answered before it."""
    member = await platinum(running)
    path = f"/v1/members/{member}/claims"
    await call(running, "GET", f"/v1/members/{member}/benefits")
    counted = Counted(running)
    status, headers, placed = await call(running, "POST", path, json=WISH, key="tap")
    assert (201, f"/v1/claims/{placed['id']}") == (status, headers["Location"])
    status, headers, again = await call(running, "POST", path, json=WISH, key="tap")
    assert (201, "true", placed) == (status, headers["Idempotency-Replayed"], again)
    wish = {**WISH, "quantity": 50}
    status, _, problem = await call(running, "POST", path, json=wish, key="more")
    assert (409, "insufficient_units") == (status, problem["code"])
    assert 0 == counted.asked
    await call(running, "POST", path + FRAMEWORK, json=WISH, key="tap")
    assert 1 == counted.asked


@pytest.mark.parametrize(
    "body",
    [
        {"json": WISH},
        {"json": {**WISH, "quantity": 50}},
        {"json": {**WISH, "quantity": 0}},
        {"json": {**WISH, "quantity": "two"}},
        {"json": {**WISH, "colour": "red"}},
        {"json": {"benefit": "NONE"}},
        {"json": {"benefit": "LOUNGE"}},
        {"json": {**WISH, "recipient": {"phone": "1" * 20_000}}},
        {"json": {**WISH, "recipient": {"phone": "1" * 70_000}}},
        {"data": b'{"benefit":"\xff"}'},
        {"data": b"[" * 9000},
        {"data": b""},
        {"data": b'{"benefit": "LOUNGE"'},
    ],
)
async def test_every_body_is_answered_alike(running: Site, body: Any) -> None:
    """Status, headers and words are the same, whoever answers."""
    member = await platinum(running)
    await call(running, "GET", f"/v1/members/{member}/benefits")
    plain, framework = await both(running, member, body)
    assert framework == plain


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "k" * 65},
        {"Authorization": "Bearer nobody"},
        {"Authorization": "Basic x"},
        {"Content-Encoding": "gzip"},
        {"Content-Type": "text/plain"},
        {"Accept-Language": "fr"},
    ],
)
async def test_every_head_is_answered_alike(running: Site, headers: dict[str, str]) -> None:
    """What is odd about a request is told as ever."""
    member = await platinum(running)
    await call(running, "GET", f"/v1/members/{member}/benefits")
    plain, framework = await both(running, member, {"json": WISH}, **headers)
    assert framework == plain


@pytest.mark.parametrize("member", [NOBODY, NOBODY.upper(), "nobody", "x/../y"])
async def test_every_address_is_answered_alike(running: Site, member: str) -> None:
    """A member who is none, and an id that is none."""
    await call(running, "GET", f"/v1/members/{uuid4()}/benefits")
    plain, framework = await both(running, member, {"json": WISH})
    assert framework == plain


async def test_a_claim_too_many_and_one_while_nothing_is_written_are_answered_alike(
    running: Site,
) -> None:
    """Rates count once for each request; books that are wrong stop all writes."""
    member = await platinum(running)
    await call(running, "GET", f"/v1/members/{member}/benefits")
    running.app.state["wrong"] = ["wallet_differs"]
    plain, framework = await both(running, member, {"json": WISH})
    assert (503, framework) == (plain[0], plain)
    running.app.state["wrong"] = []
    rates = Rates(Quotas(caller=None, member=Quota(4, 3600), failed=None))
    running.app.state["rates"] = rates
    for _ in range(2):
        plain, framework = await both(running, member, {"json": WISH})
        assert framework == plain
    plain, framework = await both(running, member, {"json": WISH})
    assert (429, 429) == (plain[0], framework[0])
    assert framework[2] == plain[2]


async def test_a_failure_tells_its_incident(running: Site) -> None:
    """What nobody foresaw is a 500 with an incident, as everywhere."""
    member = await platinum(running)
    await call(running, "GET", f"/v1/members/{member}/benefits")

    class Broken:
        async def submit(self, _command: Any) -> None:
            raise ZeroDivisionError

    running.app.state["claims"] = Broken()
    plain, framework = await both(running, member, {"json": WISH})
    assert (500, 500, "internal") == (plain[0], framework[0], plain[2]["code"])
    assert len(plain[2]["incident"]) == len(framework[2]["incident"])


async def looks(site: Site, member: UUID | str, **headers: str) -> tuple[Any, Any]:
    """Return the answers to a look at a member with and without the framework."""
    answers = []
    for query in ("", "?x=y"):
        sent = site.headers(site.mobile_key) | {"Accept-Language": "zh"} | headers
        status, got, said = await call(
            site, "GET", f"/v1/members/{member}/benefits{query}", headers=sent
        )
        answers.append(
            (status, {n.lower(): v for n, v in got.items() if n.lower() not in OWN}, said)
        )
    return answers[0], answers[1]


async def test_a_backends_look_does_not_meet_the_framework(running: Site) -> None:
    """Once the key is known, what a member has is told before it, also by who only reads."""
    member = await platinum(running)
    await looks(running, member)
    running.app.state["wrong"] = ["wallet_differs"]
    counted = Counted(running)
    plain, framework = await looks(running, member)
    assert 1 == counted.asked
    assert (200, framework) == (plain[0], plain)
    assert ["LOUNGE", "VIDEO"] == [one["code"] for one in plain[2]["benefits"]]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer nobody"},
        {"Authorization": "Basic x"},
        {"Content-Encoding": "gzip"},
        {"Accept-Language": "fr"},
        {"Accept": "text/html"},
    ],
)
async def test_every_head_of_a_look_is_answered_alike(
    running: Site, headers: dict[str, str]
) -> None:
    """What is odd about a request is told as ever."""
    member = await platinum(running)
    await looks(running, member)
    plain, framework = await looks(running, member, **headers)
    assert framework == plain


@pytest.mark.parametrize("member", [NOBODY, NOBODY.upper(), "nobody", "x/../y"])
async def test_every_address_of_a_look_is_answered_alike(running: Site, member: str) -> None:
    """A member who is none, and an id that is none."""
    await looks(running, uuid4())
    plain, framework = await looks(running, member)
    assert framework == plain


async def test_a_look_too_many_and_one_that_fails_are_answered_alike(running: Site) -> None:
    """Rates count once for each request; what nobody foresaw is a 500 with an incident."""
    member = await platinum(running)
    await looks(running, member)
    rates = Rates(Quotas(caller=Quota(2, 3600), member=None, failed=None))
    running.app.state["rates"] = rates
    assert [200, 200] == [one[0] for one in await looks(running, member)]
    plain, framework = await looks(running, member)
    assert (429, framework[2]) == (plain[0], plain[2])
    running.app.state["rates"] = Rates(Quotas(caller=None, member=None, failed=None))

    class Broken:
        async def submit(self, _command: Any) -> None:
            raise ZeroDivisionError

    running.app.state["looks"] = Broken()
    plain, framework = await looks(running, member)
    assert (500, 500, "internal") == (plain[0], framework[0], plain[2]["code"])


async def told(site: Site, body: bytes, provider: str = "sandbox", **more: str) -> tuple[Any, Any]:
    """Return the answers to a callback with and without the framework, told twice."""
    answers = []
    for query in ("", "?x=y"):
        now = int(site.world.clock().timestamp())
        headers = signed_headers([parse_secret(SECRET)], "e1", now, body) | more
        async with (
            aiohttp.ClientSession(site.url) as http,
            http.post(f"/callbacks/{provider}{query}", data=body, headers=headers) as answer,
        ):
            kept = {n.lower(): v for n, v in answer.headers.items() if n.lower() not in OWN}
            answers.append((answer.status, kept, await answer.text()))
    return answers[0], answers[1]


async def test_a_callback_does_not_meet_the_framework(running: Site) -> None:
    """It is kept once, and acknowledged alike each time."""
    counted = Counted(running)
    plain, framework = await told(running, issued("0" * 32))
    assert (1, 200, "ok", framework) == (counted.asked, plain[0], plain[2], plain)
    assert [("e1",)] == await running.world.rows("SELECT event_id FROM inbox")


@pytest.mark.parametrize(
    ("status", "body", "provider", "headers"),
    [
        (401, b"{}", "sandbox", {"webhook-signature": "v1,x"}),
        (400, b"nonsense", "sandbox", {}),
        (400, b"\xff", "sandbox", {}),
        (404, b"{}", "nobody", {}),
        (404, b"{}", "nobody", {"Accept-Language": "zh"}),
        (415, b"{}", "sandbox", {"Content-Encoding": "gzip"}),
        (413, b"x" * 70_000, "sandbox", {}),
    ],
)
async def test_every_bad_callback_is_answered_alike(
    running: Site, status: int, body: bytes, provider: str, headers: dict[str, str]
) -> None:
    """What is refused is refused in the same words."""
    plain, framework = await told(running, body, provider, **headers)
    assert (status, framework) == (plain[0], plain)


async def test_a_callback_while_nothing_is_written_is_answered_alike(running: Site) -> None:
    """The provider is to send it again."""
    running.app.state["wrong"] = ["wallet_differs"]
    plain, framework = await told(running, issued("0" * 32))
    assert (503, framework) == (plain[0], plain)
