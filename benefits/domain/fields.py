"""The fields that a rule may ask for: what each compares, when it is known, how it is said.

A field is judged on one day from what is known of a member then. What is not known is open, and
open grants nothing (E-1). Each field says where it may stand: what a grant is decided by is known
as a tier is, what a claim is decided by comes with the claim or is told of the member.
"""

import enum
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from benefits.domain.labels import label_name
from benefits.domain.ladder import Truth
from benefits.domain.metrics import Reading
from benefits.domain.policy import Text
from benefits.domain.values import add_months

AGE_MAX = 150
MONTHS_MAX = 1200
Code = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]


class Place(enum.Enum):
    """When a rule is asked: as units are granted, or as they are claimed (E-1)."""

    GRANT = "GRANT"
    CLAIM = "CLAIM"


class Channel(enum.Enum):
    """By which way a member claims (E-3)."""

    MOBILE = "MOBILE"
    BRANCH = "BRANCH"
    WEB = "WEB"
    PHONE = "PHONE"
    WECHAT = "WECHAT"


class _Asks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Years(_Asks, frozen=True, omit_defaults=True):
    """Full years, from `at_least` through `at_most` (E-2)."""

    at_least: Annotated[int, msgspec.Meta(ge=0, le=AGE_MAX)] | None = None
    at_most: Annotated[int, msgspec.Meta(ge=0, le=AGE_MAX)] | None = None


class Months(_Asks, frozen=True, omit_defaults=True):
    """Full months, from `at_least` through `at_most` (C-6)."""

    at_least: Annotated[int, msgspec.Meta(ge=0, le=MONTHS_MAX)] | None = None
    at_most: Annotated[int, msgspec.Meta(ge=0, le=MONTHS_MAX)] | None = None


class Among(_Asks, frozen=True, omit_defaults=True, rename={"in_": "in", "is_": "is"}):
    """One value that it `is`, or some that it is `in`."""

    is_: Code | None = None
    in_: tuple[Code, ...] | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """All of them."""
        return (self.is_,) if self.is_ is not None else self.in_ or ()


class Ranked(Among, frozen=True, omit_defaults=True):
    """A tier that it is, some that it is in, or the bounds of its rank."""

    at_least: Code | None = None
    at_most: Code | None = None


class New(_Asks, frozen=True):
    """Nobody who had a relationship in the `months` before this one began (E-5)."""

    months: Annotated[int, msgspec.Meta(ge=1, le=MONTHS_MAX)]


class Amount(_Asks, frozen=True, omit_defaults=True):
    """Major units of the programme's currency, from `at_least` up to but not `below`."""

    at_least: Decimal | None = None
    below: Decimal | None = None


