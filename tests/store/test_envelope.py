"""Sealed values open with their key, however old, and not when anything of them was changed."""

import base64

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from benefits.store.envelope import Envelope, EnvelopeBroken

OLD, NEW = bytes(32), bytes(range(32))


@given(st.binary(max_size=300))
def test_what_is_sealed_opens_again_after_keys_rotate(plain: bytes) -> None:
    """A key that is listed opens what it sealed, wherever it stands in the list."""
    sealed = Envelope([OLD]).seal(plain)
    assert plain == Envelope([NEW, OLD]).open(sealed)
    assert sealed != Envelope([OLD]).seal(plain)
    assert len(plain) + 33 == len(sealed)


def test_a_value_sealed_in_the_form_before_opens() -> None:
    """Fernet's tokens stay readable."""
    token = Fernet(base64.urlsafe_b64encode(OLD)).encrypt(b"C0001")
    assert b"C0001" == Envelope([NEW, OLD]).open(token)
    with pytest.raises(EnvelopeBroken):
        Envelope([NEW]).open(token)


@given(st.binary(max_size=40), st.data())
def test_a_changed_value_does_not_open(plain: bytes, data: st.DataObject) -> None:
    """Any bit changed, any byte missing, any other key: it is broken."""
    sealed = Envelope([OLD]).seal(plain)
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    for broken in (bytes(changed), sealed[:at], b""):
        with pytest.raises(EnvelopeBroken):
            Envelope([NEW, OLD]).open(broken)
    with pytest.raises(EnvelopeBroken):
        Envelope([NEW]).open(sealed)


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b""]])
def test_what_is_no_key_is_refused(keys: list[bytes]) -> None:
    """A secret key has 32 bytes, and there is one."""
    with pytest.raises(ValueError, match="32 bytes"):
        Envelope(keys)
