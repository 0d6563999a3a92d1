"""Fill a day that never came: one person proposes with what, another approves it (A-6).

A proposal is weighed and kept with the digest of all it would do. Approving weighs it anew, one
fill at a time: if anything would now be otherwise, it must be proposed again. What was approved is
a feed of a revision below 0 and moves the sums like any other, when its turn comes.
"""

from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from functools import partial
from uuid import UUID

import msgspec

from benefits.actions.correct import SamePerson
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.parts import Parts
from benefits.actions.seal_feed import UNDER_WAY, apply_at_once, apply_next, gaps
from benefits.domain import fills as rules
from benefits.domain.corrections import same_person
from benefits.domain.feeds import (
    Digest,
    FeedKey,
    FeedKind,
    FeedNotNamed,
    FeedState,
    Manifest,
    Tally,
    digest_of,
)
from benefits.domain.fills import (
    DayNotMissing,
    Effect,
    FillInvalid,
    FillKind,
    FillTooEarly,
    Said,
    Wanted,
)
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import local_date, placed_bucket
from benefits.store import chains, feeds, fills
from benefits.store.chains import Stood
from benefits.store.db import Connection, Database
from benefits.store.feeds import Feed
from benefits.store.fills import FillSeen, NewFill, Verdict
from benefits.store.requests import RequestKey


class UnknownFill(Refusal):
    """No fill has this id."""

    code = "unknown_fill"
    words = "No fill has this id."


class FillClosed(Refusal):
    """The fill was decided before, or its time is over."""

    code = "fill_closed"
    words = "This fill was decided before, or its time is over."


class FillStale(Refusal):
    """What the fill would do now is not what was proposed and read."""

    code = "fill_stale"
    words = "This fill would now do something else. Reject it and propose it anew."


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """A person's proposal, under their key if they sent one."""

    caller: str
    key: str = ""
    wanted: Wanted
    note: str

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept."""
        return _placed(self.caller, "propose_fill", self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        return body_hash([self.wanted, self.note])


class Decide(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a proposal: with its `digest` they approve it, without they reject it."""

    caller: str
    key: str = ""
    fill_id: UUID
    note: str = ""
    digest: Digest | None = None

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept."""
        operation = "reject_fill" if self.digest is None else "approve_fill"
        return _placed(self.caller, operation, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is said, and on what."""
        return body_hash([self.fill_id.hex, self.note, self.digest])


Command = Propose | Decide
Work = Callable[[], Awaitable[UUID]]
Progress = Callable[[Feed], None]


def _placed(caller: str, operation: str, key: str) -> RequestKey:
    return RequestKey(placed_bucket(caller, operation, key), caller, operation, key)


async def propose(conn: Connection, command: Propose, parts: Parts) -> Decided | Refusal:
    """Keep a proposal under its key, in this transaction; nothing is filled."""
    return await _once(conn, command, parts, partial(put_fill, conn, command, parts))


async def decide(conn: Connection, command: Decide, parts: Parts) -> Decided | Refusal:
    """Approve or reject a proposal under its key, in this transaction."""
    return await _once(conn, command, parts, partial(decide_fill, conn, command, parts))


async def put_fill(conn: Connection, command: Propose, parts: Parts) -> UUID:
    """Keep a proposal with all it would do; return its id (what `weigh` refuses)."""
    effect = await weigh(conn, command.wanted, parts)
    now = parts.clock()
    id_ = parts.new_id(now, command.request_key.bucket)
    new = NewFill(
        fill_id=id_,
        body=msgspec.json.encode(command.wanted).decode(),
        effect=msgspec.json.encode(effect).decode(),
        digest=rules.digest(id_, command.wanted, effect, Said(command.caller, now, command.note)),
        note=command.note,
        proposed_by=command.caller,
        proposed_at=now,
        expires_at=now + rules.OPEN_FOR,
    )
    await fills.put(conn, new)
    return id_


async def decide_fill(conn: Connection, command: Decide, parts: Parts) -> UUID:
    """Approve or reject a proposal; a short one moves the sums with it. Return its id.

    UnknownFill, FillClosed, SamePerson, FillStale.
    """
    await fills.serial(conn)
    seen = await fills.one(conn, command.fill_id)
    if seen is None:
        raise UnknownFill
    if seen.state(parts.clock()) != "PROPOSED":
        raise FillClosed
    if command.digest is None:
        await _reject(conn, command, seen, parts)
    else:
        await _approve(conn, command, seen, parts)
    return command.fill_id


async def _once(conn: Connection, command: Command, parts: Parts, work: Work) -> Decided | Refusal:
    """Do something under a key, one at a time; a refusal is kept as well (C-9)."""
    await fills.serial(conn)
    keyed = Keyed()
    await keyed.load(conn, [command.request_key])
    outcome = keyed.earlier(command.request_key, command.body)
    if outcome is None:
        decided: Accepted | Refusal
        try:
            decided = Accepted({"fill_id": str(await work())})
        except Refusal as refusal:
            decided = refusal
        outcome = keyed.decide(command.request_key, command.body, decided)
    await keyed.write(conn, parts.clock())
    return outcome


