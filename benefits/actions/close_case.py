"""A person closes a case: once, with a note, under the caller's key (C-9)."""

from uuid import UUID

import msgspec

from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.parts import Parts
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import bucket_of
from benefits.store import cases
from benefits.store.db import Connection
from benefits.store.requests import RequestKey

OPERATION = "close_case"


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
        """Where the outcome is kept: beside the case, so that one key may close several."""
        caller = f"{self.caller}/{self.case_id.hex}"
        return RequestKey(bucket_of(self.case_id), caller, OPERATION, self.key)


async def close_case(conn: Connection, command: CloseCase, parts: Parts) -> Decided | Refusal:
    """Close a case in this transaction (UnknownCase, CaseClosed)."""
    keyed = Keyed()
    key, body = command.request_key, body_hash(command.note)
    await keyed.load(conn, [key])
    outcome = keyed.earlier(key, body)
    now = parts.clock()
    if outcome is None:
        outcome = keyed.decide(key, body, await _close(conn, command, parts))
    await keyed.write(conn, now)
    return outcome


async def _close(conn: Connection, command: CloseCase, parts: Parts) -> Accepted | Refusal:
    now = parts.clock()
    id_, actor, note = command.case_id, command.caller, command.note
    if await cases.close(conn, id_, now, actor=actor, note=note):
        return Accepted({"case_id": str(id_)})
    known = await cases.one(conn, id_)
    return UnknownCase() if known is None else CaseClosed()
