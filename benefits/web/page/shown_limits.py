"""Caps, limits and what is left in words: how much one can claim, and when again (K-1, K-8)."""

from datetime import date, timedelta

from benefits.domain import units
from benefits.domain.benefit import Benefit, Consumed
from benefits.domain.lattice import Unused
from benefits.domain.limits import (
    Cap,
    CapWindow,
    Counted,
    Dimension,
    Left,
    Limit,
    Room,
    Scope,
    full,
    opens,
    window_end,
)
from benefits.domain.programme import Programme
from benefits.domain.use import Length
from benefits.domain.values import local_date
from benefits.web.page.facts import Facts
from benefits.web.tongue import Message, Tongue, n_

WINDOWS: dict[CapWindow, Message] = {
    CapWindow.DAY: n_("At most %(limit)s in a day; used so far: %(used)s."),
    CapWindow.WEEK: n_("At most %(limit)s from Monday to Sunday; used so far: %(used)s."),
    CapWindow.MONTH: n_("At most %(limit)s in a calendar month; used so far: %(used)s."),
    CapWindow.QUARTER: n_("At most %(limit)s in a calendar quarter; used so far: %(used)s."),
    CapWindow.YEAR: n_("At most %(limit)s in a calendar year; used so far: %(used)s."),
    CapWindow.LIFETIME: n_("At most %(limit)s in all; used so far: %(used)s."),
}
USES: dict[Length, Message] = {
    Length.WHOLE_DAYS: n_("Use it within %(days)s days after the day of your claim."),
    Length.EXACT_DURATION: n_(
        "Use it within %(days)s days, counted from the moment you claim it."
    ),
}
LEFT: dict[Left, Message] = {
    Left.PLENTY: n_("There are plenty left."),
    Left.FEW: n_("There are few left."),
    Left.NONE: n_("All are claimed."),
}


def limit_words(tongue: Tongue, facts: Facts, programme: Programme, benefit: Benefit) -> list[str]:
    """Return the limits a member should know; what all share is told coarsely (K-8)."""
    prospect, found = facts.prospects[benefit.code], list[str]()
    cap = facts.serving(benefit).cap
    if cap is not None:
        used, limit = units.plain(prospect.cap_used), units.plain(cap.limit)
        found.append(tongue.say(WINDOWS[cap.window], limit=limit, used=used))
    for room in prospect.rooms:
        if room.place.is_ones_own and room.place.dimension is Dimension.COUNT:
            found.append(_own_words(tongue, programme, room))
    if any(room.place.is_shared and room.may_wait(1) for room in prospect.rooms):
        found.append(tongue.word(n_("If all are claimed, you can wait for one.")))
    if prospect.left is not None:
        found.append(tongue.word(n_("While stocks last.")))
        found.append(tongue.word(LEFT[prospect.left]))
    return found


def _limit_of(programme: Programme, room: Room) -> Limit:
    return next(limit for limit in programme.limit if limit.code == room.place.limit)


def _own_words(tongue: Tongue, programme: Programme, room: Room) -> str:
    limit = _limit_of(programme, room)
    found = [_window_words(tongue, programme, limit, room)]
    if room.place.scope is Scope.PERSON:
        found.append(tongue.word(n_("What you claim under other customer numbers counts, too.")))
    if len(limit.benefits) != 1:
        found.append(tongue.word(n_("Claims of other benefits count here, too.")))
    return tongue.joint.join(found)


def _window_words(tongue: Tongue, programme: Programme, limit: Limit, room: Room) -> str:
    if limit.window is not None:
        return tongue.say(WINDOWS[limit.window], limit=room.most, used=room.used)
    if room.resets_at is None:
        words = n_("At most %(limit)s within any %(days)s days; used so far: %(used)s.")
        return tongue.say(words, limit=room.most, days=limit.days, used=room.used)
    day = tongue.day(local_date(room.resets_at, programme.tz))
    words = n_("At most %(limit)s before %(day)s; used so far: %(used)s.")
    return tongue.say(words, limit=room.most, used=room.used, day=day)


