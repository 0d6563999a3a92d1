"""The commands that serve for real: the service, the worker."""

import os

import rich_click as click

from benefits import app, logs, settings
from benefits.cli.buckets import bucket_range
from benefits.domain.values import BUCKETS

PORT = click.IntRange(1, 65535)


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
    given = settings.load(os.environ)
    with app.fast_runner() as runner:
        runner.run(app.run_worker(given, buckets=bucket_range(buckets)))
