"""The commands. Each prints what it did in a line or two, and refusals in words with status 1."""

import sys

import rich_click as click

from benefits import app, lifeline
from benefits.cli.bank import evaluate_, import_, programme
from benefits.cli.callers import key, token
from benefits.cli.database import migrate, verify_
from benefits.cli.document import openapi
from benefits.cli.house import console
from benefits.cli.processes import sandbox, serve, up, work
from benefits.cli.roles import roles
from benefits.domain.refusal import Refusal

CONTEXT = {"help_option_names": ["-h", "--help"]}
COMMANDS = (
    *(up, serve, work, sandbox),
    *(roles, migrate, verify_),
    *(programme, import_, evaluate_),
    *(key, token, openapi),
)


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


for command in COMMANDS:
    commands.add_command(command)
