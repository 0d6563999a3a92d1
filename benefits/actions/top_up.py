"""Top members up to the quotas of their packages: what is due, and its lots (P-3, P-4).

Whoever decides tiers, sees one proven ahead or starts a period asks here with the members' ranks.
What was granted before is left out, so that asking again grants nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.actions import carry_over
from benefits.actions.carry_over import Topped
from benefits.actions.follow_quota import For, Place, give_again
from benefits.actions.new_lots import GrantFor, add_lot
from benefits.actions.stack import Brought, Due, matters, stacked, stacking_of, stacks_of
from benefits.domain import eligibility, entitlement, packages, units
from benefits.domain.labels import held
from benefits.domain.ladder import Truth
from benefits.domain.packages import Claiming, Line
from benefits.domain.programme import Item, Programme
from benefits.domain.values import BUCKETS, Month, Period, bucket_of, local_date
from benefits.store import auto_claims, blocks, facts, known, merged, quota_changes, tiers
from benefits.store import ledger as books
from benefits.store.db import Connection
from benefits.store.facts import Whom
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.quota_changes import ChangeRow
from benefits.store.tiers import GrantRow

Found = TypeVar("Found")
Counted = dict[Place, list[Found]]


def ranks(programme: Programme) -> set[int]:
    """Return the tiers that bring anything."""
    bringing = {tier for line in programme.line for tier in line.quota}
    return {rank for rank, tier in enumerate(programme.tier) if tier.code in bringing}


def deciding(programme: Programme) -> list[Line]:
    """Return the lines that a decision on a tier concerns: of tiers, and what stacks with them."""
    lines = packages.of_tiers(programme.line)
    stacking = {line.benefit for line in lines if not _is_plain(programme, line)}
    return [line for line in programme.line if line.segment is None or line.benefit in stacking]


def _is_plain(programme: Programme, line: Line) -> bool:
    return stacking_of(programme.brought(line)).is_plain


def day_in(programme: Programme, month: Month, now: datetime) -> date:
    """Return the day of a month for whose periods is granted: today, or the nearest to it."""
    last = month.end - timedelta(days=1)
    return min(max(local_date(now, programme.tz), month.start), last)


async def brought(
    conn: Connection,
    programme: Programme,
    lines: Sequence[Line],
    day: date,
    *,
    whom: Whom,
    into: Mapping[UUID, UUID],
) -> Brought:
    """Read what lines granted in the periods of a day, to those merged `into` members too."""
    keys = sorted({key for line in lines for key in packages.keys_at(line, day)})
    codes, others = {line.code for line in lines}, dict[tuple[UUID, str, str], set[str]]()
    if any(not _is_plain(programme, line) for line in lines):
        there = [line.code for line in programme.line]
        others = await tiers.gone(conn, programme.code, there, keys, whom=whom, into=into)
        codes.update(*others.values())
    some = sorted(codes)
    grants = await tiers.granted(conn, programme.code, some, keys, whom=whom, into=into)
    changes = await quota_changes.changes(conn, programme.code, some, keys, whom=whom, into=into)
    is_asked = any(line.is_members_own for line in lines)
    opened = await tiers.opened(conn, whom) if is_asked else {}
    carried = await _carried(conn, lines, day, whom, into=into)
    return Brought(lines, day, grants, changes, opened, carried, others)


async def _carried(
    conn: Connection,
    lines: Sequence[Line],
    day: date,
    whom: Whom,
    *,
    into: Mapping[UUID, UUID],
) -> dict[UUID, set[str]]:
    """Return the labels that members carry on a day and that segments ask for, with layers."""
    names = sorted({line.segment.label for line in lines if line.segment})
    if not names:
        return {}
    next_day = day + timedelta(days=1)
    found = await facts.labels_of(conn, names, next_day, whom)
    if into:
        those = Whom((0, BUCKETS - 1), sorted(into))
        found += await facts.labels_of(conn, names, next_day, those)
    carried = dict[UUID, set[str]]()
    for member_id, label in found:
        carried.setdefault(into.get(member_id, member_id), set()).update(held([label], day))
    return carried


class Ending(msgspec.Struct, frozen=True):
    """What says when units end that a line brings somebody."""

    programme: Programme
    line: Line
    item: Item
    opened_on: date

    def at(self, period: Period, now: datetime) -> datetime | None:
        """Return when units of a period end that come now; None when they would have ended."""
        zone = self.programme.tz
        ends = packages.ends_at(self.line, period, zone, now, opened_on=self.opened_on)
        if ends is None:
            return None
        ends = entitlement.last_use(ends, self.programme.contract_end(self.item), zone)
        return ends if ends > now else None


async def due(
    conn: Connection,
    programme: Programme,
    ranks: Iterable[tuple[UUID, int]],
    before: Brought,
    *,
    since: date | Mapping[UUID, date],
    now: datetime,
    passed: Collection[int] = (),
    decided: Collection[UUID] | None = None,
) -> list[Due]:
    """Return what tops members up to their tiers' quotas in the periods of a day (P-3, P-4).

    Of lines that let them in (E-1), as their benefits stack (P-7); nothing while frozen (E-6).
    `since` is the first day of the tiers, of all members or of each. In buckets whose month is
    `passed` nothing comes back: its tier is not the one held now, to which units follow. Segments
    bring units to members of whom a tier is `decided`, if such are named: the others had their
    first day. What stays of lines that fall is said of all.
    """
    found = missing(programme, ranks, before, since=since, now=now)
    found = stacked(await let_in(conn, programme, before.day, found), now)
    if decided is not None:
        found = [due for due in found if due.line.segment is None or due.member_id in decided]
    found = [replace(due, back=()) if bucket_of(due.member_id) in passed else due for due in found]
    ids = {due.member_id for due in found if due.whole}
    frozen = await blocks.frozen(conn, ids, now) if ids else set()
    found = [
        replace(due, quantity=0, back=()) if due.member_id in frozen else due for due in found
    ]
    return [due for due in found if due.whole or due.stays]


def missing(
    programme: Programme,
    ranks: Iterable[tuple[UUID, int]],
    before: Brought,
    *,
    since: date | Mapping[UUID, date],
    now: datetime,
) -> list[Due]:
    """Return what each line on its own would bring, and all of those that stack with others."""
    found, granted = list[Due](), _counted(before, before.grants)
    changed = _counted(before, before.changes)
    counted = (granted, changed)
    by_tier = _of_tiers(programme, before.lines)
    by_label = _of_segments(programme, before.lines)
    for member_id, rank in ranks:
        from_ = since if isinstance(since, date) else since[member_id]
        tier = programme.tier[rank].code
        owned = list(by_tier.get(tier, ()))
        for key in sorted(before.carried.get(member_id, ())):
            owned += by_label.get(key, ())
        for line, item, quota in owned:
            opened_on = before.opened.get(member_id, before.day)
            period = packages.period_at(line, before.day, opened_on)
            ends = Ending(programme, line, item, opened_on)
            expires_at = period and ends.at(period, now)
            if not period or not expires_at:
                continue
            place = (member_id, line.code, period.key)
            earlier, changes = granted.get(place, []), changed.get(place, [])
            back = entitlement.coming_back(quota, earlier, changes, now)
            quantity = entitlement.top_up(
                line,
                quota,
                earlier,
                changes,
                back=sum(part.amount for part in back),
                period=period,
                from_=from_,
            )
            stacks = stacks_of(
                programme, line, quota, place=place, before=before, counted=counted, now=now
            )
            if back or quantity or stacks:
                cause = "SEGMENT" if line.segment else "TIER"
                for_ = GrantFor(programme.code, line.code, period.key, cause, quota, line.order)
                found.append(
                    Due(
                        member_id=member_id,
                        tier=tier,
                        line=line,
                        item=item,
                        for_=for_,
                        quantity=quantity,
                        expires_at=expires_at,
                        opened_on=opened_on,
                        back=back,
                        stacks=stacks,
                    )
                )
    return found


Owned = tuple[Line, Item, int]  # a line, what it brings, and how many steps of it


def _of_tiers(programme: Programme, lines: Sequence[Line]) -> dict[str, list[Owned]]:
    """Return the lines of tiers by their code."""
    found = dict[str, list[Owned]]()
    for line in lines:
        item = programme.brought(line)
        for tier, quota in line.quota.items():
            entry = (line, item, units.steps(quota, item.scale))
            found.setdefault(tier, []).append(entry)
    return found


def _of_segments(programme: Programme, lines: Sequence[Line]) -> dict[str, list[Owned]]:
    """Return the lines of segments by their label."""
    found = dict[str, list[Owned]]()
    for line in lines:
        if line.segment is not None:
            item = programme.brought(line)
            entry = (line, item, units.steps(line.quantity, item.scale))
            found.setdefault(line.segment.key, []).append(entry)
    return found


def _counted(before: Brought, found: Counted[Found]) -> Counted[Found]:
    """Return what was found by the periods it counts for: moved where an opening was corrected."""
    own = {line.code: line for line in before.lines if line.is_members_own}
    if not own:
        return found
    counted = Counted[Found]()
    for (member_id, code, key), some in found.items():
        opened_on = before.opened.get(member_id)
        moved = key
        if code in own and opened_on is not None:
            moved = packages.counts_for(own[code], key, opened_on)
        counted.setdefault((member_id, code, moved), []).extend(some)
    return counted


async def let_in(
    conn: Connection, programme: Programme, day: date, dues: Sequence[Due]
) -> Sequence[Due]:
    """Return what is due of lines that let its member in, as of a day (E-1).

    What is asked of a member is read for those alone to whom a line with a rule would bring units,
    or whom it would hide another. What stays of one that falls is not asked.
    """
    asked = [due for due in dues if due.line.eligible is not None and matters(due)]
    if not asked:
        return dues
    rules = {due.line.code: due.line.eligible for due in asked if due.line.eligible is not None}
    ids = {due.member_id for due in asked}
    found = await known.load(conn, programme, rules.values(), day=day, ids=ids)

    def is_in(due: Due) -> bool:
        rule = rules.get(due.line.code)
        if rule is None or not matters(due):
            return True
        one = msgspec.structs.replace(found[due.member_id], tier=due.tier)
        return eligibility.weigh(rule, one) is Truth.YES

    let_in = list[Due]()
    for due in dues:
        if is_in(due):
            let_in.append(due)
        elif due.stacks is not None and due.stacks.fall is not None:
            let_in.append(replace(due, stacks=replace(due.stacks, lets_in=False)))
    return let_in


async def of_decided(
    conn: Connection,
    programme: Programme,
    ranks: Sequence[tuple[UUID, int]],
    since: Mapping[UUID, date],
    *,
    locked: Mapping[UUID, Member],
    now: datetime,
) -> list[Due]:
    """Return what is due today to members who are locked and whose tier holds from now on."""
    ids = sorted(locked, key=lambda id_: (bucket_of(id_), id_))
    whom = Whom((bucket_of(ids[0]), bucket_of(ids[-1])), ids)
    into = await merged.along(conn, [id_ for id_, one in locked.items() if one.has_merged])
    day = local_date(now, programme.tz)
    before = await brought(conn, programme, deciding(programme), day, whom=whom, into=into)
    return await due(conn, programme, ranks, before, since=since, now=now)


class Added(msgspec.Struct, frozen=True):
    """What is to be written down of what was put into a journal; some is claimed at once."""

    now: datetime
    grants: list[GrantRow]
    changes: list[ChangeRow]
    claims: list[auto_claims.New]


async def add_due(conn: Connection, journal: Journal, dues: Sequence[Due], *, actor: str) -> Added:
    """Put what is due into the journal: units that come back, and lots, which pay what is owed.

    What is carried over then keeps within its cap (P-5).
    """
    added = Added(journal.now, [], [], [])
    if not dues:
        return added
    pairs = [(due.member_id, due.item.unit) for due in dues]
    journal.load_owed(await books.owed(conn, pairs))
    taken = {part.lot_id for due in dues for part in due.back} - journal.lots.keys()
    if taken:
        journal.load(await books.lots_by_id(conn, sorted(taken)))
    topped = list[Topped]()
    for due in dues:
        if due.back:
            for_ = For(due.for_.programme, due.for_.line, due.for_.period, due.for_.quota)
            added.changes.extend(
                give_again(journal, due.member_id, due.item, for_=for_, parts=due.back)
            )
        if due.quantity:
            added.grants.append(
                add_lot(
                    journal,
                    due.member_id,
                    due.item,
                    due.for_,
                    quantity=due.quantity,
                    expires_at=due.expires_at,
                    actor=actor,
                )
            )
        if due.line.claim is Claiming.AUTO:
            added.claims.extend(_claimed(due, added.grants[-1:] if due.quantity else []))
        topped.append(
            Topped(
                member_id=due.member_id,
                programme=due.for_.programme,
                line=due.line,
                item=due.item,
                period=due.for_.period,
                opened_on=due.opened_on,
                lot_id=added.grants[-1].lot_id if due.quantity else None,
            )
        )
    await carry_over.cut(conn, journal, topped)
    return added


def _claimed(due: Due, granted: Sequence[GrantRow]) -> list[auto_claims.New]:
    """Return the lots whose units are claimed for the member: that granted, what comes back to."""
    lots = [*(grant.lot_id for grant in granted), *(part.lot_id for part in due.back)]
    return [
        auto_claims.New(
            member_id=due.member_id,
            lot_id=lot_id,
            programme=due.for_.programme,
            line=due.line.code,
        )
        for lot_id in lots
    ]


async def put(conn: Connection, added: Added) -> None:
    """Write down what was granted, and what came back."""
    await auto_claims.put(conn, added.claims, added.now)
    await tiers.put_grants(conn, added.grants)
    await quota_changes.put(conn, added.changes)
