"""How far it is to where something that many share refuses, or is told of (K-2, K-4).

Claims that stay clear of every edge are decided alike, whatever others take meanwhile. So they are
decided and written before what they share is locked, and others wait for it as short as can be.
Under the lock the edges are looked at once more: who came too near is decided anew.
"""

from collections.abc import Collection, Mapping

import msgspec

from benefits.actions.wishes import Wish, budget_key, stock_key
from benefits.domain import limits
from benefits.domain.limits import Counted, Scope
from benefits.store.counters import Kept, SharedCounter

# Others may take as much as so many groups like this one until it has the lock; more are rare, and
# cost writing it again.
GROUPS = 8


class Edge(msgspec.Struct, frozen=True):
    """What one group takes of `most` if nothing is refused; of some, thresholds are told."""

    asked: int
    most: int
    is_told: bool

    def is_far(self, kept: Kept, groups: int) -> bool:
        """Say whether so many groups take as much, and nothing is refused or told of."""
        come_to = kept.use.taken + self.asked * groups
        told = kept.told if kept.told_of == self.most else 0
        is_to_tell = self.is_told and limits.passed(come_to, self.most, told)
        return come_to <= self.most and not is_to_tell


class Edges:
    """The edges of what a group's claims share."""

    def __init__(self) -> None:
        """Know of none; `is_near` when something has to be locked wherever it stands."""
        self._edges: dict[SharedCounter, Edge] = {}
        self.is_near = False

    @property
    def keys(self) -> Collection[SharedCounter]:
        """Which counters have one."""
        return self._edges.keys()

    def add(self, wish: Wish, pieces: int) -> None:
        """Take so many pieces in all.

        What one person shares is no matter of many. Queues, rolling windows of many and codes in
        stock are decided under their locks.
        """
        terms = wish.terms
        if terms.benefit.stock is not None:
            self._take(stock_key(terms.benefit), pieces, terms.benefit.stock)
        for budget in terms.programme.bearers[terms.benefit.budget]:
            total = terms.programme.budgets_minor[budget]
            self._take(budget_key(budget), pieces * terms.piece_cost, total, is_told=True)
        counted = Counted(pieces * terms.piece, terms.piece, terms.piece_cost)
        for limit, place in wish.places:
            if place.is_rolling_for_many or limit.queue(place):
                self.is_near = True
            elif place.is_shared and place.scope is not Scope.PERSON:
                key, most = (place.counter, place.window), terms.programme.most(limit)
                self._take(key, counted.of(place.dimension), most)
        if terms.shelf is not None:
            self.is_near = True

    def _take(self, key: SharedCounter, amount: int, most: int, *, is_told: bool = False) -> None:
        known = self._edges.get(key)
        if known is None:
            self._edges[key] = Edge(amount, most, is_told)
        else:
            self._edges[key] = Edge(known.asked + amount, min(known.most, most), is_told)

    def are_far(self, shared: Mapping[SharedCounter, Kept], *, groups: int = 0) -> bool:
        """Say whether all are far enough for so many groups, `GROUPS` unless it is said.

        Of a new window that is not known.
        """
        groups = groups or GROUPS
        return not self.is_near and all(
            key in shared and edge.is_far(shared[key], groups) for key, edge in self._edges.items()
        )
