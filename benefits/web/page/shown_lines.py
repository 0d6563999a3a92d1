"""What package lines bring, in words: how much in which period, how long, what a move does."""

from collections.abc import Iterable
from datetime import date

import msgspec

from benefits.domain import units
from benefits.domain.packages import (
    Claiming,
    Downgrade,
    Line,
    LinePeriod,
    Start,
    UpgradePolicy,
    next_start,
)
from benefits.domain.programme import Programme
from benefits.domain.stacking import StackBy
from benefits.domain.units import Quantity
from benefits.domain.values import local_date
from benefits.web.page.facts import Facts
from benefits.web.page.shown_days import occurrence_words
from benefits.web.tongue import Message, Tongue, n_

_EVERY = n_("every %(days)s days, counted from the day you joined")
_EVERY_END = n_("Through the last of the %(days)s days they are for.")
_ON_DAYS = n_("on one day of each month")
_ON_DAYS_END = n_("Through the end of that day.")
PERIODS: dict[LinePeriod, Message] = {
    LinePeriod.MONTH: n_("per calendar month"),
    LinePeriod.QUARTER: n_("per calendar quarter"),
    LinePeriod.YEAR: n_("per calendar year"),
    LinePeriod.ONCE: n_("once"),
    LinePeriod.ROLLING: _EVERY,
    LinePeriod.OCCURRENCE: _ON_DAYS,
}
ENDS: dict[LinePeriod, Message] = {
    LinePeriod.MONTH: n_("Through the last day of the month they are for."),
    LinePeriod.QUARTER: n_("Through the last day of the quarter they are for."),
    LinePeriod.YEAR: n_("Through 31 December of the year they are for."),
    LinePeriod.ONCE: "",
    LinePeriod.ROLLING: _EVERY_END,
    LinePeriod.OCCURRENCE: _ON_DAYS_END,
}
# Counted from the day on which the relationship began.
OWN_PERIODS: dict[LinePeriod, Message] = {
    LinePeriod.MONTH: n_("per month, counted from the day you joined"),
    LinePeriod.QUARTER: n_("per three months, counted from the day you joined"),
    LinePeriod.YEAR: n_("per year, counted from the day you joined"),
    LinePeriod.ONCE: n_("once"),
    LinePeriod.ROLLING: _EVERY,
    LinePeriod.OCCURRENCE: _ON_DAYS,
}
OWN_ENDS: dict[LinePeriod, Message] = {
    LinePeriod.MONTH: n_("Through the day before your next month with us begins."),
    LinePeriod.QUARTER: n_("Through the day before your next three months with us begin."),
    LinePeriod.YEAR: n_("Through the day before your next year with us begins."),
    LinePeriod.ONCE: "",
    LinePeriod.ROLLING: _EVERY_END,
    LinePeriod.OCCURRENCE: _ON_DAYS_END,
}
_CARRIED = n_(
    "Unused ones stay valid in further periods: %(periods)s. When new ones come, at most %(cap)s "
    "are kept; the oldest end first."
)
_LIVES = n_("For %(days)s days after the day they arrive.")
RISES: dict[UpgradePolicy, Message] = {
    UpgradePolicy.TOP_UP: n_("If your tier rises in between, the rest is added."),
    UpgradePolicy.PRORATE_FLOOR: n_(
        "If your tier rises in between, a share for the days left is added."
    ),
    UpgradePolicy.PRORATE_CEIL: n_(
        "If your tier rises in between, a share for the days left is added."
    ),
    UpgradePolicy.FULL: n_(
        "If your tier rises in between, all that the new one brings comes on top."
    ),
    UpgradePolicy.NEXT_PERIOD: n_(
        "If your tier rises in between, it brings more from the next period on."
    ),
}
FALLS: dict[Downgrade, Message] = {
    Downgrade.KEEP_UNTIL_EXPIRY: n_("If it falls, what you have stays yours until it ends."),
    Downgrade.REVOKE_EXCESS: n_(
        "If it falls, unused units beyond the lower tier's are taken back. Claims stay valid."
    ),
    Downgrade.REVOKE_UNCLAIMED: n_(
        "If it falls, unused units of the period are taken back. Claims stay valid."
    ),
    Downgrade.REVOKE_ALL: n_("If it falls, all unused units are taken back. Claims stay valid."),
}
STARTS: dict[Start, Message] = {
    Start.EVALUATION: n_("They come once your tier for the new period is decided."),
    Start.PERIOD: n_("They come on its first day; if your tier rises later, more may follow."),
}
CLAIMS: dict[Claiming, Message] = {
    Claiming.CLAIM: "",
    Claiming.AUTO: n_("They are claimed for you as they come; there is nothing to do."),
}
STACKS: dict[StackBy, Message] = {
    StackBy.SUM: n_("Of all that is yours together, at most %(cap)s come in a period."),
    StackBy.MAX: n_("The largest of what is yours comes, not all together."),
    StackBy.PRIORITY: n_("The first of what is yours comes, in this order, not all together."),
}


