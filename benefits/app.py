"""The only place where the edges are put together: house, providers, callers, groups, requests."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any, cast

import msgspec
import structlog
import uvicorn
from litestar import Litestar
from litestar.openapi import OpenAPIConfig

from benefits import VERSION, measures, scrape
from benefits import worker as work
from benefits.actions.cancel import cancel
from benefits.actions.choose import choose
from benefits.actions.claim import claim
from benefits.actions.grant import reward
from benefits.actions.look_back import kinds, look_back
from benefits.actions.look_up import look_up
from benefits.actions.parts import Parts
from benefits.actions.receive import receive
from benefits.actions.redeem import redeem
from benefits.domain.programme import Provider as ProviderConfig
from benefits.domain.tokens import DEMO_ISSUER
from benefits.domain.values import Clock
from benefits.house import House, open_house, real_clock
from benefits.process import bind, keep_what_stays, until_stopped
from benefits.providers import checkpoints
from benefits.providers.client import LOOPBACK, Client
from benefits.providers.dialects import dialect_of
from benefits.providers.http import HttpProvider
from benefits.providers.provider import Provider
from benefits.providers.wechat_coupons import CouponCodes
from benefits.settings import Keys, SettingRefused, Settings
from benefits.store.db import Database
from benefits.store.group import Group, grouped
from benefits.store.migrate import head
from benefits.store.roles import check_cannot_rewrite, session_user
from benefits.store.signing import SealKey, origin
from benefits.web import (
    callbacks,
    choices,
    claims,
    corrections,
    crm,
    eligibility,
    events,
    feeds,
    fills,
    growth,
    health,
    label_feeds,
    mobile,
    operating,
    operator,
    past,
    problems,
    programmes,
    proposals,
    redemptions,
    reports,
    rereads,
    standings,
    stock,
    summary,
    waits,
    whitelists,
)
from benefits.web.auth import Callers
from benefits.web.document import reference
from benefits.web.document.whole import complete
from benefits.web.express import Express
from benefits.web.limits import Limits
from benefits.web.observed import Observed
from benefits.web.page import frame, views
from benefits.web.rates import Rates
from benefits.web.server import Server
from benefits.web.tokens import Tokens
from benefits.web.wire import Wire

log = structlog.get_logger()
BODY_BYTES_MAX = 64 * 1024
ANSWER_WITHIN_S = 15.0  # no statement of service or worker takes longer on a healthy database
API = [
    *(*mobile.HANDLERS, *claims.HANDLERS, *crm.HANDLERS, *events.HANDLERS, *summary.HANDLERS),
    *(*operator.HANDLERS, *operating.HANDLERS, *corrections.HANDLERS),
    *(*reports.HANDLERS, *feeds.HANDLERS, *label_feeds.HANDLERS),
    *(*proposals.HANDLERS, *programmes.HANDLERS, *eligibility.HANDLERS),
    *(*choices.HANDLERS, *whitelists.HANDLERS, *redemptions.HANDLERS),
    *(*fills.HANDLERS, *past.HANDLERS, *standings.HANDLERS, *growth.HANDLERS),
    *(*waits.HANDLERS, *stock.HANDLERS, *rereads.HANDLERS, *callbacks.HANDLERS, *health.HANDLERS),
]


def allowed_networks(house: House) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return where providers may live beside the public internet.

    This machine counts only where nothing is real (SettingRefused).
    """
    named = house.settings.allowed_networks
    if not house.installation.is_production:
        return (*named, *LOOPBACK)
    for network in named:
        for loopback in LOOPBACK:
            if network.version == loopback.version and network.overlaps(loopback):
                raise SettingRefused(
                    "BENEFITS_ALLOWED_NETWORKS must not hold this machine on a production database"
                )
    return named


def check_proxies(house: House) -> None:
    """Refuse on a production database to believe everybody's `X-Forwarded-For` (SettingRefused).

    Anybody could name another address for each try. Elsewhere it is said in the log.
    """
    named = house.settings.proxies
    everywhere = [
        whole
        for version in (4, 6)
        for whole in collapse_addresses(n for n in named if n.version == version)  # type: ignore[type-var]  # of one version
        if whole.prefixlen == 0
    ]
    if everywhere and house.installation.is_production:
        raise SettingRefused(
            f"BENEFITS_PROXIES must not hold every address ({everywhere[0]}) on a production "
            "database: name the networks of the balancers"
        )
    if everywhere:
        log.warning("proxies.unbounded", networks=[str(network) for network in everywhere])


