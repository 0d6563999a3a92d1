"""A member's history in words: what came, what was claimed, what became of it, tiers."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain import units
from benefits.domain.auto_claims import PASSING
from benefits.domain.benefit import Benefit
from benefits.domain.catalogue import Catalogue
from benefits.domain.events import CANCELLED, NO_SHOW
from benefits.domain.orders import Reason
from benefits.domain.programme import Item, Programme
from benefits.domain.values import Month, local_date
from benefits.domain.waits import Reason as Ended
from benefits.store.pages import EventSeen
from benefits.web.page.shown import delivered_word, path_of
from benefits.web.page.shown_order import REASONS
from benefits.web.tongue import Message, Tongue, n_

KINDS: dict[str, tuple[Message, tuple[str, ...]]] = {
    "granted": (
        n_("Received"),
        (
            *("entitlement.granted", "entitlement.returned", "entitlement.made_good"),
            *("entitlement.received", "entitlement.converted", "member.merged"),
            "entitlement.extended",
        ),
    ),
    "claimed": (
        n_("Claimed and used"),
        (
            *("claim.placed", "order.issued", "order.confirmed", "order.partly_redeemed"),
            *("order.redeemed", "order.reversed", "order.settled", "order.kept"),
            *("wait.begun", "wait.ended"),
            "order.counted",
        ),
    ),
    "returned": (
        n_("Not delivered"),
        ("order.compensated", "order.expired", "order.revoked", "claim.refused"),
    ),
    "expired": (n_("Expired"), ("entitlement.expired",)),
    "corrected": (
        n_("Taken back by the bank"),
        (
            *("entitlement.revoked", "entitlement.clawed_back", "entitlement.debt_forgiven"),
            *("entitlement.reduced", "entitlement.restored"),
            "entitlement.debt_taken",
        ),
    ),
    "tier": (
        n_("Tier"),
        (
            *("tier.upgraded", "tier.downgraded", "tier.watched"),
            *("tier.retained", "tier.held", "tier.downgrade_scheduled", "tier.undetermined"),
            "tier.corrected",
            *("tier.ended", "tier.merged", "tier.welcomed", "tier.welcome_ended"),
        ),
    ),
}
SPANS: dict[str, tuple[Message, timedelta]] = {
    "30": (n_("Last 30 days"), timedelta(days=30)),
    "90": (n_("Last 90 days"), timedelta(days=90)),
    "365": (n_("Last 12 months"), timedelta(days=365)),
}
WORDS: dict[str, tuple[str, Message]] = {
    "entitlement.granted": ("good", n_("Received with your tier: %(count)s")),
    "entitlement.joined": ("good", n_("Received for your group of customers: %(count)s")),
    "entitlement.remade": ("good", n_("Received for a booking you cancelled: %(count)s")),
    "entitlement.righted": ("good", n_("Made good for a period that is over: %(count)s")),
    "entitlement.rewarded": ("good", n_("Received as a gift: %(count)s")),
    "entitlement.converted": ("good", n_("Chosen by you: %(count)s")),
    "claim.refused": (
        "wait",
        n_("Could not be claimed for you: %(count)s. You can claim it yourself."),
    ),
    "claim.left": ("wait", n_("Could not be claimed for you: %(count)s")),
    "entitlement.expired": ("plain", n_("Expired unused: %(count)s")),
    "entitlement.cut": ("plain", n_("Unused, beyond what can be kept: %(count)s")),
    "entitlement.returned": ("good", n_("Used units returned: %(count)s")),
    "entitlement.ended": ("plain", n_("Used units returned, but past their end: %(count)s")),
    "entitlement.replaced": ("good", n_("Used units returned, with new ones for them: %(count)s")),
    "entitlement.made_good": ("good", n_("Received for an order that failed: %(count)s")),
    "entitlement.revoked": ("plain", n_("Taken back by the bank: %(count)s")),
    "entitlement.reduced": ("plain", n_("Beyond what your new tier brings: %(count)s fewer")),
    "entitlement.restored": ("good", n_("Back with your higher tier: %(count)s")),
    "entitlement.clawed_back": ("plain", n_("Taken back by the bank: %(count)s")),
    "entitlement.owing": (
        "plain",
        n_("Taken back by the bank: %(count)s; to be paid from units to come: %(owed)s"),
    ),
    "entitlement.debt_forgiven": ("good", n_("No longer owed: %(count)s")),
    "entitlement.received": (
        "good",
        n_("Taken over from another of your customer numbers: %(count)s"),
    ),
    "entitlement.extended": ("good", n_("Valid for longer: %(count)s")),
    "entitlement.debt_taken": (
        "plain",
        n_(
            "Owed under another of your customer numbers, to be paid from units to come: %(count)s"
        ),
    ),
    "member.merged": ("plain", n_("Another of your customer numbers is one with this one now")),
    "order.settled": ("plain", n_("Settled by the bank, delivered: %(count)s of %(of)s")),
    "claim.placed": ("plain", n_("Claimed: %(count)s")),
    "wait.begun": ("wait", n_("Waiting until there is room: %(count)s")),
    "wait.served": ("good", n_("There was room for you: %(count)s")),
    "wait.cancelled": ("plain", n_("You no longer wait for it: %(count)s")),
    "wait.over": ("plain", n_("There was no room for you in time: %(count)s")),
    "wait.refused": ("bad", n_("There was room, but it could not be claimed: %(count)s")),
    "order.issued": ("good", n_("Delivered")),
    "order.confirmed": ("good", n_("Delivered")),
    "order.counted": ("plain", n_("Not delivered so far: %(count)s of %(of)s")),
    "order.partly_redeemed": ("good", n_("Partly used")),
    "order.redeemed": ("good", n_("Used")),
    "order.reversed": ("plain", n_("That it was used was undone")),
    "order.compensated": ("bad", n_("Not possible, units returned")),
    "order.expired": ("bad", n_("Ended: not sent, or not used, in time")),
    "order.missed": ("plain", n_("Booked and not used: counts as used")),
    "order.cancelled": ("plain", n_("Cancelled by you")),
    "order.kept": ("bad", n_("Not cancelled: the provider keeps the booking")),
    "order.revoked": ("bad", n_("Taken back by the provider")),
    "tier.upgraded": ("good", n_("%(tier)s from %(day)s: %(month)s reached it")),
    "tier.downgraded": ("plain", n_("%(tier)s from %(day)s: too many months below in a row")),
    "tier.watched": ("wait", n_("%(tier)s stays; %(month)s was below, in a row: %(misses)s")),
    "tier.retained": ("good", n_("%(tier)s stays: %(month)s reached it")),
    "tier.held": ("plain", n_("%(tier)s stays: %(month)s could not change it")),
    "tier.downgrade_scheduled": ("wait", n_("%(tier)s stays for now: its term ended below")),
    "tier.undetermined": ("plain", n_("%(tier)s stays: days of %(month)s are missing")),
    "tier.corrected": ("plain", n_("%(tier)s: %(month)s was decided anew")),
    "tier.ended": ("plain", n_("%(tier)s: the relationship ended")),
    "tier.merged": (
        "good",
        n_("%(tier)s: the higher tier of your two customer numbers"),
    ),
    "tier.welcomed": ("good", n_("%(tier)s as a welcome")),
    "tier.welcome_ended": ("plain", n_("%(tier)s: your welcome ended")),
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: on which day, and when on it."""

    name: str
    words: str
    tone: str
    day: str
    at: str
    instant: str
    path: str


