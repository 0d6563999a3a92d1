"""How tests bring other currencies: rates, balances and feeds in them, as a bank does."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from benefits.actions.import_files import Imported, assets_of, import_file, import_rates
from benefits.domain.feeds import FeedKey, FeedKind, FeedManifest
from benefits.domain.programme import Programme
from benefits.store import rates as store_rates
from benefits.store.db import Connection
from benefits.worker import Worker
from tests.actions.feeding import take
from tests.builders import World, reference_programme

RATES = "currency,date,rate,per,revision\n"
ASSETS = "customer,as_of,asset_class,currency,balance,account,revision\n"
FEED = "customer,asset_class,currency,balance,account\n"
DIGITS = {"CNY": 2, "USD": 2, "JPY": 0, "KWD": 3}


def converting(*feeds: str, **policy: object) -> Programme:
    """Return the reference programme, with three other currencies."""
    plain = reference_programme()
    return msgspec.structs.replace(
        plain,
        currencies=("USD", "JPY", "KWD"),
        feeds=feeds,
        policy=msgspec.structs.replace(plain.policy, **policy),
    )


async def rates(world: World, *lines: str, dry_run: bool = False) -> Imported:
    """Import rates as the command does."""
    return await import_rates(
        world.database,
        world.parts,
        [RATES, *(f"{line}\n" for line in lines)],
        progress=lambda _: None,
        dry_run=dry_run,
    )


async def balances(world: World, *lines: str) -> Imported:
    """Import balances as the command does."""
    async with world.database.transaction() as conn:
        programme = (await world.parts.catalogue.current(conn)).programmes["wealth"]
    return await import_file(
        world.database,
        world.parts,
        assets_of(programme),
        [ASSETS, *(f"{line}\n" for line in lines)],
        progress=lambda _: None,
    )


async def send(
    world: World, key: FeedKey, lines: Sequence[str], kind: FeedKind = FeedKind.FULL
) -> list[str]:
    """Send a feed of lines `customer,class,currency,balance,account`."""
    totals = dict[str, Decimal]()
    for line in lines:
        _, _, currency, balance, _ = line.split(",")
        totals[currency] = totals.get(currency, Decimal(0)) + Decimal(balance)
    text = (FEED + "".join(f"{line}\n" for line in lines)).encode()
    said = FeedManifest(
        source=key.source,
        date=key.as_of,
        revision=key.revision,
        rows=len(lines),
        totals={currency: f"{total:f}" for currency, total in totals.items()},
        sha256=hashlib.sha256(text).hexdigest(),
        kind=kind,
    )
    return await take(world, text, said)


async def all_used(world: World) -> None:
    """Let the worker put to use what an import left."""
    while await Worker(world.database, world.parts, {}).use_rates():
        pass


@contextlib.contextmanager
def cut_after(steps: int | None) -> Iterator[None]:
    """Let rates be put to use a few buckets at a time, and end after some."""
    whole, left = store_rates.use, steps

    async def use(conn: Connection, run_: store_rates.Run, count: int) -> store_rates.Run:
        nonlocal left
        if left is not None:
            if not left:
                raise CutError
            left -= 1
            count = 150
        return await whole(conn, run_, count)

    store_rates.use = use
    try:
        with contextlib.suppress(CutError):
            yield
    finally:
        store_rates.use = whole


class CutError(Exception):
    """The process ends here."""
