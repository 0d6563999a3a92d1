"""How often one may ask: buckets of callers, members and addresses, in the memory of this process.

Each process counts for itself: behind a balancer a caller gets about as many times its rate as
there are processes. A quota of None is not limited. Buckets not asked for the longest are
forgotten first; a forgotten bucket is a full one.

What was taken for a request is told with its answer, as `RateLimit` and `RateLimit-Policy`.
"""

import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.rates import Bucket, Quota, RateLimited, Taken, take

BUCKETS_MAX = 100_000
TOLD = "benefits.rates"
CREDENTIALS = "keys or tokens"


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """How often each caller, each member and each failing address may ask; None: as they like."""

    # A backend speaks for every member: only one that has run wild meets this.
    caller: Quota | None = Quota(100_000, 10)
    member: Quota | None = Quota(120, 60)
    failed: Quota | None = Quota(300, 60)


class _Policy:
    """The buckets of one quota."""

    def __init__(self, quota: Quota | None) -> None:
        self.quota = quota
        self._buckets = OrderedDict[Any, Bucket]()

    def take(self, key: Any, requests: int = 1) -> Taken | None:
        """Take from a bucket; None when nothing is limited."""
        if self.quota is None:
            return None
        now_ns = time.monotonic_ns()
        taken = take(self.quota, self._buckets.get(key), now_ns, requests=requests)
        self._buckets[key] = taken.bucket
        self._buckets.move_to_end(key)
        while len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return taken


class Rates:
    """The buckets of this process."""

    def __init__(self, quotas: Quotas) -> None:
        """Begin with every bucket full."""
        self._caller = _Policy(quotas.caller)
        self._member = _Policy(quotas.member)
        self._failed = _Policy(quotas.failed)

    def caller(self, scope: Any, name: str) -> None:
        """Count a request of a caller (RateLimited)."""
        self._count(scope, "caller", self._caller, name)

    def member(self, scope: Any, member_id: UUID) -> None:
        """Count a request of or for a member (RateLimited)."""
        self._count(scope, "member", self._member, member_id)

    def check_failures(self, peer: str) -> None:
        """Refuse an address that has spent its tries (RateLimited)."""
        self._failure(peer, 0)

    def failure(self, peer: str, what: str = CREDENTIALS) -> None:
        """Count what an address sent and was refused (RateLimited); each kind has its own tries.

        Called after looking, it stops nobody who shares the address and sends what is good.
        """
        self._failure(peer, 1, what)

    def _failure(self, peer: str, requests: int, what: str = CREDENTIALS) -> None:
        taken = self._failed.take((what, _network(peer)), requests)
        if taken is not None and not taken.allowed:
            raise RateLimited(f"Too many refused {what}.", after_s=taken.after_s)

    @staticmethod
    def _count(scope: Any, name: str, policy: _Policy, key: Any) -> None:
        taken = policy.take(key)
        if taken is None or policy.quota is None:
            return
        told = scope.setdefault(TOLD, {})
        told[name] = (policy.quota, taken)
        if not taken.allowed:
            raise RateLimited(after_s=taken.after_s)


def told_headers(scope: Any) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell what was taken for a request, if anything was."""
    told: dict[str, tuple[Quota, Taken]] = scope.get(TOLD, {})
    if not told:
        return []
    policies = [f'"{name}";q={q.requests};w={q.window_s}' for name, (q, _) in told.items()]
    states = [f'"{name}";r={t.left};t={t.whole_s}' for name, (_, t) in told.items()]
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(states).encode()),
    ]


def _network(peer: str) -> str:
    """Return what one customer of a network holds: an address, of IPv6 the first 64 bits."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
