"""What every action works with, put together once by `app`: clock, ids, keys, catalogue."""

import msgspec

from benefits.domain.values import Clock, NewId
from benefits.store.catalogue import Cache
from benefits.store.envelope import Envelope


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The clock is read once per transaction, after the members' locks."""

    clock: Clock
    new_id: NewId
    envelope: Envelope
    catalogue: Cache
    member_key: bytes
