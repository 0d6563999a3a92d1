"""What caps, limits, stock and budgets have left while a group is decided (K-1 to K-5).

Each decision sees what the one before it took. A member's own counters are under the member's
lock; shared ones are locked last of all, in order: before a group is decided, or, far from their
edges and where nobody asks what is left, by `settle`, when the rest is written.
"""

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

import msgspec

from benefits.actions.code_stock import CodeStock
from benefits.actions.edges import Edges
from benefits.actions.queues import Queues, queue_key
from benefits.actions.wishes import Wish, budget_key, money_keys, stock_key
from benefits.domain import limits
from benefits.domain.benefit import Benefit
from benefits.domain.entitlement import ClaimFacts, CounterUse, Node
from benefits.domain.fields import Known
from benefits.domain.ledger import Lot
from benefits.domain.limits import TURN, Place, Room
from benefits.domain.programme import Programme
from benefits.domain.waits import Turn
from benefits.store import counters, merged
from benefits.store.counters import Change, Kept, MemberCounter, SharedCounter
from benefits.store.db import Connection, Outdated, Writer
from benefits.store.ledger import Journal

_NOTHING = CounterUse()
_FRESH = Kept()


class Asker(msgspec.Struct, frozen=True):
    """Who claims: whether nothing may be claimed any more or now, and what a rule asks of them.

    As many `companions` may come along. Whoever waited has a `turn`.
    """

    closed: bool
    blocked: bool
    known: Known | None
    companions: int = 0
    turn: Turn | None = None


class Unlocked(Exception):  # noqa: N818 - no error: the same work, behind the lock
    """Somebody asks what is left of something shared that was not locked."""


