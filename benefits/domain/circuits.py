"""When a provider is left alone, and how often it may be called: breakers and rates (V-3).

A *circuit* is what calls for one SKU of one provider came to. It opens at once when a provider
refuses us for a fault of ours, and when most of many calls fail; then nothing is sent until
`paused_until`. After that one call goes, the *probe*: its success closes the circuit, its failure
makes the next pause longer.

    closed --fault of ours, or 7 of 10 fail--> paused --time--> one probe --success--> closed
                                                  ^                 |
                                                  `--- failure -----'

Invariants: a closed circuit stops nothing; of an open one never two probes are under way. A pause
is no failure of an order: no attempt is used up.
"""

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from benefits.domain.orders import NotSent, Outcome, Rate, Reason, Rejected, Unknown

WINDOW = timedelta(minutes=5)
CALLS_MIN = 10
FAILING_OF_TEN = 7
PAUSE_S = 30
PAUSE_MAX_S = 900
FAILING = "FAILING"
# What is wrong with us, not with the customer.
OURS = frozenset({Reason.AUTH, Reason.CONFIG, Reason.BUDGET})


class Stand(enum.Enum):
    """What a circuit lets through: everything, nothing, or one probe that is not yet under way."""

    CLOSED = "CLOSED"
    PAUSED = "PAUSED"
    PROBE = "PROBE"


class Minute(msgspec.Struct, frozen=True):
    """How many calls were answered in a minute, and how many of them failed."""

    at: datetime
    calls: int
    failures: int


class Circuit(msgspec.Struct, frozen=True):
    """What the calls for a SKU came to: the last minutes, and why and until when it is paused.

    `pauses` are those in a row; `probing_until` is when the lease of the probe ends.
    """

    minutes: tuple[Minute, ...] = ()
    why: str = ""
    paused_until: datetime | None = None
    pauses: int = 0
    probing_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Say whether not everything may go."""
        return self.paused_until is not None


class Heard(msgspec.Struct, frozen=True):
    """What came of one call; of a probe, when its lease ended."""

    outcome: Outcome
    probe_until: datetime | None = None


def stand(circuit: Circuit, now: datetime) -> Stand:
    """Return what a circuit lets through now; a probe whose lease lapsed is none any more."""
    if circuit.paused_until is None:
        return Stand.CLOSED
    busy = circuit.probing_until is not None and circuit.probing_until > now
    return Stand.PAUSED if busy or circuit.paused_until > now else Stand.PROBE


def probing(circuit: Circuit, until: datetime) -> Circuit:
    """Return the circuit with its probe under way."""
    return replace(circuit, probing_until=until)


def fault_of(outcome: Outcome) -> str:
    """Return why an outcome is a failure of the provider's or a fault of ours; empty if neither.

    Any other answer, also a refusal, says that the provider is there.
    """
    match outcome:
        case Rejected() if outcome.reason in OURS:
            return outcome.reason.value
        case NotSent() | Unknown():
            return FAILING
        case _:
            return ""


def hear(circuit: Circuit, heard: Heard, now: datetime) -> Circuit:
    """Return what a circuit is after a call; of an open one only its probe decides."""
    fault = fault_of(heard.outcome)
    if circuit.paused_until is not None:
        if heard.probe_until is None or heard.probe_until != circuit.probing_until:
            return circuit
        return _paused(circuit, fault, now) if fault else Circuit()
    if fault not in {"", FAILING}:
        return _paused(circuit, fault, now)
    counted = replace(circuit, minutes=_counted(circuit.minutes, now, failed=bool(fault)))
    calls = sum(one.calls for one in counted.minutes)
    failures = sum(one.failures for one in counted.minutes)
    if fault and calls >= CALLS_MIN and 10 * failures >= FAILING_OF_TEN * calls:
        return _paused(counted, FAILING, now)
    return counted


def hear_all(circuit: Circuit, heard: Iterable[Heard], now: datetime) -> Circuit:
    """Return what a circuit is after calls, one after the other."""
    for one in heard:
        circuit = hear(circuit, one, now)
    return circuit


def _paused(circuit: Circuit, why: str, now: datetime) -> Circuit:
    pauses = circuit.pauses + 1
    wait_s = min(PAUSE_S * 2 ** min(pauses - 1, 10), PAUSE_MAX_S)
    return Circuit(why=why, paused_until=now + timedelta(seconds=wait_s), pauses=pauses)


def _counted(minutes: tuple[Minute, ...], now: datetime, *, failed: bool) -> tuple[Minute, ...]:
    """Count a call in its minute, and forget what is older than the window."""
    at = now.replace(second=0, microsecond=0)
    kept = [one for one in minutes if one.at != at and one.at > at - WINDOW]
    same = next((one for one in minutes if one.at == at), Minute(at, 0, 0))
    return (*kept, Minute(at, same.calls + 1, same.failures + failed))


class Tokens(msgspec.Struct, frozen=True):
    """How many calls of a provider may go at once, as of an instant."""

    left: float
    at: datetime


def refilled(tokens: Tokens | None, rate: Rate, now: datetime) -> Tokens:
    """Return the tokens that are there now: as many as came since, never more than the burst."""
    if tokens is None:
        return Tokens(float(rate.burst), now)
    since_s = max((now - tokens.at).total_seconds(), 0.0)
    left = min(tokens.left + since_s * rate.per_second, float(rate.burst))
    return Tokens(left, max(now, tokens.at))


def spent(tokens: Tokens, calls: int) -> Tokens:
    """Return what is left after calls, each of which took a whole token."""
    assert calls <= tokens.left, "no more calls go than there are tokens"
    return replace(tokens, left=tokens.left - calls)
