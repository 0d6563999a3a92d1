"""The page's history: everything that matters to a member, with filters, a page at a time."""

from itertools import groupby

from litestar import get
from litestar.params import FromQuery

from benefits.store import pages
from benefits.store.pages import Chosen
from benefits.web.page.frame import Page, Web, render, session_of, tongue_of
from benefits.web.page.shown_history import KINDS, SPANS, entry, since_of, types_of

SHOWN = 20
_NEWEST = 2**62


@get("/history")
async def show_history(
    request: Web,
    *,
    kind: FromQuery[str] = "",
    benefit: FromQuery[str] = "",
    span: FromQuery[str] = "",
    before: FromQuery[str] = "",
) -> Page:
    """Show what happened, newest first; a filter that does not exist filters nothing."""
    state = request.app.state
    tongue = tongue_of(request)
    is_place = before.isascii() and before.isdecimal() and len(before) < 19
    start = int(before) if is_place else _NEWEST
    async with state.database.transaction() as conn:
        session = await session_of(request, conn)
        catalogue = await state.parts.catalogue.current(conn)
        chosen = Chosen(
            types=types_of(kind),
            since=since_of(span, state.parts.clock()),
            benefit=benefit if benefit in catalogue.offers else "",
        )
        found = await pages.story(conn, session.member_id, chosen, before=start, limit=SHOWN + 1)
    shown = found[:SHOWN]
    entries = [entry(tongue, catalogue, event) for event in shown]
    filters = {"kind": kind, "benefit": benefit, "span": span}
    return render(
        tongue,
        "history.html",
        path="/history",
        query=filters | {"before": before},
        days=[(day, list(of_day)) for day, of_day in groupby(entries, lambda each: each.day)],
        older=str(shown[-1].seq) if len(found) > SHOWN else "",
        is_later=is_place,
        filters=filters,
        kinds=[(code, tongue.word(words)) for code, (words, _) in KINDS.items()],
        spans=[(code, tongue.word(words)) for code, (words, _) in SPANS.items()],
        benefits=[(code, tongue.text(b.name)) for code, (_, b) in catalogue.offers.items()],
        zones=sorted({tongue.zone(p.tz) for p in catalogue.programmes.values()}),
    )


HANDLERS = [show_history]
