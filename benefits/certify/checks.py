"""The closed list of checks: their names, whom each concerns, and how they are run."""

import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from benefits.certify import callbacks, orders, trust, uses
from benefits.certify.bench import Bench, Broken, Skipped
from benefits.certify.report import Finding, Verdict
from benefits.domain.orders import Callbacks, Capabilities, RedeemBy


def _everybody(_: Capabilities) -> str:
    return ""


def _two_phase(able: Capabilities) -> str:
    return "" if able.two_phase else "two_phase is not declared"


def _redeems(able: Capabilities) -> str:
    return "" if able.redeem_by is RedeemBy.US else 'redeem_by is not "US"'


def _told(able: Capabilities) -> str:
    return "" if able.redeem_by is RedeemBy.PROVIDER else 'redeem_by is not "PROVIDER"'


def _reverses(able: Capabilities) -> str:
    return _redeems(able) or ("" if able.reverse else "reverse is not declared")


def _revokes(able: Capabilities) -> str:
    return "" if able.revoke else "revoke is not declared"


def _revokes_used(able: Capabilities) -> str:
    return _revokes(able) or _redeems(able)


def _calls_back(able: Capabilities) -> str:
    return 'callbacks is "NONE"' if able.callbacks is Callbacks.NONE else ""


class Check(msgspec.Struct, frozen=True):
    """A check: what it does is also what it is called, and its first line what it promises.

    `lacks` says which capability is missing, if one is.
    """

    run: Callable[[Bench], Awaitable[str]]
    lacks: Callable[[Capabilities], str] = _everybody

    @property
    def name(self) -> str:
        """Return the check's name."""
        return str(getattr(self.run, "__name__", ""))

    @property
    def promise(self) -> str:
        """Return what the provider promises."""
        return (self.run.__doc__ or "").strip()


CHECKS = (
    Check(orders.issue),
    Check(trust.signed),
    Check(orders.repeat),
    Check(orders.other_content),
    Check(orders.query),
    Check(orders.unknown_number),
    Check(orders.refused_recipient),
    Check(orders.pending),
    Check(orders.several),
    Check(orders.at_once),
    Check(orders.cut_after),
    Check(orders.cut_within),
    Check(trust.changed_body),
    Check(trust.unsigned),
    Check(trust.stale),
    Check(trust.foreign_key),
    Check(trust.other_address),
    Check(trust.malformed),
    Check(uses.confirm, _two_phase),
    Check(uses.used_there, _told),
    Check(uses.used_in_part, _told),
    Check(uses.redeem, _redeems),
    Check(uses.reverse, _reverses),
    Check(uses.revoke, _revokes),
    Check(uses.revoke_used, _revokes_used),
    Check(callbacks.callback, _calls_back),
    Check(callbacks.callback_again, _calls_back),
    Check(callbacks.callback_stops, _calls_back),
    Check(callbacks.callback_final, _calls_back),
    Check(callbacks.callback_genuine, _calls_back),
    Check(orders.too_many),
)


async def certify(
    on: Bench, checks: Sequence[Check], tell: Callable[[Finding], None]
) -> tuple[Finding, ...]:
    """Run checks one after the other, and tell each finding as it is made."""
    findings = []
    for check in checks:
        began = time.monotonic()
        verdict, seen = await _judged(on, check)
        finding = Finding(
            check=check.name,
            verdict=verdict,
            promise=check.promise,
            seen=seen,
            orders=on.used_numbers(),
            seconds=round(time.monotonic() - began, 3),
        )
        tell(finding)
        findings.append(finding)
    return tuple(findings)


async def _judged(on: Bench, check: Check) -> tuple[Verdict, str]:
    if why := check.lacks(on.capabilities):
        return Verdict.SKIPPED, why
    try:
        return Verdict.PASS, await check.run(on)
    except Broken as broken:
        return Verdict.FAIL, str(broken)
    except Skipped as skipped:
        return Verdict.SKIPPED, str(skipped)
