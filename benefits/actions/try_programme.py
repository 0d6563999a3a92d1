"""Try a programme's file on one member: what they would see, get and be refused under it (U-5).

The file is put into force in a transaction that its caller rolls back, with a catalogue of its
own, so that nobody else ever reads it. Nobody needs to have been told for a trial.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions import top_up
from benefits.actions.apply_programme import apply_programme
from benefits.actions.claim import ClaimUnits, UnknownMember, claim
from benefits.actions.foresee import CHANNEL
from benefits.actions.judge_month import last_decision
from benefits.actions.keyed import Accepted
from benefits.actions.parts import Parts
from benefits.actions.stack import Due
from benefits.actions.wishes import Terms
from benefits.domain.catalogue import Catalogue
from benefits.domain.explanation import explain
from benefits.domain.programme import Programme
from benefits.domain.tiers import State
from benefits.domain.units import Quantity
from benefits.domain.values import Month, bucket_of, local_date
from benefits.store import facts, members, merged, tiers
from benefits.store.catalogue import Cache
from benefits.store.db import Connection
from benefits.store.facts import Whom
from benefits.store.ledger import Journal

CALLER = "system:try"


class TierTried(msgspec.Struct, frozen=True):
    """The tier that the last month makes by a version, and the sentence that tells why, if any."""

    tier: str
    why: str


class ClaimTried(msgspec.Struct, frozen=True):
    """What became of a claim of one piece: nothing, or the code that refuses it and its words."""

    benefit: str
    refusal: str = ""
    why: str = ""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a member has by the version in force (None where there is none) and under the file.

    `granted` is what the tier and segments would bring now beyond what they brought.
    """

    month: Month
    before: TierTried | None
    after: TierTried
    granted: list[tuple[str, Quantity]]
    claims: list[ClaimTried]


async def try_programme(
    conn: Connection,
    parts: Parts,
    made: Programme,
    member_id: UUID,
    *,
    at: datetime | None = None,
) -> Tried:
    """Return what a file would mean for a member; whoever calls rolls all of it back.

    That is now, or as if it were an instant to come and nothing had happened until then.
    UnknownMember, and whatever `apply_programme` refuses but a missing notice.
    """
    if at is not None:
        parts = msgspec.structs.replace(parts, clock=lambda: at)
    month = Month.of(local_date(parts.clock(), made.tz)).plus(-1)
    now = (await parts.catalogue.plan(conn)).at(parts.clock())
    moved = await merged.current(conn, [member_id])
    whom = moved.get(member_id, member_id)
    locked = await members.lock(conn, [whom], wait=True)
    if whom not in locked:
        raise UnknownMember
    before, held = None, None
    if made.code in now.programmes:
        before, held = await _tier(conn, now, made.code, month=month, member_id=whom)
    await apply_programme(conn, made, parts, tiers_from=month, needs_notice=False)
    alone = msgspec.structs.replace(parts, catalogue=Cache(parts.clock))
    new = await alone.catalogue.current(conn)
    after, rank = await _tier(conn, new, made.code, month=month, member_id=whom)
    journal = Journal(locked, parts.clock(), parts.new_id)
    brought = await _due(conn, alone, made, month=month, ranked=(whom, rank), held=held)
    added = await top_up.add_due(conn, journal, brought, actor=CALLER)
    await journal.write(conn)
    await top_up.put(conn, added)
    return Tried(
        month=month,
        before=before,
        after=after,
        granted=[(each.item.code, made.whole(each.item, each.whole)) for each in brought],
        claims=[
            await _claim(conn, alone, made, member_id=whom, code=code) for code in made.benefits
        ],
    )


async def _tier(
    conn: Connection, catalogue: Catalogue, code: str, *, month: Month, member_id: UUID
) -> tuple[TierTried, int]:
    """Return the tier that a month makes by the versions of a catalogue, and its rank."""
    bucket, judges = bucket_of(member_id), catalogue.rules[code]
    known = await facts.load(conn, judges, month, Whom((bucket, bucket), [member_id]))
    decision = last_decision(judges, known[0], month, month.end) if known else None
    rank = (State() if decision is None else decision.after).rank
    judge = judges.at(month).programme
    why = "" if decision is None else explain(judge, decision)["en"]
    return TierTried(judge.tier[rank].code, why), rank


async def _due(
    conn: Connection,
    parts: Parts,
    made: Programme,
    *,
    month: Month,
    ranked: tuple[UUID, int],
    held: int | None,
) -> list[Due]:
    """Return what a tier and segments bring today beyond what they and the tier `held` brought."""
    member_id, now = ranked[0], parts.clock()
    running, bucket = month.plus(1), bucket_of(member_id)
    whom = Whom((bucket, bucket), [member_id])
    into = await merged.along(conn, [member_id])
    day = top_up.day_in(made, running, now)
    brought = await top_up.brought(conn, made, made.line, day, whom=whom, into=into)
    since = {member_id: running.start}
    if ranked[1] == held:
        since = await tiers.since(conn, made.code, month, whom, zone=made.tz)
    return await top_up.due(conn, made, [ranked], brought, since=since, now=now)


async def _claim(
    conn: Connection, parts: Parts, made: Programme, *, member_id: UUID, code: str
) -> ClaimTried:
    """Claim one piece of a benefit on the page, with something in every field that it asks for.

    What is booked is so for a time that there is, if any. It is undone at once: no claim meets the
    others, nor keeps the locks of what all share.
    """
    terms = Terms.of(made, made.benefits[code], parts.clock())
    wish = ClaimUnits(
        caller=CALLER,
        key=code,
        member_id=member_id,
        benefit=code,
        recipient=dict.fromkeys(terms.benefit.recipient, "-"),
        channel=CHANNEL,
        booked_for=terms.slots.middle if terms.slots else None,
    )
    tried = await conn.begin_nested()
    (outcome,) = await claim(conn, [wish], parts, wait=True)
    await tried.rollback()
    if isinstance(outcome, Accepted):
        return ClaimTried(code)
    return ClaimTried(code, outcome.code, outcome.detail)
