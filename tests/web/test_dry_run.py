"""A dry run of every write: the real call's answer, and a database that holds what it held."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest

from benefits.actions import import_files
from benefits.domain.feeds import digest_of
from benefits.domain.jobs import PART_LINES
from tests.builders import PROGRAMME
from tests.rows import everything
from tests.web.rehearsing import (
    ASSETS,
    BULK,
    MERGE,
    OPERATORS,
    REWARDS,
    WHITELIST,
    Stage,
    blocking,
    filling,
    gift,
    revoking,
)
from tests.web.site import Site
from tests.web.test_auth import routes
from tests.web.test_mobile import WISH

CONSENTS = "POST /v1/members/{member}/consents"
CHOICES = "POST /v1/members/{member}/choices"
STOCK = "PUT /v1/providers/{provider}/stock/{sku}/{batch}"
CLAIMS = "POST /v1/members/{member}/claims"
CLOSE = "POST /v1/cases/{case}/close"
RETRY = "POST /v1/orders/{order}/retry"
PAUSE = "POST /v1/providers/{provider}/pause"
RESUME = "POST /v1/providers/{provider}/resume"
REREAD = "POST /v1/providers/{provider}/callbacks/reread"
SESSIONS = "POST /v1/page-sessions"
CODE = "POST /v1/claims/{claim}/code"
CANCEL = "POST /v1/claims/{booked}/cancellation"
STOP = "POST /v1/members/{member}/waits/{nobody}/end"
REDEEM = "POST /v1/claims/{claim}/redemptions"
REVERSE = "POST /v1/claims/{claim}/redemptions/{nobody}/reverse"
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
LABELS = "PUT /v1/label-feeds/2025-07/{labels}"
LABELLED = "customer,label,layer,valid_from\nT000001,payroll,FACT,2025-07-01\n"
BALANCES = "customer,asset_class,currency,balance\nT000001,DEPOSIT,CNY,7.00\n"
LIST = "benefit,business_key,customer,quantity\n"
# Granted, known from a line before, refused by form and by rule.
LINES = LIST + "VIDEO,l,T000001,2\nVIDEO,l,T000001,2\nVIDEO,l,nobody,1\nVIDEO,,T000001,1\n"
# Changes nothing: it is a question that must not stand in an address.
QUESTIONS = {"POST /v1/members:lookup"}
FEED, CHUNKS = re.compile(r"/feeds/\w+/[0-9-]+/(\d+|\{\})"), re.compile(r"chunks/\d+")
LABEL_FEED = re.compile(r"/label-feeds/[0-9-]+/(\d+|\{\})")
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


@pytest.fixture
async def stage(running: Site) -> Stage:
    """Give a stage with everything on it."""
    made = Stage(running)
    await made.fill()
    return made


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
    nobodys = {"number": "0" * 32, "delivered": False, "evidence": "Mail."}
    yield RULE, {"note": "Mail.", "order": nobodys}, 404
    false = {"member_id": str(stage.member), "programme": "wealth", "since": "2025-06"}
    yield RULE, {"note": "False.", "fraud": false}, 422
    yield RULE, {"note": "False.", "fraud": {**false, "member_id": str(uuid4())}}, 404
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


def labels() -> Iterator[tuple[str, Any, int]]:
    """Yield calls on label feeds: of two revisions one matches its manifest."""
    said = {"rows": 1, "sha256": digest_of([sha256(LABELLED.encode()).digest()])}
    chunk, seal, second = (
        f"{LABELS}/chunks/1",
        f"{LABELS}/manifest",
        LABELS.replace("{labels}", "1"),
    )
    yield chunk, LABELLED, 404
    yield LABELS, None, 201
    yield LABELS, None, 200
    yield chunk, LABELLED, 201
    yield chunk, LABELLED + "x", 409
    yield seal, said, 200
    yield seal, {**said, "rows": 2}, 409
    yield second, None, 201
    yield f"{second}/manifest", said, 422


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
    yield REREAD, {"limit": 1}, 200
    yield REREAD, {"limit": 0}, 400
    yield REREAD, {"cursor": "x"}, 400
    yield REREAD.replace("{provider}", "{ended}"), {}, 404
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


def claiming() -> Iterator[tuple[str, Any, int]]:
    """Yield claims, and cancellations of the one that is booked."""
    yield CLAIMS, {"benefit": "VIDEO", "recipient": {"phone": "13800000001"}}, 201
    yield CLAIMS, WISH, 409
    yield CLAIMS, {**WISH, "quantity": 101}, 422
    yield CLAIMS, {"benefit": "LOUNGE"}, 422
    yield CLAIMS, {"benefit": "NONE"}, 404
    yield CLAIMS, {"benefit": 1}, 400
    yield CLAIMS.replace("{member}", "{nobody}"), WISH, 404
    yield CLAIMS.replace("{member}", "{closed}"), WISH, 409
    yield CLAIMS, {**WISH, "booked_for": "2025-07-09T12:00:00+08:00"}, 422
    yield CLAIMS, {**WISH, "wait": True}, 409
    yield STOP, None, 404
    yield CANCEL, None, 201
    yield CANCEL, None, 409
    yield CANCEL.replace("{booked}", "{nobody}"), None, 404


def wishes(stage: Stage) -> Iterator[tuple[str, Any, int]]:
    """Yield calls on every write route, in an order that gives each its answer."""
    nobody, closed = str(stage.places["nobody"]), str(stage.places["closed"])
    yield from corrections(stage)
    yield from feeds(stage)
    yield from labels()
    yield from fills(stage)
    yield from rules(stage)
    yield from claiming()
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
        stage.world.clock.forward(milliseconds=1)  # of two words at once neither is the last
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
        LABEL_FEED.sub(
            "/label-feeds/{}/{}",
            FEED.sub(
                "/feeds/{}/{}/{}",
                CHUNKS.sub("chunks/{}", re.sub(r"\{\w+\}|founders", "{}", route)),
            ),
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
