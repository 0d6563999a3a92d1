"""The way out: what may be dialled, how long and how much, and what is known to have left."""

import asyncio
import datetime as dt
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benefits.domain.orders import NotSent, Unknown
from benefits.providers.client import BODY_MAX_BYTES, Client, Response, address_allowed

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

BAD = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255"),
    *("127.0.0.1", "127.1.2.3", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.0.9", "192.0.0.10", "192.0.2.1", "192.88.99.1", "192.168.0.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("::ffff:0:7f00:1", "::5efe:7f00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1"),
    *("2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1"),
)
GOOD = (
    *("1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "223.5.5.5"),
    *("2606:4700:4700::1111", "2400:3200::1", "::ffff:8.8.8.8"),
)
SPELLINGS = (
    *("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0x7f000001", "127.1", "0177.0.0.1"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "[::]", "0.0.0.0", "localhost."),
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve a handler on a free loopback port."""
    app = web.Application()
    app.router.add_post("/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def listening(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Listen on a free loopback port and talk raw bytes."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def post(
    url: str, *, deadline_s: float = 5, client: Client | None = None
) -> Response | NotSent | Unknown:
    """Make one request, as an installation that lists loopback."""
    async with client or Client(LOOPBACK) as used:
        return await used.send(url, headers={"x-one": "1"}, body=b"{}", deadline_s=deadline_s)


async def answers(_: web.Request) -> web.Response:
    """Answer with a few bytes."""
    return web.Response(body=b"fine", headers={"X-Two": "2"})


@pytest.mark.parametrize("text", BAD)
def test_an_address_that_is_not_public_is_not_dialled(text: str) -> None:
    """Loopback, private, link-local, documentation, translated and multicast addresses are out."""
    assert not address_allowed(ip_address(text), ())


@pytest.mark.parametrize("text", GOOD)
def test_a_public_address_is_dialled(text: str) -> None:
    """Public addresses are allowed without being listed."""
    assert address_allowed(ip_address(text), ())


def test_a_listed_network_is_dialled_and_nothing_beside_it() -> None:
    """An inside address is allowed when its network is listed, however it is written."""
    listed = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32"))
    inside = ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5")
    outside = ("10.2.0.1", "127.0.0.1", "fd00:2::5")
    assert [address_allowed(ip_address(text), listed) for text in inside] == [True] * 3
    assert [address_allowed(ip_address(text), listed) for text in outside] == [False] * 3


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_an_inside_address_is_reached(scheme: str, host: str) -> None:
    """Names and odd literals of this machine end at the guard before a connection is made."""
    met = []

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer.get_extra_info("peername"))
        writer.close()

    async with listening(talk) as port:
        outcome = await post(f"{scheme}://{host}:{port}/", client=Client())
    assert isinstance(outcome, NotSent)
    assert met == []


async def test_plain_http_goes_to_listed_addresses_only() -> None:
    """A public address is not spoken to without TLS; this one is refused before it is dialled."""
    outcome = await post("http://192.0.2.1:9/", client=Client((ip_network("10.0.0.0/8"),)))
    assert isinstance(outcome, NotSent)
    assert "may not be reached" in outcome.evidence
    public = await post("http://1.1.1.1:9/", client=Client(LOOPBACK))
    assert isinstance(public, NotSent)
    assert "may not be reached" in public.evidence


async def test_a_listed_address_is_reached_and_its_answer_returned_whole() -> None:
    """On an installation that lists loopback the answer comes back with lower-case names."""
    async with serving(answers) as port:
        outcome = await post(f"http://localhost:{port}/")
    assert isinstance(outcome, Response)
    assert (outcome.status, outcome.body, outcome.headers["x-two"]) == (200, b"fine", "2")


async def test_the_request_arrives_as_it_was_signed() -> None:
    """Body, headers and address arrive untouched, once."""
    seen = []

    async def keep(request: web.Request) -> web.Response:
        seen.append((await request.read(), request.headers["x-one"], request.raw_path))
        return web.Response(status=500)

    async with serving(keep) as port:
        outcome = await post(f"http://127.0.0.1:{port}/a%2Ab*%7C")
    assert isinstance(outcome, Response)
    assert (outcome.status, seen) == (500, [(b"{}", "1", "/a%2Ab*%7C")])


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy variable does not reroute what we sign."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with serving(answers) as port:
        assert isinstance(await post(f"http://127.0.0.1:{port}/"), Response)


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    """The target of a redirect is never visited."""
    visited = []

    async def redirect(request: web.Request) -> web.Response:
        visited.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(redirect) as port:
        outcome = await post(f"http://127.0.0.1:{port}/here")
    assert isinstance(outcome, Response)
    assert (outcome.status, visited) == (307, ["/here"])


async def test_an_encoded_body_is_returned_as_sent() -> None:
    """Nothing is unpacked: signatures cover the bytes on the wire, and bombs stay small."""

    async def packed(_: web.Request) -> web.Response:
        return web.Response(body=b"not really gzip", headers={"Content-Encoding": "gzip"})

    async with serving(packed) as port:
        outcome = await post(f"http://127.0.0.1:{port}/")
    assert isinstance(outcome, Response)
    assert outcome.body == b"not really gzip"


async def test_a_dripping_answer_ends_at_the_deadline() -> None:
    """Bytes that keep coming do not extend the deadline; what was asked may have been done."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b".")
            await asyncio.sleep(0.02)
        return response

    async with serving(drip) as port:
        started = time.monotonic()
        outcome = await post(f"http://127.0.0.1:{port}/", deadline_s=0.3)
        taken = time.monotonic() - started
    assert outcome == Unknown("no complete answer within 0.3 s")
    assert taken < 1.5


async def test_calls_that_wait_keep_no_other_from_a_connection() -> None:
    """Many that a slow side keeps waiting take no place of another side's call."""
    free, kept = asyncio.Event(), 0

    async def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal kept
        kept += 1
        await free.wait()
        writer.close()

    async with listening(keep) as slow, serving(answers) as quick, Client(LOOPBACK) as client:

        async def call(port: int, deadline_s: float) -> Response | NotSent | Unknown:
            url = f"http://127.0.0.1:{port}/"
            return await client.send(url, headers={}, body=b"{}", deadline_s=deadline_s)

        waiting = [asyncio.create_task(call(slow, 60)) for _ in range(120)]
        async with asyncio.timeout(30):
            while kept < 100:
                await asyncio.sleep(0.01)
        assert isinstance(await call(quick, 20), Response)
        free.set()
        assert {Unknown} == {type(one) for one in await asyncio.gather(*waiting)}


async def test_an_answer_is_read_up_to_the_cap() -> None:
    """64 KB are an answer, one byte more or an endless body is Unknown."""

    async def sized(request: web.Request) -> web.StreamResponse:
        size = int(request.path.strip("/"))
        if size >= 0:
            return web.Response(body=bytes(size))
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(10_000))

    async with serving(sized) as port, Client(LOOPBACK) as client:
        outcomes = [
            await client.send(
                f"http://127.0.0.1:{port}/{size}", headers={}, body=b"", deadline_s=5
            )
            for size in (BODY_MAX_BYTES, BODY_MAX_BYTES + 1, -1)
        ]
    assert [type(outcome) for outcome in outcomes] == [Response, Unknown, Unknown]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"what?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header\x00: x\r\n\r\n",
    ],
)
async def test_a_connection_that_ends_without_a_whole_answer_is_unknown(sent: bytes) -> None:
    """Once the request was sent, a cut or garbled answer says nothing about what was done.

    The evidence tells no address, in which a person or a coupon may be named.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(sent)
        writer.close()

    async with listening(talk) as port:
        outcome = await post(f"http://127.0.0.1:{port}/users/o4711")
    assert isinstance(outcome, Unknown)
    assert "o4711" not in outcome.evidence


async def test_a_kept_connection_that_breaks_is_unknown() -> None:
    """A request on a reused connection may have arrived although the connection broke."""
    count = 0

    async def once(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        if count > 1 and request.transport:
            request.transport.abort()
        return web.Response()

    async with serving(once) as port, Client(LOOPBACK) as client:
        outcomes = [
            await client.send(f"http://127.0.0.1:{port}/", headers={}, body=b"", deadline_s=5)
            for _ in range(2)
        ]
    assert [type(outcome) for outcome in outcomes] == [Response, Unknown]
    assert count == 2


async def test_a_refused_connection_is_not_sent() -> None:
    """Nobody listens: nothing left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert isinstance(await post(f"http://127.0.0.1:{port}/"), NotSent)


async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    """No address: nothing left."""
    assert isinstance(await post("https://nobody.invalid/", deadline_s=3), NotSent)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1", "", "https://", "http://[::1"])
async def test_an_address_that_is_no_http_url_is_not_sent(url: str) -> None:
    """A badly configured address sends nothing."""
    assert isinstance(await post(url), NotSent)


async def test_a_failed_tls_handshake_is_not_sent() -> None:
    """Against a server that speaks plain HTTP, or says nothing, the request does not leave."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(answers) as port:
        assert isinstance(await post(f"https://127.0.0.1:{port}/"), NotSent)
    async with listening(silent) as port:
        assert isinstance(await post(f"https://127.0.0.1:{port}/", deadline_s=0.3), NotSent)


async def test_an_untrusted_certificate_is_not_sent(tmp_path: Path) -> None:
    """A certificate nobody vouches for ends the handshake before the request."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    async with serving(answers, tls) as port:
        outcome = await post(f"https://localhost:{port}/")
    assert isinstance(outcome, NotSent)
    assert "Certificate" in outcome.evidence


def self_signed(folder: Path) -> Path:
    """Write a key and a certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
