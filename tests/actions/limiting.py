"""The reference programme with limits, budgets above others, and contracts that end."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.limits import Budget, CapWindow, Limit, Scope
from benefits.domain.programme import Programme
from tests.actions.life import decide, gift, give, said, wish
from tests.builders import World, reference_programme


def limit(code: str, most: str | int, scope: Scope = Scope.PROGRAMME, **more: Any) -> Limit:
    """Return a limit per month, unless another window is named."""
    if not {"window", "days"} & more.keys():
        more["window"] = CapWindow.MONTH
    return Limit(code=code, scope=scope, limit=Decimal(most), **more)


def programme_of(*limits: Limit, budgets: tuple[Budget, ...] = (), **video: Any) -> Programme:
    """Return the reference programme without a cap or stock, with limits and rich budgets."""
    programme = reference_programme()
    rich = tuple(
        msgspec.structs.replace(budget, total=Decimal(1_000_000)) for budget in programme.budget
    )
    lounge, other = programme.benefit
    changed = msgspec.structs.replace(other, **{"cap": None, **video})
    return msgspec.structs.replace(
        programme, budget=budgets or rich, benefit=(lounge, changed), limit=limits
    )


async def limited(world: World, *limits: Limit, **more: Any) -> None:
    """Put such a programme into force."""
    await world.apply(programme_of(*limits, **more))


async def rich(world: World, benefit: str = "LOUNGE", quantity: int = 100) -> UUID:
    """Enrol a member with many units, valid for years."""
    member = await world.member()
    outcomes = await give(world, gift(member, benefit, quantity=quantity, valid_days=3660))
    assert ["ok"] == [said(outcome) for outcome in outcomes]
    return member


async def ask(world: World, member: UUID, benefit: str = "LOUNGE", quantity: int = 1) -> str:
    """Claim; return `ok` or the code of the refusal."""
    (outcome,) = await decide(world, wish(member, benefit, quantity=quantity))
    return said(outcome)


async def windows(world: World) -> dict[tuple[str, str], int]:
    """Return what is taken by shared limit and window."""
    found = await world.rows(
        'SELECT counter, "window", reserved + spent AS taken FROM counter '
        "WHERE counter LIKE 'limit:%'"
    )
    return {(row.counter, row.window): row.taken for row in found}


def local(*parts: int) -> datetime:
    """Return an instant by the clocks of Shanghai."""
    return datetime(*parts, tzinfo=UTC) - timedelta(hours=8)  # type: ignore[arg-type,misc]
