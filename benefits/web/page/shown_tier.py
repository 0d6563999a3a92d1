"""The tier card in words: the tier and why, what keeps it, and what the next one asks."""

from datetime import date, timedelta
from typing import Literal

import msgspec

from benefits.domain.explanation import told, ways
from benefits.domain.metrics import Reading
from benefits.domain.policy import Metric, Policy
from benefits.domain.programme import Programme
from benefits.domain.progress import Keeping, Need, is_far, keeping, nearest
from benefits.domain.tiers import Cause, Decision, State, display_average, judged_again
from benefits.domain.values import Month, local_date
from benefits.domain.windows import span
from benefits.web.page.facts import Facts, StandingSeen
from benefits.web.tongue import Message, Tongue, n_

Tone = Literal["good", "wait", "plain"]

_REACHED = n_("%(month)s: a daily average of %(average)s reaches the %(needed)s needed.")
CAUSES: dict[Cause, Message] = {
    Cause.UPGRADED: _REACHED,
    Cause.RETAINED: _REACHED,
    Cause.WATCHED: n_(
        "%(month)s: a daily average of %(average)s is below the %(needed)s needed. "
        "Months below in a row: %(nth)s."
    ),
    Cause.DOWNGRADED: n_(
        "%(month)s: a daily average of %(average)s is below the %(needed)s needed "
        "for %(before)s. Months below in a row: %(nth)s."
    ),
    Cause.HELD: n_("%(month)s: a daily average of %(average)s; nothing is lost by this month."),
    Cause.GRACE: n_(
        "%(month)s: a daily average of %(average)s is below the %(needed)s needed, "
        "as the term of %(before)s ended."
    ),
    Cause.UNDETERMINED: n_(
        "%(month)s: only %(known)s of %(days)s days are known, so nothing was decided against you."
    ),
    Cause.CORRECTED: n_("%(month)s was decided anew, together with earlier months."),
    Cause.ENDED: n_("The relationship ended on %(day)s."),
    Cause.MERGED: n_(
        "Two customer numbers of yours became one; the higher tier of the two holds until the "
        "next decision."
    ),
    Cause.WELCOME: n_("As a new customer you have %(tier)s at least through %(day)s."),
    Cause.WELCOME_OVER: n_("As a new customer you had %(tier)s through %(day)s."),
    Cause.FRAUD: n_(
        "Balances from %(month)s on were found to be fraud; your tier was decided anew at once."
    ),
}

_ENDED = n_(
    "%(month)s: a daily average of %(average)s is below the %(needed)s needed "
    "for %(before)s when its term ended."
)
_BY_WAY = n_("%(month)s: reached by %(way)s.")
_NOT_BY_WAYS = n_("%(month)s: none of the ways into %(before)s held.")
_BELOW_SO_FAR = n_("Months below in a row so far: %(misses)s. With %(allowed)s it is lost.")
_ONE_BELOW = n_("A single month below loses it.")
_ONLY_AFTER = n_("It is lost only after %(allowed)s months below in a row.")
_COUNTS_BELOW = n_("%(month)s counts as a month below.")
_NEEDS = n_("%(tier)s needs a daily average of %(threshold)s in a month.")
_TOO_LATE = n_("It can no longer be reached this month; the next month begins on %(day)s.")
_HARDLY = n_("It can hardly be reached this month; the next month begins on %(day)s.")
# What is said where tiers are not decided by single months.
PERIODS: dict[Message, Message] = {
    CAUSES[Cause.WATCHED]: n_(
        "%(month)s: a daily average of %(average)s is below the %(needed)s needed. "
        "Times below in a row: %(nth)s."
    ),
    CAUSES[Cause.DOWNGRADED]: n_(
        "%(month)s: a daily average of %(average)s is below the %(needed)s needed "
        "for %(before)s. Times below in a row: %(nth)s."
    ),
    _BELOW_SO_FAR: n_("Times below in a row so far: %(misses)s. With %(allowed)s it is lost."),
    _ONE_BELOW: n_("Being below once, when it is decided, loses it."),
    _ONLY_AFTER: n_("It is lost only by being below %(allowed)s times in a row."),
    _COUNTS_BELOW: n_("%(month)s stays below."),
    _NEEDS: n_("%(tier)s needs a daily average of %(threshold)s."),
    _TOO_LATE: n_("It can no longer be reached in this period, which ends before %(day)s."),
    _HARDLY: n_("It can hardly be reached in this period, which ends before %(day)s."),
}

