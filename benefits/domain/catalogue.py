"""The catalogue: all programmes in force, and which version of each decides which month (U-1).

One catalogue follows another as versions begin: a `Plan` has all that are known.
"""

from bisect import bisect
from datetime import date, datetime
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain import topics
from benefits.domain.benefit import UNITS, Benefit
from benefits.domain.calendars import NO_CALENDAR, Calendar
from benefits.domain.choice import CHOICES, Choice
from benefits.domain.currencies import DIGITS
from benefits.domain.limits import Budget
from benefits.domain.metrics import Basket
from benefits.domain.orders import Capabilities
from benefits.domain.policy import UpgradeTiming
from benefits.domain.programme import Item, Programme, Provider
from benefits.domain.units import Quantity
from benefits.domain.values import Month
from benefits.domain.welcome import Welcome, Welcoming


class Judge(msgspec.Struct, frozen=True):
    """A version of a programme, the first month whose tiers it decides, and its calendar."""

    version: int
    tiers_from: Month
    programme: Programme
    calendar: Calendar = NO_CALENDAR


class Rules(msgspec.Struct, frozen=True, dict=True):
    """By which version of a programme each month's tiers are decided, earliest first (U-1).

    And what any version that was in force welcomed new customers to, whichever judges (M-8).
    """

    judges: tuple[Judge, ...]
    welcomes: tuple[Welcoming, ...] = ()

    def at(self, month: Month) -> Judge:
        """Return the version that decides a month; months before the first have the first."""
        for judge in reversed(self.judges):
            if judge.tiers_from <= month:
                return judge
        return self.judges[0]

    def welcome(self, opened_on: date) -> Welcome | None:
        """Return what welcomes whoever opens on a day: as in force, or as judges its month."""
        for one in reversed(self.welcomes):
            if one.first <= opened_on <= one.last:
                return one.welcome
        return self.at(Month.of(opened_on)).programme.policy.welcome

    @property
    def programme(self) -> str:
        """The programme's code."""
        return self.judges[0].programme.code

    @property
    def baskets(self) -> list[Basket]:
        """What any of the versions counts for any of its metrics."""
        each = (basket for judge in self.judges for basket in judge.programme.baskets)
        return list(dict.fromkeys(each))

    @property
    def feeds(self) -> list[str]:
        """The sources that make days known for any of the versions (A-2)."""
        return sorted({source for judge in self.judges for source in judge.programme.feeds})

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels, with their layers, that any of the versions asks for (T-2)."""
        return frozenset(key for judge in self.judges for key in judge.programme.ladder.labels)

    @cached_property
    def topics(self) -> list[str]:
        """The topics of which news may change what any of the versions decided (A-7)."""
        found = {topics.MERGERS, *map(topics.of_label, self.labels)}
        named = {judge.programme.policy.calendar for judge in self.judges}
        found.update(topics.of_calendar(name) for name in named if name)
        for basket in self.baskets:
            found.update(map(topics.of_balances, basket.currencies))
            if basket.joint:
                found.add(topics.HOLDERS)
        return sorted(found)

    @cached_property
    def locks_early(self) -> bool:
        """Whether a tier with a lock may rise within a month, by any of the versions (T-5)."""
        early = [
            judge.programme.ladder
            for judge in self.judges
            if judge.programme.policy.upgrade is not UpgradeTiming.NEXT_PERIOD
        ]
        return any(way.term.lock for ladder in early for rung in ladder.rungs for way in rung)


class Taker(msgspec.Struct, frozen=True):
    """A benefit that takes a unit of so many decimals, and how much each piece takes (C-2)."""

    benefit: Benefit
    scale: int
    takes: Quantity


class Catalogue(msgspec.Struct, frozen=True, dict=True):
    """All programmes in force, under the configuration's version number.

    `begun` has their codes in the order in which their versions came into force.
    """

    version: int
    programmes: dict[str, Programme]
    programme_versions: dict[str, int] = {}
    rules: dict[str, Rules] = {}
    begun: tuple[str, ...] = ()

    @cached_property
    def offers(self) -> dict[str, tuple[Programme, Benefit]]:
        """Every benefit by its code, with its programme; codes are unique in an installation."""
        return {
            benefit.code: (programme, benefit)
            for programme in self.programmes.values()
            for benefit in programme.benefit
        }

    @cached_property
    def providers(self) -> dict[str, Provider]:
        """Every provider by its code; of several programmes the one that came into force last."""
        return {
            code: provider
            for programme in self.begun or self.programmes
            for code, provider in self.programmes[programme].providers.items()
        }

    @cached_property
    def capabilities(self) -> dict[str, Capabilities]:
        """What each provider can do, by its code."""
        return {code: provider.capabilities for code, provider in self.providers.items()}

    @cached_property
    def skus(self) -> frozenset[tuple[str, str]]:
        """What is ordered: (provider, SKU) of every benefit."""
        return frozenset((benefit.provider, benefit.sku) for _, benefit in self.offers.values())

    @cached_property
    def laneless(self) -> list[str]:
        """The providers that take several calls for one member and SKU at a time."""
        return sorted(code for code, able in self.capabilities.items() if not able.lane)

    @cached_property
    def choices(self) -> dict[str, tuple[Programme, Choice]]:
        """Every choice by its code, with its programme; no benefit has the same code."""
        return {
            choice.code: (programme, choice)
            for programme in self.programmes.values()
            for choice in programme.choice
        }

    @cached_property
    def items(self) -> dict[str, tuple[Programme, Item]]:
        """All that units are of, benefits and choices, by their codes: one space of them."""
        return {**self.offers, **self.choices}

    def item_of(self, unit: str) -> tuple[Programme, Benefit | Choice] | None:
        """Return what a unit is of, with its programme; None for money."""
        if unit.startswith(CHOICES):
            return self.choices.get(unit.removeprefix(CHOICES))
        return self.offers.get(unit.removeprefix(UNITS))

    @cached_property
    def of_unit(self) -> dict[str, list[Taker]]:
        """The benefits that take each unit: the one it is of and those that draw it (C-2)."""
        found = dict[str, list[Taker]]()
        for programme, benefit in self.offers.values():
            takes = programme.whole(benefit, programme.piece(benefit))
            taker = Taker(benefit, programme.scale(benefit), takes)
            found.setdefault(benefit.unit, []).append(taker)
        return found

    def whole(self, unit: str, amount: int) -> Quantity:
        """Return an amount of a unit in whole units; of money it stays in minor units (C-2)."""
        offer = self.offers.get(unit.removeprefix(UNITS))
        return offer[0].whole(offer[1], amount) if offer else amount

    @cached_property
    def budgets(self) -> dict[str, tuple[Programme, Budget]]:
        """Every budget by its code, with its programme; codes are unique in an installation."""
        return {
            budget.code: (programme, budget)
            for programme in self.programmes.values()
            for budget in programme.budget
        }

    @cached_property
    def zone(self) -> ZoneInfo:
        """The zone of the books: all programmes of an installation share it (L-11)."""
        return next((programme.tz for programme in self.programmes.values()), ZoneInfo("UTC"))

    @cached_property
    def digits(self) -> dict[str, int]:
        """How many decimals each currency has; programmes of one currency agree."""
        return DIGITS | {p.currency: p.minor_digits for p in self.programmes.values()}


class Plan(msgspec.Struct, frozen=True, eq=False):
    """The catalogues of one configuration: one until `starts` begin, then one from each on."""

    catalogues: tuple[Catalogue, ...]
    starts: tuple[datetime, ...] = ()

    @property
    def version(self) -> int:
        """The configuration's version number."""
        return self.catalogues[0].version

    def at(self, now: datetime) -> Catalogue:
        """Return the catalogue in force at an instant: always the same one for a time (U-1)."""
        return self.catalogues[bisect(self.starts, now)]

    def ahead(self, now: datetime) -> list[tuple[datetime, Catalogue, Catalogue]]:
        """Return the instants to come at which another catalogue begins, with the one before."""
        steps = zip(self.starts, pairwise(self.catalogues), strict=True)
        return [(start, before, after) for start, (before, after) in steps if start > now]

    def coming(self, now: datetime) -> list[Programme]:
        """Return the versions that begin after an instant, in their order."""
        return [
            programme
            for _, before, after in self.ahead(now)
            for code, programme in after.programmes.items()
            if before.programmes.get(code) is not programme
        ]

    @property
    def rules(self) -> list[Rules]:
        """Return the rules of all programmes, as they are now and as they will be."""
        return [rules for one in self.catalogues for rules in one.rules.values()]

    def others(self, code: str) -> list[Programme]:
        """Return the programmes but one, each as it is now and as it will be."""
        found = (each for one in self.catalogues for each in one.programmes.values())
        return [*{id(each): each for each in found if each.code != code}.values()]
