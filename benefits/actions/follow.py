"""What follows from answers beside units: requests to providers, and cases for people.

Each is asked once of an order, and each case about it is open once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from benefits.actions.answers import Answer, follow_up, saying
from benefits.actions.effects import Units
from benefits.actions.parts import Parts
from benefits.domain.orders import IssueRequest, Operation
from benefits.store import cases, claims, orders
from benefits.store.cases import Closed
from benefits.store.claims import Case, ClaimRow
from benefits.store.db import Connection, Writer
from benefits.store.ledger import Journal
from benefits.store.orders import Plan, RequestRow


class Follow:
    """Requests and cases about claims whose members are locked."""

    def __init__(self, parts: Parts, journal: Journal, units: Units) -> None:
        self._parts = parts
        self._journal = journal
        self._units = units
        self._asked: dict[tuple[UUID, Operation], RequestRow] = {}
        self._issued: dict[UUID, RequestRow] = {}
        self._open: set[tuple[UUID, str]] = set()
        self._requests: list[RequestRow] = []
        self._plans: list[Plan] = []
        self._cases: list[Case] = []
        self._closed: list[Closed] = []

    async def load_cases(self, conn: Connection, ids: Collection[UUID]) -> None:
        """Read which cases about claims are open."""
        self._open = await claims.open_cases_of(conn, ids)

    async def load_requests(self, conn: Connection, found: Sequence[ClaimRow]) -> None:
        """Read what was asked of the providers of claims about which more may be asked."""
        if not found:
            return
        asked = await orders.of_claims(conn, [(c.member_id, c.claim_id) for c in found])
        for request in (r for of in asked.values() for r in of):
            if request.operation is Operation.ISSUE:
                self._issued[request.claim_id] = request
            elif request.operation is Operation.CONFIRM or request.next_at:
                self._asked[request.claim_id, request.operation] = request

    def issued(self, claim_id: UUID) -> list[RequestRow]:
        """Return the request for a claim's order, if it was read."""
        return [self._issued[claim_id]] if claim_id in self._issued else []

    def ask(self, claim: ClaimRow, operation: Operation) -> bool:
        """Ask something about an order that stands, once; say whether it was not asked yet."""
        if (claim.claim_id, operation) in self._asked:
            return False
        issued = self._issued[claim.claim_id]  # whatever the programme says today
        request_id = self._journal.id_for(claim.member_id)
        body = IssueRequest(sku=issued.sku, quantity=claim.wanted)
        asked = follow_up(issued, request_id, operation, now=self._journal.now)
        self._asked[claim.claim_id, operation] = asked
        self._requests.append(saying(asked, body, self._parts.envelope))
        return True

    def confirm(self, claim: ClaimRow) -> None:
        """Ask a provider to confirm what it set aside; where nobody asks any more, anew (V-2)."""
        asked = self._asked.get((claim.claim_id, Operation.CONFIRM))
        if asked is None:
            self.ask(claim, Operation.CONFIRM)
        elif asked.attempt and asked.next_at is None:
            now = self._journal.now
            self._plans.append(Plan(request=asked, next_at=now, queries=0, sent_by=now))

    def case(self, claim: ClaimRow, kind: str, detail: str) -> None:
        """Open a case about a claim for a person, unless one of the kind is open."""
        if (claim.claim_id, kind) in self._open:
            return
        self._open.add((claim.claim_id, kind))
        case_id, now = self._journal.id_for(claim.member_id), self._journal.now
        self._cases.append(Case(case_id, claim.member_id, claim.claim_id, kind, detail, now))
        self._units.tell(claim, "case.opened")

    def close(self, claim: ClaimRow, kind: str, answer: Answer) -> None:
        """Close the case about what nobody had answered of an order: somebody has (V-3)."""
        about = (claim.claim_id, kind)
        if about in self._open:
            self._open.remove(about)
            self._closed.append(Closed(*about, answer.actor, answer.note))
            self._units.tell(claim, "case.closed")

    async def write(self, writer: Writer) -> None:
        """Write what is asked, and the cases that were opened."""
        await claims.open_cases(writer, self._cases)
        await orders.put(writer, self._requests, self._journal.now)
        await orders.schedule(writer, self._plans)

    async def close_cases(self, conn: Connection, now: datetime) -> None:
        """Close cases; one may have been opened just now."""
        await cases.close_those(conn, self._closed, now)
