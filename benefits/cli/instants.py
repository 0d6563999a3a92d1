"""Instants that options name, and how they are told: in a programme's zone (C-4)."""

from datetime import datetime
from zoneinfo import ZoneInfo

import rich_click as click

from benefits.domain.values import YEARS

BEGINS = click.option(
    "--from",
    "begins",
    default=None,
    help="When it begins to hold, in the programme's zone: 2026-07-01 or 2026-07-01T12:00.",
)


def instant_of(text: str, option: str, zone: ZoneInfo) -> datetime:
    """Read the instant that an option names: a day's beginning, or a time of it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            "write it like 2026-07-01 or 2026-07-01T12:00", param_hint=option
        ) from None
    if found.year not in YEARS[1:-1]:  # it may lie in the one before or after in the zone
        years = f"{YEARS.start + 1} to {YEARS.stop - 2}"
        raise click.BadParameter(f"must lie in the years {years}", param_hint=option)
    return found if found.tzinfo else found.replace(tzinfo=zone)


def local_text(at: datetime, zone: ZoneInfo) -> str:
    """Write an instant as the clock of a zone tells it, with its distance from UTC."""
    return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")
