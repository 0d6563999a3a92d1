"""The open dialect: what it sends, and that only a signed, well-formed answer decides anything."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import (
    Call,
    Capabilities,
    Confirmed,
    Done,
    Expired,
    IssueRequest,
    NotFound,
    NotSent,
    Operation,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    Redemption,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.domain.signature import SignatureRefused, parse_secret, signed_headers, verify
from benefits.providers.client import Client, Method, Response
from benefits.providers.http import HttpProvider
from benefits.providers.open import REASONS, OpenDialect
from benefits.providers.provider import Acknowledgement, CallbackRefused, Provider, RawCallback

SECRET = parse_secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NOW = datetime(2025, 7, 1, 4, 0, tzinfo=UTC)
NOW_UNIX = int(NOW.timestamp())
NUMBER = "0197c3a5b6d07e8f9a0b1c2d3e4f5061"
OWN, USE = "1" * 32, "2" * 32
GATE = Redemption(at=NOW, place="gate-7", amount_minor=0)
AT = "2025-07-01T12:00:00+08:00"
ISSUED = {"number": NUMBER, "status": "issued", "reference": "R1", "code": "C1", "at": AT}
REQUEST = IssueRequest(sku="lounge", quantity=2, recipient={"phone": "13800001234"})

Answering = Callable[[str, Mapping[str, str], bytes], Response | NotSent | Unknown]


class Canned(Client):
    """A client that answers from a function and keeps what it was asked to send."""

    def __init__(self, answering: Answering) -> None:
        super().__init__()
        self.answering = answering
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        deadline_s: float,
        method: Method = "POST",
    ) -> Response | NotSent | Unknown:
        """Answer without a network."""
        assert method == "POST"
        assert deadline_s == Capabilities().deadline_s
        self.sent.append((url, headers, body))
        return self.answering(url, headers, body)


def provider(
    client: Client | None = None, *, secrets: tuple[bytes, ...] = (SECRET,)
) -> HttpProvider:
    """Build the adapter with a standing clock."""
    return HttpProvider(
        OpenDialect(base_url="https://provider.example/api/", secrets=secrets),
        client or Client(),
        lambda: NOW,
        Capabilities(),
    )


def call(operation: Operation = Operation.ISSUE) -> Call:
    """Return a call under the number."""
    uses = {Operation.REDEEM: "", Operation.REVERSE: USE}
    return Call(
        number=NUMBER,
        operation=operation,
        request=REQUEST,
        own=OWN,
        redemption=GATE if operation in uses else None,
        undoes=uses.get(operation, ""),
    )


def answering(
    content: Any,
    *,
    status: int = 200,
    secret: bytes = SECRET,
    id_: str | None = None,
    at_unix: int = NOW_UNIX,
) -> Answering:
    """Answer with signed content: an object, or bytes as they are."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)

    def answer(_: str, headers: Mapping[str, str], __: bytes) -> Response:
        signed = signed_headers([secret], id_ or headers["webhook-id"], at_unix, body)
        return Response(status, signed, body)

    return answer


async def outcome_of(answer: Answering, operation: Operation = Operation.ISSUE) -> Outcome:
    """Return what the adapter makes of an answer."""
    return await provider(Canned(answer)).call(call(operation))


