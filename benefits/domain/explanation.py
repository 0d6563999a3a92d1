"""Why a month decided as it did, in a sentence for the customer, in both languages (X-6)."""

from datetime import date

import msgspec

from benefits.domain import metrics
from benefits.domain.catalogue import Programme
from benefits.domain.policy import Metric, Tier
from benefits.domain.tiers import Cause, Decision, display_average, stays_until
from benefits.domain.values import Month

_ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


class _Amounts(msgspec.Struct, frozen=True):
    average: str
    needed: str


def money(minor: int, digits: int) -> str:
    """Write minor units as a grouped amount in major units: `499,999.99`."""
    whole, part = divmod(minor, 10**digits)
    return f"{whole:,}.{part:0{digits}d}" if digits else f"{whole:,}"


def explain(programme: Programme, decision: Decision) -> dict[str, str]:
    """Tell a customer in a sentence of each language what a month decided and why (X-6)."""
    amounts = _amounts(programme, decision)
    return {
        "zh": _chinese(programme, decision, amounts),
        "en": _english(programme, decision, amounts),
    }


def _amounts(programme: Programme, decision: Decision) -> _Amounts:
    average = display_average(decision.sum_minor, decision.divisor)
    rank = max(decision.before.rank, decision.after.rank)
    digits = programme.minor_digits
    return _Amounts(money(average, digits), money(programme.thresholds[rank], digits))


def _english_span(programme: Programme, month: Month) -> str:
    """Name the period that a month decided: `June 2025`, `Second quarter of 2025`."""
    first, last = metrics.span(programme.policy, month)
    match programme.policy.metric:
        case Metric.MONTH_AVG:
            return f"{_ENGLISH_MONTHS[month.number - 1]} {month.year}"
        case Metric.QUARTER_AVG:
            quarter = _ORDINALS[last.number // 3 - 1].capitalize()
            return f"{quarter} quarter of {month.year}:"
        case Metric.YEAR_AVG:
            return f"{month.year}:"
        case Metric.LAST_K_MONTHS:
            begin = _ENGLISH_MONTHS[first.number - 1]
            begin += "" if first.year == last.year else f" {first.year}"
            return f"{begin} to {_ENGLISH_MONTHS[last.number - 1]} {last.year}:"


def _chinese_span(programme: Programme, month: Month) -> str:
    first, last = metrics.span(programme.policy, month)
    match programme.policy.metric:
        case Metric.MONTH_AVG:
            return f"{month.year}年{month.number}月"
        case Metric.QUARTER_AVG:
            return f"{month.year}年第{last.number // 3}季度"
        case Metric.YEAR_AVG:
            return f"{month.year}年"
        case Metric.LAST_K_MONTHS:
            year = "" if first.year == last.year else f"{last.year}年"
            return f"{first.year}年{first.number}月至{year}{last.number}月"


def _judged(programme: Programme) -> tuple[str, str, str]:
    """Return what is counted in a row: English for one, for several, and the Chinese measure."""
    if programme.policy.review:
        return "review", "reviews", "次考核"
    match programme.policy.metric:
        case Metric.QUARTER_AVG:
            return "quarter", "quarters", "个季度"
        case Metric.YEAR_AVG:
            return "year", "years", "年"
        case Metric.MONTH_AVG | Metric.LAST_K_MONTHS:
            return "month", "months", "个月"


def _english(programme: Programme, decision: Decision, amounts: _Amounts) -> str:
    one, several, _ = _judged(programme)
    name = _name(programme.tier[decision.after.rank], "en")
    head = (
        f"{_english_span(programme, decision.month)} daily average {amounts.average} "
        f"({decision.known_days} of {decision.days} days known); {amounts.needed} needed; "
    )
    start = _english_date(decision.effective_from)
    match decision.cause:
        case Cause.UPGRADED:
            words = f"reached: your tier is {name} from {start}."
        case Cause.RETAINED:
            term = decision.after.lock_until
            until = f" until it is judged again on {_english_date(term)}" if term else ""
            words = f"reached: your tier stays {name}{until}."
        case Cause.WATCHED:
            nth = decision.after.misses
            ordinal = _ORDINALS[nth - 1] if nth <= len(_ORDINALS) else f"{nth}th"
            until = _english_date(stays_until(programme, decision))
            words = f"{ordinal} {one} below; your tier stays {name} at least through {until}."
        case Cause.DOWNGRADED if programme.tier[decision.before.rank].lock:
            words = f"below when its term ended: your tier is {name} from {start}."
        case Cause.DOWNGRADED:
            nth = decision.before.misses + 1
            words = f"{nth} {several} below in a row: your tier is {name} from {start}."
        case Cause.HELD:
            words = f"nothing is lost by this month: your tier stays {name}."
        case Cause.GRACE:
            until = _english_date(stays_until(programme, decision))
            words = f"below as its term ended; your tier stays {name} at least through {until}."
        case Cause.UNDETERMINED:
            words = f"days are missing, so nothing is decided: your tier stays {name}."
        case Cause.CORRECTED:
            words = f"decided anew with earlier months: your tier is {name} from {start}."
    return head + words


def _chinese(programme: Programme, decision: Decision, amounts: _Amounts) -> str:
    measure = _judged(programme)[2]
    name = _name(programme.tier[decision.after.rank], "zh")
    head = (
        f"{_chinese_span(programme, decision.month)}日均{amounts.average}"
        f"（已知{decision.known_days}/{decision.days}天），达标线{amounts.needed}；"
    )
    start = _chinese_date(decision.effective_from)
    match decision.cause:
        case Cause.UPGRADED:
            words = f"已达标，自{start}起为{name}。"
        case Cause.RETAINED:
            term = decision.after.lock_until
            until = f"，下次考核日为{_chinese_date(term)}" if term else ""
            words = f"已达标，等级保持{name}{until}。"
        case Cause.WATCHED:
            until = _chinese_date(stays_until(programme, decision))
            nth = decision.after.misses
            words = f"连续第{nth}{measure}未达标，{name}等级至少保留至{until}。"
        case Cause.DOWNGRADED if programme.tier[decision.before.rank].lock:
            words = f"保级期满仍未达标，自{start}起为{name}。"
        case Cause.DOWNGRADED:
            nth = decision.before.misses + 1
            words = f"连续{nth}{measure}未达标，自{start}起为{name}。"
        case Cause.HELD:
            words = f"本月不影响等级，等级保持{name}。"
        case Cause.GRACE:
            until = _chinese_date(stays_until(programme, decision))
            words = f"锁定期满未达标，{name}等级至少保留至{until}。"
        case Cause.UNDETERMINED:
            words = f"部分日期数据缺失，暂不判定，等级保持{name}。"
        case Cause.CORRECTED:
            words = f"结合此前月份重新判定，自{start}起为{name}。"
    return head + words


def _name(tier: Tier, language: str) -> str:
    return tier.name[language]


def _english_date(day: date) -> str:
    return f"{day.day} {_ENGLISH_MONTHS[day.month - 1]} {day.year}"


def _chinese_date(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
