"""What commands on a database share: the house they work in, and their line in the log."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from benefits import logs, settings
from benefits.house import House, open_house

log = structlog.get_logger()
_BEGUN = time.monotonic()


def run(work: Callable[[House], Coroutine[Any, Any, None]], **more: Any) -> None:
    """Open the house the environment describes, do a piece of work in it, and close it."""

    async def main_() -> None:
        async with open_house(settings.load(os.environ), **more) as house:
            await work(house)

    asyncio.run(main_())


def record(event: str, **figures: Any) -> None:
    """Leave one line of a command in the log, for whoever runs it at night."""
    logs.configure()
    log.info(event, **figures, duration_ms=round((time.monotonic() - _BEGUN) * 1000))
