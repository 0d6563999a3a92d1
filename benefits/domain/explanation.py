"""Why a month decided as it did, in a sentence for the customer, in both languages (X-6).

Where a tier has other ways in than its threshold, the sentence names the one that held, and by
which ways the tier is kept and the next one reached (T-2).
"""

from datetime import date, timedelta

import msgspec

from benefits.domain.dates import ENGLISH_MONTHS, chinese_date, english_date
from benefits.domain.ladder import THRESHOLD, Alternative, Truth
from benefits.domain.metrics import Reading
from benefits.domain.policy import Balance, Metric, Policy, Tier
from benefits.domain.programme import Programme
from benefits.domain.remembered import remembered
from benefits.domain.tiers import Cause, Decision, display_average, judged_again, stays_until
from benefits.domain.windows import days_of

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The way a decision is told by: the one that held, or the one whose average came nearest.

    Its figures are a metric as it was read and the average needed; a way by labels has none.
    """

    way: Alternative
    is_held: bool
    metric: Policy
    reading: Reading | None = None
    needed_minor: int = 0

    @property
    def average(self) -> int:
        """The average to show."""
        assert self.reading is not None, "only where there are figures"
        return display_average(self.reading.sum_minor, self.reading.divisor)


def told_rank(programme: Programme, decision: Decision) -> int:
    """Return the tier that a decision is told by: the higher one, of the lowest the next."""
    rank = max(decision.before.rank, decision.after.rank)
    return rank or min(1, len(programme.tier) - 1)


def told(programme: Programme, decision: Decision) -> Told:
    """Return the way that a decision about its higher tier is told by (X-6, T-2).

    Where none held, a way whose labels are missing came near by no balance.
    """
    rank = told_rank(programme, decision)
    readings, labels = decision.readings, frozenset(decision.grounds.labels)
    rung = programme.ladder.rungs[rank]
    holding = [
        each
        for each in rung
        if decision.qualified == rank and each.truth(readings, labels) is Truth.YES
    ]
    near = [each for each in rung if each.bounds and each.labels <= labels]
    shown = [_figures(programme, way, readings, is_held=bool(holding)) for way in holding or near]
    if holding:
        return next((each for each in shown if each.way.code == decision.after.way), shown[0])
    none = Told(way=rung[0], is_held=False, metric=programme.policy)
    return min(shown, key=_short, default=none)


def _figures(
    programme: Programme, way: Alternative, readings: tuple[Reading, ...], *, is_held: bool
) -> Told:
    metrics_ = programme.ladder.metrics
    found = [
        Told(
            way=way,
            is_held=is_held,
            metric=metrics_[bound.metric],
            reading=readings[bound.metric],
            needed_minor=bound.minor,
        )
        for bound in way.bounds
    ]
    return max(found, key=_short, default=Told(way=way, is_held=is_held, metric=metrics_[0]))


def _short(told: Told) -> int:
    return told.needed_minor - told.average if told.reading else 0


def money(minor: int, digits: int) -> str:
    """Write minor units as a grouped amount in major units: `499,999.99`."""
    whole, part = divmod(minor, 10**digits)
    return f"{whole:,}.{part:0{digits}d}" if digits else f"{whole:,}"


@remembered
def explain(programme: Programme, decision: Decision, since: date | None = None) -> dict[str, str]:
    """Tell a customer in a sentence of each language what a month decided and why (X-6).

    What it decided holds `since` a day: that of the next month's begin, or of an early rise (T-3)
    or a correction (A-7).
    """
    if decision.cause is Cause.ENDED:
        return _ended(programme, decision)
    if decision.cause is Cause.MERGED:
        return _merged(programme, decision)
    if decision.cause is Cause.FRAUD:
        return _fraud(programme, decision)
    if decision.cause is Cause.WELCOME:
        return welcome(programme, decision)
    if decision.cause is Cause.WELCOME_OVER:
        return _welcome_over(programme, decision)
    why, begin = told(programme, decision), since or decision.effective_from
    found = {
        "zh": _chinese(programme, decision, why, begin),
        "en": _english(programme, decision, why, begin),
    }
    if decision.after.welcome_until is None:
        return found
    more = welcome(programme, decision)
    return {"zh": found["zh"] + more["zh"], "en": f"{found['en']} {more['en']}"}


def welcome(programme: Programme, decision: Decision) -> dict[str, str]:
    """Tell that a new customer has a tier at least, until when, and what is earned (M-8)."""
    after = decision.after
    assert after.earned is not None, "a welcome lifts something"
    assert after.welcome_until is not None, "a welcome has an end"
    tier, earned = programme.tier[after.rank], programme.tier[after.earned]
    last = after.welcome_until - timedelta(days=1)
    return {
        "zh": f"作为新客户，您在{chinese_date(last)}前（含当日）至少享有{_name(tier, 'zh')}；"
        f"目前已达到的等级为{_name(earned, 'zh')}，此后按已达到的等级。",
        "en": f"As a new customer you have at least {_name(tier, 'en')} through "
        f"{english_date(last)}; what you have reached so far is {_name(earned, 'en')}, and what "
        "you have reached by then holds from then on.",
    }


def _welcome_over(programme: Programme, decision: Decision) -> dict[str, str]:
    """Tell that a welcome ended, and what was earned holds (M-8)."""
    tier, before = programme.tier[decision.after.rank], programme.tier[decision.before.rank]
    ended_on = decision.grounds.ended_on
    assert ended_on is not None, "an end has a day"
    return {
        "zh": f"新客户的{_name(before, 'zh')}等级已于{chinese_date(ended_on)}到期，"
        f"现按已达到的等级{_name(tier, 'zh')}。",
        "en": f"As a new customer you had {_name(before, 'en')} through "
        f"{english_date(ended_on)}: now what you have reached holds, {_name(tier, 'en')}.",
    }


def _ended(programme: Programme, decision: Decision) -> dict[str, str]:
    """Tell that a tier ended with the relationship (T-10)."""
    tier, ended_on = programme.tier[decision.after.rank], decision.grounds.ended_on
    assert ended_on is not None, "an end has a day"
    return {
        "zh": f"客户关系于{chinese_date(ended_on)}终止，等级为{_name(tier, 'zh')}。",
        "en": f"The relationship ended on {english_date(ended_on)}: "
        f"your tier is {_name(tier, 'en')}.",
    }


def _merged(programme: Programme, decision: Decision) -> dict[str, str]:
    """Tell that the higher tier of two customer numbers holds (T-10)."""
    tier = programme.tier[decision.after.rank]
    return {
        "zh": f"您的两个客户号已合并，在下次判定前按较高等级{_name(tier, 'zh')}。",
        "en": "Two customer numbers of yours became one: until the next decision you have the "
        f"higher tier of the two, {_name(tier, 'en')}.",
    }


def _fraud(programme: Programme, decision: Decision) -> dict[str, str]:
    """Tell that two people had a tier decided anew, because balances were false (A-7)."""
    tier, since = programme.tier[decision.after.rank], decision.grounds.wrong_from
    assert since is not None, "false balances begin on a day"
    month = f"{ENGLISH_MONTHS[since.month - 1]} {since.year}"
    return {
        "zh": f"{since.year}年{since.month}月起的资产数据经双人复核认定为欺诈（FRAUD），"
        f"等级已按更正后的数据立即重新判定，现为{_name(tier, 'zh')}。",
        "en": f"Two people found that balances from {month} on were fraud (FRAUD): your tier was "
        f"decided anew at once by the corrected ones and is now {_name(tier, 'en')}.",
    }


def _english_span(policy: Policy, reading: Reading) -> str:
    """Name the days that a reading is of: `June 2025`, `Second quarter of 2025:`."""
    first, last = days_of(policy, reading.month, reading.day)
    match policy.metric:
        case Metric.MONTH_AVG:
            return f"{ENGLISH_MONTHS[first.month - 1]} {first.year}"
        case Metric.QUARTER_AVG:
            quarter = _ORDINALS[last.month // 3 - 1].capitalize()
            return f"{quarter} quarter of {first.year}:"
        case Metric.YEAR_AVG:
            return f"{first.year}:"
        case Metric.LAST_K_MONTHS:
            begin = ENGLISH_MONTHS[first.month - 1]
            begin += "" if first.year == last.year else f" {first.year}"
            return f"{begin} to {ENGLISH_MONTHS[last.month - 1]} {last.year}:"
        case Metric.ROLLING:
            return f"{english_date(first)} to {english_date(last)}:"
        case Metric.POINT_IN_TIME if reading.day is None:
            return f"Last business day of {ENGLISH_MONTHS[last.month - 1]} {last.year}:"
        case Metric.POINT_IN_TIME:
            return f"{english_date(reading.day)}, last business day of the month:"


def _chinese_span(policy: Policy, reading: Reading) -> str:
    first, last = days_of(policy, reading.month, reading.day)
    match policy.metric:
        case Metric.MONTH_AVG:
            return f"{first.year}年{first.month}月"
        case Metric.QUARTER_AVG:
            return f"{first.year}年第{last.month // 3}季度"
        case Metric.YEAR_AVG:
            return f"{first.year}年"
        case Metric.LAST_K_MONTHS:
            year = "" if first.year == last.year else f"{last.year}年"
            return f"{first.year}年{first.month}月至{year}{last.month}月"
        case Metric.ROLLING:
            return f"{chinese_date(first)}至{chinese_date(last)}"
        case Metric.POINT_IN_TIME if reading.day is None:
            return f"{last.year}年{last.month}月最后一个营业日"
        case Metric.POINT_IN_TIME:
            return f"{chinese_date(reading.day)}（当月最后一个营业日）"


# What is compared with the bound: an average of days' ends or openings, or one day's balance.
_MEASURES = {
    "average": {"zh": "日均", "en": "daily average"},
    "opening": {"zh": "日初余额日均", "en": "daily average of opening balances"},
    "balance": {"zh": "余额", "en": "balance"},
}


def _measure(policy: Policy, language: str) -> str:
    if policy.metric is Metric.POINT_IN_TIME:
        return _MEASURES["balance"][language]
    is_opening = policy.balance is Balance.OPENING
    return _MEASURES["opening" if is_opening else "average"][language]


def _judged(programme: Programme) -> tuple[str, str, str]:
    """Return what is counted in a row: English for one, for several, and the Chinese measure."""
    if programme.policy.review:
        return "review", "reviews", "次考核"
    match programme.policy.metric:
        case Metric.QUARTER_AVG:
            return "quarter", "quarters", "个季度"
        case Metric.YEAR_AVG:
            return "year", "years", "年"
        case Metric.MONTH_AVG | Metric.LAST_K_MONTHS | Metric.ROLLING | Metric.POINT_IN_TIME:
            return "month", "months", "个月"


def _english(programme: Programme, decision: Decision, why: Told, begin: date) -> str:
    assert decision.cause is not Cause.ENDED, "told by _ended"
    assert decision.cause is not Cause.MERGED, "told by _merged"
    assert decision.cause is not Cause.FRAUD, "told by _fraud"
    assert decision.cause is not Cause.WELCOME, "told by welcome"
    assert decision.cause is not Cause.WELCOME_OVER, "told by _welcome_over"
    one, several, _ = _judged(programme)
    name = _name(programme.tier[decision.after.rank], "en")
    reached = _english_reached(programme, decision, why)
    start = english_date(begin)
    match decision.cause:
        case Cause.UPGRADED:
            words = f"{reached}: your tier is {name} from {start}."
        case Cause.RETAINED:
            term = decision.after.lock_until
            until = (
                f" until it is judged again on {english_date(judged_again(term))}" if term else ""
            )
            words = f"{reached}: your tier stays {name}{until}."
        case Cause.WATCHED:
            nth = decision.after.misses
            ordinal = _ORDINALS[nth - 1] if nth <= len(_ORDINALS) else f"{nth}th"
            until = english_date(stays_until(programme, decision))
            words = f"{ordinal} {one} below; your tier stays {name} at least through {until}."
        case Cause.DOWNGRADED if _had_term(programme, decision):
            words = f"below when its term ended: your tier is {name} from {start}."
        case Cause.DOWNGRADED:
            nth = decision.before.misses + 1
            words = f"{nth} {several} below in a row: your tier is {name} from {start}."
        case Cause.HELD:
            words = f"nothing is lost by this month: your tier stays {name}."
        case Cause.GRACE:
            until = english_date(stays_until(programme, decision))
            words = f"below as its term ended; your tier stays {name} at least through {until}."
        case Cause.UNDETERMINED:
            words = f"days are missing, so nothing is decided: your tier stays {name}."
        case Cause.CORRECTED:
            by = f"{reached}, " if _names_way(programme, why) else ""
            words = f"{by}decided anew with earlier months: your tier is {name} from {start}."
    head = _english_head(programme, decision, why)
    return head + words + _english_ways(programme, decision.after.rank)


def _chinese(programme: Programme, decision: Decision, why: Told, begin: date) -> str:
    assert decision.cause is not Cause.ENDED, "told by _ended"
    assert decision.cause is not Cause.MERGED, "told by _merged"
    assert decision.cause is not Cause.FRAUD, "told by _fraud"
    assert decision.cause is not Cause.WELCOME, "told by welcome"
    assert decision.cause is not Cause.WELCOME_OVER, "told by _welcome_over"
    measure = _judged(programme)[2]
    name = _name(programme.tier[decision.after.rank], "zh")
    reached = _chinese_reached(programme, decision, why)
    start = chinese_date(begin)
    match decision.cause:
        case Cause.UPGRADED:
            words = f"{reached}，自{start}起为{name}。"
        case Cause.RETAINED:
            term = decision.after.lock_until
            until = f"，下次考核日为{chinese_date(judged_again(term))}" if term else ""
            words = f"{reached}，等级保持{name}{until}。"
        case Cause.WATCHED:
            until = chinese_date(stays_until(programme, decision))
            nth = decision.after.misses
            words = f"连续第{nth}{measure}未达标，{name}等级至少保留至{until}。"
        case Cause.DOWNGRADED if _had_term(programme, decision):
            words = f"保级期满仍未达标，自{start}起为{name}。"
        case Cause.DOWNGRADED:
            nth = decision.before.misses + 1
            words = f"连续{nth}{measure}未达标，自{start}起为{name}。"
        case Cause.HELD:
            words = f"本月不影响等级，等级保持{name}。"
        case Cause.GRACE:
            until = chinese_date(stays_until(programme, decision))
            words = f"锁定期满未达标，{name}等级至少保留至{until}。"
        case Cause.UNDETERMINED:
            words = f"部分日期数据缺失，暂不判定，等级保持{name}。"
        case Cause.CORRECTED:
            by = f"{reached}，" if _names_way(programme, why) else ""
            words = f"{by}结合此前月份重新判定，自{start}起为{name}。"
    head = _chinese_head(programme, decision, why)
    return head + words + _chinese_ways(programme, decision.after.rank)


def _had_term(programme: Programme, decision: Decision) -> bool:
    before = decision.before
    return programme.ladder.by(before.rank, before.way).term.lock is not None


def _names_way(programme: Programme, why: Told) -> bool:
    return why.is_held and programme.ladder.has_ways


def _is_partial(why: Told) -> bool:
    return why.reading is not None and why.reading.known_days < why.reading.days


def _english_reached(programme: Programme, decision: Decision, why: Told) -> str:
    if not decision.after.rank:
        return "days are missing, not reached so far" if _is_partial(why) else "not reached"
    if not _names_way(programme, why):
        return "reached"
    threshold = f"the {_measure(programme.policy, 'en')}"
    return f"reached by {why.way.name['en'] if why.way.code else threshold}"


def _chinese_reached(programme: Programme, decision: Decision, why: Told) -> str:
    if not decision.after.rank:
        return "部分日期数据缺失，暂未达标" if _is_partial(why) else "未达标"
    if not _names_way(programme, why):
        return "已达标"
    return f"以“{why.way.name['zh'] if why.way.code else _held_by(programme.policy)}”达标"


def _held_by(policy: Policy) -> str:
    measure = _measure(policy, "zh")
    return "日均资产" if measure == "日均" else measure


def _english_head(programme: Programme, decision: Decision, why: Told) -> str:
    if why.reading is None:
        return f"{_english_span(programme.policy, decision.readings[0]).removesuffix(':')}: "
    digits = programme.minor_digits
    return (
        f"{_english_span(why.metric, why.reading)} {_measure(why.metric, 'en')} "
        f"{money(why.average, digits)} "
        f"({_english_days(why.metric, why.reading)}{_english_points(why)}); "
        f"{money(why.needed_minor, digits)} needed; "
    )


def _chinese_head(programme: Programme, decision: Decision, why: Told) -> str:
    if why.reading is None:
        return f"{_chinese_span(programme.policy, decision.readings[0])}："
    digits = programme.minor_digits
    return (
        f"{_chinese_span(why.metric, why.reading)}{_measure(why.metric, 'zh')}"
        f"{money(why.average, digits)}（{_chinese_days(why.metric, why.reading)}"
        f"{_chinese_points(why)}），"
        f"达标线{money(why.needed_minor, digits)}；"
    )


def _english_days(metric: Policy, reading: Reading) -> str:
    """Say how many days are known, how many only for the time being, and if net (A-6, A-8)."""
    words = f"{reading.known_days} of {reading.days} days known"
    if reading.filled_days:
        words += f", {reading.filled_days} of them filled in: provisional"
    if metric.liabilities:
        words += ", less what is owed"
    return words + _english_converted(reading)


def _chinese_days(metric: Policy, reading: Reading) -> str:
    words = f"已知{reading.known_days}/{reading.days}天"
    if reading.filled_days:
        words += f"，其中{reading.filled_days}天为补录，结果暂定"
    if metric.liabilities:
        words += "，已扣除负债"
    return words + _chinese_converted(reading)


def _english_converted(reading: Reading) -> str:
    """Say which currencies were converted, each day by its own rate (A-4)."""
    return f", {', '.join(reading.converted)} converted daily" if reading.converted else ""


def _chinese_converted(reading: Reading) -> str:
    return f"，{'、'.join(reading.converted)}按日折算" if reading.converted else ""


def _points(why: Told) -> tuple[tuple[str, ...], date] | None:
    """Return the classes that counted by a point in time, and its day (A-3)."""
    asked, day = why.metric.point_in_time, why.reading.valued_on if why.reading else None
    return (asked.classes, day) if asked and day else None


def _english_points(why: Told) -> str:
    found = _points(why)
    return f", {', '.join(found[0])} as of {english_date(found[1])}" if found else ""


def _chinese_points(why: Told) -> str:
    found = _points(why)
    return f"，{'、'.join(found[0])}按{chinese_date(found[1])}余额计" if found else ""


def _english_ways(programme: Programme, rank: int) -> str:
    """Say by which ways a tier is kept and the next one reached, where there are several."""
    if not programme.ladder.has_ways:
        return ""
    words = f" It is kept by {ways(programme, rank, 'en')}." if rank else ""
    if rank + 1 < len(programme.tier):
        name = _name(programme.tier[rank + 1], "en")
        words += f" {name} is reached by {ways(programme, rank + 1, 'en')}."
    return words


def _chinese_ways(programme: Programme, rank: int) -> str:
    if not programme.ladder.has_ways:
        return ""
    words = f"保级方式：{ways(programme, rank, 'zh')}。" if rank else ""
    if rank + 1 < len(programme.tier):
        name = _name(programme.tier[rank + 1], "zh")
        words += f"升至{name}：{ways(programme, rank + 1, 'zh')}。"
    return words


@remembered
def both_ways(programme: Programme, rank: int) -> dict[str, str]:
    """Name the ways into a tier in both languages."""
    return {language: ways(programme, rank, language) for language in ("zh", "en")}


def ways(programme: Programme, rank: int, language: str) -> str:
    """Name the ways into a tier in a language, the threshold by its amount (T-2)."""
    named = list[str]()
    for way in programme.ladder.rungs[rank]:
        if way.code == THRESHOLD:
            named.append(_threshold(programme, way.bounds[0].minor, language))
        else:
            named.append(way.name[language])
    return {"zh": "，或", "en": ", or "}[language].join(named)


def _threshold(programme: Programme, minor: int, language: str) -> str:
    """Say what the policy's metric must reach."""
    amount, policy = money(minor, programme.minor_digits), programme.policy
    if policy.metric is Metric.POINT_IN_TIME:
        return {
            "zh": f"每月最后一个营业日余额{amount}",
            "en": f"a balance of {amount} on a month's last business day",
        }[language]
    measure = _measure(policy, language)
    return {"zh": f"{measure}{amount}", "en": f"a {measure} of {amount}"}[language]


def _name(tier: Tier, language: str) -> str:
    return tier.name[language]
