"""What the benefits page is made from: a member's standings, units, claims and prospects, read."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions.foresee import Prospect, foresee
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Benefit, Catalogue, Programme
from benefits.domain.tiers import Decision, MonthSum, State
from benefits.domain.values import Month, local_date
from benefits.store import codes, pages, tiers
from benefits.store.codes import Readings
from benefits.store.db import Connection
from benefits.store.pages import ClaimSeen, Entitlement, EventSeen, Expired, MemberSeen
from benefits.web.problems import ReadOnly

CLAIMS_SHOWN = 100
EXPIRED_SHOWN = timedelta(days=60)


class StandingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A member's place in a programme, and what is known of the running month.

    `then` is the programme as it was when the tier was decided; `closed` days of the month are
    over; `undecided` is the first month that is not evaluated, `evaluated` the last of the two
    months before that is.
    """

    programme: Programme
    decided: Decision | None
    then: Programme
    since: datetime | None
    known: MonthSum
    closed: int
    undecided: Month
    evaluated: Month | None

    @property
    def state(self) -> State:
        """The standing itself."""
        return self.decided.after if self.decided else State()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is read for a member's page."""

    now: datetime
    catalogue: Catalogue
    member: MemberSeen
    standings: dict[str, StandingSeen]
    lots: list[Entitlement]
    expired: list[Expired]
    claims: list[ClaimSeen]
    prospects: dict[str, Prospect]


class OrderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is read for one claim."""

    now: datetime
    claim: ClaimSeen
    offer: tuple[Programme, Benefit]
    events: list[EventSeen]
    readings: Readings


async def read_order(
    conn: Connection, member_id: UUID, claim_id: UUID, parts: Parts
) -> OrderFacts | None:
    """Read a claim of a member; None when they have no such claim."""
    found = await pages.claim(conn, claim_id)
    if found is None or found[0] != member_id:
        return None
    claim = found[1]
    catalogue = await parts.catalogue.current(conn)
    return OrderFacts(
        now=parts.clock(),
        claim=claim,
        offer=catalogue.offers[claim.benefit],
        events=await pages.events_of(conn, member_id, claim_id),
        readings=await codes.readings(conn, claim_id),
    )


async def read_facts(conn: Connection, member_id: UUID, parts: Parts) -> Facts:
    """Read what a member has now (UnknownMember)."""
    prospects = await foresee(conn, member_id, parts)
    member = await pages.member(conn, member_id)
    assert member is not None, "foreseen for"
    now = parts.clock()
    catalogue = await parts.catalogue.current(conn)
    return Facts(
        now=now,
        catalogue=catalogue,
        member=member,
        standings={
            programme.code: await _standing(conn, member_id, programme, parts, now=now)
            for programme in catalogue.programmes.values()
        },
        lots=await pages.entitlements(conn, member_id, now),
        expired=await pages.expired(conn, member_id, now, now - EXPIRED_SHOWN),
        claims=await pages.latest_claims(conn, member_id, CLAIMS_SHOWN),
        prospects=prospects,
    )


def nothing_to_claim(facts: Facts) -> Facts:
    """Return the facts where nothing is written: what could be claimed cannot be now."""
    prospects = {
        code: prospect if prospect.refusal else Prospect(ReadOnly(), prospect.cap_used)
        for code, prospect in facts.prospects.items()
    }
    return msgspec.structs.replace(facts, prospects=prospects)


async def _standing(
    conn: Connection, member_id: UUID, programme: Programme, parts: Parts, *, now: datetime
) -> StandingSeen:
    standing = await tiers.standing(conn, member_id, programme.code, at=now, known_at=now)
    month = Month.of(local_date(now, programme.tz))
    before = month.plus(-1)
    evaluated = None
    for each in (before, before.plus(-1)):
        if await pages.is_evaluated(conn, member_id, programme.code, each.start):
            evaluated = each
            break
    sum_minor, known = await pages.month_so_far(
        conn,
        member_id,
        month=month.start,
        currency=programme.currency,
        classes=programme.asset_classes,
    )
    then, since = programme, None
    if standing is not None:
        then = await parts.catalogue.version(conn, programme.code, standing.programme_version)
        rank = standing.decision.after.rank
        since = await tiers.since(conn, member_id, programme.code, rank=rank, at=now)
    return StandingSeen(
        programme=programme,
        decided=standing.decision if standing else None,
        then=then,
        since=since,
        known=MonthSum(month, sum_minor, known.bit_count()),
        closed=known.bit_length(),
        undecided=month if evaluated == before else before,
        evaluated=evaluated,
    )