_HARDLY_REACHES = n_("%(month)s will hardly reach the daily average of %(threshold)s.")
_HOLD = n_("Hold at least %(needed)s on each remaining day of %(month)s.")
_KEEP = n_(
    "Keep at least %(needed)s on each remaining day of %(month)s to be %(tier)s from %(day)s."
)
_MORE = n_("That is %(more)s more per day than your average so far.")
_SO_FAR = n_("Your average in %(month)s so far: %(average)s (%(known)s of %(days)s days known).")
_REACHES = n_("%(month)s: a balance of %(average)s reaches the %(needed)s needed.")
# What is said where one day's balance decides.
POINTS: dict[Message, Message] = {
    _REACHED: _REACHES,
    CAUSES[Cause.WATCHED]: n_(
        "%(month)s: a balance of %(average)s is below the %(needed)s needed. "
        "Times below in a row: %(nth)s."
    ),
    CAUSES[Cause.DOWNGRADED]: n_(
        "%(month)s: a balance of %(average)s is below the %(needed)s needed for %(before)s. "
        "Times below in a row: %(nth)s."
    ),
    CAUSES[Cause.HELD]: n_("%(month)s: a balance of %(average)s; nothing is lost by this month."),
    CAUSES[Cause.GRACE]: n_(
        "%(month)s: a balance of %(average)s is below the %(needed)s needed, "
        "as the term of %(before)s ended."
    ),
    CAUSES[Cause.UNDETERMINED]: n_(
        "%(month)s: the balance is not known, so nothing was decided against you."
    ),
    _ENDED: n_(
        "%(month)s: a balance of %(average)s is below the %(needed)s needed for %(before)s "
        "when its term ended."
    ),
    _NEEDS: n_("%(tier)s needs a balance of %(threshold)s on a month's last business day."),
    _HARDLY_REACHES: n_("%(month)s will hardly reach a balance of %(threshold)s."),
    _HOLD: n_("Hold at least %(needed)s on %(month)s."),
    _KEEP: n_("Hold at least %(needed)s on %(month)s to be %(tier)s from %(day)s."),
    _SO_FAR: n_("Your balance of %(month)s: %(average)s."),
}


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What keeping the tier, or reaching the next, asks: a first sentence, more, and the rest."""

    title: str
    tone: Tone
    first: str
    more: list[str]
    rest: list[str] = []
    percent: int = 0
    ladder: tuple[str, str] = ("", "")


class TierCard(msgspec.Struct, frozen=True, kw_only=True):
    """A programme's standing; `pending` names a month that is not evaluated yet, `due` its day."""

    programme: str
    tier: str
    rank: int
    since: str
    pending: str
    due: str
    keep: Aim | None
    ahead: Aim | None
    details: list[str]


def tier_cards(tongue: Tongue, facts: Facts) -> list[TierCard]:
    """Return the tier in each programme."""
    return [_card(tongue, facts, standing) for standing in facts.standings.values()]


def _card(tongue: Tongue, facts: Facts, standing: StandingSeen) -> TierCard:
    programme, month = standing.programme, standing.known.month
    is_new = facts.opened_on >= month.start
    is_pending = standing.undecided != month and not is_new
    due = _due(facts, standing)
    since = standing.since and tongue.day(local_date(standing.since, programme.tz))
    keep, ahead = _keep(tongue, standing), _ahead(tongue, standing)
    rest = [words for aim in (keep, ahead) if aim for words in aim.rest]
    return TierCard(
        programme=tongue.text(programme.name),
        tier=_tier(tongue, standing, standing.state.rank),
        rank=standing.state.rank,
        since=since or "",
        pending=tongue.month(standing.undecided) if is_pending else "",
        due=tongue.day(due) if due else "",
        keep=keep,
        ahead=ahead,
        details=[
            _why(tongue, standing, is_new=is_new),
            *_unchanged(tongue, standing),
            _known(tongue, standing),
            *_promised(tongue, None if is_pending else due),
            *rest,
        ],
    )


