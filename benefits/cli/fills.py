"""The commands about days that never came: propose what fills one, approve it, list them (A-6)."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec
import rich_click as click

from benefits.actions.agree import Decide, Desk, Propose
from benefits.actions.fill_day import Fills, fill_now
from benefits.actions.parts import Parts
from benefits.actions.see_feeds import see_feed
from benefits.cli.agreements import BY, NOTE, Teller, checked
from benefits.cli.console import console
from benefits.cli.feeds import major, say_decided
from benefits.cli.house import DRY_RUN, run
from benefits.domain.feeds import FeedKey
from benefits.domain.fills import Effect, FillKind, Wanted
from benefits.domain.values import BUCKETS
from benefits.house import House
from benefits.store.db import Connection
from benefits.store.fills import FillSeen


@click.group()
def fill() -> None:
    """Fill days that their source did not send in time: one proposes, another approves."""


@fill.command("propose")
@click.argument("source")
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("kind", type=click.Choice([kind.value for kind in FillKind]))
@click.option("--revision", type=int, default=None, help="Of a MANUAL fill's file: below 0.")
@NOTE
@BY
@DRY_RUN
def propose_(
    source: str,
    day: datetime,
    kind: str,
    *,
    revision: int | None,
    note: str,
    by: str,
    dry_run: bool,
) -> None:
    """Propose to fill a DAY of a SOURCE: with the lines sent last, with nothing, or with a file.

    A file is imported first, under a revision below 0 in its manifest, and counts nowhere.

    Example: `benefits fill propose core 2025-06-29 CARRY_FORWARD --note "Down." --by anna-li`
    """
    asked = {"source": source, "date": day.date(), "kind": kind, "revision": revision}
    wanted = checked(asked, Wanted)
    command = Propose(caller=TELLER.named(by), wanted=wanted, note=note)
    _do(lambda desk: desk.put(command), "proposed", dry_run=dry_run)


@fill.command("approve")
@click.argument("fill_id", type=click.UUID)
@click.option("--hash", "digest", required=True, help="The hash that stood with the proposal.")
@BY
@DRY_RUN
def approve(fill_id: UUID, *, digest: str, by: str, dry_run: bool) -> None:
    """Approve the fill FILL_ID by its hash, and seal its day.

    Example: `benefits fill approve 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --hash … --by ben-wu`
    """
    command = Decide(caller=TELLER.named(by), proposal_id=fill_id, digest=digest)
    _do(lambda desk: desk.say(command), "approved", dry_run=dry_run)


@fill.command("reject")
@click.argument("fill_id", type=click.UUID)
@NOTE
@BY
@DRY_RUN
def reject(fill_id: UUID, *, note: str, by: str, dry_run: bool) -> None:
    """Reject the fill FILL_ID, or withdraw one's own.

    Example: `benefits fill reject 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --note "Sent." --by ben-wu`
    """
    command = Decide(caller=TELLER.named(by), proposal_id=fill_id, note=note)
    _do(lambda desk: desk.say(command), "rejected", dry_run=dry_run)


@fill.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that were decided, too.")
def list_(*, everything: bool) -> None:
    """List the fills that wait for a word, each with its hash.

    Example: `benefits fill list`
    """
    run(partial(TELLER.waiting, everything=everything))


def _do(
    say: Callable[[Desk[Wanted, Effect, FillSeen]], Awaitable[UUID]], event: str, *, dry_run: bool
) -> None:
    """Say a person's word, tell how the fill stands, and move the sums of what was approved."""

    async def work_(house: House) -> None:
        seen = await TELLER.word(house, say, event, dry_run=dry_run)
        if not dry_run and seen.revision is not None:
            await _seal(house, seen, seen.revision)

    run(work_)


async def _tell(conn: Connection, seen: FillSeen, parts: Parts) -> None:
    """Say what a fill does, who proposed it, and by which hash it is approved."""
    wanted, effect = msgspec.convert(seen.body, Wanted), msgspec.convert(seen.effect, Effect)
    digits = (await parts.catalogue.current(conn)).digits
    totals = ", ".join(f"{c} {major(n, digits[c])}" for c, n in effect.totals.items())
    carried = f" of {effect.carried_day}" if effect.carried_day else ""
    console.print(
        f"{seen.proposal_id} {seen.state(parts.clock())}: {wanted.source} {wanted.date} "
        f"{wanted.kind.value}, {effect.rows:,} lines{carried}, {totals or 'no totals'}; "
        f"by {seen.proposed_by}: {seen.note}"
    )
    if seen.verdict is None:
        console.print(f"hash {seen.digest}")


async def _seal(house: House, seen: FillSeen, revision: int) -> None:
    """Move the sums of an approved fill, and say which months are to be decided anew."""
    wanted = msgspec.convert(seen.body, Wanted)
    key = FeedKey(wanted.source, wanted.date, revision)
    with console.status("Applying …") as status:
        await fill_now(
            house.database,
            house.parts,
            key,
            lambda feed: status.update(f"Applying, {feed.next_bucket / BUCKETS:.0%}"),
        )
    console.print(f"{key} is sealed; what it decides is provisional.")
    async with house.database.transaction() as conn:
        say_decided((await see_feed(conn, key, house.parts)).decided)


TELLER = Teller(Fills, _tell, _tell)
