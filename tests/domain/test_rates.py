"""Rates: a bucket never lets more through than its quota, never less, and never rounds."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.rates import NS, Bucket, Quota, take

quotas = st.builds(Quota, st.integers(1, 1000), st.integers(1, 3600))
steps = st.lists(st.integers(0, 20 * NS), min_size=1, max_size=60)


@given(quotas, steps)
def test_a_bucket_is_the_one_of_the_textbook(quota: Quota, waits: list[int]) -> None:
    """It holds the quota, refills evenly and loses one a request: the same as in fractions."""
    level, now, bucket = Fraction(quota.requests), 0, None
    for wait in waits:
        now += wait
        level = min(
            Fraction(quota.requests), level + Fraction(wait * quota.requests, quota.window_ns)
        )
        taken = take(quota, bucket, now)
        assert (level >= 1) == taken.allowed
        level -= taken.allowed
        bucket = taken.bucket
        assert level == Fraction(bucket.parts, quota.window_ns)
        assert int(level) == taken.left


@given(quotas, steps)
def test_whoever_waits_as_told_gets_through_and_not_a_second_before(
    quota: Quota, waits: list[int]
) -> None:
    """`after_s` is the first whole second with a request, `whole_s` the first with all of them."""
    bucket, now = None, 0
    for wait in waits:
        now += wait
        taken = take(quota, bucket, now)
        bucket = taken.bucket
        later = now + taken.after_s * NS
        assert take(quota, bucket, later).allowed
        if taken.after_s:
            assert not take(quota, bucket, later - NS).allowed
        full = take(quota, bucket, now + taken.whole_s * NS, requests=0)
        assert (quota.requests, 0) == (full.left, full.whole_s)


@given(quotas, st.integers(0, 10**6), st.integers(0, 10**6))
def test_within_any_time_no_more_pass_than_the_quota_and_what_came_back(
    quota: Quota, tries: int, nanoseconds: int
) -> None:
    """However the tries are spread over a time, their sum is bounded."""
    bucket, passed, tries = None, 0, tries % 2000
    for number in range(tries):
        taken = take(quota, bucket, nanoseconds * number // max(tries, 1))
        bucket, passed = taken.bucket, passed + taken.allowed
    back = Fraction(nanoseconds * quota.requests, quota.window_ns)
    assert passed <= quota.requests + back


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    """An earlier instant refills nothing and costs nothing but the request."""
    quota = Quota(2, 1)
    taken = take(quota, Bucket(quota.whole, 5 * NS), 4 * NS)
    assert (True, 1, Bucket(quota.window_ns, 5 * NS)) == (taken.allowed, taken.left, taken.bucket)


def test_looking_takes_nothing() -> None:
    """A look tells whether there is a request, and leaves it there."""
    quota = Quota(1, 60)
    look = take(quota, None, 0, requests=0)
    assert (True, 1) == (look.allowed, look.left)
    empty = take(quota, look.bucket, 0).bucket
    assert (False, 60) == (
        take(quota, empty, 0, requests=0).allowed,
        take(quota, empty, 0, requests=0).after_s,
    )
