"""WeChat's sandbox and our side of it over real HTTP: every fault, every deed, every callback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from aiohttp import web

from benefits.domain.orders import (
    Capabilities,
    Confirmed,
    Done,
    IssueRequest,
    NotFound,
    Operation,
    Outcome,
    Pending,
    Reason,
    Redemption,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.domain.wechat import Wechat
from benefits.providers import wechat_pay
from benefits.providers.client import Client
from benefits.providers.http import HttpProvider
from benefits.providers.wechat_busifavor import WechatBusifavorDialect
from benefits.providers.wechat_coupons import CouponDialect
from benefits.providers.wechat_pay import BusifavorSecrets, Credentials, ProductCouponSecrets
from benefits.providers.wechat_product_coupon import WechatProductCouponDialect
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.wechat import EXPLAINED, WechatSandbox, WechatSandboxSettings, chosen
from benefits.sandbox.wechat_busifavor import BusifavorSandbox
from benefits.sandbox.wechat_keys import WechatKeys, make_or_read
from benefits.sandbox.wechat_product_coupon import ProductCouponSandbox
from tests import wechat
from tests.sandbox.stage import LOOPBACK, Arrivals, clock, serving
from tests.wechat import CODE, NUMBER, OWN, REFERENCE, call

KEYS = WechatKeys(
    platform=wechat.key("platform"), platform_id=wechat.PLATFORM, merchant=wechat.secrets()
)
QUERY = call(Operation.QUERY)
THIRD = "0197c3a5b6d07e8f9a0b1c2d3e4f5063"
USE = Redemption(at=wechat.NOW)


class Kind(NamedTuple):
    """Both sides of one kind of coupon."""

    sandbox: type[WechatSandbox]
    dialect: type[CouponDialect]


MERCHANT_COUPONS = Kind(BusifavorSandbox, WechatBusifavorDialect)
PRODUCT_COUPONS = Kind(ProductCouponSandbox, WechatProductCouponDialect)


class Stage(NamedTuple):
    """What a test sees: our side, what came back, and where the sandbox is."""

    provider: HttpProvider
    arrivals: Arrivals
    base: str


@asynccontextmanager
async def stage(
    behaviour: Behaviour = Behaviour.GOOD,
    *,
    kind: Kind = MERCHANT_COUPONS,
    merchant: Wechat = wechat.MERCHANT,
    refusals: int = 0,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """Run the sandbox and call it as the merchant; waits are short."""
    arrivals = Arrivals(refusals)
    inbox = web.Application()
    inbox.router.add_post("/callbacks/wx", arrivals.handle)
    quick = {"works_s": 0.02, "slow_s": 0.1, "hang_s": 4.0, "drip_s": 0.02, "late_s": 0.5}
    async with serving(inbox) as here:
        made = WechatSandboxSettings(
            keys=KEYS,
            callback_url=f"{here}/callbacks/wx",
            behaviour=behaviour,
            **{**quick, "busy_s": 0.2, "retry_s": 0.02, **settings},
        )
        sandbox = kind.sandbox(made).application()
        async with serving(sandbox) as base, Client(LOOPBACK) as client:
            dialect = kind.dialect(
                base_url=base,
                merchant=merchant,
                credentials=wechat.credentials(),
                codes=wechat.CODES,
            )
            provider = HttpProvider(dialect, client, clock, Capabilities(deadline_s=2.0))
            arrivals.reader = provider
            yield Stage(provider, arrivals, base)


def gave(outcome: Outcome) -> bool:
    """Say whether an outcome is the coupon with the code that we named."""
    return isinstance(outcome, Done) and (outcome.reference, outcome.code) == (REFERENCE, CODE)


ANSWERS = {
    Behaviour.GOOD: Done,
    Behaviour.SLOW: Done,
    Behaviour.TOO_BUSY: Unknown,
    Behaviour.TIMES_OUT: Unknown,
    Behaviour.DRIPS: Unknown,
    Behaviour.ANSWERS_FORGED: Unknown,
    Behaviour.ANSWERS_UNLISTED: Unknown,
}
ARRIVE = {Behaviour.CALLS_BACK_TWICE: 2, Behaviour.LOSES_CALLBACKS: 0, Behaviour.TOO_BUSY: 0}


@pytest.mark.parametrize("behaviour", [one for one in EXPLAINED if one is not Behaviour.MIXED])
async def test_each_fault_ends_in_the_truth(behaviour: Behaviour) -> None:
    """What the answer does not say a query and the callback do; sent again it is the same."""
    async with stage(behaviour) as on:
        first = await on.provider.call(call())
        assert isinstance(first, ANSWERS.get(behaviour, Done)), first
        expected = ARRIVE.get(behaviour, 1)
        notices = await on.arrivals.count(expected)
        assert [(NUMBER, True)] * expected == [(n.number, gave(n.outcome)) for n in notices]
        assert (behaviour is Behaviour.CALLS_BACK_FORGED) == (on.arrivals.forged > 0)
        asked = await on.provider.call(QUERY)
        if behaviour is Behaviour.TOO_BUSY:
            assert (Unknown("HTTP 429 FREQUENCY_LIMITED"), NotFound()) == (first, asked)
            await asyncio.sleep(0.2)
        else:
            assert gave(asked)
        assert gave(await on.provider.call(call()))


async def test_a_coupon_is_used_returned_and_taken_back() -> None:
    """Each deed once under its number, and a query tells of each; what cannot be is unknown."""
    async with stage() as on:
        ask = on.provider.call
        assert NotFound() == await ask(QUERY)
        assert gave(await ask(call()))
        redeem = call(Operation.REDEEM, own=OWN, redemption=USE)
        about_use = msgspec.structs.replace(redeem, operation=Operation.QUERY)
        assert gave(await ask(about_use))
        used = await ask(redeem)
        assert isinstance(used, Used)
        assert [used] * 3 == [await ask(one) for one in (redeem, about_use, QUERY)]
        assert isinstance(await ask(call(Operation.REVOKE, own=THIRD)), Unknown)
        undo = call(Operation.REVERSE, own=THIRD, redemption=USE, undoes=OWN)
        about_undo = msgspec.structs.replace(undo, operation=Operation.QUERY)
        assert used == await ask(about_undo)
        assert Pending() == await ask(undo)  # the answer names no coupon
        assert isinstance(await ask(about_undo), Reversed)
        assert gave(await ask(QUERY))
        end = call(Operation.REVOKE, own=NUMBER)
        assert [Pending()] * 2 == [await ask(one) for one in (end, end)]
        assert isinstance(await ask(QUERY), Revoked)
        assert isinstance(await ask(redeem), Used)  # the same again is answered the same


async def test_a_product_coupon_has_two_phases() -> None:
    """It is confirmed before it is used; what its answer does not say a query does."""
    about: dict[str, Any] = {"request": wechat.ordered(wechat.PRODUCT)}
    on_stage = stage(Behaviour.ANSWERS_UNLISTED, kind=PRODUCT_COUPONS, merchant=wechat.BRANDED)
    async with on_stage as on:
        ask, query = on.provider.call, call(Operation.QUERY, **about)
        assert isinstance(await ask(call(**about)), Unknown)
        assert gave(await ask(query))
        (notice,) = await on.arrivals.count(1)
        assert (NUMBER, wechat.PRODUCT, True) == (
            notice.number,
            notice.sku,
            gave(notice.outcome),
        )
        paid = Redemption(at=wechat.NOW, payment="4200000000123456789123456789")
        redeem = call(Operation.REDEEM, own=OWN, redemption=paid, **about)
        assert Unknown("HTTP 400 INVALID_REQUEST") == await ask(redeem)
        confirm = call(Operation.CONFIRM, own="a" * 32, **about)
        assert Unknown("HTTP 400 SYSTEM_ERROR") == await ask(confirm)
        confirmed = [await ask(one) for one in (confirm, query)]
        assert isinstance(confirmed[0], Confirmed)
        assert confirmed[0] == confirmed[1]
        used = await ask(redeem)
        assert isinstance(used, Used)
        assert used == await ask(query)
        undo = call(Operation.REVERSE, own=THIRD, redemption=paid, undoes=OWN, **about)
        assert isinstance(await ask(undo), Reversed)
        assert confirmed[0] == await ask(query)
        ended = [await ask(call(Operation.REVOKE, own="b" * 32, **about)), await ask(query)]
        assert isinstance(ended[0], Revoked)
        assert ended[0] == ended[1]
        elsewhere = IssueRequest(sku="1/2", quantity=1, recipient={"openid": wechat.OPENID})
        assert NotFound() == await ask(call(Operation.QUERY, request=elsewhere))


async def test_codes_of_wechat_come_with_the_answer() -> None:
    """A lost answer is asked for by the same send; once known, the code is what is asked by."""
    async with stage(Behaviour.ANSWERS_UNLISTED, merchant=wechat.THEIRS) as on:
        assert isinstance(await on.provider.call(call()), Unknown)
        done = await on.provider.call(QUERY)
        assert isinstance(done, Done)
        known = msgspec.structs.replace(QUERY, code=done.code)
        told = await on.provider.call(known)
        assert isinstance(told, Done)
        assert done.code == told.code != CODE
        (notice,) = await on.arrivals.count(1)
        assert ("", done.reference) == (notice.number, notice.reference)


async def test_two_sends_to_one_user_at_once_meet_a_limit_that_is_none() -> None:
    """Which is why they are sent one after the other; another user is none of theirs."""
    async with stage() as on:
        other = IssueRequest(sku=wechat.STOCK, quantity=1, recipient={"openid": "another"})
        calls = [call(), call(number=OWN), call(number=THIRD, request=other)]
        said = await asyncio.gather(*map(on.provider.call, calls))
        assert Rejected(Reason.LIMIT, "RULE_LIMIT") == said[1]
        assert isinstance(said[0], Done)
        assert isinstance(said[2], Done)
        full = IssueRequest(sku=wechat.STOCK, quantity=1, recipient={"openid": "user0000"})
        refused = await on.provider.call(call(number="f" * 32, request=full))
        assert Rejected(Reason.LIMIT, "RULE_LIMIT") == refused


async def test_a_fault_of_ours_keeps_nothing_and_is_mended() -> None:
    """The same number is given once our key, our set-up or our rights are right again."""
    async with stage() as on:
        for ends, code, reason in (
            ("4000", "APPID_MCHID_NOT_MATCH", Reason.CONFIG),
            ("4010", "SIGN_ERROR", Reason.AUTH),
            ("4030", "NO_AUTH", Reason.AUTH),
        ):
            to = IssueRequest(sku=wechat.STOCK, quantity=1, recipient={"openid": f"user{ends}"})
            asked = call(number=ends * 8, request=to)
            assert Rejected(reason, code, keeps_nothing=True) == await on.provider.call(asked)
            await asyncio.sleep(0.2)
            assert isinstance(await on.provider.call(asked), Done)


async def test_a_callback_is_tried_so_often_and_no_more() -> None:
    """Eleven times in all, then it is lost for good."""
    async with stage(refusals=99, tries=3) as on:
        assert gave(await on.provider.call(call()))
        assert 3 == len(await on.arrivals.count(3))
        await asyncio.sleep(0.2)
        assert 3 == len(on.arrivals.raws)


async def test_the_sandbox_believes_only_the_merchant() -> None:
    """Another key, another number of the same parameters, a body that is none."""
    async with stage() as on, Client(LOOPBACK) as client:
        forger = WechatBusifavorDialect(
            base_url=on.base,
            merchant=wechat.MERCHANT,
            credentials=Credentials(wechat.secrets(merchant_key=wechat.private_pem("x"))),
            codes=wechat.CODES,
        )
        theirs = HttpProvider(forger, client, clock, Capabilities())
        refused = Rejected(Reason.AUTH, "SIGN_ERROR", keeps_nothing=True)
        assert refused == await theirs.call(call())
        assert gave(await on.provider.call(call()))
        other = IssueRequest(sku="7", quantity=1, recipient={"openid": wechat.OPENID})
        outcome = await on.provider.call(call(request=other))
        assert Unknown("HTTP 400 RESOURCE_ALREADY_EXISTS") == outcome
        async with aiohttp.ClientSession(on.base) as http:
            async with http.get("/desk/orders") as answer:
                (coupon,) = (await answer.json())["orders"]
            async with http.get("/health") as answer:
                assert 200 == answer.status
        assert (NUMBER, "issued") == (coupon["number"], coupon["status"])


def test_keys_are_made_once_for_both_sides(tmp_path: Path) -> None:
    """The service reads its half, nobody else may; the second time they are the same."""
    made = make_or_read(tmp_path / "keys", "wx", ProductCouponSecrets)
    again = make_or_read(tmp_path / "keys", "wx", ProductCouponSecrets)
    with pytest.raises(LookupError, match="no secrets of wechat_busifavor for wx"):
        make_or_read(tmp_path / "keys", "wx", BusifavorSecrets)
    assert (made.platform_id, made.merchant) == (again.platform_id, again.merchant)
    for path in (tmp_path / "keys").iterdir():
        assert 0o600 == path.stat().st_mode & 0o777, path
    content = b"x"
    signature = wechat_pay.sign(again.platform, b"1\nn\n" + content + b"\n")
    headers = {
        "wechatpay-timestamp": "1",
        "wechatpay-nonce": "n",
        "wechatpay-serial": made.platform_id,
        "wechatpay-signature": signature,
    }
    assert 1 == Credentials(made.merchant).verify(headers, content, now_unix=1)
    assert "BEGIN" not in repr(made)


def test_a_mixed_sandbox_treats_a_number_always_the_same() -> None:
    """Each fault has its share."""
    seen = [chosen(f"{n:032x}", Behaviour.MIXED) for n in range(300)]
    assert {*EXPLAINED} - {Behaviour.MIXED} == {*seen}
    assert Behaviour.SLOW is chosen(NUMBER, Behaviour.SLOW)
