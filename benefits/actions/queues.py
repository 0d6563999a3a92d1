"""Who waits for room, as a claim meets them: how many, and what they want together (K-8).

A queue's counter is locked with those of its room. Under that lock it is read who is first, and,
where there is room beside those who wait, how many pieces these want: whoever comes may take what
is beyond them, and no more.
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from benefits.domain.entitlement import CounterUse
from benefits.domain.limits import Dimension, Limit, Place
from benefits.store import waits
from benefits.store.counters import SharedCounter
from benefits.store.db import Connection

QUEUE = "queue"  # in the window's place: a queue has a name of its own for each that it needs


def queue_key(queue: str) -> SharedCounter:
    """Return the counter of a queue: how many wait now, and how many numbers it has given."""
    return (queue, QUEUE)


class Queues:
    """The first of queues, and how many pieces all that wait in them want."""

    def __init__(self) -> None:
        """Know of nobody."""
        self.leading: dict[str, UUID] = {}
        self._wanted: dict[str, int] = {}

    async def load_leading(self, conn: Connection, keys: Iterable[SharedCounter]) -> None:
        """Read the first of the queues among some counters."""
        self.leading = await waits.leading(conn, [name for name, key in keys if key == QUEUE])

    async def load_wanted(
        self,
        conn: Connection,
        places: Iterable[tuple[Limit, Place]],
        taken: Callable[[SharedCounter], CounterUse],
    ) -> None:
        """Read how many pieces those want who wait where there may be room beside them.

        Each wants one at least.
        """
        queues = {
            queue
            for limit, place in places
            if limit.dimension is Dimension.COUNT
            and (queue := limit.queue(place))
            and (waiting := taken(queue_key(queue)).reserved)
            and taken((place.counter, place.window)).taken + waiting < limit.limit
        }
        if queues:
            self._wanted = await waits.wanted(conn, queues)

    def grow(self, queue: str, pieces: int) -> None:
        """Know of one more in a queue, who wants so many pieces."""
        if queue in self._wanted:
            self._wanted[queue] += pieces

    def kept(self, queue: str, most: int) -> int:
        """Return what of a room is kept for those who wait: all of it where that is not known.

        What their pieces cost is not added up.
        """
        return min(most, self._wanted.get(queue, most))
