"""One service and one Chromium for all tests of the page in a browser."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.stage import Customer, customer, options
from tests.conftest import database
from tests.web.site import Site, site

# In a container Chromium has neither a sandbox of its own nor much shared memory.
ARGS = ["--no-sandbox", "--disable-dev-shm-usage"]
Visit = Callable[..., Awaitable[Customer]]


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Give the system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine: `apt-get install chromium` brings it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS)
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture(scope="session")
async def shop(migrated: str, cluster_dsn: str) -> AsyncIterator[Site]:
    """Give a running app that the tests share; each enrols members of its own."""
    async with database(cluster_dsn, migrated) as dsn, site(dsn) as made:
        yield made


@pytest.fixture
async def visit(shop: Site, chromium: Browser) -> AsyncIterator[Visit]:
    """Give a function that opens the page for a new member; what the browser objects to fails."""
    async with AsyncExitStack() as stack:
        objections = list[str]()

        async def come(**more: Any) -> Customer:
            how = {key: more.pop(key) for key in ("lang", "scheme", "size") if key in more}
            context = await chromium.new_context(**options(**how), **more)
            stack.push_async_callback(context.close)
            context.set_default_timeout(20_000)
            context.on("weberror", lambda error: objections.append(str(error.error)))
            context.on(
                "console",
                lambda said: objections.append(said.text) if "Policy" in said.text else None,
            )
            return await customer(shop, context)

        yield come
        assert [] == objections
