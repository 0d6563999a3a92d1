"""The commands about days that never came: propose what fills one, approve it, list them (A-6).

They do what the API does, for the people who run the machine: who is named with `--by` stands in
the books, and the same name never proposes and approves.
"""

from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

import msgspec
import rich_click as click

from benefits.actions.fill_day import Decide, Propose, decide_fill, fill_now, put_fill
from benefits.actions.keys import NAME, NameInvalid
from benefits.actions.parts import Parts
from benefits.actions.see_feeds import see_feed
from benefits.cli.console import console
from benefits.cli.feeds import major, say_decided
from benefits.cli.house import DRY_RUN, database, record, run, say_if_dry
from benefits.domain.feeds import FeedKey
from benefits.domain.fills import Effect, FillKind, Wanted
from benefits.domain.values import BUCKETS
from benefits.house import House
from benefits.store import fills
from benefits.store.db import Connection
from benefits.store.fills import FillSeen

ACTOR = "system:fill"
AT_ONCE = 500
BY = click.option("--by", required=True, help="Who says so: a-z, 0-9 and hyphens; for the books.")
NOTE = click.option("--note", required=True, help="Why; no personal data.")


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
    try:
        wanted = msgspec.convert(asked, Wanted)
    except msgspec.ValidationError as error:
        raise click.BadParameter(str(error)) from None

    command = Propose(caller=_named(by), wanted=wanted, note=note)
    _do(partial(put_fill, command=command), event="fill.proposed", dry_run=dry_run)


@fill.command("approve")
@click.argument("fill_id", type=click.UUID)
@click.option("--hash", "digest", required=True, help="The hash that stood with the proposal.")
@BY
@DRY_RUN
def approve(fill_id: UUID, *, digest: str, by: str, dry_run: bool) -> None:
    """Approve the fill FILL_ID by its hash, and seal its day.

    Example: `benefits fill approve 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --hash … --by ben-wu`
    """
    command = Decide(caller=_named(by), fill_id=fill_id, digest=digest)
    _do(partial(decide_fill, command=command), event="fill.approved", dry_run=dry_run)


@fill.command("reject")
@click.argument("fill_id", type=click.UUID)
@NOTE
@BY
@DRY_RUN
def reject(fill_id: UUID, *, note: str, by: str, dry_run: bool) -> None:
    """Reject the fill FILL_ID, or withdraw one's own.

    Example: `benefits fill reject 01a2046f-5e02-7ae9-8c62-6ed8c8e82000 --note "Sent." --by ben-wu`
    """
    command = Decide(caller=_named(by), fill_id=fill_id, note=note)
    _do(partial(decide_fill, command=command), event="fill.rejected", dry_run=dry_run)


@fill.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that were decided, too.")
def list_(*, everything: bool) -> None:
    """List the fills that wait for a word, each with its hash.

    Example: `benefits fill list`
    """

    async def work_(house: House) -> None:
        now, after = house.parts.clock(), fills.BEGINNING
        state = None if everything else "PROPOSED"
        async with house.database.transaction() as conn:
            while found := await fills.listed(conn, after, now, state=state, limit=AT_ONCE):
                for seen in found:
                    await _say(conn, seen, house.parts)
                after = (found[-1].proposed_at, found[-1].fill_id)

    run(work_)


def _named(by: str) -> str:
    """Return a person of the machine's as the books name them (NameInvalid)."""
    if not NAME.fullmatch(by):
        raise NameInvalid
    return f"{ACTOR}:{by}"


class _Work(Protocol):
    """What a command does in one transaction: it returns the fill it was about."""

    async def __call__(self, conn: Connection, *, parts: Parts) -> UUID: ...


def _do(work: _Work, *, event: str, dry_run: bool) -> None:
    """Say a person's word, move the sums of what was approved, and tell how it stands."""

    async def work_(house: House) -> None:
        async def whole(conn: Connection) -> FillSeen:
            fill_id = await work(conn, parts=house.parts)
            seen = await fills.one(conn, fill_id)
            assert seen is not None, "a fill stays"
            await _say(conn, seen, house.parts)
            return seen

        seen = await database(house, dry_run=dry_run).transact(whole)
        if not dry_run:
            record(event, fill=seen.fill_id.hex)
            if seen.revision is not None:
                await _seal(house, seen, seen.revision)
        say_if_dry(dry_run=dry_run)

    run(work_)


async def _say(conn: Connection, seen: FillSeen, parts: Parts) -> None:
    """Say what a fill does, who proposed it, and by which hash it is approved."""
    wanted, effect = msgspec.convert(seen.body, Wanted), msgspec.convert(seen.effect, Effect)
    digits = (await parts.catalogue.current(conn)).digits
    totals = ", ".join(f"{c} {major(n, digits[c])}" for c, n in effect.totals.items())
    carried = f" of {effect.carried_day}" if effect.carried_day else ""
    console.print(
        f"{seen.fill_id} {seen.state(parts.clock())}: {wanted.source} {wanted.date} "
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
