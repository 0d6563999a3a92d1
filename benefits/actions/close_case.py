"""A person closes a case: once, with a note, under the caller's key; the member's feed tells.

What the provider never answered about a use is settled with it: it holds up nothing any more.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions.keyed import Accepted, Decided, once
from benefits.actions.parts import Parts
from benefits.domain.orders import Operation
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.store import cases, claims, members, orders
from benefits.store.cases import CaseSeen
from benefits.store.db import Connection, run
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.requests import RequestKey

OPERATION = "close_case"
WAIT = "SET LOCAL lock_timeout = '2s'"
# The cases about what was asked of an order: until it is settled, it holds up what is asked next.
_SETTLES = {
    "redeem_unanswered": Operation.REDEEM,
    "reverse_unanswered": Operation.REVERSE,
}


class UnknownCase(Refusal):
    """No case has this id."""

    code = "unknown_case"
    words = "No case has this id."


class CaseClosed(Refusal):
    """Somebody else has closed the case."""

    code = "case_closed"
    words = "This case was closed before."


class CloseCase(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word that a case is settled; `note` says how."""

    caller: str
    key: str
    case_id: UUID
    note: str

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: by the key alone, so that another case's is found."""
        return RequestKey.placed(self.caller, OPERATION, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is said, and of which case."""
        return body_hash([self.case_id.hex, self.note])


async def close_case(conn: Connection, command: CloseCase, parts: Parts) -> Decided | Refusal:
    """Close a case in this transaction and tell of it (UnknownCase, CaseClosed, N-5)."""
    case = await cases.one(conn, command.case_id)
    locked = dict[UUID, Member]()
    if case is not None and case.member_id is not None:
        await run(conn, WAIT)
        locked = await members.lock(conn, [case.member_id], wait=True)

    async def work() -> Accepted | Refusal:
        now = parts.clock()
        journal = Journal(locked, now, parts.new_id)
        done = await _close(conn, command, case, (journal, now))
        await journal.write(conn)
        return done

    return await once(conn, command.request_key, command.body, parts, work=work)


async def _close(
    conn: Connection, command: CloseCase, case: CaseSeen | None, at: tuple[Journal, datetime]
) -> Accepted | Refusal:
    journal, now = at
    if case is None:
        return UnknownCase()
    id_, actor, note = case.case_id, command.caller, command.note
    if not await cases.close(conn, id_, now, actor=actor, note=note):
        return CaseClosed()
    if case.claim_id is not None:
        claim = (await claims.by_id(conn, [case.claim_id]))[case.claim_id]
        if case.kind in _SETTLES:
            place = (claim.member_id, claim.claim_id)
            await orders.settle(conn, *place, _SETTLES[case.kind])
        data = {"benefit": claim.benefit, "quantity": claim.quantity, "reason": claim.reason}
        journal.event(claim.member_id, "case.closed", subject_id=claim.claim_id, data=data)
    return Accepted({"case_id": str(id_)})
