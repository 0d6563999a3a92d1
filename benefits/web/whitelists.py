"""Whitelists over HTTP: send a whole list, see how the last one stands (P-2, S-1).

A snapshot is named by what it holds: the same list again is the same snapshot.
"""

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, put
from litestar.params import FromQuery, JSONBody, PathParameter

from benefits.actions.record_whitelist import close, keep, open_snapshot
from benefits.domain.members import SHORT_MAX
from benefits.domain.values import local_date
from benefits.domain.whitelists import NAME, Snapshot, UnknownWhitelist, Wanted, digest_of
from benefits.store import whitelists
from benefits.store.db import Connection
from benefits.web import rehearsal
from benefits.web.auth import needs

CUSTOMERS_MAX = 10_000
BODY_BYTES_MAX = 2**21
ONE = "/v1/whitelists/{name:str}"

Name = Annotated[str, PathParameter(pattern=NAME)]
Customer = Annotated[
    str, msgspec.Meta(min_length=1, max_length=SHORT_MAX, pattern=r"\A[^\x00-\x1f\x7f]+\Z")
]


class WhitelistRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All customers of a list, at most 10 000; longer ones are imported as files.

    It holds from `begins_on` on, today unless said; `ends_before` is the first day without it.
    """

    customers: Annotated[list[Customer], msgspec.Meta(max_length=CUSTOMERS_MAX)]
    begins_on: date | None = None
    ends_before: date | None = None


class SnapshotView(msgspec.Struct, kw_only=True):
    """A snapshot of a list: which of them, of what digest, on which days it holds."""

    name: str
    snapshot: int
    sha256: str
    begins_on: date
    ends_before: date | None
    members: int
    sent_by: str
    whole_at: datetime


class WhitelistView(SnapshotView, kw_only=True):
    """A snapshot that was sent, and who of it is no member and so left out."""

    unknown: list[str]


@put(
    ONE,
    guards=[needs("crm")],
    tags=["members"],
    operation_id="put_whitelist",
    status_code=200,
    request_max_body_size=BODY_BYTES_MAX,
)
async def put_whitelist(
    data: JSONBody[WhitelistRequest],
    request: Request[Any, Any, Any],
    *,
    name: Name,
    dry_run: FromQuery[bool] = False,
) -> Response[WhitelistView]:
    """Replace a list by a whole one, from its first day on. The same again changes nothing.

    Its members get what lines bring whose segment is the label of its name, of layer LIST.
    `sha256` is that of a file with `customer` in its first line and then a customer a line.
    """
    state = request.app.state
    customers = list(dict.fromkeys(data.customers))

    async def work(conn: Connection) -> WhitelistView:
        catalogue = await state.parts.catalogue.current(conn)
        wanted = Wanted(
            name=name,
            digest=digest_of(customers),
            from_=data.begins_on or local_date(state.parts.clock(), catalogue.zone),
            to=data.ends_before,
            actor=request.auth.name,
        )
        opened = await open_snapshot(conn, wanted, state.parts)
        lines = list(enumerate(customers, 2))
        kept = await keep(conn, opened, lines, member_key=state.member_key)
        whole = await close(conn, opened, state.parts)
        unknown = [customer for _, customer in kept.unknown]
        return WhitelistView(**_told(whole), unknown=unknown)

    return Response(await rehearsal.database(request, dry_run=dry_run).transact(work))


@get(
    ONE,
    guards=[needs("crm", "operator", "auditor")],
    tags=["members"],
    operation_id="get_whitelist",
)
async def get_whitelist(request: Request[Any, Any, Any], *, name: Name) -> SnapshotView:
    """Return the last whole snapshot of a list."""
    async with request.app.state.database.transaction() as conn:
        found = await whitelists.last_whole(conn, name)
    if found is None:
        raise UnknownWhitelist
    return SnapshotView(**_told(found))


def _told(of: Snapshot) -> dict[str, Any]:
    return {
        "name": of.name,
        "snapshot": of.number,
        "sha256": of.digest,
        "begins_on": of.from_,
        "ends_before": of.to,
        "members": of.members,
        "sent_by": of.actor,
        "whole_at": of.whole_at,
    }


HANDLERS = [put_whitelist, get_whitelist]
