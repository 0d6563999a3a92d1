"""The wire between us and providers, without sockets: what left, and what is heard of it."""

import asyncio
import enum
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

import msgspec

from benefits.domain.orders import NotSent, Unknown
from benefits.domain.values import Clock
from benefits.providers.client import Client, Method, Response

NOBODY = Response(502, {}, b"<html>nobody there</html>")


class Fate(enum.Enum):
    """What becomes of a request and of its answer."""

    GOOD = enum.auto()
    ANSWER_LOST = enum.auto()
    LOST = enum.auto()
    NOT_SENT = enum.auto()
    LATE = enum.auto()  # it arrives after its caller gave up, within the grace
    VERY_LATE = enum.auto()  # after the grace
    TWICE = enum.auto()
    TORN = enum.auto()
    NO_GATEWAY = enum.auto()
    BAD_GATEWAY = enum.auto()  # it arrived, and what stands between says that it did not
    DISTORTED = enum.auto()  # our signature does not hold any more


class Message:
    """A request that left us at an instant; whoever sent it hears of it by `heard`."""

    def __init__(
        self, url: str, method: Method, headers: Mapping[str, str], body: bytes, *, at: datetime
    ) -> None:
        """Hold what leaves."""
        self.url, self.method, self.headers, self.body = url, method, headers, body
        self.left_at = at
        self.heard = asyncio.get_running_loop().create_future()
        self.is_very_late = False

    @property
    def provider(self) -> str:
        """The provider it goes to."""
        return (urlsplit(self.url).hostname or "").partition(".")[0]

    @property
    def number(self) -> str:
        """The number of a request to issue; of any other empty."""
        if not self.url.endswith(("/orders", "/send", "/coupons")):
            return ""
        said = msgspec.json.decode(self.body)
        names = ("number", "out_request_no", "send_request_no")
        return next(str(said[name]) for name in names if name in said)

    def hear(self, answer: Response | NotSent | Unknown) -> None:
        """Let the sender hear, if it still listens."""
        if not self.heard.done():
            self.heard.set_result(answer)


class Wire(Client):
    """Carries what workers send; what becomes of it the test says."""

    def __init__(self, clock: Clock) -> None:
        """Carry nothing yet."""
        super().__init__()
        self._clock = clock
        self.flying: list[Message] = []

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        deadline_s: float,
        method: Method = "POST",
    ) -> Response | NotSent | Unknown:
        """Let a request leave, and wait for whatever is heard of it."""
        message = Message(url, method, headers, body, at=self._clock())
        self.flying.append(message)
        heard: Response | NotSent | Unknown = await message.heard
        return heard


def torn(answer: Response | Unknown) -> Response | Unknown:
    """Return an answer of which a byte is another."""
    if isinstance(answer, Unknown) or not answer.body:
        return answer
    middle = len(answer.body) // 2
    body = answer.body[:middle] + b"#" + answer.body[middle + 1 :]
    return msgspec.structs.replace(answer, body=body)


SIGNATURES = ("webhook-signature", "authorization")


def distorted(message: Message) -> Mapping[str, str]:
    """Return a message's headers with a signature that does not hold."""
    return {
        name: value[:60] + "AAAA" + value[64:] if name.lower() in SIGNATURES else value
        for name, value in message.headers.items()
    }
