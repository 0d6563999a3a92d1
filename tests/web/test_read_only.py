"""A service whose books were wrong at its start: it is read, and nothing is written."""

import json
import re
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import aiohttp
import pytest
from litestar.routes import HTTPRoute

from benefits.actions.keys import make_key
from tests import builders
from tests.actions.life import change, claimed, holder, number_of, wish
from tests.conftest import database
from tests.web.phone import Form, Phone
from tests.web.site import Site, site
from tests.web.test_callbacks import call_back, issued

SCOPES = ["mobile", "crm", "operator", "approver"]
LEAVE_BOOKS = {"/v1/members:lookup", "/v1/page-sessions"}
TAMPER = "UPDATE wallet SET available = available + 1 WHERE unit = 'BENEFIT:VIDEO'"
MEND = "UPDATE wallet SET available = available - 1 WHERE unit = 'BENEFIT:VIDEO'"
READ_ONLY = "目前仅可查询，暂不能办理。"


class Wrong:
    """A database in which a hand was: a member has a video more than the postings give."""

    def __init__(self, dsn: str, member: UUID, number: str) -> None:
        self.dsn = dsn
        self.member = member
        self.number = number


@pytest.fixture
async def wrong(migrated: str, cluster_dsn: str) -> AsyncIterator[Wrong]:
    """Give a database whose books are wrong, and no process on it."""
    async with database(cluster_dsn, migrated) as dsn:
        async with builders.world(dsn) as world:
            member = await holder(world, quantity=3)
            (claim_id,) = await claimed(world, wish(member))
            number = await number_of(world, claim_id)
            await change(world, TAMPER)
        yield Wrong(dsn, member, number)


async def key_of(here: Site) -> str:
    """Return a key that may do whatever services may."""
    async with here.world.database.transaction() as conn:
        return await make_key(conn, "all", SCOPES, here.world.parts)


async def test_every_write_is_refused(wrong: Wrong) -> None:
    """Each address that changes something says so in the caller's language, and when to ask."""
    async with site(wrong.dsn) as here, aiohttp.ClientSession(here.url) as http:
        key = await key_of(here)
        routes = [route for route in here.app.routes if isinstance(route, HTTPRoute)]
        writes = {route.path_format for route in routes if "POST" in route.methods}
        assert len(writes) > 8
        assert writes >= LEAVE_BOOKS
        before = await here.world.rows("SELECT count(*) FROM request")
        for path in sorted(writes - LEAVE_BOOKS):
            real = path.replace("{provider}", "sandbox").replace("{member_id}", str(wrong.member))
            real = re.sub(r"\{\w+\}", str(uuid4()), real)
            headers = here.headers(key, **{"Accept-Language": "zh"})
            async with http.post(real, json={}, headers=headers) as answer:
                assert 503 == answer.status, path
                if path.startswith("/page"):
                    assert "暂时无法领取" in await answer.text()
                    continue
                told = json.loads(await answer.read())
            assert ("read_only", READ_ONLY) == (told["code"], told["title"])
            assert "60" == answer.headers["Retry-After"]
        assert before == await here.world.rows("SELECT count(*) FROM request")


async def test_reading_goes_on(wrong: Wrong) -> None:
    """Services see what members have, find customers and hear events."""
    async with site(wrong.dsn) as here, aiohttp.ClientSession(here.url) as http:
        headers = here.headers(await key_of(here))
        async with http.get(f"/v1/members/{wrong.member}/benefits", headers=headers) as answer:
            told = await answer.json()
        assert (200, 2) == (answer.status, told["benefits"][0]["available"])
        async with http.get("/v1/events", headers=headers) as answer:
            assert 200 == answer.status
        asked = {"references": ["T000001"]}
        async with http.post("/v1/members:lookup", json=asked, headers=headers) as answer:
            assert (200, {"T000001": str(wrong.member)}) == (
                answer.status,
                (await answer.json())["members"],
            )


async def test_members_see_their_benefits_and_no_form(wrong: Wrong) -> None:
    """The page opens; in place of the form stands a sentence."""
    async with site(wrong.dsn) as here, here.browser() as http:
        phone = Phone(here, http)
        html = await phone.enter(wrong.member)
        assert "Nothing can be claimed at the moment. Your benefits are safe." in html
        status, html = await phone.get("/page/benefits/VIDEO?lang=zh")
        assert (200, []) == (status, Form(html).forms)
        assert "暂时无法领取，您的权益不受影响。" in html
        assert "<strong>2</strong>" in html
        status, html = await phone.post("/page/claims?lang=en", {"benefit": "VIDEO"})
        assert (503, True) == (status, "Nothing can be claimed at the moment" in html)


async def test_ready_says_so_and_sends_nobody_away(wrong: Wrong) -> None:
    """The verdict names kinds and no member, and balancers go on to send readers."""
    async with site(wrong.dsn) as here, aiohttp.ClientSession(here.url) as http:
        async with http.get("/ready") as answer:
            told = await answer.json()
        words = "only reading, since the books are wrong: wallet_differs 1"
        assert (200, words, words) == (answer.status, told["status"], told["checks"]["books"])
        here.app.state.draining = True
        async with http.get("/ready") as answer:
            assert 503 == answer.status


async def test_a_callback_is_not_lost(wrong: Wrong) -> None:
    """It is not acknowledged, so the provider sends it again; mended and restarted, it counts."""
    async with site(wrong.dsn) as here:
        status, _ = await call_back(here, issued(wrong.number))
        assert 503 == status
        assert [] == await here.world.rows("SELECT event_id FROM inbox")
        await change(here.world, MEND)
    async with site(wrong.dsn) as here:
        assert (200, "ok") == await call_back(here, issued(wrong.number))
        assert [("e1",)] == await here.world.rows("SELECT event_id FROM inbox")
