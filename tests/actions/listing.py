"""Whitelists as a bank sends them, and who is on one."""

import io
from datetime import date
from typing import Any

from benefits.actions.import_files import Imported
from benefits.actions.record_whitelist import Sent, import_whitelist
from tests.builders import World


async def send(
    world: World, *lines: str, name: str = "founders", dry_run: bool = False, **days: date | None
) -> Imported:
    """Import a list of customers, from today on unless a day is named."""
    file = io.BytesIO("".join(f"{line}\n" for line in ("customer", *lines)).encode())
    sent = Sent(name=name, file=file, from_=days.get("from_"), to=days.get("to"))
    return await import_whitelist(
        world.database, world.parts, sent, progress=lambda _: None, dry_run=dry_run
    )


async def labels(world: World, name: str = "founders") -> set[tuple[Any, ...]]:
    """Return what counts of the labels of a list: member, first day, the first day without it."""
    found = await world.rows(
        "SELECT DISTINCT ON (member_id, valid_from) member_id, valid_from, valid_to "
        "FROM member_label WHERE label = $1 AND layer = 'LIST' "
        "ORDER BY member_id, valid_from, recorded_at DESC",
        name,
    )
    return {tuple(row) for row in found if row.valid_from != row.valid_to}
