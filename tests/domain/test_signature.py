"""Signatures: the published vectors, the oracle, and that nothing malformed gets through."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from benefits.domain.signature import (
    Fault,
    SignatureRefused,
    parse_secret,
    sign,
    signed_headers,
    verify,
)

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
ROTATED = f"{V1} v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI="
V1A = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

secrets = st.binary(min_size=24, max_size=64)
ids = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789_-", min_size=1, max_size=64)
instants = st.integers(min_value=0, max_value=4_000_000_000)


def headers(**changes: str | None) -> dict[str, str]:
    """Return the headers of the published vector, with changes; None leaves one out."""
    whole = {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": V1,
        **{f"webhook-{name}": value for name, value in changes.items()},
    }
    return {name: value for name, value in whole.items() if value is not None}


def fault_of(
    given_headers: dict[str, str], *, body: bytes = BODY, now_unix: int = AT, secret: str = OLD
) -> Fault:
    """Return why the message is refused."""
    with pytest.raises(SignatureRefused) as refused:
        verify([parse_secret(secret)], given_headers, body, now_unix=now_unix)
    return refused.value.fault


def test_the_published_vector_is_reproduced() -> None:
    """The vector of the specification signs and verifies."""
    assert sign([parse_secret(OLD)], ID, AT, BODY) == V1
    assert verify([parse_secret(OLD)], headers(), BODY, now_unix=AT) == ID


def test_a_body_beyond_ascii_is_signed_as_its_bytes() -> None:
    """The golden vector with Chinese text in the body is reproduced."""
    body = (
        '{"type":"benefit.issued","timestamp":"2025-01-02T03:04:05Z",'
        '"data":{"title":"贵宾厅·1次"}}'
    ).encode()
    made = sign([parse_secret(OLD)], "evt_01JGJ0000000000000000000", 1735787045, body)
    assert made == "v1,jcOu9SZQG4d09ITtM69zT3tC9iKAp/uQzqNmv98iyVw="


def test_rotation_signs_with_both_secrets_and_either_verifies() -> None:
    """With two secrets there are two signatures, and a receiver that knows only one accepts."""
    old, new = parse_secret(OLD), parse_secret(NEW)
    assert sign([old, new], ID, AT, BODY) == ROTATED
    for known in ([old], [new], [new, old]):
        assert verify(known, headers(signature=ROTATED), BODY, now_unix=AT) == ID


@given(st.lists(secrets, min_size=1, max_size=3), ids, instants, st.binary(max_size=200))
def test_what_is_signed_verifies_with_any_of_the_secrets(
    keys: list[bytes], id_: str, at: int, body: bytes
) -> None:
    """Every signed message is accepted with each of its secrets alone."""
    made = signed_headers(keys, id_, at, body)
    assert [verify([key], made, body, now_unix=at) for key in keys] == [id_] * len(keys)


@given(secrets, ids, instants, st.text(max_size=100))
def test_the_public_library_signs_the_same(key: bytes, id_: str, at: int, text: str) -> None:
    """Our signature is the one of the public library, given a UTC time."""
    library = Webhook("whsec_" + base64.b64encode(key).decode())
    expected = library.sign(id_, datetime.fromtimestamp(at, UTC), text)
    assert sign([key], id_, at, text.encode()) == expected


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_another_body_does_not_verify(body: bytes, other: bytes) -> None:
    """A signature holds for its own bytes only."""
    made = signed_headers([parse_secret(OLD)], ID, AT, body)
    if body != other:
        assert fault_of(made, body=other) is Fault.NO_MATCH


def test_another_id_time_or_secret_does_not_verify() -> None:
    """Id and time are covered by the signature, and a foreign secret is no secret."""
    assert fault_of(headers(id="msg_other")) is Fault.NO_MATCH
    assert fault_of(headers(timestamp=str(AT + 1))) is Fault.NO_MATCH
    assert fault_of(headers(), secret=NEW) is Fault.NO_MATCH


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_a_missing_header_is_named_as_such(name: str) -> None:
    """Each of the three headers is required."""
    assert fault_of(headers(**{name: None})) is Fault.MISSING_HEADER


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": ""},
        {"signature": "v1"},
        {"signature": "nonsense"},
        {"signature": V1A},
        {"signature": V1.replace("v1,", "V1,")},
        {"timestamp": ""},
        {"timestamp": "1614265330.5"},
        {"timestamp": "-1"},
        {"timestamp": " 1614265330"},
        {"timestamp": "1614265330\n"},
        {"timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"timestamp": "9" * 5000},
        {"id": ""},
        {"id": "msg.1"},
        {"id": "msg 1"},
        {"id": "消息"},
        {"id": "m" * 129},
    ],
)
def test_a_malformed_header_is_refused_as_such(changes: dict[str, str]) -> None:
    """Odd headers are told apart from wrong signatures, and fractions of a second are not read."""
    assert fault_of(headers(**changes)) is Fault.MALFORMED_HEADER


@pytest.mark.parametrize("offered", ["v1,", "v1,!!!", "v1,\udcff", f"{V1[:-2]}F=", "v1,é"])
def test_a_signature_that_is_no_base64_just_does_not_match(offered: str) -> None:
    """The offered signature is compared, never decoded."""
    assert fault_of(headers(signature=offered)) is Fault.NO_MATCH


def test_signatures_of_other_versions_are_passed_over() -> None:
    """A v1 signature counts among others, in any place."""
    offered = f"v1a,x  v2,y nonsense {V1}"
    assert verify([parse_secret(OLD)], headers(signature=offered), BODY, now_unix=AT) == ID


@pytest.mark.parametrize("drift", [-301, 301])
def test_a_stale_message_is_refused_in_both_directions(drift: int) -> None:
    """Five minutes either way are tolerated, a second more is not."""
    assert fault_of(headers(), now_unix=AT + drift) is Fault.STALE
    within = AT + drift - drift // abs(drift)
    assert verify([parse_secret(OLD)], headers(), BODY, now_unix=within) == ID


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "other"]),
        st.text(max_size=60) | st.sampled_from([ID, str(AT), V1[:-1], "v1,", "v1,AAAA"]),
    ),
    st.binary(max_size=60),
)
def test_nothing_but_the_refusal_comes_out_of_any_headers(
    any_headers: dict[str, str], body: bytes
) -> None:
    """Whatever the headers and the body, the message is refused and nothing else is raised."""
    assert fault_of(any_headers, body=body) in Fault


def test_without_a_secret_nothing_verifies_and_nothing_is_signed() -> None:
    """No secret means no, not yes."""
    with pytest.raises(SignatureRefused):
        verify([], headers(), BODY, now_unix=AT)
    with pytest.raises(ValueError, match="needs a secret"):
        sign([], ID, AT, BODY)


@pytest.mark.parametrize(("id_", "at"), [("a.b", 1), ("", 1), ("ok", -1)])
def test_an_ambiguous_id_or_time_is_not_signed(id_: str, at: int) -> None:
    """An id with a dot would make two messages share a signature."""
    with pytest.raises(ValueError, match="visible ASCII id"):
        sign([parse_secret(OLD)], id_, at, b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_not base64!",
        "whsec_é",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_a_malformed_secret_is_refused_when_parsed_and_not_shown(text: str) -> None:
    """A secret is 24 to 64 bytes in base64 after its prefix, and never appears in the message."""
    with pytest.raises(ValueError, match="signing secret") as error:
        parse_secret(text)
    assert len(text) <= len("whsec_") or text not in str(error.value)
