"""Each sandbox is certified when it is good, and each way to break the contract is found."""

import asyncio
from typing import Any

import msgspec
import pytest

from benefits.certify.checks import CHECKS
from benefits.certify.kinds import KINDS
from benefits.certify.report import Verdict
from benefits.domain.orders import Callbacks, Capabilities, QueryBy, Rate
from benefits.domain.programme import Dialect, Provider
from benefits.sandbox import wechat
from benefits.sandbox.behaviour import MIXTURES, Behaviour
from benefits.sandbox.server import OpenSandbox
from tests.certify import faults
from tests.certify.bench import OPEN, PRODUCTS, WECHAT, certified, verdicts
from tests.wechat import THEIRS

ALL = {check.name for check in CHECKS}
# What is no capability: nothing is ever pending at WeChat, or of several pieces.
NOT_OF_PRODUCTS = {"used_there", "used_in_part", "pending", "several", "too_many"}
NOT_OF_WECHAT = {"confirm", *NOT_OF_PRODUCTS}


@pytest.mark.parametrize(
    ("config", "skipped"),
    [
        (OPEN, {"used_there", "used_in_part", "too_many"}),
        (WECHAT, NOT_OF_WECHAT),
        (PRODUCTS, NOT_OF_PRODUCTS),
    ],
    ids=["open", "wechat", "products"],
)
async def test_a_good_provider_passes(config: Provider, skipped: set[str]) -> None:
    """Every check that its capabilities declare holds; nothing that is left out is declared."""
    found = await certified(config)
    assert ALL == set(found)
    by = verdicts(found)
    assert [] == [(name, found[name].seen) for name in by[Verdict.FAIL]]
    assert skipped == set(by[Verdict.SKIPPED])
    assert all(one.promise and one.seen for one in found.values())


FEW = ("issue", "several", "confirm", "callback", "callback_stops", "callback_genuine", "too_many")
USED_THERE = msgspec.structs.replace(OPEN, capabilities=Capabilities(deadline_s=20.0))


async def test_uses_at_a_provider_are_told() -> None:
    """Which is what a provider promises whom nobody tells of uses."""
    found = await certified(USED_THERE, Behaviour.GOOD, "used_there", "used_in_part")
    assert {
        "used_there": (Verdict.PASS, "used, as a question and a callback say"),
        "used_in_part": (Verdict.PASS, "1 of 3 used, as a question and a callback say"),
    } == {name: (one.verdict, one.seen) for name, one in found.items()}


MAY = [
    (OPEN, Behaviour.SLOW),
    (OPEN, Behaviour.DELIVERS_PARTLY),
    (OPEN, Behaviour.CALLS_BACK_TWICE),
    (OPEN, Behaviour.CALLS_BACK_LATE),
    (OPEN, Behaviour.CALLS_BACK_DISORDERLY),
    (WECHAT, Behaviour.SLOW),
    (WECHAT, Behaviour.TOO_BUSY),
    (PRODUCTS, Behaviour.SLOW),
    (PRODUCTS, Behaviour.CALLS_BACK_TWICE),
    (PRODUCTS, Behaviour.CALLS_BACK_LATE),
    (PRODUCTS, Behaviour.CALLS_BACK_FORGED),  # a probe, which is refused
]


async def test_what_a_provider_may_do_passes() -> None:
    """Slowness, parts, repetition, lateness and disorder are provided for, and so is a pause."""
    busy = certified(OPEN, Behaviour.TOO_BUSY, "too_many", settings={"retry_after_s": 0.1})
    found = await asyncio.gather(busy, *(certified(*one, *FEW) for one in MAY))
    assert "1 turned away, not done, then taken" == found[0]["too_many"].seen
    failed = [
        (config.code, behaviour, name, one[name].seen)
        for (config, behaviour), one in zip(MAY, found[1:], strict=True)
        for name in verdicts(one)[Verdict.FAIL]
    ]
    assert [] == failed


BREAKS: list[tuple[Provider, Behaviour, str, dict[str, Any]]] = [
    (OPEN, Behaviour.TIMES_OUT, "issue", {}),
    (OPEN, Behaviour.DRIPS, "issue", {}),
    (OPEN, Behaviour.ANSWERS_FORGED, "signed", {}),
    (OPEN, Behaviour.ANSWERS_UNLISTED, "issue", {}),
    (OPEN, Behaviour.CALLS_BACK_FORGED, "callback_genuine", {}),
    (OPEN, Behaviour.LOSES_CALLBACKS, "callback", {"within_s": 0.2}),
    (OPEN, Behaviour.REJECTS_THEN_DELIVERS, "callback", {}),
    (OPEN, Behaviour.DELIVERS_THEN_REJECTS, "callback_final", {"quiet_s": 9.0}),
    (USED_THERE, Behaviour.LOSES_CALLBACKS, "used_there", {"within_s": 0.2}),
    (USED_THERE, Behaviour.LOSES_CALLBACKS, "used_in_part", {"within_s": 0.2}),
    (OPEN, Behaviour.NEVER_CALLS_BACK, "callback", {"within_s": 0.2}),
    (WECHAT, Behaviour.TIMES_OUT, "issue", {}),
    (WECHAT, Behaviour.DRIPS, "issue", {}),
    (WECHAT, Behaviour.ANSWERS_FORGED, "signed", {}),
    (WECHAT, Behaviour.ANSWERS_UNLISTED, "issue", {}),
    (PRODUCTS, Behaviour.TIMES_OUT, "confirm", {}),
    (PRODUCTS, Behaviour.ANSWERS_UNLISTED, "confirm", {}),
    (PRODUCTS, Behaviour.LOSES_CALLBACKS, "callback", {"within_s": 0.2}),
]