def callback(
    content: Any, *, id_: str = "evt_1", secret: bytes = SECRET, late_s: int = 0
) -> RawCallback:
    """Return a signed callback."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    headers = signed_headers([secret], id_, NOW_UNIX, body)
    return RawCallback(headers=headers, body=body, received_at=NOW + timedelta(seconds=late_s))


def event(kind: str = "order.issued", **data: Any) -> dict[str, Any]:
    """Return the content of a callback."""
    return {"type": kind, "timestamp": AT, "data": {"number": NUMBER, "at": AT, **data}}


RECIPIENT = {"phone": "13800001234"}
USED = {"redemption": OWN, "at": "2025-07-01T04:00:00Z", "place": "gate-7", "amount_minor": 0}
# Where each is sent, with which id, and what the body says besides operation and number.
SAID: dict[Operation, tuple[str, str, dict[str, Any]]] = {
    Operation.ISSUE: ("", NUMBER, {"sku": "lounge", "quantity": 2, "recipient": RECIPIENT}),
    Operation.CONFIRM: ("/confirm", f"{NUMBER}-confirm", {}),
    Operation.QUERY: ("/query", f"{NUMBER}-query", {}),
    Operation.REVOKE: ("/revoke", f"{NUMBER}-revoke", {}),
    Operation.REDEEM: ("/redeem", OWN, USED),
    Operation.REVERSE: ("/reverse", OWN, {"reversal": OWN, "redemption": USE}),
}


@pytest.mark.parametrize("operation", Operation)
async def test_each_operation_is_a_signed_body_that_names_it(operation: Operation) -> None:
    """Path, id and body say the same operation, the signature holds, only issuing tells who."""
    path, id_, more = SAID[operation]
    client = Canned(answering(ISSUED))
    await provider(client).call(call(operation))
    ((url, headers, body),) = client.sent
    assert url == f"https://provider.example/api/orders{path}"
    said = {"operation": operation.value.lower(), "number": NUMBER, **more}
    assert msgspec.json.decode(body) == said
    assert verify([SECRET], headers, body, now_unix=NOW_UNIX) == id_


async def test_a_repeated_call_sends_the_same_bytes() -> None:
    """The number's request never changes, whatever the order of the recipient's fields."""
    client = Canned(answering(ISSUED))
    adapter: Provider = provider(client)
    for recipient in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
        request = IssueRequest(sku="s", quantity=1, recipient=recipient)
        await adapter.call(Call(number=NUMBER, operation=Operation.ISSUE, request=request))
    assert client.sent[0] == client.sent[1]


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (200, ISSUED, Done(NOW, "R1", "C1")),
        (200, ISSUED | {"unheard": [1]}, Done(NOW, "R1", "C1")),
        (202, {"number": NUMBER, "status": "pending", "reference": "R1"}, Pending("R1")),
        (200, {"number": NUMBER, "status": "pending"}, Pending()),
        (200, ISSUED | {"status": "redeemed"}, Used(NOW, "R1")),
        (200, ISSUED | {"status": "revoked"}, Revoked(NOW)),
        (200, ISSUED | {"status": "confirmed"}, Confirmed(NOW, "R1")),
        (200, ISSUED | {"status": "confirmed", "delivered": 2}, Confirmed(NOW, "R1", 2)),
        (200, ISSUED | {"status": "confirmed", "delivered": -1}, Confirmed(NOW, "R1")),
        (200, ISSUED | {"status": "partly_redeemed", "used": 1}, PartlyUsed(NOW, 1, "R1")),
        (200, ISSUED | {"status": "redeemed", "delivered": 3}, Used(NOW, "R1", 3)),
        (200, ISSUED | {"status": "reversed"}, Reversed(NOW)),
        (200, ISSUED | {"status": "expired", "used": 1}, Expired(NOW, 1)),
        (404, {"number": NUMBER, "status": "not_found"}, NotFound()),
    ],
)
async def test_each_status_of_the_contract_has_its_outcome(
    status: int, content: Any, expected: Outcome
) -> None:
    """A signed, well-formed answer about our number is believed."""
    assert await outcome_of(answering(content, status=status), Operation.QUERY) == expected


@pytest.mark.parametrize("status", [200, 409, 422])
@pytest.mark.parametrize("code", sorted(REASONS))
async def test_a_rejection_is_believed_for_the_closed_list_of_reasons(
    status: int, code: str
) -> None:
    """Each reason of the contract is one of ours."""
    content = {"number": NUMBER, "status": "rejected", "reason": code}
    assert await outcome_of(answering(content, status=status)) == Rejected(REASONS[code], code)


def test_the_list_of_reasons_is_closed_and_has_no_duplicate() -> None:
    """All reasons a provider may give are in the table; a duplicate or a not-found is none."""
    ours = set(Reason) - {Reason.DUPLICATE_DIFFERENT, Reason.NOT_FOUND}
    assert set(REASONS.values()) == ours


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (409, {"number": NUMBER, "status": "rejected", "reason": "duplicate_different"}),
        (422, {"number": NUMBER, "status": "rejected", "reason": "because"}),
        (422, {"number": NUMBER, "status": "rejected"}),
        (200, {"number": NUMBER, "status": "cancelled"}),
        (404, {"number": NUMBER, "status": "not_found"}),
        (200, {"number": NUMBER, "status": "not_found"}),
        (200, ISSUED | {"number": "f" * 32}),
        (200, ISSUED | {"number": NUMBER + "\n"}),
        (200, {name: ISSUED[name] for name in ("number", "status")}),
        (200, ISSUED | {"at": "2025-07-01T12:00:00"}),
        (200, ISSUED | {"at": "0001-01-01T00:00:00+08:00"}),
        (200, ISSUED | {"at": "9999-12-31T23:59:59-08:00"}),
        (200, ISSUED | {"at": 1751342400}),
        (200, ISSUED | {"reference": "a\x00b"}),
        (200, ISSUED | {"code": "x" * 257}),
        (200, [ISSUED]),
        (200, b""),
        (200, b"\xff"),
        (200, b'{"x":' + b"[" * 60_000),
        (201, ISSUED),
        (204, b""),
        (302, ISSUED),
        (400, ISSUED),
        (401, {"number": NUMBER, "status": "rejected", "reason": "auth"}),
        (404, {"number": NUMBER, "status": "rejected", "reason": "invalid"}),
        (409, ISSUED),
        (429, {"number": NUMBER, "status": "rejected", "reason": "limit"}),
        (200, {"number": NUMBER, "status": "not_processed"}),
        (503, {"number": NUMBER, "status": "not_processed"}),
        (200, ISSUED | {"status": "partly_issued"}),
        (200, ISSUED | {"status": "partly_issued", "delivered": 2}),
        (500, ISSUED),
        (503, {"number": NUMBER, "status": "rejected", "reason": "invalid"}),
    ],
)
async def test_everything_off_the_contract_is_unknown(status: int, content: Any) -> None:
    """Even signed: unknown codes, odd pairs and what cannot be read decide nothing (V-3)."""
    assert isinstance(await outcome_of(answering(content, status=status)), Unknown)


async def test_a_part_of_an_order_is_delivered_as_such() -> None:
    """With how many of its pieces came, and what codes there are of these (V-5)."""
    partly = ISSUED | {"status": "partly_issued", "delivered": 1}
    whole = await outcome_of(answering(ISSUED))
    assert isinstance(whole, Done)
    part = msgspec.structs.replace(whole, delivered=1)
    assert part == await outcome_of(answering(partly))


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": OTHER},
        {"id_": "f" * 32},
        {"id_": f"{NUMBER}-query"},
        {"at_unix": NOW_UNIX - 301},
        {"at_unix": NOW_UNIX + 301},
    ],
)
async def test_a_success_with_a_signature_that_does_not_hold_is_unknown(
    changes: dict[str, Any],
) -> None:
    """A foreign secret, another request's answer and a stale one are not answers."""
    assert isinstance(await outcome_of(answering(ISSUED, **changes)), Unknown)