def _due(facts: Facts, standing: StandingSeen) -> date | None:
    """Return by which day the next result is known; None where none is promised or it is over."""
    by, today = standing.result_by, local_date(facts.now, standing.programme.tz)
    return by if by is not None and by >= today else None


def _promised(tongue: Tongue, due: date | None) -> list[str]:
    if due is None:
        return []
    return [tongue.say(n_("The next result is known by %(day)s."), day=tongue.day(due))]


def _say(tongue: Tongue, policy: Policy, message: Message, **blanks: object) -> str:
    """Say a sentence on months, or its like where a metric is of one day or of other periods."""
    if policy.metric is Metric.POINT_IN_TIME:
        message = POINTS.get(message, message)
    if policy.metric is not Metric.MONTH_AVG or policy.review:
        message = PERIODS.get(message, message)
    return tongue.say(message, **blanks)


def _period(tongue: Tongue, standing: StandingSeen) -> str:
    """Name the period that runs."""
    return tongue.period(standing.judge.policy, standing.known.month, standing.known.day)


def _tier(tongue: Tongue, standing: StandingSeen, rank: int) -> str:
    return tongue.text(standing.programme.tier[rank].name)


def _why(tongue: Tongue, standing: StandingSeen, *, is_new: bool) -> str:
    if standing.decided is not None:
        return reason(tongue, standing, standing.decided)
    if is_new:
        month = tongue.month(standing.known.month)
        return tongue.say(
            n_("Your tier is decided for the first time after %(month)s."), month=month
        )
    return tongue.word(n_("Everybody has this tier. It is decided anew after each month."))


def _unchanged(tongue: Tongue, standing: StandingSeen) -> list[str]:
    """Say that a later month than the one that decided was evaluated, and changed nothing."""
    decided, evaluated = standing.decided, standing.evaluated
    if decided is None or evaluated is None or evaluated <= decided.month:
        return []
    words = n_("%(month)s was evaluated; your tier is unchanged.")
    return [tongue.say(words, month=tongue.month(evaluated))]


def reason(tongue: Tongue, standing: StandingSeen, decision: Decision) -> str:
    """Return why a month decided as it did, and by which way (X-6, T-2)."""
    then = standing.then
    before, month = tongue.text(then.tier[decision.before.rank].name), decision.month
    if decision.grounds.ended_on is not None:
        day = tongue.day(decision.grounds.ended_on)
        return tongue.say(CAUSES[decision.cause], day=day, tier=before)
    if decision.cause is Cause.MERGED:
        return tongue.word(CAUSES[Cause.MERGED])
    if decision.grounds.wrong_from is not None:
        since = tongue.month(Month.of(decision.grounds.wrong_from))
        return tongue.say(CAUSES[decision.cause], month=since)
    if decision.cause is Cause.WELCOME:
        return _welcome(tongue, then, decision.after)
    why = told(then, decision)
    way = tongue.text(why.way.name)
    if why.reading is None:
        words = _BY_WAY if why.is_held else _NOT_BY_WAYS
        period = tongue.period(then.policy, month, decision.grounds.day)
        return tongue.say(words, month=period, way=way, before=before)
    fell = decision.cause is Cause.DOWNGRADED
    ended = fell and then.ladder.by(decision.before.rank, decision.before.way).term.lock
    words = _say(
        tongue,
        why.metric,
        _ENDED if ended else CAUSES[decision.cause],
        month=tongue.period(why.metric, why.reading.month, why.reading.day),
        average=tongue.whole(why.average, then),
        needed=tongue.whole(why.needed_minor, then, up=True),
        before=before,
        nth=decision.before.misses + 1 if fell else decision.after.misses,
        known=why.reading.known_days,
        days=why.reading.days,
    )
    if not (why.is_held and why.way.code):
        return words
    return words + tongue.joint + tongue.say(n_("Reached by %(way)s."), way=way)


def _average(known: Reading) -> int:
    return display_average(known.sum_minor, max(known.known_days, 1))


