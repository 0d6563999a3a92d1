"""Do small wrongs to the rules and the guards, one at a time: a test has to notice each.

    python -m tests.mutants [domain] [guards] [--only TEXT] [--processes N]

Nothing on disk is changed: each mutant lives in a process of its own, which loads the wrong text
in place of the right one and runs the tests that belong to it.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from tests.mutants.guards import GUARDS
from tests.mutants.mutate import Mutant, mutants

ROOT = Path(__file__).parents[2]
RULES = {
    "benefits/domain/ledger.py": ("tests/domain/test_ledger.py", "tests/domain/test_templates.py"),
    "benefits/domain/entitlement.py": (
        "tests/domain/test_entitlement.py",
        "tests/domain/test_rises.py",
        "tests/domain/test_claims.py",
        "tests/domain/test_downgrades.py",
        "tests/domain/test_limits.py",
        "tests/domain/test_booking.py",
    ),
}
TIMEOUT_S = 600
EXAMPLES = 40
SERVERS = SimpleQueue[str]()  # one for each process; without a name where none is needed
say = partial(print, flush=True)
PYTEST = (
    *("-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # `warm` imported it: that is meant
)


class Job(NamedTuple):
    """A mutant and the tests that ought to notice it."""

    mutant: Mutant
    tests: tuple[str, ...]


def of_rules() -> Iterator[Job]:
    """Give every mutant of the rules."""
    for path, tests in RULES.items():
        for mutant in mutants(path, (ROOT / path).read_text()):
            yield Job(mutant, tests)


def of_guards() -> Iterator[Job]:
    """Give every guard's absence."""
    for guard in GUARDS:
        text = (ROOT / guard.path).read_text()
        before = text.partition(guard.before)
        assert before[1], f"{guard.path} no longer says {guard.before!r}"
        line = before[0].count("\n") + 1
        wrong = text.replace(guard.before, guard.after)
        yield Job(Mutant(guard.path, line, guard.before, guard.after, wrong), guard.tests)


def load(mutant: Mutant) -> None:
    """Let this process load the wrong text where the right one stands."""
    wrong, right = str(ROOT / mutant.path), SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> Any:
        if os.path.realpath(self.path) == wrong:
            return compile(mutant.text, wrong, "exec")
        return right(self, name)

    setattr(SourceFileLoader, "get_code", get_code)  # noqa: B010 - that is what it is for


def notice(mutant: Mutant, tests: Sequence[str], log: str, server: str) -> None:
    """Run the tests on a mutant, with a PostgreSQL if one is named; end with pytest's status."""
    if server:
        os.environ["BENEFITS_TEST_DATABASE_URL"] = server
    with Path(log).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    load(mutant)
    import pytest
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)
    settings.register_profile(
        "mutant", max_examples=EXAMPLES, deadline=None, database=None, phases=phases
    )
    os._exit(pytest.main([*PYTEST, "--hypothesis-profile=mutant", *tests]))


def survives(job: Job) -> tuple[Job, bool, str]:
    """Run one job in a process of its own; say whether no test noticed, and how it ended."""
    with tempfile.NamedTemporaryFile() as log, _one_of(SERVERS) as server:
        child = get_context("fork").Process(target=notice, args=(*job, log.name, server))
        child.start()
        child.join(TIMEOUT_S)
        if child.is_alive():
            child.kill()
            child.join()
            return job, False, "timeout"
        text = Path(log.name).read_text(errors="replace")
        if child.exitcode not in {0, 1, 2, 4}:
            sys.stdout.write(text)
            raise SystemExit(f"pytest ended with {child.exitcode}")
        return job, child.exitcode == 0, text


def warm() -> None:
    """Import what every mutant needs and none changes, before the first fork."""
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for name in ("alembic.command", "asyncpg", "msgspec", "sqlalchemy.ext.asyncio", "stamina"):
        import_module(name)


@contextmanager
def _one_of(free: SimpleQueue[str]) -> Iterator[str]:
    """Take one until the block ends."""
    taken = free.get()
    try:
        yield taken
    finally:
        free.put(taken)


@contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL.

    Each process needs its own: how far events can be read is told by all of a server's databases.
    """
    from benefits.embedded import Postgres

    folder = Path(tempfile.mkdtemp(prefix="benefits-mutants-", dir="/tmp"))
    folder.chmod(0o711)
    fast = {"fsync": "off", "full_page_writes": "off"}
    try:
        with Postgres(folder, say=lambda _: None, settings=fast) as server:
            yield server.dsn
    finally:
        shutil.rmtree(folder)


def check(jobs: list[Job], processes: int) -> None:
    """Run the tests on what is right: only then it means something that they fail."""
    path = str(Path(__file__).relative_to(ROOT))
    right = Mutant(path, 0, "", "", Path(__file__).read_text())
    files = sorted({test for job in jobs for test in job.tests})
    with ThreadPoolExecutor(processes) as pool:
        tried = pool.map(survives, [Job(right, (file,)) for file in files])
        for n, (job, passed, text) in enumerate(tried, 1):
            if not passed:
                sys.stdout.write(text)
                raise SystemExit(f"{job.tests[0]} fails on the code as it is")
            say(f"{n} of {len(files)}: {job.tests[0]} passes on the right code")


def run(jobs: list[Job], processes: int) -> int:
    """Run all jobs, print each survivor and the score; return how many survived."""
    begun, survivors = time.monotonic(), 0
    with ThreadPoolExecutor(processes) as pool:
        for n, (job, survived, text) in enumerate(pool.map(survives, jobs), 1):
            if text == "timeout":
                say(f"TIMEOUT {job.mutant.path}:{job.mutant.line}, taken for noticed")
            if survived:
                survivors += 1
                one = job.mutant
                say(f"SURVIVES {one.path}:{one.line}\n    {one.before!r}\n    {one.after!r}")
            if n % 10 == 0:
                say(f"{n} of {len(jobs)}, {time.monotonic() - begun:.0f} s")
    killed = len(jobs) - survivors
    share = 100 * killed / max(1, len(jobs))
    took = time.monotonic() - begun
    say(f"{killed} of {len(jobs)} mutants were noticed ({share:.1f} %), {took:.0f} s")
    return survivors


def main() -> None:
    """Do what the command line says; fail when the tests pass on a mutant."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("what", nargs="*", default=["domain", "guards"])
    parser.add_argument("--only", default="", help="only mutants whose path or text has this")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    chosen = {"domain": of_rules, "guards": of_guards}
    jobs = [job for name in asked.what for job in chosen[name]()]
    jobs = [job for job in jobs if asked.only in f"{job.mutant.path} {job.mutant.before}"]
    warm()
    with ExitStack() as stack:
        for _ in range(asked.processes):
            SERVERS.put(stack.enter_context(postgres()) if "guards" in asked.what else "")
        check(jobs, asked.processes)
        survivors = run(jobs, asked.processes)
    raise SystemExit(1 if survivors else 0)


if __name__ == "__main__":
    main()
