"""Members choose: a unit of a choice becomes a unit of a benefit, in one batch (P-8, L-2).

Which benefit is asked by whoever claims: eligibility, consent, caps and budget are a claim's.
Whoever was merged chooses for the member they were merged into, and what both chose counts.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.keyed import Accepted, Decided, Keyed, of_members
from benefits.actions.parts import Parts
from benefits.domain import choices as rules
from benefits.domain import entitlement, ledger, packages
from benefits.domain.benefit import Benefit
from benefits.domain.blocks import Block, stop_claim
from benefits.domain.catalogue import Plan
from benefits.domain.choice import Choice
from benefits.domain.choices import ChoiceFacts, ChoiceNotOffered, Place, UnknownChoice
from benefits.domain.ledger import Lot, Part
from benefits.domain.packages import told_priority
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import bucket_of, local_date, midnight
from benefits.store import blocks, choices, members, merged
from benefits.store import ledger as books
from benefits.store.choices import ChoiceRow, LotOrigin
from benefits.store.db import Busy, Connection
from benefits.store.ledger import Journal, Origin
from benefits.store.members import Held
from benefits.store.requests import RequestKey

OPERATION = "choose"


class ChooseBenefit(msgspec.Struct, frozen=True, kw_only=True):
    """A member's wish to turn one unit of a choice into one of a benefit, under a key."""

    caller: str
    key: str
    member_id: UUID
    choice: str
    benefit: str

    @property
    def sender(self) -> str:
        """Who stands alone when a command fails: this member, not everybody the caller serves."""
        return f"{self.caller}/{self.member_id.hex}"

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: in the member's bucket, under the member's lock."""
        return RequestKey(bucket_of(self.member_id), self.sender, OPERATION, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        return body_hash([self.choice, self.benefit])


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who would choose: the end of the relationship, blocks, lots of a choice, what was chosen."""

    opened_on: date
    closed_on: date | None
    blocks: Iterable[Block]
    lots: Iterable[Lot]
    origins: Mapping[UUID, LotOrigin]
    made: Collection[tuple[Place, str]]

    def facts(self, programme: Programme, benefit: Benefit, now: datetime) -> ChoiceFacts:
        """Return what the choosing of a benefit is decided on."""
        today = local_date(now, programme.tz)
        return ChoiceFacts(
            today=today,
            opens=midnight(benefit.claim_from, programme.tz) if benefit.claim_from else None,
            last_claim=programme.succession(benefit)[-1].last_claim,
            closed=self.closed_on is not None and self.closed_on < today,
            blocked=stop_claim(self.blocks, programme.serving(benefit, today), now),
            lots=[
                (self._counted(programme, self.origins[lot.lot_id].place), lot)
                for lot in self.lots
            ],
            made={(self._counted(programme, place), code) for place, code in self.made},
        )

    def _counted(self, programme: Programme, place: Place) -> Place:
        """Return a place with the period that it counts for: of members' own it may be another."""
        line = next((one for one in programme.line if one.code == place.line), None)
        if line is None or place.programme != programme.code:
            return place
        period = packages.counts_for(line, place.period, self.opened_on)
        return msgspec.structs.replace(place, period=period)


