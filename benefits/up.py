"""`benefits up`: the whole service on one machine, with a demo bank, and the main job done once.

One process starts PostgreSQL, prepares the demo, and runs service, worker and sandbox provider as
children. The data folder keeps everything between runs; only this machine can reach it; nothing
of it is for production.
"""

import asyncio
import contextlib
import io
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import msgspec

from benefits import demo, lifeline, settings
from benefits.actions.apply_programme import apply_programme
from benefits.actions.evaluate import Evaluated, evaluate, slices
from benefits.actions.import_codes import import_codes
from benefits.actions.import_files import KINDS, assets_of, import_file
from benefits.actions.keys import make_key
from benefits.actions.record_whitelist import Sent, import_whitelist
from benefits.actions.start_period import start_next
from benefits.actions.verify import verify
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.tokens import Issuer
from benefits.domain.values import Month, local_date, member_id
from benefits.embedded import BrokenDataFolder, Postgres
from benefits.house import House, open_house, real_clock
from benefits.process import PortInUse, bind
from benefits.settings import Settings
from benefits.store import whitelists
from benefits.store.assets import last_day
from benefits.store.db import Connection, Database, connect
from benefits.store.migrate import create_database, migrate
from benefits.store.roles import DEFAULT_PREFIX, create, named
from benefits.store.verify import Finding

HOST = "127.0.0.1"
CALLERS = {"mobile": ("mobile",), "crm": ("crm",)}
ROLES = named(DEFAULT_PREFIX)
STOP_S = 25
STORY_S = 60.0
Say = Callable[[str], None]


class ChildEnded(Refusal):
    """Service, worker or sandbox ended by itself; its last lines tell why."""

    code = "child_ended"
    words = "A part of the demo ended by itself."


class DatabaseEnded(Refusal):
    """The embedded PostgreSQL ended by itself; its log tells why."""

    code = "database_ended"
    words = "The embedded PostgreSQL ended by itself."


class Ports(NamedTuple):
    """Where the parts listen; the worker's figures are one above the service's."""

    service: int
    sandbox: int
    metrics: int | None = None


class StoryStuck(Refusal):
    """The demo's claim did not get where it should."""

    code = "story_stuck"
    words = "The demo's claim did not arrive."


def run(data: Path, ports: Ports, *, say: Say) -> None:
    """Prepare, start, show, and wait until told to stop (SIGINT, SIGTERM, SIGHUP)."""
    figures = () if ports.metrics is None else (ports.metrics, ports.metrics + 1)
    for wanted in (ports.service, ports.sandbox, *figures):
        _check_free(wanted)
    try:
        data.mkdir(parents=True, exist_ok=True)
        keys = settings.make_or_read_keys(data)
        issuer = _issuer(data)
    except OSError as error:
        raise BrokenDataFolder(f"{data} cannot be used as data folder: {error}") from None
    with _stoppable(), Postgres(data, say=say) as server:
        given = settings.load({}, database_url=_as(server.dsn, ROLES.runtime), keys=keys)
        given = settings.override(given, host=HOST, port=ports.service)
        provider_url = f"http://{HOST}:{ports.sandbox}"
        assert server.process is not None
        with lifeline.Tied(server.process.pid):
            api_keys = asyncio.run(_prepare(server.dsn, given, data, provider_url, say=say))
            given = msgspec.structs.replace(given, issuers=(issuer,))
            _tell_commands(data, given)
            with _children(data, given, ports, server.process) as children:
                asyncio.run(_show(given, data, api_keys, provider_url, say=say, children=children))
    say("Stopped. The data stays for the next time.")


def _issuer(data: Path) -> Issuer:
    """Return the demo's issuer, after making its key and the file of its public keys."""
    path, public = (data / "keys" / name for name in ("issuer_key", "issuer_jwks"))
    settings.keep_first(path, demo.new_issuer_key())
    public.write_text(demo.public_keys(settings.read_private(path)))
    return demo.issuer(public.absolute())


def token(data: Path, scope: str, *, minutes: int, bound: dict[str, str]) -> str:
    """Return a token of the issuer whose key `up` put into the data folder (SettingRefused)."""
    key = settings.read_private(data / "keys" / "issuer_key")
    now = real_clock()
    return demo.signed_token(key, scope, now=now, minutes=minutes, bound=bound)


