"""A member's ledger as of a time: balances, lots, and the entries that made them (C-8)."""

from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.params import FromPath, FromQuery, QueryParameter

from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.actions.report import bounds_of
from benefits.domain.catalogue import Catalogue
from benefits.domain.past import Bounds, PastLot, balances_of, lots_of
from benefits.domain.units import Quantity
from benefits.store import pages, past
from benefits.store.db import Connection
from benefits.store.past import Entry, Stretch
from benefits.web import cursors
from benefits.web.auth import needs

READERS = ("mobile", "crm", "operator", "auditor", "member", "relationship_manager")
MONEY_READERS = {"operator", "auditor"}
PAGE_MAX = 100
LOTS_MAX = 1000
Place = TypeVar("Place")


class UnitBalanceView(msgspec.Struct, kw_only=True):
    """Units of one kind: usable, set aside, and what became of the others; `owed` is a debt."""

    unit: str
    available: Quantity
    held: Quantity
    redeemed: Quantity
    expired: Quantity
    revoked: Quantity
    owed: Quantity


class BalancesView(msgspec.Struct, kw_only=True):
    """What a member had at `as_of`, as known at `known_at`; a provisional answer may change."""

    as_of: datetime
    known_at: datetime
    provisional: bool
    balances: list[UnitBalanceView]


class PastLotView(msgspec.Struct, kw_only=True):
    """A lot as it stood; `granted` is all its other figures together."""

    lot_id: UUID
    unit: str
    programme: str
    line: str
    period: str
    cause: str
    granted_at: datetime
    expires_at: datetime | None
    granted: Quantity
    available: Quantity
    held: Quantity
    redeemed: Quantity
    expired: Quantity
    revoked: Quantity
    moved: Quantity


class PastLotsView(msgspec.Struct, kw_only=True):
    """A page of lots, the oldest first; `next` is the cursor of the next page."""

    as_of: datetime
    known_at: datetime
    provisional: bool
    lots: list[PastLotView]
    next: str | None


class PostingView(msgspec.Struct, kw_only=True):
    """An amount goes from the debit to the credit account; a lot yet to be made has no id.

    Units are whole ones, exactly; money is in minor units, of a budget or a provider (`party`).
    """

    debit: str
    credit: str
    unit: str
    amount: Quantity
    lot_id: UUID | None
    party: str


class EntryView(msgspec.Struct, kw_only=True):
    """One event in the books with its postings; `effective_at` is when it was true."""

    id: UUID
    kind: str
    actor: str
    cause_id: UUID | None
    reverses: UUID | None
    effective_at: datetime
    recorded_at: datetime
    booked_month: str
    postings: list[PostingView]


class StatementView(msgspec.Struct, kw_only=True):
    """A page of entries, the last recorded first; `next` is the cursor of the next page.

    `archived` are months whose entries were taken out of the database and are missing here; to
    see them, ask for the months to be restored.
    """

    known_at: datetime
    provisional: bool
    entries: list[EntryView]
    archived: list[str]
    next: str | None


def _page(found: list[Place], limit: int) -> tuple[list[Place], bool]:
    return found[:limit], len(found) > limit


