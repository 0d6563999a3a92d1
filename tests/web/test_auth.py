"""Who may call what: every route, for every scope, without and with bad credentials."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from litestar import Litestar, get

from benefits.actions.keys import make_key
from benefits.domain.callers import BOUND, SCOPES
from benefits.domain.tokens import Issuer
from benefits.settings import Keys, Settings
from benefits.web import problems
from benefits.web.auth import needs
from benefits.web.rates import Quotas
from tests.actions.merging import merged
from tests.conftest import database
from tests.tidy.sources import ROOT
from tests.web.issuer import NAME, Signer
from tests.web.phone import platinum
from tests.web.routes import OPEN, ROUTES
from tests.web.site import Site, served, site
from tests.web.test_mobile import WISH, call

UNKNOWN = ("decision", "case", "wait", "redemption", "correction", "fill", "proposal", "job")
ABSENT = {"feed_unknown", "code_absent", *(f"unknown_{one}" for one in UNKNOWN)}
MORE = ("block", "baseline", "choice", "whitelist", "claim", "order", "stock")
ABSENT |= {"redeemed_elsewhere", "not_cancellable", *(f"unknown_{one}" for one in MORE)}
CLOSED = {route: scopes for route, scopes in ROUTES.items() if scopes != OPEN}
BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/members/{member_id}/claims": WISH,
    "POST /v1/members/{member_id}/choices": {"choice": "PICK", "benefit": "VIDEO"},
    "PUT /v1/whitelists/{name}": {"customers": []},
    "PUT /v1/providers/{provider}/stock/{sku}/{batch}": {"codes": [{"code": "A"}]},
    "POST /v1/rewards": {"benefit": "VIDEO", "business_key": "b"},
    "POST /v1/assets:import": {},
    "PUT /v1/feeds/{source}/{day}/{revision}/manifest": {
        "rows": 0,
        "totals": {},
        "sha256": "0" * 64,
    },
    "PUT /v1/label-feeds/{version}/{revision}/manifest": {"rows": 0, "sha256": "0" * 64},
    "POST /v1/members/{member_id}/consents": {
        "purpose": "phone",
        "provider": "sandbox",
        "given": False,
    },
    "POST /v1/claims/{claim_id}/redemptions": {},
    "POST /v1/cases/{case_id}/close": {"note": "settled"},
    "POST /v1/providers/{provider}/pause": {"reason": "theirs"},
    "POST /v1/providers/{provider}/resume": {"reason": "over"},
    "POST /v1/corrections": {
        "kind": "CLAW_BACK",
        "quantity": 1,
        "benefit": "VIDEO",
        "reason": "FRAUD",
        "note": "by hand",
    },
    "POST /v1/corrections/{correction_id}/approve": {"hash": "0" * 64},
    "POST /v1/corrections/{correction_id}/reject": {"note": "not so"},
    "POST /v1/fills": {"source": "core", "date": "2025-05-30", "kind": "ZERO", "note": "down"},
    "POST /v1/fills/{fill_id}/approve": {"hash": "0" * 64},
    "POST /v1/fills/{fill_id}/reject": {"note": "not so"},
    "POST /v1/proposals": {"note": "now", "unblock": {"block_id": str(UUID(int=0))}},
    "POST /v1/proposals/{proposal_id}/approve": {"hash": "0" * 64},
    "POST /v1/proposals/{proposal_id}/reject": {"note": "not so"},
}


class Gate:
    """A running app with a member, a claim, a stranger, and a token for each scope."""

    def __init__(self, running: Site, signer: Signer) -> None:
        self.running = running
        self.signer = signer
        self.member = self.stranger = self.claim = self.strange_claim = uuid4()
        self.number = ""

    async def fill(self) -> None:
        """Enrol two members of different branches and managers, each with a claim."""
        world = self.running.world
        self.member = await platinum(self.running)
        self.stranger = await platinum(self.running)
        await world.rows(
            "UPDATE member SET branch = 'B01', manager = 'M01' WHERE member_id = $1 "
            "RETURNING member_id",
            self.member,
        )
        await world.rows(
            "UPDATE member SET branch = 'B02', manager = 'M02' WHERE member_id = $1 "
            "RETURNING member_id",
            self.stranger,
        )
        self.claim, self.strange_claim = [
            UUID(
                (
                    await self.running.post(
                        f"/v1/members/{whose}/claims", WISH, self.running.mobile_key
                    )
                )[1]["id"]
            )
            for whose in (self.member, self.stranger)
        ]
        ((request_id,),) = await world.rows(
            "SELECT request_id FROM provider_request WHERE claim_id = $1", self.claim
        )
        self.number = request_id.hex

    def token(self, scope: str, **more: Any) -> str:
        """Return a token for a scope, bound to the member where the scope is bound."""
        bound = {
            "member": {"member_id": str(self.member)},
            "relationship_manager": {"manager": "M01"},
            "provider": {"provider": "sandbox"},
        }
        ends = self.running.world.clock().timestamp() + 60
        return self.signer.token(scope=scope, **{"exp": ends, **bound.get(scope, {}), **more})

    async def ask(self, route: str, headers: dict[str, str], *, strange: bool) -> tuple[Any, ...]:
        """Ask for a route with what is the member's own, or the stranger's."""
        method, path = route.split()
        member, claim = (
            (self.stranger, self.strange_claim) if strange else (self.member, self.claim)
        )
        provider = "another" if strange else "sandbox"
        path = path.format(
            member_id=member,
            claim_id=claim,
            provider=provider,
            number=self.number,
            **{f"{what}_id": uuid4() for what in UNKNOWN},
            programme="wealth",
            outlook="NEAR",
            source="core",
            day="2025-06-30",
            revision=0,
            chunk=1,
            version="2025-06",
            code="VIDEO",
            name="founders",
            sku="LATTE",
            batch="march",
        )
        path += "?month=2025-06" if path.endswith("missing") else ""
        path += "?benefit=VIDEO" if path.endswith("eligibility") else ""
        path += "?month=2025-05&baseline=none" if path.endswith(("growth", "costs")) else ""
        name = self.running.world.name(2 if strange else 1)
        body = BODIES.get(route, {}) | (
            {"member_id": str(member)}
            if route.endswith(("rewards", "sessions", "corrections"))
            else {}
        )
        body = {"references": [name]} if route.endswith("lookup") else body
        body = {"customer": name, "into": name} if route.endswith("merge") else body
        sent: dict[str, Any] = {"json": body} if method != "GET" else {}
        if route.endswith("bulk"):
            sent = {"data": b"member_id,benefit,business_key\n"}
            headers = {**headers, "Content-Type": "text/csv"}
        return await call(
            self.running, method, path, headers={"Idempotency-Key": uuid4().hex, **headers}, **sent
        )


@pytest.fixture
async def gate(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Gate]:
    """Give a running app that takes the tokens of an issuer."""
    signer = Signer("k1")
    path = tmp_path / "jwks"
    path.write_text(json.dumps({"keys": [signer.jwk]}))
    async with (
        database(cluster_dsn, migrated) as dsn,
        site(dsn, issuers=(_known(path),), quotas=Quotas(member=None, failed=None)) as running,
    ):
        made = Gate(running, signer)
        await made.fill()
        yield made


def _known(path: Path) -> Issuer:
    return Issuer(
        issuer=NAME,
        alias="bank",
        audience="benefits",
        algorithms=("ES256",),
        jwks_file=str(path),
    )


def routes(app: Any) -> set[str]:
    """Return every operation of an app, with its parameters by name."""
    found = set[str]()
    for route in app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        found |= {f"{method} {path}" for method in route.methods if method != "OPTIONS"}
    return found


async def test_every_route_is_in_the_table(running: Site) -> None:
    """A new operation says here, and in `operations/callers.md`, whom it is for."""
    assert set(ROUTES) == routes(running.app)
    text = (ROOT / "docs" / "operations" / "callers.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(("| route |", "| `GET /", "| `POST /", "| `PUT /"))
    ]
    columns = rows[0][1:]
    assert set(SCOPES) == set(columns)
    written = {
        row[0].strip("`"): {s: w for s, w in zip(columns, row[1:], strict=True) if w}
        for row in rows[1:]
    }
    asked = {
        route: {scope: "own" if how == "own" else "yes" for scope, how in scopes.items()}
        for route, scopes in CLOSED.items()
    }
    assert asked == written


async def test_every_route_for_every_scope(gate: Gate) -> None:
    """Whom an operation is not for hears 403; whose it is not, what nobody's is: nothing there."""
    for route, allowed in CLOSED.items():
        for scope in SCOPES:
            headers = {"Authorization": f"Bearer {gate.token(scope)}"}
            own, _, seen = await gate.ask(route, headers, strange=False)
            other, other_headers, problem = await gate.ask(route, headers, strange=True)
            told = (route, scope, own, other, seen)
            absent = own in {404, 409} and seen["code"] in ABSENT
            if scope not in allowed:
                assert (403, 403, "forbidden") == (own, other, problem["code"]), told
                challenge = 'Bearer realm="benefits", error="insufficient_scope"'
                assert challenge == other_headers["WWW-Authenticate"]
            elif route.endswith("lookup"):
                assert [200, 200, 1] == [own, other, len(seen["members"])], told
                assert (allowed[scope] == "all") == bool(problem["members"]), told
            elif allowed[scope] == "all":
                # An order has one provider: under another's name nobody finds it.
                assert other in ({404} if "{provider}" in route else _alike(route, own)), told
                assert own in {200, 201, 422} or absent, told
            else:
                assert own in {200, 201, 409} or absent, told
                assert 404 == other, told


