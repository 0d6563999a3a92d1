"""Who saw in which order transactions took place: a witness in the database, beside the ledger.

Every transaction of the ledger holds all its locks until it commits, so the moment at which it
last writes, after its last lock, is its place among all whom it could meet: what many share is
locked and written last. A trigger draws a number with each row; what was rolled back leaves none.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.refusal import Refusal
from benefits.store.db import Connection, rows
from tests.actions import life
from tests.builders import World

INSTALL = (
    "CREATE TABLE witness (nth bigserial PRIMARY KEY, xid bigint NOT NULL)",
    """
    CREATE FUNCTION saw() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO witness (xid) VALUES (pg_current_xact_id()::text::bigint);
        RETURN NULL;
    END $$
    """,
    "GRANT SELECT ON witness TO PUBLIC",
)
SEEN = ("request", "batch", "outbox", "claim", "inbox", "provider_request", "counter")


class Step(NamedTuple):
    """What one transaction was asked, what it answered, and the instant it went by."""

    kind: str
    asked: Any
    answered: Any
    now: datetime


class Witness:
    """Transactions as they ran, by their number in the database; only the committed ones count."""

    def __init__(self, world: World) -> None:
        """Begin with an empty record; `install` puts the triggers into the database."""
        self._world = world
        self._steps: dict[int, Step] = {}

    async def install(self) -> None:
        """Have every write of the ledger seen."""
        triggers = [
            f"CREATE TRIGGER saw AFTER INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION saw()"
            for table in SEEN
        ]
        await life.change(self._world, *INSTALL, *triggers)

    async def see(
        self,
        conn: Connection,
        kind: str,
        asked: Any,
        work: Callable[[Parts], Awaitable[Any]],
    ) -> Any:
        """Run one transaction's work with a clock that remembers what it said last."""
        told = [self._world.parts.clock()]

        def clock() -> datetime:
            told.append(self._world.clock())
            return told[-1]

        answered = await work(msgspec.structs.replace(self._world.parts, clock=clock))
        ((xid,),) = await rows(conn, "SELECT pg_current_xact_id()::text::bigint")
        self._steps[xid] = Step(kind, asked, answered, told[-1])
        return answered

    async def committed(self) -> list[tuple[int, Step]]:
        """Return the transactions that wrote something and committed, in their order."""
        found = await self._world.rows("SELECT xid FROM witness GROUP BY xid ORDER BY max(nth)")
        return [(row.xid, self._steps[row.xid]) for row in found if row.xid in self._steps]

    async def unseen(self) -> list[Step]:
        """Return what wrote nothing, or was rolled back."""
        xids = {xid for xid, _ in await self.committed()}
        return [step for xid, step in self._steps.items() if xid not in xids]


def answers(witness: Witness, kind: str, action: Any) -> Any:
    """Return a write action as a group calls it, with every transaction seen."""

    async def seen(
        conn: Connection, commands: Sequence[Any], *, wait: bool
    ) -> list[Any | Refusal]:
        async def work(parts: Parts) -> Any:
            return await action(conn, commands, parts, wait=wait)

        return list(await witness.see(conn, kind, list(commands), work))

    return seen