def _known(tongue: Tongue, standing: StandingSeen) -> str:
    known = standing.known
    month = _period(tongue, standing)
    if not known.known_days:
        return tongue.say(n_("No day of %(month)s is known yet."), month=month)
    return _say(
        tongue,
        standing.judge.policy,
        _SO_FAR,
        month=month,
        average=tongue.whole(_average(known), standing.programme),
        known=known.known_days,
        days=known.days,
    )


def _keep(tongue: Tongue, standing: StandingSeen) -> Aim | None:
    programme, rank = standing.judge, standing.state.rank
    kept = keeping(programme, standing.state, standing.running, undecided=standing.undecided)
    if kept is None:
        return None
    if standing.state.welcome_until is not None:
        return _keep_welcome(tongue, standing)
    tone, first = _keep_first(tongue, standing, kept.need)
    below = _below(tongue, programme.policy, kept)
    certain = tongue.say(
        n_("Yours at least through %(day)s."), day=tongue.day(kept.certain_through)
    )
    title = tongue.say(n_("Keeping %(tier)s"), tier=_tier(tongue, standing, rank))
    is_pressing = bool(kept.misses or kept.lock_until)
    more = [below, certain] if is_pressing else [certain]
    rest = [] if is_pressing else [below]
    return Aim(
        title=title,
        tone=tone,
        first=first,
        more=more,
        rest=[*rest, *_ways(tongue, programme, rank)],
    )


def _welcome(tongue: Tongue, programme: Programme, state: State) -> str:
    """Say until when a new customer has a tier at least (M-8)."""
    assert state.welcome_until is not None, "a welcome has an end"
    day = tongue.day(state.welcome_until - timedelta(days=1))
    tier = tongue.text(programme.tier[state.rank].name)
    return tongue.say(CAUSES[Cause.WELCOME], tier=tier, day=day)


def _keep_welcome(tongue: Tongue, standing: StandingSeen) -> Aim:
    """Say what a welcome is followed by, and how its tier is reached until then (M-8)."""
    programme, state = standing.judge, standing.state
    assert state.earned is not None, "a welcome lifts something"
    need = nearest(programme, state.rank, standing.running)
    _, first, more, rest = _ahead_words(tongue, standing, need, state.rank)
    earned = tongue.say(
        n_("What you have reached holds from then on; so far that is %(tier)s."),
        tier=_tier(tongue, standing, state.earned),
    )
    return Aim(
        title=tongue.say(n_("Keeping %(tier)s"), tier=_tier(tongue, standing, state.rank)),
        tone="good",
        first=_welcome(tongue, standing.programme, state),
        more=[earned, first, *more],
        rest=rest,
    )


def _ways(tongue: Tongue, programme: Programme, rank: int) -> list[str]:
    """Name the ways into a tier that has several (T-2)."""
    if len(programme.ladder.rungs[rank]) == 1:
        return []
    named = ways(programme, rank, tongue.code)
    tier = tongue.text(programme.tier[rank].name)
    return [tongue.say(n_("%(tier)s asks for one of: %(ways)s."), tier=tier, ways=named)]


def _below(tongue: Tongue, policy: Policy, kept: Keeping) -> str:
    """Say what being below does to the tier."""
    if kept.grace_until:
        words = n_("Its term ended below: reach it before %(day)s, or it is lost.")
        return tongue.say(words, day=tongue.day(kept.grace_until))
    if kept.lock_until:
        words = n_("Whatever comes, it is judged again on %(day)s only.")
        return tongue.say(words, day=tongue.day(judged_again(kept.lock_until)))
    if kept.misses:
        return _say(tongue, policy, _BELOW_SO_FAR, misses=kept.misses, allowed=kept.allowed)
    if kept.allowed <= 1:
        return _say(tongue, policy, _ONE_BELOW)
    return _say(tongue, policy, _ONLY_AFTER, allowed=kept.allowed)


