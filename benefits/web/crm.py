"""The CRM and the bank's feeds: look members up, trigger rewards, send day-end balances."""

import asyncio
import hashlib
import io
import tempfile
from typing import IO, Annotated, Any, Literal, cast
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.params import FromQuery, JSONBody

from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.grant import RewardMember
from benefits.actions.import_files import Imported, assets_of, import_file
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.merge_members import MergeMembers, merge_members
from benefits.domain import units
from benefits.domain.assets import SHORT_MAX
from benefits.domain.compliance import Trigger
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.requests import KeyConflict, StoredOutcome, check_key
from benefits.domain.units import Asked, Quantity
from benefits.domain.values import member_id
from benefits.store import merged, requests
from benefits.store.db import Connection
from benefits.store.requests import RequestKey
from benefits.web import jobs, rehearsal
from benefits.web.auth import IdempotencyKey, needs, visible
from benefits.web.problems import LEAVES_BOOKS, refused, stored

LOOKUP_MAX = 1000
ASSETS_BYTES_MAX = 2**30
IN_MEMORY_BYTES = 2**20
IMPORT_PATH = "/v1/assets:import"
STREAMED = {IMPORT_PATH, jobs.BULK_PATH}


class LookupRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Customer references, at most 1000; they stand in bodies, never in addresses."""

    references: Annotated[list[str], msgspec.Meta(max_length=LOOKUP_MAX)]


class LookupView(msgspec.Struct, kw_only=True):
    """The id of each reference that belongs to a member."""

    members: dict[str, UUID]
    unknown: list[str]


class MergeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Two references of one person: `customer` is merged into `into`, who goes on."""

    customer: Annotated[str, msgspec.Meta(min_length=1, max_length=SHORT_MAX)]
    into: Annotated[str, msgspec.Meta(min_length=1, max_length=SHORT_MAX)]


class MergeView(msgspec.Struct, kw_only=True):
    """The id of the customer who was merged, and of the member they count for now."""

    member_id: UUID
    into: UUID


TriggerName = Literal[
    "DEPOSIT",
    "TIER",
    "AUM_GROWTH",
    "WEALTH_PURCHASE",
    "FUND_PURCHASE",
    "INSURANCE_PURCHASE",
    "REFERRAL",
    "RANDOM_DRAW",
    "ACTIVITY",
]


class RewardRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A reward; `business_key` says what it is for (`birthday:2025`): it is given once (N-2).

    `benefit` is the code of a benefit, or of a choice among some, which the member then makes.
    `trigger` is one of those that the benefit declares, in the eyes of compliance; any of them
    unless it is named. Of a choice each benefit has to declare it.
    """

    member_id: UUID
    benefit: str
    business_key: Annotated[
        str, msgspec.Meta(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f\x7f]+\Z")
    ]
    quantity: Asked = 1
    valid_days: int = 30
    trigger: TriggerName | None = None


class RewardView(msgspec.Struct, kw_only=True):
    """The lot of a reward; `granted` is 0 when the same business key had made it before."""

    lot_id: UUID
    granted: Quantity


class RefusedLine(msgspec.Struct, kw_only=True):
    """A line that was not taken, and why."""

    line: int
    reason: str


class ImportView(msgspec.Struct, kw_only=True):
    """What an import did; `errors` are the first hundred refused lines."""

    lines: int
    kept: int
    unchanged: int
    refused: int
    errors: list[RefusedLine]


@post(
    "/v1/members:lookup",
    guards=[needs("crm", "operator", "relationship_manager", filters=True)],
    tags=["members"],
    operation_id="lookup",
    opt=LEAVES_BOOKS,
    status_code=200,
)
async def lookup(data: JSONBody[LookupRequest], request: Request[Any, Any, Any]) -> LookupView:
    """Return the member ids of customer references; to relationship managers, of their own.

    That of a customer who was merged is the id of the member they were merged into.
    """
    wanted = {r: member_id(r, request.app.state.member_key) for r in data.references}
    known = await visible(request, list(wanted.values()))
    async with request.app.state.database.transaction() as conn:
        moved = await merged.current(conn, known)
    return LookupView(
        members={r: moved.get(id_, id_) for r, id_ in wanted.items() if id_ in known},
        unknown=[r for r, id_ in wanted.items() if id_ not in known],
    )


@post(
    "/v1/members:merge",
    guards=[needs("crm", "operator")],
    tags=["members"],
    operation_id="merge",
    status_code=200,
)
async def merge(
    data: JSONBody[MergeRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[MergeView]:
    """Merge a customer into another, who is the same person. Needs an Idempotency-Key.

    Units and debts move at once, what orders hold when these end; balances and caps add. The
    higher tier of the two holds until a month is decided next. It cannot be taken back.
    """
    state = request.app.state
    of, into = (member_id(text.strip(), state.member_key) for text in (data.customer, data.into))
    command = MergeMembers(
        caller=request.auth.name, key=check_key(idempotency_key), of=of, into=into
    )

    async def work(conn: Connection) -> Decided | Refusal:
        return await merge_members(conn, command, state.parts)

    outcome = await rehearsal.database(request, dry_run=dry_run).transact(work)
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            ids = {name: UUID(text) for name, text in outcome.ids.items()}
            return Response(MergeView(**ids), headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


@post(
    "/v1/rewards",
    guards=[needs("crm")],
    tags=["rewards"],
    operation_id="reward",
)
async def post_reward(
    data: JSONBody[RewardRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[RewardView]:
    """Grant a member units of a benefit, or of a choice, once per business key.

    Needs an Idempotency-Key.
    """
    command = RewardMember(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        member_id=data.member_id,
        benefit=data.benefit,
        quantity=units.plain(data.quantity),
        business_key=data.business_key,
        valid_days=data.valid_days,
        trigger=None if data.trigger is None else Trigger(data.trigger),
    )
    rewards = request.app.state.rewards
    outcome: Accepted | Refused | Refusal = await (
        rewards.rehearse if dry_run else rewards.submit
    )(command)
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            view = RewardView(
                lot_id=UUID(outcome.ids["lot_id"]), granted=units.told(outcome.ids["granted"])
            )
            return Response(view, status_code=201, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


@post(
    IMPORT_PATH,
    guards=[needs("crm")],
    tags=["assets"],
    operation_id="import_assets",
    status_code=200,
    request_max_body_size=ASSETS_BYTES_MAX,
)
async def import_(
    request: Request[Any, Any, Any],
    programme: FromQuery[str | None] = None,
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ImportView]:
    """Take day-end balances as CSV; bad lines are named and do not stop the rest.

    Columns: `customer,as_of,asset_class,currency,balance[,account][,source][,revision]`.
    Needs an Idempotency-Key.
    """
    state = request.app.state
    key = check_key(idempotency_key)
    caller = request.auth.name
    place = RequestKey.placed(caller, "assets", key)
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as spool:
        digest = await _spool(request, spool, programme or "")
        async with state.database.transaction() as conn:
            known = (await requests.find(conn, [place])).get(place)
            chosen = _programme(await state.parts.catalogue.current(conn), programme)
        if known is not None:
            if known[0] != digest:
                raise KeyConflict
            return _import_answer(known[1], replayed=True)
        text = io.TextIOWrapper(cast("IO[bytes]", spool), "utf-8", "surrogateescape", newline="")
        done = await import_file(
            state.database,
            state.parts,
            assets_of(chosen),
            text,
            progress=lambda _: None,
            dry_run=dry_run,
        )
        text.detach()
    outcome = StoredOutcome(ids={"imported": msgspec.json.encode(done).decode()})

    async def keep(conn: Connection) -> None:
        there = (await requests.find(conn, [place])).get(place)
        if there is not None and there[0] != digest:
            raise KeyConflict  # two were under way; each line counted, whoever sent it
        if there is None:
            await requests.put(conn, [(place, digest, outcome)], state.parts.clock())

    await rehearsal.database(request, dry_run=dry_run).transact(keep)
    return _import_answer(outcome, replayed=False)


async def _spool(request: Request[Any, Any, Any], spool: IO[bytes], programme: str) -> bytes:
    """Write the body to a file as it comes; return the hash of what is asked."""
    digest = hashlib.blake2b(programme.encode() + b"\x00", digest_size=16)
    async for part in request.stream():
        digest.update(part)
        await asyncio.to_thread(spool.write, part)
    spool.seek(0)
    return digest.digest()


def _programme(catalogue: Any, code: str | None) -> Programme:
    programmes: dict[str, Programme] = catalogue.programmes
    if code is None and len(programmes) == 1:
        return next(iter(programmes.values()))
    if code not in programmes:
        raise UnknownProgramme(f"Programmes are: {', '.join(sorted(programmes)) or 'none yet'}.")
    return programmes[code]


def _import_answer(outcome: StoredOutcome, *, replayed: bool) -> Response[ImportView]:
    done = msgspec.json.decode(outcome.ids["imported"], type=Imported)
    view = ImportView(
        lines=done.lines,
        kept=done.kept,
        unchanged=done.unchanged,
        refused=done.refused,
        errors=[RefusedLine(line=number, reason=reason) for number, reason in done.shown],
    )
    return Response(view, headers={"Idempotency-Replayed": "true"} if replayed else {})


HANDLERS = [lookup, merge, post_reward, import_, *jobs.HANDLERS]
