"""Rates: a bucket of requests that refills evenly, in whole numbers.

A quota of `requests` in `window_s` lets that many through at once and gives them back evenly
within the window. A bucket counts in parts: a request is as many parts as the window has
nanoseconds, and each nanosecond gives back as many parts as the quota has requests; so nothing is
ever rounded.

    parts:  0 .. requests x window      one request: window      one nanosecond: requests
"""

import msgspec

from benefits.domain.refusal import Refusal

NS = 1_000_000_000


class RateLimited(Refusal):
    """The caller, the member or the address has asked too often."""

    code = "rate_limited"
    words = "Too many requests. Ask again later."

    def __init__(self, detail: str = "", *, after_s: int = 1) -> None:
        """Say no for the next `after_s` seconds."""
        super().__init__(detail)
        self.after_s = after_s


class Quota(msgspec.Struct, frozen=True):
    """At most `requests` at once, given back evenly within `window_s` seconds."""

    requests: int
    window_s: int

    @property
    def window_ns(self) -> int:
        """The window in nanoseconds, which is also what a request costs in parts."""
        return self.window_s * NS

    @property
    def whole(self) -> int:
        """The parts of a full bucket."""
        return self.requests * self.window_ns


class Bucket(msgspec.Struct, frozen=True):
    """How many parts there were at an instant, in nanoseconds of any steady clock."""

    parts: int
    at_ns: int


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A try to take a request: the bucket afterwards, whether there was one, and what is left.

    `after_s` is when there is one again (0: now), `whole_s` when the bucket is full, rounded up.
    """

    bucket: Bucket
    allowed: bool
    left: int
    after_s: int
    whole_s: int


def take(quota: Quota, bucket: Bucket | None, now_ns: int, *, requests: int = 1) -> Taken:
    """Take `requests` from a bucket; a missing one is full. Taking none looks only."""
    window, whole, back = quota.window_ns, quota.whole, quota.requests * NS
    parts, at_ns = whole, now_ns
    if bucket is not None:
        at_ns = max(bucket.at_ns, now_ns)
        parts = min(whole, bucket.parts + (at_ns - bucket.at_ns) * quota.requests)
    cost = requests * window
    allowed = parts >= max(cost, window)
    if allowed:
        parts -= cost
    return Taken(
        bucket=Bucket(parts, at_ns),
        allowed=allowed,
        left=parts // window,
        after_s=-(-max(0, window - parts) // back),  # rounded up, as below
        whole_s=-(-(whole - parts) // back),
    )