class Brings(msgspec.Struct, frozen=True, kw_only=True):
    """What one line of the programme brings, by tier or segment, and a mark where it is theirs."""

    period: str
    tiers: list[tuple[str, Quantity, str]]


def brings(
    tongue: Tongue, facts: Facts, programme: Programme, lines: Iterable[Line]
) -> list[Brings]:
    """Return what lines bring each tier in a period."""
    mine = programme.tier[facts.standings[programme.code].state.rank]
    today = local_date(facts.now, programme.tz)
    return [
        Brings(
            period=period_words(tongue, line, today),
            tiers=[
                (
                    tongue.text(tier.name),
                    units.plain(line.quota[tier.code]),
                    tongue.word(n_("your tier")) if tier is mine else "",
                )
                for tier in programme.tier
                if tier.code in line.quota
            ]
            + _segment_brings(tongue, facts, line),
        )
        for line in lines
    ]


def _segment_brings(tongue: Tongue, facts: Facts, line: Line) -> list[tuple[str, Quantity, str]]:
    if line.segment is None:
        return []
    mark = tongue.word(n_("also you")) if line.segment.key in facts.labels else ""
    return [(tongue.text(line.segment.name), units.plain(line.quantity), mark)]


def period_words(tongue: Tongue, line: Line, today: date) -> str:
    """Return how often a line brings its units."""
    if line.on is not None:
        return occurrence_words(tongue, line, today)
    words = (OWN_PERIODS if line.is_members_own else PERIODS)[line.period]
    return tongue.say(words, days=line.days)


def end_words(tongue: Tongue, line: Line) -> str:
    """Return until when a line's units can be used."""
    if line.carry is not None:
        cap = units.plain(line.carry.cap)
        return tongue.say(_CARRIED, periods=line.carry.periods, cap=cap)
    if line.valid_days:
        return tongue.say(_LIVES, days=line.valid_days)
    return tongue.say((OWN_ENDS if line.is_members_own else ENDS)[line.period], days=line.days)


def start_words(tongue: Tongue, line: Line) -> str:
    """Return when a tier's units come; those of a recurring day or a segment have their date."""
    return "" if line.on or line.segment else tongue.word(STARTS[line.start])


def lines_of(facts: Facts, programme: Programme, lines: Iterable[Line]) -> list[Line]:
    """Return those of the lines that bring the member units: by the tier, or as of a segment."""
    tier = programme.tier[facts.standings[programme.code].state.rank].code
    return [
        line
        for line in lines
        if (line.segment.key in facts.labels if line.segment else tier in line.quota)
    ]


def renewals(facts: Facts, programme: Programme, lines: Iterable[Line]) -> list[tuple[date, Line]]:
    """Return on which days the next units come by which lines, where no rule asks for more."""
    today = local_date(facts.now, programme.tz)
    days = [
        (day, line)
        for line in lines_of(facts, programme, lines)
        if line.period is not LinePeriod.ONCE and line.eligible is None
        if (day := next_start(line, today, facts.opened_on))
    ]
    return sorted(days, key=lambda one: one[0])


def arrival(tongue: Tongue, day: date, line: Line) -> str:
    """Say when new units come, by the tier of that day or for a segment."""
    if line.segment is None:
        then = n_("New ones arrive on %(day)s, according to your tier then.")
        return tongue.say(then, day=tongue.day(day))
    then = n_("New ones arrive on %(day)s for %(segment)s.")
    return tongue.say(then, day=tongue.day(day), segment=tongue.text(line.segment.name))
