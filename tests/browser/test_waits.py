"""A claim that waits for room, as a customer meets it in a real browser."""

from collections.abc import AsyncIterator

import pytest

from benefits.domain.limits import OnFull
from tests.actions.limiting import limit, limited
from tests.actions.waiting import serve
from tests.browser.conftest import Visit
from tests.browser.test_views import AXE, WIDTHS, violations
from tests.conftest import database
from tests.web.phone import PHONE
from tests.web.site import Site, site


@pytest.fixture
async def shop(migrated: str, cluster_dsn: str) -> AsyncIterator[Site]:
    """Give an app of its own, whose limits are this test's."""
    async with database(cluster_dsn, migrated) as dsn, site(dsn) as made:
        yield made


@pytest.mark.parametrize("has_script", [True, False])
async def test_who_finds_no_room_waits_gives_up_waits_again_and_is_served(
    visit: Visit,
    *,
    has_script: bool,
) -> None:
    """Asked first, told who is before and until when; everybody can read each view."""
    customer = await visit(reduced_motion="reduce", java_script_enabled=has_script)
    page, world, wrong = customer.page, customer.running.world, list[str]()

    async def look(name: str) -> str:
        """See that everybody can read the view, and return what stands there."""
        if has_script:
            await page.evaluate(AXE)
            wrong.extend(f"{name}: {each}" for each in await violations(page))
            there, room = await page.evaluate(WIDTHS)
            assert there <= room, name
        return await customer.text()

    async def wait() -> None:
        """Ask for a place on the list, and confirm."""
        await customer.open("/benefits/LOUNGE")
        told = await look("full")
        assert "All there are for now have been claimed." in told
        assert "Wait for it" == await page.inner_text("form.claim button")
        await page.fill("input[type=tel]", PHONE)
        await page.click("form.claim button")
        assert "Confirm: wait for 1" in await look("review")
        await page.click("form.claim button")
        await page.wait_for_url("**/benefits/LOUNGE*")

    await limited(world, limit("drop", 0, on_full=OnFull.REJECT))
    await customer.open("/benefits/LOUNGE")
    assert 0 == await page.locator("text=Wait for it").count()
    await limited(world, limit("drop", 1, on_full=OnFull.NEXT_WINDOW))
    await customer.claim("LOUNGE")
    await wait()
    told = await look("waiting")
    assert "Nobody is waiting before you." in told
    assert "You wait until 1 September 2025" in told.replace("\u202f", " ")
    await customer.open("")
    assert "Waiting until there is room" in await look("home")
    await customer.open("/benefits/LOUNGE")
    await page.click("text=Wait no longer")
    await page.wait_for_url(lambda url: "LOUNGE" not in url)
    assert "Waiting until there is room" not in await look("given up")
    await wait()
    await limited(world, limit("drop", 2, on_full=OnFull.NEXT_WINDOW))
    assert 1 == await serve(world)
    assert 2 == len(await customer.claims())
    await customer.open("")
    assert "Waiting until there is room" not in await look("served")
    await customer.open("/history")
    assert "You no longer wait for it: 1" in await look("history")
    assert [] == wrong
