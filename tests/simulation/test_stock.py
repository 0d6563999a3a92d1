"""Codes in stock, whoever is killed: each claim has its own, and what was seen is nobody else's.

No wire is between us and a stock of codes: what can go wrong is that a process ends, at any
statement of a claim, a look, an import or a correction, and that all of it is asked again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benefits.actions.claim import claim
from benefits.actions.keyed import Accepted
from benefits.actions.read_code import CodeAbsent, SecondLook, read_code
from benefits.domain.corrections import Kind, Why
from benefits.domain.refusal import Refusal
from benefits.store.db import Connection
from tests import builders
from tests.actions.desk import correct
from tests.actions.test_code_pool import bring, coffee, drinker, with_coffee
from tests.builders import World
from tests.conftest import database
from tests.lives import TIMES
from tests.simulation.kill import Cut, KilledError, killed
from tests.simulation.life import CUTS

CODES = "SELECT claim_id, count(*) AS codes FROM pool_code WHERE claim_id IS NOT NULL GROUP BY 1"


class Step(NamedTuple):
    """What is done, of which claim or member, how many, and where it is cut."""

    word: str
    which: int
    many: int
    cut: Cut | None


STEPS = st.builds(
    Step,
    st.sampled_from(["again"] + ["claim"] * 4 + ["look", "look", "bring", "give_back"]),
    st.integers(0, 5),
    st.integers(1, 3),
    st.one_of(st.none(), CUTS),
)


class Stock:
    """Two members, a stock, and what they saw of it."""

    def __init__(self, world: World, members: list[UUID]) -> None:
        """Begin with nothing seen."""
        self.world, self.members = world, members
        self.wishes = list[Any]()
        self.claims = list[UUID]()
        self.seen = dict[str, UUID]()
        self.given_back = set[UUID]()
        self.brought = 0

    async def take(self, step: Step) -> None:
        """Take a step; what was killed is done again at the end, or never."""
        await getattr(self, f"_{step.word}")(step)

    async def _claim(self, step: Step) -> None:
        member = self.members[step.which % len(self.members)]
        self.wishes.append(coffee(member, quantity=step.many))
        await self.ask(self.wishes[-1], step.cut)

    async def _again(self, step: Step) -> None:
        if self.wishes:
            await self.ask(self.wishes[step.which % len(self.wishes)], step.cut)

    async def ask(self, wish: Any, cut: Cut | None = None) -> None:
        """Ask, and keep what was acknowledged."""

        async def work(conn: Connection) -> Any:
            return await claim(conn, [wish], self.world.parts, wait=True)

        done = await self._killed(lambda: self.world.database.transact(work), cut)
        if done is not None:
            self.wishes.remove(wish)
            self.claims += [UUID(o.ids["claim_id"]) for o in done if isinstance(o, Accepted)]

    async def _look(self, step: Step) -> None:
        if self.claims:
            await self.look(self.claims[step.which % len(self.claims)], step.cut)

    async def look(self, claim_id: UUID, cut: Cut | None = None) -> None:
        """Look at a claim's codes: whoever saw one keeps it for ever."""

        async def work(conn: Connection) -> str | None:
            parts, again = self.world.parts, SecondLook.NOT_ARRIVED
            return await read_code(conn, claim_id, parts, actor="system:page", again=again)

        try:
            told = await self._killed(lambda: self.world.database.transact(work), cut)
        except CodeAbsent:
            assert claim_id not in self.seen.values()
            return
        for code in (told or "").split():
            assert claim_id == self.seen.setdefault(code, claim_id)

    async def _bring(self, step: Step) -> None:
        codes = [f"C{self.brought + n}" for n in range(step.many)]
        self.brought += step.many
        for cut in (step.cut, None):
            await self._killed(lambda: bring(self.world, *codes), cut)

    async def _give_back(self, step: Step) -> None:
        """Let two people say that a claim's codes were not delivered."""
        if self.claims:
            ((claim_id, member),) = await self.world.rows(
                "SELECT claim_id, member_id FROM claim WHERE claim_id = $1",
                self.claims[step.which % len(self.claims)],
            )
            self.given_back.add(claim_id)
            why = {"why": Why.NOT_DELIVERED, "claim_id": claim_id}
            asked = correct(self.world, Kind.REVERSE, member, 1, **why)
            await self._killed(lambda: asked, step.cut)

    async def _killed(self, step: Callable[[], Awaitable[Any]], cut: Cut | None) -> Any:
        try:
            with killed(cut):
                return await step()
        except KilledError:
            return None
        except CodeAbsent:
            raise
        except Refusal:
            return None


def test_each_claim_has_codes_of_its_own(migrated: str, cluster_dsn: str) -> None:
    """As many as it asked for; none is given twice, none that was seen comes back (V-9)."""

    async def lived(steps: list[Step]) -> None:
        async with database(cluster_dsn, migrated) as dsn, builders.opened(dsn) as world:
            await world.apply(with_coffee())
            await bring(world, "A1", "A2", "A3", "A4", "A5")
            stock = Stock(world, [await drinker(world), await drinker(world)])
            for step in steps:
                await stock.take(step)
            for wish in [*stock.wishes]:
                await stock.ask(wish)
            for claim_id in stock.claims:
                await stock.look(claim_id)
            rows = await world.rows("SELECT claim_id, quantity FROM claim")
            assert sorted(stock.claims) == sorted(row.claim_id for row in rows)
            given = {row.claim_id: row.codes for row in await world.rows(CODES)}
            asked = {row.claim_id: row.quantity for row in rows}
            fewer = {id_ for id_, codes in given.items() if codes != asked[id_]}
            assert fewer <= stock.given_back
            assert all(codes <= asked[id_] for id_, codes in given.items())
            assert {*stock.seen.values()} == {*given}
            assert [] == await world.findings()

    @settings(
        max_examples=1 + TIMES,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.lists(STEPS, min_size=15, max_size=40))
    def live(steps: list[Step]) -> None:
        if any(step.word == "claim" for step in steps):  # the first has none
            asyncio.run(lived(steps))

    live()