def _blanks(tongue: Tongue, standing: StandingSeen, rank: int, need: Need) -> dict[str, str]:
    """Return what sentences about a need may name."""
    programme, known = standing.judge, need.reading
    metric, needed = programme.ladder.metrics[need.metric], need.needed_daily or 0
    way = programme.ladder.by(rank, need.way)
    return {
        "month": tongue.period(metric, known.month, known.day),
        "tier": _tier(tongue, standing, rank),
        "way": tongue.text(way.name) if way.code else "",
        "day": tongue.day(span(metric, known.month)[1].end),
        "needed": tongue.whole(needed, programme, up=True),
        "threshold": tongue.whole(need.threshold_minor or 0, programme, up=True),
        "more": tongue.whole(needed - _average(known), programme, up=True),
    }


def _keep_first(tongue: Tongue, standing: StandingSeen, need: Need) -> tuple[Tone, str]:
    programme, known = standing.judge, need.reading
    average, needed = _average(known), need.needed_daily
    threshold, metric = need.threshold_minor or 0, programme.ladder.metrics[need.metric]
    blanks = _blanks(tongue, standing, standing.state.rank, need)
    if needed is None:
        return "wait", _say(tongue, metric, _COUNTS_BELOW, **blanks)
    if need.threshold_minor is None:
        return "good", tongue.say(n_("%(way)s suffices for %(tier)s."), **blanks)
    if needed == 0:
        return "good", tongue.say(n_("%(month)s already suffices for %(tier)s."), **blanks)
    if is_far(needed, threshold, average):
        return "wait", _say(tongue, metric, _HARDLY_REACHES, **blanks)
    words = _say(tongue, metric, _HOLD, **blanks)
    if not known.known_days:
        return "plain", words
    if average >= threshold:
        return "good", tongue.word(n_("You are on course.")) + tongue.joint + words
    return "wait", tongue.word(n_("Below it at the moment.")) + tongue.joint + words


def _ahead(tongue: Tongue, standing: StandingSeen) -> Aim | None:
    programme, rank = standing.judge, standing.state.rank + 1
    if rank >= len(programme.tier):
        return None
    need = nearest(programme, rank, standing.running)
    known = need.reading
    tier = _tier(tongue, standing, rank)
    whole = (need.threshold_minor or 0) * max(known.known_days, 1)
    percent = min(99, known.sum_minor * 100 // whole) if whole else 0
    tone, first, more, rest = _ahead_words(tongue, standing, need, rank)
    return Aim(
        title=tongue.say(n_("On the way to %(tier)s"), tier=tier),
        tone=tone,
        first=first,
        more=more,
        rest=[*rest, *(_ways(tongue, programme, rank) if need.threshold_minor else [])],
        percent=100 if need.needed_daily == 0 else percent,
        ladder=(_tier(tongue, standing, rank - 1), tier),
    )


def _ahead_words(
    tongue: Tongue, standing: StandingSeen, need: Need, rank: int
) -> tuple[Tone, str, list[str], list[str]]:
    programme, known = standing.judge, need.reading
    average, needed = _average(known), need.needed_daily
    metric, blanks = programme.ladder.metrics[need.metric], _blanks(tongue, standing, rank, need)
    if need.threshold_minor is None:
        asked = tongue.say(
            n_("%(tier)s asks for one of: %(ways)s."),
            tier=blanks["tier"],
            ways=ways(programme, rank, tongue.code),
        )
        if needed is None:
            return "plain", asked, [], []
        words = n_("%(way)s suffices: you will be %(tier)s from %(day)s.")
        return "good", tongue.say(words, **blanks), [], [asked]
    aim = _say(tongue, metric, _NEEDS, **blanks)
    if needed == 0:
        words = n_("The balances of %(month)s suffice: you will be %(tier)s from %(day)s.")
        return "good", tongue.say(words, **blanks), [], [aim]
    if needed is None:
        return "plain", aim, [_say(tongue, metric, _TOO_LATE, **blanks)], []
    if is_far(needed, need.threshold_minor, average):
        return "plain", aim, [_say(tongue, metric, _HARDLY, **blanks)], []
    more = list[str]()
    if known.known_days and needed > average:
        more = [tongue.say(_MORE, **blanks)]
    return "plain", _say(tongue, metric, _KEEP, **blanks), more, [aim]
