"""Record what members were told of a version that is worse for them, before it holds (U-2)."""

from datetime import date, datetime

import msgspec

from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.parts import Parts
from benefits.domain import terms
from benefits.domain.programme import Programme
from benefits.domain.terms import Change, Channel, Notice
from benefits.domain.values import local_date, placed_bucket
from benefits.store import notices, versions
from benefits.store.db import Connection


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """How members were told, on which day, with which words, and who records it."""

    channel: Channel
    given_on: date
    text: str
    by: str


class Told(msgspec.Struct, frozen=True):
    """A change, and on which day members were first told of it; None if never."""

    change: Change
    on: date | None


async def give_notice(
    conn: Connection,
    parts: Parts,
    after: Programme,
    given: Given,
    *,
    effective_from: datetime | None = None,
) -> list[Change]:
    """Record a notice of what is worse in a version; return that (NoticeInvalid).

    That is compared with what will hold before it, as in `compare`. Again with the same words it
    records nothing new.
    """
    told = await compare(conn, parts, after, effective_from=effective_from)
    found = [each.change for each in told if each.change.is_worse]
    notice = Notice(
        channel=given.channel,
        given_on=given.given_on,
        text=given.text,
        by=given.by,
        changes=tuple(found),
    )
    now = parts.clock()
    terms.check_notice(notice, local_date(now, after.tz))
    if all(notice != one for _, one in await notices.of(conn, after.code)):
        id_ = parts.new_id(now, placed_bucket("notice", after.code))
        await notices.put(conn, (id_, after.code), notice, now=now)
    return found


async def compare(
    conn: Connection, parts: Parts, after: Programme, *, effective_from: datetime | None = None
) -> list[Told]:
    """Return what a version changes in the one before it, and what members were told of it.

    That is the one in force, or the last that begins before `effective_from`. UnknownProgramme
    where there is none to compare with.
    """
    place = await versions.place(
        conn, parts.catalogue, after.code, now=parts.clock(), effective_from=effective_from
    )
    if place.before is None:
        raise UnknownProgramme(f"No version of {after.code!r} is in force to compare with.")
    given = await notices.unspent(conn, after.code, stays=place.stays)
    return [
        Told(each, terms.told_on(each, given) if each.is_worse else None)
        for each in terms.changes(place.before, after)
    ]
