"""Claims of a group that wait for room: where each begins to, and where it waits on (K-1, K-8).

A queue's counter is locked with those of its room, so that numbers are given in the order of
commits: who waits, and who would take room while others wait, meet there.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions.capacity import Capacity
from benefits.actions.keyed import Accepted
from benefits.actions.parts import Parts
from benefits.actions.queues import queue_key
from benefits.actions.wishes import Wish
from benefits.domain import waits as rules
from benefits.domain.entitlement import CapReached, CounterUse
from benefits.domain.ledger import Lot
from benefits.domain.refusal import Refusal
from benefits.domain.waits import AlreadyWaiting, Turn, Waiting
from benefits.store import merged, waits
from benefits.store.db import Busy, Connection, Writer
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.waits import New, Spot


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim asks for, kept sealed while it waits; `quantity` is the member's own pieces."""

    quantity: int
    companions: int
    recipient: dict[str, str]
    channel: str
    booked_for: datetime | None


class Waits:
    """What a group does to waits."""

    def __init__(self, parts: Parts, journal: Journal, capacity: Capacity) -> None:
        """Begin for a group."""
        self._parts = parts
        self._journal = journal
        self._capacity = capacity
        self._open = set[tuple[UUID, str]]()
        self._full = set[str]()
        self._new = list[New]()
        self._moved = list[tuple[UUID, Spot]]()

    async def load(self, conn: Connection, members: Collection[Member]) -> None:
        """Read for which benefits claims of members wait, or of those merged into them."""
        if members:
            into = await merged.along(conn, [one.member_id for one in members if one.has_merged])
            found = await waits.waiting(conn, {one.member_id for one in members} | into.keys())
            self._open = {(into.get(id_, id_), benefit) for id_, benefit in found}

    @property
    def changed(self) -> bool:
        """Whether anything began to wait, or waits elsewhere."""
        return bool(self._new or self._moved)

    def is_full(self, turn: Turn) -> bool:
        """Say whether one before it in its queue found no room: nobody goes past them."""
        return turn.queue in self._full

    def begin(
        self, asked: Asked, wish: Wish, waiting: Waiting, lots: Sequence[Lot]
    ) -> Accepted | Refusal:
        """Let a claim wait, until when (AlreadyWaiting, CapReached)."""
        member_id, terms, room = wish.member_id, wish.terms, waiting.room
        key = (member_id, terms.asked.code)
        if key in self._open:
            return AlreadyWaiting()
        now, pieces = terms.now, asked.quantity * (1 + asked.companions)
        units = rules.lasting(lots, terms.piece * pieces, now)
        offer = (terms.programme, terms.asked)
        ends_at = rules.ends_at(room, offer, units, at=asked.booked_for)
        spot = self._spot(waiting, ends_at, pieces)
        if not spot.queue and spot.next_at == ends_at:
            return CapReached()  # the member's own room opens too late
        new = New(
            wait_id=self._journal.id_for(member_id),
            member_id=member_id,
            programme=terms.programme.code,
            benefit=terms.asked.code,
            quantity=pieces,
            spot=spot,
            body_sealed=self._parts.envelope.seal(msgspec.json.encode(asked)),
            ends_at=ends_at,
        )
        self._open.add(key)
        self._new.append(new)
        self._journal.event(
            member_id,
            "wait.begun",
            subject_id=new.wait_id,
            data={
                "benefit": new.benefit,
                "quantity": pieces,
                "programme": new.programme,
                "limit": spot.limit,
                "ends_at": ends_at,
            },
        )
        told = {"wait_id": str(new.wait_id), "ahead": rules.ahead(room.waiting).value}
        return Accepted(told if ends_at is None else {**told, "ends_at": ends_at.isoformat()})

    def go_on(self, turn: Turn, waiting: Waiting, pieces: int) -> Busy:
        """Let one wait on whose turn it was, where it lacks room now; nothing is decided."""
        if turn.queue and turn.queue == waiting.room.queue:
            self._full.add(turn.queue)
            return Busy()
        self._moved.append((turn.wait_id, self._spot(waiting, turn.ends_at, pieces)))
        if turn.queue:
            self._capacity.add(queue_key(turn.queue), CounterUse(-1))
        return Busy()

    def _spot(self, waiting: Waiting, ends_at: datetime | None, pieces: int) -> Spot:
        """Return where a claim waits: as the last of a queue, or until the member's room opens.

        Whoever is decided after it leaves room for its pieces.
        """
        place, queue = waiting.room.place, waiting.room.queue
        if not queue:
            opens = waiting.room.opens(waiting.wanted)
            assert opens is not None, "who waits for room of their own does so for a next window"
            next_at = opens if ends_at is None else min(opens, ends_at)
            return Spot(limit=place.limit, of=place.of, queue="", number=0, next_at=next_at)
        key = queue_key(queue)
        self._capacity.add(key, CounterUse(1, 1))
        self._capacity.queues.grow(queue, pieces)
        return Spot(
            limit=place.limit,
            of=place.of,
            queue=queue,
            number=self._capacity.taken(key).spent,
            next_at=ends_at,
        )

    async def write(self, writer: Writer, now: datetime) -> None:
        """Write what began to wait, and where others wait on."""
        await waits.put(writer, self._new, now)
        await waits.move(writer, self._moved)