def types_of(kind: str) -> list[str]:
    """Return the types of events of a kind; of all kinds when it is none."""
    chosen = [KINDS[kind]] if kind in KINDS else KINDS.values()
    return [type_ for _, types in chosen for type_ in types]


def since_of(span: str, now: datetime) -> datetime:
    """Return where a span of time begins; long ago when it is none."""
    return now - (SPANS[span][1] if span in SPANS else timedelta(days=36_500))


def entry(tongue: Tongue, catalogue: Catalogue, event: EventSeen) -> Entry:
    """Return an event in words."""
    if event.type.startswith("tier."):
        return _tier(tongue, catalogue, event)
    if event.type == "member.merged":
        return _merged(tongue, catalogue, event)
    data = event.data
    programme, item = _item(catalogue, data)
    tone, words = WORDS[_word(event)]
    if event.type == "order.issued" and isinstance(item, Benefit):
        words = delivered_word(item)
    told = data.get("missing", data.get("delivered", data["quantity"]))
    said = tongue.say(
        words,
        count=units.plain(told),
        of=units.plain(data["quantity"]),
        owed=units.plain(data.get("owed", 0)),
    )
    reason = str(data.get("reason", "")).upper()
    if event.type == "order.compensated" and reason in Reason.__members__:
        said += tongue.colon + tongue.word(REASONS[Reason[reason]])
    is_claim = event.type.startswith(("claim.placed", "order.", "entitlement.returned"))
    return Entry(
        name=tongue.text(item.name),
        words=said,
        tone=tone,
        day=tongue.day(local_date(event.recorded_at, programme.tz)),
        at=tongue.time(event.recorded_at, programme.tz),
        instant=event.recorded_at.isoformat(timespec="seconds"),
        path=f"/claims/{event.subject_id}" if is_claim else path_of(item),
    )


