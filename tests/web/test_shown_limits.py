"""What a member reads of limits, of what is left, and of contracts that end."""

from datetime import date

from msgspec.structs import replace

from benefits.domain.limits import CapWindow, Dimension, OnFull, Scope
from benefits.domain.orders import Done
from benefits.domain.programme import Programme
from benefits.domain.recurring import Recurring
from benefits.domain.use import Use
from tests.actions.life import call_back, number_of
from tests.actions.limiting import limit, local, programme_of
from tests.actions.test_contracts import followed
from tests.builders import reference_programme
from tests.web.phone import Phone, platinum
from tests.web.site import Site
from tests.web.test_eligibility import get


async def test_limits_and_contracts_are_told(running: Site, phone: Phone) -> None:
    """How much, when again, whether there is much left, and the last days; in both languages."""
    programme = programme_of(
        limit("often", 1, Scope.MEMBER, days=7, on_full=OnFull.NEXT_WINDOW),
        limit("daily", 5, Scope.MEMBER, window=CapWindow.DAY, benefits=("LOUNGE",)),
        limit("person", 3, Scope.PERSON, window=None, on=Recurring(day=18)),
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
        "At most 3 before 18 July 2025; used so far: 0.",
        "What you claim under other customer numbers counts, too.",
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


def lounges(**more: object) -> Programme:
    """Return the reference programme with other lounges."""
    lounge, video = reference_programme().benefit
    return replace(reference_programme(), benefit=(replace(lounge, **more), video))


async def test_dates_of_claims_and_of_use_are_told(running: Site, phone: Phone) -> None:
    """P-9: when it can be claimed, how long it is good, and until when a claim is."""
    use = Use(days=30, until=date(2025, 12, 31))
    await running.world.apply(
        lounges(claim_from=date(2025, 7, 9), claim_until=date(2025, 8, 31), use=use)
    )
    member = await platinum(running)
    await phone.enter(member)
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    for words in (
        "It can be claimed from 9 July 2025 on.",
        "It can be claimed through 31 August 2025.",
        "Use it within 30 days after the day of your claim.",
        "It must be used by the end of 31 December 2025.",
    ):
        assert words in html
    await running.world.apply(lounges(claim_until=date(2025, 7, 1)))
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "It could be claimed through 1 July 2025." in html
    await running.world.apply(lounges(use=use))
    await phone.send(await phone.review("LOUNGE"))
    ((claim_id,),) = await running.world.rows("SELECT claim_id FROM claim")
    _, html = await phone.get(f"/page/claims/{claim_id}?lang=zh")
    assert "请于2025年8月1日（含当日）前使用。" in html
    number = await number_of(running.world, claim_id)
    done = Done(at=running.world.clock.now, reference="r", code="X1")
    await call_back(running.world, number, done)
    _, html = await phone.get(f"/page/claims/{claim_id}?lang=en")
    assert "Use it through 1 August 2025." in html
    running.world.clock.forward(days=40)
    await phone.enter(member)
    _, html = await phone.get(f"/page/claims/{claim_id}?lang=en")
    assert "It could be used through 1 August 2025." in html
    _, html = await phone.get("/page/?lang=en")
    assert "Ready to use" not in html


async def test_what_replaces_a_benefit_is_told_before_and_after(
    running: Site, phone: Phone
) -> None:
    """V-6: from when on, by whom, and what is asked for then; the claim says what came."""
    made = followed()
    named = replace(made.benefits["TAXI"], name={"zh": "专车", "en": "Taxi"})
    programme = replace(made, benefit=(*made.benefit[:2], named))
    await running.world.apply(programme)
    member = await platinum(running)
    await phone.enter(member)
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "From 8 July 2025 on Taxi is delivered in its place." in html
    assert "at the latest" not in html
    running.world.clock.now = local(2025, 7, 8, 9)
    await phone.enter(member)
    _, html = await phone.get("/page/benefits/LOUNGE?lang=zh")
    assert "现由“专车”代替提供。" in html
    assert "recipient." not in html
    _, seen = await get(running, f"/v1/members/{member}/benefits", running.mobile_key)
    (lounge,) = (each for each in seen["benefits"] if each["code"] == "LOUNGE")
    assert ("TAXI", [], None) == (lounge["delivers"], lounge["recipient"], lounge["replacement"])
    await phone.send(await phone.review("LOUNGE"))
    ((claim_id,),) = await running.world.rows("SELECT claim_id FROM claim")
    _, html = await phone.get(f"/page/claims/{claim_id}?lang=en")
    assert "It came in place of Airport lounge, whose units it took." in html
    _, claim = await get(running, f"/v1/claims/{claim_id}", running.mobile_key)
    assert ("TAXI", "LOUNGE") == (claim["benefit"], claim["instead_of"])
