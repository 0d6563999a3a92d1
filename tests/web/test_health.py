"""What a balancer asks: does the process live, and should requests come to it."""

from typing import Any

import aiohttp
import pytest

from benefits.store import readiness
from benefits.store.db import connect, run
from benefits.store.migrate import head
from tests import roles
from tests.web.site import Site

CHECKS = {
    *("books", "clock", "database", "draining", "groups", "partitions"),
    *("programme", "revision", "role", "writable"),
}


async def ask(running: Site, path: str = "/ready", method: str = "GET") -> tuple[int, Any]:
    """Ask a running app as a balancer does."""
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.request(method, path) as answer,
    ):
        return answer.status, await answer.json() if method == "GET" else await answer.read()


async def test_ready_names_every_check(running: Site) -> None:
    """Each check has its own verdict, and all are good here."""
    status, told = await ask(running)
    assert (200, "ok") == (status, told["status"])
    assert dict.fromkeys(CHECKS, "ok") == told["checks"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_balancers_may_ask_without_wanting_words(running: Site, path: str) -> None:
    """HEAD answers the status alone."""
    assert (200, b"") == await ask(running, path, "HEAD")


async def test_a_process_that_was_told_to_stop_is_not_ready(running: Site) -> None:
    """Balancers look elsewhere while it still serves; it goes on to live."""
    running.app.state.draining = True
    status, told = await ask(running)
    assert (503, "told to stop; serving what still comes") == (status, told["status"])
    assert 503 == (await ask(running, method="HEAD"))[0]
    assert 200 == (await ask(running, "/health"))[0]


@pytest.mark.parametrize(
    ("statement", "check", "words"),
    [
        (
            "UPDATE alembic_version SET version_num = '0000'",
            "revision",
            "the database is at revision 0000, not",
        ),
        (
            """DO $$ BEGIN EXECUTE format('DROP TABLE batch_%s',
            to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')); END $$""",
            "partitions",
            "1 partitions of this or the next month are missing",
        ),
        (
            "ALTER DATABASE {database} SET default_transaction_read_only = on",
            "writable",
            "the database is a standby or read-only",
        ),
    ],
)
async def test_what_is_wrong_is_said(
    running: Site, statement: str, check: str, words: str
) -> None:
    """The status tells the balancer, the words tell the person."""
    async with roles.administrator(running.world.database) as conn:
        name = conn.engine.url.database
        await run(conn, statement.format(database=f'"{name}"') if "{" in statement else statement)
    await running.app.state.database.engine.dispose()  # so that new sessions see new defaults
    status, told = await ask(running)
    assert 503 == status
    assert told["checks"][check].startswith(words)
    assert told["status"] == told["checks"][check]


async def test_a_database_that_is_away_is_said(running: Site) -> None:
    """The answer comes within a bound all the same."""
    database = running.app.state.database
    running.app.state.database = connect("postgresql://nobody@127.0.0.1:1/none")
    status, told = await ask(running)
    running.app.state.database = database
    assert (503, "the database does not answer") == (status, told["checks"]["database"])


def test_clocks_apart_are_said() -> None:
    """More than five seconds between process and database are too many, either way."""
    fine = readiness.Look(
        read_only=False,
        clock_ahead_s=4.9,
        revision=head(),
        may_write=True,
        missing_partitions=0,
    )
    assert {"ok"} == set(fine.verdicts().values())
    for skew, sign in ((5.1, "+5.1 s"), (-300.0, "-300.0 s")):
        apart = readiness.Look(
            read_only=False,
            clock_ahead_s=skew,
            revision=head(),
            may_write=False,
            missing_partitions=0,
        )
        assert sign in apart.verdicts()["clock"]
        assert "this account may not write" == apart.verdicts()["role"]
