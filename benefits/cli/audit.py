"""The commands for auditors: the log's public key, proofs from it, tiers decided again."""

import os
import sys
from typing import Any
from uuid import UUID

import msgspec
import rich_click as click

from benefits import settings
from benefits.actions.prove import prove_batch, prove_consistency
from benefits.actions.replay import replay_month
from benefits.cli.buckets import EVERY, bucket_range
from benefits.cli.console import console
from benefits.cli.house import chosen_programme, read_books
from benefits.cli.months import month_of
from benefits.domain.checkpoints import PublicKey
from benefits.domain.refusal import Refusal
from benefits.domain.tokens import name_in_books
from benefits.house import House
from benefits.settings import SettingRefused, Settings
from benefits.store.signing import SealKey, origin


class NotProvable(Refusal):
    """There is nothing signed to prove it by."""

    code = "not_provable"
    words = "No signed checkpoint covers it."


def public_keys(given: Settings) -> tuple[PublicKey, ...]:
    """Return the keys whose signatures count: our own, and those that are named."""
    seed = given.keys.seal_key
    own = [SealKey(seed, origin(given.keys.member_key)).public] if seed else []
    return (*own, *given.seal_public_keys)


@click.command("seal-key")
def seal_key() -> None:
    """Print the public key of the log's checkpoints, for auditors and BENEFITS_SEAL_PUBLIC_KEYS.

    Example: `benefits seal-key > seal-key.pub`
    """
    given = settings.load(os.environ, keys=settings.read_books_keys(os.environ))
    if given.keys.seal_key is None:
        raise SettingRefused("BENEFITS_SEAL_KEY is not set, and BENEFITS_SEAL_KEY_FILE neither")
    click.echo(str(public_keys(given)[0]))


@click.command()
@click.argument("batch", type=click.UUID, required=False)
@click.option(
    "--sizes",
    nargs=2,
    type=click.IntRange(1),
    default=None,
    help="Instead: prove that the log of one checkpoint's size begins as an older one's.",
)
def proof(batch: UUID | None, sizes: tuple[int, int] | None) -> None:
    """Print a proof that BATCH is in the signed log; `docs/check_proof.py` checks it anywhere.

    Example: `benefits proof 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 > proof.json`
    """
    if (batch is None) == (sizes is None):
        raise click.UsageError("Give a batch, or --sizes OLD NEW.")

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            made: dict[str, Any] | None = None
            if batch is not None:
                made = await prove_batch(conn, batch)
            elif sizes is not None:
                made = await prove_consistency(conn, *sizes)
        if made is None:
            raise NotProvable(
                "The batch is not there, not sealed yet, or no checkpoint was signed since."
                if batch is not None
                else "There are no two such checkpoints, the older one first."
            )
        text = msgspec.json.encode(made)
        click.echo(msgspec.json.format(text, indent=2).decode())

    read_books(work_)


@click.command()
@click.argument("alias")
@click.argument("sub", metavar="SUBJECT")
def subject(alias: str, sub: str) -> None:
    """Print under which name SUBJECT, the `sub` of an issuer's tokens, stands in the books.

    ALIAS is the issuer's in BENEFITS_ISSUERS. From a name nobody finds the subject again.

    Example: `benefits subject login 7f0c1d` to find what a person did, by `actor` and `closed_by`
    """
    click.echo(name_in_books(alias, sub, settings.read_member_key(os.environ)))


@click.command("replay")
@click.option("--period", required=True, help="The month, like 2025-06.")
@click.option("--programme", "code", default=None, help="The programme, when there are several.")
@click.option("--buckets", default=EVERY, help="A share of the members, like 0-15.")
def replay(period: str, code: str | None, buckets: str) -> None:
    """Decide a month's tiers again from what was known then, and name what comes out otherwise.

    Each decision is made of the rows and the rules that were there as it was made: some hundred a
    second, so name a few buckets of a large bank.

    Example: `benefits replay --period 2025-06 --buckets 0-15` (exit status 3 if anything differs)
    """
    month, (first, last) = month_of(period, "--period"), bucket_range(buckets)

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            await house.parts.catalogue.current(conn)
        chosen, count, wrong = chosen_programme(house, code).code, 0, 0
        for bucket in range(first, last + 1):
            for again in await replay_month(
                house.database, house.parts, chosen, month, bucket=bucket
            ):
                count += 1
                if again.differs:
                    wrong += 1
                    click.echo(f"{again.decided.decision_id}: {', '.join(again.differs)}")
        console.print(f"{month}: {count:,} decisions decided again, {wrong:,} of them otherwise.")
        if wrong:
            sys.exit(3)

    read_books(work_)
