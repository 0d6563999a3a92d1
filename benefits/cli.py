"""The commands. Each prints what it did in a line or two, and refusals in words with status 1."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO
from uuid import UUID

import rich_click as click
from rich.console import Console

from benefits import app, logs, settings
from benefits import up as demo_up
from benefits.actions.apply_programme import apply_programme
from benefits.actions.evaluate import Evaluated, UnknownProgramme, evaluate, slices
from benefits.actions.import_files import Imported, import_assets, import_members
from benefits.actions.keys import SCOPES, list_keys, make_key, revoke_key
from benefits.actions.verify import verify
from benefits.cli_roles import roles
from benefits.domain.catalogue import Programme, check_for_production, read
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS, Month
from benefits.sandbox.book import Behaviour
from benefits.sandbox.server import SandboxSettings
from benefits.sandbox.server import run as run_sandbox
from benefits.store.db import Connection, DatabaseUnsuitable, check_server, connect
from benefits.store.migrate import ensure_partitions
from benefits.store.migrate import migrate as run_migrations
from benefits.store.verify import Finding

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
# Bytes that are no UTF-8 come as surrogates, so that they spoil their own line only.
TEXT = click.File(encoding="utf-8", errors="surrogateescape")
PORT = click.IntRange(1, 65535)
CONTEXT = {"help_option_names": ["-h", "--help"]}


def main() -> None:
    """Run a command; refusals are told in words, everything else is a bug and shows its story."""
    try:
        commands(standalone_mode=True)
    except Refusal as refusal:
        console.print(f"{refusal.code}: {refusal.detail}")
        sys.exit(1)


@click.group(context_settings=CONTEXT)
@click.version_option(app.VERSION)
def commands() -> None:
    """Membership benefits and loyalty ledger.

    Example: `benefits up` shows the whole service with a demo programme.
    """


commands.add_command(roles)


def _run(work: Callable[[app.House], Coroutine[Any, Any, None]], **more: Any) -> None:
    """Open the house the environment describes, do a piece of work in it, and close it."""

    async def main_() -> None:
        async with app.open_house(settings.load(os.environ), **more) as house:
            await work(house)

    asyncio.run(main_())


@commands.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("demo-data"))
@click.option("--port", default=8080, type=PORT, show_default=True, help="Port of the service.")
@click.option("--sandbox-port", default=8090, type=PORT, show_default=True, help="Its provider's.")
def up(data: Path, port: int, sandbox_port: int) -> None:
    """Run service, worker and a sandbox provider on an embedded PostgreSQL, with a demo programme.

    Example: `benefits up --data /tmp/demo --port 8181`
    """
    if port == sandbox_port:
        raise click.BadParameter("must differ from --port", param_hint="--sandbox-port")
    demo_up.run(data, port=port, sandbox_port=sandbox_port, say=console.print)


@commands.command()
@click.option("--host", default=None, help="Address to listen on; default BENEFITS_HOST.")
@click.option("--port", default=None, type=PORT, help="Port to listen on; default BENEFITS_PORT.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the HTTP API and the benefits page.

    Example: `BENEFITS_DATABASE_URL_FILE=/run/secrets/dsn benefits serve --port 8080`
    """
    logs.configure()
    given = settings.load(os.environ)
    app.serve(settings.override(given, host=host, port=port))