def _item(catalogue: Catalogue, data: Mapping[str, Any]) -> tuple[Programme, Item]:
    """Return what an event is of: a benefit, or units of a choice."""
    if code := data.get("benefit"):
        return catalogue.offers[code]
    if code := data.get("choice"):
        return catalogue.choices[code]
    found = catalogue.item_of(data["unit"])
    assert found is not None, "benefits and choices stay in their programme"
    return found


def _merged(tongue: Tongue, catalogue: Catalogue, event: EventSeen) -> Entry:
    tone, words = WORDS[event.type]
    return Entry(
        name=tongue.word(n_("Customer number")),
        words=tongue.word(words),
        tone=tone,
        day=tongue.day(local_date(event.recorded_at, catalogue.zone)),
        at=tongue.time(event.recorded_at, catalogue.zone),
        instant=event.recorded_at.isoformat(timespec="seconds"),
        path="",
    )


_GRANTED = {
    "REWARD": "entitlement.rewarded",
    "SEGMENT": "entitlement.joined",
    "MAKE_GOOD": "entitlement.remade",
}
_OVER = {
    ("order.expired", NO_SHOW): "order.missed",
    ("order.revoked", CANCELLED): "order.cancelled",
    **{("wait.ended", how.value): f"wait.{how.value.lower()}" for how in Ended},
}


def _is_id(period: str) -> bool:
    """Say whether a lot is for a claim, and not for a period."""
    try:
        return bool(UUID(period))
    except ValueError:
        return False


def _word(event: EventSeen) -> str:
    """Return under which key the words of an event stand: some depend on what it tells."""
    data = event.data
    if event.type == "claim.refused" and data["refusal"] not in PASSING:
        return "claim.left"
    if event.type == "entitlement.granted":
        is_of_line = data["cause"] == "MAKE_GOOD" and not _is_id(data["period"])
        return "entitlement.righted" if is_of_line else _GRANTED.get(data["cause"], event.type)
    if (over := (event.type, data.get("reason"))) in _OVER:
        return _OVER[over]
    if event.type == "entitlement.expired" and "cap" in data:
        return "entitlement.cut"
    if event.type == "entitlement.returned" and units.plain(data["made_good"]):
        return "entitlement.replaced"
    if event.type == "entitlement.returned" and units.plain(data["expired"]):
        return "entitlement.ended"
    if event.type == "entitlement.clawed_back" and units.plain(data["owed"]):
        return "entitlement.owing"
    return event.type


def _title(tongue: Tongue, catalogue: Catalogue, programme: Programme) -> str:
    title = tongue.word(KINDS["tier"][0])
    if len(catalogue.programmes) == 1:
        return title
    return title + tongue.colon + tongue.text(programme.name)


def _tier(tongue: Tongue, catalogue: Catalogue, event: EventSeen) -> Entry:
    data = event.data
    programme = catalogue.programmes[data["programme"]]
    names = {tier.code: tongue.text(tier.name) for tier in programme.tier}
    month = Month.parse(data["month"])
    tone, words = WORDS[event.type]
    return Entry(
        name=_title(tongue, catalogue, programme),
        words=tongue.say(
            words,
            tier=names[data["to"]],
            day=tongue.day(month.end),
            month=tongue.month(month),
            misses=data["misses"],
        ),
        tone=tone,
        day=tongue.day(local_date(event.recorded_at, programme.tz)),
        at=tongue.time(event.recorded_at, programme.tz),
        instant=event.recorded_at.isoformat(timespec="seconds"),
        path="",
    )
