"""How tests send feeds: files with their manifests, as a bank makes them."""

import hashlib
import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from benefits.actions.import_feed import import_feed
from benefits.domain.feeds import FeedKey, FeedKind, FeedManifest
from benefits.domain.values import Month
from tests.builders import World, reference_programme

HEADER = "customer,asset_class,currency,balance\n"
EARLY = Month(2024, 1)
Balances = Sequence[tuple[str, int]]


async def fed(
    world: World,
    *sources: str,
    weights: dict[str, Decimal] | None = None,
    tiers_from: Month = EARLY,
) -> None:
    """Let the programme's days be known by feeds of sources, `core` unless others are named."""
    plain = reference_programme()
    policy = msgspec.structs.replace(plain.policy, weights=weights or {})
    programme = msgspec.structs.replace(plain, feeds=sources or ("core",), policy=policy)
    await world.apply(programme, tiers_from=tiers_from)


def file(balances: Balances) -> bytes:
    """Write balances of customers, in minor units, as a bank does."""
    lines = [f"{name},DEPOSIT,CNY,{Decimal(minor).scaleb(-2)}\n" for name, minor in balances]
    return (HEADER + "".join(lines)).encode()


def manifest(
    text: bytes, key: FeedKey, balances: Balances, kind: FeedKind = FeedKind.FULL
) -> FeedManifest:
    """Say of a file what it is."""
    return FeedManifest(
        source=key.source,
        date=key.as_of,
        revision=key.revision,
        rows=len(balances),
        totals={"CNY": str(Decimal(sum(minor for _, minor in balances)).scaleb(-2))},
        sha256=hashlib.sha256(text).hexdigest(),
        kind=kind,
    )


async def take(world: World, text: bytes, said: FeedManifest) -> list[str]:
    """Import a file as the command does."""
    return await import_feed(
        world.database,
        world.parts,
        io.BytesIO(text),
        said,
        programme_code=None,
        progress=lambda _: None,
    )


async def send(
    world: World, key: FeedKey, balances: Balances, kind: FeedKind = FeedKind.FULL
) -> list[str]:
    """Send the balances of a day; return why they were refused."""
    text = file(balances)
    return await take(world, text, manifest(text, key, balances, kind))


async def sums(world: World) -> dict[tuple[str, date], int]:
    """Return the sums that are kept, by member and month, zeros left out."""
    found = await world.rows(
        "SELECT member_id::text, month, sum(sum_minor)::bigint AS n FROM asset_month GROUP BY 1, 2"
    )
    return {(row.member_id, row.month): row.n for row in found if row.n}
