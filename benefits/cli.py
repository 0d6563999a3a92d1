"""The commands. Each prints what it did in a line or two, and refusals in words with status 1."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO
from uuid import UUID

import msgspec
import rich_click as click
import structlog
from rich.console import Console

from benefits import app, lifeline, logs, settings
from benefits import up as demo_up
from benefits.actions.apply_programme import apply_programme
from benefits.actions.evaluate import Evaluated, UnknownProgramme, evaluate, slices
from benefits.actions.import_files import Imported, Progress, import_assets, import_members
from benefits.actions.keys import list_keys, make_key, revoke_key, rotate_key
from benefits.actions.verify import verify
from benefits.cli_roles import roles
from benefits.domain.callers import KEY_SCOPES, SCOPES
from benefits.domain.catalogue import Programme, check_for_production, read
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS, Month
from benefits.sandbox.behaviour import EXPLAINED, Behaviour
from benefits.sandbox.server import SandboxSettings
from benefits.sandbox.server import run as run_sandbox
from benefits.store.db import Connection, DatabaseUnsuitable, check_server, connect
from benefits.store.migrate import ensure_partitions
from benefits.store.migrate import migrate as run_migrations
from benefits.store.verify import Finding
from benefits.web.changes import changes

log = structlog.get_logger()
_BEGUN = time.monotonic()
console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
# Bytes that are no UTF-8 come as surrogates, so that they spoil their own line only.
TEXT = click.File(encoding="utf-8", errors="surrogateescape")
PORT = click.IntRange(1, 65535)
CONTEXT = {"help_option_names": ["-h", "--help"]}
SANDBOX_HELP = """Run a provider that speaks the `open` contract and has the faults of real ones.

Example: `benefits sandbox --callback-url http://127.0.0.1:8080/callbacks/sandbox`

