"""Merchant coupons: what is sent, and that only a signed answer about our order decides."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import (
    Call,
    Capabilities,
    Done,
    Expired,
    IssueRequest,
    NotFound,
    NotSent,
    Operation,
    Outcome,
    Pending,
    Reason,
    Redemption,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.domain.signature import SignatureRefused
from benefits.domain.wechat import CodeMode
from benefits.providers.client import Client, Response
from benefits.providers.http import HttpProvider, Moment, Outgoing
from benefits.providers.provider import Acknowledgement, CallbackRefused, RawCallback
from benefits.providers.wechat_coupons import REASONS
from tests import wechat
from tests.wechat import CODE, NUMBER, OPENID, OWN, REFERENCE, STOCK, answer, call

MOMENT = Moment(wechat.NOW, "0123456789abcdef0123456789abcdef")
AT = datetime(2025, 7, 1, 3, 30, tzinfo=UTC)
TOLD = "2025-07-01T11:30:00+08:00"
USE = Redemption(at=AT)
REDEEM = call(Operation.REDEEM, own=OWN, redemption=USE)
REVERSE = call(Operation.REVERSE, own=OWN, redemption=USE, undoes=NUMBER)
REVOKE = call(Operation.REVOKE, own=OWN)
QUERY = call(Operation.QUERY)
SENT = {"stock_id": STOCK, "coupon_code": CODE, "out_request_no": NUMBER}
COUPON: dict[str, Any] = {
    "stock_id": STOCK,
    "coupon_code": CODE,
    "coupon_state": "SENDED",
    "send_request_no": NUMBER,
    "receive_time": TOLD,
    "expire_time": "2025-08-01T00:00:00+08:00",
    "use_time": TOLD,
}
OTHER = "1227944103"
GIVEN = wechat.CODES.reference(OTHER)


def read(call_: Call, response: Response, **how: Any) -> Outcome:
    """Return what an answer means."""
    return wechat.dialect(**how).read(call_, response, MOMENT)


def written(call_: Call, **how: Any) -> tuple[str, str, Any]:
    """Return the method, the target and the content of a call, whose signature holds."""
    outgoing = wechat.dialect(**how).request(call_, MOMENT)
    assert isinstance(outgoing, Outgoing)
    target = outgoing.url.removeprefix(wechat.BASE)
    signed = (int(MOMENT.now.timestamp()), MOMENT.nonce.upper())
    right = wechat.credentials().authorization(
        "1900000001", (outgoing.method, target), outgoing.body, signed
    )
    assert right == outgoing.headers["authorization"]
    assert wechat.PLATFORM == outgoing.headers["wechatpay-serial"]
    content = msgspec.json.decode(outgoing.body) if outgoing.body else None
    return outgoing.method, target, content


def test_calls_are_written_as_the_api_has_them() -> None:
    """Our number is the code where we make it; each deed has a number of its own."""
    about = {"coupon_code": CODE, "stock_id": STOCK}
    appid = {"appid": wechat.MERCHANT.appid}
    coupons = "/v3/marketing/busifavor/coupons"
    send = {"openid": OPENID, **appid, "stock_id": STOCK, "out_request_no": NUMBER}
    use = {"use_time": TOLD, "use_request_no": OWN, "openid": OPENID}
    mine = f"/v3/marketing/busifavor/users/{OPENID}/coupons/{CODE}/appids/wx233544546545989"
    assert written(call()) == ("POST", f"{coupons}/send", {**send, "coupon_code": CODE})
    assert written(QUERY) == ("GET", mine, None)
    assert written(REDEEM) == ("POST", f"{coupons}/use", {**about, **appid, **use})
    undo = {**about, "return_request_no": OWN}
    assert written(REVERSE) == ("POST", f"{coupons}/return", undo)
    end = {**about, "deactivate_request_no": OWN}
    assert written(REVOKE) == ("POST", f"{coupons}/deactivate", end)
    # Codes of WeChat's: until one is known, a query is the same send again.
    theirs = {"merchant": wechat.THEIRS}
    assert written(call(), **theirs) == ("POST", f"{coupons}/send", send)
    assert written(QUERY, **theirs) == ("POST", f"{coupons}/send", send)
    known = msgspec.structs.replace(QUERY, code="a|b*c")
    target = written(known, **theirs)[1]
    assert mine.replace(CODE, "a%7Cb%2Ac") == target
    ended = written(msgspec.structs.replace(REVOKE, code=OTHER), **theirs)[2]
    assert {**end, "coupon_code": OTHER} == ended


def test_a_stock_may_have_codes_of_another_origin() -> None:
    """What the programme says of a stock goes before what it says of the merchant."""
    merchant = msgspec.structs.replace(wechat.MERCHANT, stocks={STOCK: CodeMode.MERCHANT_UPLOAD})
    assert "coupon_code" not in written(call(), merchant=merchant)[2]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (call(request=IssueRequest(sku=STOCK, quantity=2)), Reason.INVALID),
        (call(request=IssueRequest(sku=STOCK, quantity=1)), Reason.ACCOUNT),
        (
            call(request=IssueRequest(sku=STOCK, quantity=1, recipient={"openid": "a/../b"})),
            Reason.ACCOUNT,
        ),
        (call(Operation.CONFIRM), Reason.CONFIG),
        (call(Operation.QUERY, request=IssueRequest(sku=STOCK, quantity=1)), Unknown),
    ],
)
async def test_what_cannot_be_asked_is_said_and_not_sent(asked: Call, expected: Any) -> None:
    """A send that cannot be is refused for good; of a query without an openid nothing is known."""

    class Dead(Client):
        async def send(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("sent")

    provider = HttpProvider(wechat.dialect(), Dead(), lambda: wechat.NOW, Capabilities())
    outcome = await provider.call(asked)
    if isinstance(expected, Reason):
        assert isinstance(outcome, Rejected)
        assert expected is outcome.reason
    else:
        assert isinstance(outcome, expected)
    later = wechat.dialect(wechat.THEIRS).request(REVOKE, MOMENT)
    assert isinstance(later, NotSent)


@pytest.mark.parametrize(
    ("asked", "content", "expected"),
    [
        (call(), SENT, Done(wechat.NOW, REFERENCE, CODE)),
        (call(), {**SENT, "out_request_no": OWN}, None),
        (call(), {**SENT, "stock_id": "1"}, None),
        (call(), {**SENT, "coupon_code": OTHER}, None),
        (call(), {"stock_id": STOCK}, None),
        (call(), b"not json", None),
        (call(), b"", None),
        (QUERY, COUPON, Done(AT, REFERENCE, CODE)),
        (QUERY, {**COUPON, "coupon_state": "DELETED"}, Done(AT, REFERENCE, CODE)),
        (QUERY, {**COUPON, "coupon_state": "USED"}, Used(AT, REFERENCE)),
        (
            QUERY,
            {**COUPON, "coupon_state": "EXPIRED"},
            Expired(datetime(2025, 7, 31, 16, tzinfo=UTC)),
        ),
        (QUERY, {**COUPON, "coupon_state": "DEACTIVATED"}, Revoked(wechat.NOW)),
        (
            QUERY,
            {**COUPON, "coupon_state": "DEACTIVATED", "deactivate_time": TOLD},
            Revoked(AT),
        ),
        (QUERY, {**COUPON, "coupon_state": "NEW_ONE"}, None),
        (QUERY, {**COUPON, "coupon_state": "USED", "use_time": None}, None),
        (QUERY, {**COUPON, "receive_time": "0001-01-01T00:00:00+08:00"}, None),
        (QUERY, {**COUPON, "receive_time": "2025-07-01T11:30:00"}, None),
        (QUERY, {**COUPON, "send_request_no": OWN}, None),
        (QUERY, {**COUPON, "coupon_code": OTHER}, None),
        (
            REDEEM,
            {"stock_id": STOCK, "openid": OPENID, "wechatpay_use_time": TOLD},
            Used(AT, REFERENCE),
        ),
        (REDEEM, {"stock_id": STOCK, "openid": "other", "wechatpay_use_time": TOLD}, None),
        (REVERSE, {"wechatpay_return_time": TOLD}, Pending()),
        (REVERSE, {"wechatpay_return_time": "soon"}, None),
        (REVOKE, {"wechatpay_deactivate_time": TOLD}, Pending()),
        (REVOKE, {"wechatpay_deactivate_time": "soon"}, None),
    ],
)
def test_a_signed_success_is_believed_when_it_is_about_our_order(
    asked: Call, content: Any, expected: Outcome | None
) -> None:
    """Each state has its meaning; what is about another, undated or unlisted is unknown."""
    outcome = read(asked, answer(content))
    if expected is None:
        assert isinstance(outcome, Unknown)
    else:
        assert expected == outcome
    false = answer(content, by="nobody")
    assert isinstance(read(asked, false), Unknown)
    bare = Response(200, {}, false.body)
    assert isinstance(read(asked, bare), Unknown)


USED = {**COUPON, "coupon_state": "USED"}


@pytest.mark.parametrize(
    ("undoes", "content", "expected"),
    [
        ("", {**USED, "use_request_no": OWN}, Used(AT, REFERENCE)),
        ("", {**USED, "use_request_no": "another"}, None),
        ("", COUPON, Done(AT, REFERENCE, CODE)),
        ("", {**COUPON, "coupon_state": "DELETED"}, NotFound()),
        ("", {**COUPON, "coupon_state": "DELETED", "use_request_no": OWN}, None),
        ("", {**COUPON, "coupon_state": "DEACTIVATED"}, Revoked(wechat.NOW)),
        (NUMBER, {**USED, "use_request_no": NUMBER}, Used(AT, REFERENCE)),
        (NUMBER, {**USED, "use_request_no": "another"}, None),
        (NUMBER, COUPON, Reversed(wechat.NOW)),
        (NUMBER, {**COUPON, "coupon_state": "EXPIRED"}, Reversed(wechat.NOW)),
        (NUMBER, {**COUPON, "coupon_state": "DELETED"}, None),
        (NUMBER, {**COUPON, "coupon_state": "NEW_ONE"}, None),
    ],
)
def test_a_query_about_a_use_tells_of_that_use(
    undoes: str, content: Any, expected: Outcome | None
) -> None:
    """By its number: done, undone, not done, or done by another, which a person looks into."""
    asked = call(Operation.QUERY, own=OWN, redemption=USE, undoes=undoes)
    outcome = read(asked, answer(content))
    assert expected == outcome if expected else isinstance(outcome, Unknown)


UNDECIDED = [
    (500, "SYSTEM_ERROR"),
    (400, "SYSTEM_ERROR"),
    (429, "FREQUENCY_LIMITED"),
    (400, "RESOURCE_ALREADY_EXISTS"),
    (400, "INVALID_REQUEST"),
    (400, "SOMETHING_NEW"),
    (404, "RESOURCE_NOT_EXISTS"),
    (502, "PARAM_ERROR"),
    (200, "PARAM_ERROR"),
    (302, "PARAM_ERROR"),
]


@pytest.mark.parametrize(("status", "code"), UNDECIDED)
def test_what_may_have_been_done_is_unknown(status: int, code: str) -> None:
    """The coupon may have been given: by this try, by one before, or by one under way."""
    outcome = read(call(), answer({"code": code, "message": "对应单号已超出重试期"}, status))
    assert isinstance(outcome, Unknown)
    assert status == 200 or outcome.evidence == f"HTTP {status} {code}"


@pytest.mark.parametrize(("code", "reason"), REASONS.items())
def test_a_signed_refusal_of_the_table_is_final(code: str, reason: Reason) -> None:
    """By its code, of a send as of a use; unsigned it is none, and neither of a query."""
    told = answer({"code": code, "message": "m"}, 403)
    ours = reason in {Reason.AUTH, Reason.CONFIG}
    for asked in (call(), REDEEM, REVERSE, REVOKE):
        assert Rejected(reason, code, keeps_nothing=ours) == read(asked, told)
    assert isinstance(read(QUERY, told), Unknown)
    unsigned = Response(403, {}, told.body)
    assert Unknown(f"HTTP 403 {code}, a signature header is missing") == read(call(), unsigned)


def test_a_send_that_was_made_again_to_ask_refuses_nothing() -> None:
    """Before its code is known, "no" means not given so far; what is our fault means nothing."""
    theirs = {"merchant": wechat.THEIRS}
    for code in ("RULE_LIMIT", "PARAM_ERROR"):
        assert NotFound() == read(QUERY, answer({"code": code}, 400), **theirs)
    for code in ("NO_AUTH", "MCH_NOT_EXISTS", "SYSTEM_ERROR"):
        assert isinstance(read(QUERY, answer({"code": code}, 403), **theirs), Unknown)
    sent = {**SENT, "coupon_code": OTHER}
    assert Done(wechat.NOW, GIVEN, OTHER) == read(QUERY, answer(sent), **theirs)
    assert Done(wechat.NOW, GIVEN, OTHER) == read(call(), answer(sent), **theirs)
    assert NotFound() == read(QUERY, answer({"code": "RESOURCE_NOT_EXISTS"}, 404))


def test_a_callback_tells_of_a_coupon() -> None:
    """By our number where we make the codes, else by its code; WeChat hears 200, nothing more."""
    at = datetime(2025, 7, 1, 3, 59, 58, tzinfo=UTC)
    (notice,) = wechat.dialect().receive(wechat.callback(wechat.given()))
    assert notice is not None
    assert (NUMBER, "", Done(at, REFERENCE, CODE)) == (
        notice.number,
        notice.reference,
        notice.outcome,
    )
    assert "3baf1a5c-6f2e-5d0a-8f0e-1b2f5b3f9f10" == notice.event_id
    rotated = wechat.callback(wechat.given(), under=wechat.OTHER_KEY)
    both = (wechat.APIV3_KEY, wechat.OTHER_KEY)
    assert (notice,) == wechat.dialect(apiv3_keys=both).receive(rotated)
    taken = wechat.callback(wechat.given(send_channel="BUSICOUPON_SEND_CHANNEL_MINIAPP"))
    assert wechat.dialect().receive(taken) == ()  # by the user, elsewhere: not asked for by us
    assert Acknowledgement(b"") == wechat.dialect().ack()
    refused = wechat.dialect().refused(401, "no")
    assert (401, b'{"code":"FAIL","message":"no"}') == (refused.status, refused.body)


@pytest.mark.parametrize(
    "raw",
    [
        wechat.callback(b"no json"),
        wechat.callback({"event_type": "EVENT_TYPE_BUSICOUPON_SEND"}),
        wechat.callback(wechat.given(coupon_code="x" * 33)),
        wechat.callback(wechat.given(send_time="1999-01-01T00:00:00+08:00")),
        wechat.callback(wechat.given(), under=wechat.OTHER_KEY),
        wechat.callback(wechat.given(), event_type="COUPON.USE"),
        wechat.callback(wechat.given(), id="a\x00b"),
        wechat.callback(wechat.given(), id="a" * 65),
        wechat.callback(wechat.given(), resource_type="plain"),
        wechat.callback(
            wechat.given(), resource={"algorithm": "NONE", "ciphertext": "", "nonce": ""}
        ),
    ],
)
def test_a_true_callback_that_is_none_of_ours_is_refused(raw: RawCallback) -> None:
    """Another event, another key, another form: it decides nothing."""
    with pytest.raises(CallbackRefused):
        wechat.dialect().receive(raw)


headers = st.dictionaries(
    st.sampled_from([*wechat.signed(b""), "content-type"]), st.text(max_size=40), max_size=5
)
calls = st.sampled_from([call(), QUERY, REDEEM, REVERSE, REVOKE])


@given(calls, st.integers(100, 599), headers, wechat.BODIES)
def test_nothing_unsigned_decides(
    asked: Call, status: int, told: dict[str, str], body: bytes
) -> None:
    """Whatever the bytes and headers: an answer is unknown, a callback is refused."""
    outcome = read(asked, Response(status, {**wechat.signed(b""), **told}, body or b"{}"))
    assert isinstance(outcome, Unknown)
    raw = RawCallback(
        headers={**wechat.signed(b""), **told}, body=body or b"{}", received_at=wechat.NOW
    )
    with pytest.raises((SignatureRefused, CallbackRefused)):
        wechat.dialect().receive(raw)


@given(calls, st.integers(100, 599), wechat.BODIES)
def test_nothing_signed_raises_anything_else(asked: Call, status: int, body: bytes) -> None:
    """Whatever WeChat signs is read, and what is no message of the API decides nothing."""
    assert isinstance(read(asked, answer(body, status)), Unknown)
    with pytest.raises(CallbackRefused):
        wechat.dialect().receive(wechat.callback(body))
    raw = RawCallback(headers=wechat.signed(body), body=body, received_at=wechat.NOW)
    with pytest.raises(CallbackRefused):
        wechat.dialect().receive(raw)
