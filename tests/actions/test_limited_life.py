"""A random life under limits of many windows and a tree of budgets, against plain counting."""

import asyncio
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benefits.domain.corrections import Kind
from benefits.domain.limits import Budget, CapWindow, Dimension, Scope, instant_key
from benefits.domain.orders import Done, Reason, Rejected, Used
from benefits.domain.prices import Price, PricedAt
from benefits.domain.values import local_date
from tests import builders
from tests.actions.desk import correct
from tests.actions.life import call_back, change, decide, gift, give, number_of, said, wish
from tests.actions.limiting import limit, programme_of, rich, windows
from tests.builders import World, reference_programme
from tests.conftest import database

COSTS = {"LOUNGE": 3800, "VIDEO": 1500}
CHEAPER = Price(from_=date(2025, 7, 6), cost=Decimal("12.50"))  # what VIDEO costs when it is used
TOTALS = {"head": 40_000, "lounge": 30_000, "video": 10_000}
BRANCHES = ("north", "north", "")
DAYS, OFTEN, LATELY = timedelta(days=3), 4, 6
LIMITS = (
    limit("all", 9),
    limit("cost", "220.00", dimension=Dimension.COST, window=CapWindow.WEEK),
    limit("mine", 3, Scope.MEMBER, window=CapWindow.DAY),
    limit("often", OFTEN, Scope.MEMBER, days=3),
    limit("place", 7, Scope.BRANCH, window=CapWindow.YEAR),
    limit("video", 3, Scope.BENEFIT, benefits=("VIDEO",)),
    limit("lately", LATELY, days=5),
    limit("spent", "150.00", dimension=Dimension.COST, days=2),
)
OF_COST = {"limit:cost", "limit:spent:ROLLING"}
BUDGETS = (
    Budget(code="head", total=Decimal(400)),
    Budget(code="lounge", total=Decimal(300), parent="head"),
    Budget(code="video", total=Decimal(100), parent="head"),
)
STEP = st.one_of(
    st.tuples(
        st.just("claim"),
        st.integers(0, 2),
        st.sampled_from(["LOUNGE", "VIDEO"]),
        st.integers(1, 3),
    ),
    st.tuples(
        st.sampled_from(["refuse", "deliver", "late", "reverse"]),
        st.integers(0, 20),
        st.none(),
        st.integers(1, 2),
    ),
    st.tuples(st.just("wait"), st.integers(1, 60), st.none(), st.none()),
)
Step = tuple[str, int, Any, Any]


class Claimed(msgspec.Struct):
    """A claim as the model knows it: `left` of its pieces count while it is open or used."""

    id_: UUID
    member: int
    benefit: str
    at: datetime
    left: int
    state: str = "open"
    paid: int = 0

    @property
    def counts(self) -> int:
        """The pieces that take room."""
        return self.left if self.state in {"open", "used"} else 0


def _holds(events: list[tuple[datetime, int]], days: timedelta, most: int) -> bool:
    """Say whether no window of so many days that ends with an event holds more than that."""
    return all(
        sum(amount for at, amount in events if end - days < at <= end) <= most for end, _ in events
    )