\b
Behaviours:
""" + "\n".join(f"{one.value:22} {words}" for one, words in EXPLAINED.items())
PROGRESS_EVERY_S = 5.0  # where it is written down; a terminal shows every step in one place


def main() -> None:
    """Run a command; refusals are told in words, everything else is a bug and shows its story."""
    try:
        commands(standalone_mode=True)
    except Refusal as refusal:
        console.print(f"{refusal.code}: {refusal.detail}")
        sys.exit(1)


@click.group(context_settings=CONTEXT)
@click.version_option(app.VERSION)
@click.option("--until-stdin-ends", is_flag=True, hidden=True, help="For `up`'s own children.")
def commands(*, until_stdin_ends: bool) -> None:
    """Membership benefits and loyalty ledger.

    Example: `benefits up` shows the whole service with a demo programme.
    """
    if until_stdin_ends:
        lifeline.end_with_stdin()


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
@click.option(
    "--metrics-port",
    default=None,
    type=click.IntRange(1, 65534),
    help="Of the service's figures; the worker's: + 1.",
)
def up(data: Path, port: int, sandbox_port: int, metrics_port: int | None) -> None:
    """Run service, worker and a sandbox provider on an embedded PostgreSQL, with a demo programme.

    Example: `benefits up --data /tmp/demo --port 8181`
    """
    if port == sandbox_port:
        raise click.BadParameter("must differ from --port", param_hint="--sandbox-port")
    ports = demo_up.Ports(port, sandbox_port, metrics_port)
    demo_up.run(data, ports, say=console.print)


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


@commands.command(help=SANDBOX_HELP)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, type=PORT, show_default=True)
@click.option("--callback-url", required=True, help="Where the service takes callbacks.")
@click.option("--database", default=":memory:", show_default=True, help="SQLite file of its book.")
@click.option(
    "--behaviour",
    type=click.Choice([b.value for b in Behaviour]),
    default=Behaviour.MIXED.value,
    show_default=True,
    metavar="NAME",
    help="How it treats orders; see above.",
)
def sandbox(**options: Any) -> None:
    """Run a provider (its help is SANDBOX_HELP, made from the table of behaviours)."""
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

    async def take(house: app.House, progress: Progress) -> Imported:
        return await import_members(
            house.database,
            house.parts,
            file,
            member_key=house.settings.keys.member_key,
            progress=progress,
        )

    _import("members", file, take)


@import_.command("assets")
@click.argument("file", type=TEXT)
@click.option("--programme", "code", default=None, help="Whose currency and classes hold.")
def import_assets_(file: TextIO, code: str | None) -> None:
    """Import day-end balances.

    Columns: `customer,as_of,asset_class,currency,balance[,account][,source][,revision]`.

    Example: `benefits import assets 2025-06-30.csv`
    """

    async def take(house: app.House, progress: Progress) -> Imported:
        return await import_assets(
            house.database,
            house.parts,
            file,
            await _programme(house, code),
            member_key=house.settings.keys.member_key,
            progress=progress,
        )

    _import("assets", file, take)


async def _programme(house: app.House, code: str | None) -> Programme:
    """Return the programme of a code, or the only one."""
    known = house.parts.catalogue.latest.programmes
    if code is None and len(known) == 1:
        return next(iter(known.values()))
    if code not in known:
        raise UnknownProgramme(f"Programmes are: {', '.join(sorted(known)) or 'none yet'}.")
    return known[code]


def _log(event: str, **figures: Any) -> None:
    """Leave one line of a command in the log, for whoever runs it at night."""
    logs.configure()
    log.info(event, **figures, duration_ms=round((time.monotonic() - _BEGUN) * 1000))


def _import(
    what: str, file: TextIO, take: Callable[[app.House, Progress], Awaitable[Imported]]
) -> None:
    """Take a file into the house, tell how far it is, and in the end what was done."""
    done = Imported()
    start = told = time.monotonic()

    async def work_(house: app.House) -> None:
        nonlocal done
        done = await take(house, progress)

    with console.status("Importing …") as status:

        def progress(so_far: Imported) -> None:
            nonlocal done, told
            done, now = so_far, time.monotonic()
            text = _how_far(so_far, now - start, _part_read(file))
            status.update(text)
            if not console.is_terminal and now - told >= PROGRESS_EVERY_S:
                told = now
                console.print(text)

        try:
            _run(work_)
        except KeyboardInterrupt:
            console.print(
                f"Interrupted; {done.lines:,} lines are done. "
                "Import the whole file again: what is known already changes nothing."
            )
            sys.exit(130)
    _tell(what, done)


def _part_read(file: TextIO) -> float | None:
    """Return how much of a file has been read, from 0 to 1; None for a pipe."""
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        return None
    return min(file.buffer.tell() / found.st_size, 1.0)


def _how_far(done: Imported, seconds: float, part: float | None) -> str:
    text = (
        f"{done.lines:,} lines read, {done.kept:,} kept, {done.refused:,} refused; "
        f"{done.lines / max(seconds, 0.001):,.0f} lines/s"
    )
    if not part:
        return text
    left = round(seconds * (1 - part) / part)
    return f"{text}; {part:.0%} of the file, about {left // 60}:{left % 60:02d} min left"


def _tell(what: str, done: Imported) -> None:
    _log(
        "import.done",
        what=what,
        lines=done.lines,
        kept=done.kept,
        unchanged=done.unchanged,
        refused=done.refused,
    )
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
        _log(
            "evaluate.done",
            programme=chosen.code,
            month=str(month),
            members=total.members,
            decisions=total.decisions,
            grants=total.grants,
        )
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
@click.option("--against", type=click.File("rb"), help="An older document to compare with.")
def openapi(against: BinaryIO | None) -> None:
    """Print the OpenAPI document of the API, or what it would break of an older one.

    Example: `benefits openapi > openapi/benefits.json`

    Example: `benefits openapi --against openapi/released.json` (exit status 3 when clients break)
    """
    document = app.document()
    if against is None:
        click.echo(document.decode(), nl=False)
        return
    found = changes(msgspec.json.decode(against.read()), msgspec.json.decode(document))
    for change in found:
        click.echo(str(change))
    broken = sum(change.breaks for change in found)
    console.print(f"{broken} changes break clients.")
    if broken:
        sys.exit(3)


@commands.group()
def key() -> None:
    """Make API keys for the services that call."""


@key.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(KEY_SCOPES))
@click.option("--provider", default="", help="Whose key it is: with the scope provider.")
def key_create(name: str, scopes: tuple[str, ...], provider: str) -> None:
    """Make a key for the service NAME and print it; it is shown this once.

    Example: `benefits key create mobile-bank --scope mobile`
    """

    async def work_(house: app.House) -> None:
        async with house.database.transaction() as conn:
            made = await make_key(conn, name, scopes, house.parts, provider=provider)
        click.echo(made)

    _run(work_)


@key.command("list")
def key_list() -> None:
    """List all keys: id, name, scopes, since when, until when. Secrets are not kept.

    Example: `benefits key list`
    """

    async def work_(house: app.House) -> None:
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

    _run(work_)


@key.command("rotate")
@click.argument("key_id", type=click.UUID)
@click.option("--keep", default="24h", show_default=True, help="How long the old one stays good.")
def key_rotate(key_id: UUID, keep: str) -> None:
    """Make the next key after KEY_ID and print it this once; the old one ends after the overlap.

    Example: `benefits key rotate 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --keep 7d`
    """
    overlap = _duration(keep)

    async def work_(house: app.House) -> None:
        async with house.database.transaction() as conn:
            made = await rotate_key(conn, key_id, house.parts, keep=overlap)
        click.echo(made)
        console.print(f"The old key ends in {keep}.")

    _run(work_)


def _duration(text: str) -> timedelta:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and len(number) < 6 and unit in units):
        raise click.BadParameter("write it like 30m, 24h or 7d", param_hint="--keep")
    return timedelta(**{units[unit]: int(number)})


@key.command("revoke")
@click.argument("key_id", type=click.UUID)
def key_revoke(key_id: UUID) -> None:
    """Revoke the key KEY_ID at once; to change it without a gap, rotate it.

    Example: `benefits key revoke 01a2046f-5e02-7ae9-8c62-6ed8c8e82000`
    """

    async def work_(house: app.House) -> None:
        async with house.database.transaction() as conn:
            await revoke_key(conn, key_id, house.parts)
        console.print("The key is revoked; running services forget it within a minute.")

    _run(work_)


@commands.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("demo-data"))
@click.option("--scope", required=True, type=click.Choice(SCOPES))
@click.option("--customer", default="", help="Whose token it is: with the scope member.")
@click.option("--branch", default="", help="With the scope relationship_manager.")
@click.option("--manager", default="", help="With the scope relationship_manager.")
@click.option("--provider", default="", help="With the scope provider.")
@click.option("--minutes", default=30, type=click.IntRange(1, 60 * 24), show_default=True)
def token(data: Path, scope: str, minutes: int, **bound: str) -> None:
    """Print a token of the demo's own issuer, for a service that `up` runs.

    Example: `benefits token --data demo-data --scope member --customer C0001`
    """
    click.echo(demo_up.token(data, scope, minutes=minutes, bound=bound))
