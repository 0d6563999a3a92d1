"""Product coupons: two phases, and each answer is the whole coupon, believed when it is ours."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import (
    Call,
    Confirmed,
    Done,
    Expired,
    IssueRequest,
    NotFound,
    Notice,
    NotSent,
    Operation,
    Outcome,
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
from benefits.providers.client import Response
from benefits.providers.http import Moment, Outgoing
from benefits.providers.provider import CallbackRefused, RawCallback
from benefits.providers.wechat_coupons import CouponCodes
from tests import wechat
from tests.wechat import CODE, NUMBER, OPENID, OWN, REFERENCE, answer

MOMENT = Moment(wechat.NOW, "0123456789abcdef0123456789abcdef")
AT = datetime(2025, 7, 1, 3, 30, tzinfo=UTC)
TOLD = "2025-07-01T11:30:00+08:00"
LATER, LATER_TOLD = datetime(2025, 7, 1, 3, 45, tzinfo=UTC), "2025-07-01T11:45+08:00"
USE = Redemption(at=AT, payment="4200000000123456789123456789")
THEIRS = msgspec.structs.replace(wechat.BRANDED, code_mode=CodeMode.WECHATPAY_MODE)
OTHER = "Code_123456"


def call(operation: Operation = Operation.ISSUE, **other: Any) -> Call:
    """Return a call about the number."""
    asked = wechat.ordered(wechat.PRODUCT)
    return wechat.call(operation, **{"request": asked, **other})


QUERY, CONFIRM = call(Operation.QUERY), call(Operation.CONFIRM, own=OWN)
REDEEM = call(Operation.REDEEM, own=OWN, redemption=USE)
REVERSE = call(Operation.REVERSE, own=OWN, redemption=USE, undoes=NUMBER)
REVOKE = call(Operation.REVOKE, own=OWN)
COUPON: dict[str, Any] = {
    "brand_id": "120344",
    "product_coupon": {"product_coupon_id": "1000000013", "state": "EFFECTIVE"},
    "stock": {"product_coupon_id": "1000000013", "stock_id": "1000000013001"},
    "coupon_code": CODE,
    "coupon_state": "CONFIRMING",
    "send_request_no": NUMBER,
    "send_channel": "API",
    "receive_time": TOLD,
    "valid_begin_time": TOLD,
    "valid_end_time": "2025-08-01T00:00:00+08:00",
}
STANDS = {**COUPON, "coupon_state": "EFFECTIVE", "confirm_time": LATER_TOLD}
USED = {**STANDS, "coupon_state": "USED"}
USAGE = {"use_request_no": OWN, "use_time": TOLD}


def read(asked: Call, response: Response, **how: Any) -> Outcome:
    """Return what an answer means."""
    return wechat.products(**how).read(asked, response, MOMENT)


def written(asked: Call, **how: Any) -> tuple[str, str, Any]:
    """Return the method, the target and the content of a call."""
    outgoing = wechat.products(**how).request(asked, MOMENT)
    assert isinstance(outgoing, Outgoing)
    target = outgoing.url.removeprefix(wechat.BASE)
    return outgoing.method, target, msgspec.json.decode(outgoing.body or b"null")


def test_calls_are_written_as_the_api_has_them() -> None:
    """Of a brand, a product, a stock and a user; each deed under a number of its own."""
    ids = {
        "brand_id": "120344",
        "product_coupon_id": "1000000013",
        "stock_id": "1000000013001",
        "appid": "wx233544546545989",
    }
    coupons = f"/v3/marketing/partner/product-coupon/users/{OPENID}/coupons"
    one, own = f"{coupons}/{CODE}", {**ids, "out_request_no": OWN}
    send = {**ids, "send_request_no": NUMBER}
    query = "&".join(f"{name}={value}" for name, value in ids.items())
    paid = {"use_time": TOLD, "associated_order_info": {"transaction_id": USE.payment}}
    assert ("POST", coupons, {**send, "coupon_code": CODE}) == written(call())
    assert ("GET", f"{one}?{query}", None) == written(QUERY)
    assert ("POST", f"{one}/confirm", own) == written(CONFIRM)
    assert ("POST", f"{one}/use", {**own, **paid}) == written(REDEEM)
    assert ("POST", f"{one}/return", own) == written(REVERSE)
    taken = {**own, "deactivate_reason": "权益已收回"}
    assert ("POST", f"{one}/deactivate", taken) == written(REVOKE)
    # Codes of WeChat's: until one is known, a query is the same send again.
    for asked in (call(), QUERY):
        assert ("POST", coupons, send) == written(asked, merchant=THEIRS)
    known = msgspec.structs.replace(CONFIRM, code=OTHER)
    assert f"{coupons}/{OTHER}/confirm" == written(known, merchant=THEIRS)[1]
    assert isinstance(wechat.products(THEIRS).request(CONFIRM, MOMENT), NotSent)


def test_what_cannot_be_asked_is_said_and_not_sent() -> None:
    """A send is refused for good; of what was sent, nothing is known without its user."""
    nobody = IssueRequest(sku=wechat.PRODUCT, quantity=1)
    for operation in (Operation.QUERY, Operation.CONFIRM, Operation.REVOKE):
        asked = call(operation, request=nobody)
        assert isinstance(wechat.products().request(asked, MOMENT), Unknown)
    refused = wechat.products().request(call(request=nobody), MOMENT)
    assert isinstance(refused, Rejected)
    assert Reason.ACCOUNT is refused.reason


GAVE = Done(AT, REFERENCE, CODE)


@pytest.mark.parametrize(
    ("asked", "content", "expected"),
    [
        *((call(), {**COUPON, "coupon_state": s}, GAVE) for s in ("CONFIRMING", "EFFECTIVE")),
        (QUERY, COUPON, GAVE),
        (CONFIRM, COUPON, GAVE),
        (CONFIRM, STANDS, Confirmed(LATER)),
        (QUERY, {**STANDS, "coupon_state": "PENDING"}, Confirmed(LATER)),
        (QUERY, {**STANDS, "confirm_time": None}, Confirmed(wechat.NOW)),
        (QUERY, {**COUPON, "coupon_state": "DELETED"}, GAVE),
        (QUERY, {**STANDS, "coupon_state": "DELETED"}, Confirmed(LATER)),
        (QUERY, {**USED, "single_usage_detail": USAGE}, Used(AT, REFERENCE)),
        (
            QUERY,
            {**STANDS, "coupon_state": "EXPIRED"},
            Expired(datetime(2025, 7, 31, 16, tzinfo=UTC)),
        ),
        (QUERY, {**STANDS, "coupon_state": "DEACTIVATED"}, Revoked(wechat.NOW)),
        (
            REVOKE,
            {**STANDS, "coupon_state": "DEACTIVATED", "deactivate_time": TOLD},
            Revoked(AT),
        ),
        (REDEEM, {**USED, "single_usage_detail": USAGE}, Used(AT, REFERENCE)),
        (REDEEM, {**USED, "single_usage_detail": {**USAGE, "use_request_no": "other"}}, None),
        (REDEEM, STANDS, Confirmed(LATER)),
        (REDEEM, {**STANDS, "coupon_state": "DELETED"}, NotFound()),
        (
            REDEEM,
            {**STANDS, "coupon_state": "DELETED", "single_usage_detail": USAGE},
            None,
        ),
        (
            REVERSE,
            {
                **STANDS,
                "single_usage_detail": {"return_request_no": OWN, "return_time": LATER_TOLD},
            },
            Reversed(LATER),
        ),
        (REVERSE, STANDS, Reversed(wechat.NOW)),
        (
            REVERSE,
            {**USED, "single_usage_detail": {**USAGE, "use_request_no": NUMBER}},
            Used(AT, REFERENCE),
        ),
        (REVERSE, {**USED, "single_usage_detail": USAGE}, None),
        (QUERY, {**COUPON, "coupon_state": "NEW_ONE"}, None),
        (QUERY, USED, None),
        (QUERY, {**COUPON, "receive_time": "2025-07-01T11:30:00"}, None),
        (QUERY, {**COUPON, "receive_time": "2025-07-32T11:30:00+08:00"}, None),
        (QUERY, {**COUPON, "receive_time": "0001-01-01T00:00:00+08:00"}, None),
        *((QUERY, {**COUPON, name: "7"}, None) for name in ("brand_id", "send_request_no")),
        (QUERY, {**COUPON, "coupon_code": OTHER}, None),
        (QUERY, {**COUPON, "stock": {"stock_id": "7"}}, None),
        (QUERY, {**COUPON, "product_coupon": {"product_coupon_id": "7"}}, None),
        (QUERY, {"coupon_code": CODE}, None),
        (call(), b"not json", None),
    ],
)
def test_a_signed_success_is_believed_when_it_is_about_our_order(
    asked: Call, content: Any, expected: Outcome | None
) -> None:
    """Each state has its meaning; what is about another, undated or unlisted is unknown."""
    outcome = read(asked, answer(content))
    assert expected == outcome if expected else isinstance(outcome, Unknown)
    assert isinstance(read(asked, answer(content, by="nobody")), Unknown)


def test_a_code_of_wechat_comes_with_the_answer() -> None:
    """To the send, and to the same send again; a refusal of that one says "not so far"."""
    sent = answer({**COUPON, "coupon_code": OTHER})
    gave = Done(AT, wechat.CODES.reference(OTHER), OTHER)
    assert [gave] * 2 == [read(asked, sent, merchant=THEIRS) for asked in (call(), QUERY)]
    assert isinstance(read(call(), sent), Unknown)  # of a code that we named it would be another
    strange = answer({**COUPON, "coupon_code": "a b"})
    assert isinstance(read(call(), strange, merchant=THEIRS), Unknown)
    full = answer({"code": "RULE_LIMIT"}, 400)
    assert NotFound() == read(QUERY, full, merchant=THEIRS)
    assert Rejected(Reason.LIMIT, "RULE_LIMIT") == read(call(), full)
    assert isinstance(read(QUERY, full), Unknown)


def told(**other: Any) -> dict[str, Any]:
    """Return what a callback about a given coupon says."""
    return {
        "brand_id": "120344",
        "product_coupon_id": "1000000013",
        "stock_id": "1000000013001",
        "coupon_code": CODE,
        "openid": OPENID,
        "receive_time": TOLD,
        "send_request_no": NUMBER,
        "send_channel": "API",
        **other,
    }


def callback(**other: Any) -> RawCallback:
    """Return a callback as WeChat seals and signs it."""
    return wechat.callback(told(**other), event_type="PRODUCT_COUPON_SP.SEND")


def test_a_callback_tells_of_a_coupon_by_our_number() -> None:
    """And of what it is; what WeChat gives out by itself is none of ours."""
    id_ = "3baf1a5c-6f2e-5d0a-8f0e-1b2f5b3f9f10"
    (notice,) = wechat.products().receive(callback())
    assert Notice(event_id=id_, number=NUMBER, sku=wechat.PRODUCT, outcome=GAVE) == notice
    (other,) = wechat.products().receive(callback(brand_id="7"))
    assert f"7/{wechat.PRODUCT}" == other.sku
    assert wechat.products().receive(callback(send_channel="BRAND_MANAGE")) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"coupon_code": "x" * 41},
        {"stock_id": "a/b"},
        {"brand_id": ""},
        {"send_request_no": "a\x00bcdef"},
        {"receive_time": "soon"},
        {"send_channel": None},
    ],
)
def test_a_true_callback_that_is_none_of_ours_is_refused(other: dict[str, Any]) -> None:
    """Another form, or another event: it decides nothing."""
    with pytest.raises(CallbackRefused):
        wechat.products().receive(callback(**other))
    with pytest.raises(CallbackRefused):
        wechat.products().receive(wechat.callback(told()))


calls = st.sampled_from([call(), QUERY, CONFIRM, REDEEM, REVERSE, REVOKE])


@given(calls, st.integers(100, 599), wechat.BODIES)
def test_nothing_unsigned_decides_and_nothing_strange_does(
    asked: Call, status: int, body: bytes
) -> None:
    """Whatever the bytes, signed or not: an answer is unknown, a callback is refused."""
    assert isinstance(read(asked, Response(status, wechat.signed(b""), body or b"{}")), Unknown)
    assert isinstance(read(asked, answer(body, status)), Unknown)
    raw = RawCallback(headers=wechat.signed(body), body=body, received_at=wechat.NOW)
    with pytest.raises((SignatureRefused, CallbackRefused)):
        wechat.products().receive(raw)
    with pytest.raises(CallbackRefused):
        wechat.products().receive(wechat.callback(body, event_type="PRODUCT_COUPON_SP.SEND"))


@given(st.binary(min_size=16, max_size=16))
def test_a_code_tells_its_number_to_who_has_the_key_alone(number: bytes) -> None:
    """Back and forth; another key makes another code, and none but 32 hex digits is ours."""
    text = number.hex()
    code = wechat.CODES.of(text)
    assert text == wechat.CODES.number(code)
    assert code != CouponCodes(b"j" * 32).of(text)
    assert "" == wechat.CODES.number(code[1:]) == wechat.CODES.number(code.upper() + "G")
