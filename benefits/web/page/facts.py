"""What the benefits page is made from: a member's standings, units, claims and prospects, read."""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions.foresee import Prospect, foresee
from benefits.actions.look_up import Seen, carried, see
from benefits.actions.parts import Parts
from benefits.actions.see_choices import Offered, see_choices
from benefits.domain.benefit import Benefit
from benefits.domain.catalogue import Catalogue
from benefits.domain.coming import Coming
from benefits.domain.metrics import Reading
from benefits.domain.policy import Text
from benefits.domain.programme import Programme
from benefits.domain.progress import Running
from benefits.domain.tiers import Decision, State
from benefits.domain.values import Month, local_date
from benefits.domain.windows import posted_by
from benefits.store import codes, merged, pages, waits
from benefits.store.codes import Readings
from benefits.store.db import Connection
from benefits.store.overview import Standing
from benefits.store.pages import ClaimSeen, Entitlement, EventSeen, Expired
from benefits.store.waits import WaitSeen
from benefits.web.problems import ReadOnly

CLAIMS_SHOWN = WAITS_SHOWN = 100
EXPIRED_SHOWN = timedelta(days=60)


class StandingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A member's place in a programme, and what is known of the running month.

    `state` is the standing itself, today. `then` is the programme as it was when the tier was
    decided, `judge` as it decides the running month, by whose metrics `running` is. `undecided` is
    the first month that is not evaluated, `evaluated` the last of the two months before that is;
    `result_by` is the day by which the next result is known, if any is promised.
    """

    programme: Programme
    decided: Decision | None
    state: State
    then: Programme
    judge: Programme
    since: datetime | None
    running: Running
    undecided: Month
    evaluated: Month | None
    result_by: date | None

    @property
    def known(self) -> Reading:
        """The policy's own metric in the period that runs."""
        return self.running.readings[0]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is read for a member's page; of labels, those whose lines the programmes have.

    The `waits` are those that have not ended, by their benefit.
    """

    now: datetime
    catalogue: Catalogue
    opened_on: date
    labels: frozenset[str] = frozenset()
    standings: dict[str, StandingSeen]
    lots: list[Entitlement]
    expired: list[Expired]
    claims: list[ClaimSeen]
    prospects: dict[str, Prospect]
    waits: dict[str, WaitSeen] = {}
    choices: dict[str, Offered] = {}
    coming: list[Coming] = []

    def serving(self, benefit: Benefit) -> Benefit:
        """Return what a claim of a benefit is served by today: itself, or what replaces it."""
        programme, _ = self.catalogue.offers[benefit.code]
        return programme.serving(benefit, local_date(self.now, programme.tz))


class OrderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is read for one claim, with the name of what it came `instead_of`, if anything."""

    now: datetime
    claim: ClaimSeen
    offer: tuple[Programme, Benefit]
    instead_of: Text
    events: list[EventSeen]
    readings: Readings


async def read_order(
    conn: Connection, member_id: UUID, claim_id: UUID, parts: Parts
) -> OrderFacts | None:
    """Read a claim of a member, or of who was merged into them; None when they have no such."""
    found = await pages.claim(conn, claim_id)
    if found is None or await pages.member_of_claim(conn, claim_id) != member_id:
        return None
    claimer, claim = found
    catalogue = await parts.catalogue.current(conn)
    replaced = catalogue.offers.get(claim.instead_of)
    return OrderFacts(
        now=parts.clock(),
        claim=claim,
        offer=catalogue.offers[claim.benefit],
        instead_of=replaced[1].name if replaced else {},
        events=await pages.events_of(conn, claimer, claim_id),
        readings=await codes.readings(conn, claim_id),
    )


async def _together(
    conn: Connection, member_id: UUID, parts: Parts
) -> tuple[dict[str, Prospect], Seen]:
    """Read what claims would meet and what there is, both by one catalogue."""
    catalogue = await parts.catalogue.current(conn)
    while True:
        prospects = await foresee(conn, member_id, catalogue, parts.clock())
        seen = (await see(conn, [member_id], parts, claims=CLAIMS_SHOWN))[member_id]
        if seen.catalogue is catalogue:
            return prospects, seen
        catalogue = seen.catalogue


async def read_facts(conn: Connection, member_id: UUID, parts: Parts) -> Facts:
    """Read what a member has now (UnknownMember)."""
    prospects, seen = await _together(conn, member_id, parts)
    now, programmes = seen.now, seen.catalogue.programmes.values()
    labels = await carried(conn, [seen.overview.member_id], programmes, now)
    return Facts(
        now=now,
        catalogue=seen.catalogue,
        opened_on=seen.overview.opened_on,
        labels=labels.get(seen.overview.member_id, frozenset()),
        coming=seen.coming,
        standings={one.programme: _standing(seen, one) for one in seen.overview.standings},
        lots=seen.overview.lots,
        expired=await pages.expired(conn, member_id, now, now - EXPIRED_SHOWN),
        claims=seen.overview.claims,
        prospects=prospects,
        waits=await _waits(conn, member_id),
        choices=await _choices(conn, member_id, seen.catalogue, parts),
    )


async def _waits(conn: Connection, member_id: UUID) -> dict[str, WaitSeen]:
    """Read which claims of a person wait, by their benefit."""
    whose = {member_id, *await merged.along(conn, [member_id])}
    found = await waits.of_members(conn, whose, waits.LAST, WAITS_SHOWN, only_open=True)
    return {seen.benefit: seen for seen in found}


async def _choices(
    conn: Connection, member_id: UUID, catalogue: Catalogue, parts: Parts
) -> dict[str, Offered]:
    """Read what a member may choose; nothing is asked where no programme has a choice."""
    if not catalogue.choices:
        return {}
    return (await see_choices(conn, member_id, parts)).offered


def nothing_to_claim(facts: Facts) -> Facts:
    """Return the facts where nothing is written: what could be claimed cannot be now."""
    prospects = {
        code: prospect
        if prospect.refusal and not prospect.may_wait
        else msgspec.structs.replace(prospect, refusal=ReadOnly(), may_wait=False)
        for code, prospect in facts.prospects.items()
    }
    closed = {
        code: msgspec.structs.replace(one, refusals=dict.fromkeys(one.refusals, ReadOnly()))
        for code, one in facts.choices.items()
    }
    return msgspec.structs.replace(facts, prospects=prospects, choices=closed)


def _standing(seen: Seen, place: Standing) -> StandingSeen:
    programme = seen.catalogue.programmes[place.programme]
    next_judge = seen.catalogue.rules[place.programme].at(place.undecided).programme
    return StandingSeen(
        programme=programme,
        decided=place.decided,
        state=place.held,
        then=seen.then.get(place.programme, programme),
        since=place.since,
        judge=place.judge,
        running=place.running,
        undecided=place.undecided,
        evaluated=place.evaluated,
        result_by=posted_by(next_judge.policy, place.undecided),
    )
