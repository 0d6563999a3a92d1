"""What a member has, as the page shows it: every amount, date and state already in words."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal
from uuid import uuid4

import msgspec

from benefits.domain.catalogue import Benefit, Catalogue, Programme
from benefits.domain.orders import OrderState
from benefits.domain.tiers import display_average
from benefits.domain.values import Month, local_date, period_of
from benefits.web.mobile import BenefitsView, BenefitView, ClaimView, ProgrammeView
from benefits.web.tongue import Message, Tongue, n_

STATE_WORDS: dict[str, tuple[str, Message]] = {
    OrderState.HELD.value: ("wait", n_("Accepted")),
    OrderState.SUBMITTED.value: ("wait", n_("Sent to the provider")),
    OrderState.PENDING.value: ("wait", n_("The provider is working on it")),
    OrderState.UNKNOWN.value: ("wait", n_("Waiting for the provider to confirm")),
    OrderState.MANUAL.value: ("wait", n_("We are looking into it")),
    OrderState.ISSUED.value: ("good", n_("Delivered")),
    OrderState.REDEEMED.value: ("good", n_("Used")),
    OrderState.COMPENSATED.value: ("bad", n_("Not possible, units returned")),
    OrderState.EXPIRED.value: ("bad", n_("Not sent in time, units returned")),
    OrderState.REVOKED.value: ("bad", n_("Taken back by the provider")),
}


class Field(msgspec.Struct, frozen=True):
    """What an input for one of the recipient's fields looks like."""

    label: Message
    type: str = "text"
    inputmode: str = "text"
    autocomplete: str = "off"
    pattern: str = ""
    hint: Message = ""


FIELDS: dict[str, Field] = {
    "phone": Field(
        n_("Mobile number"),
        type="tel",
        inputmode="tel",
        autocomplete="tel",
        pattern=r"\+?[0-9 \-]{5,20}",
        hint=n_("Digits only, for example 13800000000"),
    ),
    "name": Field(n_("Name"), autocomplete="name"),
    "email": Field(n_("Email"), type="email", inputmode="email", autocomplete="email"),
    "address": Field(n_("Address"), autocomplete="street-address"),
    "plate": Field(n_("Car plate")),
    "account": Field(n_("Account at the provider")),
}


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """What the running month still asks for the next tier, in words; `more` may be empty."""

    kind: Literal["needed", "certain", "missed"]
    tier: str
    threshold: str
    percent: int
    month: str
    known_days: int
    days: int
    average: str
    needed: str
    more: str
    from_day: str


