"""What a version to come changes for a member, over real HTTP and on the page: U-1, U-2."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp

from benefits.domain.programme_file import read
from tests.builders import PROGRAMME
from tests.web.phone import Phone, platinum
from tests.web.site import Site

BEGINS = datetime(2025, 7, 31, 16, tzinfo=UTC)
AFTER = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 3, DIAMOND = 6").replace(
    'threshold = "5000000"', 'threshold = "6000000"'
)


async def benefits(running: Site, member: UUID) -> Any:
    """Return what the API tells of a member."""
    headers = {"Authorization": f"Bearer {running.mobile_key}"}
    async with (
        aiohttp.ClientSession(running.url, headers=headers) as http,
        http.get(f"/v1/members/{member}/benefits") as answer,
    ):
        assert 200 == answer.status
        return await answer.json()


async def test_a_member_reads_what_a_version_to_come_changes(running: Site, phone: Phone) -> None:
    """From its day on, in both languages; once it holds nothing is to come."""
    member = await platinum(running)
    await running.world.apply(read(AFTER), effective_from=BEGINS)
    units, threshold = (await benefits(running, member))["coming"]
    assert {
        "programme": "wealth",
        "begins_on": "2025-08-01",
        "what": "UNITS",
        "code": "LOUNGE",
        "is_worse": False,
        "words": {
            "zh": "机场贵宾厅每季度3份，原为2份。",
            "en": "Airport lounge: 3 a quarter instead of 2.",
        },
    } == units
    assert ("THRESHOLD", "DIAMOND", True) == tuple(
        threshold[name] for name in ("what", "code", "is_worse")
    )
    await phone.enter(member)
    for lang, expected in (
        ("en", "From 1 August 2025 on Airport lounge: 3 a quarter instead of 2. Diamond needs"),
        ("zh", "自2025年8月1日起 机场贵宾厅每季度3份，原为2份。 钻石门槛为6,000,000.00"),
    ):
        _, html = await phone.get(f"/page?lang={lang}")
        assert expected in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    running.world.clock.now = BEGINS
    assert [] == (await benefits(running, member))["coming"]
