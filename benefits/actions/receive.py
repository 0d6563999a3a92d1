"""Callbacks come in: kept once, acknowledged after commit, worked off later (V-4)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from benefits import measures, traces
from benefits.actions.answers import Answer
from benefits.actions.hints import ask_now
from benefits.actions.parts import Parts
from benefits.actions.resolve import resolve
from benefits.domain.callbacks import Verdict, judged
from benefits.domain.orders import Callbacks, Capabilities, Notice, Operation
from benefits.store import claims, inbox, orders
from benefits.store.cases import Matter
from benefits.store.claims import Case
from benefits.store.db import Connection
from benefits.store.inbox import Place, Received, Waiting

# A provider may call back by its own reference before our call has told us that.
UNKNOWN_FOR = timedelta(minutes=10)
LOOK_AGAIN = timedelta(seconds=10)


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was verified on its raw bytes."""

    provider: str
    notice: Notice
    raw: bytes
    traceparent: str = msgspec.field(default_factory=traces.place)

    @property
    def sender(self) -> str:
        """Whose callbacks stand alone when one of them fails."""
        return self.provider


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was kept, and what it says."""

    provider: str
    event_id: str
    notice: Notice
    traceparent: str

    @property
    def place(self) -> Place:
        """Where it is kept."""
        return self.provider, self.event_id


async def receive(
    conn: Connection,
    callbacks: Sequence[Callback],
    parts: Parts,
    *,
    wait: bool = False,  # noqa: ARG001 - what a group says to its action; here no member is locked
) -> list[bool]:
    """Keep callbacks, and say of each whether it is new; a known one is acknowledged as well."""
    now = parts.clock()
    with traces.each("callback keep", await _places(conn, callbacks)) as places:
        received = [
            Received(
                callback.provider,
                callback.notice.event_id,
                callback.notice.number or callback.notice.reference,
                parts.envelope.seal(callback.raw),
                parts.envelope.seal(msgspec.json.encode(callback.notice)),
                now,
                place,
            )
            for callback, place in zip(callbacks, places, strict=True)
        ]
        new = await inbox.put(conn, received)
    outcomes = list[bool]()
    for callback in callbacks:  # of one that came twice at once, the first is new
        place = (callback.provider, callback.notice.event_id)
        outcomes.append(place in new)
        new.discard(place)
    return outcomes


async def _places(conn: Connection, callbacks: Sequence[Callback]) -> list[str]:
    """Return in which traces the callbacks' orders were placed; looked up only for traces."""
    numbers = [_request_id(callback.notice.number) for callback in callbacks]
    wanted = sorted({id_ for id_ in numbers if id_ is not None}) if traces.on() else []
    known = await orders.by_id(conn, wanted) if wanted else {}
    return [
        known[id_].traceparent
        if id_ in known and known[id_].provider == callback.provider
        else callback.traceparent
        for id_, callback in zip(numbers, callbacks, strict=True)
    ]