def _check_free(port: int) -> None:
    try:
        bind(HOST, port).close()
    except PortInUse as refusal:
        raise PortInUse(
            f"{refusal.detail} Is it an earlier `benefits up`? "
            "Stop it, or choose others with --port, --sandbox-port and --metrics-port."
        ) from None


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM, and a terminal that is closed, end the command as Ctrl-C does.

    Ctrl-C too: a shell starts what it puts into the background without it.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {which: signal.signal(which, interrupt) for which in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def _as(server_dsn: str, role: str) -> str:
    """Return the address of the demo's database for a role; its socket is for us alone."""
    parts = urlsplit(server_dsn)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}@{place}", path="/benefits").geturl()


async def _prepare(
    server_dsn: str, given: Settings, data: Path, provider_url: str, *, say: Say
) -> dict[str, str]:
    """Make the database, the demo bank and the callers' keys; return the keys by caller."""
    async with _opened(server_dsn) as server:
        await create_database(server)
    say("Preparing the database …")
    admin_dsn = urlsplit(server_dsn)._replace(path="/benefits").geturl()
    async with _opened(admin_dsn) as database, database.transaction() as conn:
        await create(conn, ROLES, {})
    async with _opened(_as(server_dsn, ROLES.migrator)) as database:
        await migrate(database, "demo", given.keys.member_key)
    async with open_house(given) as house:
        programmes = demo.programmes(provider_url)

        async def apply(conn: Connection) -> None:
            there = (await house.parts.catalogue.current(conn)).programmes
            for programme in programmes:
                known = there.get(programme.code)  # as somebody may have changed it since
                made = programme if known is None else demo.at(known, provider_url)
                if made != known:
                    await apply_programme(conn, made, house.parts, needs_notice=False)

        await house.database.transact(apply)
        await _feed(house, programmes, say)
        return {name: await _api_key(house, data, name) for name in CALLERS}


@contextlib.asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[Database]:
    database = connect(dsn)
    try:
        yield database
    finally:
        await database.close()


async def _feed(house: House, programmes: Sequence[Programme], say: Say) -> None:
    """Bring members and balances up to yesterday, and evaluate every month that has ended."""
    today = local_date(house.parts.clock(), programmes[0].tz)
    yesterday = today - timedelta(days=1)
    done = await import_file(
        house.database,
        house.parts,
        KINDS["members"],
        demo.member_lines(),
        progress=lambda _: None,
    )
    if done.kept:
        say(f"{demo.CUSTOMERS} members are enrolled.")
    bought = await import_codes(
        house.database, house.parts, demo.BOUGHT, demo.code_lines(), progress=lambda _: None
    )
    if bought.kept:
        say(f"{bought.kept:,} codes for breakfasts lie in stock.")
    async with house.database.transaction() as conn:
        known, there = await last_day(conn), await whitelists.last_whole(conn, demo.FOUNDERS)
    if there is None:  # else somebody may have sent another one since
        file = io.BytesIO(demo.founders_file())
        listed = Sent(name=demo.FOUNDERS, file=file, from_=None, to=None)
        await import_whitelist(house.database, house.parts, listed, progress=lambda _: None)
    # Days come one after the other, so only the last known one may be there in part.
    first = demo.first_day(yesterday) if known is None else known
    if known != yesterday:
        say(f"Importing day-end balances of {first} to {yesterday} …")
    await import_file(
        house.database,
        house.parts,
        assets_of(programmes[0]),
        demo.asset_lines(first, yesterday),
        progress=lambda done: say(f"  {done.lines:,} balances") if known != yesterday else None,
    )
    for month in _ended(demo.first_day(yesterday), today):
        for programme in programmes:
            await _evaluate(house, programme, month, say)
    while await start_next(house.database, house.parts):
        pass


def _ended(since: date, today: date) -> Iterator[Month]:
    """Yield the months from that of `since` on that are over today."""
    month = Month.of(since)
    while month.end <= today:
        yield month
        month = month.plus(1)


