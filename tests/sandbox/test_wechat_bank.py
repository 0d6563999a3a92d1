"""Claims through the service and its worker to WeChat's sandbox and back, by real HTTP."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import aiohttp
from structlog.testing import capture_logs

from benefits import app
from benefits.actions.keys import make_key
from benefits.domain.programme_file import read
from benefits.house import real_clock
from benefits.providers.secrets import ProviderSecrets
from benefits.providers.wechat_coupons import CouponCodes
from benefits.providers.wechat_pay import BusifavorSecrets, ProductCouponSecrets
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.wechat import WechatSandboxSettings
from benefits.settings import Keys, Settings
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import ensure_partitions
from tests import wechat
from tests.actions.life import gift, give, said
from tests.builders import MEMBER_KEY, World
from tests.conftest import database
from tests.sandbox.bank import HEAD, working
from tests.sandbox.stage import serving
from tests.sandbox.test_wechat import KEYS, MERCHANT_COUPONS, PRODUCT_COUPONS, Kind
from tests.web import site

CODES = CouponCodes(MEMBER_KEY)
THEIRS = "theirs"  # so end providers whose coupons have codes of WeChat's


class Fault(NamedTuple):
    """What a sandbox does, what our first attempt makes of it, how many callbacks are kept."""

    behaviour: Behaviour
    outcome: str = "done"
    evidence: str = ""
    kept: int = 1
    kind: Kind = MERCHANT_COUPONS

    @property
    def ends(self) -> str:
        """Where its order stands in the end."""
        return "CONFIRMED" if self.kind is PRODUCT_COUPONS else "ISSUED"

    @property
    def entry(self) -> str:
        """What the programme says of it."""
        return PRODUCTS if self.kind is PRODUCT_COUPONS else PROVIDER

    @property
    def secrets(self) -> ProviderSecrets:
        """What we and its sandbox know."""
        products = self.kind is PRODUCT_COUPONS
        return wechat.secrets(ProductCouponSecrets if products else BusifavorSecrets)


FAULTS = {
    "good": Fault(Behaviour.GOOD),
    "silent": Fault(Behaviour.TIMES_OUT, "unknown", "no complete answer within 3 s"),
    "forged": Fault(Behaviour.ANSWERS_FORGED, "unknown", "HTTP 200, no signature matches"),
    "failing": Fault(Behaviour.ANSWERS_UNLISTED, "unknown", "HTTP 400 SYSTEM_ERROR"),
    THEIRS: Fault(Behaviour.CALLS_BACK_LATE),
    "probing": Fault(Behaviour.CALLS_BACK_FORGED),
    "twice": Fault(Behaviour.CALLS_BACK_TWICE),
    "losing": Fault(Behaviour.LOSES_CALLBACKS, kept=0),
    "product": Fault(Behaviour.CALLS_BACK_TWICE, kind=PRODUCT_COUPONS),
    # The confirmation is answered as the send is.
    "product_failing": Fault(
        Behaviour.ANSWERS_UNLISTED, "unknown", "HTTP 400 SYSTEM_ERROR", kind=PRODUCT_COUPONS
    ),
    "product_forged_theirs": Fault(
        Behaviour.ANSWERS_FORGED, "unknown", "HTTP 200, no signature matches", kind=PRODUCT_COUPONS
    ),
}
PROVIDER = """
[[provider]]
code = "CODE"
name = { zh = "微信支付", en = "WeChat Pay" }
dialect = "wechat_busifavor"
url = "URL"
wechat = { mchid = "1900000001", appid = "wx233544546545989", code_mode = "WHOSE" }

[provider.capabilities]
deadline_s = 3.0
query_schedule_s = [1, 1, 1, 1, 1, 1]
redeem_by = "US"
reverse = true