def check_issuers(house: House) -> None:
    """Refuse what only a demo or a test may trust on a production database (SettingRefused)."""
    if not house.installation.is_production:
        return
    for issuer in house.settings.issuers:
        if issuer.issuer == DEMO_ISSUER:
            raise SettingRefused(
                f"BENEFITS_ISSUERS must not hold {DEMO_ISSUER} on a production database"
            )
        if issuer.jwks_url.startswith("http://"):
            raise SettingRefused(
                f"BENEFITS_ISSUERS: the keys of {issuer.alias} must come by https:// "
                "on a production database"
            )


async def check_role(house: House) -> None:
    """Refuse to work for real as a role that could rewrite the ledger (DatabaseUnsuitable)."""
    if house.installation.is_production:
        async with house.database.transaction() as conn:
            await check_cannot_rewrite(conn)


def sealing_of(house: House, client: Client) -> work.Sealing:
    """Return what signs checkpoints and takes them outside (SettingRefused).

    Without it the ledger is sealed all the same, but against its own administrators that shows
    nothing: then the log says so, and so does the figure that an alert watches.
    """
    seed, place = house.settings.keys.seal_key, house.settings.checkpoints
    if place and seed is None:
        raise SettingRefused("BENEFITS_CHECKPOINTS needs BENEFITS_SEAL_KEY, which signs them")
    if not place:
        missing = "BENEFITS_CHECKPOINTS" if seed else "BENEFITS_SEAL_KEY"
        log.warning("checkpoints.stay_inside", missing=missing)
    key = SealKey(seed, origin(house.settings.keys.member_key)) if seed else None
    return work.Sealing(key, checkpoints.sender(place, client) if place else None)


class Providers(Mapping[str, Provider]):
    """The providers of the programmes in force whose dialect we have the secrets for."""

    def __init__(self, house: House, client: Client) -> None:
        """Build each when it is first asked for, and anew when its configuration changes."""
        self._house = house
        self._client = client
        self._built: dict[str, tuple[ProviderConfig, Provider]] = {}

    def _configs(self) -> dict[str, ProviderConfig]:
        return self._house.parts.catalogue.latest.providers

    def __getitem__(self, code: str) -> Provider:
        """Return a provider; KeyError when no programme or no secret of its dialect names it."""
        config = self._configs()[code]
        known = self._built.get(code)
        if known is None or known[0] != config:
            keys = self._house.settings.keys
            dialect = dialect_of(config, keys.provider_secrets[code], CouponCodes(keys.member_key))
            clock = self._house.parts.clock
            provider = HttpProvider(dialect, self._client, clock, config.capabilities)
            known = self._built[code] = (config, provider)
        return known[1]

    def __iter__(self) -> Iterator[str]:
        """Iterate over codes."""
        return iter(self._configs())

    def __len__(self) -> int:
        """Count providers."""
        return len(self._configs())


def make_web(
    settings: Settings, *, clock: Clock = real_clock, openapi: OpenAPIConfig | None = None
) -> Litestar:
    """Return the HTTP service; it opens the database at its start and drains at its end."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with (
            open_house(settings, clock=clock, answer_within_s=ANSWER_WITHIN_S) as house,
            Client(allowed_networks(house)) as client,
            _tokens(house) as tokens,
        ):
            parts, database, rates = house.parts, house.database, Rates(settings.quotas)
            groups = _groups(database, parts)
            app.state.update(
                {
                    "database": database,
                    "parts": parts,
                    "member_key": settings.keys.member_key,
                    "callers": Callers(database, parts, tokens, rates),
                    "rates": rates,
                    **groups,
                    "providers": Providers(house, client),
                    "draining": False,
                    "wrong": kinds(await look_back(database, settings.on_finding)),
                    "reference": reference.Reference(document),
                }
            )
            for group in groups.values():
                group.start()
            try:
                yield
            finally:
                for group in groups.values():
                    await group.close()

    web = Litestar(
        route_handlers=[*API, *reference.HANDLERS, *views.HANDLERS],
        lifespan=[lifespan],
        before_request=problems.listen,
        exception_handlers=frame.in_html(problems.HANDLERS),
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=openapi,
        logging_config=None,
    )
    # Around the routing, so that a request without a route is bounded and seen too.
    express = Express(web.asgi_handler, web.state)
    web.asgi_handler = Observed(Limits(express, streamed=crm.STREAMED))
    return web


def _groups(database: Database, parts: Parts) -> dict[str, Group[Any, Any]]:
    return {
        "claims": Group(database, grouped(claim, parts), "claim"),
        "choosings": Group(database, grouped(choose, parts), "choose"),
        "redemptions": Group(database, grouped(redeem, parts), "redeem"),
        "cancellations": Group(database, grouped(cancel, parts), "cancel"),
        "rewards": Group(database, grouped(reward, parts), "reward"),
        "callbacks": Group(database, grouped(receive, parts), "callback"),
        "looks": Group(database, grouped(look_up, parts), "look_up", reads=True),
    }


def _tokens(house: House) -> Tokens:
    check_issuers(house)
    member_key = house.settings.keys.member_key
    return Tokens(house.settings.issuers, member_key=member_key, clock=house.parts.clock)


def openapi_config() -> OpenAPIConfig:
    """Return the outline's title; `web/document/whole.py` tells the rest."""
    return OpenAPIConfig(
        title="Benefits",
        version=VERSION,
        use_handler_docstrings=True,
        render_plugins=[],
        path="/openapi",
    )


