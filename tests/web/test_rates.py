"""Rates over HTTP: what answers tell, when they refuse, and whose buckets are whose."""

import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from benefits.domain.rates import Quota, RateLimited
from benefits.domain.tokens import Issuer
from benefits.web.rates import BUCKETS_MAX, CREDENTIALS, Quotas, Rates
from tests.conftest import database
from tests.web.issuer import NAME, Signer
from tests.web.phone import Phone, platinum
from tests.web.site import SECRET, Site, site
from tests.web.test_callbacks import call_back, issued
from tests.web.test_mobile import WISH, call

# So slow that nothing comes back while a test runs.
HOUR = 3600
QUOTAS = Quotas(caller=Quota(8, HOUR), member=Quota(4, HOUR), failed=Quota(3, HOUR))


class Slow:
    """A running app whose rates are tight, and an issuer."""

    def __init__(self, running: Site, signer: Signer) -> None:
        self.running = running
        self.signer = signer

    def token(self, scope: str, **bound: Any) -> dict[str, str]:
        """Return the headers of a caller with a token."""
        token = self.signer.token(scope=scope, **bound)
        return {"Authorization": f"Bearer {token}"}

    async def get(self, member: UUID, headers: dict[str, str]) -> tuple[int, Any, Any]:
        """Read a member's history."""
        path = f"/v1/members/{member}/history"
        return await call(self.running, "GET", path, headers=dict(headers))


@pytest.fixture
async def slow(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Slow]:
    """Give a running app with rates that a test can spend."""
    signer = Signer("k1")
    path = tmp_path / "jwks"
    path.write_text(json.dumps({"keys": [signer.jwk]}))
    known = Issuer(
        issuer=NAME,
        alias="bank",
        audience="benefits",
        algorithms=("ES256",),
        jwks_file=str(path),
    )
    async with (
        database(cluster_dsn, migrated) as dsn,
        site(dsn, issuers=(known,), quotas=QUOTAS) as running,
    ):
        yield Slow(running, signer)


async def test_a_caller_is_told_what_is_left_and_when_to_come_back(slow: Slow) -> None:
    """Each answer tells the policy and the rest; the one too many tells how long to wait."""
    member = await slow.running.world.member()
    headers = slow.token("operator")
    for left in range(7, -1, -1):
        status, answered, _ = await slow.get(member, headers)
        assert (200, f'"caller";q=8;w={HOUR}') == (status, answered["RateLimit-Policy"])
        name, rest, whole = answered["RateLimit"].split(";")
        assert ('"caller"', f"r={left}") == (name, rest)
        assert 0 < int(whole.removeprefix("t=")) <= (8 - left) * HOUR / 8
    status, answered, problem = await slow.get(member, headers)
    assert (429, "rate_limited") == (status, problem["code"])
    assert 0 < int(answered["Retry-After"]) <= HOUR / 8
    assert answered["RateLimit"].startswith('"caller";r=0;t=')
    assert 200 == (await slow.get(member, slow.token("operator", sub="another")))[0]


async def test_a_members_tokens_and_writes_share_one_rate(slow: Slow) -> None:
    """A second token is no second rate, and what a backend claims for the member counts too."""
    member = await platinum(slow.running)
    other = await slow.running.world.member()
    path = f"/v1/members/{member}/claims"
    mobile = slow.running.headers(slow.running.mobile_key)
    status, answered, _ = await call(slow.running, "POST", path, json=WISH, headers=mobile)
    assert (201, f'"caller";q=8;w={HOUR}, "member";q=4;w={HOUR}') == (
        status,
        answered["RateLimit-Policy"],
    )
    for number in range(3):
        headers = slow.token("member", member_id=str(member), jti=str(number))
        status, answered, _ = await slow.get(member, headers)
        assert (200, f'"member";q=4;w={HOUR}') == (status, answered["RateLimit-Policy"])
    headers = slow.token("member", member_id=str(member), jti="one more")
    assert 429 == (await slow.get(member, headers))[0]
    fresh = slow.running.headers(slow.running.mobile_key)
    status, _, problem = await call(slow.running, "POST", path, json=WISH, headers=fresh)
    assert (429, "rate_limited") == (status, problem["code"])
    assert [(1,)] == await slow.running.world.rows("SELECT count(*) FROM claim")
    assert 200 == (await slow.get(member, mobile))[0]
    headers = slow.token("member", member_id=str(other))
    assert 200 == (await slow.get(other, headers))[0]


async def test_whoever_may_not_write_for_a_member_spends_nothing_of_theirs(slow: Slow) -> None:
    """Refused writes by strangers leave the member's own rate whole."""
    member = await platinum(slow.running)
    path = f"/v1/members/{member}/claims"
    strangers = [
        slow.token("provider", provider="sandbox"),
        slow.token("member", member_id=str(await slow.running.world.member())),
        slow.running.headers(slow.running.crm_key),
    ]
    for headers in strangers * 2:
        status, _, _ = await call(slow.running, "POST", path, json=WISH, headers=dict(headers))
        assert status in {403, 404}
    _, answered, _ = await slow.get(member, slow.token("member", member_id=str(member)))
    assert answered["RateLimit"].startswith('"member";r=3')