async def _evaluate(house: House, programme: Programme, month: Month, say: Say) -> None:
    total = Evaluated()
    for buckets in await slices(house.database):
        done = await evaluate(house.database, house.parts, programme.code, month, buckets=buckets)
        total = total.plus(done)
    tiers = [f"{tier.code} {total.ranks.get(n, 0)}" for n, tier in enumerate(programme.tier)]
    say(f"{month} of {programme.code} evaluated: {', '.join(tiers)}.")


async def _api_key(house: House, data: Path, name: str) -> str:
    """Return a caller's key, kept in a file only this user can read."""
    path = data / "keys" / f"api_key_{name}"
    if path.exists():
        return path.read_text().strip()
    async with house.database.transaction() as conn:
        key = await make_key(conn, name, CALLERS[name], house.parts)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key)
    return key


class _Children:
    """Service, worker and sandbox as processes of their own, on a database that is a fourth."""

    def __init__(
        self, data: Path, given: Settings, ports: Ports, database: subprocess.Popen[bytes]
    ) -> None:
        self._database = database
        self._database_log = data / "postgres" / "log"
        environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("BENEFITS_")},
            **_environment(data, given),
        }
        callback = f"http://{HOST}:{given.port}/callbacks/sandbox"
        book = str((data / "sandbox.sqlite").absolute())
        commands = {
            "service": ["serve", "--host", HOST, "--port", str(given.port)],
            "worker": ["work"],
            "sandbox": [
                *("sandbox", "--port", str(ports.sandbox), "--callback-url", callback),
                *("--database", book, "--behaviour", "mixed"),
            ],
        }
        figures = {} if ports.metrics is None else {"service": 0, "worker": 1}
        self.logs = {name: data / f"{name}.log" for name in commands}
        self._begin = {name: _size(log) for name, log in self.logs.items()}
        self.processes = {}
        for name, command in commands.items():
            more = {}
            if ports.metrics is not None and name in figures:
                more["BENEFITS_METRICS_PORT"] = str(ports.metrics + figures[name])
            self.processes[name] = self._start(command, {**environ, **more}, self.logs[name])

    @staticmethod
    def _start(
        command: Iterable[str], environ: dict[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(os.open(log, mode, 0o600), "ab") as out:  # noqa: PTH123 - a descriptor
            os.fchmod(out.fileno(), 0o600)  # one of an earlier version, too
            return subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "benefits", "--until-stdin-ends", *command],
                env=environ,
                stdin=subprocess.PIPE,  # ends with us
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is ours to pass on, in order
            )

    def check(self) -> None:
        """Refuse to go on when a child or the database has ended (ChildEnded, DatabaseEnded)."""
        if (status := self._database.poll()) is not None:
            raise DatabaseEnded(
                f"PostgreSQL ended by itself ({_how(status)}). See {self._database_log}. "
                "What was committed is safe: start `benefits up` again."
            )
        for name, process in self.processes.items():
            if (status := process.poll()) is not None:
                said = self.logs[name].read_bytes()[self._begin[name] :].decode(errors="replace")
                words = said.strip().splitlines()[-8:] or ["nothing."]
                how = f"The {name} ended by itself ({_how(status)}). It said:"
                raise ChildEnded("\n".join([how, *words]))

    def stop(self) -> None:
        """End the children: worker and service finish what they are doing."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment(data: Path, given: Settings) -> dict[str, str]:
    """Return the settings of the parts, and of whichever command is to meet the demo."""
    keys = (data / "keys").absolute()
    return {
        "BENEFITS_DATABASE_URL": given.database_url,
        "BENEFITS_ISSUERS": msgspec.json.encode(given.issuers).decode(),
        **{
            f"BENEFITS_{name.upper()}_FILE": str(keys / name)
            for name in ("member_key", "secret_keys", "provider_secrets", "seal_key")
        },
        "BENEFITS_CHECKPOINTS": str((data / "checkpoints").absolute()),
    }


def _tell_commands(data: Path, given: Settings) -> None:
    """Write the settings into a file that a shell reads, for as long as this demo runs."""
    lines = [f"export {k}={shlex.quote(v)}\n" for k, v in _environment(data, given).items()]
    (data / "environment").write_text("".join(lines))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _how(status: int) -> str:
    """Return how a process ended, in words."""
    return f"signal {-status}" if status < 0 else f"status {status}"


@contextlib.contextmanager
def _children(
    data: Path, given: Settings, ports: Ports, database: subprocess.Popen[bytes]
) -> Iterator[_Children]:
    children = _Children(data, given, ports, database)
    try:
        yield children
    finally:
        children.stop()


async def _show(
    given: Settings,
    data: Path,
    api_keys: dict[str, str],
    provider_url: str,
    *,
    say: Say,
    children: _Children,
) -> None:
    """Do the main job once, say where to look, and wait."""
    url = f"http://{HOST}:{given.port}"
    member = member_id(demo.FEATURED, given.keys.member_key)
    headers = {"Authorization": f"Bearer {api_keys['mobile']}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        await _until_ready(http, url, children)
        await _story(http, url, provider_url, member, say=say, children=children)
        await _balance(given, say)
        say("")
        say(f"API          {url}/v1/members/{member}/benefits")
        say(f"API key      {data / 'keys' / 'api_key_mobile'} (mobile), api_key_crm (CRM)")
        say(f"Tokens       benefits token --data {data} --scope member --customer {demo.FEATURED}")
        say(f"Commands     . {data / 'environment'}; benefits programme versions wealth")
        say(f"A member     {demo.FEATURED}, id {member}")
        say(f"Another      {demo.CLIENT}: of the private bank, with benefits to choose and guests")
        say(f"Page         {await _page(http, url, member)}  (opens once, within a minute)")
        say('             (a new link: see "The benefits page" in README.md)')
        say(f"Provider     {provider_url}/desk/orders")
        say("Ctrl-C stops everything.")
        while True:
            children.check()
            await asyncio.sleep(0.5)


async def _until_ready(http: aiohttp.ClientSession, url: str, children: _Children) -> None:
    async with asyncio.timeout(STORY_S):
        while True:
            children.check()
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{url}/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


async def _story(
    http: aiohttp.ClientSession,
    url: str,
    provider_url: str,
    member: UUID,
    *,
    say: Say,
    children: _Children,
) -> None:
    """Claim a lounge visit for the featured member and follow it until it is redeemed."""
    async with http.get(f"{url}/v1/members/{member}/benefits") as answer:
        seen = await answer.json()
    say("")
    tier = next(one["tier"] for one in seen["programmes"] if one["code"] == demo.FEATURED_IN)
    say(f"{demo.FEATURED} is {tier['code']}: {tier['why'].get('en', '')}")
    wish = {"benefit": "LOUNGE", "recipient": {"phone": "13800000001"}}
    month = seen["as_of"][:7]
    key = {"Idempotency-Key": f"demo-{month}"}
    claims = f"{url}/v1/members/{member}/claims"
    async with http.post(claims, json=wish, headers=key) as answer:
        placed = await answer.json()
        if answer.status != 201:
            say(f"No claim this time: {placed['detail']}")
            return
    last = ""
    late = asyncio.get_running_loop().time() + STORY_S
    while last != "REDEEMED":
        children.check()
        async with http.get(f"{url}/v1/claims/{placed['id']}") as answer:
            claim = await answer.json()
        if claim["state"] != last:
            last = claim["state"]
            say(f"  claim {placed['id'][:13]}… is {last}")
            if last == "ISSUED":
                await _use(http, provider_url, claim["order_number"])
        if asyncio.get_running_loop().time() > late:
            raise StoryStuck(f"The demo's claim is still {last}; see {children.logs['worker']}.")
        await asyncio.sleep(0.05)


async def _use(http: aiohttp.ClientSession, provider_url: str, number: str) -> None:
    """Use the benefit at the provider's desk, which calls back."""
    async with http.post(f"{provider_url}/desk/use", json={"number": number}) as answer:
        await answer.read()


async def _balance(given: Settings, say: Say) -> None:
    async with open_house(given) as house:
        found = [f async for f in verify(house.database, house.parts) if isinstance(f, Finding)]
    say("The books balance." if not found else f"verify has {len(found)} findings: {found[0]}")


async def _page(http: aiohttp.ClientSession, url: str, member: UUID) -> str:
    wanted: dict[str, Any] = {"member_id": str(member)}
    key = {"Idempotency-Key": os.urandom(8).hex()}
    async with http.post(f"{url}/v1/page-sessions", json=wanted, headers=key) as answer:
        made = await answer.json()
    return url + str(made["url"]) if answer.status == 201 else "not to be had"
