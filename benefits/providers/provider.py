"""What every dialect offers the engine: one call out, one callback in, one acknowledgement.

A dialect translates and decides nothing else: `call` never raises for what the wire does, it
answers an outcome; what it cannot read is `Unknown`, never a refusal (V-3). `receive` is pure, so
that a stored callback can be read again after a fix.
"""

from datetime import datetime
from typing import Protocol

import msgspec

from benefits.domain.orders import Call, Capabilities, Notice, Outcome
from benefits.domain.refusal import Refusal


class RawCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback as it arrived: header names lower-case, the body untouched."""

    headers: dict[str, str]
    body: bytes
    received_at: datetime


class CallbackRefused(Refusal):
    """The callback is truly from the provider, but it is not a message of the dialect."""

    code = "callback_refused"
    words = "The callback is not one of this provider's messages."


class Provider(Protocol):
    """A benefit provider, spoken to in its own dialect."""

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do and how patient to be with it."""

    async def call(self, call: Call) -> Outcome:
        """Make one attempt and say what came of it (V-3)."""

    def receive(self, raw: RawCallback) -> Notice:
        """Check and read a callback, or refuse: SignatureRefused, CallbackRefused (V-4)."""

    def ack(self) -> bytes:
        """Return the literal body that tells the provider we have kept its callback (V-4)."""
