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


def beside(*limits: Limit, budgets: tuple[Budget, ...] = ()) -> Programme:
    """Return another programme with the same tiers, one benefit, RAIL, and a budget for it."""
    programme, own = reference_programme(), Budget(code="rail", total=Decimal(1000))
    rail = msgspec.structs.replace(
        programme.benefits["VIDEO"], code="RAIL", budget="rail", cap=None, stock=None
    )
    return msgspec.structs.replace(
        programme, code="travel", benefit=(rail,), budget=(own, *budgets), line=(), limit=limits
    )


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
    """Return what is taken by shared limit and window; `limit:` stands with its code and whose."""
    found = await world.rows(
        'SELECT counter, "window", reserved + spent AS taken FROM counter '
        "WHERE counter LIKE 'limit:%'"
    )
    return {(short(row.counter), row.window): row.taken for row in found}


def short(counter: str) -> str:
    """Return a counter's name without programme, scope and dimension."""
    limit, _, code, _, _, *of = counter.split(":", 5)
    return ":".join([limit, code, *of])


def local(*parts: int) -> datetime:
    """Return an instant by the clocks of Shanghai."""
    return datetime(*parts, tzinfo=UTC) - timedelta(hours=8)  # type: ignore[arg-type,misc]  # numbers
