"""Dialects whose callbacks are another kind of message: a query, a form with several events.

They stand for those that no installation speaks yet: a points mall that tells results by GET, and
a gateway that tells events by a form. Each signs in its way and wants its own literal.
"""

import hashlib
from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

import msgspec

from benefits.domain.orders import Call, Done, Notice, Outcome, Reason, Rejected, Unknown
from benefits.domain.signature import Fault, SignatureRefused
from benefits.providers.client import Response
from benefits.providers.http import Dialect, Moment, Outgoing
from benefits.providers.provider import Acknowledgement, CallbackRefused, RawCallback

SECRET = "testappsecret"  # the vendor's, in its published examples


def sign(fields: dict[str, str]) -> str:
    """Return the MD5 of all values in the order of their names, the secret's among them."""
    every = {**fields, "appSecret": SECRET}
    content = "".join(every[name] for name in sorted(every))
    return hashlib.md5(content.encode()).hexdigest()


def written(fields: dict[str, str]) -> bytes:
    """Return signed fields as a query, or a form's body."""
    return urlencode({**fields, "sign": sign(fields)}).encode()


def _fields(told: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(told.decode("ascii"), keep_blank_values=True, strict_parsing=True))
    except ValueError:
        raise CallbackRefused from None


class _Signed(Dialect):
    """What both have in common: everything but how they tell events."""

    METHOD: Literal["GET", "POST"]
    LITERAL: bytes

    def request(self, call: Call, moment: Moment) -> Outgoing | Outcome:
        """Never called here."""
        raise AssertionError(call)

    def read(self, call: Call, response: Response, moment: Moment) -> Outcome:
        """Never called here."""
        raise AssertionError(call)

    def receive(self, raw: RawCallback) -> tuple[Notice, ...]:
        """Check the signature, and read each event."""
        if raw.method != self.METHOD:
            raise CallbackRefused
        fields = _fields(raw.told)
        if fields.pop("sign", "") != sign(fields):
            raise SignatureRefused(Fault.NO_MATCH)
        return tuple(self.events(raw.told).values())

    def understand(self, event_id: str, told: bytes) -> Notice | None:
        """Read one event again."""
        return self.events(told).get(event_id)

    def events(self, told: bytes) -> dict[str, Notice]:
        """Read all events, by their ids."""
        raise NotImplementedError

    def ack(self) -> Acknowledgement:
        """Return the literal."""
        return Acknowledgement(self.LITERAL)

    def refused(self, status: int, words: str) -> Acknowledgement | None:
        """Return what stands in for the literal."""
        return Acknowledgement(b"fail", status)


class ByQuery(_Signed):
    """One result a call, in the query; the same result is the same event, however often."""

    METHOD = "GET"
    LITERAL = b"ok"

    def __init__(self, no: str = "false") -> None:
        self._no = no

    def events(self, told: bytes) -> dict[str, Notice]:
        """Read the one result."""
        fields = _fields(told)
        id_ = f"{fields['orderNum']}:{fields['success']}"
        outcome: Outcome = Unknown(fields["success"])
        if fields["success"] == "true":
            outcome = Done(datetime.fromisoformat(fields["time"]), fields["bizId"])
        elif fields["success"] == self._no:
            outcome = Rejected(Reason.NOT_ELIGIBLE, self._no)
        return {id_: Notice(event_id=id_, number=fields["orderNum"], outcome=outcome)}


class ByForm(_Signed):
    """Several events a call, as JSON in one field of a form."""

    METHOD = "POST"
    LITERAL = b"success"

    def events(self, told: bytes) -> dict[str, Notice]:
        """Read each event."""
        events: list[dict[str, Any]] = msgspec.json.decode(_fields(told)["biz_content"])
        return {
            one["id"]: Notice(
                event_id=one["id"],
                number=one["out_biz_no"],
                outcome=Done(datetime.fromisoformat(one["event_time"]), one["voucher_id"]),
            )
            for one in events
        }
