"""The running app that the tests of the web share."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import database
from tests.web.phone import Phone
from tests.web.site import Site, site


@pytest.fixture
async def running(migrated: str, cluster_dsn: str) -> AsyncIterator[Site]:
    """Give a running app on a database of its own."""
    async with database(cluster_dsn, migrated) as dsn, site(dsn) as made:
        yield made


@pytest.fixture
async def phone(running: Site) -> AsyncIterator[Phone]:
    """Give a member's phone."""
    async with running.browser() as http:
        yield Phone(running, http)