def _alike(route: str, status: int) -> set[int]:
    """Return what a call for nobody's own may answer the second time: what it put is there."""
    return {status, 200} if route.startswith("PUT") and status == 201 else {status}


async def test_without_a_valid_key_or_token_every_route_is_shut(gate: Gate) -> None:
    """No header, another scheme, nonsense, a wrong key and a forged token are all 401."""
    key = gate.running.mobile_key
    forged = Signer("k1").token(scope="mobile")
    for route in CLOSED:
        for sent, code in (
            (None, "unauthenticated"),
            ("Basic dXNlcjpwYXNz", "unauthenticated"),
            ("Bearer", "unauthenticated"),
            ("Bearer nonsense", "unauthenticated"),
            (f"Bearer {key[:-1]}{'0' if key[-1] != '0' else '1'}", "unauthenticated"),
            (f"Bearer {forged}", "token_invalid"),
            ("Bearer a.b.c", "token_invalid"),
        ):
            headers = {"Authorization": sent} if sent else {"X-Nothing": "1"}
            status, answered, problem = await gate.ask(route, headers, strange=False)
            assert (401, code) == (status, problem["code"]), (route, sent)
            assert answered["WWW-Authenticate"].startswith('Bearer realm="benefits"')


async def test_a_merged_customers_token_is_the_members(gate: Gate) -> None:
    """What either claimed is shown, and nobody else's."""
    headers = {"Authorization": f"Bearer {gate.token('member')}"}
    path = f"/v1/claims/{gate.strange_claim}"
    assert 404 == (await call(gate.running, "GET", path, headers=dict(headers)))[0]
    await merged(gate.running.world, gate.member, gate.stranger)
    for claim in (gate.claim, gate.strange_claim):
        path = f"/v1/claims/{claim}"
        assert 200 == (await call(gate.running, "GET", path, headers=dict(headers)))[0]
    path = f"/v1/members/{gate.member}/benefits"
    _, _, seen = await call(gate.running, "GET", path, headers=dict(headers))
    assert str(gate.stranger) == seen["member_id"]
    manager = {"Authorization": f"Bearer {gate.token('relationship_manager')}"}
    assert 404 == (await call(gate.running, "GET", path, headers=manager))[0]