Asks = Years | Months | Among | Ranked | New | Amount | bool


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a member on a day; None, or no text, is what nobody told.

    `tier` and `ranks` are of the programme whose rule it is. `is_person_known` is whether other
    customer numbers of the same person would be found; the last of those that began before this
    one was open through `before_until`. `metric` is the programme's of the last period that is
    over, in minor units of so many digits.
    """

    today: date
    opened_on: date
    born_on: date | None = None
    city: str | None = None
    branch: str = ""
    is_staff: bool | None = None
    is_person_known: bool = False
    before_until: date | None = None
    labels: frozenset[str] = frozenset()
    tier: str = ""
    ranks: Mapping[str, int] = {}
    channel: str = ""
    consents: frozenset[str] = frozenset()
    metric: Reading | None = None
    minor_digits: int = 2


def age(born_on: date, today: date) -> int:
    """Return full years; who was born on 29 February turns older on 1 March (E-2)."""
    is_before = (today.month, today.day) < (born_on.month, born_on.day)
    return today.year - born_on.year - is_before


def birthday(born_on: date, years: int) -> date:
    """Return the first day on which somebody is `years` old (E-2)."""
    try:
        return born_on.replace(year=born_on.year + years)
    except ValueError:
        return date(born_on.year + years, 3, 1)


def tenure(opened_on: date, today: date) -> int:
    """Return full months since the relationship began, below 0 before it (C-6)."""
    months = (today.year - opened_on.year) * 12 + today.month - opened_on.month
    return months if add_months(opened_on, months) <= today else months - 1


def _truth(holds: bool) -> Truth:  # noqa: FBT001 - it is what is asked
    return Truth.YES if holds else Truth.NO


def _within(value: int, asks: Years | Months) -> Truth:
    return _truth(
        (asks.at_least is None or value >= asks.at_least)
        and (asks.at_most is None or value <= asks.at_most)
    )


def _age(asks: Any, known: Known) -> Truth:
    if known.born_on is None:
        return Truth.OPEN
    return _within(age(known.born_on, known.today), asks)


def _tenure(asks: Any, known: Known) -> Truth:
    return _within(tenure(known.opened_on, known.today), asks)


def _tier(asks: Any, known: Known) -> Truth:
    if asks.values:
        return _truth(known.tier in asks.values)
    rank = known.ranks[known.tier]
    return _truth(
        (asks.at_least is None or rank >= known.ranks[asks.at_least])
        and (asks.at_most is None or rank <= known.ranks[asks.at_most])
    )


def _metric(asks: Any, known: Known) -> Truth:
    """Compare exact sums (C-3); days that are missing add nothing that could be taken (A-6)."""
    of = known.metric
    if of is None or of.young:
        return Truth.OPEN

    def reaches(amount: Decimal) -> Truth:
        if of.sum_minor >= _minor(amount, known) * of.divisor:
            return Truth.YES
        return Truth.NO if of.complete else Truth.OPEN

    low = Truth.YES if asks.at_least is None else reaches(asks.at_least)
    high = Truth.NO if asks.below is None else reaches(asks.below)
    return Truth(min(low.value, Truth.YES.value - high.value))


def _minor(amount: Decimal, known: Known) -> int:
    return int(amount.scaleb(known.minor_digits))


def _label(asks: Any, known: Known) -> Truth:
    return _truth(not known.labels.isdisjoint(asks.values))


def _among(asks: Any, value: str | None) -> Truth:
    return _truth(value in asks.values) if value else Truth.OPEN


def _staff(asks: Any, known: Known) -> Truth:
    return Truth.OPEN if known.is_staff is None else _truth(known.is_staff is asks)


def _new(asks: Any, known: Known) -> Truth:
    if not known.is_person_known:
        return Truth.OPEN
    began = add_months(known.opened_on, -asks.months)
    return _truth(known.before_until is None or known.before_until < began)


def _said(asks: Any, many: Mapping[str, Text], language: str) -> str:
    """Return values in words, the names of `many` where it has them."""
    names = [many.get(one, {}).get(language, label_name(one) or one) for one in asks.values]
    return {"zh": "或", "en": " or "}[language].join(names)


def _between(asks: Any, unit: Text) -> Text:
    """Return bounds in words."""
    low, high = asks.at_least, asks.at_most
    if low is not None and high is not None:
        return {"zh": f"{low}至{high}{unit['zh']}", "en": f"{low} to {high} {unit['en']}"}
    if low is not None:
        return {"zh": f"满{low}{unit['zh']}", "en": f"at least {low} {unit['en']}"}
    return {"zh": f"不超过{high}{unit['zh']}", "en": f"at most {high} {unit['en']}"}


_YEARS = {"zh": "周岁", "en": "years"}
_MONTHS = {"zh": "个月", "en": "months"}
CHANNELS: dict[str, Text] = {
    "MOBILE": {"zh": "手机银行", "en": "the mobile bank"},
    "BRANCH": {"zh": "网点", "en": "a branch"},
    "WEB": {"zh": "网上银行", "en": "the web"},
    "PHONE": {"zh": "电话", "en": "the phone"},
    "WECHAT": {"zh": "微信", "en": "WeChat"},
}


def _age_words(asks: Any, _names: Mapping[str, Text]) -> Text:
    bounds = _between(asks, _YEARS)
    return {"zh": f"年龄{bounds['zh']}", "en": f"an age of {bounds['en']}"}


def _tenure_words(asks: Any, _names: Mapping[str, Text]) -> Text:
    bounds = _between(asks, _MONTHS)
    return {"zh": f"开户{bounds['zh']}", "en": f"{bounds['en']} with the bank"}


def _tier_words(asks: Any, names: Mapping[str, Text]) -> Text:
    if asks.values:
        zh, en = (_said(asks, names, language) for language in ("zh", "en"))
        return {"zh": f"等级为{zh}", "en": f"tier {en}"}

    def name(code: str, language: str) -> str:
        return names.get(code, {}).get(language, code)

    low, high = asks.at_least, asks.at_most
    chinese, english = list[str](), list[str]()
    if low is not None:
        chinese.append(f"{name(low, 'zh')}及以上")
        english.append(f"{name(low, 'en')} or higher")
    if high is not None:
        chinese.append(f"{name(high, 'zh')}及以下")
        english.append(f"{name(high, 'en')} or lower")
    return {"zh": f"等级为{'且'.join(chinese)}", "en": f"tier {' and '.join(english)}"}


def _listed(zh: str, en: str, many: Mapping[str, Text] | None = None) -> "Words":
    def words(asks: Any, _names: Mapping[str, Text]) -> Text:
        of = many or {}
        return {
            "zh": zh.format(_said(asks, of, "zh")),
            "en": en.format(_said(asks, of, "en")),
        }

    return words


def _staff_words(asks: Any, _names: Mapping[str, Text]) -> Text:
    if asks:
        return {"zh": "本行员工", "en": "a member of staff"}
    return {"zh": "非本行员工", "en": "not a member of staff"}


def _new_words(asks: Any, _names: Mapping[str, Text]) -> Text:
    return {
        "zh": f"新客户（开户前{asks.months}个月内与本行无业务关系）",
        "en": f"a new customer, with no relationship in the {asks.months} months before",
    }


def _metric_words(asks: Any, _names: Mapping[str, Text]) -> Text:
    chinese, english = list[str](), list[str]()
    if asks.at_least is not None:
        chinese.append(f"不低于{asks.at_least:,f}")
        english.append(f"at least {asks.at_least:,f}")
    if asks.below is not None:
        chinese.append(f"低于{asks.below:,f}")
        english.append(f"less than {asks.below:,f}")
    return {
        "zh": f"上一期资产{'且'.join(chinese)}",
        "en": f"assets of {' and '.join(english)} in the last period",
    }


def _metric_lacks(asks: Any, known: Known) -> Text:
    """Return how much more it takes each day, rounded up (C-3); nothing where it is too much."""
    of = known.metric
    if of is None or asks.at_least is None:
        return {}
    missing = _minor(asks.at_least, known) * of.divisor - of.sum_minor
    if missing <= 0:
        return {}
    more = Decimal(-(-missing // of.divisor)).scaleb(-known.minor_digits)
    return {"zh": f"还差{more:,f}", "en": f"{more:,f} more"}


def _from_age(asks: Any, known: Known) -> date | None:
    if known.born_on is None or asks.at_least is None:
        return None
    return birthday(known.born_on, asks.at_least)


def _from_tenure(asks: Any, known: Known) -> date | None:
    return None if asks.at_least is None else add_months(known.opened_on, asks.at_least)


Words = Callable[[Any, Mapping[str, Text]], Text]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field: where it may stand, whether it holds, what it asks, and from which day it holds.

    `missing` names what is not known where it is open, and `lacks` how much is where it is not.
    """

    places: frozenset[Place]
    truth: Callable[[Any, Known], Truth]
    words: Words
    missing: Text = {}
    from_: Callable[[Any, Known], date | None] = lambda _asks, _known: None
    lacks: Callable[[Any, Known], Text] = lambda _asks, _known: {}


