"""Members take units: hold them, reserve what they may cost, ask the provider (V-2, K-2)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits import measures, traces
from benefits.actions import wishes
from benefits.actions.answers import Answer
from benefits.actions.capacity import Asker, Capacity
from benefits.actions.edges import Edges
from benefits.actions.keyed import Accepted, Decided, Keyed, of_members
from benefits.actions.parts import Parts
from benefits.actions.pricing import UNSENT_FOR, cost_of
from benefits.actions.resolve import resolve
from benefits.actions.waiting import Asked, Waits
from benefits.actions.wishes import Terms, Wish
from benefits.domain import code_lines, entitlement, ledger
from benefits.domain.benefit import Benefit
from benefits.domain.blocks import Block, stop_claim
from benefits.domain.catalogue import Plan
from benefits.domain.entitlement import ClaimCommand, CounterUse
from benefits.domain.fields import Known
from benefits.domain.limits import Counted
from benefits.domain.orders import Done, IssueRequest, Operation, OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import EPOCH, bucket_of, local_date
from benefits.domain.waits import Turn, Waiting, WaitOver
from benefits.store import blocks, claims, members, orders, people, standings
from benefits.store import ledger as books
from benefits.store.claims import ClaimRow, HoldRow
from benefits.store.db import Busy, Connection, Together, Writer
from benefits.store.ledger import Journal
from benefits.store.members import Held
from benefits.store.orders import RequestRow
from benefits.store.requests import RequestKey

OPERATION = "claim"
QUANTITY_MAX = 100


class UnknownMember(Refusal):
    """No member has this id."""

    code = "unknown_member"
    words = "No member has this id."


class UnknownBenefit(Refusal):
    """No programme in force offers this benefit."""

    code = "unknown_benefit"
    words = "No programme offers this benefit."


class QuantityInvalid(Refusal):
    """The quantity is not above 0, or above 100 with what companions take; or they are below 0."""

    code = "quantity_invalid"
    words = "The quantity must be above 0 and at most 100."


class ClaimUnits(msgspec.Struct, frozen=True, kw_only=True):
    """A member's wish for `quantity` pieces of a benefit, under the caller's key.

    With each come as many as `companions` (V-10). The `channel` is how it is asked, not what:
    tried again by another one it is the same wish. It may be of the units of one lot alone. A
    booking is for the time `booked_for`. It `waits` for room that a limit lacks, if it may; where
    it did so its `turn` has come.
    """

    caller: str
    key: str
    member_id: UUID
    benefit: str
    quantity: int = 1
    companions: int = 0
    recipient: dict[str, str] = {}
    channel: str = ""
    booked_for: datetime | None = None
    lot_id: UUID | None = None
    waits: bool = False
    turn: Turn | None = None
    traceparent: str = msgspec.field(default_factory=traces.place)

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
        asked: list[Any] = [self.benefit, self.quantity, self.recipient]
        if self.waits:
            asked.append("waits")
        if self.booked_for is not None:
            at = (self.booked_for - EPOCH) // timedelta(microseconds=1)
            return body_hash([*asked, self.companions, at])
        return body_hash([*asked, self.companions] if self.companions else asked)

    @property
    def pieces(self) -> int:
        """How many are taken, companions' too."""
        return self.quantity * (1 + self.companions)


