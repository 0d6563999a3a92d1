"""A running app with something to write to on every route, for calls and their rehearsals."""

import re
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec

from benefits import measures
from benefits.domain.benefit import Kind
from benefits.domain.booking import Booking
from benefits.domain.orders import Capabilities, Done, RedeemBy
from benefits.domain.programme import Programme
from tests.actions.feeding import fed
from tests.actions.life import call_back, number_of
from tests.builders import NOON, reference_programme
from tests.rows import everything
from tests.web.site import Site
from tests.web.test_mobile import WISH, platinum
from tests.web.test_operator import key_of, strange_callbacks

WHITELIST = "PUT /v1/whitelists/founders"
REWARDS = "POST /v1/rewards"
MERGE = "POST /v1/members:merge"
ASSETS = "POST /v1/assets:import"
BULK = "POST /v1/grants:bulk"
OPERATORS = (
    *("/close", "/corrections", "/fills", "/proposals", "/reject"),
    *("/retry", "/pause", "/resume", "/reread", "/{batch}"),
)
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
ENTRY = re.compile(r"code=[\w%-]+")
AGE = re.compile(r"age_s': \d+")


class Answer(msgspec.Struct, frozen=True):
    """What a caller hears."""

    status: int
    body: Any
    headers: Any  # names in any case

    @property
    def masked(self) -> tuple[int, str, dict[str, str]]:
        """What must be equal: all but ids, entry codes, providers' codes and ages in seconds."""
        body = AGE.sub("age_s", ENTRY.sub("code=…", UUID_TEXT.sub("<id>", str(self.body))))
        told = {"Idempotency-Replayed", "Location", "Retry-After", "Content-Type"}
        told |= {"Cache-Control", "WWW-Authenticate"}
        kept = {name: self.headers[name] for name in told if name in self.headers}
        return self.status, body, {name: UUID_TEXT.sub("<id>", v) for name, v in kept.items()}


class Stage:
    """A running app with something to write to on every route."""

    def __init__(self, running: Site) -> None:
        self.running = running
        self.world = running.world
        self.places: dict[str, Any] = {}
        self.member: UUID | None = None
        self.operator_key = self.approver_key = ""
        self.hash = self.fill_hash = self.rule_hash = ""

    async def fill(self) -> None:
        """Bring a member with units, a delivered and an open claim, and a case."""
        await self.world.apply(bookable())
        self.member = await platinum(self.running)
        claims = f"/v1/members/{self.member}/claims"
        made = [await self.running.post(claims, WISH, self.running.mobile_key) for _ in "ab"]
        delivered, open_ = [UUID(body["id"]) for _, body in made]
        number = await number_of(self.world, delivered)
        await call_back(self.world, number, Done(at=NOON, code="4829-1355"))
        await strange_callbacks(self.running, 1)
        ((case,),) = await self.world.rows("SELECT case_id FROM case_file")
        closed = await self.world.member()
        await self.world.rows(
            "UPDATE member SET closed_on = '2025-06-01' WHERE member_id = $1 RETURNING 1", closed
        )
        self.operator_key = await key_of(self.running, "operator")
        self.places = {
            "member": self.member,
            "closed": closed,
            "nobody": uuid4(),
            "claim": delivered,
            "open": open_,
            "case": case,
            "order": await number_of(self.world, open_),
            "ended": uuid4().hex,
            "provider": "sandbox",
            "sku": "LATTE",
            "batch": "march",
        }
        await self.fill_booking()
        await self.fill_corrections()
        await fed(self.world)
        self.places |= {"feed": 0, "labels": 0}
        for name, day in (("fill", 29), ("unfilled", 30)):
            _, fill = await self.running.post("/v1/fills", filling(day), self.operator_key)
            self.fill_hash = self.fill_hash or fill["hash"]
            self.places[name] = fill["id"]
        for name in ("rule", "unruled"):
            _, rule = await self.running.post("/v1/proposals", blocking(self), self.operator_key)
            self.rule_hash = self.rule_hash or rule["hash"]
            self.places[name] = rule["id"]

    async def fill_booking(self) -> None:
        """Bring a claim that is booked."""
        wish = {**WISH, "benefit": "VIDEO", "booked_for": "2025-07-09T12:00:00+08:00"}
        claims = f"/v1/members/{self.member}/claims"
        _, claim = await self.running.post(claims, wish, self.running.mobile_key)
        self.places["booked"] = claim["id"]

    async def fill_corrections(self) -> None:
        """Bring a lot and two proposals to revoke it."""
        self.approver_key = await key_of(self.running, "approver")
        reward = gift(self, benefit="VIDEO", business_key="c", quantity=2)
        _, lot = await self.running.post("/v1/rewards", reward, self.running.crm_key)
        self.places["lot"] = lot["lot_id"]
        made = [
            (await self.running.post("/v1/corrections", revoking(self, 2), self.operator_key))[1]
            for _ in "ab"
        ]
        self.hash = made[0]["hash"]
        self.places |= {"correction": made[0]["id"], "rejected": made[1]["id"]}

    def key_for(self, route: str) -> str:
        """Return an API key that may call a route."""
        if "/redemptions" in route:
            return self.running.crm_key
        if route in {REWARDS, ASSETS, BULK, MERGE, WHITELIST} or "feeds/" in route:
            return self.running.crm_key
        if route.endswith("/approve"):
            return self.approver_key
        mine = route.endswith(OPERATORS)
        return self.operator_key if mine else self.running.mobile_key

    def url(self, route: str) -> str:
        """Return a route's address."""
        return re.sub(r"\{(\w+)\}", lambda m: str(self.places[m[1]]), route.split()[1])

    async def ask(
        self,
        path: str,
        body: Any,
        headers: dict[str, str],
        *,
        method: str = "POST",
        dry_run: bool = False,
    ) -> Answer:
        """Send a body to a path."""
        sent: dict[str, Any] = {"json": body}
        if isinstance(body, str):
            sent = {"data": body.encode()}
            headers = {**headers, "Content-Type": "text/csv"}
        query = {"dry_run": "true"} if dry_run else {}
        async with (
            aiohttp.ClientSession(self.running.url) as http,
            http.request(method, path, headers=headers, params=query, **sent) as answer,
        ):
            said = await answer.json(content_type=None)
            return Answer(answer.status, said, answer.headers)

    async def both(self, route: str, body: Any, headers: dict[str, str]) -> Answer:
        """Rehearse a call, see that nothing changed, make it; return what both said."""
        path, method = self.url(route), route.split(maxsplit=1)[0]
        before, counted = await everything(self.world.database), claims_counted()
        dry = await self.ask(path, body, headers, method=method, dry_run=True)
        assert before == await everything(self.world.database)
        assert (counted, "true") == (claims_counted(), dry.headers.get("Dry-Run"))
        real = await self.ask(path, body, headers, method=method)
        assert "Dry-Run" not in real.headers
        if "4829-1355" in str(real.body):  # a look at a code leaves its record, or is none
            assert {"code": "", "codes": []} == dry.body
            dry = msgspec.structs.replace(dry, body=real.body)
        assert real.masked == dry.masked
        return real


