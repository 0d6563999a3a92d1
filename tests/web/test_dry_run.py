"""A dry run of every write: the real call's answer, and a database that holds what it held."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest

from benefits import measures
from benefits.actions import import_files
from benefits.domain.feeds import digest_of
from benefits.domain.jobs import PART_LINES
from benefits.domain.orders import Done, RedeemBy
from tests.actions.feeding import fed
from tests.actions.life import call_back, number_of, provider_can
from tests.builders import NOON, PROGRAMME
from tests.rows import everything
from tests.web.site import Site
from tests.web.test_auth import routes
from tests.web.test_mobile import WISH, platinum
from tests.web.test_operator import key_of, strange_callbacks

CONSENTS = "POST /v1/members/{member}/consents"
CHOICES = "POST /v1/members/{member}/choices"
WHITELIST = "PUT /v1/whitelists/founders"
STOCK = "PUT /v1/providers/{provider}/stock/{sku}/{batch}"
CLAIMS = "POST /v1/members/{member}/claims"
REWARDS = "POST /v1/rewards"
MERGE = "POST /v1/members:merge"
ASSETS = "POST /v1/assets:import"
CLOSE = "POST /v1/cases/{case}/close"
RETRY = "POST /v1/orders/{order}/retry"
PAUSE = "POST /v1/providers/{provider}/pause"
RESUME = "POST /v1/providers/{provider}/resume"
SESSIONS = "POST /v1/page-sessions"
CODE = "POST /v1/claims/{claim}/code"
REDEEM = "POST /v1/claims/{claim}/redemptions"
REVERSE = "POST /v1/claims/{claim}/redemptions/{nobody}/reverse"
BULK = "POST /v1/grants:bulk"
PROPOSE = "POST /v1/corrections"
APPROVE = "POST /v1/corrections/{correction}/approve"
REJECT = "POST /v1/corrections/{rejected}/reject"
FILL = "POST /v1/fills"
APPROVE_FILL = "POST /v1/fills/{fill}/approve"
REJECT_FILL = "POST /v1/fills/{unfilled}/reject"
RULE = "POST /v1/proposals"
APPROVE_RULE = "POST /v1/proposals/{rule}/approve"
REJECT_RULE = "POST /v1/proposals/{unruled}/reject"
OPEN = "PUT /v1/feeds/core/2025-07-01/{feed}"
CHUNK = f"{OPEN}/chunks/1"
SEAL = f"{OPEN}/manifest"
BALANCES = "customer,asset_class,currency,balance\nT000001,DEPOSIT,CNY,7.00\n"
LIST = "benefit,business_key,customer,quantity\n"
# Granted, known from a line before, refused by form and by rule.
LINES = LIST + "VIDEO,l,T000001,2\nVIDEO,l,T000001,2\nVIDEO,l,nobody,1\nVIDEO,,T000001,1\n"
OPERATORS = (
    *("/close", "/corrections", "/fills", "/proposals", "/reject"),
    *("/retry", "/pause", "/resume", "/{batch}"),
)
# Changes nothing: it is a question that must not stand in an address.
QUESTIONS = {"POST /v1/members:lookup"}
FEED, CHUNKS = re.compile(r"/feeds/\w+/[0-9-]+/(\d+|\{\})"), re.compile(r"chunks/\d+")
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
ENTRY = re.compile(r"code=[\w%-]+")
CSV = "customer,as_of,asset_class,currency,balance,account,source,revision\n"
DAY = CSV + "T000001,2025-07-01,DEPOSIT,CNY,7.00,,,0\n"
LATE = "2025-07-01,DEPOSIT,CNY"
# Good and bad lines; in chunks of three, most of the bad ones meet what an earlier chunk said.
MIXED = (
    CSV
    + f"T000001,{LATE},1.00,a,,0\nnobody,{LATE},1.00,a,,0\nT000001,{LATE},2.00,b,,0\n"
    + f"T000001,{LATE},1.00,a,,0\nT000001,{LATE},9.00,b,,0\nT000001,{LATE},2.00,b,,0\n"
    + f"T000001,{LATE},0.50,b,,1\nT000001,{LATE},1.00,USD,,0\nT000001,{LATE},9.00,a,,0\n"
    + f"T000001,{LATE},0.10,b,,2\nT000001,{LATE},0.50,b,,1\nT000001,{LATE},3.00,c,,0\n"
    + "T000001,2025-05-31,DEPOSIT,CNY,3.00,,,0\n"
)


class Answer(msgspec.Struct, frozen=True):
    """What a caller hears."""

    status: int
    body: Any
    headers: Any  # names in any case

    @property
    def masked(self) -> tuple[int, str, dict[str, str]]:
        """What must be equal: all but ids, entry codes and providers' codes."""
        body = ENTRY.sub("code=…", UUID_TEXT.sub("<id>", str(self.body)))
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
        await provider_can(self.world, redeem_by=RedeemBy.US)
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
        await self.fill_corrections()
        await fed(self.world)
        self.places["feed"] = 0
        for name, day in (("fill", 29), ("unfilled", 30)):
            _, fill = await self.running.post("/v1/fills", filling(day), self.operator_key)
            self.fill_hash = self.fill_hash or fill["hash"]
            self.places[name] = fill["id"]
        for name in ("rule", "unruled"):
            _, rule = await self.running.post("/v1/proposals", blocking(self), self.operator_key)
            self.rule_hash = self.rule_hash or rule["hash"]
            self.places[name] = rule["id"]

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
        if route in {REWARDS, ASSETS, BULK, MERGE, WHITELIST} or "/feeds/" in route:
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