async def test_an_unsigned_success_is_unknown() -> None:
    """A 200 of a proxy in between says nothing."""
    body = msgspec.json.encode(ISSUED)
    assert isinstance(await outcome_of(lambda *_: Response(200, {}, body)), Unknown)


async def test_our_own_request_reflected_is_unknown() -> None:
    """What we signed ourselves is no answer and no callback, although the signature holds."""

    def reflect(_: str, headers: Mapping[str, str], body: bytes) -> Response:
        return Response(200, dict(headers), body)

    client = Canned(reflect)
    assert isinstance(await provider(client).call(call()), Unknown)
    ((_, headers, body),) = client.sent
    with pytest.raises(CallbackRefused):
        provider().receive(RawCallback(headers=dict(headers), body=body, received_at=NOW))


@pytest.mark.parametrize("outcome", [NotSent("refused"), Unknown("reset")])
async def test_what_the_way_out_says_is_handed_on(outcome: NotSent | Unknown) -> None:
    """Not sent stays not sent, unknown stays unknown."""
    assert await outcome_of(lambda *_: outcome) == outcome


async def test_during_a_rotation_either_secret_answers() -> None:
    """With an old and a new secret the provider may answer with any of them."""
    for secret in (SECRET, OTHER):
        adapter = provider(Canned(answering(ISSUED, secret=secret)), secrets=(SECRET, OTHER))
        assert await adapter.call(call()) == Done(NOW, "R1", "C1")


