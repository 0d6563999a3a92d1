"""The sandbox's callbacks on their way: signed, sent until acknowledged, resumed by a restart."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence

import aiohttp

from benefits.domain.signature import signed_headers
from benefits.sandbox.book import Book, OwedCallback

_AT_ONCE = 20
_TIMEOUT = aiohttp.ClientTimeout(total=5)


Signed = Callable[[OwedCallback, int], dict[str, str]]  # the headers of a try at a unix time


def webhooks(secrets: Sequence[bytes]) -> Signed:
    """Sign as in Standard Webhooks; what is forged, with a secret that nobody knows."""
    forgers = (os.urandom(32),)

    def signed(callback: OwedCallback, at_unix: int) -> dict[str, str]:
        keys = forgers if callback.forged else secrets
        return signed_headers(keys, callback.id, at_unix, callback.body)

    return signed


class Deliveries:
    """Deliver what the book owes to `url`; after failures wait as in `retry_s`, its last again.

    Each try is signed anew. After so many `tries` one is given up; what is forged, when each pause
    was made once: it will never be acknowledged.
    """

    def __init__(
        self,
        book: Book,
        *,
        url: str,
        signed: Signed,
        retry_s: Sequence[float],
        tries: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._url = url
        self._signed = signed
        self._retry_s = retry_s
        self._tries = tries
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look again now: something may have become due."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session:
            while True:
                self._woken.clear()
                due = self._book.due(self._clock(), _AT_ONCE)
                await asyncio.gather(*(self._deliver(session, callback) for callback in due))
                if not due:
                    await self._rest()

    async def _rest(self) -> None:
        at = self._book.next_due()
        wait_s = None if at is None else max(at - self._clock(), 0.001)
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _deliver(self, session: aiohttp.ClientSession, callback: OwedCallback) -> None:
        now = self._clock()
        headers = self._signed(callback, int(now))
        try:
            async with session.post(
                self._url,
                data=callback.body,
                headers={**headers, "content-type": "application/json"},
                allow_redirects=False,
            ) as response:
                acknowledged = 200 <= response.status < 300
        except (aiohttp.ClientError, OSError, ValueError):
            acknowledged = False
        if acknowledged:
            self._book.delivered(callback)
        elif callback.attempts + 1 == self._tries or (
            callback.forged and callback.attempts >= len(self._retry_s)
        ):
            self._book.given_up(callback)
        else:
            wait_s = self._retry_s[min(callback.attempts, len(self._retry_s) - 1)]
            self._book.postponed(callback, now + wait_s)