@commands.command()
@click.option("--buckets", default=f"0-{BUCKETS - 1}", show_default=True, help="Buckets to serve.")
def work(buckets: str) -> None:
    """Deliver to providers, apply their callbacks, record expiries. Run as many as you like.

    Example: `benefits work --buckets 0-511`
    """
    logs.configure()
    first, _, last = buckets.partition("-")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < BUCKETS):
        raise click.BadParameter(f"write it like 0-{BUCKETS - 1}", param_hint="--buckets")
    given = settings.load(os.environ)
    asyncio.run(app.run_worker(given, buckets=(int(first), int(last))))


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, type=PORT, show_default=True)
@click.option("--callback-url", required=True, help="Where the service takes callbacks.")
@click.option("--database", default=":memory:", show_default=True, help="SQLite file of its book.")
@click.option(
    "--behaviour",
    type=click.Choice([b.value for b in Behaviour]),
    default=Behaviour.MIXED.value,
    show_default=True,
)
def sandbox(**options: Any) -> None:
    """Run a provider that speaks the `open` contract and misbehaves in five ways.

    Example: `benefits sandbox --callback-url http://127.0.0.1:8080/callbacks/sandbox`
    """
    logs.configure()
    secrets = settings.read_provider_secrets(os.environ).get("sandbox", ())
    behaviour = Behaviour(options.pop("behaviour"))
    made = SandboxSettings(secrets=secrets, behaviour=behaviour, **options)

    async def until_stopped(stop: asyncio.Event) -> None:
        server = asyncio.create_task(run_sandbox(made))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({server, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.cancel()
        stopped.cancel()
        await asyncio.gather(server, stopped, return_exceptions=True)

    app.bind(made.host, made.port).close()
    asyncio.run(app.until_stopped(until_stopped))


@commands.command()
@click.option(
    "--stamp",
    type=click.Choice(["production", "demo"]),
    default="production",
    show_default=True,
    help="What a new database is for, for ever; a demo may have providers without TLS.",
)
def migrate(stamp: Literal["production", "demo"]) -> None:
    """Bring the database to the newest schema and stamp a new one.

    Example: `BENEFITS_DATABASE_URL=postgresql://… BENEFITS_MEMBER_KEY_FILE=… benefits migrate`
    """

    async def main_() -> None:
        database = connect(settings.read_database_url(os.environ))
        try:
            key = settings.read_member_key(os.environ)
            await check_server(database)
            installation = await run_migrations(database, stamp, key)
        finally:
            await database.close()
        console.print(f"The database is ready and stamped {installation.stamp}.")

    asyncio.run(main_())


@commands.group()
def programme() -> None:
    """Programmes: tiers, benefits, package lines, providers, budgets."""


@programme.command("apply")
@click.argument("file", type=click.File(encoding="utf-8"))
def programme_apply(file: TextIO) -> None:
    """Put a programme FILE into force as its next version.

    Example: `benefits programme apply wealth.toml`
    """
    made = read(file.read())

    async def work_(house: app.House) -> None:
        if house.installation.is_production:
            check_for_production(made)

        async def apply(conn: Connection) -> Any:
            return await apply_programme(conn, made, house.parts)

        applied = await house.database.transact(apply)
        how = "is now in force" if applied.is_new else "was in force already"
        console.print(f"Version {applied.version} of {made.code} {how}.")

    _run(work_)


@commands.group("import")
def import_() -> None:
    """Import files of the bank; a bad line is named and does not stop the rest."""


@import_.command("members")
@click.argument("file", type=TEXT)
def import_members_(file: TextIO) -> None:
    """Import customers: `customer,opened_on[,closed_on][,branch][,manager][,labels]`.

    Example: `benefits import members customers.csv`
    """

    async def work_(house: app.House) -> None:
        done = await import_members(
            house.database,
            house.parts,
            file,
            member_key=house.settings.keys.member_key,
            progress=_progress,
        )
        _tell(done)

    _run(work_)


@import_.command("assets")
@click.argument("file", type=TEXT)
@click.option("--programme", "code", default=None, help="Whose currency and classes hold.")
def import_assets_(file: TextIO, code: str | None) -> None:
    """Import day-end balances.

    Columns: `customer,as_of,asset_class,currency,balance[,account][,source][,revision]`.

    Example: `benefits import assets 2025-06-30.csv`
    """

    async def work_(house: app.House) -> None:
        done = await import_assets(
            house.database,
            house.parts,
            file,
            await _programme(house, code),
            member_key=house.settings.keys.member_key,
            progress=_progress,
        )
        _tell(done)

    _run(work_)


async def _programme(house: app.House, code: str | None) -> Programme:
    """Return the programme of a code, or the only one."""
    known = house.parts.catalogue.latest.programmes
    if code is None and len(known) == 1:
        return next(iter(known.values()))
    if code not in known:
        raise UnknownProgramme(f"Programmes are: {', '.join(sorted(known)) or 'none yet'}.")
    return known[code]


def _progress(done: Imported) -> None:
    console.print(f"{done.lines:,} lines read, {done.kept:,} kept, {done.refused:,} refused")


def _tell(done: Imported) -> None:
    for number, reason in done.shown:
        console.print(f"line {number}: {reason}")
    if done.refused > len(done.shown):
        console.print(f"… and {done.refused - len(done.shown):,} more lines were refused")
    console.print(
        f"{done.lines:,} lines: {done.kept:,} new or changed, {done.unchanged:,} known already, "
        f"{done.refused:,} refused."
    )
    if done.refused:
        sys.exit(2)


@commands.command("evaluate")
@click.option("--period", required=True, help="The month, like 2025-06.")
@click.option("--programme", "code", default=None, help="The programme, when there are several.")
@click.option("--now", default=None, help="Act as if it were this instant (demo and test only).")
def evaluate_(period: str, code: str | None, now: str | None) -> None:
    """Decide the tiers of a closed month and grant what they bring. A run again changes nothing.

    Example: `benefits evaluate --period 2025-06`
    """
    try:
        month = Month.parse(period)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--period") from None
    at = _instant(now) if now else None

    async def work_(house: app.House) -> None:
        if at is not None and house.installation.is_production:
            raise DatabaseUnsuitable("--now is not for a production database.")
        chosen = await _programme(house, code)
        if at is not None:
            await ensure_partitions(house.database, at)
        total = Evaluated()
        ranges = await slices(house.database)
        for done, buckets in enumerate(ranges, 1):
            one = await evaluate(house.database, house.parts, chosen.code, month, buckets=buckets)
            total = total.plus(one)
            if done % 16 == 0 or done == len(ranges):
                console.print(f"{done} of {len(ranges)}: {total.members:,} members")
        names = [f"{t.code} {total.ranks.get(n, 0):,}" for n, t in enumerate(chosen.tier)]
        console.print(
            f"{month}: {total.decisions:,} decisions, {total.grants:,} grants; {', '.join(names)}."
        )

    _run(work_, **({"clock": lambda: at} if at else {}))


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            "write it like 2025-07-02T03:10:00Z", param_hint="--now"
        ) from None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


@commands.command("verify")
def verify_() -> None:
    """Check the books anew: replay postings, holds and balances, and name every difference.

    Example: `benefits verify` (exit status 3 when something is wrong)
    """

    async def work_(house: app.House) -> None:
        found = 0
        async for one in verify(house.database, house.parts):
            if isinstance(one, Finding):
                found += 1
                click.echo(f"{one.kind} {one.subject}: {one.detail}")
        console.print(f"{found} findings.")
        if found:
            sys.exit(3)

    _run(work_)


@commands.command()
def openapi() -> None:
    """Print the OpenAPI document of the API.

    Example: `benefits openapi > openapi/benefits.json`
    """
    click.echo(app.document().decode(), nl=False)


@commands.group()
def key() -> None:
    """Make API keys for the services that call."""


@key.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES))
def key_create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key for the service NAME and print it; it is shown this once.

    Example: `benefits key create mobile-bank --scope mobile`
    """

    async def work_(house: app.House) -> None:
        async with house.database.transaction() as conn:
            click.echo(await make_key(conn, name, scopes, house.parts))

    _run(work_)


@key.command("list")
def key_list() -> None:
    """List all keys: id, name, scopes, since when, until when. Secrets are not kept.

    Example: `benefits key list`
    """

    async def work_(house: app.House) -> None:
        async with house.database.transaction() as conn:
            for one in await list_keys(conn):
                end = f"revoked {one.ends_at:%Y-%m-%d %H:%M}Z" if one.ends_at else "valid"
                since = f"{one.created_at:%Y-%m-%d %H:%M}Z"
                click.echo(f"{one.key_id}  {one.name}  {','.join(one.scopes)}  {since}  {end}")

    _run(work_)


@key.command("revoke")
@click.argument("key_id", type=click.UUID)
def key_revoke(key_id: UUID) -> None:
    """Revoke the key KEY_ID; to rotate, create the next under the same name first.

    Example: `benefits key revoke 01a2046f-5e02-7ae9-8c62-6ed8c8e82000`
    """

    async def work_(house: app.House) -> None:
        async with house.database.transaction() as conn:
            await revoke_key(conn, key_id, house.parts)
        console.print("The key is revoked; running services forget it within a minute.")

    _run(work_)
