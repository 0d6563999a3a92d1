"""Apply a programme file: it becomes the next version, unless it says what the last one said."""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum

import msgspec

from benefits.actions.parts import Parts
from benefits.domain import guard, terms
from benefits.domain.benefit import Benefit
from benefits.domain.catalogue import Plan
from benefits.domain.exchange import Converted, check_converted
from benefits.domain.packages import Line
from benefits.domain.programme import Programme, ProgrammeInvalid, Provider
from benefits.domain.values import YEARS, Month, local_date
from benefits.store import catalogue, notices, proposals, rates, versions
from benefits.store.db import Connection
from benefits.store.versions import Place

AHEAD = timedelta(minutes=1)  # what is decided now is committed, and read, before it begins


def _check_kept(before: Programme, after: Programme) -> None:
    """Refuse a version under which open claims could not end, nor past ones be verified.

    A benefit is withdrawn by taking its lines away or setting its stock to what is given.
    """
    for name in ("currency", "minor_digits", "zone"):
        if getattr(before, name) != getattr(after, name):
            raise ProgrammeInvalid(f"{name} must stay {getattr(before, name)!r}")
    for code, was in before.benefits.items():
        now = after.benefits.get(code)
        if now is None:
            raise ProgrammeInvalid(f"benefit {code!r} must stay: there may be claims of it")
        _check_benefit(was, now)
    for code in before.choices.keys() - after.choices.keys():
        raise ProgrammeInvalid(f"choice {code!r} must stay: there may be units of it")
    kept = [tier.code for tier in before.tier]
    if [tier.code for tier in after.tier][: len(kept)] != kept:
        raise ProgrammeInvalid(f"the tiers {', '.join(kept)} must stay, in this order; add above")
    lines = {line.code: line for line in before.line}
    for line in after.line:
        _check_line(lines.get(line.code, line), line)
    for code in before.providers.keys() - after.providers.keys():
        raise ProgrammeInvalid(f"provider {code!r} must stay: there may be requests to it")
    for code, asked in before.providers.items():
        skus = {b.sku for b in before.benefits.values() if b.provider == code}
        _check_provider(asked, after.providers[code], skus)


def _check_provider(was: Provider, now: Provider, skus: Collection[str]) -> None:
    """Refuse what would say a number that was sent in other words, or look for it elsewhere."""
    if now.dialect is not was.dialect:
        raise ProgrammeInvalid(
            f"provider {was.code!r}: its dialect must stay {was.dialect.value!r}; "
            "give another its own code"
        )
    if was.wechat is None or now.wechat is None:
        return
    for name in ("mchid", "appid", "brand_id"):
        if getattr(now.wechat, name) != getattr(was.wechat, name):
            raise ProgrammeInvalid(
                f"provider {was.code!r}: its {name} must stay {getattr(was.wechat, name)!r}"
            )
    for stock in sorted({*was.wechat.stocks, *skus}):
        if now.wechat.mode(stock) is not was.wechat.mode(stock):
            raise ProgrammeInvalid(
                f"provider {was.code!r}: where the codes of stock {stock!r} come from must stay"
            )


def _check_benefit(was: Benefit, now: Benefit) -> None:
    """Refuse another reading of what the books hold of a benefit."""
    if now.budget != was.budget:
        raise ProgrammeInvalid(f"benefit {was.code!r}: its budget must stay {was.budget!r}")
    if now.consumed is not was.consumed:
        raise ProgrammeInvalid(f"benefit {was.code!r}: when it is consumed must stay")
    for name in ("scale", "draws"):  # another would reinterpret what is in the books
        if getattr(now, name) != getattr(was, name):
            raise ProgrammeInvalid(
                f"benefit {was.code!r}: its {name} must stay {getattr(was, name)!r}"
            )
    if (now.stock is None) != (was.stock is None):
        raise ProgrammeInvalid(f"benefit {was.code!r}: a stock cannot be begun or given up")


