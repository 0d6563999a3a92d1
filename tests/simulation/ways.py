"""The providers of a simulation: each dialect, and each way of working that it can have."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.providers.wechat_pay import BusifavorSecrets, ProductCouponSecrets
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.wechat import EXPLAINED, WechatSandbox
from benefits.sandbox.wechat_busifavor import BusifavorSandbox
from benefits.sandbox.wechat_product_coupon import ProductCouponSandbox
from benefits.settings import Keys, Settings
from tests import wechat
from tests.builders import MEMBER_KEY
from tests.sandbox import stage
from tests.sandbox.bank import HEAD

GRACE_S = 60
SCHEDULE_S = (5, 30, 120, 300, 600)
DEADLINE_S = 5
LATE_S = GRACE_S - 20  # after so long what left has arrived, or never will
VERY_LATE_S = 250  # and of what is told by callback; then its signature is fresh yet
# How those are treated of whom the provider calls back whatever it answered, by `is_wechat`.
CALLED_ABOUT = {
    False: {
        Behaviour.CALLS_BACK_TWICE,
        Behaviour.CALLS_BACK_LATE,
        Behaviour.CALLS_BACK_DISORDERLY,
    },
    True: {*EXPLAINED} - {Behaviour.LOSES_CALLBACKS},
}
REFUSED = ("0000", "4000", "4010", "4020", "4030")  # how those end whom a sandbox refuses


class Way(NamedTuple):
    """A provider: what it can do, when units are spent, and what of it is settled by callbacks.

    Where uses are told by callbacks alone (`must_call`), a provider does not give them up.
    """

    code: str
    can: str = ""
    consumed: str = "USE"
    many: bool = True
    by_us: bool = False
    must_call: bool = False
    mode: str = ""
    brand: str = ""
    booked: bool = False

    @property
    def spends_at_issue(self) -> bool:
        """Whether what is delivered is spent."""
        return self.consumed == "ISSUE"

    @property
    def has_desk(self) -> bool:
        """Whether its people do something with what was issued, which is not used by that."""
        return not self.by_us and "ON_ISSUE" not in self.can

    @property
    def calls_back(self) -> bool:
        """Whether we listen to its callbacks."""
        return 'callbacks = "NONE"' not in self.can

    @property
    def is_wechat(self) -> bool:
        """Whether it speaks WeChat's dialect."""
        return bool(self.mode)

    @property
    def two_phase(self) -> bool:
        """Whether what it delivers counts only once confirmed."""
        return "two_phase" in self.can

    @property
    def dialect(self) -> str:
        """What it speaks."""
        coupons = "wechat_product_coupon" if self.brand else "wechat_busifavor"
        return coupons if self.is_wechat else "open"

    @property
    def holds(self) -> type[BusifavorSecrets] | type[ProductCouponSecrets]:
        """What we share with WeChat for it."""
        return ProductCouponSecrets if self.brand else BusifavorSecrets

    @property
    def sandbox(self) -> type[WechatSandbox]:
        """WeChat's side of it."""
        return ProductCouponSandbox if self.brand else BusifavorSandbox

    @property
    def sku(self) -> str:
        """What is ordered there."""
        return wechat.PRODUCT if self.brand else wechat.STOCK

    def time(self, now: datetime, which: int) -> datetime | None:
        """Return for when something is booked there: it is free to cancel an hour before."""
        later = (timedelta(minutes=30), timedelta(hours=2), timedelta(days=1))
        return now + later[which % len(later)] if self.booked else None


_BY_US = 'redeem_by = "US"\nreverse = true\n'
_OF_BRAND: dict[str, Any] = {"many": False, "by_us": True, "brand": "120344"}
WAYS = (
    Way("told"),
    Way("spent", consumed="ISSUE", must_call=True),
    Way("phased", f'{_BY_US}two_phase = true\ncallbacks = "NONE"', many=False, by_us=True),
    Way("hinted", 'callbacks = "HINT"'),
    Way("revoking", 'late_success = "REVOKE"'),
    Way("blind", 'query = "NONE"', must_call=True),
    Way("used", 'redeem_by = "ON_ISSUE"'),
    Way("named", _BY_US, many=False, by_us=True, mode="MERCHANT_API"),
    Way("theirs", _BY_US, many=False, by_us=True, mode="WECHATPAY_MODE"),
    Way("products", f"{_BY_US}two_phase = true", **_OF_BRAND, mode="MERCHANT_API"),
    Way("assigned", f"{_BY_US}two_phase = true", **_OF_BRAND, mode="WECHATPAY_MODE"),
    Way("referred", 'query = "REFERENCE"', must_call=True),
    Way("booked", must_call=True, booked=True),
    Way("pledged", consumed="ISSUE", must_call=True, booked=True),
    Way("aside", "two_phase = true"),
)
_PROVIDER = """
[[provider]]
code = "{code}"
name = {{ zh = "沙盒", en = "Sandbox" }}
dialect = "{dialect}"
url = "{url}"
{wechat}
[provider.capabilities]
deadline_s = {deadline}
not_found_grace_s = {grace}
query_schedule_s = {schedule}
{can}

[[benefit]]
code = "{code}"
name = {{ zh = "权益", en = "Benefit" }}
kind = "{kind}"
provider = "{code}"
sku = "{sku}"
cost = "1.00"
consumed = "{consumed}"
budget = "faults"
recipient = ["{field}"]
{booking}
"""
_WECHAT = """wechat = {{ \
mchid = "1900000001", appid = "wx233544546545989", brand_id = "{}", code_mode = "{}" }}"""
_BOOKING = 'booking = { free_cancel_hours = 1, late_cancel = "CAPTURE", no_show_hours = 1 }'


class Patience(NamedTuple):
    """How long we wait for providers, and ask, in seconds."""

    deadline: int
    grace: int
    schedule: tuple[int, ...]


PATIENCE = Patience(DEADLINE_S, GRACE_S, SCHEDULE_S)


def text(way: Way, url: str, patience: Patience) -> str:
    """Return a way's provider and its benefit as a programme's file has them."""
    return _PROVIDER.format(
        code=way.code,
        dialect=way.dialect,
        url=url,
        wechat=_WECHAT.format(way.brand, way.mode) if way.is_wechat else "",
        sku=way.sku,
        booking=_BOOKING if way.booked else "",
        deadline=float(patience.deadline),
        grace=patience.grace,
        schedule=list(patience.schedule),
        can=way.can,
        kind="WALLET_COUPON" if way.is_wechat else "BOOKING",
        consumed=way.consumed,
        field="openid" if way.is_wechat else "phone",
    )


def programme(some: Sequence[Way]) -> Programme:
    """Return a programme with the providers of some ways and their benefits."""
    return read(HEAD + "".join(text(way, f"http://{way.code}.test", PATIENCE) for way in some))


def settings(some: Sequence[Way], secret_keys: tuple[bytes, ...]) -> Settings:
    """Return the settings of our processes."""
    secrets: dict[str, Any] = {
        way.code: wechat.secrets(way.holds) if way.is_wechat else (stage.SECRET,) for way in some
    }
    keys = Keys(member_key=MEMBER_KEY, secret_keys=secret_keys, provider_secrets=secrets)
    return Settings(database_url="", keys=keys)


def recipient(way: Way, which: int) -> dict[str, str]:
    """Return who is to have it; the first of `which` are refused, for their fault or for ours."""
    refused = REFUSED[which] if which < len(REFUSED) else ""
    if way.is_wechat:
        return {"openid": f"{wechat.OPENID[:-4]}{refused}" if refused else wechat.OPENID}
    return {"phone": f"1390000{refused or '0001'}"}
