"""The page's tiers, explained: what decided each, the last month, and what keeps and raises it.

What a month came to that changed nothing is folded again as it is asked about, so it stands on a
view of its own.
"""

import msgspec
from litestar import get

from benefits.actions.look_up import Seen, see
from benefits.actions.recall_month import Recalled, recall_month
from benefits.domain.explanation import explain, ways
from benefits.store.overview import Standing
from benefits.web.page.frame import Page, Web, render, session_of, tongue_of
from benefits.web.tongue import Message, Tongue, n_

_DECIDED = n_("How it was decided")
_LAST = n_("The last month that was evaluated")
_NONE = n_("No month has been evaluated for you yet.")
_KEPT = n_("Keeping %(tier)s")
_AHEAD = n_("On the way to %(tier)s")


class TierWhy(msgspec.Struct, frozen=True, kw_only=True):
    """A tier in a programme, and by title what explains it."""

    programme: str
    tier: str
    reasons: list[tuple[str, str]]


@get("/tiers")
async def show_tiers(request: Web) -> Page:
    """Show why the tiers are as they are, to the cent and the day (X-6)."""
    state = request.app.state
    tongue = tongue_of(request)
    async with state.database.transaction() as conn:
        session = await session_of(request, conn)
        (seen,) = (await see(conn, [session.member_id], state.parts, claims=0)).values()
        recalled = await recall_month(conn, state.parts, seen.overview.member_id)
    standings = seen.overview.standings
    return render(
        tongue,
        "tiers.html",
        path="/tiers",
        tiers=[_why(tongue, seen, one, recalled.get(one.programme)) for one in standings],
        zones=sorted({tongue.zone(p.tz) for p in seen.catalogue.programmes.values()}),
    )


def _why(tongue: Tongue, seen: Seen, standing: Standing, last: Recalled | None) -> TierWhy:
    programme = seen.catalogue.programmes[standing.programme]
    rank, reasons = standing.held.rank, list[tuple[str, str]]()
    if standing.decided is not None:
        then, since = seen.then[programme.code], standing.since_day
        words = explain(then, standing.decided, since)[tongue.code]
        reasons.append((tongue.word(_DECIDED), words))
    if last is not None:
        words = explain(last.judge.programme, last.decision)[tongue.code]
        reasons.append((tongue.word(_LAST), words))
    if not reasons:
        reasons.append((tongue.word(_LAST), tongue.word(_NONE)))
    reasons += [
        _asked(tongue, standing, title, of)
        for title, of in ((_KEPT, rank), (_AHEAD, rank + 1))
        if 0 < of < len(programme.tier)
    ]
    return TierWhy(
        programme=tongue.text(programme.name),
        tier=tongue.text(programme.tier[rank].name),
        reasons=reasons,
    )


def _asked(tongue: Tongue, standing: Standing, title: Message, rank: int) -> tuple[str, str]:
    """Return what a tier asks for, under a title that names it."""
    tier = tongue.text(standing.judge.tier[rank].name)
    return tongue.say(title, tier=tier), ways(standing.judge, rank, tongue.code)


HANDLERS = [show_tiers]
