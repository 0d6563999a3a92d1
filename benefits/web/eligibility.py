"""Who may claim what, and why not: a member's conditions one by one, consents, whole populations.

A condition holds, does not hold, or is not known (`unknown`), and only what holds lets anybody in.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.claim import UnknownBenefit, UnknownMember
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.look_up import Seen
from benefits.actions.record_consents import SayConsent, say_consent
from benefits.actions.see_population import asked_of
from benefits.domain import eligibility as rules
from benefits.domain.benefit import Benefit
from benefits.domain.consents import CODE
from benefits.domain.eligibility import Rule
from benefits.domain.fields import Channel, Known
from benefits.domain.ladder import Truth
from benefits.domain.policy import Text
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.domain.values import BUCKETS, local_date
from benefits.store import consents, eligibility, merged, pages
from benefits.store import known as known_of
from benefits.store.db import Connection
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.claims import Way
from benefits.web.mobile import seen
from benefits.web.problems import refused, stored

PAGE_MAX = 1000
EVERY = (0, BUCKETS - 1)
SEERS = ("mobile", "member", "crm", "relationship_manager", "operator", "auditor")
Holds = Literal["yes", "no", "unknown"]
Code = Annotated[str, msgspec.Meta(pattern=rf"\A{CODE}\Z")]
HOLDS: dict[Truth, Holds] = {Truth.YES: "yes", Truth.NO: "no", Truth.OPEN: "unknown"}


class ConditionView(msgspec.Struct, kw_only=True):
    """One condition of a rule, by its path in it; `change` says what would change it, if known."""

    path: str
    field: str
    holds: Holds
    words: dict[str, str]
    change: dict[str, str]


class RuleView(msgspec.Struct, kw_only=True):
    """What a rule says of a member; `why` is the sentence of what is missing, if it does not."""

    holds: Holds
    why: dict[str, str]
    conditions: list[ConditionView]


class ConsentNeedView(msgspec.Struct, kw_only=True):
    """The consent that a claim needs, in the words that a member agrees to."""

    purpose: str
    provider: str
    text: dict[str, str]
    given: bool


class LineRuleView(msgspec.Struct, kw_only=True):
    """The rule by which a package line grants, as it would today."""

    line: str
    tier: str
    rule: RuleView


class EligibilityView(msgspec.Struct, kw_only=True):
    """Whether a member is let in to a claim by consent and rule, and to the lines that bring it.

    `may_claim` says nothing of units, limits, stock and budget.
    """

    member_id: UUID
    benefit: str
    on: date
    may_claim: bool
    consent: ConsentNeedView | None
    claim: RuleView | None
    lines: list[LineRuleView]


class ConsentRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A member's word: whether a purpose is agreed to, for one provider."""

    purpose: Code
    provider: Code
    given: bool


class ConsentView(msgspec.Struct, kw_only=True):
    """What a member said last of a purpose and a provider, and on which day."""

    purpose: str
    provider: str
    given: bool
    said_on: date


class ConsentsView(msgspec.Struct, kw_only=True):
    """What a member agreed to, or withdrew."""

    consents: list[ConsentView]


class PopulationView(msgspec.Struct, kw_only=True):
    """Members whom a benefit's rule lets in; the `count` of them all is on the first page."""

    benefit: str
    on: date
    count: int | None
    members: list[UUID]
    next: str | None


@get(
    "/v1/members/{member_id:uuid}/eligibility",
    guards=[needs(*SEERS)],
    tags=["members"],
    operation_id="get_eligibility",
)
async def get_eligibility(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    benefit: FromQuery[str],
    channel: FromQuery[Way | None] = None,
) -> EligibilityView:
    """Return why a member may claim a benefit or may not, condition by condition.

    Without a `channel` it is not known by which one the claim would come. After the end of its
    contract it is what replaces the benefit that is claimed.
    """
    state = request.app.state
    found = await seen(state, request.auth, member_id)
    if benefit not in found.catalogue.offers:
        raise UnknownBenefit
    programme, named = found.catalogue.offers[benefit]
    asked = [line.eligible for line in programme.line if line.eligible is not None]
    today = local_date(found.now, programme.tz)
    offered = programme.serving(named, today)
    async with state.database.transaction() as conn:
        whom = (await merged.current(conn, [member_id])).get(member_id, member_id)
        found_of = await known_of.load(conn, programme, asked, day=today, ids=[whom])
    tier = programme.tier[_rank(found, programme)].code
    known = msgspec.structs.replace(found_of[whom], tier=tier, channel=channel or "")
    return EligibilityView(
        member_id=member_id,
        benefit=benefit,
        on=today,
        may_claim=rules.admit(offered.eligible, offered.consent_key, known) is None,
        consent=_consent(programme, offered, known),
        claim=_rule(offered.eligible, known, programme.tier_names) if offered.eligible else None,
        lines=[
            LineRuleView(
                line=line.code,
                tier=tier,
                rule=_rule(line.eligible, known, programme.tier_names),
            )
            for line in programme.line
            if line.eligible is not None and programme.may_bring(line, named.draws or benefit)
        ],
    )


