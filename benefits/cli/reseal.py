"""The command that seals stored values anew, after the secret keys were rotated."""

import sys
import time

import rich_click as click

from benefits.actions.reseal import Resealed, reseal, unused_keys
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, database, record, run, say_if_dry
from benefits.house import House

PROGRESS_EVERY_S = 1.0


@click.command("reseal")
@DRY_RUN
def reseal_(*, dry_run: bool) -> None:
    """Seal everything stored anew with the first of BENEFITS_SECRET_KEYS.

    Run it once all processes have the new key as the first one; with status 0 the old ones may be
    thrown away. Stop it at will and run it again.

    Example: `benefits reseal`, or first with `--dry-run`
    """

    async def work_(house: House) -> None:
        found, shown = dict[str, Resealed](), time.monotonic()
        async for one in reseal(database(house, dry_run=dry_run), house.parts):
            found[one.place] = one
            if time.monotonic() - shown > PROGRESS_EVERY_S:
                shown = time.monotonic()
                console.print(f"{one.place}: {one.done:,} sealed anew so far")
        async with house.database.transaction() as conn:
            left = await unused_keys(conn, house.parts)
        broken = _tell(list(found.values()))
        for key in left:
            console.print(
                f"API key {key.key_id} of {key.name} was not used since: use, rotate or revoke it."
            )
        say_if_dry(dry_run=dry_run)
        done = sum(one.done for one in found.values())
        if not dry_run:
            record("reseal.done", values=done, broken=broken, keys=len(left))
        if broken or left or (dry_run and done):
            console.print("The earlier keys are still needed.")
            sys.exit(3)
        console.print("No earlier key is needed any more.")

    run(work_)


def _tell(found: list[Resealed]) -> int:
    """Tell what became of each place; return how many values open with no key."""
    for one in found:
        console.print(f"{one.place}: {one.done:,} sealed anew")
        if one.broken:
            console.print(f"{one.place}: {one.broken:,} open with none of the keys")
    if not found:
        console.print("Nothing is sealed with an earlier key.")
    return sum(one.broken for one in found)
