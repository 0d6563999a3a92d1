"""Recall what the last evaluated month came to for a member where it changed nothing (X-6).

Only what changes something is written (T-8), so the month is folded again as it is asked about:
for one member, by what an evaluation reads.
"""

from uuid import UUID

import msgspec

from benefits.actions.judge_month import closed_by, last_decision
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Judge
from benefits.domain.news import news
from benefits.domain.tiers import Decision
from benefits.domain.values import bucket_of, local_date
from benefits.store import facts, merged
from benefits.store.db import Connection
from benefits.store.facts import Whom


class Recalled(msgspec.Struct, frozen=True):
    """What a month came to, and the version that judges it."""

    judge: Judge
    decision: Decision


async def recall_month(conn: Connection, parts: Parts, member_id: UUID) -> dict[str, Recalled]:
    """Return by programme what the last month came to that changed nothing (X-6).

    Where it changed something, or will because balances were corrected since, that is on record or
    the next evaluation's: it is left out.
    """
    catalogue, now = await parts.catalogue.current(conn), parts.clock()
    bucket, found = bucket_of(member_id), dict[str, Recalled]()
    for code, month in (await merged.evaluated(conn, member_id)).items():
        rules = catalogue.rules.get(code)
        if rules is None:
            continue
        whom, today = Whom((bucket, bucket), [member_id]), local_date(now, catalogue.zone)
        for fact in await facts.load(conn, rules, month, whom):
            decision, on = last_decision(rules, fact, month, today), max(month.end, today)
            if decision is None or closed_by(fact.closed_on, on):
                continue
            is_on_record = fact.decided_for == month
            if not is_on_record and news(decision, fact.written, on=on) is None:
                found[code] = Recalled(rules.at(month), decision)
    return found