@pytest.fixture
async def stage(running: Site) -> Stage:
    """Give a stage with everything on it."""
    made = Stage(running)
    await made.fill()
    return made


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


def corrections(stage: Stage) -> Iterator[tuple[str, Any, int]]:
    """Yield calls on corrections: of two proposals one is approved, the other withdrawn."""
    yield PROPOSE, revoking(stage, 1), 201
    yield PROPOSE, revoking(stage, 3), 409
    yield PROPOSE, revoking(stage, 1, lot_id=None), 422
    yield PROPOSE, revoking(stage, 1, member_id=str(stage.places["nobody"])), 404
    yield APPROVE, {"hash": "0" * 64}, 409
    yield APPROVE, {"hash": stage.hash}, 200
    yield APPROVE, {"hash": stage.hash}, 409
    yield APPROVE.replace("{correction}", "{nobody}"), {"hash": stage.hash}, 404
    yield REJECT, {"note": "Mine."}, 200
    yield REJECT, {"note": "Mine."}, 409
    yield REJECT.replace("{rejected}", "{nobody}"), {"note": "Mine."}, 404


def filling(day: int, **more: Any) -> dict[str, Any]:
    """Return the body of a proposal to fill a day of May."""
    said = {"source": "core", "date": f"2025-05-{day}", "kind": "ZERO", "note": "Down."}
    return {**said, **more}


def fills(stage: Stage) -> Iterator[tuple[str, Any, int]]:
    """Yield calls on fills: of two proposals one is approved, the other withdrawn."""
    yield FILL, filling(31), 201
    yield FILL, filling(31, source="cores"), 422
    yield FILL, filling(31, kind="MANUAL"), 422
    yield FILL, filling(31, kind="CARRY_FORWARD"), 409
    yield FILL, filling(31, date="2025-06-30"), 409
    yield APPROVE_FILL, {"hash": "0" * 64}, 409
    yield APPROVE_FILL, {"hash": stage.fill_hash}, 200
    yield APPROVE_FILL, {"hash": stage.fill_hash}, 409
    yield APPROVE_FILL.replace("{fill}", "{nobody}"), {"hash": stage.fill_hash}, 404
    yield FILL, filling(29), 409
    yield REJECT_FILL, {"note": "Mine."}, 200
    yield REJECT_FILL, {"note": "Mine."}, 409
    yield REJECT_FILL.replace("{unfilled}", "{nobody}"), {"note": "Mine."}, 404


