"""The commands of the bank's feeds: import one, list what became of them, say what is missing."""

import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import BinaryIO

import rich_click as click

from benefits.actions.import_feed import Filled, import_feed, rehearse_feed
from benefits.actions.parts import Parts
from benefits.actions.see_feeds import Seen, list_feeds, list_missing, see_feed
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, record, run, say_if_dry
from benefits.domain.explanation import money
from benefits.domain.feeds import (
    Decided,
    FeedKind,
    FeedManifest,
    FeedState,
    read_manifest,
    spans,
)
from benefits.domain.values import BUCKETS, Month, local_date
from benefits.house import House
from benefits.store.db import Connection

LISTED_AT_ONCE = 500
PROGRESS_EVERY_S = 5.0
STOPPED = "Stopped. The same command goes on where this one was."
MANIFEST_MAX = 2**20


@click.command("feed")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--manifest", "said", type=click.File("rb"), required=True, help="What the bank says it sent."
)
@click.option("--programme", "code", default=None, help="Whose currency and classes hold.")
@DRY_RUN
def import_feed_(file: BinaryIO, said: BinaryIO, code: str | None, *, dry_run: bool) -> None:
    """Import the balances of a source's day, and seal them when they are what the manifest says.

    Columns: `customer,asset_class,currency,balance[,account][,as_of]`. The manifest is JSON:
    `source`, `date`, `revision`, `kind` (FULL, or DELTA for changes alone), `rows`, `totals` per
    currency and `sha256` of the file. A file of a revision below 0 is kept to fill a missing day
    with (`benefits fill`).

    Example: `benefits import feed core.csv --manifest core.json`, or first with `--dry-run`
    """
    manifest = read_manifest(said.read(MANIFEST_MAX))

    async def work_(house: House) -> None:
        with console.status("Importing …") as status:
            telling = _Telling(status.update)
            take = rehearse_feed if dry_run else import_feed
            reasons = await take(
                house.database,
                house.parts,
                file,
                manifest,
                programme_code=code,
                progress=telling.tell,
            )
        seen = None
        if not dry_run:
            async with house.database.transaction() as conn:
                seen = await see_feed(conn, manifest.key, house.parts)
            _record(manifest, seen.received.feed.state)
        _end(manifest, reasons, seen.received.waits_for if seen else None, dry_run=dry_run)
        say_decided(seen.decided if seen else [])

    try:
        run(work_)
    except KeyboardInterrupt:
        console.print(STOPPED)
        sys.exit(130)


def _record(manifest: FeedManifest, state: FeedState) -> None:
    """Log what became of a feed; one that is not sealed yet is by the worker, later."""
    key = manifest.key
    events = {FeedState.REFUSED: "feed.refused", FeedState.SEALED: "feed.sealed"}
    event = events.get(state, "feed.received")
    day = str(key.as_of)
    record(event, source=key.source, date=day, revision=key.revision, lines=manifest.rows)


class _Telling:
    """Tells how far an import is: all the time on a terminal, else now and then."""

    def __init__(self, update: Callable[[str], None]) -> None:
        self._update = update
        self._start = self._told = time.monotonic()

    def tell(self, done: Filled) -> None:
        """Tell it."""
        now = time.monotonic()
        rate = done.tally.rows / max(now - self._start, 0.001)
        text = f"{done.tally.rows:,} lines read, {done.tally.bad:,} not valid; {rate:,.0f} lines/s"
        if done.applied:
            text += f"; applying, {done.applied / BUCKETS:.0%}"
        self._update(text)
        if not console.is_terminal and now - self._told >= PROGRESS_EVERY_S:
            self._told = now
            console.print(text)


def _end(
    manifest: FeedManifest, reasons: Sequence[str], waits_for: date | None, *, dry_run: bool
) -> None:
    """Say what became of a feed; one that is refused is status 2."""
    for reason in reasons:
        console.print(reason)
    key = manifest.key
    if key.is_fill and not reasons:
        console.print(
            f"{key} is received: {manifest.rows:,} lines. It counts nowhere before two people "
            f"fill the day: `benefits fill propose {key.source} {key.as_of} MANUAL --revision "
            f"{key.revision}`"
        )
    elif reasons:
        console.print(f"{key} is refused: its day stays unsealed. Send the next revision.")
    elif waits_for is not None:
        console.print(
            f"{key} is as its manifest says: {manifest.rows:,} lines. It waits for {key.source} "
            f"{waits_for}, which it stands on, and counts when that is sealed."
        )
    else:
        console.print(f"{key} is sealed: {manifest.rows:,} lines.")
    say_if_dry(dry_run=dry_run)
    if reasons:
        sys.exit(2)


@click.command("feeds")
@click.option("--month", "text", default=None, help="The month, like 2025-06; this one if absent.")
def feeds(text: str | None) -> None:
    """List the feeds of a month, and the days that are missing.

    Example: `benefits feeds --month 2025-06`
    """
    try:
        wanted = Month.parse(text) if text else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--month") from None

    async def work_(house: House) -> None:
        catalogue = house.parts.catalogue.latest
        month = wanted or Month.of(local_date(house.parts.clock(), catalogue.zone))
        async with house.database.transaction() as conn:
            await _list(conn, house.parts, month)
            missing = await list_missing(conn, house.parts, month)
        for one in missing:
            days = spans(one.days)
            console.print(f"{one.programme}: {one.source} is not sealed for {month}: {days}")

    run(work_)


async def _list(conn: Connection, parts: Parts, month: Month) -> None:
    after = None
    while True:
        found = await list_feeds(conn, parts, month, after=after, limit=LISTED_AT_ONCE)
        for seen in found:
            console.print(_line(seen))
            say_decided(seen.decided)
        if len(found) < LISTED_AT_ONCE:
            return
        after = found[-1].received.feed.key


def say_decided(decided: Sequence[Decided]) -> None:
    """Say which months had been decided before balances changed, and what decides them anew."""
    for code in sorted({one.programme for one in decided}):
        months = [str(one.month) for one in decided if one.programme == code]
        console.print(
            f"{code}: {', '.join(months)} had been decided before; "
            f"`benefits evaluate --period {months[-1]}` decides anew."
        )


def major(minor: int, digits: int) -> str:
    """Write minor units as a grouped amount, with its sign."""
    return f"{'-' if minor < 0 else ''}{money(abs(minor), digits)}"


def _line(seen: Seen) -> str:
    received = seen.received
    feed = received.feed
    totals = ", ".join(f"{c} {major(minor, seen.digits[c])}" for c, minor in feed.totals.items())
    at = f" at {feed.sealed_at:%F %T} UTC" if feed.sealed_at else ""
    why = f" ({feed.reasons[0]})" if feed.state is FeedState.REFUSED else ""
    what = f"{received.lines:,} lines, {totals or 'no totals'}{why}"
    if feed.kind is FeedKind.DELTA:
        what = f"changes alone, {what}"
    if received.waits_for is not None:
        what += f"; waits for {received.waits_for}"
    if feed.fill is not None:
        what += f"; filled: {feed.fill.value}"
    return f"{feed.key}: {feed.state.value}{at}; {what}"