def full_words(tongue: Tongue, facts: Facts, benefit: Benefit) -> str:
    """Return why there is no room for one more piece, and when there is again."""
    programme, _ = facts.catalogue.offers[benefit.code]
    prospect, served = facts.prospects[benefit.code], facts.serving(benefit)
    cap, taken = served.cap, programme.piece(benefit)
    lacking = full(prospect.rooms, Counted(taken, taken, programme.minor(served.cost)))
    if cap is not None and prospect.cap_used + benefit.takes > cap.limit:
        if not lacking:
            return _cap_words(tongue, cap, local_date(facts.now, programme.tz))
    elif lacking:
        return _room_words(tongue, programme, lacking)
    return tongue.word(n_("You have reached the limit for this benefit in this period."))


def _cap_words(tongue: Tongue, cap: Cap, today: date) -> str:
    day, limit = window_end(cap.window, today), units.plain(cap.limit)
    if day is None:
        words = n_("You have had all %(limit)s that one customer can have.")
        return tongue.say(words, limit=limit)
    words = n_("The limit of %(limit)s is reached. From %(day)s on you can claim again.")
    return tongue.say(words, limit=limit, day=tongue.day(day))


def _room_words(tongue: Tongue, programme: Programme, lacking: list[tuple[Room, int]]) -> str:
    if not lacking[0][0].place.is_ones_own:
        first = tongue.word(n_("All there are for now have been claimed."))
    else:
        first = tongue.word(n_("You have reached the limit for this benefit in this period."))
    at = opens(lacking)
    if at is None:
        return first
    then = n_("You can claim again from %(moment)s on.")
    return first + tongue.joint + tongue.say(then, moment=tongue.moment(at, programme.tz))


_FIRST = n_("It can be claimed from %(day)s on.")


def window_words(tongue: Tongue, benefit: Benefit, today: date) -> str:
    """Return why a benefit cannot be claimed on a day outside its dates (P-9)."""
    if benefit.claim_from is not None and today < benefit.claim_from:
        return tongue.say(_FIRST, day=tongue.day(benefit.claim_from))
    assert benefit.window_ends is not None, "else it can be claimed"
    ended = n_("It could be claimed through %(day)s.")
    return tongue.say(ended, day=tongue.day(benefit.window_ends))


_UNUSED: dict[Unused, Message] = {
    Unused.RETURN: n_("What is not used in time comes back as units, until those end."),
    Unused.LOST: n_("What is not used in time is lost."),
}


def use_words(tongue: Tongue, benefit: Benefit) -> list[str]:
    """Return until when what is claimed can be used, where that is said (P-9)."""
    if benefit.use is None:
        return []
    found = [tongue.say(USES[benefit.use.length], days=benefit.use.days)]
    if benefit.use.until is not None:
        words = n_("It must be used by the end of %(day)s.")
        found.append(tongue.say(words, day=tongue.day(benefit.use.until)))
    if benefit.consumed is Consumed.USE:
        found.append(tongue.word(_UNUSED[benefit.unused]))
    return found


def instead_words(
    tongue: Tongue, programme: Programme, benefit: Benefit, today: date
) -> list[str]:
    """Return what is delivered in the place of a benefit, and what is from when on (V-6)."""
    served, found = programme.serving(benefit, today), list[str]()
    if served is not benefit:
        words = n_("%(name)s is now delivered in its place.")
        found.append(tongue.say(words, name=tongue.text(served.name)))
    if served.replacement and served.last_claim is not None:
        name = tongue.text(programme.benefits[served.replacement].name)
        first = tongue.day(served.last_claim + timedelta(days=1))
        words = n_("From %(day)s on %(name)s is delivered in its place.")
        found.append(tongue.say(words, day=first, name=name))
    return found


def contract_words(tongue: Tongue, programme: Programme, benefit: Benefit) -> list[str]:
    """Return from when to when a benefit can be claimed, and used by contract (V-6, P-9)."""
    found = list[str]()
    if benefit.claim_from is not None:
        found.append(tongue.say(_FIRST, day=tongue.day(benefit.claim_from)))
    last = programme.succession(benefit)[-1]
    ends = [end for end in (last.last_claim, last.window_ends) if end is not None]
    if ends:
        words = n_("It can be claimed through %(day)s.")
        found.append(tongue.say(words, day=tongue.day(min(ends))))
    end = programme.contract_end(benefit)
    if end is not None:
        words = n_("Whatever is written on a unit, it can be used through %(day)s at the latest.")
        found.append(tongue.say(words, day=tongue.day(end)))
    return found
