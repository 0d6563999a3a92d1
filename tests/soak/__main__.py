"""Run all of it for real, kill its processes at random, and compare the books at the end.

    python -m tests.soak --minutes 10 --seed 1 --report soak.json

Services, workers, providers with every fault, and a PostgreSQL are processes of this machine.
Clients claim, redeem and reverse over HTTP while one process after the other is killed with
SIGKILL and started again. Then nothing is killed any more, and when all is at rest the ledger has
to say what the providers' books and the clients say. Ctrl-C ends the load early; once more ends it
all, and says where it stood. The exit status is 1 when something does not hold.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benefits.sandbox.behaviour import Behaviour
from benefits.store.migrate import migrate
from tests import roles
from tests.builders import MEMBER_KEY
from tests.conftest import own_database, roomy_folder
from tests.service import free_ports
from tests.simulation.ways import WAYS
from tests.soak import check
from tests.soak.load import Clients
from tests.soak.processes import Child, Mortal, Server, is_up
from tests.soak.setting import PATIENCE, Setting, made

CLIENTS = 8
SHOWN_S = 5.0
UP_S = 300.0
REST_S = 1200.0
PAUSES_S = (2.0, 9.0)  # between two kills
DOWN_S = (0.0, 3.0)
WAITS = 0.8


class Soak:
    """One run: its processes, its clients, and what it has come to."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        """Choose ports."""
        self.given, self.folder, self.books = given, folder, folder / "books"
        self.books.mkdir()
        self.chance = random.Random(given.seed)
        self.began = time.monotonic()
        self.kills = Counter[str]()
        self.phase = "start"
        self.told = asyncio.Event()  # to end the load
        free = free_ports(len(WAYS) + given.services)
        ports, self.services = free[: len(WAYS)], free[len(WAYS) :]
        self.desks = {w.code: f"http://127.0.0.1:{p}" for w, p in zip(WAYS, ports, strict=True)}
        self.urls = [f"http://127.0.0.1:{port}" for port in self.services]
        self._words = ["-m", "tests.soak.providers", str(self.books), self.urls[0]]
        self._ports = [str(port) for port in ports]

    def children(self, environ: dict[str, str]) -> None:
        """Start what is ours, and the providers."""
        serve = ["-m", "benefits", "serve", "--port"]
        logs = self.folder
        self.providers = Child("providers", self._tempered(Behaviour.MIXED), environ, logs)
        self.ours = [
            *(
                Child(f"serve{n}", [*serve, str(p)], environ, logs)
                for n, p in enumerate(self.services)
            ),
            *(Child(f"work{n}", ["-m", "benefits", "work"], environ, logs) for n in range(2)),
        ]
        for child in (self.providers, *self.ours):
            child.start()

    def _tempered(self, behaviour: Behaviour) -> list[str]:
        return [*self._words, behaviour.value, *self._ports]

    @property
    def everything(self) -> tuple[list[str], list[Child]]:
        """What answers when all is up, and what runs then."""
        answering = [f"{url}/ready" for url in self.urls]
        answering += [f"{base}/health" for base in self.desks.values()]
        return answering, [self.providers, *self.ours]

    async def up(self) -> None:
        """Wait until all is up."""
        async with asyncio.timeout(UP_S):
            while not await asyncio.to_thread(is_up, *self.everything):
                await asyncio.sleep(0.2)

    async def kill_at_random(self, mortals: list[Mortal]) -> None:
        """Kill one process after the other and start it again, until the load ends.

        Most times all is up again before the next is killed.
        """
        while not self.told.is_set():
            await asyncio.sleep(self.chance.uniform(*PAUSES_S))
            if self.chance.random() < WAITS:
                await self.up()
            one = self.chance.choice(mortals)
            await asyncio.to_thread(one.kill)
            await asyncio.sleep(self.chance.uniform(*DOWN_S))
            await asyncio.to_thread(one.start)
            self.kills[one.name.rstrip("0123456789")] += 1

    def say(self, words: str) -> None:
        """Say where it stands."""
        sys.stdout.write(f"{time.monotonic() - self.began:7.0f} s  {self.phase}: {words}\n")
        sys.stdout.flush()

    async def load(self, clients: Clients, mortals: list[Mortal]) -> None:
        """Let clients ask while processes are killed; then let them finish what they began."""
        self.phase = "load"
        asking = asyncio.create_task(clients.run(CLIENTS))
        killing = asyncio.create_task(self.kill_at_random(mortals))
        until = time.monotonic() + self.given.minutes * 60
        while time.monotonic() < until and not self.told.is_set():
            await asyncio.wait([asking, killing], timeout=SHOWN_S)
            for ended in (asking, killing):
                if ended.done():
                    ended.result()
            answered = sum(clients.known.answers.values())
            kills = " ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
            self.say(f"{len(clients.known.claims)} claims, {answered} answers; killed: {kills}")
        self.told.set()
        self.phase = "finish"
        self.say("nothing more is asked for; what was asked is answered")
        clients.stop.set()
        await killing
        self.providers.again(self._tempered(Behaviour.GOOD))
        await self.up()
        await asking

    async def rest(self, setting: Setting) -> bool:
        """Wait until nothing is under way, and say whether it came to that.

        A SKU may be paused for a quarter of an hour: as long as something moves it goes on.
        """
        before, until = dict[str, int](), 0.0
        while left := await check.under_way(setting.world, self.books):
            if left != before:
                before, until = left, time.monotonic() + REST_S
            if time.monotonic() > until:
                return False
            words = ", ".join(f"{count} {name}" for name, count in left.items())
            self.say(words + await check.waits(setting.world))
            await asyncio.sleep(SHOWN_S)
        return True

    async def end(self, setting: Setting, clients: Clients) -> dict[str, Any]:
        """Come to rest, have people's orders tried, and compare the books."""
        self.phase = "rest"
        at_rest = await self.rest(setting)
        await asyncio.sleep(2 * PATIENCE.schedule[-1])  # what is watched is asked about once more
        at_rest = at_rest and await self.rest(setting)
        manual = await setting.world.rows(check.MANUAL)
        wrong = [f"{one.request_id.hex} has no case" for one in manual if not one.told]
        await clients.retry([one.request_id.hex for one in manual])
        at_rest = at_rest and await self.rest(setting)
        self.phase = "check"
        found, ends = await check.wrongs(setting, self.books, clients.known)
        wrong += found
        if not at_rest:
            wrong.append(f"not at rest: {await check.under_way(setting.world, self.books)}")
        return {
            "wrong": wrong,
            "claims": len(clients.known.claims),
            "orders": dict(sorted(ends.items())),
            "left_to_people": len(manual),
            "left_after_a_retry": len(await setting.world.rows(check.MANUAL)),
            "faults": check.faults(self.books),
            **await check.figures(setting.world),
        }

    def report(self, clients: Clients, more: dict[str, Any]) -> int:
        """Tell and write what it came to; return the exit status."""
        told = {
            "command": "python -m tests.soak " + " ".join(sys.argv[1:]),
            "seed": self.given.seed,
            "ended_in": self.phase,
            "duration_s": round(time.monotonic() - self.began),
            "answers": dict(sorted(clients.known.answers.items())),
            "kills": dict(sorted(self.kills.items())),
            **more,
        }
        text = json.dumps(told, indent=2)
        sys.stdout.write(text + "\n")
        if self.given.report is not None:
            self.given.report.write_text(text + "\n")
        return 1 if told.get("wrong", ["it was ended"]) else 0


