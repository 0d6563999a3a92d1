"""The room that a claim took: given back to where it was taken, or taken again (K-5)."""

from collections.abc import Iterator

from benefits.actions.capacity import Capacity
from benefits.actions.wishes import budget_key, money_keys, stock_key
from benefits.domain import entitlement, exclusions, limits
from benefits.domain.benefit import Benefit
from benefits.domain.entitlement import BudgetExhausted, CapReached, StockExhausted
from benefits.domain.exclusions import Excluded
from benefits.domain.limits import Counted, Limit, Place
from benefits.domain.programme import Programme
from benefits.store.claims import ClaimRow, HoldRow
from benefits.store.counters import MemberCounter, SharedCounter


def counted(claim: ClaimRow, hold: HoldRow, units: int) -> Counted:
    """Return what so many units of a claim's hold count."""
    return Counted(units, hold.quantity // claim.quantity, hold.cost_minor // claim.quantity)


def own_counters(claim: ClaimRow) -> Iterator[MemberCounter]:
    """Yield the member's own counters that a claim took from."""
    if claim.cap_window:
        yield _cap(claim)
    for place in claim.limits:
        if not place.is_shared:
            yield (claim.member_id, place.counter, place.window)


def recent_counters(programme: Programme, claim: ClaimRow) -> Iterator[MemberCounter]:
    """Yield where to look from for what counts in rolling windows together with a claim."""
    for limit, place in _limits(programme, claim):
        if limit.is_rolling and not place.is_shared:
            since = limits.since_key(limit, claim.claimed_at)
            yield (claim.member_id, place.counter, since)


def turns_of_many(programme: Programme, claim: ClaimRow) -> Iterator[tuple[Place, str]]:
    """Yield the rolling windows of many in which a claim may take room again, and from when on."""
    for limit, place in _limits(programme, claim):
        if limit.is_rolling and place.is_shared:
            yield place, limits.since_key(limit, claim.claimed_at)


def other_counters(programme: Programme, claim: ClaimRow) -> Iterator[MemberCounter]:
    """Yield the counters of what others in a claim's exclusion group took of the member."""
    for place in _others(programme, claim):
        yield (claim.member_id, place.counter, place.window)


def shared_counters(programme: Programme, benefit: Benefit, claim: ClaimRow) -> set[SharedCounter]:
    """Return the shared counters that a claim took from, by the terms it was made under."""
    places = {(place.counter, place.window) for place in claim.limits if place.is_shared}
    return places | set(money_keys(programme, benefit))


def change_room(capacity: Capacity, claim: ClaimRow, before: Counted, after: Counted) -> None:
    """Take more room for a claim, or give back, in the windows that it took from."""
    if claim.cap_window:
        capacity.take(_cap(claim), after.units - before.units)
    for place in claim.limits:
        amount = after.of(place.dimension) - before.of(place.dimension)
        capacity.take_place(claim.member_id, place, amount)


def check_room(
    capacity: Capacity,
    today: tuple[Programme, Benefit],
    claim: ClaimRow,
    wanted: Counted,
    *,
    bearers: tuple[str, ...],
) -> None:
    """Refuse where cap, limit, stock or budget has no room left: they hold on every path (I15).

    What they allow is what the programme of `today` says; `bearers` are the budgets that bear it.
    """
    programme, benefit = today
    other = capacity.excluded_by(claim.member_id, _others(programme, claim))
    if other and wanted.units:
        raise Excluded(other)
    limit = entitlement.cap_limit(programme, benefit)
    if limit is not None and claim.cap_window:
        used = capacity.own(_cap(claim))
        if wanted.units and used + wanted.units > limit:
            raise CapReached
    for each, place in _limits(programme, claim):
        if not _fits(capacity, programme, each, place, claim=claim, wanted=wanted):
            raise CapReached
    if benefit.stock is not None:
        given = capacity.taken(stock_key(benefit)).taken
        if given + claim.quantity > benefit.stock:
            raise StockExhausted
    cost = wanted.piece_cost * claim.quantity
    for budget in bearers:
        total = programme.budgets_minor.get(budget)
        if total is not None and capacity.taken(budget_key(budget)).taken + cost > total:
            raise BudgetExhausted


def _cap(claim: ClaimRow) -> MemberCounter:
    return (claim.member_id, entitlement.cap_counter(claim.benefit), claim.cap_window)


def _others(programme: Programme, claim: ClaimRow) -> tuple[Place, ...]:
    """Return the places of others in the group that a claim counts in, as it is today."""
    benefit = programme.benefits[claim.benefit]
    counts = any(
        place == exclusions.place_of(benefit, programme=programme.code) for place in claim.limits
    )
    return exclusions.others(programme, benefit) if counts else ()


def _limits(programme: Programme, claim: ClaimRow) -> Iterator[tuple[Limit, Place]]:
    """Yield the limits that a claim met and that are still there, with where it took room."""
    known = {limit.code: limit for limit in programme.limit}
    for place in claim.limits:
        limit = known.get(place.limit)
        if limit is not None and limit.takes_at(place):
            yield limit, place


def _fits(
    capacity: Capacity,
    programme: Programme,
    limit: Limit,
    place: Place,
    *,
    claim: ClaimRow,
    wanted: Counted,
) -> bool:
    amount, most = wanted.of(place.dimension), programme.most(limit)
    if not amount:
        return True
    key = (place.counter, place.window)
    if not limit.is_rolling:
        own = (claim.member_id, *key)
        used = capacity.taken(key).taken if place.is_shared else capacity.own(own)
        return used + amount <= most
    events = capacity.counting(claim.member_id, place)
    return limits.fits(events, place.window, amount, most=most, days=limit.days)