class _Group:
    """One group's claims while they are decided: each sees what the one before it took."""

    def __init__(self, parts: Parts, plan: Plan, held: Held) -> None:
        self.parts = parts
        self.locked = held.locked
        self.busy = held.busy
        self.now = parts.clock()
        catalogue = plan.at(self.now)
        self.offers = catalogue.offers
        self.zone = catalogue.zone
        self.versions = catalogue.programme_versions
        self._terms: dict[str, Terms] = {}
        self._wishes: dict[tuple[UUID, str], Wish] = {}
        self.journal = Journal(self.locked, self.now, parts.new_id)
        self.capacity = Capacity()
        self.waits = Waits(parts, self.journal, self.capacity)
        self.blocks: dict[UUID, list[Block]] = {}
        self.claims: list[ClaimRow] = []
        self.holds: list[HoldRow] = []
        self.requests: list[RequestRow] = []
        self.issued: list[Answer] = []
        self.known: dict[UUID, Known] = {}
        self.ranks: dict[tuple[UUID, str], int] = {}

    async def load(self, conn: Connection, commands: Sequence[ClaimUnits]) -> None:
        """Read lots and the members' counters, then lock the shared counters, last of all.

        Far from all edges what many share is locked later, when all is written.
        """
        wanted = [
            (command.member_id, self._terms_of(command.benefit))
            for command in commands
            if command.benefit in self.offers and command.member_id in self.locked
        ]
        if not wanted:
            return
        self.blocks = await blocks.of(conn, self.locked.values())
        pairs = [(member_id, terms.unit) for member_id, terms in wanted]
        self.journal.load(await books.lots_of(conn, pairs, self.now))
        asking = {member_id: t.today for member_id, t in wanted if t.benefit.asks_member}
        if asking:
            self.known = await people.load(conn, asking, max(asking.values()))
        guests = {
            (command.member_id, self._terms_of(command.benefit).programme.code)
            for command in commands
            if command.companions and command.benefit in self.offers
        }
        today = local_date(self.now, self.zone)
        self.ranks = await standings.ranks(conn, guests, self.now, today)
        branches = {id_: one.branch for id_, one in self.locked.items()}
        found = await wishes.of(conn, wanted, branches)
        self._wishes = {(w.member_id, w.terms.asked.code): w for w in found}
        patient = {one.member_id for one in commands if one.waits and one.turn is None}
        await self.waits.load(conn, [self.locked[id_] for id_ in patient & self.locked.keys()])
        taken = [id_ for id_, one in self.locked.items() if one.has_merged]
        turns = [one.turn for one in commands if one.turn is not None]
        edges = None if patient or turns else self._edges(commands)
        await self.capacity.load(
            conn, self._wishes.values(), taken=taken, locks=True, turns=turns, edges=edges
        )
        await self._lock_codes(conn, commands)

    def _edges(self, commands: Sequence[ClaimUnits]) -> Edges:
        """Return the edges of what claims share, if all of them are accepted."""
        edges = Edges()
        for command in commands:
            wish = self._wishes.get((command.member_id, command.benefit))
            if wish is not None:
                edges.add(wish, max(0, min(command.pieces, QUANTITY_MAX)))
        return edges

    async def _lock_codes(self, conn: Connection, commands: Sequence[ClaimUnits]) -> None:
        """Lock what codes in stock the claims may take (V-1)."""
        wanted = [
            (shelf, min(command.pieces, QUANTITY_MAX))
            for command in commands
            if (wish := self._wishes.get((command.member_id, command.benefit))) is not None
            and (shelf := wish.terms.shelf) is not None
            and command.quantity > 0 <= command.companions
        ]
        await self.capacity.codes.lock(conn, wanted)

    def _terms_of(self, code: str) -> Terms:
        terms = self._terms.get(code)
        if terms is None:
            terms = self._terms[code] = Terms.of(*self.offers[code], self.now)
        return terms

    def decide(self, command: ClaimUnits) -> Accepted | Refusal:
        """Decide one claim on what the group has left; Busy where it waits on."""
        refusal = self._refuse_at_once(command)
        if refusal is not None:
            return refusal
        wish = self._wishes[command.member_id, command.benefit]
        lots = self.journal.lots_of(command.member_id, wish.terms.unit)
        if command.lot_id is not None:
            lots = tuple(lot for lot in lots if lot.lot_id == command.lot_id)
        decided = entitlement.claim(
            ClaimCommand(
                quantity=command.pieces,
                companions=command.companions,
                recipient=command.recipient,
                booked_for=command.booked_for,
                waits=command.waits,
            ),
            wish.terms.benefit,
            self.capacity.facts(wish, lots, self._asker(command, wish.terms)),
            self.journal.now_for(command.member_id),
        )
        match decided:
            case Refusal():
                return decided
            case entitlement.Claim():
                return self._record(command, wish, decided)
            case Waiting() if command.turn is not None:
                return self.waits.go_on(command.turn, decided, command.pieces)
            case Waiting():
                return self.waits.begin(_asked(command), wish, decided, lots)

    def _refuse_at_once(self, command: ClaimUnits) -> Refusal | None:
        """Return why a claim is not weighed at all, or None."""
        if command.member_id not in self.locked:
            return Busy() if command.member_id in self.busy else UnknownMember()
        if command.quantity < 1 or command.companions < 0 or command.pieces > QUANTITY_MAX:
            return QuantityInvalid()
        if command.benefit not in self.offers:
            return UnknownBenefit()
        if command.turn is not None and command.turn.is_over(self.now):
            return WaitOver()
        is_full = command.turn is not None and self.waits.is_full(command.turn)
        return Busy() if is_full else None

    def _asker(self, command: ClaimUnits, terms: Terms) -> Asker:
        closed_on = self.locked[command.member_id].closed_on
        now, stopping = self.journal.now_for(command.member_id), self.blocks.get(command.member_id)
        return Asker(
            closed=closed_on is not None and closed_on < terms.today,
            blocked=stopping is not None and stop_claim(stopping, terms.benefit, now),
            known=self._known(command, terms),
            companions=self._companions(command, terms) if command.companions else 0,
            turn=command.turn,
        )

    def _companions(self, command: ClaimUnits, terms: Terms) -> int:
        """Return how many companions the tier held now brings along (V-10)."""
        programme = terms.programme
        return programme.guests(terms.benefit, self.ranks[command.member_id, programme.code])

    def _known(self, command: ClaimUnits, terms: Terms) -> Known | None:
        if not terms.benefit.asks_member:
            return None
        known = self.known[command.member_id]
        return msgspec.structs.replace(known, today=terms.today, channel=command.channel)

    def _record(self, command: ClaimUnits, wish: Wish, decided: entitlement.Claim) -> Accepted:
        terms, member_id = wish.terms, command.member_id
        benefit, programme = terms.benefit, terms.programme
        claim_id, hold_id = (self.journal.id_for(member_id) for _ in range(2))
        row = self._claim(command, wish, (claim_id, hold_id))
        batch_id = self.journal.post(
            member_id,
            "claim.placed",
            ledger.hold(terms.unit, decided.parts)
            + ledger.reserve(cost_of(programme, benefit, decided.cost_minor)),
            actor=command.caller,
            subject_id=claim_id,
            data=_placed(row, command),
        )
        self._take(wish, decided, command.pieces)
        bearers = programme.bearers[benefit.budget]
        self.capacity.tell(self.journal, programme, bearers, (member_id, claim_id))
        self.holds.append(
            HoldRow(
                hold_id=hold_id,
                member_id=member_id,
                claim_id=claim_id,
                batch_id=batch_id,
                unit=terms.unit,
                quantity=decided.taken,
                cost_minor=decided.cost_minor,
                placed_at=self.now,
                uncapped=decided.uncapped,
            )
        )
        self.claims.append(row)
        self._issue(command, terms, claim_id)
        self.requests.append(self._request(command, benefit, row))
        return Accepted({"claim_id": str(claim_id)})

    def _take(self, wish: Wish, decided: entitlement.Claim, pieces: int) -> None:
        """Take all that a claim takes: of the cap, of limits, stock and budgets (K-2)."""
        terms, counted = wish.terms, decided.taken - decided.uncapped
        if terms.benefit.cap is not None:
            self.capacity.take(terms.cap(wish.member_id), counted)
        counts = Counted(counted, terms.piece, terms.piece_cost)
        for place in wish.takes:
            self.capacity.take_place(wish.member_id, place, counts.of(place.dimension))
        self.capacity.add_money(
            terms.programme, terms.benefit, CounterUse(decided.cost_minor), CounterUse(pieces)
        )

    def _issue(self, command: ClaimUnits, terms: Terms, claim_id: UUID) -> None:
        """Issue a claim with its hold where nobody is asked: by codes in stock, or by us (V-1)."""
        provider, code = terms.programme.providers[terms.benefit.provider], ""
        if terms.shelf is not None:
            codes = self.capacity.codes.take(terms.shelf, command.pieces, claim_id)
            opened = (self.parts.envelope.open(one.sealed).decode() for one in codes)
            code = code_lines.together(opened)
        elif not provider.is_internal:
            return
        self.issued.append(
            Answer(
                claim_id=claim_id,
                operation=Operation.ISSUE,
                outcome=Done(at=self.now, code=code),
                actor=f"provider:{provider.code}",
            )
        )

    def _claim(self, command: ClaimUnits, wish: Wish, ids: tuple[UUID, UUID]) -> ClaimRow:
        (claim_id, hold_id), terms = ids, wish.terms
        booking, booked_for = terms.benefit.booking, command.booked_for
        if booked_for is not None:
            booked_for = booked_for.astimezone(UTC)
        return ClaimRow(
            claim_id=claim_id,
            member_id=command.member_id,
            programme=terms.programme.code,
            programme_version=self.versions[terms.programme.code],
            benefit=terms.benefit.code,
            instead_of=terms.instead_of,
            quantity=command.pieces,
            state=OrderState.HELD,
            reason="",
            hold_id=hold_id,
            cap_window=terms.window,
            limits=wish.takes,
            claimed_at=self.now,
            changed_at=self.now,
            deadline=None,
            provider_reference="",
            code_sealed=None,
            use_until=terms.use_until,
            ends_at=terms.ends_at(booked_for),
            codes=0 if terms.shelf is None else command.pieces,
            booked_for=booked_for,
            cancel_until=booking.cancel_until(booked_for) if booking and booked_for else None,
        )

    def _request(self, command: ClaimUnits, benefit: Benefit, row: ClaimRow) -> RequestRow:
        asked = IssueRequest(
            sku=benefit.sku,
            quantity=command.pieces,
            companions=command.companions,
            recipient=command.recipient,
            booked_for=row.booked_for,
        )
        return RequestRow(
            request_id=self.journal.id_for(command.member_id),
            member_id=command.member_id,
            claim_id=row.claim_id,
            provider=benefit.provider,
            sku=benefit.sku,
            operation=Operation.ISSUE,
            body_sealed=self.parts.envelope.seal(msgspec.json.encode(asked)),
            body_hash=body_hash(asked),
            disclosed=sorted(command.recipient),
            created_at=self.now,
            traceparent=command.traceparent,
        )

    async def write(self, writer: Writer) -> None:
        """Write everything the group decided."""
        if self.claims or self.waits.changed:
            await self.journal.write(writer)
            await self.capacity.write(writer)
            await self.waits.write(writer, self.now)
        if self.claims:
            await claims.put_holds(writer, self.holds)
            await claims.put(writer, self.claims, self.now + UNSENT_FOR)
            await orders.put(writer, self.requests, self.now)
            await self.capacity.codes.write(writer, self.now)


