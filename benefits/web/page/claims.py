"""The page's views of claims: review what will be claimed, claim it, follow it, see its code.

A form is written with an idempotency key of its own, which goes with it through the review: a
double tap, and the same form sent again later, are one claim. What was typed is shown once, on
the review, and goes from there to the provider.
"""

import re
from typing import Any
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, FromQuery

from benefits.actions.cancel import CancelClaim
from benefits.actions.claim import ClaimUnits
from benefits.actions.foresee import CHANNEL
from benefits.actions.keyed import Accepted, Decided
from benefits.actions.read_code import CodeShown, SecondLook, read_code
from benefits.actions.record_consents import SayConsent, say_consent
from benefits.domain.booking import BookingTime
from benefits.domain.catalogue import Catalogue
from benefits.domain.code_lines import pieces
from benefits.domain.consents import ConsentRequired
from benefits.domain.entitlement import RECIPIENT_MAX, GuestLimit, RecipientIncomplete
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.domain.values import local_date
from benefits.store.db import Busy, Connection, Unavailable, is_busy
from benefits.store.group import Failed, Overloaded
from benefits.web.page.facts import OrderFacts, read_facts, read_order
from benefits.web.page.frame import (
    Page,
    Web,
    form_of,
    form_token,
    member_of,
    message,
    redirect,
    render,
    session_of,
    tongue_of,
)
from benefits.web.page.shown_benefit import misfit, offer, refused_words, typed_in
from benefits.web.page.shown_booking import CANCEL_WORDS, typed_time
from benefits.web.page.shown_order import shown_order
from benefits.web.problems import NotFound
from benefits.web.tongue import Tongue

_FIELD = "recipient."


class Again(msgspec.Struct, frozen=True):
    """A claim that is about to be sent, or may be sent once more: the form's hidden fields."""

    code: str
    name: str
    key: str
    recipient: dict[str, str]
    consent: str = ""
    companions: int = 0
    booked_for: str = ""
    waits: bool = False


def _companions(form: dict[str, str]) -> int:
    """Return how many come along, 0 unless said; -1 for what is no number."""
    text = form.get("companions", "0")
    return int(text) if re.fullmatch("[0-9]{1,2}", text) else -1


