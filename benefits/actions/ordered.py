"""Claims that commands are about: the terms they were made under, and what was asked of providers.

Of a group they are read together, and each command leaves them as the next is to find them.
"""

from collections.abc import Collection
from uuid import UUID

import msgspec

from benefits.actions.parts import Parts
from benefits.actions.pricing import Offer
from benefits.domain.orders import Operation
from benefits.domain.programme import Provider
from benefits.store import claims, orders
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection
from benefits.store.orders import RequestRow

_OF_USE = frozenset({Operation.REDEEM, Operation.REVERSE})


class Ordered(msgspec.Struct):
    """A claim, its programme and benefit as they were when it was made, its order's requests."""

    claim: ClaimRow
    offer: Offer
    asked: list[RequestRow]

    @property
    def provider(self) -> Provider:
        """Its provider, as agreed then."""
        programme, benefit = self.offer
        return programme.providers[benefit.provider]

    @property
    def issued(self) -> RequestRow:
        """The request of the order itself."""
        (issued,) = (each for each in self.asked if each.operation is Operation.ISSUE)
        return issued

    @property
    def use_is_open(self) -> bool:
        """Whether something is still being asked about its use."""
        return any(r.operation in _OF_USE and not r.verdict for r in self.asked)

    @property
    def is_revoking(self) -> bool:
        """Whether its provider is still being asked to take it back."""
        return any(r.operation is Operation.REVOKE and r.next_at for r in self.asked)


async def load(conn: Connection, ids: Collection[UUID], parts: Parts) -> dict[UUID, Ordered]:
    """Return claims whose members are locked, by id."""
    if not ids:
        return {}
    found = await claims.by_id(conn, ids)
    asked = await orders.of_claims(conn, [(c.member_id, c.claim_id) for c in found.values()])
    return {
        id_: Ordered(claim, await parts.catalogue.made_under(conn, claim), asked[id_])
        for id_, claim in found.items()
    }
