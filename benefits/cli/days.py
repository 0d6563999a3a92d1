"""What commands say and do of business days and of the sums of stretches of months."""

from benefits.actions.keep_stretches import keep_stretches, unfilled
from benefits.cli.console import console
from benefits.domain.programme import Programme
from benefits.domain.values import Month
from benefits.house import House
from benefits.store import calendars


async def say_unknown(house: House, made: Programme) -> None:
    """Say that a programme's calendar is not there: points in time are open until it is (M-6)."""
    name = made.policy.calendar
    async with house.database.transaction() as conn:
        if name is not None and name not in await calendars.current(conn):
            console.print(
                f"There is no calendar {name!r}: until `benefits import calendar` has brought it, "
                "nothing is decided by a last business day."
            )


async def say_no_day(house: House, code: str, month: Month) -> None:
    """Say that a calendar tells no last business day of a month: it is open for all (A-6)."""
    async with house.database.transaction() as conn:
        judge = (await house.parts.catalogue.current(conn)).rules[code].at(month)
    asked = judge.programme.policy.calendar
    if asked is not None and judge.calendar.last_business_day(month) is None:
        console.print(
            f"Calendar {asked!r} knows no business day of {month}: nothing is decided by it."
        )


async def fill_stretches(house: House, *, dry_run: bool) -> None:
    """Fill the sums that are needed and not kept yet; a dry run only says so."""
    if dry_run:
        async with house.database.transaction() as conn:
            left = len(await unfilled(conn, house.parts))
        if left:
            console.print(f"{left:,} stretches of months are not summed yet: `work` does so.")
        return
    await keep_stretches(
        house.database,
        house.parts,
        lambda left: console.print(f"Summing stretches of months: {left:,} left"),
    )
