"""Those who watch: figures at a port of their own, ends without loss, traces that tell a story."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benefits import VERSION
from benefits.actions.keys import make_key
from benefits.domain.programme_file import read
from benefits.domain.values import BUCKETS
from benefits.house import real_clock
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.server import SandboxSettings, make_app
from benefits.settings import Keys
from benefits.store.db import connect, run
from benefits.store.envelope import Envelope
from benefits.store.migrate import ensure_partitions, head
from tests.actions import life
from tests.builders import PROGRAMME, World
from tests.conftest import database
from tests.roles import NAMES
from tests.sandbox.stage import serving
from tests.service import WEBHOOK_SECRET, environment, free_port, fresh_keys, serve

ROOT = Path(__file__).parents[1]
PHONE = "13912345678"
BODY = {"benefit": "LOUNGE", "recipient": {"phone": PHONE}}
AWAY = "postgresql://nobody@127.0.0.1:1/none"


class Collector:
    """Takes spans as an OpenTelemetry collector does, and keeps them."""

    def __init__(self) -> None:
        """Start empty."""
        self.spans: list[tuple[str, Span]] = []

    async def take(self, request: web.Request) -> web.Response:
        """Take a batch."""
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            (name,) = (
                one.value.string_value
                for one in resource.resource.attributes
                if one.key == "service.name"
            )
            for scope in resource.scope_spans:
                self.spans += [(name, span) for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")

    def named(self, *names: str) -> list[tuple[str, Span]]:
        """Return the spans of some names."""
        return [(service, span) for service, span in self.spans if span.name in names]

    async def until(self, *names: str) -> None:
        """Wait until a span of each name is there."""
        async with asyncio.timeout(120):
            while {span.name for _, span in self.named(*names)} != set(names):
                await asyncio.sleep(0.05)


def lived(said: str) -> list[dict[str, Any]]:
    """Return what a process told of its life, among what it said."""
    lines = [json.loads(line) for line in said.splitlines()]
    return [line for line in lines if line["event"].startswith("process.")]


@asynccontextmanager
async def process(dsn: str, keys: Keys, *words: str, **more: str) -> AsyncIterator[Process]:
    """Run a command of ours until the block ends; it must then end well."""
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benefits", *words),
        env=environment(dsn, keys) | more,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.send_signal(signal.SIGTERM)
        await made.wait()


@asynccontextmanager
async def installation(
    migrated: str, cluster_dsn: str, provider_url: str
) -> AsyncIterator[tuple[World, str, Keys, str]]:
    """Give a world that goes by the real clock, its DSN, its keys and a caller's key."""
    keys = fresh_keys()
    async with database(cluster_dsn, migrated) as dsn:
        pool = connect(dsn)
        world = World(pool, envelope=Envelope(keys.secret_keys), clock=real_clock)
        await world.apply(read(PROGRAMME.replace("http://127.0.0.1:9", provider_url)))
        async with world.database.transaction() as conn:
            key = await make_key(conn, "mobile", ["mobile"], world.parts)
        try:
            yield world, dsn, keys, key
        finally:
            await pool.close()


