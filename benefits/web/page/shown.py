"""What a member has, as the page shows it: benefits and claims in groups, each row in words."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import msgspec

from benefits.domain.benefit import Benefit, Consumed, Kind
from benefits.domain.orders import DELIVERED, OPEN, USABLE, OrderState
from benefits.domain.programme import Item, Programme
from benefits.domain.units import Quantity
from benefits.domain.values import local_date
from benefits.store.pages import ClaimSeen, Entitlement
from benefits.web.page.facts import Facts
from benefits.web.page.shown_benefit import count_of, is_for, last_day, tier_from, why_not
from benefits.web.page.shown_booking import over_word
from benefits.web.page.shown_waits import ROW
from benefits.web.tongue import Message, Tongue, n_

SOON = timedelta(days=7)
READY_FOR = timedelta(days=90)
LATE_AFTER = timedelta(minutes=5)
AFTER_TIME = timedelta(days=1)  # that a booking is taken to be used
FINISHED_SHOWN = 3

STATE_WORDS: dict[OrderState, tuple[str, Message]] = {
    OrderState.HELD: ("wait", n_("Accepted")),
    OrderState.SUBMITTED: ("wait", n_("Sent to the provider")),
    OrderState.PENDING: ("wait", n_("The provider is working on it")),
    OrderState.UNKNOWN: ("wait", n_("Waiting for the provider to confirm")),
    OrderState.MANUAL: ("wait", n_("We are looking into it")),
    OrderState.ISSUED: ("good", n_("Delivered")),
    OrderState.CONFIRMED: ("good", n_("Delivered")),
    OrderState.PARTLY_REDEEMED: ("good", n_("Partly used")),
    OrderState.REDEEMED: ("good", n_("Used")),
    OrderState.COMPENSATED: ("bad", n_("Not possible, units returned")),
    OrderState.EXPIRED: ("bad", n_("Not sent in time, units returned")),
    OrderState.REVOKED: ("bad", n_("Taken back by the provider")),
}
SHORT_WORDS: dict[OrderState, Message] = {
    OrderState.HELD: n_("Accepted"),
    OrderState.SUBMITTED: n_("Sent"),
    OrderState.PENDING: n_("At work"),
    OrderState.UNKNOWN: n_("Confirming"),
    OrderState.MANUAL: n_("Being checked"),
    OrderState.ISSUED: n_("Delivered"),
    OrderState.CONFIRMED: n_("Delivered"),
    OrderState.PARTLY_REDEEMED: n_("Partly used"),
    OrderState.REDEEMED: n_("Used"),
    OrderState.COMPENSATED: n_("Unit returned"),
    OrderState.EXPIRED: n_("Unit returned"),
    OrderState.REVOKED: n_("Taken back"),
}
NOTHING_TO_CHOOSE = n_("Nothing left to choose for now; see what you have chosen.")
NOT_USED = n_("Not used in time")
_NEW = frozenset({OrderState.ISSUED.value, OrderState.CONFIRMED.value})
TITLES: dict[str, Message] = {
    "soon": n_("Expiring soon"),
    "claim": n_("To claim"),
    "ready": n_("Ready to use"),
    "progress": n_("In progress"),
    "earlier": n_("Claimed earlier"),
    "not-now": n_("Not available now"),
    "used": n_("Used or credited"),
    "returned": n_("Not delivered"),
    "expired": n_("Expired"),
    "higher": n_("With a higher tier"),
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a group: what it is, something about it, and what stands at its side."""

    path: str
    name: str
    about: str = ""
    count: Quantity = 0
    badge: str = ""
    tone: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in one state."""

    id: str
    title: str
    rows: list[Row]


def groups(tongue: Tongue, facts: Facts) -> list[Group]:
    """Return the benefits and claims by state; a state without any is left out."""
    found: dict[str, list[Row]] = {name: [] for name in TITLES}
    for name, row in _choices(tongue, facts):
        found[name].append(row)
    for name, row in _offers(tongue, facts):
        found[name].append(row)
    for claim in facts.claims:
        name = group_of(claim, facts)
        finished = name in {"used", "returned"}
        if name and not (finished and len(found[name]) >= FINISHED_SHOWN):
            found[name].append(_order(tongue, facts, claim, name))
    for ended in facts.expired[:FINISHED_SHOWN]:
        found_item = facts.catalogue.item_of(ended.unit)
        assert found_item is not None, "benefits and choices stay in their programme"
        programme, item = found_item
        day = tongue.day(last_day(ended.expires_at, programme))
        about = tongue.say(
            n_("%(count)s not used; valid through %(day)s"),
            count=count_of(programme, item, ended.quantity),
            day=day,
        )
        found["expired"].append(_row(tongue, item, about=about))
    return [
        Group(id=name, title=tongue.word(TITLES[name]), rows=rows)
        for name, rows in found.items()
        if rows
    ]


def coming(tongue: Tongue, facts: Facts) -> list[tuple[str, list[str]]]:
    """Return what versions to come change for the member, by the day from which it holds."""
    by_day = dict[date, list[str]]()
    for each in sorted(facts.coming, key=lambda one: one.begins_on):
        by_day.setdefault(each.begins_on, []).append(tongue.text(each.words))
    return [(tongue.day(day), words) for day, words in by_day.items()]


def _row(tongue: Tongue, item: Item, **more: str | Quantity) -> Row:
    row = Row(path=path_of(item), name=tongue.text(item.name))
    return msgspec.structs.replace(row, **more)


def path_of(item: Item) -> str:
    """Return where a benefit or a choice has its own view."""
    return f"/benefits/{item.code}" if isinstance(item, Benefit) else f"/choices/{item.code}"


def _choices(tongue: Tongue, facts: Facts) -> Iterator[tuple[str, Row]]:
    """Yield the choices that a member has units of, or chose from, with their group."""
    for one in facts.choices.values():
        if not one.lots:
            yield "not-now", _row(tongue, one.choice, about=tongue.word(NOTHING_TO_CHOOSE))
            continue
        about = tongue.say(n_("Choose from %(count)s benefits"), count=len(one.choice.benefits))
        if all(one.refusals.values()):
            yield "not-now", _row(tongue, one.choice, about=about)
            continue
        row = _row(tongue, one.choice, about=about, count=one.available(facts.now))
        first = min((lot.expires_at for lot in one.lots if lot.expires_at), default=None)
        if first is None or first - facts.now > SOON:
            yield "claim", row
        else:
            yield "soon", _soon(tongue, one.programme, row, now=facts.now, end=first)


def _offers(tongue: Tongue, facts: Facts) -> Iterator[tuple[str, Row]]:
    """Yield each benefit the member can have with its group: those with units come first."""
    lots = dict[str, list[Entitlement]]()
    for lot in facts.lots:
        lots.setdefault(lot.unit, []).append(lot)
    offers = facts.catalogue.offers
    for code in sorted(offers, key=lambda code: offers[code][1].unit not in lots):
        programme, benefit = offers[code]
        mine = lots.get(benefit.unit, [])
        available = sum(lot.available for lot in mine)
        rank = tier_from(programme, benefit)
        if code in facts.waits:
            yield "progress", _row(tongue, benefit, about=tongue.word(ROW))
        elif facts.prospects[code].refusal is None:
            yield _to_claim(tongue, facts, benefit, mine)
        elif available or mine or _is_near(facts, programme, benefit, rank):
            about = why_not(tongue, facts, benefit)
            yield "not-now", _row(tongue, benefit, about=about)
        elif rank is not None:
            tier = tongue.text(programme.tier[rank].name)
            about = tongue.say(n_("From %(tier)s on"), tier=tier)
            yield "higher", _row(tongue, benefit, about=about)


def _is_near(facts: Facts, programme: Programme, benefit: Benefit, rank: int | None) -> bool:
    """Say whether a benefit is the member's by the tier, which `rank` has it, or a segment."""
    mine = facts.standings[programme.code].state.rank
    return (rank is not None and rank <= mine) or is_for(facts, benefit)


