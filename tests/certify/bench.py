"""A sandbox, good or with a fault, and its certification: whole, or by some of the checks."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from benefits.certify.bench import Bench, Setup, Ways
from benefits.certify.checks import CHECKS, certify
from benefits.certify.kinds import KINDS
from benefits.certify.report import Finding, Verdict
from benefits.domain.orders import Capabilities, RedeemBy
from benefits.domain.programme import Dialect, Provider
from benefits.process import bind
from benefits.providers.client import Client
from benefits.providers.dialects import dialect_of
from benefits.providers.secrets import ProviderSecrets
from benefits.providers.wechat_pay import ProductCouponSecrets
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.sandbox import Sandbox
from benefits.sandbox.server import OpenSandbox, SandboxSettings
from benefits.sandbox.wechat import WechatSandboxSettings
from benefits.sandbox.wechat_busifavor import BusifavorSandbox
from benefits.sandbox.wechat_product_coupon import ProductCouponSandbox
from tests.sandbox.stage import LOOPBACK, SECRET, clock, serving
from tests.sandbox.test_wechat import KEYS
from tests.wechat import BRANDED, CODES, MERCHANT, secrets

ABLE = Capabilities(redeem_by=RedeemBy.US, reverse=True, two_phase=True, deadline_s=20.0)
QUICK = {"slow_s": 0.02, "hang_s": 0.0, "late_s": 0.1}
QUICK_OPEN = {**QUICK, "callback_after_s": 0.05, "retry_s": (0.02,)}
QUICK_WECHAT = {**QUICK, "works_s": 0.0, "busy_s": 0.05, "retry_s": 0.02}
OPEN = Provider(code="sandbox", name={}, dialect=Dialect.OPEN, capabilities=ABLE)
WECHAT = Provider(
    code="wx",
    name={},
    dialect=Dialect.WECHAT_BUSIFAVOR,
    capabilities=msgspec.structs.replace(ABLE, two_phase=False),
    wechat=MERCHANT,
)
PRODUCTS = Provider(
    code="products",
    name={},
    dialect=Dialect.WECHAT_PRODUCT_COUPON,
    capabilities=ABLE,
    wechat=BRANDED,
)
SHARED: dict[Dialect, ProviderSecrets] = {
    Dialect.OPEN: (SECRET,),
    Dialect.WECHAT_BUSIFAVOR: secrets(),
    Dialect.WECHAT_PRODUCT_COUPON: secrets(ProductCouponSecrets),
}
SANDBOXES: dict[Dialect, Callable[[Any], Sandbox]] = {
    Dialect.OPEN: OpenSandbox,
    Dialect.WECHAT_BUSIFAVOR: BusifavorSandbox,
    Dialect.WECHAT_PRODUCT_COUPON: ProductCouponSandbox,
}


def numbers() -> Callable[[], str]:
    """Return what makes numbers, always the same and without order."""
    count = itertools.count()
    return lambda: hashlib.blake2b(b"certify %d" % next(count), digest_size=16).hexdigest()


@asynccontextmanager
async def bench(
    config: Provider,
    behaviour: Behaviour = Behaviour.GOOD,
    *,
    make: Callable[[Any], Sandbox] | None = None,
    settings: dict[str, Any] | None = None,
    **setup: Any,
) -> AsyncIterator[Bench]:
    """Run a sandbox of a provider's dialect, and listen for its callbacks."""
    listener = bind("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/callbacks"
    shared = SHARED[config.dialect]
    how: dict[str, Any] = {"callback_url": address, "behaviour": behaviour}
    made: SandboxSettings | WechatSandboxSettings
    if isinstance(shared, tuple):
        made = SandboxSettings(secrets=shared, **how, **{**QUICK_OPEN, **(settings or {})})
    else:
        keys = msgspec.structs.replace(KEYS, merchant=shared)
        made = WechatSandboxSettings(keys=keys, **how, **{**QUICK_WECHAT, **(settings or {})})
    sandbox = (make or SANDBOXES[config.dialect])(made)
    async with serving(sandbox.application()) as base, Client(LOOPBACK) as client:
        there = msgspec.structs.replace(config, url=base)
        waits = {"within_s": 20.0, "poll_s": 0.02, "quiet_s": 0.1, **setup}
        known = Setup(config=there, trial=KINDS[config.dialect].trial, **waits)
        on = Bench(
            known,
            lambda words: dialect_of(there, words, CODES),
            shared,
            Ways(client, clock, numbers()),
        )
        async with on.inbox.serve(listener, address):
            yield on


async def certified(
    config: Provider, behaviour: Behaviour = Behaviour.GOOD, *only: str, **more: Any
) -> dict[str, Finding]:
    """Certify a sandbox, and return what was found by check."""
    chosen = [one for one in CHECKS if not only or one.name in only]
    async with bench(config, behaviour, **more) as on:
        findings = await certify(on, chosen, lambda _: None)
    return {one.check: one for one in findings}


def verdicts(found: dict[str, Finding]) -> dict[Verdict, Sequence[str]]:
    """Return the names of checks by verdict."""
    return {v: [n for n, one in found.items() if one.verdict is v] for v in Verdict}
