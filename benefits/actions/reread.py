"""Callbacks that came to nothing are read again with today's code, once somebody asks (V-4).

What they say is applied as it would have been when they came. Invariants: one that was settled is
not read again, so that it has one effect; what can still not be read, or found, stays as it is.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from benefits.actions import receive
from benefits.actions.keyed import Accepted, Decided, once
from benefits.actions.parts import Parts
from benefits.actions.receive import Read
from benefits.domain.callbacks import SETTLED, Verdict, judged
from benefits.domain.orders import Notice
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import EPOCH, YEARS
from benefits.store import cases, claims, inbox
from benefits.store.db import Connection, Database, is_of_database
from benefits.store.envelope import EnvelopeBroken
from benefits.store.inbox import Mark, Place, Unsettled
from benefits.store.requests import RequestKey

OPERATION = "reread_callbacks"
PAGE = 100
LAST = datetime(YEARS.stop, 1, 1, tzinfo=UTC)  # nothing came later
NOTE = "The callback was read again."
Understand = Callable[[str, bytes], Notice | None]
log = structlog.get_logger()


class Reread(msgspec.Struct, frozen=True, kw_only=True):
    """A person's wish that callbacks of a provider be read again, by what understands them."""

    caller: str
    provider: str
    understand: Understand
    since: datetime | None = None


class Again(msgspec.Struct, frozen=True):
    """A callback that was read again, what had become of it, and what became of it now.

    `was` is None of what an earlier release worked off; `now` of what waits for its member.
    """

    received_at: datetime
    event_id: str
    number: str
    was: Verdict | None
    now: Verdict | None

    @property
    def mark(self) -> Mark:
        """Where the next one is looked for."""
        return self.received_at, self.event_id


async def reread_all(
    database: Database, command: Reread, parts: Parts
) -> AsyncIterator[list[Again]]:
    """Read callbacks again page by page, oldest first."""
    after: Mark | None = None
    while True:

        async def page(conn: Connection, after: Mark | None = after) -> list[Again]:
            return await reread_page(conn, command, parts, after, limit=PAGE)

        found = await database.transact(page)
        if not found:
            return
        yield found
        after = found[-1].mark


async def reread_page(
    conn: Connection, command: Reread, parts: Parts, after: Mark | None, *, limit: int
) -> list[Again]:
    """Read a page of callbacks again; one that fails stays as it is, and keeps no other back."""
    if after is None and command.since is not None:
        after = min(max(command.since, EPOCH), LAST), ""
    try:
        async with conn.begin_nested():
            return await reread(conn, command, parts, after, limit=limit)
    except Exception as error:
        if is_of_database(error):
            raise
    found = list[Again]()
    for one in await inbox.unsettled(conn, command.provider, after, limit):
        try:
            async with conn.begin_nested():
                found += await reread(conn, command, parts, after, limit=1)
        except Exception as error:
            if is_of_database(error):
                raise
            log.exception("callbacks.reread_failed", provider=command.provider)
            found.append(_again(one, Verdict.FAILED))
        after = (one.received_at, one.event_id)
    return found


class RereadPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of callbacks that is to be read again under a key: from where, and how many."""

    command: Reread
    after: Mark | None
    limit: int

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        said = self.command
        return body_hash([said.provider, said.since, self.after, self.limit])


async def reread_keyed(
    conn: Connection, page: RereadPage, key: str, parts: Parts
) -> tuple[Decided | Refusal, list[Again]]:
    """Read a page again under a key, once (C-9); return what became of each, oldest first."""
    provider = page.command.provider

    async def work() -> Accepted:
        found = await reread_page(conn, page.command, parts, page.after, limit=page.limit)
        return Accepted({one.event_id: _kept_as(one) for one in found})

    request_key = RequestKey.placed(page.command.caller, OPERATION, key)
    outcome = await once(conn, request_key, page.body, parts, work=work)
    if not isinstance(outcome, Accepted):
        return outcome, []
    again = [
        Again(one.received_at, one.event_id, one.number, *_said(outcome.ids[one.event_id]))
        for one in await inbox.named(conn, provider, list(outcome.ids))
    ]
    return outcome, sorted(again, key=lambda one: one.mark)


def _kept_as(one: Again) -> str:
    """Return what is kept with the key of what became of a callback: before, and now."""
    return " ".join(verdict.value if verdict else "-" for verdict in (one.was, one.now))


def _said(kept: str) -> tuple[Verdict | None, ...]:
    return tuple(None if word == "-" else Verdict(word) for word in kept.split())


async def reread(
    conn: Connection, command: Reread, parts: Parts, after: Mark | None, *, limit: int
) -> list[Again]:
    """Read callbacks again that came to nothing, together, and apply what they say now."""
    taken = await inbox.unsettled(conn, command.provider, after, limit)
    if not taken:
        return []
    now, was = parts.clock(), {_place(one): one.verdict for one in taken}
    said, came = dict[Place, Read](), dict[Place, Verdict]()
    for one in taken:
        try:
            notice = command.understand(one.event_id, parts.envelope.open(one.body_sealed))
        except Refusal:
            came[_place(one)] = one.verdict or Verdict.NOT_UNDERSTOOD
            continue
        if notice is None:
            came[_place(one)] = Verdict.IGNORED
        else:
            said[_place(one)] = _read(one, notice)
    came |= dict.fromkeys(await _applied_before(conn, taken, said, parts), Verdict.APPLIED)
    came |= await receive.apply(conn, parts, [r for p, r in said.items() if p not in came])
    changed = {place: verdict for place, verdict in came.items() if verdict is not was[place]}
    await receive.ask_about(
        conn,
        parts,
        [said[p] for p, new in changed.items() if new is Verdict.NO_ORDER and was[p] is not None],
    )
    await inbox.reread(conn, changed, now, by=command.caller)
    settled = [one for one in taken if changed.get(_place(one)) in SETTLED]
    await _close_cases(conn, command, settled, now)
    return [_again(one, came.get(_place(one))) for one in taken]


async def _applied_before(
    conn: Connection, taken: Sequence[Unsettled], said: Mapping[Place, Read], parts: Parts
) -> set[Place]:
    """Return those of an earlier release that say what they said then, and were applied."""
    same = list[Read]()
    for one in taken:
        today = said.get(_place(one))
        if one.verdict is None and today is not None and today.notice == _kept(one, parts):
            same.append(today)
    if not same:
        return set()
    able = (await parts.catalogue.current(conn)).capabilities
    found = await receive.orders_of(conn, same)
    return {
        one.place
        for one in same
        if Verdict.APPLIED
        is judged(
            one.notice,
            has_order=one.place in found,
            decides=receive.decides(able, one.provider),
        )
    }


def _kept(one: Unsettled, parts: Parts) -> Notice | None:
    """Return what was read when a callback came; None if that cannot be read any more."""
    try:
        return msgspec.json.decode(parts.envelope.open(one.notice_sealed), type=Notice)
    except (EnvelopeBroken, msgspec.MsgspecError):
        return None


async def _close_cases(
    conn: Connection, command: Reread, settled: Sequence[Unsettled], now: datetime
) -> None:
    """Close the cases about callbacks that are settled; about a number, once all of it are."""
    if not settled:
        return
    provider = command.provider
    about = {receive.failed(provider, one.event_id) for one in settled}
    unknown = {one.number: receive.unknown(provider, one.number) for one in settled}
    await claims.lock_cases(conn, [each.bucket for each in (*about, *unknown.values())])
    left = await inbox.strange(conn, provider, sorted(unknown))
    about |= {matter for number, matter in unknown.items() if number not in left}
    await cases.close_matters(conn, list(about), now, actor=command.caller, note=NOTE)


def _place(one: Unsettled) -> Place:
    return one.provider, one.event_id


def _read(one: Unsettled, notice: Notice) -> Read:
    return Read(
        provider=one.provider,
        event_id=one.event_id,
        notice=notice,
        traceparent=one.traceparent,
    )


def _again(one: Unsettled, now: Verdict | None) -> Again:
    return Again(one.received_at, one.event_id, one.number, one.verdict, now)