def document() -> bytes:
    """Return the OpenAPI document of the API, formatted."""
    nothing = Settings(database_url="", keys=cast("Keys", None))
    outlined = make_web(nothing, openapi=openapi_config())
    schema = complete(outlined.openapi_schema.to_schema(), outlined)
    text = msgspec.json.encode(schema, order="sorted")
    return msgspec.json.format(text, indent=2) + b"\n"


@contextmanager
def watched(settings: Settings, command: str) -> Iterator[socket.socket | None]:
    """Begin what lets others watch the process; yield the port of the figures, if one is asked."""
    measures.describe(VERSION, command)
    measures.POOL_SIZE.set(settings.pool_size)
    with contextlib.ExitStack() as ends:
        if settings.otlp_endpoint:
            from benefits import otlp  # noqa: PLC0415 - only who exports pays for loading the SDK

            end = otlp.export(
                settings.otlp_endpoint,
                service=f"benefits-{command}",
                version=VERSION,
                ratio=settings.trace_ratio,
            )
            ends.callback(end)
        taken = None
        if settings.metrics_port:
            taken = ends.enter_context(bind(settings.metrics_host, settings.metrics_port))
        yield taken


def server_config(web: Litestar, settings: Settings) -> uvicorn.Config:
    """Return how the service is served; the limits of requests stand in `web`."""
    return uvicorn.Config(
        web,
        http=Wire,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=[str(network) for network in settings.proxies],
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
    )


async def _who(house: House) -> dict[str, str]:
    """Return what a process says of itself when it starts."""
    async with house.database.transaction() as conn:
        role = await session_user(conn)
    stamp = house.installation.stamp
    return {"version": VERSION, "revision": head(), "stamp": stamp, "role": role}


def serve(settings: Settings) -> None:
    """Serve HTTP until told to stop; refusals of the start are raised."""

    async def main() -> None:
        async with open_house(settings) as house:
            allowed_networks(house)
            check_proxies(house)
            check_issuers(house)
            await check_role(house)
            who = await _who(house)
            if settings.on_finding == "refuse":  # here it ends in words, in the lifespan not
                await look_back(house.database, settings.on_finding)
        web = make_web(settings)

        def draining() -> None:
            web.state["draining"] = True
            log.info("process.draining", command="serve", drain_s=settings.drain_s)

        def started() -> None:
            log.info("process.started", command="serve", host=settings.host, port=port, **who)

        port = taken.getsockname()[1]
        server = Server(
            server_config(web, settings),
            on_started=started,
            on_draining=draining,
            drain_s=settings.drain_s,
        )
        keep_what_stays()
        async with scrape.listening(figures, settings.database_url, real_clock):
            await server.serve(sockets=[taken])
        log.info("process.ended", command="serve")

    with (
        bind(settings.host, settings.port) as taken,
        watched(settings, "serve") as figures,
        fast_runner() as runner,
    ):
        runner.run(main())


def fast_runner() -> asyncio.Runner:
    """Return what runs a process that lives long: on uvloop, where there is one."""
    return asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory())


async def run_worker(settings: Settings, *, buckets: tuple[int, int]) -> None:
    """Work off what time brings until told to stop."""
    with watched(settings, "work") as figures:
        async with (
            open_house(settings, answer_within_s=ANSWER_WITHIN_S) as house,
            Client(allowed_networks(house)) as client,
        ):
            await check_role(house)
            keep_what_stays()
            worker = work.Worker(
                *(house.database, house.parts, Providers(house, client), buckets),
                sealing=sealing_of(house, client),
            )
            wrong = await look_back(house.database, settings.on_finding)
            who = await _who(house)
            async with scrape.listening(
                *(figures, settings.database_url, house.parts.clock), worker.ages
            ):
                log.info("process.started", command="work", buckets=list(buckets), **who)
                await until_stopped(
                    work.only_tell if wrong else worker.run,
                    on_told=lambda: log.info("process.draining", command="work"),
                )
        log.info("process.ended", command="work")