async def test_what_is_not_ones_own_is_as_if_it_were_not_there(gate: Gate) -> None:
    """A stranger's id and one that nobody has give the same words: ids cannot be tried out."""
    for scope in ("member", "relationship_manager"):
        headers = {"Authorization": f"Bearer {gate.token(scope)}"}
        for path, strange in (
            ("/v1/members/{}/benefits", gate.stranger),
            ("/v1/members/{}/history", gate.stranger),
            ("/v1/claims/{}", gate.strange_claim),
        ):
            answers = [
                await call(gate.running, "GET", path.format(id_), headers=dict(headers))
                for id_ in (strange, uuid4())
            ]
            assert 404 == answers[0][0]
            assert answers[0][2] == answers[1][2]
        path = f"/v1/claims/{gate.claim}"
        assert 200 == (await call(gate.running, "GET", path, headers=dict(headers)))[0]


async def test_a_refused_claim_for_a_stranger_leaves_no_trace(gate: Gate) -> None:
    """Nothing is written, not even a key: the stranger's own key of that name is still free."""
    before = await gate.running.world.rows("SELECT count(*) FROM request")
    headers = {"Authorization": f"Bearer {gate.token('member')}", "Idempotency-Key": "k"}
    path = f"/v1/members/{gate.stranger}/claims"
    status, _, _ = await call(gate.running, "POST", path, json=WISH, headers=headers)
    assert 404 == status
    assert before == await gate.running.world.rows("SELECT count(*) FROM request")


