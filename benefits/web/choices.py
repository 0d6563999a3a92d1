"""Choices of a member: what may be chosen for their units, what was, and the choosing (P-8)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from benefits.actions.choose import ChooseBenefit
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.see_choices import Offered, see_choices
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store.group import Group
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.claims import CLAIMERS
from benefits.web.mobile import LOOKERS
from benefits.web.problems import refused, stored

CHOICES = "/v1/members/{member_id:uuid}/choices"


class ChoosableView(msgspec.Struct, kw_only=True):
    """A benefit of a choice; `refused` is the code by which it cannot be chosen now, if any."""

    code: str
    name: dict[str, str]
    refused: str | None


class ChoiceLotView(msgspec.Struct, kw_only=True):
    """Units of a choice that were granted together; what is chosen for them ends as they do."""

    available: int
    granted_at: datetime
    expires_at: datetime | None


class ChosenView(msgspec.Struct, kw_only=True):
    """A unit that became one of a benefit, in the lot `lot_id`."""

    benefit: str
    lot_id: UUID
    period: str
    chosen_at: datetime


class ChoiceView(msgspec.Struct, kw_only=True):
    """A choice the member has units of, or chose from, the lots by their end.

    Unless they may `repeat`, each benefit is chosen once in what a line brings a period.
    """

    code: str
    name: dict[str, str]
    programme: str
    repeat: bool
    available: int
    lots: list[ChoiceLotView]
    benefits: list[ChoosableView]
    chosen: list[ChosenView]


class ChoicesView(msgspec.Struct, kw_only=True):
    """All choices of a member."""

    member_id: UUID
    as_of: datetime
    choices: list[ChoiceView]


class ChoiceRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A wish to turn one unit of a choice into one of a benefit."""

    choice: str
    benefit: str


class ChoiceAnswer(msgspec.Struct, kw_only=True):
    """The lot that holds the unit of the benefit, which can be claimed."""

    lot_id: UUID


@get(CHOICES, guards=[needs(*LOOKERS)], tags=["members"], operation_id="get_choices")
async def get_choices(member_id: FromPath[UUID], request: Request[Any, Any, Any]) -> ChoicesView:
    """Return what a member may choose for the units they have, and what they chose."""
    state = request.app.state
    async with state.database.transaction() as conn:
        found = await see_choices(conn, member_id, state.parts)
    return ChoicesView(
        member_id=member_id,
        as_of=found.now,
        choices=[_view(one, found.now) for one in found.offered.values()],
    )


def _view(one: Offered, now: datetime) -> ChoiceView:
    return ChoiceView(
        code=one.choice.code,
        name=one.choice.name,
        programme=one.programme.code,
        repeat=one.choice.repeat,
        available=one.available(now),
        lots=[
            ChoiceLotView(
                available=lot.available(now),
                granted_at=lot.granted_at,
                expires_at=lot.expires_at,
            )
            for lot in one.lots
        ],
        benefits=[
            ChoosableView(
                code=code,
                name=one.programme.benefits[code].name,
                refused=None if refusal is None else refusal.code,
            )
            for code, refusal in one.refusals.items()
        ],
        chosen=[
            ChosenView(
                benefit=row.benefit,
                lot_id=row.lot_id,
                period=row.period,
                chosen_at=row.chosen_at,
            )
            for row in one.made
        ],
    )


@post(CHOICES, guards=[needs(*CLAIMERS)], tags=["claims"], operation_id="choose")
async def post_choice(
    member_id: FromPath[UUID],
    data: JSONBody[ChoiceRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ChoiceAnswer]:
    """Turn a unit of a choice into one of a benefit. Needs an Idempotency-Key."""
    command = ChooseBenefit(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        member_id=member_id,
        choice=data.choice,
        benefit=data.benefit,
    )
    choosings: Group[ChooseBenefit, Decided] = request.app.state.choosings
    outcome = await (choosings.rehearse if dry_run else choosings.submit)(command)
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            answer = ChoiceAnswer(lot_id=UUID(outcome.ids["lot_id"]))
            return Response(answer, status_code=201, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


HANDLERS = [get_choices, post_choice]