[[benefit]]
code = "CODE"
name = { zh = "咖啡券", en = "Coffee voucher" }
kind = "WALLET_COUPON"
provider = "CODE"
sku = "98065001"
cost = "1.00"
consumed = "USE"
budget = "faults"
recipient = ["openid"]
"""
PRODUCTS = (
    PROVIDER.replace("wechat_busifavor", "wechat_product_coupon")
    .replace("code_mode", 'brand_id = "120344", code_mode')
    .replace("[provider.capabilities]", "[provider.capabilities]\ntwo_phase = true")
    .replace("98065001", wechat.PRODUCT)
)
ATTEMPT = """
SELECT a.outcome, a.evidence FROM provider_attempt AS a
JOIN provider_request AS r ON r.bucket = a.bucket AND r.request_id = a.request_id
WHERE r.provider = $1 AND r.operation = 'ISSUE' AND a.attempt = 1
"""
ORDER = """
SELECT c.state, c.provider_reference, r.request_id FROM claim AS c
JOIN provider_request AS r ON r.bucket = c.bucket AND r.claim_id = c.claim_id
WHERE c.benefit = $1 AND r.operation = 'ISSUE'
"""
ELSEWHERE = "SELECT 1 FROM claim WHERE claim_id = $1 AND state <> $2"
KEPT = "SELECT count(*) FROM inbox WHERE provider = $1 AND processed_at IS NOT NULL"
UNDER_WAY = """
SELECT 1 FROM claim WHERE state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN')
UNION ALL SELECT 1 FROM inbox WHERE processed_at IS NULL
UNION ALL SELECT 1 FROM provider_attempt WHERE outcome = ''
UNION ALL SELECT 1 WHERE (SELECT count(*) FROM inbox) < $1
"""
TABLES = """
SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
AND relnamespace = 'public'::regnamespace AND has_table_privilege(oid, 'SELECT')
"""


async def test_claims_end_as_wechat_has_them(
    cluster_dsn: str, migrated: str, tmp_path: Path
) -> None:
    """Answers lost, falsely signed or in error, probes, repetitions: each coupon is given once.

    And of keys, openids and codes there is nothing in any table, log line or answer.
    """
    async with database(cluster_dsn, migrated) as dsn, AsyncExitStack() as stack:
        secrets = {code: fault.secrets for code, fault in FAULTS.items()}
        keys = Keys(member_key=MEMBER_KEY, secret_keys=(b"k" * 32,), provider_secrets=secrets)
        settings = Settings(database_url=dsn, keys=keys, pool_size=4)
        made = connect(dsn, pool_size=4)
        stack.push_async_callback(made.close)
        world = World(made, envelope=Envelope(keys.secret_keys), clock=real_clock)
        await ensure_partitions(world.database, real_clock())
        lines = stack.enter_context(capture_logs())
        url = await stack.enter_async_context(site.served(app.make_web(settings), settings))
        await world.apply(read(await sandboxes(stack, url, tmp_path)))
        claims = await claim(world, url)
        await stack.enter_async_context(working(settings))
        async with asyncio.timeout(60):
            while await world.rows(UNDER_WAY, sum(fault.kept for fault in FAULTS.values())):
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        for code, fault in FAULTS.items():
            ((state, reference, number),) = await world.rows(ORDER, code)
            ours = reference == CODES.reference(CODES.of(number.hex))
            assert (fault.ends, not code.endswith(THEIRS)) == (state, ours), code
            ((first, why),) = await world.rows(ATTEMPT, code)
            assert (fault.outcome, fault.evidence or reference) == (first, why), code
            assert [(fault.kept,)] == await world.rows(KEPT, code), code
        assert [] == await world.rows("SELECT kind, detail FROM case_file")
        placed = dict(zip(FAULTS, claims, strict=True))
        paid = {"good": {}, "product": {"payment": "4200000000123456789123"}}
        await asyncio.gather(
            *(used_and_returned(world, url, UUID(placed[c]["id"]), paid[c]) for c in paid)
        )
        await refusals(url)
        tables = [name for (name,) in await world.rows(TABLES)]
        assert {"provider_attempt", "inbox", "provider_request"} <= {*tables}
        told = [str(await world.rows(f"SELECT t::text FROM {name} AS t")) for name in tables]
        told += [str(lines), str(claims)]
        coupons = [code for name in FAULTS for code in codes_of(tmp_path / name)]
    assert len(FAULTS) == len(coupons)
    planted = (
        wechat.OPENID,
        wechat.APIV3_KEY,
        *lines_of(wechat.private_pem("merchant")),
        *coupons,
    )
    assert [] == [one for one in planted if any(one in each for each in told)]
    assert sum("provider.called" in str(line) for line in lines) >= len(FAULTS)


async def sandboxes(stack: AsyncExitStack, url: str, books: Path) -> str:
    """Run a sandbox for each fault, until the stack ends; return the programme that names them."""
    text = HEAD
    for code, fault in FAULTS.items():
        settings = WechatSandboxSettings(
            keys=KEYS,
            callback_url=f"{url}/callbacks/{code}",
            behaviour=fault.behaviour,
            database=str(books / code),
            hang_s=8.0,
            late_s=4.0,  # when the answer is known
            retry_s=0.2,
        )
        served = fault.kind.sandbox(settings).application()
        base = await stack.enter_async_context(serving(served))
        mode = "WECHATPAY_MODE" if code.endswith(THEIRS) else "MERCHANT_API"
        text += fault.entry.replace("CODE", code).replace("URL", base).replace("WHOSE", mode)
    return text


def codes_of(book: Path) -> list[str]:
    """Return the codes of the coupons that a sandbox gave."""
    with closing(sqlite3.connect(book)) as kept:
        return [code for (code,) in kept.execute("SELECT code FROM provider_order")]


def lines_of(pem: str) -> list[str]:
    """Return the lines of a key that are its own."""
    return [line for line in pem.splitlines() if "-----" not in line]


async def claim(world: World, url: str) -> list[Any]:
    """Ask each provider for a coupon, as the mobile bank does."""
    async with world.database.transaction() as conn:
        key = await make_key(conn, "mobile", ["mobile"], world.parts)
    placed = list[Any]()
    async with aiohttp.ClientSession(url) as http:
        for code in FAULTS:
            member: UUID = await world.member()
            assert ["ok"] == [said(one) for one in await give(world, gift(member, code))]
            wish = {"benefit": code, "quantity": 1, "recipient": {"openid": wechat.OPENID}}
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex}
            path = f"/v1/members/{member}/claims"
            async with http.post(path, json=wish, headers=headers) as answer:
                placed.append(await answer.json())
                assert 201 == answer.status, placed
    return placed


async def used_and_returned(world: World, url: str, claim_id: UUID, paid: dict[str, str]) -> None:
    """Tell WeChat of a use, as a branch does, and undo it: the coupon can be used again."""
    async with world.database.transaction() as conn:
        key = await make_key(conn, f"branch-{len(paid)}", ["crm"], world.parts)
    path = f"/v1/claims/{claim_id}/redemptions"
    async with aiohttp.ClientSession(url) as http:
        if paid:
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex}
            async with http.post(path, headers=headers, json={}) as answer:
                assert "payment_missing" == (await answer.json())["code"]
        for state in ("REDEEMED", "CONFIRMED" if paid else "ISSUED"):
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex}
            body = {"place": "branch", **paid} if state == "REDEEMED" else None
            async with http.post(path, headers=headers, json=body) as answer:
                assert 201 == answer.status, await answer.text()
                redemption = (await answer.json())["id"]
            async with asyncio.timeout(30):
                while await world.rows(ELSEWHERE, claim_id, state):
                    await asyncio.sleep(0.1)
            path = f"{path}/{redemption}/reverse"


async def refusals(url: str) -> None:
    """See that what is refused is refused in WeChat's form, and that probes lock nobody out."""
    good = wechat.callback(wechat.given())
    probe = {**good.headers, "wechatpay-signature": "WECHATPAY/SIGNTEST/x"}
    async with aiohttp.ClientSession(url) as http:
        for headers in [probe] * 40 + [good.headers]:
            async with http.post("/callbacks/good", data=good.body, headers=headers) as answer:
                assert 401 == answer.status, await answer.text()  # the last is stale
                assert "FAIL" == (await answer.json(content_type=None))["code"]