def _placed(row: ClaimRow, command: ClaimUnits) -> dict[str, object]:
    """Return what is told of a new claim."""
    where_said = {
        "limits": row.limits,
        "companions": command.companions,
        "use_until": row.use_until,
        "instead_of": row.instead_of,
        "booked_for": row.booked_for,
        "cancel_until": row.cancel_until,
    }
    return {
        "benefit": row.benefit,
        "quantity": row.quantity,
        "programme": row.programme,
        "programme_version": row.programme_version,
        "window": row.cap_window,
        "hold_id": row.hold_id,
        "claimed_at": row.claimed_at,
        **{name: value for name, value in where_said.items() if value},
    }


def _asked(command: ClaimUnits) -> Asked:
    """Return what of a claim is kept while it waits."""
    return Asked(
        quantity=command.quantity,
        companions=command.companions,
        recipient=command.recipient,
        channel=command.channel,
        booked_for=command.booked_for,
    )


async def claim(
    conn: Connection, commands: Sequence[ClaimUnits], parts: Parts, *, wait: bool
) -> list[Decided | Refusal]:
    """Decide claims in order, in this transaction; one outcome each (C-9, K-2).

    Without `wait`, members somebody else holds at the moment are answered `busy` and nothing is
    stored for them. It may all have to be done again (Outdated: `Database.transact` does it).
    """
    held = await members.hold(conn, (c.member_id for c in commands), wait=wait)
    plan = await parts.catalogue.plan(conn)  # as it is once the members are held
    keyed, group = Keyed(), _Group(parts, plan, held)
    asked = of_members(commands, held)
    await group.load(conn, await keyed.begin(conn, asked))
    outcomes = keyed.decide_each(asked, group.decide)
    together = Together(conn)
    await group.write(together)
    await keyed.write(together, group.now)
    await together.send()
    await group.capacity.settle(conn)
    measures.count_claims(OrderState.HELD.value, len(group.claims))
    if group.issued:
        await resolve(conn, group.issued, parts)  # of members who are locked: none is left
    return outcomes
