"""Races where nothing is left: a full limit, and a budget that is lowered to what is taken."""

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest

from benefits.domain.corrections import Kind
from benefits.domain.limits import Budget, Limit
from benefits.domain.orders import Done, Reason, Rejected, Used
from tests.actions.agreeing import agreed, block
from tests.actions.desk import correct
from tests.actions.life import call_back, claimed, number_of, tell, wish, work_off
from tests.actions.limiting import ask, limit, limited, rich, windows
from tests.builders import World

MOST, FAILED = 8, 3
MONTH = limit("full", MOST, benefits=("LOUNGE",))
WEEK = limit("full", MOST, days=7, benefits=("LOUNGE",))


async def taken(world: World) -> int:
    """Return how much of the limit is taken, at whatever instants."""
    return sum((await windows(world)).values())


def budgets(video: str) -> tuple[Budget, ...]:
    """Return a rich budget for the lounge, and one for videos with a total."""
    lounge = Budget(code="lounge", total=Decimal(1_000_000))
    return (lounge, Budget(code="video", total=Decimal(video)))


class Race:
    """A `full` limit that holders took, while others ask and somebody watches what is taken."""

    def __init__(self, world: World, full: Limit, holders: list[UUID], others: list[UUID]) -> None:
        """Begin with nothing freed and nothing lowered."""
        self.world, self.full, self.holders, self.others = world, full, holders, others
        self.answers = list[str]()
        self.blocked: set[UUID] = set()
        self.is_lowered = self.is_freed = False
        self.videos = 0

    async def free(self, spent: UUID) -> None:
        """Release what failed, reverse what was used, block who asks."""
        await asyncio.gather(work_off(self.world), self.reverse(spent), self.stop())
        await work_off(self.world)
        self.is_freed = True

    async def reverse(self, spent: UUID) -> None:
        """Take one use back."""
        member = self.holders[-1]
        assert "ok" == await correct(self.world, Kind.REVERSE, member, 1, claim_id=spent)

    async def stop(self) -> None:
        """Block one of those who ask."""
        await agreed(self.world, block(self.others[0]))
        self.blocked.add(self.others[0])

    async def lower(self) -> None:
        """Lower the budget of videos to the two that were claimed before."""
        await asyncio.sleep(0.05)
        await limited(self.world, self.full, budgets=budgets("30.00"))
        self.is_lowered = True

    async def hurry(self, member: UUID) -> None:
        """Ask for the lounge until it is given, or refused once all is free that will be."""
        while True:
            is_last, is_blocked = self.is_freed, member in self.blocked
            code = await ask(self.world, member)
            assert not is_blocked or "blocked" == code
            if is_last or code != "cap_reached":
                self.answers.append(code)
                return

    async def spend(self, member: UUID) -> None:
        """Ask for videos until the lower total was in force before one was asked for."""
        while True:
            was_lowered = self.is_lowered
            code = await ask(self.world, member, "VIDEO")
            self.videos += code == "ok"
            assert not was_lowered or "budget_exhausted" == code
            if was_lowered:
                return

    async def watch(self) -> None:
        """See at every moment no more taken than the limit has."""
        while not self.is_freed:
            assert await taken(self.world) <= MOST
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("full", [MONTH, WEEK])
async def test_of_what_is_freed_at_the_edge_exactly_so_much_is_taken(
    world: World, full: Limit
) -> None:
    """Releases, a reversal, a block, a lower total and claims at once (K-2, K-4, K-5, inv. 6)."""
    await limited(world, full, budgets=budgets("1000"))
    holders = [await rich(world, quantity=1) for _ in range(MOST)]
    others = [await rich(world, quantity=1) for _ in range(2 * MOST)]
    rich_ones = [await rich(world, "VIDEO") for _ in range(2)]
    first = list[UUID]()
    for member in holders:
        world.clock.forward(seconds=1)
        first += await claimed(world, wish(member, "LOUNGE"))
    await claimed(world, *(wish(member) for member in rich_ones))
    now = world.clock.now
    await call_back(world, await number_of(world, first[-1]), Done(at=now), Used(at=now))
    for claim_id in first[:FAILED]:
        refused = Rejected(Reason.LIMIT, "limit")
        await tell(world, await number_of(world, claim_id), refused)
    assert MOST == await taken(world)

    race = Race(world, full, holders, others)
    await asyncio.gather(
        race.free(first[-1]),
        race.lower(),
        race.watch(),
        *map(race.hurry, others),
        *map(race.spend, rich_ones),
    )
    counts = {code: race.answers.count(code) for code in set(race.answers)}
    blocked = counts.pop("blocked", 0)
    assert {"ok": FAILED + 1, "cap_reached": 2 * MOST - FAILED - 1 - blocked} == counts
    assert MOST == await taken(world)
    (video,) = await world.rows(
        "SELECT reserved + spent AS taken FROM counter WHERE counter = 'budget:video'"
    )
    assert (2 + race.videos) * 1500 == video.taken
    assert [] == await world.findings()