async def test_a_manager_sees_a_branch_or_a_book(gate: Gate) -> None:
    """Either is enough; a member whom nobody manages is nobody's."""
    nobodys = await gate.running.world.member()
    for claims, expected in (
        ({"manager": "M02"}, [404, 200, 404]),
        ({"manager": None, "branch": "B01"}, [200, 404, 404]),
        ({"manager": "M01", "branch": "B02"}, [200, 200, 404]),
        ({"manager": "B01"}, [404, 404, 404]),
    ):
        token = gate.token("relationship_manager", **claims)
        headers = {"Authorization": f"Bearer {token}"}
        got = [
            (await call(gate.running, "GET", f"/v1/members/{id_}/history", headers=headers))[0]
            for id_ in (gate.member, gate.stranger, nobodys)
        ]
        assert expected == got


async def test_members_and_keys_have_names_of_their_own_in_the_books(gate: Gate) -> None:
    """A member's claim is the member's deed; a key of the alias's name cannot be made."""
    headers = {"Authorization": f"Bearer {gate.token('member')}", "Idempotency-Key": "tap"}
    path = f"/v1/members/{gate.member}/claims"
    status, _, placed = await call(gate.running, "POST", path, json=WISH, headers=dict(headers))
    assert 201 == status
    status, answered, again = await call(
        gate.running, "POST", path, json=WISH, headers=dict(headers)
    )
    assert (201, "true", placed) == (status, answered["Idempotency-Replayed"], again)
    actors = await gate.running.world.rows(
        "SELECT DISTINCT actor FROM batch WHERE kind = 'claim.placed'"
    )
    assert {f"bank:{gate.member.hex}", "mobile"} == {row.actor for row in actors}


async def test_a_rotated_and_a_provider_key_work_over_http(gate: Gate) -> None:
    """A provider's key is bound like its token; it may call nothing here that is not its own."""
    world = gate.running.world
    async with world.database.transaction() as conn:
        key = await make_key(conn, "sandbox", ["provider"], world.parts, provider="sandbox")
    for route, scopes in CLOSED.items():
        status, _, _ = await gate.ask(route, {"Authorization": f"Bearer {key}"}, strange=False)
        assert (200 if "provider" in scopes else 403) == status


@get("/providers/{provider:str}", guards=[needs("operator", "provider")])
async def of_a_provider() -> None:
    """Answer whom the path's provider concerns."""


@get("/all", guards=[needs("operator", *BOUND)])
async def of_everybody() -> None:
    """Answer without a word in the path of whom it concerns."""


async def test_a_bound_caller_is_held_to_the_path_whatever_the_operation(gate: Gate) -> None:
    """A provider reaches its own code only; what says nothing of whose it is, nobody bound."""
    app = Litestar(
        [of_a_provider, of_everybody],
        exception_handlers=problems.HANDLERS,
        state=gate.running.app.state,
        openapi_config=None,
        logging_config=None,
    )
    settings = Settings(
        database_url="", keys=Keys(member_key=b"", secret_keys=(), provider_secrets={})
    )
    async with served(app, settings) as url, aiohttp.ClientSession(url) as http:
        for scope, path, expected in (
            ("operator", "/providers/any", 200),
            ("provider", "/providers/sandbox", 200),
            ("provider", "/providers/other", 404),
            ("operator", "/all", 200),
            *((scope, "/all", 403) for scope in BOUND),
        ):
            headers = {"Authorization": f"Bearer {gate.token(scope)}"}
            async with http.get(path, headers=headers) as answer:
                assert expected == answer.status, (scope, path)
