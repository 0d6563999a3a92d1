"""The page's way to wait no longer; that a claim waits stands in the view of its benefit."""

from uuid import UUID

from litestar import post
from litestar.params import FromPath

from benefits.actions.close_waits import StopWaiting, stop_waiting
from benefits.actions.keyed import Accepted, Decided
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store.db import Connection, is_busy
from benefits.web.page.frame import Page, Web, form_of, member_of, message, redirect


@post("/waits/{wait_id:uuid}/end")
async def end_wait(request: Web, wait_id: FromPath[UUID]) -> Page:
    """Let a claim wait no longer, and go back to the benefits."""
    state = request.app.state
    member_id = await member_of(request)
    form = await form_of(request)
    state.rates.member(request.scope, member_id)
    asked = StopWaiting(
        caller="system:page", key=check_key(form.get("key")), member_id=member_id, wait_id=wait_id
    )

    async def work(conn: Connection) -> Decided | Refusal:
        return await stop_waiting(conn, asked, state.parts)

    try:
        outcome = await state.database.transact(work)
    except Exception as error:
        if is_busy(error):
            return message(request, "busy", 503)
        raise
    refused = {} if isinstance(outcome, Accepted) else {"refused": outcome.code}
    return redirect(request, notice="notice" if refused else "", **refused)


HANDLERS = [end_wait]