@asynccontextmanager
async def installed(
    given: argparse.Namespace, folder: Path
) -> AsyncIterator[tuple[str, list[Mortal]]]:
    """Give the address of a migrated database, and the server if it is ours to kill."""
    if given.database_url:
        async with own_database(given.database_url) as dsn, roles.installed(dsn) as names:
            yield roles.as_role(dsn, names.runtime), []
        return
    server, names = Server(folder / "data"), roles.fresh()
    server.start()
    try:
        await roles.create(server.dsn, names)
        async with roles.opened(roles.as_role(server.dsn, names.migrator)) as database:
            await migrate(database, "test", MEMBER_KEY)
        yield roles.as_role(server.dsn, names.runtime), [server]
    finally:
        server.stop()


async def main(given: argparse.Namespace, folder: Path) -> int:
    """Run a soak; return the exit status."""
    soak = Soak(given, folder)
    running = asyncio.current_task()
    assert running is not None

    def stop() -> None:
        if soak.told.is_set():
            running.cancel()
        soak.told.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)
    async with installed(given, folder) as (dsn, server):
        setting = await made(dsn, soak.books, soak.desks)
        soak.children(setting.environ)
        clients = Clients(
            soak.urls, soak.desks, setting.members, keys=setting.keys, seed=given.seed
        )
        try:
            await soak.up()
            # PostgreSQL is killed now and then, the others often.
            mortals = [*soak.ours, soak.providers] * 3 + server
            await soak.load(clients, mortals)
            return soak.report(clients, await soak.end(setting, clients))
        except asyncio.CancelledError:
            return soak.report(clients, {})
        finally:
            for child in (soak.providers, *soak.ours):
                child.kill()
            await setting.world.database.close()


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the words of a command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long there is load")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--report", type=Path, help="a file for the report, as JSON")
    parser.add_argument("--services", type=int, default=2, help="how many services")
    parser.add_argument("--database-url", default="", help="an administrator's; it is not killed")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the books")
    return parser.parse_args(words)


if __name__ == "__main__":
    options = arguments(sys.argv[1:])
    place = Path(tempfile.mkdtemp(prefix="benefits-soak-", dir=roomy_folder()))
    place.chmod(0o711)
    try:
        sys.exit(asyncio.run(main(options, place)))
    finally:
        if options.keep:
            sys.stdout.write(f"kept: {place}\n")
        else:
            shutil.rmtree(place)
