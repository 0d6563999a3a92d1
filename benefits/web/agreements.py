"""What two people agree on over HTTP: an operator proposes, an approver decides what they read.

Each kind has a `Counter`: its desk, and how it is shown. The handlers beside it say the words.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID

import msgspec
from litestar import Request, Response

from benefits.actions.agree import Decide, Desk, Propose
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Catalogue
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store import agreements
from benefits.store.agreements import Mark, Seen, Sort
from benefits.store.db import Connection
from benefits.web import cursors, rehearsal
from benefits.web.problems import refused, stored

PAGE_MAX = 100
READERS = ("operator", "approver", "auditor")
StateName = Literal["PROPOSED", "EXPIRED", "APPROVED", "REJECTED", "WITHDRAWN"]
Note = Annotated[
    str, msgspec.Meta(min_length=1, max_length=1000, pattern=r"\A[^\x00]*[^\s\x00][^\x00]*\Z")
]
Asked = TypeVar("Asked")
Kept = TypeVar("Kept", bound=Seen)
View = TypeVar("View")
_Request = Request[Any, Any, Any]


class ApproveRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The hash that stood with the effect that was read."""

    hash: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class RejectRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it is not approved, without personal data."""

    note: Note


class AgreementView(msgspec.Struct, kw_only=True):
    """What every proposal shows: under which hash, who proposed it, and who decided."""

    id: UUID
    state: StateName
    note: str
    hash: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str | None


def words(seen: Seen, now: datetime) -> dict[str, Any]:
    """Return what `AgreementView` shows at an instant."""
    return {
        "id": seen.proposal_id,
        "state": seen.state(now),
        "note": seen.note,
        "hash": seen.digest,
        "proposed_by": seen.proposed_by,
        "proposed_at": seen.proposed_at,
        "expires_at": seen.expires_at,
        "decided_by": seen.decided_by,
        "decided_at": seen.decided_at,
        "decision_note": seen.decision_note,
    }


class Asking(msgspec.Struct, frozen=True):
    """Who asks for something to be written: their request, its key, and whether it only tries."""

    request: _Request
    key: str
    dry_run: bool


class Page(msgspec.Struct, frozen=True):
    """Which proposals are wanted: from a cursor on, so many, in a state, of a kind."""

    cursor: str | None
    limit: int
    state: str | None
    kind: str | None = None


class Around(msgspec.Struct, frozen=True):
    """What a proposal is shown by: when, the catalogue then, and whether long files are, too."""

    now: datetime
    catalogue: Catalogue
    whole: bool


class _Work(Protocol[Asked, Kept]):
    """What a person says at a desk."""

    async def __call__(self, desk: Desk[Asked, Any, Kept], /) -> Decided | Refusal: ...


class Counter(msgspec.Struct, Generic[Asked, Kept, View], frozen=True):
    """A kind's desk, and how what lies there is shown."""

    desk: type[Desk[Asked, Any, Kept]]
    shown: Callable[[Connection, Kept, Around], Awaitable[View]]

    async def propose(self, asking: Asking, wanted: Asked, note: str) -> Response[View]:
        """Propose something under the key of the request."""
        command = Propose(
            caller=asking.request.auth.name, key=check_key(asking.key), wanted=wanted, note=note
        )
        return await self._answer(asking, lambda desk: desk.propose(command), 201)

    async def decide(
        self, asking: Asking, proposal_id: UUID, said: ApproveRequest | RejectRequest
    ) -> Response[View]:
        """Say a person's word on a proposal under the key of the request."""
        command = Decide(
            caller=asking.request.auth.name,
            key=check_key(asking.key),
            proposal_id=proposal_id,
            note=said.note if isinstance(said, RejectRequest) else "",
            digest=said.hash if isinstance(said, ApproveRequest) else None,
        )
        return await self._answer(asking, lambda desk: desk.decide(command), 200)

    async def one(self, request: _Request, proposal_id: UUID) -> View:
        """Return a proposal as the API shows it (the kind's `unknown`)."""
        async with request.app.state.database.transaction() as conn:
            return await self._seen(conn, proposal_id, request.app.state.parts)

    async def listed(
        self, request: _Request, name: str, page: Page
    ) -> tuple[list[View], str | None]:
        """Return proposals in the order they were made, and the cursor of the next page."""
        name = f"{name} {page.state or ''}"
        after = cursors.read(name, page.cursor, Mark)  # type: ignore[arg-type]  # a tuple type is a type to msgspec
        parts, book = request.app.state.parts, self.desk.book
        async with request.app.state.database.transaction() as conn:
            around = await _around(conn, parts, whole=False)
            sort = Sort(around.now, page.state, page.kind)
            found = await agreements.briefly(conn, book, after, sort, limit=page.limit + 1)
            views = [await self.shown(conn, seen, around) for seen in found[: page.limit]]
        if len(found) <= page.limit:
            return views, None
        last = found[page.limit - 1]
        return views, cursors.write(name, (last.proposed_at, last.proposal_id))

    async def _seen(self, conn: Connection, proposal_id: UUID, parts: Parts) -> View:
        seen = await agreements.one(conn, self.desk.book, proposal_id)
        if seen is None:
            raise self.desk.unknown
        return await self.shown(conn, seen, await _around(conn, parts, whole=True))

    async def _answer(
        self, asking: Asking, work: _Work[Asked, Kept], status: int
    ) -> Response[View]:
        """Do the work in one transaction and answer with the proposal it was about."""
        parts = asking.request.app.state.parts

        async def whole(conn: Connection) -> tuple[Decided | Refusal, View | None]:
            outcome = await work(self.desk(conn, parts))
            if not isinstance(outcome, Accepted):
                return outcome, None
            (id_,) = outcome.ids.values()
            return outcome, await self._seen(conn, UUID(id_), parts)

        on = rehearsal.database(asking.request, dry_run=asking.dry_run)
        done: tuple[Decided | Refusal, View | None] = await on.transact(whole)
        outcome, view = done
        match outcome:
            case Accepted():
                assert view is not None, "it is shown"
                headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
                return Response(view, status_code=status, headers=headers)
            case Refused():
                return stored(outcome)
            case Refusal():
                return refused(outcome)


async def _around(conn: Connection, parts: Parts, *, whole: bool) -> Around:
    return Around(parts.clock(), await parts.catalogue.current(conn), whole)
