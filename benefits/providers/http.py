"""A provider over HTTP: a dialect, which only translates, and the way out, which only carries.

A dialect is pure: from a call, the time and a nonce it writes bytes, from bytes it reads what they
mean, and it decides nothing else. So it can be tried on any bytes, and a stored callback can be
read again after a fix. What it cannot read is `Unknown`, never a refusal (V-3).
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from benefits.domain.orders import Call, Capabilities, Notice, NotSent, Outcome, Unknown
from benefits.providers.client import Client, Method, Response
from benefits.providers.provider import Acknowledgement, RawCallback


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it leaves: signed, its body's bytes final; `url` is written as it is sent."""

    url: str
    headers: dict[str, str]
    body: bytes = b""
    method: Method = "POST"


class Moment(msgspec.Struct, frozen=True):
    """When a request is written or an answer read; `nonce` is 32 characters `[0-9a-f]`."""

    now: datetime
    nonce: str = ""


class Dialect(Protocol):
    """How one kind of provider speaks."""

    def request(self, call: Call, moment: Moment) -> Outgoing | Outcome:
        """Write a call: the same parameters whenever it is made again under its number.

        Of what this kind of provider cannot be asked, the outcome is said and nothing is sent.
        """

    def read(self, call: Call, response: Response, moment: Moment) -> Outcome:
        """Read the answer to a call; Unknown unless it is certain what it means (V-3)."""

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


class HttpProvider:
    """One provider that is called over HTTP, and calls back."""

    def __init__(
        self,
        dialect: Dialect,
        client: Client,
        clock: Callable[[], datetime],
        capabilities: Capabilities,
    ) -> None:
        self._dialect = dialect
        self._client = client
        self._clock = clock
        self._capabilities = capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do and how patient to be with it."""
        return self._capabilities

    async def call(self, call: Call) -> Outcome:
        """Make one attempt and say what came of it (V-3)."""
        moment = Moment(self._clock(), secrets.token_hex(16))
        outgoing = self._dialect.request(call, moment)
        if not isinstance(outgoing, Outgoing):
            return outgoing
        response = await self._client.send(
            outgoing.url,
            method=outgoing.method,
            headers=outgoing.headers,
            body=outgoing.body,
            deadline_s=self._capabilities.deadline_s,
        )
        if isinstance(response, NotSent | Unknown):
            return response
        return self._dialect.read(call, response, Moment(self._clock(), moment.nonce))

    def receive(self, raw: RawCallback) -> tuple[Notice, ...]:
        """Check and read a callback, or refuse: SignatureRefused, CallbackRefused (V-4).

        A notice for each event that it tells of; of what we did not ask for, none.
        """
        return self._dialect.receive(raw)

    def understand(self, event_id: str, told: bytes) -> Notice | None:
        """Read an event of a callback that was verified, or refuse: CallbackRefused (V-4).

        None is of something that we did not ask for.
        """
        return self._dialect.understand(event_id, told)

    def ack(self) -> Acknowledgement:
        """Return what tells the provider that we have kept its callback (V-4)."""
        return self._dialect.ack()

    def refused(self, status: int, words: str) -> Acknowledgement | None:
        """Return what tells the provider that its callback was refused; None: a problem does."""
        return self._dialect.refused(status, words)
