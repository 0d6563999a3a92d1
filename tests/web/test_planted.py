"""What is secret is planted wherever it comes in, and looked for wherever anything is written.

Phones, card codes, customer references, and keys: ours, callers' and providers'. A provider of the
contract `open` tells it all back in answers that are wrong in each way; codes lie in stock beside.
For WeChat's see `tests/sandbox/test_wechat_bank`.
"""

import io
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

from benefits import logs, traces
from benefits.domain.orders import Capabilities
from benefits.domain.signature import parse_secret, signed_headers
from benefits.providers.client import Client, Method, Response
from benefits.providers.http import HttpProvider
from benefits.providers.open import OpenDialect
from benefits.store.schema import metadata
from benefits.worker import Worker
from tests.actions.life import gift, give
from tests.actions.test_code_pool import bring, with_coffee
from tests.builders import MEMBER_KEY
from tests.web.site import SECRET, Site
from tests.web.test_callbacks import call_back
from tests.web.test_operator import ask

PHONE, CARD, STOCKED = "13812349876", "PLANTED-4829135", "PLANTED-5513907"
PLACED = {"recipient": {"phone": PHONE}}


class Babbling(Client):
    """A client whose provider repeats what it was sent, wrongly in one way after the other."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._now = site.world.clock
        self._calls = 0

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        deadline_s: float,
        method: Method = "POST",
    ) -> Response:
        """Answer the next way; at last as it should be."""
        self._calls += 1
        number = json.loads(body)["number"]
        told = {"number": number, "phone": PHONE, "code": CARD, "reason": PHONE, "echo": SECRET}
        done = {**told, "status": "issued", "reference": "R1", "at": self._now().isoformat()}
        match self._calls:
            case 1:
                return Response(500, dict(headers), f"{body!r} {headers}".encode())
            case 2:
                return self._signed(headers, 200, f"{body!r} {PHONE}".encode())
            case 3:
                return self._signed(headers, 422, _json({**told, "status": "rejected"}))
            case 4:
                return self._signed(headers, 200, _json({**done, "at": PHONE}))
            case 5:
                msg = f"{body!r} {CARD} {PHONE}"
                raise RuntimeError(msg)
            case _:
                return self._signed(headers, 200, _json(done))

    def _signed(self, headers: Mapping[str, str], status: int, body: bytes) -> Response:
        id_ = headers["webhook-id"]
        now_unix = int(self._now().timestamp())
        return Response(status, signed_headers([parse_secret(SECRET)], id_, now_unix, body), body)


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


@contextmanager
def overheard() -> Iterator[tuple[io.StringIO, InMemorySpanExporter]]:
    """Give what is logged, and the spans that are made."""
    root, out, spans = logging.getLogger(), io.StringIO(), InMemorySpanExporter()
    handlers, level = root.handlers[:], root.level
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    traces.begin(tracer.get_tracer("tests"))
    logs.configure(fmt="json", stream=out)
    try:
        yield out, spans
    finally:
        traces.end()
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


async def answers(site: Site, http: aiohttp.ClientSession) -> list[str]:
    """Claim rightly and wrongly, and let the provider speak; return all that was answered."""
    world, said = site.world, list[str]()
    member = await world.member()
    await bring(world, STOCKED)
    await give(world, gift(member), gift(member, "COFFEE"))
    claims = f"/v1/members/{member}/claims"
    right = {"benefit": "VIDEO", "quantity": 1, **PLACED}
    bodies = (
        _json(right),
        _json({"benefit": "COFFEE", "quantity": 1}),
        _json({**right, "recipient": {"phone": PHONE + "\x00"}}),
        _json({**right, "recipient": {"phone": PHONE, "card": CARD}}),
        _json({**right, "quantity": PHONE}),
        _json({**right, "card": CARD}),
        _json(right)[:-1],
    )
    for body in bodies:
        async with http.post(claims, data=body, headers=site.headers(site.mobile_key)) as answer:
            said.append(f"{answer.status} {await answer.text()} {answer.headers}")
    for key in (site.mobile_key[:-1] + "x", CARD):
        async with http.post(claims, data=bodies[0], headers=site.headers(key)) as answer:
            said.append(f"{answer.status} {await answer.text()} {answer.headers}")
    dialect = OpenDialect(base_url="https://provider.example", secrets=[parse_secret(SECRET)])
    provider = HttpProvider(dialect, Babbling(site), world.clock, Capabilities())
    worker = Worker(world.database, world.parts, {"sandbox": provider})
    for _ in range(7):
        await worker.deliver()
        await worker.finish()
        world.clock.forward(hours=1)
    for body in (f"{PHONE} {CARD}".encode(), _json({"type": PHONE, "data": {"number": CARD}})):
        said.append(str(await call_back(site, body)))
        said.append(str(await call_back(site, body, secret="whsec_" + SECRET[6:].swapcase())))
    for path in ("/v1/orders", "/v1/cases", "/v1/events", f"/v1/members/{member}/summary"):
        status, _, body = await ask(site, "GET", path, "auditor")
        assert 200 == status, path
        said.append(str(body))
    return said


async def test_what_is_secret_stands_nowhere(running: Site) -> None:
    """Neither in a table, a log, a trace, a figure nor an answer, in the clear or as its bytes."""
    world = running.world
    await world.apply(with_coffee())
    async with aiohttp.ClientSession(running.url) as http:
        with overheard() as (out, spans):
            told = await answers(running, http)
            logged, traced = out.getvalue(), [one.to_json() for one in spans.get_finished_spans()]
    written = {"log": logged, "traces": str(traced), "figures": generate_latest().decode()}
    written |= {f"answer {n}": one for n, one in enumerate(told)}
    for table in metadata.tables:
        found = await world.rows(f'SELECT t::text AS text FROM "{table}" AS t')
        written[table] = "\n".join(row.text for row in found)
    states = await world.rows("SELECT benefit, state FROM claim ORDER BY benefit")
    assert [("COFFEE", "ISSUED"), ("VIDEO", "ISSUED")] == [tuple(row) for row in states]
    assert ("provider.called" in logged, "provider issue" in str(traced)) == (True, True)
    assert 6 == written["provider_attempt"].count("\n") + 1
    planted = [
        *(PHONE, CARD, STOCKED, world.name(1), SECRET),
        *(key.rpartition("_")[2] for key in (running.mobile_key, running.crm_key)),
        *(MEMBER_KEY.hex(), parse_secret(SECRET).hex()),
    ]
    for one in planted:
        for place, text in written.items():
            assert one not in text, place
            assert one.encode().hex() not in text, place
