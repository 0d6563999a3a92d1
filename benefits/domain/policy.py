"""How a programme's tiers are won, kept and lost, as its document says it (M-1 to T-7).

A policy names one metric, what it is divided by and what each asset class weighs; a tier says how
it is kept: by misses in a row, or by a lock with a grace time. A tier may have other ways in than
its threshold, each with metrics and labels of its own (T-2).
`policy_problems` names every contradiction by its path.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from benefits.domain.labels import Layer
from benefits.domain.spelling import suggestion
from benefits.domain.welcome import Welcome, welcome_problems

Text = dict[str, str]
WEIGHT_DECIMALS = 4
WEIGHT_MAX = 10
TERM_MAX = 120
CALENDAR = r"\A[a-z0-9_-]{1,32}\Z"
ROLLING_MAX = 366
MONTHS_MAX = 24
Months = Annotated[int, msgspec.Meta(ge=2, le=MONTHS_MAX)]
Days = Annotated[int, msgspec.Meta(ge=2, le=ROLLING_MAX)]


class Target(enum.Enum):
    """Where a member lands who loses a tier (T-7)."""

    LAST = "LAST"
    BEST_OF_WINDOW = "BEST_OF_WINDOW"
    ONE_STEP = "ONE_STEP"


class Metric(enum.Enum):
    """Which days' balances are averaged and compared with a tier's threshold.

    A quarter's and a year's average is decided with its last month, the others with each month.
    ROLLING are the last days up to and including the month's last one (M-4), POINT_IN_TIME is one
    day, the last business day of the month (M-6).
    """

    MONTH_AVG = "MONTH_AVG"
    QUARTER_AVG = "QUARTER_AVG"
    YEAR_AVG = "YEAR_AVG"
    LAST_K_MONTHS = "LAST_K_MONTHS"
    ROLLING = "ROLLING"
    POINT_IN_TIME = "POINT_IN_TIME"


class Balance(enum.Enum):
    """What a day counts with: its end, or its opening, the end of the day before (M-7)."""

    DAY_END = "DAY_END"
    OPENING = "OPENING"


class Joint(enum.Enum):
    """For whom the balance of a joint account counts (A-5)."""

    FULL_TO_EACH = "FULL_TO_EACH"
    PRIMARY_ONLY = "PRIMARY_ONLY"
    SPLIT_EQUAL = "SPLIT_EQUAL"


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


class PointInTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asset `classes` that count by one day's balance, for the whole month (A-3).

    It is a `business_day` of the month, counted from its last one: 3 is the third last.
    """

    classes: tuple[str, ...]
    business_day: Annotated[int, msgspec.Meta(ge=1, le=15)] = 1


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tiers are won, kept and lost.

    `months` is the k of LAST_K_MONTHS, `days` the N of ROLLING, `divisor_days` the number of
    FIXED, `minimum_days` how many days SINCE_JOIN needs before a tier can be reached. `calendar`
    says for POINT_IN_TIME which days are business days. A class weighs 1 where `weights` is
    silent; one that weighs 0 is left out (EXCLUDED, A-3). With `review` dates (month ends, as
    `06-30`) misses count on those only. Who is at most `near` per cent below a tier is near it
    (M-10). A day that is missing `max_wait` days after the end of its period may be filled by two
    people (A-6). The result of a period is known by the day `post_by` of the month after it, where
    one is named (T-3). Balances of joint accounts count for whom they were brought, unless `joint`
    says for which holders (A-5). Some classes may count by a `point_in_time` (A-3). Classes among
    `liabilities` are owed and deducted with that weight; a day on which more is owed counts 0
    (A-8). A new customer may be `welcome` to a tier (M-8). What periods that are over lacked where
    a correction raises a month of the past is made good with units that live `make_good_days`, if
    they are named (A-7, L-9).
    """

    metric: Metric = Metric.MONTH_AVG
    months: Months | None = None
    days: Days | None = None
    calendar: Annotated[str, msgspec.Meta(pattern=CALENDAR)] | None = None
    balance: Balance = Balance.DAY_END
    divisor: Divisor = Divisor.PERIOD_DAYS
    divisor_days: Annotated[int, msgspec.Meta(ge=1, le=732)] | None = None
    minimum_days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 7
    weights: dict[str, Decimal] = {}
    liabilities: dict[str, Decimal] = {}
    upgrade: UpgradeTiming = UpgradeTiming.NEXT_PERIOD
    target: Target = Target.LAST
    review: tuple[str, ...] = ()
    near: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10
    max_wait: Annotated[int, msgspec.Meta(ge=0, le=366)] = 10
    post_by: Annotated[int, msgspec.Meta(ge=1, le=28)] | None = None
    joint: Joint | None = None
    point_in_time: PointInTime | None = None
    welcome: Welcome | None = None
    make_good_days: Annotated[int, msgspec.Meta(ge=7, le=366)] | None = None


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier cannot fall for `months`, nor in the `grace` months after them (T-5)."""

    months: Annotated[int, msgspec.Meta(ge=1, le=TERM_MAX)]
    grace: Annotated[int, msgspec.Meta(ge=0, le=TERM_MAX)] = 0


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fact: a `metric` that reaches a `threshold` in major units, or a `label` that is valid.

    A metric is divided, and a day counts, as the policy says; classes weigh what its `weights` and
    `liabilities` say for this metric, and where it says none what the policy's do. Only FACT and
    RULE labels decide (S-2).
    """

    metric: Metric | None = None
    months: Months | None = None
    days: Days | None = None
    weights: dict[str, Decimal] | None = None
    liabilities: dict[str, Decimal] | None = None
    threshold: Decimal | None = None
    label: Annotated[str, msgspec.Meta(max_length=64)] = ""
    layer: Layer = Layer.FACT


class Way(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way into a tier besides its threshold: `all` of the conditions (T-2).

    A member who is in by it keeps the tier by its own misses or lock; else by the tier's.
    """

    code: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z][A-Z0-9_]{0,31}\Z")]
    name: Text
    all: tuple[Condition, ...]
    misses: int = 0
    lock: Lock | None = None


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rung: reached by the policy's metric at `threshold`, in major units, inclusive (T-1).

    `any` are other ways in (T-2); with one of them the threshold may be left out. A tier is lost
    by `misses` in a row (T-4), or kept by a `lock` (T-5).
    """

    code: str
    name: Text
    threshold: Decimal | None = None
    any: tuple[Way, ...] = ()
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


def policy_problems(
    policy: Policy, tiers: Sequence[Tier], classes: Sequence[str]
) -> Iterator[str]:
    """Yield what is wrong with a policy and with how tiers are won and kept, by path."""
    yield from _ladder(tiers)
    if policy.upgrade is not UpgradeTiming.NEXT_PERIOD and period_months(policy) > 1:
        yield (
            f"policy.upgrade: {policy.upgrade.value} is for what is decided every month, not for "
            f"{policy.metric.value}: write NEXT_PERIOD"
        )
    yield from _metric(policy)
    yield from _calendar(policy, tiers)
    yield from _points(policy, tiers, classes)
    yield from _weights("policy.weights", policy.weights, classes)
    for at, condition in conditions(tiers):
        yield from _weights(f"{at}.weights", condition.weights or {}, classes)
    yield from _counting(policy, tiers, classes)
    yield from _liabilities(policy, tiers, classes)
    yield from _reviews(policy)
    yield from _ways(policy, tiers)
    yield from _kept(policy, tiers)
    yield from welcome_problems(policy.welcome, [tier.code for tier in tiers])


def _metric(policy: Policy) -> Iterator[str]:
    one, several = Metric.POINT_IN_TIME, Metric.ROLLING
    if policy.metric is several and policy.days is None:
        yield "policy.days: say how many days ROLLING averages"
    if policy.metric is not several and policy.days is not None:
        yield f"policy.days: only ROLLING has it, not {policy.metric.value}"
    if policy.metric is one and policy.divisor is not Divisor.PERIOD_DAYS:
        yield f"policy.divisor: {one.value} is one day, which nothing divides; leave it out"
    if policy.metric is several and policy.divisor is Divisor.FIXED:
        yield f"policy.divisor: {several.value} is divided by its own days; leave FIXED out"
    yield from _young("policy.minimum_days", policy, policy.days)
    if policy.metric is Metric.LAST_K_MONTHS and policy.months is None:
        yield "policy.months: say how many months LAST_K_MONTHS averages"
    if policy.metric is not Metric.LAST_K_MONTHS and policy.months is not None:
        yield f"policy.months: only LAST_K_MONTHS has it, not {policy.metric.value}"
    if policy.divisor is Divisor.FIXED and policy.divisor_days is None:
        yield "policy.divisor_days: say the number that FIXED divides by"
    if policy.divisor is not Divisor.FIXED and policy.divisor_days is not None:
        yield f"policy.divisor_days: only FIXED has it, not {policy.divisor.value}"


def _young(path: str, policy: Policy, days: int | None) -> Iterator[str]:
    if policy.divisor is Divisor.SINCE_JOIN and days is not None and days < policy.minimum_days:
        least = policy.minimum_days
        yield f"{path}: the last {days} days are never the {least} that a member needs"


def _calendar(policy: Policy, tiers: Sequence[Tier]) -> Iterator[str]:
    """Yield where a calendar is missing or not needed, or a day has no opening (M-6, M-7)."""
    one = Metric.POINT_IN_TIME
    paths = [path for path, metric in _metrics(policy, tiers) if metric is one]
    needs = paths + (["policy.point_in_time"] if policy.point_in_time else [])
    if needs and not policy.calendar:
        yield f"policy.calendar: say by which calendar a day is a business day, for {needs[0]}"
    if policy.calendar and not needs:
        yield f"policy.calendar: only {one.value} needs it, and nothing names that"
    if paths and policy.balance is Balance.OPENING:
        yield f"policy.balance: {one.value} is a day's end, not an opening, for {paths[0]}"


def _metrics(policy: Policy, tiers: Sequence[Tier]) -> Iterator[tuple[str, Metric]]:
    """Yield the metrics that a policy and the ways name, by path."""
    yield "policy.metric", policy.metric
    for path, condition in conditions(tiers):
        if condition.metric is not None:
            yield f"{path}.metric", condition.metric


def _points(policy: Policy, tiers: Sequence[Tier], classes: Sequence[str]) -> Iterator[str]:
    """Yield where classes cannot count by a point in time (A-3)."""
    asked, path = policy.point_in_time, "policy.point_in_time"
    if asked is None:
        return
    if not asked.classes:
        yield f"{path}.classes: name at least one class"
    for index, code in enumerate(asked.classes):
        if code not in classes:
            hint = suggestion(code, classes)
            yield f"{path}.classes[{index}]: {code!r} is not among asset_classes{hint}"
        elif code in asked.classes[:index]:
            yield f"{path}.classes[{index}]: {code!r} stands twice"
    for where, metric in _metrics(policy, tiers):
        if metric is not Metric.MONTH_AVG:
            yield f"{where}: {metric.value} has no classes by a point in time; only MONTH_AVG has"
    if policy.balance is Balance.OPENING:
        yield f"policy.balance: a class of {path} counts by a day's end, not by an opening"
    if policy.divisor is Divisor.SINCE_JOIN:
        yield f"policy.divisor: {path} counts for whole months, not for days since the opening"


def _weights(path: str, weights: Mapping[str, Decimal], classes: Sequence[str]) -> Iterator[str]:
    for code, weight in weights.items():
        if code not in classes:
            yield f"{path}.{code}: is not among asset_classes{suggestion(code, classes)}"
        if not (weight.is_finite() and 0 <= weight <= WEIGHT_MAX):
            yield f"{path}.{code}: must be from 0, which leaves the class out, to {WEIGHT_MAX}"
        elif (scaled := weight.scaleb(WEIGHT_DECIMALS)) != scaled.to_integral_value():
            yield f"{path}.{code}: {weight} has more than {WEIGHT_DECIMALS} decimals"


def left_out(weights: Mapping[str, Decimal]) -> frozenset[str]:
    """Return the classes that weigh 0: a metric counts nothing of them (EXCLUDED, A-3)."""
    return frozenset(code for code, weight in weights.items() if weight.is_zero())


def _counting(policy: Policy, tiers: Sequence[Tier], classes: Sequence[str]) -> Iterator[str]:
    """Yield where a metric leaves out every class that nobody owes, or one that has a day."""
    each = [("policy.weights", policy.weights)]
    each += [(f"{at}.weights", one.weights or {}) for at, one in conditions(tiers)]
    for path, weights in each:
        out = left_out(weights)
        if out and not {*classes} - owed(policy, tiers) - out:
            yield f"{path}: every class weighs 0, so nobody has anything; weigh one"
    points = policy.point_in_time.classes if policy.point_in_time else ()
    for index, code in enumerate(points):
        if code in left_out(policy.weights):
            path = f"policy.point_in_time.classes[{index}]"
            yield f"{path}: {code!r} weighs 0, and so counts on no day"


def _owing(policy: Policy, tiers: Sequence[Tier]) -> Iterator[tuple[str, Mapping[str, Decimal]]]:
    """Yield what metrics deduct, by path."""
    if policy.liabilities:
        yield "policy.liabilities", policy.liabilities
    for at, condition in conditions(tiers):
        if condition.liabilities:
            yield f"{at}.liabilities", condition.liabilities


def owed(policy: Policy, tiers: Sequence[Tier]) -> frozenset[str]:
    """Return the asset classes that any metric deducts; to the others they are nothing (A-8)."""
    return frozenset(code for _, weights in _owing(policy, tiers) for code in weights)


def _liabilities(policy: Policy, tiers: Sequence[Tier], classes: Sequence[str]) -> Iterator[str]:
    """Yield where what is owed cannot be deducted day by day (A-8)."""
    each = list(_owing(policy, tiers))
    weighed = {*policy.weights}.union(*(one.weights or {} for _, one in conditions(tiers)))
    for path, weights in each:
        yield from _weights(path, weights, classes)
        for code in sorted({*weights} & weighed):
            yield f"{path}.{code}: weighs as an asset, too; keep one of the two"
        for code in sorted(left_out(weights)):
            yield f"{path}.{code}: must be above 0; else leave it out"
    if not each:
        return
    first = each[0][0]
    if not {*classes} - owed(policy, tiers):
        yield f"{first}: every class is owed, so nobody has anything; leave one out"
    points = policy.point_in_time.classes if policy.point_in_time else ()
    for index, code in enumerate(points):
        if code in owed(policy, tiers):
            path = f"policy.point_in_time.classes[{index}]"
            yield f"{path}: {code!r} is owed, and so deducted on each day as it is"


def _reviews(policy: Policy) -> Iterator[str]:
    every = period_months(policy)
    for index, day in enumerate(policy.review):
        path = f"policy.review[{index}]"
        if day not in REVIEWS:
            yield f"{path}: {day!r} is not the last day of a month{suggestion(day, REVIEWS)}"
        elif REVIEWS[day] % every:
            yield f"{path}: no {policy.metric.value} is decided on {day}"


def _kept(policy: Policy, tiers: Sequence[Tier]) -> Iterator[str]:
    for index, tier in enumerate(tiers):
        path = f"tier[{index}]"
        if index == 0:
            if tier.lock is not None:
                yield f"{path}.lock: nobody loses the lowest tier"
            continue
        if tier.lock is None and tier.misses < 1 and not _own_terms(tier):
            yield f"{path}.misses: say how many months below in a row lose the tier"
        yield from _term(policy, path, tier)
        for nth, way in enumerate(tier.any):
            yield from _term(policy, f"{path}.any[{nth}]", way)


def _own_terms(tier: Tier) -> bool:
    """Say whether a tier needs no term itself: nobody is in but by ways with their own."""
    return tier.threshold is None and all(way.misses or way.lock for way in tier.any)


def _term(policy: Policy, path: str, kept: Tier | Way) -> Iterator[str]:
    if not 0 <= kept.misses <= TERM_MAX:
        yield f"{path}.misses: at most {TERM_MAX}, and not below 0"
    if kept.lock is None:
        return
    if kept.misses:
        yield f"{path}.misses: a tier with a lock is not lost by misses; keep one of the two"
    if policy.target is Target.BEST_OF_WINDOW:
        yield f"{path}.lock: a lock has no window of misses; choose another policy.target"
    if policy.review:
        yield f"{path}.lock: a lock is not reviewed; leave policy.review out"


def _ladder(tiers: Sequence[Tier]) -> Iterator[str]:
    """Yield where thresholds do not ascend from 0, or a tier cannot be reached (T-1)."""
    if not tiers:
        yield "tier: a programme needs at least one tier"
        return
    below = tiers[0].threshold
    if below is None or not below.is_finite() or below != 0:  # sNaN cannot even be compared
        yield "tier[0].threshold: the lowest tier starts at 0"
    if tiers[0].any:
        yield "tier[0].any: everybody has the lowest tier"
    for index, tier in enumerate(tiers[1:], 1):
        bound = tier.threshold
        if bound is None:
            if not tier.any:
                yield f"tier[{index}].threshold: say from which average on, or how else, by any"
            continue
        if below is not None and below.is_finite() and bound.is_finite() and bound <= below:
            yield f"tier[{index}].threshold: must be above that of the tier before it"
        below = bound


def conditions(tiers: Sequence[Tier]) -> Iterator[tuple[str, Condition]]:
    """Yield the conditions of all ways, by path."""
    for index, tier in enumerate(tiers):
        for nth, way in enumerate(tier.any):
            for place, condition in enumerate(way.all):
                yield f"tier[{index}].any[{nth}].all[{place}]", condition


def thresholds(tiers: Sequence[Tier]) -> Iterator[tuple[str, Decimal]]:
    """Yield every amount that an average is compared with, by path."""
    for index, tier in enumerate(tiers):
        if tier.threshold is not None:
            yield f"tier[{index}].threshold", tier.threshold
    for path, condition in conditions(tiers):
        if condition.threshold is not None:
            yield f"{path}.threshold", condition.threshold


def _ways(policy: Policy, tiers: Sequence[Tier]) -> Iterator[str]:
    for index, tier in enumerate(tiers):
        seen = set[str]()
        for nth, way in enumerate(tier.any):
            if way.code in seen:
                yield f"tier[{index}].any[{nth}].code: {way.code!r} stands twice"
            seen.add(way.code)
            if not way.all:
                yield f"tier[{index}].any[{nth}].all: name at least one condition"
    for path, condition in conditions(tiers):
        yield from _condition(policy, path, condition)


def _condition(policy: Policy, path: str, condition: Condition) -> Iterator[str]:
    if condition.label:
        more = (
            *(condition.metric, condition.months, condition.days),
            *(condition.weights, condition.liabilities),
        )
        if any(each is not None for each in (*more, condition.threshold)):
            yield f"{path}: one condition is a metric or a label; write two"
        if condition.layer is Layer.MODEL:
            yield f"{path}.layer: a MODEL label may rank, never decide; FACT, RULE, LIST may"
        return
    if condition.metric is None:
        yield f"{path}: name a metric with a threshold, or a label"
        return
    if condition.threshold is None:
        yield f"{path}.threshold: say from which average on"
    last_k = condition.metric is Metric.LAST_K_MONTHS
    if last_k != (condition.months is not None):
        yield f"{path}.months: say how many months LAST_K_MONTHS averages, and of no other metric"
    if (condition.metric is Metric.ROLLING) != (condition.days is not None):
        yield f"{path}.days: say how many days ROLLING averages, and of no other metric"
    yield from _young(f"{path}.days", policy, condition.days)
    if policy.divisor is Divisor.FIXED and condition.metric is not policy.metric:
        yield f"{path}.metric: policy.divisor_days is of {policy.metric.value}; use that"