statuses = st.sampled_from([200, 201, 202, 400, 401, 404, 409, 422, 429, 500]) | st.integers(
    min_value=100, max_value=599
)
instants = st.none() | st.just(AT) | st.text(max_size=25)
told = st.fixed_dictionaries(
    {},
    optional={
        "number": st.just(NUMBER) | st.text(max_size=33),
        "status": st.sampled_from(
            [
                *("issued", "pending", "rejected", "redeemed", "revoked", "not_found"),
                *("partly_issued", "not_processed", "confirmed", "reversed", "expired"),
                "partly_redeemed",
            ]
        )
        | st.text(max_size=9),
        "reference": st.text(max_size=9) | st.integers(),
        "code": st.text(max_size=9),
        "at": instants,
        "reason": st.sampled_from(sorted(REASONS)) | st.text(max_size=9),
        "used": st.integers(-1, 3),
    },
)
bodies = st.binary(max_size=99) | told.map(msgspec.json.encode)


@given(status=statuses, body=bodies, operation=st.sampled_from(Operation))
async def test_nothing_unsigned_ever_decides(
    status: int, body: bytes, operation: Operation
) -> None:
    """Whatever the status and the bytes, without our secret the outcome is Unknown."""
    for answer in (
        lambda *_: Response(status, {}, body),
        answering(body, status=status, secret=OTHER),
    ):
        assert isinstance(await outcome_of(answer, operation), Unknown)


@given(status=statuses, body=bodies, operation=st.sampled_from(Operation))
async def test_signed_content_decides_only_when_well_formed(
    status: int, body: bytes, operation: Operation
) -> None:
    """A signed answer decides exactly what it says about our number, or nothing."""
    outcome = await outcome_of(answering(body, status=status), operation)
    if isinstance(outcome, Unknown):
        return
    said = msgspec.json.decode(body)
    assert said["number"] == NUMBER
    kinds = {
        "not_processed": NotSent,
        "issued": Done,
        "pending": Pending,
        "rejected": Rejected,
        "redeemed": Used,
        "revoked": Revoked,
        "confirmed": Confirmed,
        "reversed": Reversed,
        "expired": Expired,
        "partly_redeemed": PartlyUsed,
        "not_found": NotFound,
    }
    assert type(outcome) is kinds[said["status"]]
    assert status in {200, 202, 404, 409, 422, 429}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (event(reference="R1", code="C1"), Done(NOW, "R1", "C1")),
        (event("order.pending"), Pending()),
        (event("order.redeemed", reference="R1"), Used(NOW, "R1")),
        (event("order.confirmed", reference="R1"), Confirmed(NOW, "R1")),
        (event("order.confirmed", delivered=2), Confirmed(NOW, "", 2)),
        (event("order.partly_redeemed", used=2), PartlyUsed(NOW, 2)),
        (event("order.partly_redeemed", used=2, delivered=3), PartlyUsed(NOW, 2, "", 3)),
        (event("order.reversed", delivered=3), Reversed(NOW, 3)),
        (event("order.expired", used=1, delivered=3), Expired(NOW, 1, 3)),
        (event("order.partly_redeemed"), Unknown("status 'partly_redeemed'")),
        (event("order.reversed"), Reversed(NOW)),
        (event("order.expired"), Expired(NOW)),
        (event("order.rejected", reason="stock_out"), Rejected(Reason.STOCK_OUT, "stock_out")),
    ],
)
def test_each_callback_of_the_contract_has_its_outcome(content: Any, expected: Outcome) -> None:
    """A signed callback says which number, which event, and what happened."""
    (notice,) = provider().receive(callback(content))
    assert (notice.event_id, notice.number, notice.outcome) == ("evt_1", NUMBER, expected)