class _Group:
    """Choosings of one transaction while they are decided: each sees the one before it."""

    def __init__(self, parts: Parts, plan: Plan, held: Held) -> None:
        self.locked = held.locked
        self.busy = held.busy
        self.now = parts.clock()
        self.offers = plan.at(self.now)
        self.journal = Journal(self.locked, self.now, parts.new_id)
        self.blocks: dict[UUID, list[Block]] = {}
        self.origins: dict[UUID, LotOrigin] = {}
        self.made: dict[UUID, set[tuple[Place, str]]] = {}
        self.chosen: list[ChoiceRow] = []

    async def load(self, conn: Connection, commands: Sequence[ChooseBenefit]) -> None:
        """Read blocks, lots, what members owe of the benefits, and what they chose before."""
        wanted = [
            (c.member_id, self.offers.choices[c.choice][1], self.offers.offers[c.benefit][1])
            for c in commands
            if c.choice in self.offers.choices and c.benefit in self.offers.offers
        ]
        if not wanted:
            return
        self.blocks = await blocks.of(conn, self.locked.values())
        lots = await books.lots_of(conn, [(id_, one.unit) for id_, one, _ in wanted], self.now)
        self.journal.load(lots)
        self.journal.load_owed(await books.owed(conn, [(id_, b.unit) for id_, _, b in wanted]))
        self.origins = await choices.origins(conn, {lot.lot_id for _, lot in lots})
        taken = [id_ for id_, one in self.locked.items() if one.has_merged]
        into = await merged.along(conn, taken)
        made = await choices.made(conn, {id_ for id_, _, _ in wanted}, into=into)
        self.made = {id_: {(row.place, row.benefit) for row in some} for id_, some in made.items()}

    def decide(self, command: ChooseBenefit) -> Accepted | Refusal:
        """Decide one choosing on what those before it have left."""
        if command.member_id not in self.locked:
            return Busy() if command.member_id in self.busy else UnknownMember()
        found = self.offers.choices.get(command.choice)
        if found is None:
            return UnknownChoice()
        programme, choice = found
        if command.benefit not in choice.benefits:
            return ChoiceNotOffered()
        benefit, member_id = programme.benefits[command.benefit], command.member_id
        asking = Asking(
            opened_on=self.locked[member_id].opened_on,
            closed_on=self.locked[member_id].closed_on,
            blocks=self.blocks.get(member_id, ()),
            lots=self.journal.lots_of(member_id, choice.unit),
            origins=self.origins,
            made=self.made.get(member_id, ()),
        )
        now = self.journal.now_for(member_id)
        facts = asking.facts(programme, benefit, now)
        lot = rules.choose(repeat=choice.repeat, benefit=benefit, facts=facts, now=now)
        if isinstance(lot, Refusal):
            return lot
        return self._convert(command, (programme, choice, benefit), lot)

    def _convert(
        self, command: ChooseBenefit, of: tuple[Programme, Choice, Benefit], lot: Lot
    ) -> Accepted:
        """Take a unit of a lot and give one of the benefit, under the same terms (L-2)."""
        (programme, choice, benefit), member_id = of, command.member_id
        origin, at = self.origins[lot.lot_id], self.journal.now_for(member_id)
        place, over = origin.place, programme.contract_end(benefit)
        expires_at = lot.expires_at
        if expires_at is not None:
            expires_at = entitlement.last_use(expires_at, over, programme.tz)
        new = Lot(
            lot_id=self.journal.id_for(member_id),
            unit=benefit.unit,
            granted=1,
            remaining=1,
            held=0,
            expires_at=expires_at,
            granted_at=at,
            priority=lot.priority,
            capped=lot.capped,
        )
        owed = self.journal.owed(member_id, benefit.unit)
        self.journal.new_lot(
            member_id, new, Origin(place.programme, place.line, place.period, origin.cause)
        )
        batch_id = self.journal.post(
            member_id,
            "entitlement.converted",
            ledger.convert(choice.unit, [Part(lot.lot_id, 1)], new) + ledger.pay_debt(new, owed),
            actor=command.caller,
            subject_id=new.lot_id,
            data={
                "choice": choice.code,
                "benefit": benefit.code,
                "quantity": 1,
                "lot_id": lot.lot_id,
                "cause": origin.cause,
                "period": place.period,
                "programme": place.programme,
                "line": place.line,
                "expires_at": expires_at.astimezone(UTC) if expires_at else None,
                **told_priority(origin.cause, lot.priority),
            },
        )
        self.chosen.append(
            ChoiceRow(
                new.lot_id,
                member_id,
                lot.lot_id,
                batch_id,
                place.programme,
                choice.code,
                benefit.code,
                place.line,
                place.period,
                at,
            )
        )
        self.made.setdefault(member_id, set()).add((place, benefit.code))
        return Accepted({"lot_id": str(new.lot_id)})


async def choose(
    conn: Connection, commands: Sequence[ChooseBenefit], parts: Parts, *, wait: bool
) -> list[Decided | Refusal]:
    """Decide choosings in order, in this transaction; one outcome each (P-8, C-9).

    Without `wait`, members whom somebody else holds are Busy.
    """
    held = await members.hold(conn, (c.member_id for c in commands), wait=wait)
    plan = await parts.catalogue.plan(conn)  # as it is once the members are held
    keyed, group = Keyed(), _Group(parts, plan, held)
    asked = of_members(commands, held)
    await group.load(conn, await keyed.begin(conn, asked))
    outcomes = keyed.decide_each(asked, group.decide)
    await group.journal.write(conn)
    await choices.put(conn, group.chosen)
    await keyed.write(conn, group.now)
    return outcomes
