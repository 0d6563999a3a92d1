"""Programmes over HTTP: which are in force, and which versions there were, by whose word (U-1)."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.params import FromPath

from benefits.domain.values import Month
from benefits.store import versions
from benefits.store.versions import UnknownVersion
from benefits.web.auth import needs

READERS = ("operator", "approver", "auditor")
VersionState = Literal["IN_FORCE", "PENDING", "SUPERSEDED", "WITHDRAWN"]


class InForceView(msgspec.Struct, kw_only=True):
    """A programme, and the version that is in force."""

    programme: str
    name: dict[str, str]
    version: int


class ProgrammesView(msgspec.Struct, kw_only=True):
    """All programmes, by their codes."""

    programmes: list[InForceView]


class VersionView(msgspec.Struct, kw_only=True):
    """A version: from when until when it holds, the first month it judges, and who agreed.

    `ends_at` is null while no other is to follow, and of what was withdrawn before it began.
    `proposal` and who agreed are null where it was put into force by one person's command.
    """

    version: int
    state: VersionState
    applied_at: datetime
    effective_from: datetime
    ends_at: datetime | None
    first_month: str
    proposal: UUID | None
    proposed_by: str | None
    approved_by: str | None


class VersionsView(msgspec.Struct, kw_only=True):
    """A programme's versions, the newest first: those to come before the one in force."""

    programme: str
    versions: list[VersionView]


@get(
    "/v1/programmes",
    guards=[needs(*READERS)],
    tags=["programmes"],
    operation_id="get_programmes",
)
async def get_programmes(request: Request[Any, Any, Any]) -> ProgrammesView:
    """Return the programmes in force."""
    state = request.app.state
    async with state.database.transaction() as conn:
        catalogue = await state.parts.catalogue.current(conn)
    return ProgrammesView(
        programmes=[
            InForceView(programme=code, name=one.name, version=catalogue.programme_versions[code])
            for code, one in sorted(catalogue.programmes.items())
        ]
    )


@get(
    "/v1/programmes/{programme:str}/versions",
    guards=[needs(*READERS)],
    tags=["programmes"],
    operation_id="get_versions",
)
async def get_versions(programme: FromPath[str], request: Request[Any, Any, Any]) -> VersionsView:
    """Return a programme's versions, the newest first, with who proposed and approved them."""
    state = request.app.state
    async with state.database.transaction() as conn:
        if programme not in (await state.parts.catalogue.current(conn)).programmes:
            raise UnknownVersion  # nor can the database be asked for every name
        found = await versions.of(conn, programme, state.parts.clock())
    return VersionsView(
        programme=programme,
        versions=[
            VersionView(
                version=one.version,
                state=seen.state.value,
                applied_at=one.applied_at,
                effective_from=one.effective_from,
                ends_at=seen.ends_at,
                first_month=str(Month.of(one.tiers_from)),
                proposal=one.proposal_id,
                proposed_by=one.proposed_by,
                approved_by=one.decided_by,
            )
            for seen in found
            for one in (seen.version,)
        ],
    )


HANDLERS = [get_programmes, get_versions]
