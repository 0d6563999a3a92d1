"""The command about the API's document."""

import sys
from typing import BinaryIO

import msgspec
import rich_click as click

from benefits import app
from benefits.cli.console import console
from benefits.web.document.changes import changes


@click.command()
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