def _to_claim(
    tongue: Tongue, facts: Facts, benefit: Benefit, lots: list[Entitlement]
) -> tuple[str, Row]:
    programme, _ = facts.catalogue.offers[benefit.code]
    available = sum(lot.available for lot in lots)
    ends = [lot.expires_at for lot in lots if lot.available and lot.expires_at is not None]
    count = count_of(programme, benefit, available)
    row = _row(tongue, benefit, about=tongue.text(benefit.about), count=count)
    if not ends:
        return "claim", row
    first = min(ends)
    day = last_day(first, programme)
    few = sum(lot.available for lot in lots if lot.expires_at == first)
    is_soon = first - facts.now <= SOON
    if few < available:
        words = n_("%(count)s valid through %(day)s, the rest longer")
    elif is_soon:
        words = n_("%(count)s valid through %(day)s")
    else:
        words = n_("Valid through %(day)s")
    about = tongue.say(words, count=count_of(programme, benefit, few), day=tongue.day(day))
    row = msgspec.structs.replace(row, about=about)
    if not is_soon:
        return "claim", row
    return "soon", _soon(tongue, programme, row, now=facts.now, end=first)


def _soon(tongue: Tongue, programme: Programme, row: Row, *, now: datetime, end: datetime) -> Row:
    """Return a row that says how many days are left."""
    days = (last_day(end, programme) - local_date(now, programme.tz)).days
    left = (n_("Last day today"), n_("Last day tomorrow"), n_("%(days)s days left"))
    badge = tongue.say(left[min(days, 2)], days=days + 1)
    return msgspec.structs.replace(row, badge=badge, tone="wait")


