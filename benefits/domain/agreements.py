"""Agreements: what one person asks for and another approves; the word of both is kept.

    PROPOSED: APPROVED by another · REJECTED by another · WITHDRAWN by whoever asked
              else EXPIRED when its time is over

What is asked, what it does and who says so are bound by one digest: whoever approves has read
them. What is special about each kind stands in `proposals`, `fills` and `corrections`.
"""

import enum
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

OPEN_FOR = timedelta(days=7)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Who proposed something, when, for which reason of a list if there is one, in which words."""

    by: str
    at: datetime
    why: enum.Enum | msgspec.UnsetType = msgspec.UNSET
    note: str


def digest(proposal_id: UUID, asked: Sequence[object], said: Said, effect: object) -> str:
    """Return what binds a person's word to one proposal and to all that it would do."""
    utc = msgspec.structs.replace(said, at=said.at.astimezone(UTC))
    whole = [proposal_id, *asked, utc, effect]
    return hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()


def _said(caller: str) -> str:
    """Return the name that somebody at the machine said; any other caller's as it is."""
    return caller.rpartition(":")[2] if caller.startswith("system:") else caller


def same_person(one: str, other: str) -> bool:
    """Say whether two callers' names are one person's, as far as names can tell.

    The name of whoever came with a token ends with a hash of the subject: the same under every
    issuer. Keys of one name are one caller's. Whoever works at the machine has the name that was
    said (`--by`), whatever they do there.
    """
    one, other = _said(one), _said(other)
    _, colon, subject = one.partition(":")
    _, other_colon, other_subject = other.partition(":")
    return one == other or (bool(colon and other_colon) and subject == other_subject)