async def test_the_pages_forms_count_for_the_member(slow: Slow) -> None:
    """Nobody hammers at a benefit through the page; the page itself says to try later."""
    member = await platinum(slow.running)
    async with slow.running.browser() as http:
        phone = Phone(slow.running, http)
        await phone.enter(member)
        form = await phone.review("LOUNGE")
        for _ in range(4):
            assert 200 == (await phone.send(form))[0]
        status, html = await phone.send(form)
        assert (429, True) == (status, "try again in a moment" in html)


async def test_an_address_that_guesses_is_stopped_and_nobody_else(slow: Slow) -> None:
    """Three wrong ones, then 429: keys seen before and good tokens still pass from there."""
    member = await slow.running.world.member()
    known = slow.running.headers(slow.running.mobile_key)
    assert 200 == (await slow.get(member, known))[0]
    bad = {"Authorization": "Bearer bk_nobody"}
    forged = {"Authorization": f"Bearer {Signer('k1').token(scope='operator')}"}
    assert [401, 401, 401] == [
        (await slow.get(member, headers))[0] for headers in (bad, forged, bad)
    ]
    for headers in (bad, forged, slow.running.headers(slow.running.crm_key)):
        status, answered, problem = await slow.get(member, headers)
        assert (429, "rate_limited") == (status, problem["code"])
        assert 0 < int(answered["Retry-After"]) <= HOUR / 3
    assert 200 == (await slow.get(member, known))[0]
    assert 200 == (await slow.get(member, slow.token("operator")))[0]
    for _ in range(20):
        assert 200 == (await call(slow.running, "GET", "/health", headers=bad))[0]


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [((), [401, 401, 401, 429]), ((ip_network("127.0.0.0/8"),), [401, 401, 401, 401])],
)
async def test_an_address_behind_a_balancer_counts_when_the_balancer_is_known(
    migrated: str, cluster_dsn: str, proxies: Any, expected: list[int]
) -> None:
    """Only a named balancer is believed who is behind it."""
    async with (
        database(cluster_dsn, migrated) as dsn,
        site(dsn, quotas=QUOTAS, proxies=proxies) as running,
    ):
        got = []
        for number in range(4):
            headers = {"Authorization": "Bearer x", "X-Forwarded-For": f"192.0.2.{number}"}
            got.append(
                (await call(running, "GET", f"/v1/claims/{UUID(int=0)}", headers=headers))[0]
            )
        assert expected == got


async def test_refused_signatures_are_limited_and_good_ones_pass(slow: Slow) -> None:
    """Also behind the same address; keys, and entry codes, have tries of their own."""
    running = slow.running
    other = "whsec_" + SECRET[6:].swapcase()
    got = [(await call_back(running, issued("0" * 32), secret=other))[0] for _ in range(5)]
    assert [401, 401, 401, 429, 429] == got
    assert (200, "ok") == await call_back(running, issued("0" * 32))
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(running.url, cookie_jar=jar) as http:
        got = [(await http.get("/page/enter?code=wrong")).status for _ in range(5)]
        assert [401, 401, 401, 429, 429] == got
        headers = {"Authorization": "Bearer wrong"}
        assert 401 == (await slow.get(UUID(int=0), headers))[0]
        assert await Phone(running, http).enter(await running.world.member())


def test_an_ipv6_customer_is_one_address() -> None:
    """Whoever holds 2^64 addresses has the tries of one; an IPv4 address stands for itself."""
    rates = Rates(Quotas(failed=Quota(1, HOUR)))
    rates.failure("2001:db8::1")
    for tried in ("2001:db8::2", "2001:db8:0:0:ffff::9"):
        with pytest.raises(RateLimited):
            rates.check_failures(tried)
    for other in ("2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1", "unix"):
        rates.failure(other)
        with pytest.raises(RateLimited):
            rates.check_failures(other)
    rates.failure("192.0.2.2")


def test_buckets_are_bounded() -> None:
    """The one that was not asked for the longest is forgotten first."""
    rates = Rates(Quotas(failed=Quota(2, HOUR)))
    rates.failure("first")
    for number in range(BUCKETS_MAX):
        rates.failure(f"peer {number}")
    assert BUCKETS_MAX == len(rates._failed._buckets)
    assert (CREDENTIALS, "first") not in rates._failed._buckets


def test_what_is_off_is_not_counted() -> None:
    """Without a quota nothing is told and nothing refused."""
    rates = Rates(Quotas(caller=None, member=None, failed=None))
    scope = dict[str, Any]()
    for _ in range(1000):
        rates.caller(scope, "x")
        rates.failure("x")
    assert {} == scope
