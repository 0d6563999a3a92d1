"""What the two kinds of WeChat Pay's coupons share: how a dialect of theirs asks, reads, believes.

A coupon is sent under our number and found by its code. Where we name the code it is made of the
number, so that an order can be asked for from the first moment on; elsewhere it comes with the
answer, and until it is known a query is the same send again, which answers the same. Invariants:
an outcome other than Unknown, NotSent or Pending is read only from an answer that WeChat signed,
that is fresh and names our order (V-3); the table of refusals is closed; what WeChat cannot be
asked is refused before anything leaves; a code goes to the engine as a code alone, never as the
number or the reference of its order.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from benefits.domain.orders import (
    Call,
    NotFound,
    Notice,
    NotSent,
    Operation,
    Outcome,
    Reason,
    Rejected,
    Unknown,
)
from benefits.domain.signature import SignatureRefused
from benefits.domain.wechat import Wechat
from benefits.providers import wechat_pay
from benefits.providers.client import Response
from benefits.providers.http import Moment, Outgoing
from benefits.providers.provider import Acknowledgement, CallbackRefused, RawCallback
from benefits.providers.wechat_pay import UNREADABLE, Credentials

BEIJING = timezone(timedelta(hours=8))

# What certainly was not done, when a signed answer with a status from 400 says so. Absent on
# purpose: SYSTEM_ERROR, FREQUENCY_LIMITED, RESOURCE_ALREADY_EXISTS and INVALID_REQUEST, which is
# also said of a number that is past the time for tries: in each the coupon may have been given.
REASONS = {
    "PARAM_ERROR": Reason.INVALID,
    "RULE_LIMIT": Reason.LIMIT,
    "APPID_MCHID_NOT_MATCH": Reason.CONFIG,
    "MCH_NOT_EXISTS": Reason.CONFIG,
    "SIGN_ERROR": Reason.AUTH,
    "NO_AUTH": Reason.AUTH,
}
NOT_THERE = "RESOURCE_NOT_EXISTS"
ELSEWHERE = "the answer is about another coupon"

OPENID = re.compile(r"\A[0-9A-Za-z_-]{1,128}\Z")
_EVENT = re.compile(r"\A[0-9A-Za-z_-]{1,64}\Z")
_ERROR = re.compile(r"\A[A-Z][A-Z_]{1,63}\Z")
_NUMBER = re.compile(r"\A[0-9a-f]{32}\Z")


class CouponCodes:
    """The codes that we name, and what stands for a code where it is not to be shown.

    A code is its order's number, enciphered: whoever sees the number does not know the code. The
    `key` must stay the same for ever.
    """

    def __init__(self, key: bytes) -> None:
        def derived(person: bytes, size: int) -> bytes:
            return hashlib.blake2b(key=key, person=person, digest_size=size).digest()

        block = AES(derived(b"benefits.coupon", 32))
        self._cipher = Cipher(block, ECB())  # noqa: S305 - one block, which never occurs twice
        self._key = derived(b"benefits.handle", 32)

    def of(self, number: str) -> str:
        """Return the code of the order with a number: 32 characters `[0-9a-f]`."""
        return self._cipher.encryptor().update(bytes.fromhex(number)).hex()

    def number(self, code: str) -> str:
        """Return the number that a code is made of; empty when it is none of ours."""
        if not _NUMBER.match(code):
            return ""
        return self._cipher.decryptor().update(bytes.fromhex(code)).hex()

    def reference(self, code: str) -> str:
        """Return what stands for a code, the same for the same."""
        return hashlib.blake2b(code.encode(), key=self._key, digest_size=16).hexdigest()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What WeChat says when it does not do as asked."""

    code: str


