"""Breakers and rates: what is left alone, for how long, and that it is never left for ever."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.circuits import (
    PAUSE_MAX_S,
    Circuit,
    Heard,
    Stand,
    Tokens,
    hear,
    hear_all,
    probing,
    refilled,
    spent,
    stand,
)
from benefits.domain.orders import (
    Done,
    NotFound,
    NotSent,
    Outcome,
    Pending,
    Rate,
    Reason,
    Rejected,
    Unknown,
)

NOW = datetime(2025, 7, 1, 4, 0, 30, tzinfo=UTC)
DONE, SILENT = Done(at=NOW), Unknown("timeout")


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        ([], ""),
        ([SILENT] * 9, ""),
        ([SILENT] * 10, "FAILING"),
        ([NotSent("refused connection")] * 10, "FAILING"),
        ([DONE] * 4 + [SILENT] * 9, ""),
        ([DONE] * 4 + [SILENT] * 10, "FAILING"),
        ([SILENT] * 7 + [DONE] * 3, ""),  # what succeeds opens nothing
        ([SILENT] * 7 + [DONE] * 3 + [SILENT], "FAILING"),
        ([NotFound()] * 20 + [Pending()] * 20, ""),
        ([Rejected(Reason.NOT_ELIGIBLE, "no")] * 20, ""),
        ([Rejected(Reason.STOCK_OUT, "no")] * 20, ""),
        ([Rejected(Reason.AUTH, "no")], "AUTH"),
        ([DONE] * 100 + [Rejected(Reason.CONFIG, "no")], "CONFIG"),
        ([Rejected(Reason.BUDGET, "no"), SILENT], "BUDGET"),
    ],
)
def test_a_breaker_opens_for_a_fault_of_ours_or_many_failures(
    outcomes: list[Outcome], why: str
) -> None:
    """At once when we are refused; else when 7 of 10 calls or more failed in five minutes."""
    circuit = hear_all(Circuit(), map(Heard, outcomes), NOW)
    assert (why, bool(why)) == (circuit.why, circuit.is_open)


def test_failures_are_forgotten_after_five_minutes() -> None:
    """Nine now and one in the sixth minute are not ten."""
    circuit = hear_all(Circuit(), [Heard(SILENT)] * 9, NOW)
    assert "" == hear(circuit, Heard(SILENT), NOW + timedelta(minutes=5)).why
    assert "FAILING" == hear(circuit, Heard(SILENT), NOW + timedelta(minutes=4)).why


def test_pauses_grow_while_probes_fail_and_end_with_one_success() -> None:
    """30 s, doubling, at most 15 minutes; late answers of other calls change nothing."""
    circuit, now = hear(Circuit(), Heard(Rejected(Reason.AUTH, "no")), NOW), NOW
    pauses_s = []
    for _ in range(7):
        assert circuit.paused_until is not None
        pauses_s.append((circuit.paused_until - now).total_seconds())
        assert circuit == hear_all(circuit, [Heard(DONE), Heard(SILENT)], now)
        now = circuit.paused_until
        until = now + timedelta(seconds=45)
        circuit = hear(probing(circuit, until), Heard(SILENT, until), now)
    assert [30, 60, 120, 240, 480, 900, PAUSE_MAX_S] == pauses_s
    now = circuit.paused_until or now
    assert Stand.PROBE is stand(circuit, now)
    until = now + timedelta(seconds=45)
    assert Circuit() == hear(probing(circuit, until), Heard(DONE, until), now)


steps = st.lists(
    st.tuples(
        st.sampled_from(["call", "answer", "lose"]),
        st.sampled_from([DONE, SILENT, Rejected(Reason.AUTH, "no"), Rejected(Reason.LIMIT, "l")]),
        st.integers(0, 400),
    ),
    max_size=60,
)


@given(steps)
def test_of_an_open_breaker_one_probe_is_under_way_and_a_closed_one_stops_nothing(
    taken: list[tuple[str, Outcome, int]],
) -> None:
    """Whatever is answered, late, or never, in whatever order."""
    circuit, now = Circuit(), NOW
    under_way: list[datetime | None] = []  # calls, and of probes until when they are leased
    for step, outcome, wait_s in taken:
        now += timedelta(seconds=wait_s)
        alive = [until for until in under_way if until is not None and until > now]
        assert len(alive) <= 1
        if not circuit.is_open:
            assert Stand.CLOSED is stand(circuit, now)
        if step == "call":
            match stand(circuit, now):
                case Stand.CLOSED:
                    under_way.append(None)
                case Stand.PROBE:
                    assert [] == alive
                    until = now + timedelta(seconds=45)
                    circuit = probing(circuit, until)
                    under_way.append(until)
                case Stand.PAUSED:
                    assert circuit.is_open
        elif step == "answer" and under_way:
            circuit = hear(circuit, Heard(outcome, under_way.pop(0)), now)
        elif under_way:
            under_way.pop(0)
    assert Stand.PAUSED is not stand(circuit, now + timedelta(seconds=PAUSE_MAX_S + 45))


@given(
    st.floats(0.1, 100),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 50)), max_size=40),
)
def test_no_more_calls_go_than_the_rate_allows(
    per_second: float, burst: int, asked: list[tuple[float, int]]
) -> None:
    """In any time: the burst, and what came in since."""
    rate, now, went = Rate(per_second=per_second, burst=burst), NOW, 0
    tokens: Tokens | None = None
    for wait_s, calls in asked:
        now += timedelta(seconds=wait_s)
        held = refilled(tokens, rate, now)
        going = min(calls, int(held.left))
        tokens, went = spent(held, going), went + going
    assert went <= burst + (now - NOW).total_seconds() * per_second + 1e-6
