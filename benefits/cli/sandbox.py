"""The command that runs a provider which misbehaves."""

import asyncio
import os
from typing import Any

import rich_click as click

from benefits import logs, process, settings
from benefits.sandbox.behaviour import EXPLAINED, Behaviour
from benefits.sandbox.server import SandboxSettings
from benefits.sandbox.server import run as run_sandbox

PORT = click.IntRange(1, 65535)
SANDBOX_HELP = """Run a provider that speaks the `open` contract and has the faults of real ones.

Example: `benefits sandbox --callback-url http://127.0.0.1:8080/callbacks/sandbox`

\b
Behaviours:
""" + "\n".join(f"{one.value:22} {words}" for one, words in EXPLAINED.items())


@click.command(help=SANDBOX_HELP)
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
    known = settings.read_provider_secrets(os.environ).get("sandbox", ())
    secrets = known if isinstance(known, tuple) else ()
    behaviour = Behaviour(options.pop("behaviour"))
    made = SandboxSettings(secrets=secrets, behaviour=behaviour, **options)

    async def until_stopped(stop: asyncio.Event) -> None:
        server = asyncio.create_task(run_sandbox(made))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({server, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.cancel()
        stopped.cancel()
        await asyncio.gather(server, stopped, return_exceptions=True)

    process.bind(made.host, made.port).close()
    asyncio.run(process.until_stopped(until_stopped))