class TierCard(msgspec.Struct, frozen=True, kw_only=True):
    """A programme's standing as the page shows it; `pending` names a month not evaluated yet."""

    programme: str
    tier: str
    rank: int
    since: str
    why: str
    pending: str
    ahead: Ahead | None


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit and the form that claims a unit of it; `key` is the form's idempotency key."""

    code: str
    name: str
    about: str
    fields: list[tuple[str, Field]]
    key: str
    available: int = 0
    held: int = 0
    lots: list[tuple[int, str]] = []
    renewal: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A claim and where it stands, in words."""

    name: str
    quantity: int
    tone: str
    state: str
    at: str
    instant: str


class Shown:
    """What a member has, put into the words of a language."""

    def __init__(self, tongue: Tongue, catalogue: Catalogue, view: BenefitsView) -> None:
        """Take what the API would tell, and the catalogue it stems from."""
        self._tongue = tongue
        self._catalogue = catalogue
        self._view = view

    def cards(self) -> list[TierCard]:
        """Return the tier in each programme."""
        return [self._card(standing) for standing in self._view.programmes]

    def _card(self, standing: ProgrammeView) -> TierCard:
        tongue, tier = self._tongue, standing.tier
        programme = self._catalogue.programmes[standing.code]
        before = Month.parse(standing.progress.month).plus(-1)
        since = tier.since and tongue.day(local_date(tier.since, programme.tz))
        return TierCard(
            programme=tongue.text(standing.name),
            tier=tongue.text(tier.name),
            rank=tier.rank,
            since=since or "",
            why=tongue.text(tier.why),
            pending=tongue.month(before) if standing.evaluation_pending else "",
            ahead=self._ahead(programme, standing),
        )

    def _ahead(self, programme: Programme, standing: ProgrammeView) -> Ahead | None:
        tongue, progress = self._tongue, standing.progress
        if progress.next_tier is None or progress.threshold_minor is None:
            return None
        month, needed = Month.parse(progress.month), progress.needed_daily_minor
        average = display_average(progress.sum_minor, max(progress.known_days, 1))
        more = needed - average if needed and progress.known_days else 0
        whole = progress.threshold_minor * max(progress.known_days, 1)
        following = next(t for t in programme.tier if t.code == progress.next_tier)
        return Ahead(
            kind="missed" if needed is None else "needed" if needed else "certain",
            tier=tongue.text(following.name),
            threshold=tongue.money(progress.threshold_minor, programme),
            percent=100 if needed == 0 else min(99, progress.sum_minor * 100 // whole),
            month=tongue.month(month),
            known_days=progress.known_days,
            days=progress.days,
            average=tongue.money(average, programme),
            needed=tongue.money(needed or 0, programme),
            more=tongue.money(more, programme) if more > 0 else "",
            from_day=tongue.day(month.end),
        )

    def offers(self) -> list[Offer]:
        """Return the benefits with units, then those whose units of this period are spent."""
        units = {view.code: view for view in self._view.benefits}
        offers = [
            self._offer(self._catalogue.offers[code][1], view) for code, view in units.items()
        ]
        spent = [benefit for benefit in self._of_tier() if benefit.code not in units]
        return offers + [self._offer(benefit, None) for benefit in spent]

    def _of_tier(self) -> Iterator[Benefit]:
        for standing in self._view.programmes:
            programme = self._catalogue.programmes[standing.code]
            granted = {n.benefit for n in programme.line if standing.tier.code in n.quota}
            yield from (benefit for benefit in programme.benefit if benefit.code in granted)

    def _offer(self, benefit: Benefit, view: BenefitView | None) -> Offer:
        offer = blank_offer(self._tongue, benefit)
        if view is None:
            return msgspec.structs.replace(offer, renewal=self._renewal(benefit))
        programme, _ = self._catalogue.offers[benefit.code]
        lots = dict[str, int]()
        for lot in view.lots:
            through = ""
            if lot.expires_at is not None:  # usable while now < expires_at
                last = local_date(lot.expires_at - timedelta(microseconds=1), programme.tz)
                through = self._tongue.day(last)
            lots[through] = lots.get(through, 0) + lot.available
        return msgspec.structs.replace(
            offer,
            available=view.available,
            held=view.held,
            lots=[(count, through) for through, count in lots.items() if count],
            renewal="" if view.available else self._renewal(benefit),
        )

    def _renewal(self, benefit: Benefit) -> str:
        """Return the day on which the member's tier brings new units, if it does."""
        programme, _ = self._catalogue.offers[benefit.code]
        today = local_date(self._view.as_of, programme.tz)
        tier = next(s.tier.code for s in self._view.programmes if s.code == programme.code)
        ends = [
            period_of(today, line.period).end
            for line in programme.line
            if line.benefit == benefit.code and tier in line.quota
        ]
        return self._tongue.day(min(ends)) if ends else ""

    def orders(self) -> list[Order]:
        """Return the latest claims."""
        return [self._order(claim) for claim in self._view.claims]

    def _order(self, claim: ClaimView) -> Order:
        tone, state = STATE_WORDS[claim.state]
        programme, _ = self._catalogue.offers[claim.benefit]
        return Order(
            name=self._name(claim.benefit),
            quantity=claim.quantity,
            tone=tone,
            state=self._tongue.word(state),
            at=self._tongue.moment(claim.claimed_at, programme.tz),
            instant=claim.claimed_at.isoformat(timespec="seconds"),
        )

    def done(self, claim_id: str) -> str:
        """Return the name of what a claim of this member was for, or nothing."""
        names = (self._name(c.benefit) for c in self._view.claims if str(c.id) == claim_id)
        return next(names, "")

    def _name(self, benefit: str) -> str:
        return self._tongue.text(self._catalogue.offers[benefit][1].name)


def blank_offer(tongue: Tongue, benefit: Benefit) -> Offer:
    """Return a benefit with a form of its own, before anything is known of units."""
    return Offer(
        code=benefit.code,
        name=tongue.text(benefit.name),
        about=tongue.text(benefit.about),
        fields=[(name, FIELDS.get(name, Field(name))) for name in benefit.recipient],
        key=uuid4().hex,
    )