def group_of(claim: ClaimSeen, facts: Facts) -> str:
    """Return the group a claim is shown in."""
    _, benefit = facts.catalogue.offers[claim.benefit]
    state = OrderState(claim.state)
    if state in OPEN or (benefit.kind is Kind.PHYSICAL and state in USABLE):
        return "progress"
    if is_to_use(claim, benefit, facts.now):
        return "ready"
    if state in USABLE:
        was_shown = has_code(claim, benefit) or claim.use_until or claim.booked_for
        return "earlier" if was_shown else "used"
    return "used" if state is OrderState.REDEEMED else "returned"


def is_to_use(claim: ClaimSeen, benefit: Benefit, now: datetime) -> bool:
    """Say whether a delivered claim waits to be used.

    Where the provider tells of the use, it waits until then. Where it does not, nobody knows,
    and a code is taken to wait for a while. It waits no longer than it can be used (P-9). What is
    sent by post is on its way.
    """
    if OrderState(claim.state) not in USABLE or benefit.kind is Kind.PHYSICAL:
        return False
    if claim.booked_for is not None:
        return now < claim.booked_for + AFTER_TIME
    if claim.use_until is not None:
        return now < claim.use_until
    is_recent = now - claim.changed_at <= READY_FOR
    return benefit.consumed is Consumed.USE or (has_code(claim, benefit) and is_recent)


def delivered_word(benefit: Benefit) -> Message:
    """Return what a delivery is called: a top-up is credited, a gift is sent."""
    match benefit.kind:
        case Kind.DIRECT_TOPUP:
            return n_("Credited")
        case Kind.INTERNAL:
            return n_("Done")
        case Kind.PHYSICAL:
            return n_("On its way")
        case _:
            return n_("Delivered")


def used_word(benefit: Benefit) -> Message:
    """Return what a use is called: a gift is signed for."""
    return n_("Signed for") if benefit.kind is Kind.PHYSICAL else n_("Used")


def state_word(claim: ClaimSeen, benefit: Benefit, now: datetime) -> Message:
    """Return where a claim stands, as its own view says it."""
    if is_to_use(claim, benefit, now):
        return TITLES["ready"]
    if claim.state in _NEW:
        return delivered_word(benefit)
    if (over := over_word(claim)) is not None:
        return over
    if claim.ended_at is not None and claim.state == OrderState.EXPIRED.value:
        return NOT_USED
    if claim.state == OrderState.REDEEMED.value:
        return used_word(benefit)
    return STATE_WORDS[OrderState(claim.state)][1]


def has_code(claim: ClaimSeen, benefit: Benefit) -> bool:
    """Say whether a claim has a code that its member needs: a top-up's is only a receipt."""
    delivered = OrderState(claim.state) in DELIVERED
    return delivered and claim.has_code and benefit.kind is not Kind.DIRECT_TOPUP


def is_late(claim: ClaimSeen, now: datetime) -> bool:
    """Say whether a claim is under way for longer than usual."""
    return OrderState(claim.state) in OPEN and now - claim.claimed_at > LATE_AFTER


def _order(tongue: Tongue, facts: Facts, claim: ClaimSeen, group: str) -> Row:
    programme, benefit = facts.catalogue.offers[claim.benefit]
    tone, state = STATE_WORDS[OrderState(claim.state)][0], SHORT_WORDS[OrderState(claim.state)]
    name = tongue.text(benefit.name)
    if is_late(claim, facts.now):
        state = n_("Takes longer than usual")
    elif group in {"ready", "earlier"} and has_code(claim, benefit):
        state = n_("Show code")
    elif group == "ready":
        state = TITLES["ready"]
    elif claim.state in _NEW:
        state = delivered_word(benefit)
    elif (over := over_word(claim)) is not None:
        state = over
    elif claim.ended_at is not None and claim.state == OrderState.EXPIRED.value:
        state = NOT_USED
    elif claim.state == OrderState.REDEEMED.value:
        state = used_word(benefit)
    return Row(
        path=f"/claims/{claim.claim_id}",
        name=f"{name} × {claim.quantity}" if claim.quantity > 1 else name,
        about=tongue.moment(claim.claimed_at, programme.tz),
        badge=tongue.word(state),
        tone=tone,
    )
