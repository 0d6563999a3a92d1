"""Day-end balances and the sums kept with them."""

from datetime import date

from benefits.domain.assets import AssetLine
from tests.builders import World

DAY = date(2025, 6, 2)


def line(balance: int, *, revision: int = 0, day: date = DAY, **more: str) -> AssetLine:
    """Return a balance of the first member in minor units."""
    return AssetLine(
        "T000001",
        day,
        more.get("asset_class", "DEPOSIT"),
        "CNY",
        balance,
        more.get("account", ""),
        more.get("source", ""),
        revision,
    )


async def sums(world: World) -> list[tuple[int, int]]:
    """Return the kept sums and known days per class."""
    found = await world.rows(
        "SELECT sum_minor, known_days FROM asset_month ORDER BY month, asset_class"
    )
    return [(row.sum_minor, row.known_days) for row in found]


async def test_the_highest_revision_counts_in_whatever_order_they_come(world: World) -> None:
    """A-7: arrival order is irrelevant, and every revision is kept."""
    await world.member()
    for revision, balance, expected in ((3, 300, 300), (1, 100, 300), (7, 700, 700), (5, 5, 700)):
        await world.assets([line(balance, revision=revision)])
        assert [(expected, 0b10)] == await sums(world)
    assert [(4,)] == await world.rows("SELECT count(*) FROM asset")
    assert [] == await world.findings()


async def test_a_revision_that_says_two_things_is_refused(world: World) -> None:
    """The first word stands, in a file and over files; the same word again is nothing new."""
    await world.member()
    result = await world.assets([line(100), line(100), line(200)])
    assert (1, 1, [(4, "revision: this revision is known with another balance")]) == (
        result.kept,
        result.unchanged,
        result.refused,
    )
    result = await world.assets([line(100), line(200)])
    assert (0, 1, 1) == (result.kept, result.unchanged, len(result.refused))
    assert [(100, 0b10)] == await sums(world)


async def test_negative_balances_count_as_zero_and_their_day_as_known(world: World) -> None:
    """A-8: an overdraft lowers nothing, line by line."""
    await world.member()
    await world.assets([line(-500), line(200, account="2"), line(70, asset_class="WEALTH")])
    assert [(200, 0b10), (70, 0b10)] == await sums(world)
    await world.assets([line(50, revision=1)])
    await world.assets([line(-1, revision=2)])
    assert [(200, 0b10), (70, 0b10)] == await sums(world)


async def test_strangers_balances_are_refused(world: World) -> None:
    """A line of nobody is named, the others are kept."""
    await world.member()
    stranger = AssetLine("nobody", DAY, "DEPOSIT", "CNY", 1)
    result = await world.assets([stranger, line(1)])
    assert (1, [(2, "customer: not a member")]) == (result.kept, result.refused)
