"""Idempotency in one transaction: what was decided, what is being decided, what is stored (C-9).

The same key twice in a group is one decision for both; with another body the later one conflicts.
Refusals are stored like acceptances, so that a caller who asks again hears the same; their
sentence without what is known of a person, which can be erased where it stands (X-5).
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.refusal import Refusal
from benefits.domain.requests import KeyConflict, StoredOutcome
from benefits.store import requests
from benefits.store.db import Busy, Connection, Writer
from benefits.store.members import Held
from benefits.store.requests import RequestKey


class Accepted(msgspec.Struct, frozen=True):
    """A command's effect: the ids of what it made; `replayed` when it had been made before."""

    ids: dict[str, str]
    replayed: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A command's stored refusal: its code and words; `replayed` when it was decided before."""

    code: str
    detail: str
    replayed: bool = False


Decided = Accepted | Refused


class OfMember(Protocol):
    """A command about a member, under a key in the member's bucket."""

    @property
    def member_id(self) -> UUID:
        """Whose it is."""

    @property
    def request_key(self) -> RequestKey:
        """Where its outcome is kept."""

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""


Command = TypeVar("Command")
# A command, its key, and the hash of what it asks; without a key nothing is kept of it.
Asked = tuple[Command, RequestKey | None, bytes]


class Keyed:
    """The keys of one group."""

    def __init__(self) -> None:
        """Start knowing nothing; `load` looks keys up."""
        self._known: dict[RequestKey, tuple[bytes, StoredOutcome]] = {}
        self._new: dict[RequestKey, tuple[bytes, StoredOutcome]] = {}
        self._replayed: RequestKey | None = None

    async def load(self, conn: Connection, keys: Sequence[RequestKey]) -> None:
        """Look up what was decided for keys before this transaction."""
        self._known = await requests.find(conn, keys)

    def earlier(self, key: RequestKey, body: bytes) -> Decided | Refusal | None:
        """Return the outcome this key has, a KeyConflict when it was for another body, or None."""
        found = self._known.get(key) or self._new.get(key)
        if found is None:
            return None
        if found[0] != body:
            return KeyConflict()
        self._replayed = key
        outcome = found[1]
        if outcome.refusal:
            return Refused(outcome.refusal, outcome.detail, replayed=True)
        return Accepted(outcome.ids, replayed=True)

    def decide(self, key: RequestKey, body: bytes, outcome: Accepted | Refusal) -> Decided:
        """Keep a fresh decision under its key."""
        if isinstance(outcome, Refusal):
            self._new[key] = (body, StoredOutcome(refusal=outcome.code, detail=outcome.kept))
            return Refused(outcome.code, outcome.detail)
        self._new[key] = (body, StoredOutcome(ids=outcome.ids))
        return outcome

    async def begin(self, conn: Connection, asked: Sequence[Asked[Command]]) -> list[Command]:
        """Look up the keys of commands; return those that are to be decided now."""
        await self.load(conn, [key for _, key, _ in asked if key is not None])
        return [
            command
            for command, key, body in asked
            if key is not None and self.earlier(key, body) is None
        ]

    def decide_each(
        self, asked: Sequence[Asked[Command]], decide: Callable[[Command], Accepted | Refusal]
    ) -> list[Decided | Refusal]:
        """Decide commands in order, each key once; what is Busy is not kept."""
        outcomes = list[Decided | Refusal]()
        for command, key, body in asked:
            before = None if key is None else self.earlier(key, body)
            if before is not None:
                outcomes.append(before)
                continue
            decided = decide(command)
            keeps = not isinstance(decided, Busy)
            outcomes.append(self.decide(key, body, decided) if key and keeps else decided)
        return outcomes

    async def write(self, writer: Writer, now: datetime) -> None:
        """Store what was decided; mere replays write too, so that their commit waits."""
        if self._new:
            decided = [(key, body, outcome) for key, (body, outcome) in self._new.items()]
            await requests.put(writer, decided, now)
        elif self._replayed is not None:
            await requests.touch(writer, self._replayed)


Members = TypeVar("Members", bound=OfMember)


def of_members(commands: Sequence[Members], held: Held) -> list[Asked[Members]]:
    """Return commands as of whom their members count for now, under the keys of what was asked.

    Of members who are not held nothing is kept.
    """
    asked = list[Asked[Members]]()
    for command in commands:
        one: Any = command
        if command.member_id in held.moved:
            one = msgspec.structs.replace(one, member_id=held.moved[command.member_id])
        key = command.request_key if one.member_id in held.locked else None
        asked.append((one, key, command.body))
    return asked


async def replayed(
    conn: Connection, key: RequestKey, body: bytes, parts: Parts
) -> Decided | Refusal | None:
    """Return what a key has been decided to before, or that it was for another body."""
    keyed = Keyed()
    await keyed.load(conn, [key])
    outcome = keyed.earlier(key, body)
    await keyed.write(conn, parts.clock())
    return outcome


async def once(
    conn: Connection,
    key: RequestKey,
    body: bytes,
    parts: Parts,
    *,
    work: Callable[[], Awaitable[Accepted | Refusal]],
) -> Decided | Refusal:
    """Do one thing under a key, behind its locks; a refusal that it answers is kept as well."""
    keyed = Keyed()
    await keyed.load(conn, [key])
    outcome = keyed.earlier(key, body)
    if outcome is None:
        outcome = keyed.decide(key, body, await work())
    await keyed.write(conn, parts.clock())
    return outcome