def _rank(found: Seen, programme: Programme) -> int:
    for standing in found.overview.standings:
        if standing.programme == programme.code:
            return standing.held.rank
    return 0


def _consent(programme: Programme, offered: Benefit, known: Known) -> ConsentNeedView | None:
    if not offered.consent:
        return None
    return ConsentNeedView(
        purpose=offered.consent,
        provider=offered.provider,
        text=programme.consents[offered.consent].text,
        given=offered.consent_key in known.consents,
    )


def _rule(rule: Rule, known: Known, names: Mapping[str, Text]) -> RuleView:
    holds = rules.weigh(rule, known)
    return RuleView(
        holds=HOLDS[holds],
        why={} if holds is Truth.YES else rules.why(rule, known, names),
        conditions=[
            ConditionView(
                path=leaf.path,
                field=leaf.field,
                holds=HOLDS[leaf.truth(known)],
                words=rules.words(leaf, names),
                change=rules.changes_by(leaf, known),
            )
            for leaf in rules.leaves(rule)
        ],
    )


@get(
    "/v1/members/{member_id:uuid}/consents",
    guards=[needs(*SEERS)],
    tags=["members"],
    operation_id="get_consents",
)
async def get_consents(member_id: FromPath[UUID], request: Request[Any, Any, Any]) -> ConsentsView:
    """Return what a member said last of each purpose and provider."""
    async with request.app.state.database.transaction() as conn:
        if not await pages.member_exists(conn, member_id):
            raise UnknownMember
        whom = (await merged.current(conn, [member_id])).get(member_id, member_id)
        found = await consents.current(conn, whom)
    return ConsentsView(
        consents=[
            ConsentView(
                purpose=one.purpose,
                provider=one.provider,
                given=one.is_given,
                said_on=one.said_on,
            )
            for one in found
        ]
    )


@post(
    "/v1/members/{member_id:uuid}/consents",
    guards=[needs("mobile", "member", "crm")],
    tags=["members"],
    operation_id="say_consent",
    status_code=200,
)
async def post_consent(
    member_id: FromPath[UUID],
    data: JSONBody[ConsentRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ConsentView]:
    """Record that a member agrees to a purpose, or withdraws it. Needs an Idempotency-Key."""
    command = SayConsent(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        member_id=member_id,
        purpose=data.purpose,
        provider=data.provider,
        is_given=data.given,
    )

    async def work(conn: Connection) -> Decided | Refusal:
        return await say_consent(conn, command, request.app.state.parts)

    outcome = await rehearsal.database(request, dry_run=dry_run).transact(work)
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            view = ConsentView(
                purpose=data.purpose,
                provider=data.provider,
                given=data.given,
                said_on=date.fromisoformat(outcome.ids["said_on"]),
            )
            return Response(view, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


@get(
    "/v1/benefits/{code:str}/population",
    guards=[needs("crm", "operator", "auditor")],
    tags=["members"],
    operation_id="get_population",
)
async def get_population(
    code: FromPath[str],
    request: Request[Any, Any, Any],
    *,
    channel: FromQuery[Way | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
) -> PopulationView:
    """Return whom a benefit's rule would let in to a claim today, and how many there are.

    Consents, units, limits, stock and budget are not asked for.
    """
    state = request.app.state
    kind = f"population {code} {channel or ''}"
    after = cursors.read(kind, cursor, UUID)
    by = Channel(channel) if channel else None
    async with state.database.transaction() as conn:
        asked = await asked_of(conn, state.parts, code, by)
        found = await eligibility.page(conn, asked, EVERY, after=after, limit=limit + 1)
        count = await eligibility.count(conn, asked, EVERY) if cursor is None else None
    more = len(found) > limit
    return PopulationView(
        benefit=code,
        on=asked.today,
        count=count,
        members=found[:limit],
        next=cursors.write(kind, found[limit - 1]) if more else None,
    )


HANDLERS = [get_eligibility, get_consents, post_consent, get_population]