async def get(url: str) -> tuple[int, str]:
    """Read a page; status 0 when nobody listens."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientError:
        return 0, ""


async def claim(url: str, key: str, member: object, **headers: str) -> tuple[int, str]:
    """Claim a lounge visit over HTTP."""
    sent = {"Authorization": f"Bearer {key}", "Idempotency-Key": os.urandom(8).hex(), **headers}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/members/{member}/claims", json=BODY, headers=sent) as answer,
    ):
        return answer.status, (await answer.json()).get("id", "")


async def test_one_trace_tells_a_claim_from_request_to_callback(
    migrated: str, cluster_dsn: str
) -> None:
    """Request, group, call, kept callback and its effect share the trace the caller began."""
    collector, port = Collector(), free_port()
    seen, receiver = list[str](), web.Application()
    receiver.router.add_post("/v1/traces", collector.take)
    sandbox = make_app(
        SandboxSettings(
            secrets=(WEBHOOK_SECRET,),
            callback_url=f"http://127.0.0.1:{port}/callbacks/sandbox",
            behaviour=Behaviour.CALLS_BACK_TWICE,
            callback_after_s=0.2,
        )
    )
    trace, began = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    @web.middleware
    async def note(request: web.Request, handler: object) -> web.StreamResponse:
        seen.append(request.headers.get("traceparent", ""))
        return await handler(request)  # type: ignore[operator, no-any-return]  # aiohttp's shape

    sandbox.middlewares.append(note)
    async with (
        serving(receiver) as endpoint,
        serving(sandbox) as provider_url,
        installation(migrated, cluster_dsn, provider_url) as (world, dsn, keys, key),
    ):
        more = {"BENEFITS_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        async with serve(dsn, keys, more, port=port) as service:
            member = await life.holder(world, "LOUNGE")
            async with process(dsn, keys, "work", **more):
                placed = await claim(
                    service.url, key, member, traceparent=f"00-{trace}-{began}-01"
                )
                assert 201 == placed[0]
                await collector.until("callback keep", "callback apply", "provider issue")
    wanted = {
        "POST /v1/members/{member_id}/claims": "benefits-serve",
        "group claim": "benefits-serve",
        "provider issue": "benefits-work",
        "deliver record": "benefits-work",
        "callback keep": "benefits-serve",
        "callback apply": "benefits-work",
    }
    for name, service_name in wanted.items():
        found = collector.named(name)
        assert {service_name} == {where for where, _ in found}, name
        assert trace in {span.trace_id.hex() for _, span in found}, name
    ((_, request),) = collector.named("POST /v1/members/{member_id}/claims")
    assert began == request.parent_span_id.hex()
    assert f"00-{trace}-{collector.named('provider issue')[0][1].span_id.hex()}-01" in seen
    intake = {span.span_id for _, span in collector.named("POST /callbacks/{provider}")}
    groups = [span for _, span in collector.named("group callback")]
    assert {span.parent_span_id for span in groups} <= intake
    linked = {k.span_id for _, span in collector.named("callback keep") for k in span.links}
    assert linked <= {span.span_id for span in groups}
    told = " ".join(str(span) for _, span in collector.spans)
    for secret in (PHONE, str(member), member.hex, placed[1], key, world.name(1)):
        assert secret not in told


async def test_without_a_collector_nothing_suffers(migrated: str, cluster_dsn: str) -> None:
    """Requests are answered, the log says it once, and the end does not wait for it."""
    nobody = f"http://127.0.0.1:{free_port()}"
    async with installation(migrated, cluster_dsn, nobody) as (world, dsn, keys, key):
        more = {"BENEFITS_OTLP_ENDPOINT": nobody, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with serve(dsn, keys, more) as service:
            member = await life.holder(world, "LOUNGE", 5)
            for _ in range(3):
                assert 201 == (await claim(service.url, key, member))[0]
                await asyncio.sleep(0.2)
        assert 0 == service.process.returncode
    assert 1 == service.said.count("traces.lost")
    assert "Traceback" not in service.said
    assert "opentelemetry" not in service.said


async def test_figures_come_from_a_port_of_their_own(migrated: str, cluster_dsn: str) -> None:
    """The public port has none; queues, budgets and partitions are among them."""
    nobody, figures = f"http://127.0.0.1:{free_port()}", free_port()
    async with installation(migrated, cluster_dsn, nobody) as (world, dsn, keys, _):
        await ensure_partitions(world.database, real_clock())
        await life.claimed(world, life.wish(await life.holder(world)))
        await world.rows(
            "UPDATE provider_request SET next_at = now() - interval '1 h' RETURNING 1"
        )
        async with serve(dsn, keys, {"BENEFITS_METRICS_PORT": str(figures)}) as service:
            assert 404 == (await get(f"{service.url}/metrics"))[0]
            status, told = await get(f"http://127.0.0.1:{figures}/metrics")
            assert 200 == status
            assert (200, True) == await says(f"http://127.0.0.1:{figures}/health", '"ok"')
    values = dict(line.rsplit(" ", 1) for line in told.splitlines() if line[:1] != "#")
    assert "1.0" == values["benefits_database_up"]
    assert 3600 <= float(values['benefits_provider_queue_oldest_age_seconds{provider="sandbox"}'])
    assert "1.0" == values['benefits_provider_queue_due_requests{provider="sandbox"}']
    assert "49.0" == values['benefits_stock_left_units{benefit="VIDEO"}']
    budget = values['benefits_budget_left_minor{budget="video",programme="wealth"}']
    assert 100_000_00 - 15_00 == float(budget)
    assert 23 <= float(values['benefits_partition_months_left{table="batch"}']) <= 25
    assert "0.0" == values["benefits_outbox_lag_seconds"]


async def says(url: str, words: str) -> tuple[int, bool]:
    """Read a page; return its status and whether it holds some words."""
    status, text = await get(url)
    return status, words in text


async def test_an_open_write_holds_the_feed_back_and_is_seen(world: World) -> None:
    """The age of the oldest event that readers do not get yet."""
    from benefits import measures
    from benefits.store import gauges

    async with world.database.transaction() as slow:
        await run(slow, "SELECT pg_current_xact_id()")
        await life.claimed(world, life.wish(await life.holder(world)))
        await life.change(
            world,
            "ALTER TABLE outbox DISABLE TRIGGER USER",
            "UPDATE outbox SET recorded_at = now() - interval '1 h'",
        )
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        lag = measures.REGISTRY.get_sample_value("benefits_outbox_lag_seconds")
        assert 3600 <= (lag or 0)


async def test_a_service_told_to_stop_says_so_and_finishes(
    migrated: str, cluster_dsn: str
) -> None:
    """/ready turns first, requests are served on for a while, and the end is a good one."""
    nobody = f"http://127.0.0.1:{free_port()}"
    async with installation(migrated, cluster_dsn, nobody) as (world, dsn, keys, key):
        member = await life.holder(world, "LOUNGE", 50)
        async with serve(dsn, keys, {"BENEFITS_DRAIN_S": "600"}) as service:
            service.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                while (await get(f"{service.url}/ready"))[0] != 503:
                    await asyncio.sleep(0.02)
            assert 201 == (await claim(service.url, key, member))[0]
            assert 200 == (await get(f"{service.url}/health"))[0]
            service.process.send_signal(signal.SIGTERM)  # the second one ends the wait
            assert 0 == await asyncio.wait_for(service.process.wait(), 60)
        started, draining, ended = lived(service.said)
        assert ("process.started", "serve", VERSION, head(), "test", NAMES.runtime) == (
            *(started["event"], started["command"], started["version"], started["revision"]),
            *(started["stamp"], started["role"]),
        )
        assert ("127.0.0.1", service.port) == (started["host"], started["port"])
        assert ("process.draining", 600.0) == (draining["event"], draining["drain_s"])
        assert ("process.ended", "serve") == (ended["event"], ended["command"])
        assert [] == await world.findings()


async def test_a_worker_told_to_stop_records_the_call_under_way(
    migrated: str, cluster_dsn: str
) -> None:
    """A slow provider's answer is waited for; the end is a good one."""
    sandbox = make_app(
        SandboxSettings(
            secrets=(WEBHOOK_SECRET,),
            callback_url="http://127.0.0.1:1/none",
            behaviour=Behaviour.SLOW,
            slow_s=1.0,
        )
    )
    asked = asyncio.Event()

    @web.middleware
    async def note(request: web.Request, handler: object) -> web.StreamResponse:
        asked.set()
        return await handler(request)  # type: ignore[operator, no-any-return]  # aiohttp's shape

    sandbox.middlewares.append(note)
    async with (
        serving(sandbox) as url,
        installation(migrated, cluster_dsn, url) as (world, dsn, keys, _),
    ):
        await life.claimed(world, life.wish(await life.holder(world)))
        async with process(dsn, keys, "work") as worker:
            await asyncio.wait_for(asked.wait(), 120)
            worker.send_signal(signal.SIGTERM)
            out, _ = await asyncio.wait_for(worker.communicate(), 60)
            assert 0 == worker.returncode
        lines = lived(out.decode())
        assert ["process.started", "process.draining", "process.ended"] == [
            line["event"] for line in lines
        ]
        assert ([0, BUCKETS - 1], NAMES.runtime) == (lines[0]["buckets"], lines[0]["role"])
        assert ["ISSUED"] == await life.states(world)


@pytest.mark.parametrize("url", [AWAY])
async def test_figures_are_told_also_without_a_database(url: str) -> None:
    """A scrape answers all the same, and says that the database is away."""
    from benefits import scrape
    from benefits.process import bind

    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        stuck = {"deliver": (301.0, 400.0), "expire": (2.0, 2.0)}
        async with scrape.listening(taken, url, real_clock, lambda: stuck):
            assert (200, True) == await says(
                f"http://127.0.0.1:{port}/metrics", "benefits_database_up 0.0"
            )
            assert (503, True) == await says(f"http://127.0.0.1:{port}/health", "stuck: deliver")