def bookable() -> Programme:
    """Return the reference programme with videos that are booked, and uses that we tell."""
    programme, can = reference_programme(), Capabilities(redeem_by=RedeemBy.US)
    lounge, video = programme.benefit
    booking = Booking(free_cancel_hours=1)
    booked = msgspec.structs.replace(video, kind=Kind.BOOKING, booking=booking)
    provider = msgspec.structs.replace(programme.provider[0], capabilities=can)
    return msgspec.structs.replace(programme, provider=(provider,), benefit=(lounge, booked))


def claims_counted() -> float:
    """Return how many claims the instrument has seen come to be."""
    name = "benefits_claims_total"
    return measures.REGISTRY.get_sample_value(name, {"state": "HELD"}) or 0.0


def gift(stage: Stage, **more: Any) -> dict[str, Any]:
    """Return a reward's body."""
    reward = {"member_id": str(stage.member), "benefit": "VIDEO", "business_key": "b"}
    return {**reward, **more}


def revoking(stage: Stage, quantity: int, **more: Any) -> dict[str, Any]:
    """Return the body of a proposal to revoke units of the lot."""
    body = {"member_id": str(stage.member), "kind": "REVOKE", "quantity": quantity}
    why = {"reason": "GOODWILL", "note": "Mine."}
    return {**body, **why, "lot_id": stage.places["lot"], **more}


def filling(day: int, **more: Any) -> dict[str, Any]:
    """Return the body of a proposal to fill a day of May."""
    said = {"source": "core", "date": f"2025-05-{day}", "kind": "ZERO", "note": "Down."}
    return {**said, **more}


def blocking(stage: Stage, **more: Any) -> dict[str, Any]:
    """Return the body of a proposal to block the member's rewards and claims from next year on."""
    begins = {"begins_at": "2026-01-01T00:00:00+08:00"}
    block = {"member_id": str(stage.member), "scope": "ALL", "why": "DISPUTE", **begins, **more}
    return {"note": "As agreed.", "block": block}