def _check_line(was: Line, now: Line) -> None:
    """Refuse another count of periods: what was granted in the running one would come again.

    And other units: what was granted of those before would count for them.
    """
    for name in ("benefit", "choice", "period", "anchor", "days", "on", "missing"):
        kept = getattr(was, name)
        if getattr(now, name) != kept:
            told = repr(kept.value if isinstance(kept, Enum) else kept)
            if kept in (None, "") or name == "on":
                told = "as it is"
            raise ProgrammeInvalid(
                f"line {was.code!r}: its {name} must stay {told}; give what comes otherwise "
                "another code"
            )


def _check_shared(programme: Programme, plan: Plan, place: Place) -> None:
    """Refuse another word on a provider that other programmes name, unless it is a new one.

    The last word to come into force counts for all. So a version that has none of its own says
    what counts by then, and one that has is followed by nobody who waits to say otherwise.
    """
    was = {} if place.before is None else place.before.providers
    by_then = place.begins - timedelta(microseconds=1)
    there = plan.at(by_then)
    for code, mine in programme.providers.items():
        said, others = there.providers.get(code, mine), [*there.programmes.values()]
        if said == mine:
            continue
        if was.get(code, mine) != mine:
            skus = {b.sku for one in others for b in one.benefit if b.provider == code}
            _check_provider(said, mine, skus)
            others = plan.coming(by_then)
        for other in others:
            if other.code != programme.code and other.providers.get(code, mine) != mine:
                raise ProgrammeInvalid(
                    f"provider {code!r} is defined otherwise by programme {other.code!r}"
                )


async def _check_back(conn: Connection, place: Place, before: Programme, after: Programme) -> None:
    """Refuse a line that comes back after it was gone, and brings what it did not."""
    lines = {line.code: line for line in after.line}
    new = lines.keys() - {line.code for line in before.line}
    if new:
        for was in await catalogue.lines_of(conn, after.code, place.stays, new):
            _check_line(was, lines[was.code])


def _check_codes(programme: Programme, other: Programme) -> None:
    """Refuse a benefit, a choice or a budget whose code another programme has."""
    items = {*other.benefits, *other.choices}
    named = (
        ("benefit", {*programme.benefits}, items),
        ("choice", {*programme.choices}, items),
        ("budget", {*programme.budgets_minor}, {*other.budgets_minor}),
    )
    for kind, mine, theirs in named:
        if shared := mine & theirs:
            raise ProgrammeInvalid(
                f"{kind} {min(shared)!r} is already defined by programme {other.code!r}"
            )


def _check_books(programme: Programme, other: Programme) -> None:
    """Refuse a programme that could not be booked beside another (L-11, C-1)."""
    if other.zone != programme.zone:
        raise ProgrammeInvalid(
            f"zone must be {other.zone!r}, as in programme {other.code!r}: the books have one"
        )
    same = other.currency == programme.currency
    if same and other.minor_digits != programme.minor_digits:
        raise ProgrammeInvalid(
            f"minor_digits must be {other.minor_digits}, as in programme {other.code!r}"
        )


class Applied(msgspec.Struct, frozen=True):
    """The version, whether it is new, since when it holds, and which ones it withdraws."""

    version: int
    is_new: bool
    begins: datetime
    withdraws: list[int]


class Checked(Place, frozen=True, kw_only=True):
    """Where a version stands among the others, and what it converts."""

    converted: list[Converted]


def check_month(programme: Programme, tiers_from: Month, begins: datetime) -> None:
    """Refuse to judge months anew that are over: those have been promised (ProgrammeInvalid)."""
    running = Month.of(local_date(begins, programme.tz))
    if tiers_from < running:
        raise ProgrammeInvalid(
            f"first month: on a production database no month before {running} is judged anew"
        )


