"""When a provider asks us to wait: in which words, how long, and what it says of the order."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.orders import NotSent, Unknown
from benefits.providers.client import Response
from tests.providers.test_open import NUMBER, OTHER, SECRET, Answering, answering, outcome_of


def waiting(status: int, retry_after: str, *, secret: bytes = SECRET) -> Answering:
    """Answer that nothing was done, and when to come again."""
    content = {"number": NUMBER, "status": "not_processed"}

    def answer(url: str, headers: Mapping[str, str], body: bytes) -> Response:
        made = answering(content, status=status, secret=secret)(url, headers, body)
        assert isinstance(made, Response)
        return Response(status, {**made.headers, "retry-after": retry_after}, made.body)

    return answer


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("", 0),
        ("Tue, 01 Jul 2025 04:01:00 GMT", 60),
        ("Tue, 01 Jul 2025 12:01:00 +0800", 60),
        ("Tue, 01 Jul 2025 04:01:00 -0000", 60),
        ("Tue, 01 Jul 2025 03:59:00 GMT", 0),
        ("Tue, 01 Jul 2035 04:00:00 GMT", 86_400),
        ("9" * 5000, 86_400),
        ("-1", 0),
        ("1.5", 0),
        ("\u0663", 0),
        ("soon", 0),
        ("Tue, 01 Jul 99999999999999999999 04:01:00 GMT", 0),
    ],
)
async def test_what_was_not_processed_is_sent_again_when_the_wait_is_over(
    retry_after: str, wait_s: int
) -> None:
    """Signed, a 429 says that nothing was done; it names seconds or a date, a day at most."""
    outcome = await outcome_of(waiting(429, retry_after))
    assert outcome == NotSent("HTTP 429, not processed", wait_s)


@pytest.mark.parametrize(("status", "wait_s"), [(429, 9), (503, 9), (500, 0), (200, 0)])
async def test_without_a_signature_the_wait_is_kept_and_the_order_unknown(
    status: int, wait_s: int
) -> None:
    """A gateway may say so without knowing what the provider did."""
    outcome = await outcome_of(waiting(status, "9", secret=OTHER))
    assert outcome == Unknown(f"HTTP {status}, no signature matches", wait_s)


@given(st.text(max_size=40) | st.from_regex(r"\A\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w+\Z"))
async def test_no_retry_after_makes_us_fall_over(text: str) -> None:
    """It is nobody's word but the sender's."""
    outcome = await outcome_of(waiting(429, text))
    assert isinstance(outcome, NotSent)
    assert 0 <= outcome.wait_s <= 86_400
