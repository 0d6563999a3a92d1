"""The commands that run: the whole demo, the service, the worker, a sandbox provider."""

import asyncio
import os
from pathlib import Path
from typing import Any

import rich_click as click

from benefits import app, logs, settings
from benefits import up as demo_up
from benefits.cli.house import PORT, console
from benefits.domain.values import BUCKETS
from benefits.sandbox.behaviour import EXPLAINED, Behaviour
from benefits.sandbox.server import SandboxSettings
from benefits.sandbox.server import run as run_sandbox

SANDBOX_HELP = """Run a provider that speaks the `open` contract and has the faults of real ones.

Example: `benefits sandbox --callback-url http://127.0.0.1:8080/callbacks/sandbox`

\b
Behaviours:
""" + "\n".join(f"{one.value:22} {words}" for one, words in EXPLAINED.items())


@click.command()
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


@click.command()
@click.option("--host", default=None, help="Address to listen on; default BENEFITS_HOST.")
@click.option("--port", default=None, type=PORT, help="Port to listen on; default BENEFITS_PORT.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the HTTP API and the benefits page.

    Example: `BENEFITS_DATABASE_URL_FILE=/run/secrets/dsn benefits serve --port 8080`
    """
    logs.configure()
    given = settings.load(os.environ)
    app.serve(settings.override(given, host=host, port=port))


@click.command()
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
