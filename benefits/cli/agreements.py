"""What the commands share by which two people agree: who says so, a word said, what waits.

They do what the API does, for the people who run the machine: who is named with `--by` stands in
the books, and the same name never proposes and approves.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
import rich_click as click

from benefits.actions.agree import Desk
from benefits.actions.keys import NAME, NameInvalid
from benefits.actions.parts import Parts
from benefits.cli.house import database, record, say_if_dry
from benefits.house import House
from benefits.store import agreements
from benefits.store.agreements import Seen, Sort
from benefits.store.db import Connection

BY = click.option("--by", required=True, help="Who says so: a-z, 0-9 and hyphens; for the books.")
NOTE = click.option("--note", required=True, help="Why; no personal data.")
AT_ONCE = 100
Asked = TypeVar("Asked")
Kept = TypeVar("Kept", bound=Seen)


def checked(asked: Mapping[str, object], kind: type[Asked]) -> Asked:
    """Return what is asked for, if it is what the API takes too."""
    try:
        return msgspec.convert(asked, kind)
    except msgspec.ValidationError as error:
        raise click.BadParameter(str(error)) from None


class Teller(msgspec.Struct, Generic[Asked, Kept], frozen=True):
    """A kind's desk, and how what lies there is told in the terminal: in one line, or whole."""

    desk: type[Desk[Asked, Any, Kept]]
    line: Callable[[Connection, Kept, Parts], Awaitable[None]]
    tell: Callable[[Connection, Kept, Parts], Awaitable[None]]

    def named(self, by: str) -> str:
        """Return a person of the machine's as the books name them (NameInvalid)."""
        if not NAME.fullmatch(by):
            raise NameInvalid
        return f"system:{self.desk.noun}:{by}"

    async def word(
        self,
        house: House,
        say: Callable[[Desk[Asked, Any, Kept]], Awaitable[UUID]],
        event: str,
        *,
        dry_run: bool,
    ) -> Kept:
        """Say a person's word, and tell how the proposal stands."""

        async def whole(conn: Connection) -> Kept:
            id_ = await say(self.desk(conn, house.parts))
            seen = await agreements.one(conn, self.desk.book, id_)
            assert seen is not None, "a proposal stays"
            await self.tell(conn, seen, house.parts)
            return seen

        seen = await database(house, dry_run=dry_run).transact(whole)
        noun = self.desk.noun
        if not dry_run:
            record(f"{noun}.{event}", **{noun: seen.proposal_id.hex})
        say_if_dry(dry_run=dry_run)
        return seen

    async def waiting(self, house: House, *, everything: bool) -> None:
        """Tell of what waits for a word, or of everything."""
        after = agreements.BEGINNING
        sort = Sort(house.parts.clock(), None if everything else "PROPOSED")
        book = self.desk.book
        async with house.database.transaction() as conn:
            while found := await agreements.listed(conn, book, after, sort, limit=AT_ONCE):
                for seen in found:
                    await self.line(conn, seen, house.parts)
                after = (found[-1].proposed_at, found[-1].proposal_id)