@pytest.mark.parametrize(
    "content",
    [
        event("order.moved"),
        event("member.issued"),
        event("order.revoked"),
        event("order"),
        event("order.rejected", reason="because"),
        event("order.rejected", reason="duplicate_different"),
        event("order.rejected"),
        event(at="0001-01-01T00:00:00+08:00"),
    ],
)
def test_a_callback_with_an_unknown_word_is_kept_and_decides_nothing(content: Any) -> None:
    """It is acknowledged as a notice about the number, so that a query can find out."""
    (notice,) = provider().receive(callback(content))
    assert notice.number == NUMBER
    assert isinstance(notice.outcome, Unknown)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 60_000,
        b"\xff",
        ISSUED,
        event(number="1"),
        event(at="yesterday"),
        event(reference="a\x00"),
        event() | {"timestamp": None},
    ],
)
def test_signed_content_that_is_no_callback_is_refused(content: Any) -> None:
    """The signature holds, the message does not."""
    with pytest.raises(CallbackRefused):
        provider().receive(callback(content))


def test_a_callback_that_is_foreign_stale_or_changed_is_refused() -> None:
    """The signature is checked over the raw bytes before anything is read (V-4)."""
    right = callback(event())
    for wrong in (
        callback(event(), secret=OTHER),
        callback(event(), late_s=301),
        callback(event(), late_s=-301),
        msgspec.structs.replace(right, body=right.body + b" "),
        msgspec.structs.replace(right, headers={}),
    ):
        with pytest.raises(SignatureRefused):
            provider().receive(wrong)


@given(
    headers=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]),
        st.text(max_size=30) | st.just(str(NOW_UNIX)),
    ),
    body=bodies,
)
def test_unsigned_bytes_are_never_a_notice(headers: dict[str, str], body: bytes) -> None:
    """Any headers and any bytes end in the refusal of the signature, and in nothing else."""
    with pytest.raises(SignatureRefused):
        provider().receive(RawCallback(headers=headers, body=body, received_at=NOW))


@given(
    st.binary(max_size=99)
    | st.builds(
        lambda kind, data: msgspec.json.encode({"type": kind, "timestamp": AT, "data": data}),
        st.sampled_from(["order.issued", "order.rejected"]) | st.text(max_size=9),
        told,
    )
)
def test_signed_bytes_are_a_notice_or_a_refusal(body: bytes) -> None:
    """Nothing a provider signs makes us fall over."""
    try:
        (notice,) = provider().receive(callback(body))
    except CallbackRefused:
        return
    assert notice.number == NUMBER


def test_the_acknowledgement_is_the_literal_of_the_contract() -> None:
    """What we answer once a callback is kept."""
    assert provider().ack() == Acknowledgement(b"ok")


def test_an_adapter_without_a_secret_is_not_built() -> None:
    """There is no unsigned mode."""
    with pytest.raises(ValueError, match="secret"):
        provider(secrets=())