def blocking(stage: Stage, **more: Any) -> dict[str, Any]:
    """Return the body of a proposal to block the member's rewards and claims from next year on."""
    begins = {"begins_at": "2026-01-01T00:00:00+08:00"}
    block = {"member_id": str(stage.member), "scope": "ALL", "why": "DISPUTE", **begins, **more}
    return {"note": "As agreed.", "block": block}


def rules(stage: Stage) -> Iterator[tuple[str, Any, int]]:
    """Yield calls on proposals: a block, a version, a combination, and what is none of them."""
    more = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 3, DIAMOND = 6")
    pair = {"programme": "wealth", "trigger": "REFERRAL", "nature": "CASH"}
    opinion = {**pair, "citation": "Opinion 12.", "text": "Small ones."}
    yield RULE, blocking(stage), 201
    yield RULE, blocking(stage, scope="BENEFIT"), 422
    yield RULE, blocking(stage, member_id=str(stage.places["nobody"])), 404
    yield RULE, {"note": "More.", "programme": {"document": more}}, 201
    yield RULE, {"note": "None.", "programme": {"document": "code = 1"}}, 422
    yield RULE, {"note": "Cash.", "compliance": opinion}, 201
    yield RULE, {"note": "Nothing."}, 422
    yield RULE, {"note": "Two.", "compliance": opinion, **blocking(stage)}, 422
    yield RULE, {"note": "Gone.", "unblock": {"block_id": str(stage.places["nobody"])}}, 404
    yield APPROVE_RULE, {"hash": "0" * 64}, 409
    yield APPROVE_RULE, {"hash": stage.rule_hash}, 200
    yield APPROVE_RULE, {"hash": stage.rule_hash}, 409
    yield APPROVE_RULE.replace("{rule}", "{nobody}"), {"hash": stage.rule_hash}, 404
    yield REJECT_RULE, {"note": "Mine."}, 200
    yield REJECT_RULE, {"note": "Mine."}, 409
    yield REJECT_RULE.replace("{unruled}", "{nobody}"), {"note": "Mine."}, 404


def feeds(stage: Stage) -> Iterator[tuple[str, Any, int]]:
    """Yield calls on feeds: of two days one matches its manifest."""
    digest = digest_of([sha256(BALANCES.encode()).digest()])
    said = {"rows": 1, "totals": {"CNY": "7.00"}, "sha256": digest}
    yield CHUNK, BALANCES, 404
    yield OPEN.replace("core", "cores"), None, 422
    yield OPEN, None, 201
    yield CHUNK, BALANCES, 201
    yield CHUNK, BALANCES + BALANCES, 409
    yield SEAL, said, 200
    yield SEAL, {**said, "rows": 2}, 409
    yield OPEN.replace("{feed}", "1"), None, 201
    yield SEAL.replace("{feed}", "1"), said, 422


def uses() -> Iterator[tuple[str, Any, int]]:
    """Yield calls about the use of a claim: what was told waits for the provider's answer."""
    yield REDEEM, {"place": "Gate 7"}, 201
    yield REDEEM, {"place": "Gate 7"}, 409
    yield REDEEM, {"amount_minor": -1}, 400
    yield REDEEM.replace("claim}", "open}"), {}, 409
    yield REDEEM.replace("claim}", "nobody}"), {}, 404
    yield REVERSE, None, 404


def providers() -> Iterator[tuple[str, Any, int]]:
    """Yield calls about a provider that is paused and goes on, and about an order."""
    yield PAUSE, {"reason": "Theirs.", "until": "2025-06-01T00:00:00Z"}, 422
    yield PAUSE, {"reason": "Theirs.", "sku": "none"}, 404
    yield PAUSE, {"reason": "Theirs."}, 200
    yield PAUSE, {"reason": ""}, 400
    yield RESUME.replace("{provider}", "{ended}"), {"reason": "Over."}, 404
    yield RESUME, {"reason": "Over."}, 200
    yield STOCK, {"codes": [{"code": "A1"}]}, 404
    yield STOCK, {"codes": []}, 400
    yield RETRY, None, 200
    yield RETRY.replace("{order}", "{ended}"), None, 404


