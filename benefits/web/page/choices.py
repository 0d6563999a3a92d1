"""The page's view of a choice: what may be chosen, and the choosing.

A form is written with an idempotency key of its own: a double tap, and the same form sent again
later, choose once.
"""

from litestar import get, post
from litestar.params import FromPath, FromQuery

from benefits.actions.choose import ChooseBenefit
from benefits.actions.keyed import Accepted, Decided
from benefits.domain.choices import UnknownChoice
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.web.page.facts import nothing_to_claim, read_facts
from benefits.web.page.frame import (
    Page,
    Web,
    form_of,
    form_token,
    member_of,
    redirect,
    render,
    session_of,
    tongue_of,
)
from benefits.web.page.shown_choice import choice_refused, shown_choice
from benefits.web.problems import NotFound


@get("/choices/{code:str}")
async def show_choice(
    request: Web, code: FromPath[str], refused: FromQuery[str] = "", new: FromQuery[str] = ""
) -> Page:
    """Show a choice: its units, and the form, or why there is none; `new` was just chosen."""
    state = request.app.state
    async with state.database.transaction() as conn:
        session = await session_of(request, conn)
        facts = await read_facts(conn, session.member_id, state.parts)
    if code not in facts.catalogue.choices:
        raise NotFound
    facts = nothing_to_claim(facts) if state.wrong else facts
    tongue, (programme, choice) = tongue_of(request), facts.catalogue.choices[code]
    chosen = programme.benefits[new] if new in choice.benefits else None
    return render(
        tongue,
        "choice.html",
        path=f"/choices/{code}",
        choice=shown_choice(tongue, facts, code),
        token=form_token(request),
        new=None if chosen is None else (chosen.code, tongue.text(chosen.name)),
        refused=choice_refused(tongue, refused),
        zones=[tongue.zone(programme.tz)],
    )


@post("/choices")
async def post_choice(request: Web) -> Page:
    """Choose as the form says, and go back to the choice."""
    state = request.app.state
    member_id = await member_of(request)
    form = await form_of(request)
    state.rates.member(request.scope, member_id)
    command = ChooseBenefit(
        caller="system:page",
        key=check_key(form.get("key")),
        member_id=member_id,
        choice=form.get("choice", ""),
        benefit=form.get("benefit", ""),
    )
    outcome: Decided | Refusal = await state.choosings.submit(command)
    if isinstance(outcome, Accepted):
        path = f"/choices/{command.choice}"
        return redirect(request, path, notice="notice", new=command.benefit)
    path = "" if outcome.code == UnknownChoice.code else f"/choices/{command.choice}"
    return redirect(request, path, notice="notice", refused=outcome.code)


HANDLERS = [show_choice, post_choice]
