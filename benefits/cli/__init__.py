"""The commands. Each prints what it did in a line or two, and refusals in words with status 1.

A command's module is loaded when the command is used, and nothing but the list of them before.
"""

import sys
from importlib import import_module

import rich_click as click

from benefits import VERSION, lifeline
from benefits.cli.console import console
from benefits.domain.refusal import Refusal

CONTEXT = {"help_option_names": ["-h", "--help"]}
# Where each command is, and what the list of them says: how its own help begins.
COMMANDS = {
    "up": (
        "demo:up",
        (
            "Run service, worker and a sandbox provider on an embedded PostgreSQL, "
            "with a demo programme."
        ),
    ),
    "serve": ("processes:serve", "Serve the HTTP API and the benefits page."),
    "work": (
        "processes:work",
        ("Deliver to providers, apply their callbacks, record expiries. Run as many as you like."),
    ),
    "sandbox": (
        "sandbox:sandbox",
        "Run a provider that has the faults of real ones, by default one of the contract `open`.",
    ),
    "certify": (
        "certify:certify_",
        "Prove by named checks that a provider keeps its contract, against its own endpoint.",
    ),
    "roles": (
        "roles:roles",
        "Make and check the database roles: owner, migrator, runtime, auditor, reader.",
    ),
    "migrate": (
        "database:migrate",
        "Bring the database to the newest schema and stamp a new one.",
    ),
    "reseal": (
        "reseal:reseal_",
        "Seal everything stored anew with the first of BENEFITS_SECRET_KEYS.",
    ),
    "verify": (
        "database:verify_",
        "Check the books anew: replay postings, holds and balances, and name every difference.",
    ),
    "proof": (
        "audit:proof",
        "Print a proof that BATCH is in the signed log; `docs/check_proof.py` checks it anywhere.",
    ),
    "replay": (
        "audit:replay",
        (
            "Decide a month's tiers again from what was known then, "
            "and name what comes out otherwise."
        ),
    ),
    "subject": (
        "audit:subject",
        "Print under which name SUBJECT, the `sub` of an issuer's tokens, stands in the books.",
    ),
    "seal-key": (
        "audit:seal_key",
        (
            "Print the public key of the log's checkpoints, for auditors and "
            "BENEFITS_SEAL_PUBLIC_KEYS."
        ),
    ),
    "programme": (
        "programmes:programme",
        "Programmes: tiers, benefits, package lines, providers, budgets.",
    ),
    "callbacks": (
        "callbacks:callbacks",
        "Callbacks of providers: read those again that came to nothing, after a fix.",
    ),
    "proposal": (
        "proposals:proposal",
        "Proposals: versions, approvals, blocks, orders, fraud: one person asks, another agrees.",
    ),
    "import": (
        "bank:import_",
        "Import files of the bank; a bad line is named and does not stop the rest.",
    ),
    "codes": (
        "codes:codes",
        "Print as CSV what became of a PROVIDER's codes, batch by batch.",
    ),
    "feeds": ("feeds:feeds", "List the feeds of a month, and the days that are missing."),
    "fill": (
        "fills:fill",
        "Fill days that their source did not send in time: one proposes, another approves.",
    ),
    "evaluate": (
        "runs:evaluate_",
        (
            "Decide the tiers of a closed month and grant what they bring. "
            "A run again changes nothing."
        ),
    ),
    "start-period": (
        "runs:start_period_",
        ("Bring members the units of the periods that run, where lines start with them."),
    ),
    "look-ahead": (
        "runs:look_ahead_",
        (
            "Look ahead in the running month: who may lose a tier, who is near one, "
            "who has reached it."
        ),
    ),
    "baseline": (
        "growth:baseline",
        "Baselines: what members' averages were in a month, frozen before a campaign.",
    ),
    "growth": (
        "growth:growth",
        "Print as CSV by how much members' averages grew over the baseline NAME.",
    ),
    "population": (
        "population:population",
        "Count the members whom a rule lets in today, or list them.",
    ),
    "close-month": (
        "books:close_month",
        "Close a MONTH of the books: what is recorded later is booked in the next one.",
    ),
    "partitions": (
        "partitions:partitions",
        "Months of the ledger: which there are; take old ones out into files, put them back.",
    ),
    "report": (
        "books:report_",
        "Print totals, liability or vintages of the whole ledger as CSV, or a month's costs.",
    ),
    "orders": (
        "operating:orders",
        "Orders that are not decided: list them, show one with its calls, try one again.",
    ),
    "providers": (
        "operating:providers",
        "See how providers stand and what waits for them; pause one, let it go again.",
    ),
    "expire": (
        "runs:expire_",
        "Record units that ended unspent, claims never sent, and orders nobody answered.",
    ),
    "key": ("callers:key", "Make API keys for the services that call."),
    "token": (
        "demo:token",
        "Print a token of the demo's own issuer, for a service that `up` runs.",
    ),
    "openapi": (
        "document:openapi",
        "Print the OpenAPI document of the API, or what it would break of an older one.",
    ),
}


class Late(click.RichGroup):
    """A group that knows what its commands are called and do, and loads the one that is used."""

    def load(self, name: str) -> click.Command:
        """Return a command itself."""
        module, _, attribute = COMMANDS[name][0].partition(":")
        made: click.Command = getattr(import_module(f"benefits.cli.{module}"), attribute)
        return made

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant and what is left for it; it is loaded here."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if listed and name else None, rest


def main() -> None:
    """Run a command; refusals are told in words, everything else is a bug and shows its story."""
    if not __debug__:  # the ledger's last stops are assertions
        sys.exit(
            "Python must run without -O and PYTHONOPTIMIZE: they take the ledger's checks away."
        )
    try:
        commands(standalone_mode=True)
    except Refusal as refusal:
        console.print(f"{refusal.code}: {refusal.detail}")
        sys.exit(1)


@click.group(cls=Late, context_settings=CONTEXT)
@click.version_option(VERSION)
@click.option("--until-stdin-ends", is_flag=True, hidden=True, help="For `up`'s own children.")
def commands(*, until_stdin_ends: bool) -> None:
    """Membership benefits and loyalty ledger.

    Example: `benefits up` shows the whole service with a demo programme.
    """
    if until_stdin_ends:
        lifeline.end_with_stdin()


for name, (_, words) in COMMANDS.items():
    commands.add_command(click.RichCommand(name=name, help=words))