def merges() -> Iterator[tuple[str, Any, int]]:
    """Yield calls that merge customers, the last thing that happens to them."""
    yield MERGE, {"customer": "T000002", "into": "T000001"}, 200
    yield MERGE, {"customer": "T000002", "into": "T000001"}, 200  # as it is
    yield MERGE, {"customer": "T000001", "into": "T000002"}, 409
    yield MERGE, {"customer": "T000001", "into": "T000001"}, 422
    yield MERGE, {"customer": "nobody", "into": "T000001"}, 404


def wishes(stage: Stage) -> Iterator[tuple[str, Any, int]]:
    """Yield calls on every write route, in an order that gives each its answer."""
    nobody, closed = str(stage.places["nobody"]), str(stage.places["closed"])
    yield from corrections(stage)
    yield from feeds(stage)
    yield from fills(stage)
    yield from rules(stage)
    yield CLAIMS, {"benefit": "VIDEO", "recipient": {"phone": "13800000001"}}, 201
    yield CLAIMS, WISH, 409
    yield CLAIMS, {**WISH, "quantity": 101}, 422
    yield CLAIMS, {"benefit": "LOUNGE"}, 422
    yield CLAIMS, {"benefit": "NONE"}, 404
    yield CLAIMS, {"benefit": 1}, 400
    yield CLAIMS.replace("{member}", "{nobody}"), WISH, 404
    yield CLAIMS.replace("{member}", "{closed}"), WISH, 409
    yield WHITELIST, {"customers": ["T000001", "nobody"], "begins_on": "2025-07-02"}, 200
    yield WHITELIST, {"customers": [], "begins_on": "2025-07-01"}, 422
    yield WHITELIST, {"customers": [], "ends_before": "2025-07-01"}, 422
    yield CHOICES, {"choice": "PICK", "benefit": "VIDEO"}, 404
    said = {"purpose": "phone", "provider": "sandbox", "given": False}
    yield CONSENTS, said, 200
    yield CONSENTS, {**said, "given": True}, 404
    yield CONSENTS, {**said, "purpose": ""}, 400
    yield CONSENTS.replace("{member}", "{nobody}"), said, 404
    yield REWARDS, gift(stage), 201
    yield REWARDS, gift(stage), 201  # the lot that there is
    yield REWARDS, gift(stage, member_id=nobody), 404
    yield REWARDS, gift(stage, member_id=closed), 409
    yield REWARDS, gift(stage, benefit="NONE"), 404
    yield REWARDS, gift(stage, quantity=0), 422
    yield REWARDS, gift(stage, valid_days=0), 422
    yield ASSETS, DAY, 200
    yield ASSETS, MIXED, 200
    yield ASSETS, "customer,as_of\n", 422
    yield BULK, LINES, 200
    yield BULK, LIST, 200
    yield BULK, "benefit\n", 422
    yield CODE, None, 200
    yield CODE.replace("claim}", "open}"), None, 409
    yield CODE.replace("claim}", "nobody}"), None, 404
    yield from uses()
    yield from providers()
    yield CLOSE, {"note": ""}, 400
    yield CLOSE, {"note": "Their test system."}, 200
    yield CLOSE, {"note": "Mine."}, 409
    yield CLOSE.replace("{case}", "{nobody}"), {"note": "Mine."}, 404
    yield SESSIONS, {"member_id": str(stage.member), "language": "zh"}, 201
    yield SESSIONS, {"member_id": nobody}, 404
    yield from merges()