class Capacity:
    """What there is of everything that can refuse, and what a group takes and gives back."""

    def __init__(self) -> None:
        """Know nothing; `load` reads it."""
        self.into: dict[UUID, UUID] = {}
        self.used: dict[MemberCounter, int] = {}
        self.used_more: dict[MemberCounter, int] = {}
        self.events: dict[tuple[UUID, str], dict[str, int]] = {}
        self.many: dict[str, int] = {}
        self.many_events: dict[str, dict[str, int]] = {}
        self.shared: dict[SharedCounter, Kept] = {}
        self.shared_more: dict[SharedCounter, Change] = {}
        self._edges: Edges | None = None
        self._is_put_off = False
        self.queues = Queues()
        self.codes = CodeStock()

    async def load(
        self,
        conn: Connection,
        wanted: Collection[Wish],
        *,
        taken: Collection[UUID],
        locks: bool,
        turns: Collection[Turn] = (),
        edges: Edges | None = None,
    ) -> None:
        """Read what claims may meet; with `locks`, lock what is shared, last of all.

        Others were merged into the `taken` members. Some of the claims waited for their `turns`.
        Far from all `edges`, counters that have one are locked only by `settle`.
        """
        mine = [w.terms.cap(w.member_id) for w in wanted if w.terms.benefit.cap is not None]
        recent, many = list[MemberCounter](), dict[str, str]()
        windows = {queue_key(turn.queue) for turn in turns if turn.queue}
        for wish in wanted:
            mine += [(wish.member_id, p.counter, p.window) for p in wish.terms.others]
            for limit, place in wish.places:
                if place.is_rolling_for_many:
                    windows.add(place.turn)
                    many[place.counter] = limits.since_key(limit, wish.terms.now)
                elif place.is_shared:
                    windows.add((place.counter, place.window))
                    if queue := limit.queue(place):
                        windows.add(queue_key(queue))
                elif limit.is_rolling:
                    since = limits.since_key(limit, wish.terms.now)
                    recent.append((wish.member_id, place.counter, since))
                else:
                    mine.append((wish.member_id, place.counter, place.window))
        await self.load_own(conn, mine, recent, taken=taken)
        terms = {id(w.terms): w.terms for w in wanted}.values()
        shared = {key for t in terms for key in money_keys(t.programme, t.benefit)} | windows
        places = [pair for wish in wanted for pair in wish.places]
        if locks:
            await self._lock_wanted(conn, shared, windows, edges)
        else:
            self.shared = await counters.read(conn, shared)
            await self.codes.look(conn, [t.shelf for t in terms if t.shelf])
        self.many = await counters.recent_sums(conn, many)
        await self.queues.load_wanted(conn, places, self.taken)
        if turns:
            await self.queues.load_leading(conn, windows)

    async def _lock_wanted(
        self,
        conn: Connection,
        shared: Collection[SharedCounter],
        windows: Collection[SharedCounter],
        edges: Edges | None,
    ) -> None:
        is_near = edges is None or edges.is_near
        seen = {} if is_near else await counters.read(conn, shared)
        if edges is None or not edges.are_far(seen):
            await counters.open_windows(conn, windows)
            await self.lock(conn, shared)
            return
        of_persons = [key for key in shared if key not in edges.keys]
        if of_persons:
            await counters.open_windows(conn, of_persons)
            await self.lock(conn, of_persons)
        self.shared, self._edges = seen | self.shared, edges

    async def load_own(
        self,
        conn: Connection,
        mine: Collection[MemberCounter],
        recent: Collection[MemberCounter],
        *,
        taken: Collection[UUID],
    ) -> None:
        """Read members' own counters, and what counts in rolling windows after those of `recent`.

        Others were merged into the `taken` members.
        """
        if not mine and not recent:
            return
        self.into = into = await merged.along(conn, taken)
        if mine:
            self.used = await counters.used(conn, [self.person(key) for key in mine], into=into)
        if recent:
            first = dict[tuple[UUID, str], str]()
            for member_id, counter, after in map(self.person, recent):
                known = first.get((member_id, counter), after)
                first[member_id, counter] = min(known, after)
            self.events = {key: {} for key in first}
            asked = [(*key, after) for key, after in first.items()]
            found = await counters.recent(conn, asked, into=into)
            for (member_id, counter, window), amount in found.items():
                self.events[member_id, counter][window] = amount

    async def lock(
        self,
        conn: Connection,
        keys: Collection[SharedCounter],
        many: Mapping[str, str] | None = None,
    ) -> None:
        """Lock shared counters, last of all locks.

        Then read the events in rolling windows of `many`, after an instant each, whose turns are
        among the keys: what is taken again must fit into every window.
        """
        self.shared = await counters.lock(conn, keys)
        self.many_events = await counters.recent_shared(conn, many or {})

    def put_off(self) -> None:
        """Lock what is shared in `settle`; whoever asks what is left of it before is Unlocked."""
        self._is_put_off = True

    def person(self, key: MemberCounter) -> MemberCounter:
        """Return a counter as one of whom its member counts for now (T-10)."""
        member_id, counter, window = key
        return self.into.get(member_id, member_id), counter, window

    def own(self, key: MemberCounter) -> int:
        """Return what of a member's counter is taken by now, by all who are that person."""
        return self.used.get(self.person(key), 0)

    def recent(self, member_id: UUID, counter: str) -> list[tuple[str, int]]:
        """Return what counts in a person's rolling window by now, by its instant."""
        return list(self.events[self.into.get(member_id, member_id), counter].items())

    def counting(self, member_id: UUID, place: Place) -> list[tuple[str, int]]:
        """Return the events that count in a rolling window by now: a person's, or of many."""
        if place.is_shared:
            return list(self.many_events[place.counter].items())
        return self.recent(member_id, place.counter)

    def taken(self, key: SharedCounter) -> CounterUse:
        """Return what of a shared counter is taken by now (Unlocked)."""
        if self._is_put_off:
            raise Unlocked
        held, more = self.shared.get(key, _FRESH).use, self.shared_more.get(key)
        if more is None:
            return held
        return CounterUse(held.reserved + more.use.reserved, held.spent + more.use.spent)

    def take(self, key: MemberCounter, amount: int) -> None:
        """Take from a member's own counter, or give back."""
        self.used_more[key] = self.used_more.get(key, 0) + amount
        mine = self.person(key)
        self.used[mine] = self.used.get(mine, 0) + amount
        events = self.events.get(mine[:2])
        if events is not None:
            events[mine[2]] = events.get(mine[2], 0) + amount

    def take_place(self, member_id: UUID, place: Place, amount: int) -> None:
        """Take room in a limit's window, or give back."""
        if place.is_shared:
            self.add((place.counter, place.window), CounterUse(0, amount))
            if place.counter in self.many:
                self.many[place.counter] += amount
            events = self.many_events.get(place.counter)
            if events is not None:
                events[place.window] = events.get(place.window, 0) + amount
        else:
            self.take((member_id, place.counter, place.window), amount)

    def add(self, key: SharedCounter, use: CounterUse) -> None:
        """Take from a shared counter, or give back."""
        kept, more = self.shared.get(key, _FRESH), self.shared_more.get(key)
        before = Change(_NOTHING, kept.told, kept.told_of) if more is None else more
        self.shared_more[key] = Change(
            CounterUse(before.use.reserved + use.reserved, before.use.spent + use.spent),
            before.told,
            before.told_of,
        )

    def add_money(
        self, programme: Programme, benefit: Benefit, cost: CounterUse, pieces: CounterUse
    ) -> None:
        """Take a claim's cost from its budget and those above it, and its pieces from stock."""
        for budget in programme.bearers[benefit.budget]:
            self.add(budget_key(budget), cost)
        if benefit.stock is not None:
            self.add(stock_key(benefit), pieces)

    def facts(self, wish: Wish, lots: tuple[Lot, ...], asker: Asker) -> ClaimFacts:
        """Return what a claim is decided on."""
        terms, programme = wish.terms, wish.terms.programme
        benefit, (own, *above) = terms.benefit, programme.bearers[terms.benefit.budget]
        totals = programme.budgets_minor
        return ClaimFacts(
            today=terms.today,
            closed=asker.closed,
            blocked=asker.blocked,
            lots=lots,
            piece=terms.piece,
            cap_limit=terms.cap_limit,
            cap_used=0 if benefit.cap is None else self.own(terms.cap(wish.member_id)),
            stock=_NOTHING if benefit.stock is None else self.taken(stock_key(benefit)),
            budget=self.taken(budget_key(own)),
            budget_total=totals[own],
            piece_cost=terms.piece_cost,
            known=asker.known,
            companions=asker.companions,
            excluded_by=self.excluded_by(wish.member_id, terms.others),
            rooms=self.rooms(wish, asker.turn) if wish.places else (),
            codes=self.codes.free(terms.shelf),
            slots=terms.slots,
            above=tuple(Node(self.taken(budget_key(code)), totals[code]) for code in above),
        )

    def excluded_by(self, member_id: UUID, others: Iterable[Place]) -> str:
        """Return which benefit of an exclusion group a member has claimed; empty for none."""
        return next((p.of for p in others if self.own((member_id, p.counter, p.window)) > 0), "")

    def rooms(self, wish: Wish, turn: Turn | None) -> tuple[Room, ...]:
        """Return what the places of a claim have, for whoever has a turn or none."""
        programme, today = wish.terms.programme, wish.terms.today
        found = list[Room]()
        for limit, place in wish.places:
            most = programme.most(limit)
            if place.is_rolling_for_many:
                found.append(limits.room_of_many(limit, place, most, self.many[place.counter]))
                continue
            if limit.is_rolling:
                events = self.recent(wish.member_id, place.counter)
                found.append(limits.rolling_room(limit, place, most, events))
                continue
            key = (place.counter, place.window)
            used = self.taken(key).taken if place.is_shared else self.own((wish.member_id, *key))
            there = limits.room(limit, place, most, used, day=today, zone=programme.tz)
            waiting = self.taken(queue_key(there.queue)).reserved if there.queue else 0
            first = self.queues.leading.get(there.queue)
            if waiting and not (turn and turn.passes(there.queue, first)):
                kept = self.queues.kept(there.queue, most)
                there = msgspec.structs.replace(there, waiting=waiting, kept=kept)
            found.append(there)
        return tuple(found)

    def tell(
        self,
        journal: Journal,
        programme: Programme,
        bearers: Iterable[str],
        ids: tuple[UUID, UUID],
    ) -> None:
        """Record which thresholds of today's totals budgets have come to, each once (K-4).

        `ids` are the member and the claim that took the `bearers` there; those that the programme
        in force has no more have no total.
        """
        member_id, claim_id = ids
        for budget in bearers:
            key, total = budget_key(budget), programme.budgets_minor.get(budget)
            if total is None:
                continue
            change, taken = self.shared_more[key], self.taken(key).taken
            told = change.told if change.told_of == total else 0
            new = limits.passed(taken, total, told)
            for percent in new:
                data = {
                    "programme": programme.code,
                    "budget": budget,
                    "percent": percent,
                    "total_minor": total,
                    "taken_minor": taken,
                }
                journal.event(member_id, "budget.threshold", subject_id=claim_id, data=data)
            if new:
                self.shared_more[key] = Change(change.use, max(new), total)

    async def write(self, writer: Writer) -> None:
        """Write what was taken and given back, but for what `settle` has to write at the end."""
        await counters.add_used(writer, self.used_more)
        if self._is_put_off:
            return
        instants = (key for key in self.shared_more if key[0] in self.many and key[1] != TURN)
        await counters.begin(writer, instants)
        unmoved = {key: Change(_NOTHING, k.told, k.told_of) for key, k in self.shared.items()}
        later = () if self._edges is None else self._edges.keys
        moved = {k: new for k, new in self.shared_more.items() if new != unmoved.get(k)}
        await counters.add(writer, {k: new for k, new in moved.items() if k not in later})

    async def settle(self, conn: Connection) -> None:
        """Lock what was not locked to decide, last of all locks, and take it.

        It is Outdated if decisions could be others by now.
        """
        later: Collection[SharedCounter] = self.shared_more if self._is_put_off else ()
        if self._edges is not None:
            later = self._edges.keys
        if not later:
            return
        kept = await counters.lock(conn, later)
        if self._edges is not None and not self._edges.are_far(kept, groups=1):
            raise Outdated
        taken = {
            key: Change(more.use, kept[key].told, kept[key].told_of)
            for key, more in self.shared_more.items()
            if key in kept and more.use != _NOTHING
        }
        await counters.add(conn, taken)
