"""What every provider offers the engine: one call out, one callback in, one acknowledgement."""

from datetime import datetime
from typing import Literal, Protocol

import msgspec

from benefits.domain.orders import Call, Capabilities, Notice, Outcome
from benefits.domain.refusal import Refusal


class RawCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback as it arrived: header names lower-case, the body and the query untouched."""

    headers: dict[str, str]
    body: bytes
    received_at: datetime
    method: Literal["GET", "POST"] = "POST"
    query: bytes = b""

    @property
    def told(self) -> bytes:
        """What it says and is kept: its body, or the query of one that came by GET."""
        return self.query if self.method == "GET" else self.body


class Acknowledgement(msgspec.Struct, frozen=True):
    """What tells a provider that its callback is kept: the literal it wants to see (V-4)."""

    body: bytes
    status: int = 200
    media_type: str = "text/plain"


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
        """Make one attempt and say what came of it; what the wire does is never raised (V-3)."""

    def receive(self, raw: RawCallback) -> tuple[Notice, ...]:
        """Check and read a callback, or refuse: SignatureRefused, CallbackRefused (V-4).

        A notice for each event that it tells of; of what we did not ask for, none.
        """

    def understand(self, event_id: str, told: bytes) -> Notice | None:
        """Read an event of a callback that was verified, or refuse: CallbackRefused (V-4).

        None is of something that we did not ask for.
        """

    def ack(self) -> Acknowledgement:
        """Return what tells the provider that we have kept its callback (V-4)."""

    def refused(self, status: int, words: str) -> Acknowledgement | None:
        """Return what tells the provider that its callback was refused; None: a problem does."""