async def weigh(conn: Connection, wanted: Wanted, parts: Parts) -> Effect:
    """Return what a fill would do now.

    FeedDateInvalid, FillInvalid, FeedNotNamed, FillTooEarly, DayNotMissing, NothingToCarry.
    """
    rules.check(wanted)
    catalogue = await parts.catalogue.current(conn)
    source, day = wanted.source, wanted.date
    start = rules.fillable_from(source, day, catalogue.rules.values())
    if start is None:
        raise FeedNotNamed(f"No programme waits for {source!r} in the month of {day}.")
    if local_date(parts.clock(), catalogue.zone) < start:
        raise FillTooEarly(f"{source} {day} may be filled from {start} on.")
    if (await fills.there(conn, source, day)).given:
        raise DayNotMissing(f"{source} {day} is sealed, or is being sealed.")
    match wanted.kind:
        case FillKind.CARRY_FORWARD:
            return await _carried(conn, source, day)
        case FillKind.ZERO:
            waiting = (c for c, p in catalogue.programmes.items() if source in p.feeds)
            return Effect(programme=next(waiting, next(iter(catalogue.programmes))))
        case FillKind.MANUAL:
            assert wanted.revision is not None, "checked"
            return await _received(conn, FeedKey(source, day, wanted.revision))


async def _carried(conn: Connection, source: str, day: date) -> Effect:
    """Return what the day would hold that a source sent last (NothingToCarry).

    Of a day that stands on others that is more than its own lines; nothing moves them meanwhile.
    """
    sent = await fills.last_sent(conn, source, day)
    effect = rules.carried(day, sent)
    assert sent is not None, "else there is nothing to carry"
    if sent.kind is FeedKind.FULL:
        return effect
    await feeds.serial(conn, wait=True)
    rows, totals = await chains.standing(conn, Stood(source, sent.as_of, sent.revision))
    return msgspec.structs.replace(effect, rows=rows, totals=totals)


async def _received(conn: Connection, key: FeedKey) -> Effect:
    """Return what was received of a file for a day (FillInvalid)."""
    feed = await feeds.locked(conn, key)
    if feed is None or feed.state is not FeedState.OPEN:
        raise FillInvalid(f"There is no open feed {key}.")
    chunks = await feeds.chunks(conn, key)
    tally = Tally()
    for chunk in chunks:
        tally = tally.plus(chunk.tally)
    reasons = gaps(chunks)
    if tally.bad:
        reasons += [f"lines: {tally.bad} are not valid", *tally.told]
    if not chunks:
        reasons.append("nothing was received")
    if reasons:
        raise FillInvalid(f"{key}: {'; '.join(reasons[:3])}")
    return Effect(
        programme=feed.programme,
        rows=tally.rows,
        totals=tally.totals,
        sha256=digest_of(chunk.digest for chunk in chunks),
    )


async def _reject(conn: Connection, command: Decide, seen: FillSeen, parts: Parts) -> None:
    is_own = same_person(seen.proposed_by, command.caller)
    verdict = Verdict(
        fill_id=seen.fill_id,
        verdict="WITHDRAWN" if is_own else "REJECTED",
        decided_by=command.caller,
        decided_at=parts.clock(),
        note=command.note,
    )
    await fills.decide(conn, verdict)


async def _approve(conn: Connection, command: Decide, seen: FillSeen, parts: Parts) -> None:
    """Let a fill wait for its turn, if it is still what was read (SamePerson, FillStale)."""
    if same_person(seen.proposed_by, command.caller):
        raise SamePerson
    if command.digest != seen.digest:
        raise FillStale
    wanted = msgspec.convert(seen.body, Wanted)
    try:
        effect = await weigh(conn, wanted, parts)
    except Refusal as refusal:
        raise FillStale(f"{FillStale.words} ({refusal.code})") from refusal
    said = Said(seen.proposed_by, seen.proposed_at, seen.note)
    if rules.digest(seen.fill_id, wanted, effect, said) != seen.digest:
        raise FillStale
    now = parts.clock()
    key = await _become(conn, wanted, effect, parts)
    verdict = Verdict(
        fill_id=seen.fill_id,
        verdict="APPROVED",
        decided_by=command.caller,
        decided_at=now,
        note=command.note,
        revision=key.revision,
    )
    await fills.decide(conn, verdict)
    await apply_at_once(conn, key, parts)


async def _become(conn: Connection, wanted: Wanted, effect: Effect, parts: Parts) -> FeedKey:
    """Make a fill a feed that waits for its turn; return which."""
    now = parts.clock()
    if wanted.revision is not None:
        key = FeedKey(wanted.source, wanted.date, wanted.revision)
        digits = (await parts.catalogue.current(conn)).digits
        assert effect.sha256 is not None, "a file has a digest"
        totals = {c: f"{Decimal(n).scaleb(-digits[c]):f}" for c, n in effect.totals.items()}
        manifest = Manifest(rows=effect.rows, totals=totals, sha256=effect.sha256)
        received = Tally(effect.rows, 0, effect.totals)
        await feeds.judge(conn, key, manifest, [], received=received, now=now)
        return key
    lowest = (await fills.there(conn, wanted.source, wanted.date)).lowest
    key = FeedKey(wanted.source, wanted.date, lowest - 1)
    await fills.add(conn, key, wanted.kind, effect, now=now)
    return key


async def fill_now(database: Database, parts: Parts, key: FeedKey, progress: Progress) -> Feed:
    """Move the sums of an approved fill until it is sealed, after what is before it."""

    async def step(conn: Connection) -> Feed | None:
        return await apply_next(conn, parts, wait=True)

    async def now(conn: Connection) -> Feed:
        feed = await feeds.one(conn, key)
        assert feed is not None, "a feed stays"
        return feed

    while (feed := await database.transact(now)).state in UNDER_WAY:
        moved = await database.transact(step)
        if moved is not None:
            progress(moved)
    return feed
