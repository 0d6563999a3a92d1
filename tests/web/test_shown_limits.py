"""What a member reads of limits, of what is left, and of contracts that end."""

from datetime import date

from benefits.domain.limits import CapWindow, Dimension, OnFull, Scope
from tests.actions.limiting import limit, programme_of
from tests.web.phone import Phone, platinum
from tests.web.site import Site


async def test_limits_and_contracts_are_told(running: Site, phone: Phone) -> None:
    """How much, when again, whether there is much left, and the last days; in both languages."""
    programme = programme_of(
        limit("often", 1, Scope.MEMBER, days=7, on_full=OnFull.NEXT_WINDOW),
        limit("daily", 5, Scope.MEMBER, window=CapWindow.DAY, benefits=("LOUNGE",)),
        limit("money", 1000, Scope.MEMBER, dimension=Dimension.COST),
        limit("all", 10),
        contract_end=date(2025, 10, 31),
        lead_days=10,
    )
    await running.world.apply(programme)
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    for words in (
        "At most 1 within any 7 days; used so far: 0.",
        "Claims of other benefits count here, too.",
        "There are plenty left.",
        "It can be claimed through 21 October 2025.",
        "Whatever is written on a unit, it can be used through 31 October 2025 at the latest.",
    ):
        assert words in html
    assert "1,000" not in html
    await phone.send(await phone.review("LOUNGE"))
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "At most 5 in a day; used so far: 1." in html
    assert "You have reached the limit for this benefit in this period." in html
    assert "You can claim again from 9 July 2025 12:00 on." in html.replace("\u202f", " ")
    _, html = await phone.get("/page/benefits/LOUNGE?lang=zh")
    assert "任意7天内最多1份，已用1份。" in html
    await running.world.apply(programme_of(limit("all", 1), contract_end=date(2025, 7, 1)))
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "All there are for now have been claimed." in html
    assert "All are claimed." in html
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert "This benefit is no longer offered." in html