def _shown(catalogue: Catalogue, unit: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Return figures of a unit in whole units, beside what is no figure (C-2)."""
    return {
        name: catalogue.whole(unit, value) if isinstance(value, int) else value
        for name, value in figures.items()
    }


async def _bounds(
    conn: Connection, parts: Parts, member_id: UUID, *times: str | None
) -> tuple[Bounds, bool]:
    """Return the bounds of what is asked, and whether the answer may change (UnknownMember)."""
    as_of, known_at = times
    bounds = await bounds_of(conn, parts, as_of, known_at)
    await _exists(conn, member_id)
    return bounds, await past.is_provisional(conn, bounds)


async def _exists(conn: Connection, member_id: UUID) -> None:
    if not await pages.member_exists(conn, member_id):
        raise UnknownMember


@get(
    "/v1/members/{member_id:uuid}/balances",
    guards=[needs(*READERS)],
    tags=["ledger"],
    operation_id="get_balances",
)
async def get_balances(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    as_of: FromQuery[str | None] = None,
    known_at: FromQuery[str | None] = None,
) -> BalancesView:
    """Return what a member had at a time, as it was known at another. Without them: now."""
    state = request.app.state
    async with state.database.transaction() as conn:
        bounds, provisional = await _bounds(conn, state.parts, member_id, as_of, known_at)
        sums = await past.sums(conn, member_id, bounds)
        lots = lots_of(sums, await past.terms(conn, member_id), bounds.ends)
        catalogue = await state.parts.catalogue.current(conn)
    return BalancesView(
        as_of=bounds.ends,
        known_at=bounds.known_at or bounds.now,
        provisional=provisional,
        balances=[
            UnitBalanceView(**_shown(catalogue, one.unit, msgspec.structs.asdict(one)))
            for one in balances_of(sums, lots)
        ],
    )


@get(
    "/v1/members/{member_id:uuid}/lots",
    guards=[needs(*READERS)],
    tags=["ledger"],
    operation_id="get_lots",
)
async def get_lots(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    *,
    as_of: FromQuery[str | None] = None,
    known_at: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=LOTS_MAX)] = 100,
) -> PastLotsView:
    """Return a member's lots at a time, as they were known at another, the oldest first."""
    state = request.app.state
    kind = f"lots {member_id}"
    after = cursors.read(kind, cursor, tuple[datetime, UUID])
    async with state.database.transaction() as conn:
        bounds, provisional = await _bounds(conn, state.parts, member_id, as_of, known_at)
        found = await past.lots(conn, member_id, bounds, after=after, limit=limit + 1)
        catalogue = await state.parts.catalogue.current(conn)
    shown, more = _page(found, limit)
    last = shown[-1].terms if more else None
    return PastLotsView(
        as_of=bounds.ends,
        known_at=bounds.known_at or bounds.now,
        provisional=provisional,
        lots=[_lot_view(lot, catalogue) for lot in shown],
        next=cursors.write(kind, (last.granted_at, last.lot_id)) if last else None,
    )


def _lot_view(lot: PastLot, catalogue: Catalogue) -> PastLotView:
    figures = msgspec.structs.asdict(lot)
    terms = msgspec.structs.asdict(figures.pop("terms"))
    return PastLotView(**terms, **_shown(catalogue, lot.terms.unit, figures))


@get(
    "/v1/members/{member_id:uuid}/statement",
    guards=[needs("crm", "operator", "auditor")],
    tags=["ledger"],
    operation_id="get_statement",
)
async def get_statement(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    *,
    start: Annotated[str | None, QueryParameter(name="from")] = None,
    end: Annotated[str | None, QueryParameter(name="to")] = None,
    known_at: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> StatementView:
    """Return what was booked for a member: facts from one time to another, half-open.

    A day means its end in the programme's zone. Money is shown to operators and auditors only.
    """
    state = request.app.state
    kind = f"statement {member_id}"
    before = cursors.read(kind, cursor, datetime)
    async with state.database.transaction() as conn:
        until = await bounds_of(conn, state.parts, end, known_at)
        since = await bounds_of(conn, state.parts, start, None)
        await _exists(conn, member_id)
        provisional = await past.is_provisional(conn, until)
        stretch = Stretch(since.as_of, until.as_of, until.known_at)
        archived = await past.not_shown(conn, member_id, stretch)
        found = await past.entries(conn, member_id, stretch, before=before, limit=limit + 1)
        catalogue = await state.parts.catalogue.current(conn)
    shown, more = _page(found, limit)
    money = not request.auth.scopes.isdisjoint(MONEY_READERS)
    return StatementView(
        known_at=until.known_at or until.now,
        provisional=provisional,
        entries=[_entry_view(entry, catalogue, money=money) for entry in shown],
        archived=archived,
        next=cursors.write(kind, shown[-1].recorded_at) if more else None,
    )


def _entry_view(entry: Entry, catalogue: Catalogue, *, money: bool) -> EntryView:
    told = msgspec.structs.asdict(entry)
    lines = told.pop("lines")
    return EntryView(
        id=told.pop("batch_id"),
        postings=[
            PostingView(
                debit=line.debit,
                credit=line.credit,
                unit=line.unit,
                amount=catalogue.whole(line.unit, line.amount),
                lot_id=line.lot_id,
                party=line.party,
            )
            for line in lines
            if money or not line.unit.startswith("MONEY:")
        ],
        **told,
    )


HANDLERS = [get_balances, get_lots, get_statement]
