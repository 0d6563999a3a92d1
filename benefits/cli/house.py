"""What commands share: the house they work in, and how they speak."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import rich_click as click
import structlog
from rich.console import Console

from benefits import app, logs, settings

log = structlog.get_logger()
_BEGUN = time.monotonic()
console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
PORT = click.IntRange(1, 65535)


def run(work: Callable[[app.House], Coroutine[Any, Any, None]], **more: Any) -> None:
    """Open the house the environment describes, do a piece of work in it, and close it."""

    async def main_() -> None:
        async with app.open_house(settings.load(os.environ), **more) as house:
            await work(house)

    asyncio.run(main_())


def record(event: str, **figures: Any) -> None:
    """Leave one line of a command in the log, for whoever runs it at night."""
    logs.configure()
    log.info(event, **figures, duration_ms=round((time.monotonic() - _BEGUN) * 1000))