class Life:
    """One installation, and what plain counting says of it."""

    def __init__(self, world: World, members: list[UUID]) -> None:
        """Begin with nothing claimed."""
        self.world = world
        self.members = members
        self.claims: list[Claimed] = []

    def rooms(self, one: Claimed) -> list[tuple[str, str]]:
        """Return where a claim takes room in calendar windows."""
        day = local_date(one.at, reference_programme().tz)
        year, week, _ = day.isocalendar()
        found = [
            ("limit:all", f"{day:%Y-%m}"),
            ("limit:cost", f"{year}-W{week:02d}"),
            (f"mine {one.member}", day.isoformat()),
            ("limit:lately:ROLLING", instant_key(one.at)),
            ("limit:spent:ROLLING", instant_key(one.at)),
        ]
        branch = BRANCHES[one.member]
        found.append((f"limit:place:{branch}" if branch else "limit:place", f"{day:%Y}"))
        if one.benefit == "VIDEO":
            found.append(("limit:video:VIDEO", f"{day:%Y-%m}"))
        return found

    def taken(self, claims: list[Claimed]) -> Counter[tuple[str, str]]:
        """Return what claims take of each window."""
        found = Counter[tuple[str, str]]()
        for one in claims:
            for key in self.rooms(one):
                found[key] += one.counts * (COSTS[one.benefit] if key[0] in OF_COST else 1)
        return found

    def spent(self, claims: list[Claimed]) -> dict[str, int]:
        """Return what claims take of each budget."""
        own = Counter[str]()
        for one in claims:
            cost = one.paid if one.state == "used" else COSTS[one.benefit]
            own[one.benefit.lower()] += one.counts * cost
        return {"head": own["lounge"] + own["video"], **{c: own[c] for c in ("lounge", "video")}}

    def answer(self, new: Claimed) -> str:
        """Return what a claim must be told, with all that is taken beside it."""
        claims = [*self.claims, new]
        most = {"limit:all": 9, "limit:cost": 22_000, "limit:video:VIDEO": 3}
        most |= {"limit:place": 7, "limit:place:north": 7, "mine 0": 3, "mine 1": 3, "mine 2": 3}
        mine = [one for one in claims if one.member == new.member]
        often = _holds([(one.at, one.counts) for one in mine], DAYS, OFTEN)
        lately = _holds([(one.at, one.counts) for one in claims], timedelta(days=5), LATELY)
        costs = [(one.at, one.counts * COSTS[one.benefit]) for one in claims]
        rolling = often and lately and _holds(costs, timedelta(days=2), 15_000)
        taken = self.taken(claims)
        rooms = [key for key in self.rooms(new) if key[0] in most]
        if not rolling or any(taken[key] > most[key[0]] for key in rooms):
            return "cap_reached"
        if any(amount > TOTALS[code] for code, amount in self.spent(claims).items()):
            return "budget_exhausted"
        return "ok"

    async def step(self, step: Step) -> None:
        """Do one thing, and hold what is said against the counting."""
        what, number, benefit, quantity = step
        if what == "wait":
            self.world.clock.forward(hours=number)
            return
        if what == "claim":
            await self.claim(number, benefit, quantity)
            return
        if not self.claims:
            return
        one = self.claims[number % len(self.claims)]
        now = self.world.clock.now
        day = local_date(now, reference_programme().tz)
        is_cheaper = one.benefit == "VIDEO" and day >= CHEAPER.from_
        paid = 1250 if is_cheaper else COSTS[one.benefit]
        used = (Done(at=now), Used(at=now))
        match what, one.state:
            case "refuse", "open":
                one.state = "refused"
                refused = Rejected(Reason.LIMIT, "limit")
                await call_back(self.world, await number_of(self.world, one.id_), refused, refused)
            case "deliver", "open":
                one.state, one.paid = "used", paid
                await call_back(self.world, await number_of(self.world, one.id_), *used, *used)
            case "late", "refused":
                again = msgspec.structs.replace(one, state="used", paid=COSTS[one.benefit])
                others = [each for each in self.claims if each is not one]
                room = Life(self.world, self.members)
                room.claims = others
                one.state = "used" if room.answer(again) == "ok" else "lost"
                one.paid = paid
                await call_back(self.world, await number_of(self.world, one.id_), *used)
            case "reverse", "used" if one.left >= quantity:
                one.left -= quantity
                member = self.members[one.member]
                assert "ok" == await correct(
                    self.world, Kind.REVERSE, member, quantity, claim_id=one.id_
                )

    async def claim(self, member: int, benefit: str, quantity: int) -> None:
        """Claim, and be told what the counting says."""
        at = self.world.clock.now
        new = Claimed(UUID(int=0), member, benefit, at, quantity)
        along = quantity - 1 if benefit == "VIDEO" else 0  # a companion is a piece like any other
        wanted = wish(self.members[member], benefit, quantity=quantity - along, companions=along)
        (outcome,) = await decide(self.world, wanted)
        assert self.answer(new) == said(outcome)
        if said(outcome) == "ok":
            new.id_ = UUID(outcome.ids["claim_id"])  # type: ignore[union-attr]  # accepted
            self.claims.append(new)

    async def compare(self) -> None:
        """Hold every counter against the counting; no limit and no budget is exceeded."""
        taken = self.taken(self.claims)
        shared = {key: n for key, n in taken.items() if key[0].startswith("limit:") and n}
        assert shared == {key: n for key, n in (await windows(self.world)).items() if n}
        found = await self.world.rows(
            "SELECT counter, reserved, spent FROM counter WHERE counter LIKE 'budget:%'"
        )
        spent = {row.counter.removeprefix("budget:"): row.reserved + row.spent for row in found}
        assert self.spent(self.claims) == spent
        assert all(amount <= TOTALS[code] for code, amount in spent.items())
        assert [] == await self.world.findings()


async def live(dsn: str, template: str, steps: list[Step]) -> None:
    """Live the steps in an installation of their own."""
    async with database(dsn, template) as made, builders.world(made) as world:
        video = {"companions": {"BASE": 2}, "prices": (CHEAPER,), "priced_at": PricedAt.USE}
        await world.apply(programme_of(*LIMITS, budgets=BUDGETS, **video))
        members = [await rich(world) for _ in BRANCHES]
        for member, branch in zip(members, BRANCHES, strict=True):
            await give(world, gift(member, quantity=100, valid_days=3660))
            await change(
                world, f"UPDATE member SET branch = '{branch}' WHERE member_id = '{member}'"
            )
        life = Life(world, members)
        for step in steps:
            await life.step(step)
        await life.compare()
        assert world.clock.now.date() >= date(2025, 7, 2)


def test_no_window_or_budget_is_exceeded_and_all_comes_back_once(
    cluster_dsn: str, migrated: str
) -> None:
    """Claims, refusals, late deliveries and reversals over weeks (3.18, 6 and 11)."""

    @settings(
        max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.lists(STEP, min_size=10, max_size=40))
    def lived(steps: list[Step]) -> None:
        asyncio.run(live(cluster_dsn, migrated, steps))

    lived()
