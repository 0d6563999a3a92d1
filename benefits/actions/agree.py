"""Two people agree: one proposes, another approves what they read, or rejects it (X-2, L-7, A-6).

A proposal is weighed and kept with the digest of all it would do. Approving weighs it anew, behind
the same locks: if anything that binds would now be otherwise, it must be proposed again. What was
approved is carried out in the same transaction, or nothing is. How it is weighed and done is each
kind's own: `enact`, `fill_day`, `correct`.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Annotated, ClassVar, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.actions.keyed import Accepted, Decided, once, replayed
from benefits.actions.parts import Parts
from benefits.domain.agreements import OPEN_FOR, Said, digest, same_person
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.store import agreements
from benefits.store.agreements import Book, New, Seen, Verdict
from benefits.store.db import Connection
from benefits.store.requests import RequestKey

WAIT = "SET LOCAL lock_timeout = '2s'"
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Asked = TypeVar("Asked")
Effect = TypeVar("Effect")
Kept = TypeVar("Kept", bound=Seen)
Work = Callable[[], Awaitable[UUID]]


class SamePerson(Refusal):
    """Whoever proposed something does not approve it."""

    code = "same_person"
    words = "Whoever proposed it cannot approve it."


class Propose(msgspec.Struct, Generic[Asked], frozen=True, kw_only=True):
    """A person's proposal, under their key if they sent one."""

    caller: str
    key: str = ""
    wanted: Asked
    note: str


