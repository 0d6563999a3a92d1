"""Idempotency: a key is printable and short, a body's hash is that of its meaning."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import IssueRequest
from benefits.domain.requests import (
    KeyInvalid,
    StoredOutcome,
    body_hash,
    check_key,
    is_said,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
bodies = st.dictionaries(st.text(), json_values, max_size=5)


def turned(value: Any) -> Any:
    """Return the same value with the fields of every object in the opposite order."""
    match value:
        case dict():
            return {key: turned(value[key]) for key in reversed(value)}
        case list():
            return [turned(item) for item in value]
        case _:
            return value


@given(bodies)
def test_the_hash_of_a_body_does_not_depend_on_the_order_of_fields(body: dict[str, Any]) -> None:
    """The same fields in another order are the same command (C-9)."""
    assert body_hash(body) == body_hash(turned(body))


@given(bodies, st.sampled_from([None, 2]))
def test_the_hash_of_a_body_does_not_depend_on_spacing(
    body: dict[str, Any], indent: int | None
) -> None:
    """A body is hashed as it is understood, not as it was sent (C-9)."""
    assert body_hash(body) == body_hash(msgspec.json.decode(json.dumps(body, indent=indent)))


@given(bodies, bodies)
def test_another_body_has_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two bodies share a hash only when they say the same."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert same is (body_hash(one) == body_hash(other))


@pytest.mark.parametrize("key", ["k", "k" * 64, "Order 7/2025"])
def test_a_printable_key_of_up_to_64_characters_is_good(key: str) -> None:
    """A usable key is returned as it is."""
    assert key == check_key(key)


@pytest.mark.parametrize("key", [None, "", "k" * 65, "schlüssel", "a\nb", "a\x00"])
def test_any_other_key_is_refused(key: str | None) -> None:
    """A key that is missing, too long or not printable ASCII is refused."""
    with pytest.raises(KeyInvalid):
        check_key(key)


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_an_outcome_is_kept_whole(refusal: str, detail: str, ids: dict[str, str]) -> None:
    """What is stored of an outcome comes back unchanged."""
    outcome = StoredOutcome(refusal=refusal, detail=detail, ids=ids)
    stored = msgspec.json.encode(outcome)
    assert outcome == msgspec.json.decode(stored, type=StoredOutcome)


class Told(msgspec.Struct):
    """What a release told that knew fewer fields."""

    sku: str
    quantity: int
    recipient: dict[str, str] = {}


@given(st.text(), st.integers(1, 9), st.dictionaries(st.text(), st.text()))
def test_what_an_earlier_release_told_is_said_as_it_was(
    sku: str, quantity: int, recipient: dict[str, str]
) -> None:
    """Whatever fields came since; not where one is another, or is not read any more."""
    told = Told(sku, quantity, recipient)
    raw, kept = msgspec.json.encode(told), body_hash(told)
    read = msgspec.json.decode(raw, type=IssueRequest)
    assert is_said(raw, read, kept)
    assert is_said(msgspec.json.encode(read), read, body_hash(read))
    assert not is_said(raw, msgspec.structs.replace(read, quantity=quantity + 1), kept)
    assert not is_said(raw, {"sku": sku, "quantity": quantity}, kept)
    other = msgspec.json.encode(Told(sku + "x", quantity, recipient))
    assert not is_said(other, msgspec.json.decode(other, type=IssueRequest), kept)