def _check_begin(place: Place, effective_from: datetime | None) -> None:
    """Refuse an instant that is over, or at which a first version would begin (U-1).

    And one so near that it may come before this is committed, as well for what is withdrawn.
    """
    soon = place.now + AHEAD
    if place.withdraws_from is not None and place.withdraws_from <= soon:
        raise ProgrammeInvalid(
            f"effective_from: version {place.withdraws[0]} begins within a minute; let it begin"
        )
    if effective_from is None:
        return
    if place.before is None:
        raise ProgrammeInvalid("effective_from: a first version holds at once")
    if effective_from <= place.now:
        raise ProgrammeInvalid(f"effective_from: {effective_from.isoformat()} is over")
    if effective_from.year >= YEARS.stop - 1:  # the next one may have begun in the zone
        raise ProgrammeInvalid(f"effective_from: must lie before the year {YEARS.stop - 1}")
    if effective_from <= soon:
        raise ProgrammeInvalid(
            f"effective_from: {effective_from.isoformat()} is less than a minute away"
        )


async def check_programme(
    conn: Connection, programme: Programme, parts: Parts, effective_from: datetime | None
) -> Checked:
    """Refuse what cannot stand beside others, or after what holds before it (ProgrammeInvalid).

    Configuration keeps still until the transaction ends.
    """
    await catalogue.keep_still(conn)
    code, now = programme.code, parts.clock()
    place = await versions.place(
        conn, parts.catalogue, code, now=now, effective_from=effective_from
    )
    _check_begin(place, effective_from)
    for budget, owner in (await catalogue.budgets_of_others(conn, programme.code)).items():
        if any(each.code == budget for each in programme.budget):
            raise ProgrammeInvalid(
                f"budget {budget!r} was defined by programme {owner!r}, whose claims return to it"
            )
    plan = await parts.catalogue.plan(conn)
    others = plan.others(programme.code)
    for other in others:
        _check_codes(programme, other)
        _check_books(programme, other)
    _check_shared(programme, plan, place)
    new = check_converted(programme, others, await rates.converted(conn))
    if place.before is not None:
        _check_kept(place.before, programme)
        await _check_back(conn, place, place.before, programme)
    return Checked(**msgspec.structs.asdict(place), converted=new)


async def _check_told(
    conn: Connection, checked: Checked, after: Programme, tiers_from: Month | None
) -> None:
    """Refuse what is worse for members and what they were not told of in time (NoticeMissing)."""
    if checked.before is None:
        return
    found = terms.changes(checked.before, after)
    if any(change.is_worse for change in found):
        given = await notices.unspent(conn, after.code, stays=checked.stays)
        begins = local_date(checked.begins, after.tz)
        judged = (tiers_from or checked.first_month(after.tz)).start
        days = checked.before.notice_days
        terms.check_told(found, given, begins=begins, judged=judged, days=days)


async def apply_programme(
    conn: Connection,
    programme: Programme,
    parts: Parts,
    *,
    tiers_from: Month | None = None,
    effective_from: datetime | None = None,
    needs_notice: bool = True,
) -> Applied:
    """Put a programme into force; ProgrammeInvalid when another has its benefits or budgets.

    It holds from `effective_from` on, or at once; what was to begin then or later is withdrawn.
    Its tiers and policy decide months from `tiers_from` on, or from the one it begins in (U-1). Of
    what is worse for members than before they must have been told in time, unless nobody needs to
    be: in a demo (NoticeMissing, U-2). What it gives for what must be allowed, or agreed on by two
    people (ComplianceForbidden, ComplianceUnapproved, X-1).
    """
    checked = await check_programme(conn, programme, parts, effective_from)
    guard.check(guard.findings(programme), await proposals.agreed(conn, programme.code))
    if needs_notice:
        await _check_told(conn, checked, programme, tiers_from)
    await rates.put_converted(conn, checked.converted)
    version, is_new = await catalogue.put(
        conn, programme, checked.now, tiers_from=tiers_from, effective_from=effective_from
    )
    return Applied(version, is_new, checked.begins, checked.withdraws if is_new else [])