class Decide(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a proposal: with its `digest` they approve it, without they reject it."""

    caller: str
    key: str = ""
    proposal_id: UUID
    note: str = ""
    digest: Digest | None = None


class Agreed(msgspec.Struct, Generic[Asked, Effect, Kept], frozen=True):
    """What two people agreed on, who was the second of them, and when."""

    seen: Kept
    wanted: Asked
    effect: Effect
    by: str
    now: datetime


class Desk(ABC, Generic[Asked, Effect, Kept]):
    """Where proposals of a kind are made and decided, one in a transaction.

    Every word has two ways: under a key, where a refusal is kept as well (C-9), or without one.
    """

    noun: ClassVar[str]
    proposing: ClassVar[str]
    unknown: ClassVar[type[Refusal]]
    closed: ClassVar[type[Refusal]]
    stale: ClassVar[type[Refusal]]
    book: Book[Kept]

    def __init__(self, conn: Connection, parts: Parts) -> None:
        """Sit down for one proposal in this transaction."""
        self.conn = conn
        self.parts = parts

    async def propose(self, command: Propose[Asked]) -> Decided | Refusal:
        """Keep a proposal under its key, in this transaction; nothing of it is done."""
        body = body_hash([*self.hashed(command.wanted), command.note])
        key = self._key(command, self.proposing)
        before = await replayed(self.conn, key, body, self.parts)
        if before is not None:  # nothing is locked, nor counted, to say it again
            return before
        lock, put = partial(self.lock, command.wanted), partial(self._put, command)
        return await self._once(key, body, lock, put)

    async def put(self, command: Propose[Asked]) -> UUID:
        """Keep a proposal with all it would do; return its id (whatever `weigh` refuses)."""
        await self.lock(command.wanted)
        return await self._put(command)

    async def decide(self, command: Decide) -> Decided | Refusal:
        """Approve or reject a proposal under its key, in this transaction: whole or not."""
        operation = f"{'reject' if command.digest is None else 'approve'}_{self.noun}"
        body = body_hash([command.proposal_id.hex, command.note, command.digest])
        lock, say = partial(self.lock, command.proposal_id), partial(self._say, command)
        outcome = await self._once(self._key(command, operation), body, lock, say)
        await self.finish()
        return outcome

    async def say(self, command: Decide) -> UUID:
        """Approve or reject a proposal; what was approved is done with it. Return its id.

        The kind's own refusals, SamePerson, and what refuses to do it.
        """
        await self.lock(command.proposal_id)
        await self._say(command)
        await self.finish()
        return command.proposal_id

    @abstractmethod
    async def lock(self, about: Asked | UUID) -> None:
        """Lock what a new proposal, or the one of this id, is about (what is kept nowhere)."""

    @abstractmethod
    async def weigh(self, wanted: Asked) -> Effect:
        """Return what it would do now (Refusal)."""

    @abstractmethod
    async def read(self, seen: Kept) -> Asked:
        """Return what was asked, to be weighed again."""

    @abstractmethod
    async def do(self, agreed: Agreed[Asked, Effect, Kept]) -> object:
        """Carry out what two people agreed on; return what it became."""

    async def finish(self) -> None:
        """Do what comes after the word of a person is written."""

    def now(self) -> datetime:
        """Return the instant of what is written."""
        return self.parts.clock()

    def hashed(self, wanted: Asked) -> list[object]:
        """Return what tells two requests under one key apart."""
        return [wanted]

    def bound(self, wanted: Asked) -> list[object]:
        """Return what of a request its digest binds."""
        return [wanted]

    def why(self, wanted: Asked) -> Enum | msgspec.UnsetType:  # noqa: ARG002 - of some kinds
        """Return the reason that it binds besides, if a kind has one."""
        return msgspec.UNSET

    def row(self, wanted: Asked, effect: Effect) -> tuple[tuple[object, ...], object, object]:
        """Return what is kept: the kind's own columns, what is asked, what it would do."""
        return (), wanted, effect

    def bucket(self, command: Propose[Asked]) -> int:
        """Return the bucket of a proposal's id."""
        return self._key(command, self.proposing).bucket

    def is_still(self, seen: Kept, wanted: Asked, effect: Effect) -> bool:
        """Say whether a proposal would do what was read of it."""
        return seen.digest == self._digest(seen, wanted, effect)

    def _digest(self, proposal: Seen | New, wanted: Asked, effect: Effect) -> str:
        said = Said(
            by=proposal.proposed_by,
            at=proposal.proposed_at,
            why=self.why(wanted),
            note=proposal.note,
        )
        return digest(proposal.proposal_id, self.bound(wanted), said, effect)

    def _key(self, command: Propose[Asked] | Decide, operation: str) -> RequestKey:
        """Return where an outcome is kept: by the key alone, whatever it is about."""
        return RequestKey.placed(command.caller, operation, command.key)

    async def _once(
        self, key: RequestKey, body: bytes, lock: Callable[[], Awaitable[None]], work: Work
    ) -> Decided | Refusal:
        """Do something under a key, behind its locks; a refusal is kept as well (C-9)."""
        try:
            await lock()
        except Refusal as refusal:
            return refusal

        async def done() -> Accepted | Refusal:
            try:
                return Accepted({f"{self.noun}_id": str(await work())})
            except Refusal as refusal:
                return refusal

        return await once(self.conn, key, body, self.parts, work=done)

    async def _put(self, command: Propose[Asked]) -> UUID:
        wanted = command.wanted
        effect = await self.weigh(wanted)
        now = self.now()
        own, body, would = self.row(wanted, effect)
        new = New(
            proposal_id=self.parts.new_id(now, self.bucket(command)),
            own=own,
            body=msgspec.json.encode(body).decode(),
            effect=msgspec.json.encode(would).decode(),
            digest="",
            note=command.note,
            proposed_by=command.caller,
            proposed_at=now,
            expires_at=now + OPEN_FOR,
        )
        new = replace(new, digest=self._digest(new, wanted, effect))
        await agreements.put(self.conn, self.book, new)
        return new.proposal_id

    async def _say(self, command: Decide) -> UUID:
        """Approve or reject a proposal that still waits."""
        seen = await agreements.one(self.conn, self.book, command.proposal_id)
        if seen is None:
            raise self.unknown
        if seen.state(self.now()) != "PROPOSED":
            raise self.closed
        is_own = same_person(seen.proposed_by, command.caller)
        became: object = None
        if command.digest is None:
            verdict, now = "WITHDRAWN" if is_own else "REJECTED", self.now()
        elif is_own:
            raise SamePerson
        else:
            wanted, effect = await self._again(seen, command.digest)
            verdict, now = "APPROVED", self.now()
            became = await self.do(Agreed(seen, wanted, effect, command.caller, now))
        word = Verdict(
            proposal_id=seen.proposal_id,
            verdict=verdict,
            decided_by=command.caller,
            decided_at=now,
            note=command.note,
            became=became,
        )
        await agreements.decide(self.conn, self.book, word)
        return seen.proposal_id

    async def _again(self, seen: Kept, read: str) -> tuple[Asked, Effect]:
        """Return what a proposal does, if that is still what was read (the kind's `stale`)."""
        if read != seen.digest:
            raise self.stale
        wanted = await self.read(seen)
        try:
            effect = await self.weigh(wanted)
        except Refusal as refusal:
            raise self.stale(f"{self.stale.words} ({refusal.code})") from refusal
        if not self.is_still(seen, wanted, effect):
            raise self.stale
        return wanted, effect
