"""Record what members agree to and withdraw: by request, on the page, by file (E-4, X-4).

Nothing is taken out: a withdrawal is a later row, and a claim that was placed before it goes on.
To give a consent it must be one that a benefit asks for; to withdraw it, it need not be any more.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.keyed import Accepted, Decided, once
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Catalogue
from benefits.domain.consent_lines import ConsentLine
from benefits.domain.consents import ConsentUnknown
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import bucket_of, local_date, member_id
from benefits.store import assets, consents, members, merged
from benefits.store.assets import ChunkResult
from benefits.store.consents import Said
from benefits.store.db import Connection
from benefits.store.requests import RequestKey

OPERATION = "consent"


class SayConsent(msgspec.Struct, frozen=True, kw_only=True):
    """A member's word on a purpose for a provider, under the caller's key."""

    caller: str
    key: str
    member_id: UUID
    purpose: str
    provider: str
    is_given: bool

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: in the member's bucket, under the member's lock."""
        sender = f"{self.caller}/{self.member_id.hex}"
        return RequestKey(bucket_of(self.member_id), sender, OPERATION, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is said."""
        return body_hash([self.purpose, self.provider, self.is_given])


async def say_consent(conn: Connection, command: SayConsent, parts: Parts) -> Decided | Refusal:
    """Record what a member says, today (UnknownMember, ConsentUnknown).

    Whoever was merged says it for the member they were merged into.
    """
    locked, moved = await members.lock_current(conn, [command.member_id], wait=True)
    current = moved.get(command.member_id, command.member_id)
    if current not in locked:
        return UnknownMember()

    async def work() -> Accepted | Refusal:
        catalogue, now = await parts.catalogue.current(conn), parts.clock()
        pair = (command.purpose, command.provider)
        if command.is_given and pair not in _asked(catalogue):
            return ConsentUnknown()
        on = local_date(now, catalogue.zone)
        said = Said(current, *pair, on, command.is_given)
        await consents.put(conn, [said], now, actor=command.caller)
        return Accepted({"said_on": str(on)})

    return await once(conn, command.request_key, command.body, parts, work=work)


def _asked(catalogue: Catalogue) -> set[tuple[str, str]]:
    """Return the purposes and providers of the consents that benefits need."""
    offered = (benefit for _, benefit in catalogue.offers.values())
    return {(benefit.consent, benefit.provider) for benefit in offered if benefit.consent}


async def record_consents(
    conn: Connection,
    lines: Sequence[tuple[int, ConsentLine]],
    parts: Parts,
    *,
    member_key: bytes,
    actor: str,
) -> ChunkResult:
    """Keep numbered lines, once; the result names those that were refused and why.

    Of two lines about one member, purpose, provider and day the later one counts. One about a
    customer who was merged is about the member they were merged into.
    """
    await assets.alone(conn)  # nobody is merged meanwhile
    given = {line.customer: member_id(line.customer, member_key) for _, line in lines}
    moved = await merged.current(conn, given.values())
    ids = {customer: moved.get(id_, id_) for customer, id_ in given.items()}
    known = await members.lock(conn, ids.values(), wait=True)
    asked = _asked(await parts.catalogue.current(conn))
    refused, latest = list[tuple[int, str]](), dict[tuple[object, ...], Said]()
    for number, line in lines:
        id_, pair = ids[line.customer], (line.purpose, line.provider)
        if id_ not in known:
            refused.append((number, "customer: not a member"))
        elif line.is_given and pair not in asked:
            refused.append((number, "purpose: no benefit asks for it for this provider"))
        else:
            latest[id_, *pair, line.said_on] = Said(id_, *pair, line.said_on, line.is_given)
    new = await consents.put(conn, list(latest.values()), parts.clock(), actor=actor)
    return ChunkResult(new, len(lines) - len(refused) - new, refused)