def _recipient(form: dict[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(_FIELD): typed_in(name.removeprefix(_FIELD), text)
        for name, text in form.items()
        if name.startswith(_FIELD)
    }


def _wrong(recipient: dict[str, str]) -> str:
    """Return the code of what is wrong with what was typed; nothing when it can be claimed."""
    if all(0 < len(text) <= RECIPIENT_MAX for text in recipient.values()):
        return misfit(recipient)
    return RecipientIncomplete.code


@post("/claims/review", status_code=200)
async def review_claim(request: Web) -> Page:
    """Show what will be claimed and what goes to the provider; nothing is claimed yet."""
    state = request.app.state
    member_id = await member_of(request)
    form = await form_of(request)
    async with state.database.transaction() as conn:
        facts = await read_facts(conn, member_id, state.parts)
    key, code = check_key(form.get("key")), form.get("benefit", "")
    if code not in facts.catalogue.offers:
        return redirect(request, notice="notice", refused="unknown_benefit")
    tongue, recipient, companions = tongue_of(request), _recipient(form), _companions(form)
    slots, typed = facts.prospects[code].slots, form.get("booked_for", "")
    zone = facts.catalogue.offers[code][0].tz
    at = typed_time(typed, zone)
    seen = msgspec.structs.replace(offer(tongue, facts, code), key=key)
    refusal, waits = facts.prospects[code].refusal, bool(form.get("wait"))
    if refusal is not None and not (waits and facts.prospects[code].may_wait):
        return redirect(request, f"/benefits/{code}", notice="notice", refused=refusal.code)
    given = {name: recipient.get(name, "") for name, _ in seen.fields}
    agreed = seen.consent is None or form.get("consent") == seen.consent[0]
    along = GuestLimit.code if not 0 <= companions <= seen.companions else ""
    fits = slots is None or (at is not None and slots.has(at))
    booked = "" if fits else BookingTime.code
    if wrong := _wrong(given) or along or booked or ("" if agreed else ConsentRequired.code):
        return render(
            tongue,
            "benefit.html",
            422,
            path=f"/benefits/{code}",
            posted=True,
            offer=seen,
            token=form["token"],
            typed=given,
            companions=companions,
            booked_for=typed,
            refused=refused_words(tongue, wrong),
        )
    return render(
        tongue,
        "review.html",
        path=f"/benefits/{code}",
        posted=True,
        offer=seen,
        again=Again(
            code=code,
            name=seen.name,
            key=key,
            recipient=given,
            consent=seen.consent[0] if seen.consent else "",
            companions=companions,
            booked_for=typed if slots else "",
            waits=waits,
        ),
        when=tongue.moment(at, zone) if slots and at else "",
        token=form["token"],
    )


@post("/claims")
async def post_claim(request: Web) -> Page:
    """Claim a unit as the form says, and go to the claim; offer it again if it was not decided."""
    state = request.app.state
    async with state.database.transaction() as conn:
        session = await session_of(request, conn)
        catalogue = await state.parts.catalogue.current(conn)
    form = await form_of(request)
    state.rates.member(request.scope, session.member_id)
    code, typed = form.get("benefit", ""), form.get("booked_for", "")
    known = code in catalogue.offers
    command = ClaimUnits(
        caller="system:page",
        key=check_key(form.get("key")),
        member_id=session.member_id,
        benefit=code,
        booked_for=typed_time(typed, catalogue.offers[code][0].tz) if known else None,
        recipient=_recipient(form),
        companions=_companions(form),
        channel=CHANNEL,
        waits=bool(form.get("wait")),
    )
    path = f"/benefits/{command.benefit}" if known else ""
    if wrong := _wrong(command.recipient):
        return redirect(request, path, notice="notice", refused=wrong)
    consent = form.get("consent", "") if known else ""
    try:
        if consent:
            await _agree(request, catalogue, command, consent)
        outcome = await state.claims.submit(command)
    except (Busy, Overloaded, Failed) as error:
        again = Again(
            code=code,
            name=tongue_of(request).text(catalogue.offers[code][1].name),
            key=command.key,
            recipient=command.recipient,
            consent=consent,
            companions=command.companions,
            booked_for=typed,
            waits=command.waits,
        )
        return _again(request, error, again if known else None)
    if isinstance(outcome, Accepted) and "wait_id" in outcome.ids:
        return redirect(request, path)
    if isinstance(outcome, Accepted):
        claim_id = outcome.ids["claim_id"]
        return redirect(request, f"/claims/{claim_id}", notice="notice", new="1")
    return redirect(request, path, notice="notice", refused=outcome.code)


async def _agree(request: Web, catalogue: Catalogue, command: ClaimUnits, purpose: str) -> None:
    """Record what the member agreed to on the form, once; a form sent again says nothing anew.

    Busy, while somebody else holds the member.
    """
    state = request.app.state
    programme, benefit = catalogue.offers[command.benefit]
    today = local_date(state.parts.clock(), programme.tz)
    said = SayConsent(
        caller=command.caller,
        key=command.key,
        member_id=command.member_id,
        purpose=purpose,
        provider=programme.serving(benefit, today).provider,
        is_given=True,
    )

    async def work(conn: Connection) -> None:
        await say_consent(conn, said, state.parts)

    try:
        await state.database.transact(work)
    except Exception as error:
        if is_busy(error):
            raise Busy from error
        raise


def _again(request: Web, error: Exception, again: Again | None) -> Page:
    """Offer the same claim under the same key."""
    if isinstance(error, Failed):
        return message(request, "internal", 500, incident=error.incident, again=again)
    return message(request, "busy", 503, again=again)


async def _order(request: Web, claim_id: UUID) -> OrderFacts:
    """Read a claim of the session's member (NotFound)."""
    state = request.app.state
    async with state.database.transaction() as conn:
        session = await session_of(request, conn)
        order = await read_order(conn, session.member_id, claim_id, state.parts)
    if order is None:
        raise NotFound
    return order


def _show(request: Web, facts: OrderFacts, template: str = "order.html", **more: Any) -> Page:
    tongue: Tongue = tongue_of(request)
    context: dict[str, Any] = {
        "new": "",
        "opened": "",
        "refused": "",
        "token": form_token(request),
    } | more
    return render(
        tongue,
        template,
        path=f"/claims/{facts.claim.claim_id}",
        posted=bool(context["opened"]),
        order=shown_order(tongue, facts),
        zones=[tongue.zone(facts.offer[0].tz)],
        **context,
    )


@get("/claims/{claim_id:uuid}")
async def show_claim(
    request: Web, claim_id: FromPath[UUID], new: FromQuery[str] = "", refused: FromQuery[str] = ""
) -> Page:
    """Show a claim and where its order stands."""
    words = CANCEL_WORDS.get(refused)
    said = tongue_of(request).word(words) if words else ""
    return _show(request, await _order(request, claim_id), new=new, refused=said)


@get("/claims/{claim_id:uuid}/live")
async def show_live(request: Web, claim_id: FromPath[UUID]) -> Page:
    """Return the part of a claim's view that changes, for the script."""
    return _show(request, await _order(request, claim_id), "order_live.html")


@post("/claims/{claim_id:uuid}/code", status_code=200)
async def show_code(request: Web, claim_id: FromPath[UUID]) -> Page:
    """Show a claim with its code, and record that it was looked at, and why once more.

    Where the code was shown before and nobody says why, as by a double tap, the claim asks.
    """
    state = request.app.state
    member_id = await member_of(request)
    why = (await form_of(request)).get("again", "")
    again = SecondLook[why] if why in SecondLook.__members__ else None
    state.rates.member(request.scope, member_id)
    try:
        async with state.database.transaction() as conn:
            code = await read_code(
                conn, claim_id, state.parts, actor="system:page", member_id=member_id, again=again
            )
    except CodeShown:
        return redirect(request, f"/claims/{claim_id}")
    if code is None:
        raise NotFound
    opened = "\n".join(f"{one.code} {one.pin}".rstrip() for one in pieces(code))
    return _show(request, await _order(request, claim_id), opened=opened)


@get("/claims/{claim_id:uuid}/code")
async def hide_code(request: Web, claim_id: FromPath[UUID]) -> Page:
    """Go back to the claim: a code is shown to a tap, not to an address."""
    return redirect(request, f"/claims/{claim_id}")


@post("/claims/{claim_id:uuid}/cancel")
async def cancel_claim(request: Web, claim_id: FromPath[UUID]) -> Page:
    """Give a booking up, and go back to the claim."""
    state = request.app.state
    member_id = await member_of(request)
    form = await form_of(request)
    state.rates.member(request.scope, member_id)
    await _order(request, claim_id)
    asked = CancelClaim(caller="system:page", key=check_key(form.get("key")), claim_id=claim_id)
    try:
        outcome: Decided | Refusal = await state.cancellations.submit(asked)
    except (Busy, Failed, Overloaded, Unavailable) as error:
        return _again(request, error, None)
    refused = {} if isinstance(outcome, Accepted) else {"refused": outcome.code}
    return redirect(request, f"/claims/{claim_id}", notice="order", **refused)


HANDLERS = [review_claim, post_claim, show_claim, show_live, show_code, hide_code, cancel_claim]
