"""What a member may choose now, and what they chose, by the rule itself, without trying (P-8).

What is read here is not locked: it explains, and decides nothing. The choosing decides.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions.choose import Asking
from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.domain import choices as rules
from benefits.domain.catalogue import Catalogue
from benefits.domain.choice import Choice
from benefits.domain.ledger import Lot
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.store import blocks, choices, merged, pages
from benefits.store import ledger as books
from benefits.store.choices import ChoiceRow
from benefits.store.db import Connection


class Offered(msgspec.Struct, frozen=True):
    """A choice a member has units of, or chose from: what there is, and what refuses a benefit.

    `refusals` has each of its benefits, in their order; None where it may be chosen.
    """

    programme: Programme
    choice: Choice
    lots: list[Lot]
    refusals: dict[str, Refusal | None]
    made: list[ChoiceRow]

    def available(self, now: datetime) -> int:
        """Return how many units can be chosen with."""
        return sum(lot.available(now) for lot in self.lots)


class ChoicesSeen(msgspec.Struct, frozen=True):
    """All choices of a member at `now`, by code."""

    now: datetime
    catalogue: Catalogue
    offered: dict[str, Offered]


async def see_choices(conn: Connection, member_id: UUID, parts: Parts) -> ChoicesSeen:
    """Return what a member may choose, and what was chosen (UnknownMember).

    Whoever was merged asks for the member they were merged into.
    """
    now = parts.clock()
    catalogue = (await parts.catalogue.plan(conn)).at(now)
    whom = (await merged.current(conn, [member_id])).get(member_id, member_id)
    member = await pages.member(conn, whom)
    if member is None:
        raise UnknownMember
    pairs = [(whom, choice.unit) for _, choice in catalogue.choices.values()]
    lots = [lot for _, lot in await books.lots_of(conn, pairs, now)]
    into = await merged.along(conn, [whom]) if member.has_merged else {}
    made = (await choices.made(conn, [whom], into=into)).get(whom, [])
    asking = Asking(
        opened_on=member.opened_on,
        closed_on=member.closed_on,
        blocks=(await blocks.of(conn, [member])).get(whom, []),
        lots=[],
        origins=await choices.origins(conn, {lot.lot_id for lot in lots}),
        made={(row.place, row.benefit) for row in made},
    )
    offered = dict[str, Offered]()
    for code, (programme, choice) in catalogue.choices.items():
        own = [lot for lot in lots if lot.unit == choice.unit and lot.available(now)]
        chosen = [row for row in made if row.choice == code]
        if own or chosen:
            one = msgspec.structs.replace(asking, lots=own)
            refusals = _refusals(programme, choice, one, now)
            offered[code] = Offered(programme, choice, own, refusals, chosen)
    return ChoicesSeen(now, catalogue, offered)


def _refusals(
    programme: Programme, choice: Choice, asking: Asking, now: datetime
) -> dict[str, Refusal | None]:
    """Return what refuses each benefit of a choice."""
    found = dict[str, Refusal | None]()
    for code in choice.benefits:
        benefit = programme.benefits[code]
        facts = asking.facts(programme, benefit, now)
        decided = rules.choose(repeat=choice.repeat, benefit=benefit, facts=facts, now=now)
        found[code] = decided if isinstance(decided, Refusal) else None
    return found