class CouponDialect(ABC):
    """Coupons at `base_url`, given as the merchant that `merchant` names."""

    EVENT: ClassVar[str]  # of the callback about a coupon that was given

    def __init__(
        self, *, base_url: str, merchant: Wechat, credentials: Credentials, codes: CouponCodes
    ) -> None:
        parts = urlsplit(base_url.rstrip("/"))
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path
        self._credentials = credentials
        self.merchant = merchant
        self.codes = codes

    @abstractmethod
    def written(self, call: Call) -> tuple[str, bytes]:
        """Return where a call goes and its body: always the same for the same call."""

    @abstractmethod
    def done(self, call: Call, body: bytes, at: datetime) -> Outcome:
        """Read a signed success of `at`; ValidationError when it is not of the API."""

    @abstractmethod
    def given(self, event_id: str, content: bytes) -> Notice | None:
        """Read what a callback holds (CallbackRefused); ValidationError when it is none."""

    def request(self, call: Call, moment: Moment) -> Outgoing | Outcome:
        """Write a call, or say at once what comes of one that WeChat cannot be asked."""
        return self.impossible(call) or self._outgoing(*self.written(call), moment)

    def read(self, call: Call, response: Response, moment: Moment) -> Outcome:
        """Read the answer to a call; Unknown unless it is certain what it means (V-3)."""
        now_unix = int(moment.now.timestamp())
        try:
            at_unix = self._credentials.verify(response.headers, response.body, now_unix=now_unix)
        except SignatureRefused as refusal:
            return Unknown(f"HTTP {response.status}{_hint(response.body)}, {refusal.detail}")
        try:
            if response.status != 200:
                return self._refused(call, response)
            return self.done(call, response.body, datetime.fromtimestamp(at_unix, UTC))
        except UNREADABLE:
            return Unknown(f"HTTP {response.status}, not an answer of the API")

    def receive(self, raw: RawCallback) -> tuple[Notice, ...]:
        """Check and read a callback, or refuse: SignatureRefused, CallbackRefused (V-4).

        Of a coupon that another channel gave it says nothing.
        """
        received = int(raw.received_at.timestamp())
        self._credentials.verify(raw.headers, raw.body, now_unix=received)
        notice = self.understand(wechat_pay.envelope(raw.body).id, raw.body)
        return () if notice is None else (notice,)

    def understand(self, event_id: str, told: bytes) -> Notice | None:
        """Read a callback that was verified when it came, or refuse: CallbackRefused (V-4)."""
        outside = wechat_pay.envelope(told)
        if outside.event_type != self.EVENT or not _EVENT.match(event_id):
            raise CallbackRefused
        try:
            return self.given(event_id, self._credentials.open(outside.resource))
        except UNREADABLE:
            raise CallbackRefused from None

    def ack(self) -> Acknowledgement:
        """Return what tells WeChat that we have kept its callback (V-4)."""
        return Acknowledgement(b"")

    def refused(self, status: int, words: str) -> Acknowledgement:
        """Return what tells WeChat that its callback was refused, and why."""
        body = msgspec.json.encode({"code": "FAIL", "message": words})
        return Acknowledgement(body, status, "application/json")

    def impossible(self, call: Call) -> Outcome | None:
        """Return what comes of a call that is not made; what is refused here was never sent."""
        known = OPENID.match(call.request.recipient.get("openid", ""))
        match call.operation:
            case Operation.ISSUE if call.request.quantity != 1:
                return Rejected(Reason.INVALID, "one coupon is sent at a time")
            case Operation.ISSUE if not known:
                return Rejected(Reason.ACCOUNT, "this is no openid")
            case Operation.QUERY if not known:
                return Unknown("without an openid nothing can be asked")
            case Operation.ISSUE:
                return None
            case _ if self.resends(call) or self.code(call):
                return None
            case _:
                return NotSent("the coupon's code is not known yet")

    def code(self, call: Call) -> str:
        """Return the code of an order's coupon; empty while it is not known."""
        return call.code or self.named(call) or ""

    def named(self, call: Call) -> str | None:
        """Return the code that we name in a send; None where WeChat does."""
        ours = self.merchant.makes_codes(call.request.sku)
        return self.codes.of(call.number) if ours else None

    def resends(self, call: Call) -> bool:
        """Say whether a query is the same send again: nothing else can be asked yet."""
        asks = call.operation is Operation.QUERY and call.redemption is None
        return asks and not self.code(call)

    def _outgoing(self, path: str, body: bytes, moment: Moment) -> Outgoing:
        """Sign what leaves; what has no body is got."""
        target, method = self._path + path, "POST" if body else "GET"
        signed = (int(moment.now.timestamp()), moment.nonce.upper())
        headers = {
            "accept": "application/json",
            "authorization": self._credentials.authorization(
                self.merchant.mchid, (method, target), body, signed
            ),
            "wechatpay-serial": self._credentials.preferred,
        }
        if not body:
            return Outgoing(url=self._origin + target, headers=headers, method="GET")
        headers["content-type"] = "application/json"
        return Outgoing(url=self._origin + target, headers=headers, body=body)

    def _refused(self, call: Call, response: Response) -> Outcome:
        """Read a signed answer that is no success; ValidationError when it is not of the API."""
        code = msgspec.json.decode(response.body, type=Problem).code
        told = f"HTTP {response.status}{_hint(response.body)}"
        queried = call.operation is Operation.QUERY
        if response.status == 404 and code == NOT_THERE and queried and not self.resends(call):
            return NotFound()
        reason = REASONS.get(code)
        if reason is None or not 400 <= response.status <= 499:
            return Unknown(told)
        if not queried:
            # Nothing is kept of a send that was not ours to make: its number can be sent again.
            return Rejected(reason, code, keeps_nothing=reason in {Reason.AUTH, Reason.CONFIG})
        # Of a send that was made again: what is refused now was not given before.
        gone = self.resends(call) and reason not in {Reason.AUTH, Reason.CONFIG}
        return NotFound() if gone else Unknown(told)


def rfc3339(at: datetime) -> str:
    """Write an instant as WeChat's examples do: in Beijing's time, to the second."""
    return at.astimezone(BEIJING).isoformat(timespec="seconds")


def credible(at: datetime | None) -> datetime | None:
    """Return an instant in UTC; None unless it has a zone and lies in our times."""
    if at is None or at.tzinfo is None or not 2000 <= at.year < 2200:
        return None
    return at.astimezone(UTC)


def dated(outcome: Outcome | None) -> Outcome:
    """Return an outcome; unknown is one whose instant was not credible."""
    return Unknown("without a credible instant") if outcome is None else outcome


def _hint(body: bytes) -> str:
    """Return the code of an answer for whoever looks into it; empty unless it looks like one."""
    try:
        code = msgspec.json.decode(body, type=Problem).code
    except UNREADABLE:
        return ""
    return f" {code}" if _ERROR.match(code) else ""
