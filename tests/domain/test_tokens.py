"""Tokens: which claims make which caller, and which make none."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.actions.keys import NAME
from benefits.domain.callers import KEY_SCOPES, SCOPES, Caller, stand_well
from benefits.domain.tokens import Issuer, TokenInvalid, caller_of
from benefits.domain.values import member_id
from tests.builders import MEMBER_KEY, NOON

ISSUER = Issuer(issuer="urn:x", alias="bank", audience="benefits", algorithms=("ES256",))
C0001 = UUID("38f3582b-76c2-185e-9b6c-7aa886b32ffd")


def read(issuer: Issuer = ISSUER, **claims: Any) -> tuple[Caller, float]:
    """Return the caller of claims that end in a minute, unless they say otherwise."""
    given = {"sub": "u1", "exp": NOON.timestamp() + 60, **claims}
    whole = {name: value for name, value in given.items() if value is not None}
    return caller_of(whole, issuer, member_key=MEMBER_KEY, now=NOON)


def refused(**claims: Any) -> str:
    """Return the words with which claims are refused."""
    with pytest.raises(TokenInvalid) as caught:
        read(**claims)
    return caught.value.detail


def test_a_member_is_known_by_our_id_or_the_banks_reference() -> None:
    """Both give one name, and neither the reference nor the subject stands in it."""
    expected = Caller(name=f"bank:{C0001.hex}", scopes=frozenset({"member"}), member_id=C0001)
    assert (expected, 60.0) == read(scope="member", customer="C0001")
    assert expected == read(scope="openid member", member_id=str(C0001))[0]
    assert expected == read(scope=["member"], customer="C0001", member_id=str(C0001))[0]
    assert C0001 == member_id("C0001", MEMBER_KEY)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"customer": ""},
        {"customer": 7},
        {"customer": "x" * 257},
        {"member_id": "me"},
        {"customer": "C0002", "member_id": str(C0001)},
    ],
)
def test_a_members_token_says_whose_it_is(claims: dict[str, Any]) -> None:
    """Nobody, somebody unclear and two at once are refused."""
    refused(scope="member", **claims)


def test_a_manager_has_a_branch_or_a_book() -> None:
    """One of them is enough; an empty one would be everybody without a branch."""
    caller, _ = read(scope="relationship_manager", branch="B01", manager="M001")
    assert ("B01", "M001", None) == (caller.branch, caller.manager, caller.member_id)
    caller, _ = read(scope="relationship_manager", manager="M001")
    assert ("", "M001") == (caller.branch, caller.manager)
    for wrong in ({}, {"branch": ""}, {"branch": None}, {"manager": ["M001"]}):
        refused(scope="relationship_manager", **wrong)


def test_a_provider_has_a_code() -> None:
    """The token of a provider is for one."""
    assert "sandbox" == read(scope="provider", provider="sandbox")[0].provider
    refused(scope="provider")


def test_a_binding_means_nothing_without_its_scope() -> None:
    """An operator who is a customer as well is an operator."""
    caller, _ = read(scope="operator auditor", customer="C0001", branch="B01", provider="sandbox")
    assert (None, "", "") == (caller.member_id, caller.branch, caller.provider)
    assert not caller.is_bound


@given(st.sets(st.sampled_from(SCOPES)))
def test_bound_scopes_stand_alone(scopes: set[str]) -> None:
    """No token, and no key, is bound to one thing and free for another."""
    bound = {"member", "relationship_manager", "provider"}
    well = bool(scopes) and (len(scopes) == 1 or not scopes & bound)
    assert well == stand_well(frozenset(scopes))
    claims: dict[str, Any] = {"customer": "C0001", "branch": "B01", "provider": "sandbox"}
    if well:
        assert scopes == read(scope=" ".join(scopes), **claims)[0].scopes
    else:
        refused(scope=" ".join(scopes), **claims)


@given(st.none() | st.integers() | st.text() | st.lists(st.integers() | st.text()))
def test_a_scope_that_is_none_of_ours_is_no_way_in(scope: Any) -> None:
    """Whatever `scope` is, it is refused in words or is one of ours."""
    try:
        caller, _ = read(scope=scope, customer="C0001", branch="B", provider="p")
    except TokenInvalid:
        return
    assert caller.scopes <= set(SCOPES)


def test_a_prefix_parts_our_scopes_from_other_services() -> None:
    """With a prefix the bare word is another service's."""
    issuer = Issuer(
        issuer="urn:x", alias="bank", audience="b", algorithms=("ES256",), scope_prefix="benefits."
    )
    caller, _ = read(issuer, scope="operator benefits.auditor")
    assert {"auditor"} == caller.scopes


def test_a_name_stays_and_tells_nobody() -> None:
    """The same subject has one name for ever; it is no key's name and holds no subject."""
    name = read(scope="operator", sub="zhang.wei@bank.example")[0].name
    assert (
        name
        == read(scope="auditor", sub="zhang.wei@bank.example", exp=NOON.timestamp() + 9)[0].name
    )
    assert "bank:edb2824a443ecaccc9a80fe1c2033afc" == name
    assert name != read(scope="operator", sub="zhang.wei2@bank.example")[0].name
    assert not NAME.fullmatch(name)
    refused(scope="operator", sub=None)
    refused(scope="operator", sub="")
    assert set(SCOPES) - set(KEY_SCOPES) == {"member", "relationship_manager"}


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": None}, "does not say when it ends"),
        ({"exp": NOON.timestamp() - 30}, "has expired"),
        ({"exp": True}, "not a number"),
        ({"exp": "2030"}, "not a number"),
        ({"exp": float("inf")}, "not a number"),
        ({"exp": 10**300}, "out of all time"),
        ({"nbf": NOON.timestamp() + 31}, "not valid yet"),
        ({"nbf": [1]}, "not a number"),
        ({"iat": NOON.timestamp() + 31}, "from the future"),
        ({"iat": float("nan")}, "not a number"),
    ],
)
def test_a_token_out_of_time_is_refused(claims: dict[str, Any], words: str) -> None:
    """Its end is required; its begin and its making count where they are told."""
    assert words in refused(scope="operator", **claims)


def test_clocks_may_differ_by_the_leeway() -> None:
    """Within 30 seconds both ways a token is good, but not remembered beyond its end."""
    _, left_s = read(
        scope="operator",
        exp=NOON.timestamp() - 29,
        nbf=NOON.timestamp() + 30,
        iat=(NOON + timedelta(seconds=30)).timestamp(),
    )
    assert -29.0 == left_s