_GRANT = frozenset({Place.GRANT})
_CLAIM = frozenset({Place.CLAIM})
FIELDS: dict[str, Field] = {
    "tier": Field(places=_GRANT, truth=_tier, words=_tier_words),
    "label": Field(places=_GRANT, truth=_label, words=_listed("标签：{}", "the label {}")),
    "age": Field(
        places=_GRANT | _CLAIM,
        truth=_age,
        words=_age_words,
        missing={"zh": "出生日期", "en": "the date of birth"},
        from_=_from_age,
    ),
    "city": Field(
        places=_GRANT | _CLAIM,
        truth=lambda asks, known: _among(asks, known.city),
        words=_listed("城市：{}", "the city {}"),
        missing={"zh": "所在城市", "en": "the city"},
    ),
    "branch": Field(
        places=_GRANT | _CLAIM,
        truth=lambda asks, known: _among(asks, known.branch),
        words=_listed("开户网点：{}", "the branch {}"),
        missing={"zh": "开户网点", "en": "the branch"},
    ),
    "channel": Field(
        places=_CLAIM,
        truth=lambda asks, known: _among(asks, known.channel),
        words=_listed("通过{}领取", "a claim by {}", CHANNELS),
        missing={"zh": "领取渠道", "en": "the channel of the claim"},
    ),
    "tenure_months": Field(
        places=_GRANT | _CLAIM, truth=_tenure, words=_tenure_words, from_=_from_tenure
    ),
    "staff": Field(
        places=_GRANT | _CLAIM,
        truth=_staff,
        words=_staff_words,
        missing={"zh": "是否本行员工", "en": "whether it is a member of staff"},
    ),
    "new_customer": Field(
        places=_GRANT | _CLAIM,
        truth=_new,
        words=_new_words,
        missing={"zh": "证件", "en": "the identity document"},
    ),
    "metric": Field(
        places=_GRANT,
        truth=_metric,
        words=_metric_words,
        missing={"zh": "上一期资产", "en": "the whole of the last period"},
        lacks=_metric_lacks,
    ),
}
