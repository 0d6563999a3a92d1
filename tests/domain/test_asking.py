"""What is asked of providers, and when: nothing is issued twice, and nobody is asked for ever."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import (
    Capabilities,
    Operation,
    Outcome,
    Unknown,
    backoff,
    believed,
    next_operation,
    next_query_at,
    spread,
)
from tests.builders import NOON
from tests.domain.test_orders import (
    DONE,
    NOT_SENT,
    PENDING,
    REJECTED,
    REVOKED,
    UNKNOWN,
    USED,
)

ALL: list[Outcome] = [DONE, USED, PENDING, REJECTED, UNKNOWN, REVOKED, NOT_SENT]


@pytest.mark.parametrize("outcome", ALL)
def test_only_not_found_is_weighed(outcome: Outcome) -> None:
    """Every other answer is worth what it says, whenever it comes."""
    assert outcome == believed(outcome, sent_by=NOON, now=NOON, grace_s=600)


@pytest.mark.parametrize("after_s", [0, 599, 600])
def test_an_order_that_was_sent_again_is_refused_only_after_the_grace(after_s: int) -> None:
    """The send before may still be under way, and what it brings would be given (V-3)."""
    doubt = Unknown("sent again and refused, within the grace: E7")
    now = NOON + timedelta(seconds=after_s)
    for outcome, is_resent, expected in (
        (REJECTED, False, REJECTED),
        (REJECTED, True, REJECTED if after_s == 600 else doubt),
        (DONE, True, DONE),
    ):
        assert expected == believed(
            outcome, sent_by=NOON, now=now, grace_s=600, is_resent=is_resent
        )


@pytest.mark.parametrize(
    ("asked", "last", "outcome", "does"),
    [
        (Operation.ISSUE, None, "", Operation.ISSUE),
        (Operation.ISSUE, Operation.ISSUE, "not_sent", Operation.ISSUE),
        (Operation.ISSUE, Operation.ISSUE, "", Operation.QUERY),
        (Operation.ISSUE, Operation.ISSUE, "unknown", Operation.QUERY),
        (Operation.ISSUE, Operation.ISSUE, "pending", Operation.QUERY),
        (Operation.ISSUE, Operation.QUERY, "not_sent", Operation.QUERY),
        (Operation.ISSUE, Operation.QUERY, "not_found", Operation.QUERY),
        (Operation.REVOKE, None, "", Operation.REVOKE),
        (Operation.REVOKE, Operation.REVOKE, "unknown", Operation.REVOKE),
        (Operation.REVOKE, Operation.REVOKE, "pending", Operation.QUERY),
        (Operation.REVOKE, Operation.QUERY, "done", Operation.REVOKE),
        (Operation.REVOKE, Operation.QUERY, "pending", Operation.REVOKE),
    ],
)
def test_nothing_is_issued_twice(
    asked: Operation, last: Operation | None, outcome: str, does: Operation
) -> None:
    """After an attempt that may have arrived we ask, also after a crash told nothing (V-3)."""
    assert does is next_operation(asked, last, outcome)


def test_queries_back_off_and_then_a_person_decides() -> None:
    """15 s, 30 s, 1 min and so on to a day, then nothing more (V-3)."""
    schedule = Capabilities().query_schedule_s
    waits = [next_query_at(n, schedule, NOON, UUID(int=7)) for n in range(len(schedule) + 1)]
    spreads = [spread(timedelta(seconds=s), UUID(int=7), n) for n, s in enumerate(schedule)]
    assert [*(NOON + wait for wait in spreads), None] == waits
    assert (15, 30, 60, 180, 600) == schedule[:5]


def test_what_could_not_be_sent_is_tried_again_ever_later() -> None:
    """Five seconds, doubling, at most ten minutes, however often."""
    turns, request_id = (1, 2, 3, 7, 8, 100), UUID(int=7)
    spreads = [
        spread(timedelta(seconds=s), request_id, turn)
        for turn, s in zip(turns, (5, 10, 20, 320, 600, 600), strict=True)
    ]
    assert spreads == [backoff(turn, request_id) for turn in turns]


@given(st.integers(1, 604_800), st.integers(0, 200))
def test_requests_that_failed_together_come_back_apart(wait_s: int, turn: int) -> None:
    """Each by at most a fifth sooner, the same whenever it is reckoned, the next time another."""
    wait = timedelta(seconds=wait_s)
    waits = [spread(wait, UUID(int=n << 40), turn) for n in range(200)]
    assert waits == [spread(wait, UUID(int=n << 40), turn) for n in range(200)]
    assert 0.8 * wait <= min(waits) < 0.83 * wait
    assert 0.97 * wait < max(waits) <= wait
    assert spread(wait, UUID(int=1), turn) != spread(wait, UUID(int=1), turn + 1)


@given(st.sampled_from(ALL))
def test_an_outcome_is_stored_and_read_back(outcome: Outcome) -> None:
    """Every outcome survives its encoding, the kind included."""
    assert outcome == msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome)