async def test_a_dry_run_answers_as_the_call_and_writes_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I14 on every route: effects, refusals, the key again, the key for something else."""
    monkeypatch.setattr(import_files, "CHUNK", 3)
    others = {CLAIMS: {"benefit": "OTHER"}, REWARDS: gift(stage, quantity=7), ASSETS: CSV}
    others |= {CLOSE: {"note": "Another."}, REJECT: {"note": "Another."}, BULK: LIST + "x\n"}
    others |= {PROPOSE: revoking(stage, 2), APPROVE: {"hash": "1" * 64}}
    others |= {FILL: filling(28), APPROVE_FILL: {"hash": "1" * 64}}
    others |= {REJECT_FILL: {"note": "Another."}, REJECT_RULE: {"note": "Another."}}
    others |= {RULE: blocking(stage, why="OTHER"), APPROVE_RULE: {"hash": "1" * 64}}
    others |= {REDEEM: {"place": "Gate 8"}, PAUSE: {"reason": "Ours."}}
    others |= {RESUME: {"reason": "Ours."}}
    others |= {MERGE: {"customer": "T000001", "into": "nobody"}}
    for route, body, status in wishes(stage):
        headers = stage.running.headers(stage.key_for(route))
        real = await stage.both(route, body, headers)
        assert status == real.status, (route, body, real.body)
        again = await stage.both(route, body, headers)
        if route in others and "Idempotency-Replayed" in again.headers:
            conflict = await stage.both(route, others[route], headers)
            assert "idempotency_key_conflict" == conflict.body["code"]


async def test_a_dry_run_is_let_in_as_the_call_is(stage: Stage) -> None:
    """Nobody, one who may not, a value that is none; of several values the last counts."""
    firsts = {route: body for route, body, _ in reversed([*wishes(stage)])}
    before = await everything(stage.world.database)
    for route, body in firsts.items():
        url = stage.url(route)
        mine = stage.running.headers(stage.key_for(route))
        crm, operator = stage.running.crm_key, stage.operator_key
        strange = stage.running.headers(crm if route.endswith(OPERATORS) else operator)
        if route == MERGE:
            strange = stage.running.headers(stage.running.mobile_key)
        method = route.split()[0]
        for headers, query, status, dry in (
            ({"Idempotency-Key": "a"}, "true", 401, "true"),
            (stage.running.headers("bk_1_2"), "true", 401, "true"),
            (strange, "true", 403, "true"),
            (mine, "yes", 400, None),
            (mine, "", 400, None),
            (mine, "true&dry_run=2", 400, None),
        ):
            answer = await stage.ask(f"{url}?dry_run={query}", body, headers, method=method)
            assert (status, dry) == (answer.status, answer.headers.get("Dry-Run"))
        answer = await stage.ask(f"{url}?dry_run=false&dry_run=true", body, mine, method=method)
        assert "true" == answer.headers["Dry-Run"]
    assert before == await everything(stage.world.database)


async def test_every_write_can_be_rehearsed(stage: Stage) -> None:
    """A new route that changes something takes `dry_run` and has its calls here."""
    tried = {
        FEED.sub(
            "/feeds/{}/{}/{}", CHUNKS.sub("chunks/{}", re.sub(r"\{\w+\}|founders", "{}", route))
        )
        for route, _, _ in wishes(stage)
    }
    writes = {
        re.sub(r"\{\w+\}", "{}", route)
        for route in routes(stage.running.app)
        if not route.startswith(("GET ", "HEAD ", "POST /page", "POST /callbacks"))
    }
    assert writes - QUESTIONS == tried


async def test_a_long_list_is_not_rehearsed(stage: Stage) -> None:
    """A part would not know those before it; begun under the key, the list is told of."""
    text = LIST + "VIDEO,long,T000001,1\n" * (PART_LINES + 1)
    headers = stage.running.headers(stage.running.crm_key)
    before = await everything(stage.world.database)
    refused = await stage.ask("/v1/grants:bulk", text, headers, dry_run=True)
    assert (422, "list_too_long") == (refused.status, refused.body["code"])
    assert before == await everything(stage.world.database)
    begun = await stage.ask("/v1/grants:bulk", text, headers)
    again = await stage.both(BULK, text, headers)
    assert (202, 202, begun.body) == (begun.status, again.status, again.body)


async def test_a_dry_run_of_a_busy_member_hears_so(stage: Stage) -> None:
    """Whoever holds the member keeps a rehearsal waiting as a claim, and no longer."""
    async with stage.world.database.transaction() as conn:
        await conn.exec_driver_sql("SELECT 1 FROM member FOR UPDATE")
        path = f"/v1/members/{stage.member}/claims"
        headers = stage.running.headers(stage.running.mobile_key)
        dry = await stage.ask(path, WISH, headers, dry_run=True)
    assert (503, "busy", "1") == (dry.status, dry.body["code"], dry.headers["Retry-After"])
