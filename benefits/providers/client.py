"""The way out: HTTP to addresses we may reach, within a deadline, reading no more than a cap.

Invariants: every address is checked when it is dialled, after DNS, so that no name and no spelling
reaches an inside address that the installation did not list; plain http only goes to listed
addresses; proxies of the environment and redirects are not followed; `NotSent` is said only when
no connection stood, so that no byte of the request can have left (V-3).
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from types import SimpleNamespace
from typing import Literal, Self

import aiohttp
import msgspec
from yarl import URL

from benefits import traces
from benefits.domain.orders import NotSent, Unknown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Method = Literal["GET", "POST"]

BODY_MAX_BYTES = 64 * 1024
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# `ipaddress.is_global` lets NAT64, 6to4, IPv4-compatible and multicast pass: hence our own lists.
_PUBLIC_V6 = ip_network("2000::/3")
_SPECIAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)


def address_allowed(ip: Address, allowed_networks: Sequence[Network]) -> bool:
    """Say whether an address may be dialled: it is public, or in one of `allowed_networks`."""
    return _listed(ip, allowed_networks) or _public(_unmapped(ip))


def _public(ip: Address) -> bool:
    if ip.version == 6 and ip not in _PUBLIC_V6:
        return False
    return not _listed(ip, _SPECIAL)


def _listed(ip: Address, networks: Sequence[Network]) -> bool:
    return any(_unmapped(ip) in network for network in networks)


def _unmapped(ip: Address) -> Address:
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


class Response(msgspec.Struct, frozen=True):
    """What the other side answered, read to its end: header names lower-case, the body as sent."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Make requests; `allowed_networks` are the inside addresses this installation may reach.

    Use it as an async context manager, or close it.
    """

    def __init__(self, allowed_networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(allowed_networks)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        deadline_s: float,
        method: Method = "POST",
    ) -> Response | NotSent | Unknown:
        """Send `body` and return the whole answer, or whether the request may have left (V-3)."""
        reach = SimpleNamespace(connected=False)
        try:
            async with asyncio.timeout(deadline_s):
                return await self._send(method, url, headers, body, reach=reach)
        except TimeoutError:
            evidence = f"no complete answer within {deadline_s:g} s"
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
            evidence = type(error).__name__  # its words would tell the address, of a person maybe
        except (aiohttp.ClientError, OSError, ValueError) as error:
            evidence = f"{type(error).__name__}: {error}"
        return Unknown(evidence) if reach.connected else NotSent(evidence)

    async def _send(
        self,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        reach: SimpleNamespace,
    ) -> Response:
        session = self._session(url)
        sent = {**headers, **traces.outgoing()}
        # As it is written, and not made canonical: the other side checks what we signed.
        async with session.request(
            method,
            URL(url, encoded=url.isascii()),
            headers=sent,
            data=body or None,
            allow_redirects=False,
            trace_request_ctx=reach,
        ) as response:
            try:
                content = await _read(response)
            finally:
                response.close()  # after a whole answer the connection is back in the pool
            names = {name.lower(): value for name, value in response.headers.items()}
            return Response(response.status, names, content)

    def _session(self, url: str) -> aiohttp.ClientSession:
        scheme = url.partition(":")[0].lower()
        if scheme not in {"http", "https"}:
            msg = "only https (and, for listed addresses, http) is spoken"
            raise ValueError(msg)
        if scheme not in self._sessions:
            self._sessions[scheme] = _open(
                self._permits_plain if scheme == "http" else self._permits
            )
        return self._sessions[scheme]

    def _permits(self, ip: Address) -> bool:
        return address_allowed(ip, self._networks)

    def _permits_plain(self, ip: Address) -> bool:
        return _listed(ip, self._networks)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > BODY_MAX_BYTES:
            msg = f"the answer is longer than {BODY_MAX_BYTES} bytes"
            raise aiohttp.ClientPayloadError(msg)
    return bytes(content)


def _open(permits: Callable[[Address], bool]) -> aiohttp.ClientSession:
    """Open a session that dials only what `permits` and reports when a connection stands."""

    def dial(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, to = info
        ip = ip_address(to[0])
        if not permits(ip):
            raise PermissionError(errno.EACCES, f"the address {ip} may not be reached from here")
        return socket.socket(family, kind, protocol)

    async def connected(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.connected = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=dial, limit=0),  # whoever calls has bounds
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "benefits", "Accept-Encoding": "identity"},
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
        trace_configs=[trace],
    )