@pytest.mark.parametrize(("config", "behaviour", "check", "more"), BREAKS)
async def test_what_breaks_the_contract_is_found(
    config: Provider, behaviour: Behaviour, check: str, more: dict[str, Any]
) -> None:
    """The check that promises the contrary fails."""
    if behaviour is Behaviour.DRIPS:
        impatient = msgspec.structs.replace(config.capabilities, deadline_s=0.3)
        config = msgspec.structs.replace(config, capabilities=impatient)
    found = await certified(config, behaviour, check, **more)
    assert Verdict.FAIL is found[check].verdict, found[check].seen


def test_every_behaviour_is_judged() -> None:
    """A sandbox can do nothing of which nobody says whether a provider may.

    The two of WeChat treat what they share alike: one of them is judged for both.
    """
    fine = {Behaviour.GOOD, *MIXTURES, Behaviour.TOO_BUSY}
    for kinds, behaviours in (([OPEN], set(Behaviour)), ([WECHAT, PRODUCTS], {*wechat.EXPLAINED})):
        spoken = {one.dialect for one in kinds}
        judged = {one for config, one in MAY if config.dialect in spoken}
        judged |= {one for config, one, _, _ in BREAKS if config.dialect in spoken}
        assert behaviours - fine == judged - fine


FAULTS: dict[type[OpenSandbox], tuple[str, ...]] = {
    faults.DeliversAgain: ("repeat", "pending", "at_once", "cut_after"),
    faults.TakesAnyContent: ("other_content",),
    faults.HidesCodes: ("query",),
    faults.KnowsEverything: ("unknown_number", "confirm", "revoke"),
    faults.ServesEverybody: ("refused_recipient",),
    faults.CountsTwice: ("several",),
    faults.StumblesAtOnce: ("at_once",),
    faults.TakesHalves: ("cut_within",),
    faults.BelievesEverybody: ("changed_body", "unsigned", "stale", "foreign_key"),
    faults.BelievesAnyTime: ("stale",),
    faults.IgnoresOperations: ("other_address",),
    faults.FallsOver: ("malformed",),
    faults.NeverConfirms: ("confirm",),
    faults.GrantsUses: ("redeem",),
    faults.ForgetsReversals: ("reverse",),
    faults.ForgetsRevocations: ("revoke",),
    faults.TakesUsedBack: ("revoke_used",),
    faults.CallsBackOnce: ("callback_again",),
    faults.RenamesEvents: ("callback_again",),
    faults.NeverStops: ("callback_stops",),
    faults.TurnsAwayAndTakes: ("too_many",),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_fails_the_checks_that_are_about_it(fault: type[OpenSandbox]) -> None:
    """However good the rest of a provider is."""
    checks = FAULTS[fault]
    found = await certified(OPEN, Behaviour.GOOD, *checks, make=fault, within_s=0.3, quiet_s=9.0)
    assert dict.fromkeys(checks, Verdict.FAIL) == {n: one.verdict for n, one in found.items()}


def test_every_check_can_fail() -> None:
    """There is a provider for each that does not keep its promise."""
    failed = {name for checks in FAULTS.values() for name in checks}
    assert ALL == failed | {check for _, _, check, _ in BREAKS}


async def test_what_is_not_declared_is_skipped_and_says_so() -> None:
    """A check that does not concern a provider tells which capability is missing."""
    bare = Capabilities(revoke=False, callbacks=Callbacks.NONE, deadline_s=20.0)
    chosen = ("confirm", "redeem", "reverse", "revoke", "revoke_used", "callback")
    config = msgspec.structs.replace(OPEN, capabilities=bare)
    found = await certified(config, Behaviour.GOOD, *chosen)
    assert dict.fromkeys(chosen, Verdict.SKIPPED) == {n: o.verdict for n, o in found.items()}
    assert "revoke is not declared" == found["revoke_used"].seen


async def test_a_provider_that_cannot_be_asked_is_sent_the_same_again() -> None:
    """As the service does it: no question about a number, and no check that would send one."""
    chosen = ("repeat", "query", "unknown_number", "cut_after", "stale", "callback")
    unasked = msgspec.structs.replace(OPEN.capabilities, query=QueryBy.NONE)
    for config, skipped in (
        (msgspec.structs.replace(OPEN, capabilities=unasked), ["query", "unknown_number"]),
        (msgspec.structs.replace(WECHAT, wechat=THEIRS), ["unknown_number"]),
    ):
        found = await certified(config, Behaviour.GOOD, *chosen)
        by = verdicts(found)
        assert [] == [(name, found[name].seen) for name in by[Verdict.FAIL]]
        assert skipped == by[Verdict.SKIPPED]


async def test_the_rate_of_a_provider_is_kept() -> None:
    """No more at once than it takes, and a pause between calls."""
    able = msgspec.structs.replace(OPEN.capabilities, rate=Rate(per_second=50, burst=3))
    config = msgspec.structs.replace(OPEN, capabilities=able)
    found = await certified(config, Behaviour.GOOD, "at_once")
    assert "3 at once, one order" == found["at_once"].seen
    assert found["at_once"].seconds >= 0.05


def test_every_dialect_that_calls_somebody_can_be_certified() -> None:
    """One entry for each."""
    assert set(Dialect) - {Dialect.CODE_POOL, Dialect.INTERNAL} == set(KINDS)
