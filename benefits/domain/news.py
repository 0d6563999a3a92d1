"""News: what of a decision must be written where a standing is on record (T-8, A-7).

What changes nothing is not written; what was settled takes nothing back, but for fraud.
"""

from datetime import date

import msgspec

from benefits.domain.tiers import Cause, Decision, State
from benefits.domain.values import Month


def news(
    decision: Decision, written: State, *, settled: State | None = None, on: date = date.max
) -> Decision | None:
    """Return what must be written where `written` is the standing on record; None when nothing.

    When the fold has another tier than the record without the month itself having moved it, a
    month before was left out, completed or judged by another rule: the record is corrected (T-8).
    A month that was `settled`, decided on all its days, takes no tier back when it is corrected,
    of those that stood on record by then: that waits for the evaluation of the next one (A-7).
    What raised it since is undone. Inside a period what stands is as good as settled (T-3). All of
    that is of what is earned, also beneath a welcome. It is told `on` a day.
    """
    if settled is not None and is_below(decision.after, settled, written):
        least = min(written.own, settled.own, key=lambda state: state.rank)
        after = _lifted_as(decision.after, least)
        decision = msgspec.structs.replace(decision, after=after, cause=Cause.CORRECTED)
    before, after = decision.before, decision.after
    if after.shown == written.shown:
        return None
    if after.earned is not None or written.earned is not None:
        return _welcomed(decision, written, on)
    if before.rank == written.rank:
        return decision
    cause = decision.cause if after.rank == written.rank else Cause.CORRECTED
    return msgspec.structs.replace(decision, before=recorded(written), cause=cause)


def fraud(decision: Decision, written: State, since: Month) -> Decision | None:
    """Return what the fold decides at once where less is earned than is on record; else None.

    Two people say that balances from the first day of a month on were false (A-7).
    """
    if not is_below(decision.after, written):
        return None
    grounds = msgspec.structs.replace(decision.grounds, wrong_from=since.start)
    return msgspec.structs.replace(
        decision, before=recorded(written), cause=Cause.FRAUD, grounds=grounds
    )


def is_below(after: State, *others: State) -> bool:
    """Say whether less is earned than in all other standings, whatever welcomes lift them."""
    return all(after.own.rank < other.own.rank for other in others)


def _lifted_as(state: State, earned: State) -> State:
    """Return what is held where more is `earned` than beneath a standing, and welcome as there."""
    if state.earned is None or state.rank <= earned.rank:
        return earned
    until = state.welcome_until
    return msgspec.structs.replace(
        earned, rank=state.rank, earned=earned.rank, welcome_until=until
    )


def recorded(written: State) -> State:
    """Return a standing on record as what a decision begins with."""
    return msgspec.structs.replace(written, window=())


def _welcomed(decision: Decision, written: State, on: date) -> Decision:
    """Return news of a standing that a welcome lifts, or lifted: it is told by what is held."""
    after, grounds = decision.after, decision.grounds
    own = decision.cause if decision.before.rank == written.own.rank else Cause.CORRECTED
    if after.earned is not None:
        has_fallen = after.rank < written.rank and written.earned is None
        cause = own if has_fallen else Cause.WELCOME
    elif after.rank < written.rank:
        cause = Cause.WELCOME_OVER
        grounds = msgspec.structs.replace(grounds, ended_on=written.welcomed_through(on))
    else:
        cause = Cause.RETAINED if after.rank == written.rank else own
    return msgspec.structs.replace(
        decision, before=recorded(written), cause=cause, grounds=grounds
    )
