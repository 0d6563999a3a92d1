"""How a programme's tiers are won, kept and lost, as its document says it (M-1 to T-7).

A policy names one metric over whole months, what it is divided by and what each asset class
weighs; a tier says how it is kept: by misses in a row, or by a lock with a grace time.
`policy_problems` names every contradiction by its path.
"""

import difflib
import enum
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Annotated

import msgspec

Text = dict[str, str]
WEIGHT_DECIMALS = 4
WEIGHT_MAX = 10
TERM_MAX = 120


class Target(enum.Enum):
    """Where a member lands who loses a tier (T-7)."""

    LAST = "LAST"
    BEST_OF_WINDOW = "BEST_OF_WINDOW"
    ONE_STEP = "ONE_STEP"


class Metric(enum.Enum):
    """Which months' day-end balances are averaged and compared with a tier's threshold.

    A quarter's and a year's average is decided with its last month, the others with each month.
    """

    MONTH_AVG = "MONTH_AVG"
    QUARTER_AVG = "QUARTER_AVG"
    YEAR_AVG = "YEAR_AVG"
    LAST_K_MONTHS = "LAST_K_MONTHS"


class Divisor(enum.Enum):
    """What a sum is divided by: the period's days, a fixed number, or those since the opening."""

    PERIOD_DAYS = "PERIOD_DAYS"
    FIXED = "FIXED"
    SINCE_JOIN = "SINCE_JOIN"


class UpgradeTiming(enum.Enum):
    """When a reached tier takes effect (T-3)."""

    NEXT_PERIOD = "NEXT_PERIOD"
    NEXT_DAY = "NEXT_DAY"
    INSTANT = "INSTANT"


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tiers are won, kept and lost.

    `months` is the k of LAST_K_MONTHS, `divisor_days` the number of FIXED, `minimum_days` how many
    days SINCE_JOIN needs before a tier can be reached. A class weighs 1 where `weights` is silent.
    With `review` dates (month ends, as `06-30`) misses count on those only. Who is at most `near`
    per cent below a tier is near it (M-10).
    """

    metric: Metric = Metric.MONTH_AVG
    months: Annotated[int, msgspec.Meta(ge=2, le=24)] | None = None
    divisor: Divisor = Divisor.PERIOD_DAYS
    divisor_days: Annotated[int, msgspec.Meta(ge=1, le=732)] | None = None
    minimum_days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 7
    weights: dict[str, Decimal] = {}
    upgrade: UpgradeTiming = UpgradeTiming.NEXT_PERIOD
    target: Target = Target.LAST
    review: tuple[str, ...] = ()
    near: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier cannot fall for `months`, nor in the `grace` months after them (T-5)."""

    months: Annotated[int, msgspec.Meta(ge=1, le=TERM_MAX)]
    grace: Annotated[int, msgspec.Meta(ge=0, le=TERM_MAX)] = 0


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rung: `threshold` in major units, inclusive (T-1).

    It is lost by `misses` in a row (T-4), or kept by a `lock` (T-5).
    """

    code: str
    name: Text
    threshold: Decimal
    misses: int = 0
    lock: Lock | None = None


REVIEWS = {
    **{f"{number:02d}-31": number for number in (1, 3, 5, 7, 8, 10, 12)},
    **{f"{number:02d}-30": number for number in (4, 6, 9, 11)},
    "02-28": 2,
    "02-29": 2,
}
_PERIOD_MONTHS = {Metric.QUARTER_AVG: 3, Metric.YEAR_AVG: 12}


def period_months(policy: Policy) -> int:
    """Return how many months apart the metric is decided."""
    return _PERIOD_MONTHS.get(policy.metric, 1)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" when a known word is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def policy_problems(
    policy: Policy, tiers: tuple[Tier, ...], classes: tuple[str, ...]
) -> Iterator[str]:
    """Yield what is wrong with a policy and with how its tiers are kept, by path."""
    if policy.upgrade is not UpgradeTiming.NEXT_PERIOD and period_months(policy) > 1:
        yield (
            f"policy.upgrade: {policy.upgrade.value} is for what is decided every month, not for "
            f"{policy.metric.value}: write NEXT_PERIOD"
        )
    yield from _metric(policy)
    for code, weight in policy.weights.items():
        path = f"policy.weights.{code}"
        if code not in classes:
            yield f"{path}: is not among asset_classes{suggestion(code, classes)}"
        if not (weight.is_finite() and 0 < weight <= WEIGHT_MAX):
            yield f"{path}: must be above 0 and at most {WEIGHT_MAX}; else leave the class out"
        elif (scaled := weight.scaleb(WEIGHT_DECIMALS)) != scaled.to_integral_value():
            yield f"{path}: {weight} has more than {WEIGHT_DECIMALS} decimals"
    yield from _reviews(policy)
    yield from _kept(policy, tiers)


def _metric(policy: Policy) -> Iterator[str]:
    if policy.metric is Metric.LAST_K_MONTHS and policy.months is None:
        yield "policy.months: say how many months LAST_K_MONTHS averages"
    if policy.metric is not Metric.LAST_K_MONTHS and policy.months is not None:
        yield f"policy.months: only LAST_K_MONTHS has it, not {policy.metric.value}"
    if policy.divisor is Divisor.FIXED and policy.divisor_days is None:
        yield "policy.divisor_days: say the number that FIXED divides by"
    if policy.divisor is not Divisor.FIXED and policy.divisor_days is not None:
        yield f"policy.divisor_days: only FIXED has it, not {policy.divisor.value}"


def _reviews(policy: Policy) -> Iterator[str]:
    every = period_months(policy)
    for index, day in enumerate(policy.review):
        path = f"policy.review[{index}]"
        if day not in REVIEWS:
            yield f"{path}: {day!r} is not the last day of a month{suggestion(day, REVIEWS)}"
        elif REVIEWS[day] % every:
            yield f"{path}: no {policy.metric.value} is decided on {day}"


def _kept(policy: Policy, tiers: tuple[Tier, ...]) -> Iterator[str]:
    for index, tier in enumerate(tiers):
        path = f"tier[{index}]"
        if index == 0:
            if tier.lock is not None:
                yield f"{path}.lock: nobody loses the lowest tier"
            continue
        if tier.lock is None and tier.misses < 1:
            yield f"{path}.misses: say how many months below in a row lose the tier"
        if tier.misses > TERM_MAX:
            yield f"{path}.misses: at most {TERM_MAX}"
        if tier.lock is None:
            continue
        if tier.misses:
            yield f"{path}.misses: a tier with a lock is not lost by misses; keep one of the two"
        if policy.target is Target.BEST_OF_WINDOW:
            yield f"{path}.lock: a lock has no window of misses; choose another policy.target"
        if policy.review:
            yield f"{path}.lock: a lock is not reviewed; leave policy.review out"
