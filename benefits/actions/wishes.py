"""What claims ask for, and where each takes: terms, limits' places, counters (K-1 to K-4)."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Self
from uuid import UUID

import msgspec

from benefits.actions.code_stock import shelf_of
from benefits.domain import entitlement, exclusions, limits
from benefits.domain.benefit import Benefit, Consumed
from benefits.domain.booking import Slots, slots
from benefits.domain.limits import WHENEVER, Limit, Place, Scope
from benefits.domain.orders import RedeemBy
from benefits.domain.programme import Programme
from benefits.domain.use import use_until
from benefits.domain.values import end_of, local_date
from benefits.store import labels, people
from benefits.store.counters import MemberCounter, SharedCounter
from benefits.store.db import Connection
from benefits.store.pool import Shelf


def stock_key(benefit: Benefit) -> SharedCounter:
    """Return the counter of a benefit's stock."""
    return (entitlement.stock_counter(benefit), WHENEVER)


def budget_key(budget: str) -> SharedCounter:
    """Return the counter of a budget."""
    return (entitlement.budget_counter(budget), WHENEVER)


def money_keys(programme: Programme, benefit: Benefit) -> list[SharedCounter]:
    """Return the counters that every claim of a benefit takes from: stock, and budgets."""
    keys = [budget_key(budget) for budget in programme.bearers[benefit.budget]]
    return keys if benefit.stock is None else [stock_key(benefit), *keys]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What all claims of a benefit at one instant share: the day's windows, counters, costs.

    What is `asked` for takes its own units; it is served by the `benefit`, which replaces it where
    its contract ends (V-6), and whose terms hold. `piece` and `cap_limit` are in the ledger's
    steps. Claims of others in its exclusion group count at the places `others`.
    """

    programme: Programme
    asked: Benefit
    benefit: Benefit
    now: datetime
    today: date
    window: str
    piece: int
    cap_limit: int | None
    piece_cost: int
    limits: tuple[Limit, ...]
    others: tuple[Place, ...] = ()

    @classmethod
    def of(cls, programme: Programme, asked: Benefit, now: datetime) -> Self:
        """Work them out for an instant."""
        today = local_date(now, programme.tz)
        benefit = programme.serving(asked, today)
        cap = benefit.cap
        return cls(
            programme=programme,
            asked=asked,
            benefit=benefit,
            now=now,
            today=today,
            window="" if cap is None else limits.window_key(cap.window, today),
            piece=programme.piece(benefit),
            cap_limit=entitlement.cap_limit(programme, benefit),
            piece_cost=programme.minor(benefit.cost),
            limits=programme.limits[benefit.code],
            others=exclusions.others(programme, benefit),
        )

    @property
    def unit(self) -> str:
        """The ledger's unit that a claim takes."""
        return self.asked.unit

    @property
    def instead_of(self) -> str:
        """The code of what is asked for, where something else is delivered."""
        return "" if self.benefit is self.asked else self.asked.code

    @property
    def group(self) -> Place | None:
        """Where a claim counts in the benefit's exclusion group, if it has one."""
        return exclusions.place_of(self.benefit, programme=self.programme.code)

    @property
    def use_until(self) -> datetime | None:
        """When what is claimed now can be used no more; None where that is not said (P-9)."""
        if self.benefit.use is None:
            return None
        zone = self.programme.tz
        return use_until(self.benefit.use, self.now, self.benefit.contract_end, zone)

    def ends_at(self, booked_for: datetime | None) -> datetime | None:
        """Return when an order made now ends by our clock, unused: where we hear of uses."""
        told = self.programme.providers[self.benefit.provider].capabilities.redeem_by
        by_use = self.benefit.consumed is Consumed.USE or self.benefit.is_paid_by_use
        if not by_use and told is not RedeemBy.US:
            return None
        if self.benefit.booking is not None and booked_for is not None:
            return self.benefit.booking.missed_at(booked_for)
        use, until = self.benefit.use, self.use_until
        return None if use is None or until is None else until + timedelta(days=use.late_days)

    @property
    def slots(self) -> Slots | None:
        """For which times a claim made now can be; None where it is for none (V-10)."""
        if self.benefit.booking is None:
            return None
        ends, over = self.use_until, self.benefit.contract_end
        if ends is None and over is not None:
            ends = end_of(over, self.programme.tz)
        return slots(self.benefit.booking, self.now, ends, self.programme.tz)

    @property
    def shelf(self) -> Shelf | None:
        """From which codes in stock a claim takes; None where a provider is asked (V-1)."""
        return shelf_of(self.programme, self.benefit, self.now, self.use_until)

    def cap(self, member_id: UUID) -> MemberCounter:
        """Name the counter of a member's units in the current window."""
        return (member_id, entitlement.cap_counter(self.benefit.code), self.window)

    def places(self, whose: "Whose") -> tuple[tuple[Limit, Place], ...]:
        """Return where a claim of a member takes room, in the order in which it is asked."""
        found = list[tuple[Limit, Place]]()
        for limit in self.limits:
            label = "" if limit.segment is None else limit.segment.key
            if label and label not in whose.labels:
                continue
            match limit.scope:
                case Scope.MEMBER | Scope.PROGRAMME:
                    of = ""
                case Scope.PERSON:
                    of = whose.person.hex
                case Scope.SEGMENT:
                    of = label
                case Scope.BRANCH:
                    of = whose.branch
                case Scope.BENEFIT:
                    of = self.benefit.code
                case Scope.PROVIDER:
                    of = self.benefit.provider
            programme = self.programme.code
            at = limits.place(limit, self.now, self.today, programme=programme, of=of)
            found.append((limit, at))
        return tuple(found)


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """By what a member shares room: as which person, of which branch, with which labels.

    Of whom no identity document is known the `person` is the member.
    """

    person: UUID
    branch: str = ""
    labels: Collection[str] = ()


class Wish(msgspec.Struct, frozen=True):
    """Whose claim is decided, under which terms, and where it takes room."""

    member_id: UUID
    terms: Terms
    places: tuple[tuple[Limit, Place], ...] = ()

    @property
    def takes(self) -> tuple[Place, ...]:
        """All places that are kept with the claim: of limits, and of its exclusion group."""
        limited, group = (place for _, place in self.places), self.terms.group
        return (*limited,) if group is None else (*limited, group)


async def of(
    conn: Connection, wanted: Iterable[tuple[UUID, Terms]], branches: Mapping[UUID, str]
) -> list[Wish]:
    """Return claims with the places in which they take room, by person, branch and labels."""
    pairs = list(wanted)
    limited = [limit for _, terms in pairs for limit in terms.limits]
    asked = {limit.segment.label for limit in limited if limit.segment is not None}
    ids = {member_id for member_id, _ in pairs}
    carried = dict[UUID, frozenset[str]]()
    if asked:
        carried = await labels.carried(conn, ids, asked, pairs[0][1].today)
    persons = dict[UUID, UUID]()
    if any(limit.scope is Scope.PERSON for limit in limited):
        persons = await people.persons(conn, ids)
    whose = {
        id_: Whose(
            person=persons.get(id_, id_),
            branch=branches[id_],
            labels=carried.get(id_, frozenset()),
        )
        for id_ in ids
    }
    return [Wish(id_, terms, terms.places(whose[id_])) for id_, terms in pairs]
