"""A choice, codes in stock and a recurring day, as a customer meets them in a real browser."""

from collections.abc import AsyncIterator
from datetime import date

import pytest
from msgspec.structs import replace

from benefits.domain.choice import Choice
from benefits.domain.labels import Label, Layer
from benefits.domain.packages import Line, LinePeriod, Segment, Start
from benefits.domain.programme import Programme
from benefits.domain.recurring import Recurring
from benefits.worker import Worker
from tests.actions.test_code_pool import bring, with_coffee
from tests.browser.conftest import Visit
from tests.browser.stage import Customer
from tests.browser.test_views import AXE, WIDTHS, violations
from tests.builders import World
from tests.conftest import database
from tests.web.site import Site, site

FRIEND = Label("friend", Layer.FACT, date(2024, 1, 1), None)
CODE = "BF48291355720148"


@pytest.fixture
async def shop(migrated: str, cluster_dsn: str) -> AsyncIterator[Site]:
    """Give an app of its own: benefits that were once in force stay."""
    async with database(cluster_dsn, migrated) as dsn, site(dsn) as made:
        yield made


def for_friends() -> Programme:
    """Return a programme that lets friends choose two of two, and wash their car on the 18th."""
    programme = with_coffee()
    wash = replace(
        programme.benefits["LOUNGE"], code="WASH", name={"zh": "洗车", "en": "Car wash"}
    )
    coffee = replace(programme.benefits["COFFEE"], name={"zh": "咖啡", "en": "Coffee"})
    friends = Segment(label="friend", layer=Layer.FACT, name={"zh": "老朋友", "en": "Friends"})
    pick = Line(
        code="pick",
        choice="PICK",
        period=LinePeriod.MONTH,
        start=Start.PERIOD,
        segment=friends,
        quantity=2,
    )
    day = replace(
        pick,
        code="day",
        choice="",
        benefit="WASH",
        period=LinePeriod.OCCURRENCE,
        on=Recurring(day=18),
    )
    name = {"zh": "二选", "en": "Two to choose"}
    return replace(
        programme,
        benefit=(*(one for one in programme.benefit if one.code != "COFFEE"), coffee, wash),
        choice=(Choice(code="PICK", name=name, benefits=("LOUNGE", "COFFEE")),),
        line=(*programme.line, pick, day),
    )


async def befriend(world: World, customer: Customer) -> None:
    """Let a customer be a new member whom the programme has brought units to choose with."""
    customer.member = await world.member(labels=(FRIEND,))
    await world.apply(for_friends())
    await bring(world, CODE)
    while await Worker(world.database, world.parts, {}).start_periods():
        pass
    await customer.enter()


async def test_a_friend_chooses_and_is_shown_the_code_at_once(visit: Visit) -> None:
    """Chosen once each, claimed, the code on tap alone, used at last; and what comes next."""
    customer = await visit(reduced_motion="reduce")
    page, wrong = customer.page, list[str]()

    async def look(name: str) -> str:
        """See that everybody can read the view, and return what stands there."""
        await page.evaluate(AXE)
        wrong.extend(f"{name}: {each}" for each in await violations(page))
        there, room = await page.evaluate(WIDTHS)
        assert there <= room, name
        return await customer.text()

    await befriend(customer.running.world, customer)
    assert "Car wash New ones arrive on 18 July 2025 for Friends." in await look("home")
    await page.click("text=Two to choose")
    await page.check("input[value=COFFEE]")
    await page.click("form.claim button")
    assert "You have chosen: Coffee" in await look("chosen")
    assert await page.is_disabled("input[value=COFFEE]")
    await page.click("text=Claim it now")
    await page.click("form.claim button")
    assert "Your code is there at once." in await look("review")
    await page.click("form.claim button")
    await page.wait_for_selector("button:has-text('Show code')")
    steps = await page.locator(".steps .name").all_inner_texts()
    assert ["Accepted – done", "Delivered – done"] == [" ".join(each.split()) for each in steps]
    assert CODE not in await page.content()
    await page.click("button:has-text('Show code')")
    assert CODE in await look("code")
    await page.reload()
    assert CODE not in await page.content()
    assert "Shown once, on" in await customer.text()
    await customer.open("/choices/PICK")
    await page.check("input[value=LOUNGE]")
    await page.click("form.claim button")
    told = await look("all chosen")
    assert "choose with now. New ones arrive on 1 August 2025 for Friends." in told
    assert "Chosen so far Airport lounge" in told
    claim_id = await customer.claim("LOUNGE")
    await customer.provider_says(claim_id, "issued", code="482913557201")
    await customer.provider_says(claim_id, "redeemed")
    await page.wait_for_selector("text=You have used this benefit.")
    await look("used")
    await customer.open("?lang=zh")
    told = await look("home in Chinese")
    for words in (
        "二选 本期已选完，可查看已选权益。",
        "洗车 下一期权益将于2025年7月18日面向老朋友发放。",
    ):
        assert words in told
    assert [] == wrong