async def waiting(
    conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> list[Waiting]:
    """Return the callbacks that nobody has worked off, oldest first."""
    return await inbox.waiting(conn, buckets, parts.clock(), limit)


async def work_off(conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int) -> int:
    """Apply waiting callbacks, return how many; one for an unknown order opens a case.

    One of what we never order there is another's, and opens none. One whose member somebody else
    holds waits on.
    """
    taken = await inbox.waiting(conn, buckets, parts.clock(), limit)
    return await _apply(conn, parts, taken)


async def work_off_one(conn: Connection, parts: Parts, provider: str, event_id: str) -> None:
    """Apply one callback alone, unless somebody else does."""
    one = await inbox.take(conn, provider, event_id)
    if one is not None:
        await _apply(conn, parts, [one])


async def give_up(conn: Connection, parts: Parts, provider: str, event_id: str) -> None:
    """Leave a callback that cannot be applied to a person; its raw body stays."""
    if await inbox.take(conn, provider, event_id) is not None:
        await claims.open_cases(conn, [_case(parts, failed(provider, event_id))])
        await inbox.done(conn, {(provider, event_id): Verdict.FAILED}, parts.clock())
        count({(provider, event_id): Verdict.FAILED})


async def _apply(conn: Connection, parts: Parts, taken: Sequence[Waiting]) -> int:
    if not taken:
        return 0
    read, since = list[Read](), dict[Place, datetime]()
    waiting_on, strangers = list[Place](), list[Read]()
    for each in taken:
        place = each.provider, each.event_id
        since[place] = each.received_at
        if parts.envelope.lacks_key(each.notice_sealed):  # whoever has it will read it
            waiting_on.append(place)
            continue
        told = parts.envelope.open(each.notice_sealed)
        notice = msgspec.json.decode(told, type=Notice)
        read.append(
            Read(
                provider=each.provider,
                event_id=each.event_id,
                notice=notice,
                traceparent=each.traceparent,
            )
        )
    now, came = parts.clock(), await apply(conn, parts, read)
    for one in read:
        if came.get(one.place) is Verdict.NO_ORDER:
            is_early = not one.notice.number and now - since[one.place] < UNKNOWN_FOR
            if is_early:
                del came[one.place]
                waiting_on.append(one.place)
            else:
                strangers.append(one)
    await ask_about(conn, parts, strangers)
    await inbox.done(conn, came, now)
    await inbox.later(conn, sorted(waiting_on), now + LOOK_AGAIN)
    count(came)
    return len(came)


async def apply(conn: Connection, parts: Parts, read: Sequence[Read]) -> dict[Place, Verdict]:
    """Apply what callbacks say, in order; return what became of each.

    Those whose member somebody else holds are not in it: they were left, to be brought again.
    """
    with traces.each("callback apply", [one.traceparent for one in read]):
        catalogue = await parts.catalogue.current(conn)
        able, found = catalogue.capabilities, await orders_of(conn, read)
        answers, hints, came = list[Answer](), set[UUID](), dict[Place, Verdict]()
        for one in read:
            claim_id, is_word = found.get(one.place), decides(able, one.provider)
            is_ours = not one.notice.sku or (one.provider, one.notice.sku) in catalogue.skus
            has_order = claim_id is not None
            came[one.place] = judged(
                one.notice, has_order=has_order, is_ours=is_ours, decides=is_word
            )
            if claim_id is None:
                continue
            if is_word:
                answers.append(
                    Answer(
                        claim_id=claim_id,
                        operation=Operation.ISSUE,
                        outcome=one.notice.outcome,
                        actor=f"provider:{one.provider}",
                    )
                )
            else:
                hints.add(claim_id)
        left = await resolve(conn, answers, parts) | await ask_now(conn, hints, parts)
    return {place: verdict for place, verdict in came.items() if found.get(place) not in left}


def decides(able: Mapping[str, Capabilities], provider: str) -> bool:
    """Say whether a provider's word decides; of one that no programme names any more it did."""
    return provider not in able or able[provider].callbacks is Callbacks.AUTHORITATIVE


def count(came: Mapping[Place, Verdict]) -> None:
    """Count callbacks that no order took."""
    for (provider, _), verdict in came.items():
        if verdict is not Verdict.APPLIED:
            measures.CALLBACKS.labels(provider, verdict.value.lower()).inc()


async def orders_of(conn: Connection, read: Sequence[Read]) -> dict[Place, UUID]:
    """Return the claims that callbacks speak of: of the one asked."""
    notices = [one.notice for one in read]
    numbers = {notice.number: _request_id(notice.number) for notice in notices if notice.number}
    known = await orders.asked(conn, sorted({id_ for id_ in numbers.values() if id_ is not None}))
    named = {
        (one.provider, one.notice.reference)
        for one in read
        if not one.notice.number and one.notice.reference
    }
    referred = await orders.referred(conn, sorted(named)) if named else {}
    found = dict[Place, UUID]()
    for one in read:
        notice, id_ = one.notice, numbers.get(one.notice.number)
        if id_ in known and known[id_][0] == one.provider:
            found[one.place] = known[id_][1]
        elif not notice.number and (one.provider, notice.reference) in referred:
            found[one.place] = referred[one.provider, notice.reference]
    return found


async def ask_about(conn: Connection, parts: Parts, strangers: Sequence[Read]) -> None:
    """Open a case about each number of a provider that nobody knows, unless one is open."""
    about = {unknown(one.provider, one.notice.number or one.notice.reference) for one in strangers}
    cases = [_case(parts, matter) for matter in sorted(about, key=msgspec.structs.astuple)]
    await claims.open_cases(conn, await claims.not_open(conn, cases))


def unknown(provider: str, number: str) -> Matter:
    """Return what a case about a number is about that nobody knows."""
    number = number[:64]
    words = f"{provider} speaks of number {number!r}."
    return Matter(inbox.bucket(provider, number), "unknown_order", words)


def failed(provider: str, event_id: str) -> Matter:
    """Return what a case about a callback is about that could not be applied."""
    words = f"{provider}: {event_id[:64]!r} could not be applied."
    return Matter(inbox.bucket(provider, event_id), "callback_failed", words)


def _case(parts: Parts, about: Matter) -> Case:
    now = parts.clock()
    case_id = parts.new_id(now, about.bucket)
    return Case(case_id, None, None, about.kind, about.detail, now)


def _request_id(number: str) -> UUID | None:
    try:
        id_ = UUID(hex=number)
    except ValueError:
        return None
    return id_ if id_.hex == number else None
