"""The commands about who may call: API keys."""

from datetime import timedelta
from uuid import UUID

import rich_click as click

from benefits.actions.keys import list_keys, make_key, revoke_key, rotate_key
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, database, run, say_if_dry
from benefits.domain.callers import KEY_SCOPES
from benefits.house import House


@click.group()
def key() -> None:
    """Make API keys for the services that call."""


@key.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(KEY_SCOPES))
@click.option("--provider", default="", help="Whose key it is: with the scope provider.")
@DRY_RUN
def key_create(name: str, scopes: tuple[str, ...], provider: str, *, dry_run: bool) -> None:
    """Make a key for the service NAME and print it; it is shown this once.

    Example: `benefits key create mobile-bank --scope mobile`
    """

    async def work_(house: House) -> None:
        async with database(house, dry_run=dry_run).transaction() as conn:
            made = await make_key(conn, name, scopes, house.parts, provider=provider)
        _tell(made, dry_run=dry_run)
        say_if_dry(dry_run=dry_run)

    run(work_)


@key.command("list")
def key_list() -> None:
    """List all keys: id, name, scopes, since when, until when. Secrets are not kept.

    Example: `benefits key list`
    """

    async def work_(house: House) -> None:
        now = house.parts.clock()
        async with house.database.transaction() as conn:
            for one in await list_keys(conn):
                end = "valid"
                if one.ends_at is not None:
                    how = "ends" if one.ends_at > now else "ended"
                    end = f"{how} {one.ends_at:%Y-%m-%d %H:%M}Z"
                since = f"{one.created_at:%Y-%m-%d %H:%M}Z"
                scopes = ",".join(one.scopes) + (f":{one.provider}" if one.provider else "")
                click.echo(f"{one.key_id}  {one.name}  {scopes}  {since}  {end}")

    run(work_)


@key.command("rotate")
@click.argument("key_id", type=click.UUID)
@click.option("--keep", default="24h", show_default=True, help="How long the old one stays good.")
@DRY_RUN
def key_rotate(key_id: UUID, keep: str, *, dry_run: bool) -> None:
    """Make the next key after KEY_ID and print it this once; the old one ends after the overlap.

    Example: `benefits key rotate 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --keep 7d`
    """
    overlap = _duration(keep)

    async def work_(house: House) -> None:
        async with database(house, dry_run=dry_run).transaction() as conn:
            made = await rotate_key(conn, key_id, house.parts, keep=overlap)
        _tell(made, dry_run=dry_run)
        console.print(f"The old key ends in {keep}.")
        say_if_dry(dry_run=dry_run)

    run(work_)


def _tell(made: str, *, dry_run: bool) -> None:
    """Print a key, unless it opens nothing."""
    if not dry_run:
        click.echo(made)


def _duration(text: str) -> timedelta:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and len(number) < 6 and unit in units):
        raise click.BadParameter("write it like 30m, 24h or 7d", param_hint="--keep")
    return timedelta(**{units[unit]: int(number)})


@key.command("revoke")
@click.argument("key_id", type=click.UUID)
@DRY_RUN
def key_revoke(key_id: UUID, *, dry_run: bool) -> None:
    """Revoke the key KEY_ID at once; to change it without a gap, rotate it.

    Example: `benefits key revoke 01a2046f-5e02-7ae9-8c62-6ed8c8e82000`
    """

    async def work_(house: House) -> None:
        async with database(house, dry_run=dry_run).transaction() as conn:
            await revoke_key(conn, key_id, house.parts)
        console.print("The key is revoked; running services forget it within a minute.")
        say_if_dry(dry_run=dry_run)

    run(work_)
