"""The commands of the demo: all of it on one machine, and tokens of its own issuer."""

from pathlib import Path

import rich_click as click

from benefits import up as demo_up
from benefits.cli.console import console
from benefits.domain.callers import SCOPES

PORT = click.IntRange(1, 65535)


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
