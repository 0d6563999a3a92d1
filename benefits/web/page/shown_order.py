"""One claim in words: where its order stands, step by step, and what its member can do."""

from datetime import datetime

import msgspec

from benefits.actions.read_code import SecondLook
from benefits.domain.benefit import AT_ONCE, Benefit, Consumed, Kind
from benefits.domain.orders import DELIVERED, OPEN, USABLE, OrderState, Reason
from benefits.domain.values import local_date, midnight
from benefits.web.page.facts import OrderFacts
from benefits.web.page.shown import (
    STATE_WORDS,
    delivered_word,
    has_code,
    is_late,
    state_word,
    used_word,
)
from benefits.web.page.shown_benefit import last_day
from benefits.web.page.shown_booking import Cancelling, cancelling, over_words, time_words
from benefits.web.tongue import Message, Tongue, n_

EXPLAINED: dict[OrderState, Message] = {
    OrderState.HELD: n_("We have your claim and pass it on to the provider."),
    OrderState.SUBMITTED: n_("The provider has your order. This mostly takes a moment."),
    OrderState.PENDING: n_("The provider has accepted it and will tell us when it is done."),
    OrderState.UNKNOWN: n_("The provider has not answered yet; we keep asking."),
    OrderState.MANUAL: n_("We are clearing this up with the provider."),
    OrderState.ISSUED: n_("It is yours now."),
    OrderState.CONFIRMED: n_("It is yours now."),
    OrderState.PARTLY_REDEEMED: n_("You have used some of it; the rest is yours."),
    OrderState.REDEEMED: n_("You have used this benefit."),
    OrderState.COMPENSATED: n_("It could not be delivered. Your unit is back."),
    OrderState.EXPIRED: n_("It could not be sent to the provider in time. Your unit is back."),
    OrderState.REVOKED: n_("The provider took it back. Our customer service can tell you why."),
}
REASONS: dict[Reason, Message] = {
    Reason.INVALID: n_("The provider could not accept the details. Please check them."),
    Reason.NOT_ELIGIBLE: n_("The provider does not offer it to this number or account."),
    Reason.LIMIT: n_("The provider's own limit is reached."),
    Reason.STOCK_OUT: n_("The provider has run out of it."),
    Reason.BUDGET: n_("The provider does not offer it at the moment."),
    Reason.ACCOUNT: n_("The provider does not know this number or account. Please check it."),
    Reason.AUTH: n_("The provider could not take our order at the moment."),
    Reason.CONFIG: n_("The provider could not take our order at the moment."),
    Reason.DUPLICATE_DIFFERENT: n_("The provider could not take our order at the moment."),
    Reason.NOT_FOUND: n_("The provider never received our order."),
}
_STEPS: tuple[tuple[OrderState, Message], ...] = (
    (OrderState.HELD, n_("Accepted")),
    (OrderState.SUBMITTED, n_("Sent to the provider")),
    (OrderState.PENDING, n_("Provider at work")),
    (OrderState.ISSUED, n_("Delivered")),
    (OrderState.REDEEMED, n_("Used")),
)
_ASKED = frozenset({OrderState.SUBMITTED, OrderState.PENDING})  # not where nobody is asked
_NEW = frozenset({OrderState.ISSUED, OrderState.CONFIRMED})
_REACHED: dict[OrderState, int] = {
    OrderState.HELD: 0,
    OrderState.SUBMITTED: 1,
    OrderState.PENDING: 2,
    OrderState.UNKNOWN: 2,
    OrderState.MANUAL: 2,
    OrderState.ISSUED: 3,
    OrderState.CONFIRMED: 3,
    OrderState.PARTLY_REDEEMED: 3,
    OrderState.REDEEMED: 4,
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of an order: behind it (`done`), where it is (`now`), or before it (`next`)."""

    label: str
    mark: str
    spoken: str
    at: str = ""
    instant: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A claim and where it stands; `is_final` when nothing more will come by itself."""

    id: str
    code: str
    name: str
    quantity: int
    number: str
    tone: str
    state: str
    words: list[str]
    steps: list[Step]
    is_final: bool
    is_late: bool
    is_used: bool
    is_open: bool
    has_code: bool
    seen: str
    again: list[tuple[str, str]]
    cancelling: Cancelling | None


AGAIN: dict[SecondLook, Message] = {
    SecondLook.NOT_ARRIVED: n_("I did not get to see it: show it again"),
    SecondLook.NEEDED_AGAIN: n_("I need it once more: show it again"),
}


def shown_order(tongue: Tongue, order: OrderFacts) -> Order:
    """Return a claim in words."""
    claim, seen = order.claim, order.readings
    programme, benefit = order.offer
    state = OrderState(claim.state)
    shows = has_code(claim, benefit)
    looked = ""
    if shows and seen.last is not None:
        once = n_("Shown once, on %(moment)s.")
        often = n_("Shown %(times)s times, last on %(moment)s.")
        looked = tongue.say(
            once if seen.times == 1 else often,
            times=seen.times,
            moment=tongue.moment(seen.last, programme.tz),
        )
    return Order(
        id=str(claim.claim_id),
        code=benefit.code,
        name=tongue.text(benefit.name),
        quantity=claim.quantity,
        number=claim.number,
        tone=STATE_WORDS[state][0],
        state=tongue.word(state_word(claim, benefit, order.now)),
        words=_words(tongue, order),
        steps=_steps(tongue, order),
        is_final=_is_final(state, benefit),
        is_late=is_late(claim, order.now),
        is_used=state is OrderState.REDEEMED,
        is_open=state in OPEN,
        has_code=shows,
        seen=looked,
        again=[(why.value, tongue.word(words)) for why, words in AGAIN.items()] if looked else [],
        cancelling=cancelling(tongue, order),
    )


def _is_final(state: OrderState, benefit: Benefit) -> bool:
    """Say whether to stop looking: a voucher that waits to be used may still be used."""
    return state not in OPEN and (state not in USABLE or benefit.consumed is Consumed.ISSUE)


def _of_kind(state: OrderState, benefit: Benefit) -> Message | None:
    """Return what a claim's kind has to say of where it stands, if it has words of its own."""
    match benefit.kind:
        case Kind.DIRECT_TOPUP if state in _NEW:
            return n_("It was credited to you. Nothing more to do.")
        case Kind.INTERNAL if state in _NEW:
            return n_("It is done. Nothing more to do.")
        case Kind.PHYSICAL if state in _NEW:
            return n_("It is on its way to you.")
        case Kind.PHYSICAL if state is OrderState.REDEEMED:
            return n_("You have received it.")
        case _:
            return None


def _words(tongue: Tongue, order: OrderFacts) -> list[str]:
    claim, (_, benefit) = order.claim, order.offer
    state = OrderState(claim.state)
    words = [tongue.word(EXPLAINED[state])]
    if state is OrderState.COMPENSATED and claim.reason.upper() in Reason.__members__:
        words.append(tongue.word(REASONS[Reason[claim.reason.upper()]]))
    if state is OrderState.EXPIRED and claim.ended_at is not None:
        words = [tongue.word(n_("It was not used in time."))]
    if state in _NEW and has_code(claim, benefit):
        words = [tongue.word(n_("It is yours now. Show the code when you use it."))]
    elif (said := _of_kind(state, benefit)) is not None:
        words = [tongue.word(said)]
    if order.instead_of:
        came = n_("It came in place of %(name)s, whose units it took.")
        words.append(tongue.say(came, name=tongue.text(order.instead_of)))
    if (over := over_words(claim)) is not None:
        words = [tongue.word(over)]
    words += time_words(tongue, order) or _use_words(tongue, order)
    if claim.missing:
        came = n_("Not delivered so far: %(count)s. Their units are back.")
        words.append(tongue.say(came, count=claim.missing))
    if is_late(claim, order.now):
        words.append(
            tongue.word(
                n_(
                    "This takes longer than usual. Your unit stays reserved, nothing is lost, "
                    "and you need not claim again."
                )
            )
        )
    return words


def _use_words(tongue: Tongue, order: OrderFacts) -> list[str]:
    """Return until when what was claimed can be used, or could be (P-9)."""
    until, state = order.claim.use_until, OrderState(order.claim.state)
    if until is None or state not in OPEN | USABLE:
        return []
    programme, _ = order.offer
    is_over = until <= order.now
    if until == midnight(local_date(until, programme.tz), programme.tz):
        words = (
            n_("It could be used through %(day)s.") if is_over else n_("Use it through %(day)s.")
        )
        return [tongue.say(words, day=tongue.day(last_day(until, programme)))]
    words = n_("It could be used until %(moment)s.") if is_over else n_("Use it until %(moment)s.")
    return [tongue.say(words, moment=tongue.moment(until, programme.tz))]


def _steps(tongue: Tongue, order: OrderFacts) -> list[Step]:
    claim, (programme, benefit) = order.claim, order.offer
    state = OrderState(claim.state)
    at = {OrderState.HELD: claim.claimed_at}
    for event in order.events:
        name = event.type.removeprefix("order.").upper()
        if name == OrderState.CONFIRMED.value:
            at.setdefault(OrderState.ISSUED, event.recorded_at)
        elif name in OrderState.__members__:
            at.setdefault(OrderState[name], event.recorded_at)

    def step(label: Message, mark: str, when: datetime | None) -> Step:
        spoken = {"done": n_("done"), "now": n_("now"), "next": n_("to come"), "bad": n_("ended")}
        return Step(
            label=tongue.word(label),
            mark=mark,
            spoken=tongue.word(spoken[mark]),
            at=tongue.moment(when, programme.tz) if when else "",
            instant=when.isoformat(timespec="seconds") if when else "",
        )

    if state not in _REACHED:
        ended = state_word(claim, benefit, order.now)
        when = at.get(state, claim.changed_at)
        return [step(_STEPS[0][1], "done", claim.claimed_at), step(ended, "bad", when)]
    at_issue = benefit.consumed is Consumed.ISSUE
    own = {OrderState.ISSUED: delivered_word(benefit), OrderState.REDEEMED: used_word(benefit)}
    last = len(_STEPS) - 1 if at_issue and state is not OrderState.REDEEMED else len(_STEPS)
    reached = _REACHED[state]
    steps = list[Step]()
    for index, (each, label) in enumerate(_STEPS[:last]):
        if benefit.kind in AT_ONCE and each in _ASKED:
            continue
        is_done = index < reached or (index == reached and state in DELIVERED)
        mark = "done" if is_done else "now" if index == reached else "next"
        named = own.get(each, label)
        steps.append(step(named, mark, at.get(each) if index <= reached else None))
    return steps
