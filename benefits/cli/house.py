"""What commands on a database share: the house they work in, and their line in the log."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import rich_click as click
import structlog

from benefits import logs, settings
from benefits.actions.evaluate import UnknownProgramme
from benefits.cli.console import console
from benefits.domain.programme import Programme
from benefits.house import House, open_house
from benefits.process import keep_what_stays
from benefits.store.db import Database

log = structlog.get_logger()
_BEGUN = time.monotonic()
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what it would do, and write nothing.")


def database(house: House, *, dry_run: bool) -> Database:
    """Return what a command writes to: in a dry run a database on which nothing stays."""
    return house.database.rehearsal() if dry_run else house.database


def say_if_dry(*, dry_run: bool) -> None:
    """Say at the end of a dry run that it was one."""
    if dry_run:
        console.print("Dry run: nothing was written.")


def run(work: Callable[[House], Coroutine[Any, Any, None]], **more: Any) -> None:
    """Open the house the environment describes, do a piece of work in it, and close it."""
    _run(work, settings.load(os.environ), **more)


def read_books(work: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    """Do a piece of work that reads the books alone: it needs no key that opens what is sealed."""
    _run(work, settings.load(os.environ, keys=settings.read_books_keys(os.environ)))


def _run(
    work: Callable[[House], Coroutine[Any, Any, None]], given: settings.Settings, **more: Any
) -> None:
    async def main_() -> None:
        async with open_house(given, **more) as house:
            keep_what_stays()
            await work(house)

    asyncio.run(main_())


def record(event: str, **figures: Any) -> None:
    """Leave one line of a command in the log, for whoever runs it at night."""
    logs.configure()
    log.info(event, **figures, duration_ms=round((time.monotonic() - _BEGUN) * 1000))


def chosen_programme(house: House, code: str | None) -> Programme:
    """Return the programme of a code, or the only one."""
    known = house.parts.catalogue.latest.programmes
    if code is None and len(known) == 1:
        return next(iter(known.values()))
    if code not in known:
        raise UnknownProgramme(f"Programmes are: {', '.join(sorted(known)) or 'none yet'}.")
    return known[code]
