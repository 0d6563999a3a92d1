"""Failure after each statement: nothing is left behind, and the same key succeeds afterwards."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError

from benefits.actions import deliver, receive, seal
from benefits.actions.claim import claim
from benefits.actions.deliver import Attempt
from benefits.actions.give_notice import Given, give_notice
from benefits.actions.grant import reward
from benefits.actions.measure_growth import Wanted, freeze
from benefits.actions.pause_provider import SayWord, say
from benefits.actions.record_consents import SayConsent, say_consent
from benefits.domain.feeds import FeedKey
from benefits.domain.orders import Done
from benefits.domain.packages import Downgrade
from benefits.domain.programme_file import read
from benefits.domain.terms import Channel
from benefits.domain.values import Month
from benefits.store.db import BEGIN, BEGIN_PLANNED, Connection, rows, run, sqlstate
from benefits.store.functions import APPEND_ONLY
from benefits.store.schema import metadata
from benefits.worker import Worker
from tests.actions import log
from tests.actions.agreeing import agreed, block, unblocked
from tests.actions.choosing import chooser, chose, pick
from tests.actions.exchanging import balances, converting, rates
from tests.actions.feeding import fed, send
from tests.actions.labelling import VERSION, chunk, sent
from tests.actions.life import (
    EVERYWHERE,
    change,
    claimed,
    decide,
    gift,
    holder,
    lease,
    number_of,
    said,
    tables,
    tell,
    wish,
)
from tests.actions.listing import send as send_list
from tests.actions.test_fills import FROM as FILLABLE
from tests.actions.test_fills import filled, wanted
from tests.actions.test_holders import hold
from tests.actions.test_windows import calendar
from tests.builders import NOON, PROGRAMME, World, reference_programme
from tests.store.test_verify import lived_in

Step = Callable[[Connection], Awaitable[Any]]
Ask = Callable[..., Awaitable[Any]]
OF_TRANSACTIONS = {BEGIN, BEGIN_PLANNED, "COMMIT", "ROLLBACK"}


class CutError(Exception):
    """What happens instead of a statement."""


@contextmanager
def cut_after(statements: int) -> Iterator[list[int]]:
    """Let so many statements run, then fail; gives a list that counts them."""
    count = [0]

    def counted(real: Ask) -> Ask:
        async def ask(self: Any, sql: str, *values: Any, **more: Any) -> Any:
            if sql not in OF_TRANSACTIONS:
                if count[0] >= statements:
                    raise CutError
                count[0] += 1
            return await real(self, sql, *values, **more)

        return ask

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "execute"):
            patch.setattr(asyncpg.Connection, name, counted(getattr(asyncpg.Connection, name)))
        yield count


async def everything(world: World) -> dict[str, list[Any]]:
    """Return what the tables say, attempts and callbacks too."""
    more = {
        "attempt": "SELECT attempt, operation, outcome FROM provider_attempt ORDER BY 1",
        "callback": "SELECT event_id, processed_at FROM inbox ORDER BY 1",
        "grant": "SELECT member_id, period, quantity FROM entitlement_grant ORDER BY 1, 2",
        "hold": "SELECT h.quantity, e.captured FROM hold AS h LEFT JOIN hold_end AS e "
        "USING (bucket, hold_id) ORDER BY 1, 2",
        "planned": "SELECT next_at, leased_until FROM provider_request ORDER BY 1, 2",
    }
    rest = {name: [tuple(r) for r in await world.rows(sql)] for name, sql in more.items()}
    return {**await tables(world), **rest}


async def survives(world: World, step: Step) -> int:
    """Cut a step after each of its statements, then let it through; return how many they are."""
    before = await everything(world)
    for statements in range(100):
        try:
            with cut_after(statements) as count:
                async with world.database.transaction() as conn:
                    await step(conn)
        except CutError:
            assert before == await everything(world)
        else:
            assert before != await everything(world)
            return count[0]
    raise AssertionError


async def test_a_claim_cut_anywhere_leaves_nothing_behind(world: World) -> None:
    """Under the same key it succeeds afterwards, once."""
    member = await holder(world)
    command = wish(member)

    async def step(conn: Connection) -> None:
        (outcome,) = await claim(conn, [command], world.parts, wait=True)
        assert "ok" == said(outcome)

    assert 5 < await survives(world, step)
    (again,) = await decide(world, command)
    assert ("ok", 1) == (said(again), len(await world.rows("SELECT state FROM claim")))
    assert [] == await world.findings()


async def test_a_reward_cut_anywhere_leaves_nothing_behind(world: World) -> None:
    """Neither lot nor key."""
    member = await world.member()
    command = gift(member)

    async def step(conn: Connection) -> None:
        (outcome,) = await reward(conn, [command], world.parts, wait=True)
        assert "ok" == said(outcome)

    assert 10 < await survives(world, step)
    assert [] == await world.findings()


async def test_a_lease_cut_anywhere_leaves_nothing_behind(world: World) -> None:
    """A request that nobody got stays due."""
    await claimed(world, wish(await holder(world)))

    async def step(conn: Connection) -> None:
        works = await deliver.lease(conn, world.parts, buckets=EVERYWHERE, limit=10)
        assert 1 == len(works)

    assert 5 < await survives(world, step)


async def test_an_answer_cut_anywhere_leaves_nothing_behind(world: World) -> None:
    """The attempt stays open, and the answer is applied when it is told again."""
    await claimed(world, wish(await holder(world)))
    (work,) = await lease(world)

    async def step(conn: Connection) -> None:
        await deliver.record(conn, [Attempt(work, Done(at=NOON))], world.parts)

    assert 8 < await survives(world, step)
    assert [] == await world.findings()


async def test_a_callback_cut_anywhere_waits_on(world: World) -> None:
    """It is marked as worked off together with its effect."""
    (claim_id,) = await claimed(world, wish(await holder(world)))
    await tell(world, await number_of(world, claim_id), Done(at=NOON))

    async def step(conn: Connection) -> None:
        await receive.work_off(conn, world.parts, buckets=EVERYWHERE, limit=10)

    assert 10 < await survives(world, step)
    assert [] == await world.findings()


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_claim_that_lost_a_race_is_decided_again(world: World, state: str) -> None:
    """The work is run again in a new transaction and has one effect."""
    member = await holder(world)
    command = wish(member)
    tries = list[int]()

    async def work(conn: Connection) -> Any:
        tries.append(1)
        outcomes = await claim(conn, [command], world.parts, wait=True)
        if len(tries) < 4:
            await run(conn, f"DO $$ BEGIN RAISE 'x' USING ERRCODE = '{state}'; END $$")
        return outcomes

    (outcome,) = await world.database.transact(work)
    assert ("ok", 4) == (said(outcome), len(tries))
    assert 1 == len(await world.rows("SELECT state FROM claim"))
    assert [] == await world.findings()


async def test_two_claims_in_a_real_deadlock_both_succeed(world: World) -> None:
    """Who is chosen as the victim goes again."""
    one, two = await holder(world), await holder(world)
    met = asyncio.Barrier(2)
    tries = list[int]()

    async def work(conn: Connection, first: Any, second: Any) -> Any:
        tries.append(1)
        await claim(conn, [first], world.parts, wait=True)
        if len(tries) <= 2:
            await met.wait()
        return await claim(conn, [second], world.parts, wait=True)

    def crossing(first: Any, second: Any) -> Callable[[Connection], Awaitable[Any]]:
        return lambda conn: work(conn, first, second)

    video = [wish(one), wish(two, "LOUNGE")]
    lounge = [wish(two, "LOUNGE"), wish(one)]
    await asyncio.gather(
        world.database.transact(crossing(*video)), world.database.transact(crossing(*lounge))
    )
    assert 3 == len(tries)
    assert [] == await world.findings()


async def test_a_connection_lost_after_commit_has_one_effect(world: World) -> None:
    """Nobody knows whether the commit took place; under its key the same work tells."""
    member = await holder(world)
    command = wish(member)
    tries = list[int]()

    async def work(conn: Connection) -> Any:
        tries.append(1)
        outcomes = await claim(conn, [command], world.parts, wait=True)
        if len(tries) == 1:
            await run(conn, "COMMIT")
            await run(conn, "SELECT pg_terminate_backend(pg_backend_pid())")
        return outcomes

    (outcome,) = await world.database.transact(work)
    assert ("ok", True, 2) == (said(outcome), outcome.replayed, len(tries))
    assert 1 == len(await world.rows("SELECT state FROM claim"))


async def test_a_connection_that_ended_while_idle_is_replaced(world: World) -> None:
    """The pool gives no dead connection to a transaction, and asks none whether it lives."""
    async with world.database.transaction() as conn:
        ((pid,),) = await rows(conn, "SELECT pg_backend_pid()")
    await change(world, f"SELECT pg_terminate_backend({pid}, 5000)")
    async with world.database.transaction() as conn:
        assert [(1,)] == await rows(conn, "SELECT 1")


async def refused(world: World, statement: str) -> str:
    """Run a statement that must fail; return its SQLSTATE."""
    with pytest.raises(DBAPIError) as caught:
        await change(world, statement)
    return sqlstate(caught.value)


async def nowhere(_note: str) -> None:
    """Take a checkpoint."""


async def fallen(world: World) -> None:
    """Let a member fall, so that unused units are taken back."""
    first, *others = reference_programme().tier
    lines = [replace(one, downgrade=Downgrade.REVOKE_ALL) for one in reference_programme().line]
    tiers = (first, *(replace(one, misses=1) for one in others))
    changed = replace(reference_programme(), tier=tiers, line=tuple(lines))
    await world.apply(changed, tiers_from=Month(2024, 1))
    member = await world.member()
    name = world.name(next(world._numbers) - 1)
    for month, level in (("2025-06", 5_200_000_00), ("2025-07", 520_000_00)):
        end = Month.parse(month).end
        world.clock.now = max(world.clock.now, datetime(2025, end.month, 2, tzinfo=UTC))
        await world.month(name, month, level)
        await world.evaluate(month, member)


# Those of archived months have rows, and their test, in `test_archive_month.py`.
OF_ARCHIVES = {"month_archive", "month_restore", "posting_carried"}


async def told_less(world: World) -> None:
    """Tell members of a version that brings them less."""
    less = read(PROGRAMME.replace("PLATINUM = 2,", "PLATINUM = 1,"))
    on = world.clock().date()
    given = Given(channel=Channel.SMS, given_on=on, text="Less.", by="anna-li")
    async with world.database.transaction() as conn:
        assert await give_notice(conn, world.parts, less, given)


async def withdrawn(world: World) -> None:
    """Let a member take a consent back."""
    said = {"caller": "mobile", "key": "s", "purpose": "phone", "provider": "sandbox"}
    command = SayConsent(member_id=await world.member(), is_given=False, **said)
    async with world.database.transaction() as conn:
        await say_consent(conn, command, world.parts)


async def chosen(world: World) -> None:
    """Let a member choose a benefit."""
    assert ["ok"] == await chose(world, pick(await chooser(world)))


async def new_year(world: World) -> None:
    """Let the bank send a holiday."""
    await calendar(world, "2025-01-01,HOLIDAY")


async def on_a_list(world: World) -> None:
    """Put a member on a whitelist."""
    await world.members(1)
    await send_list(world, world.name(1))


async def paused(world: World) -> None:
    """Pause a provider."""
    word = SayWord(caller="ops", provider="sandbox", pauses=True, reason="Theirs.")
    async with world.database.transaction() as conn:
        await say(conn, word, world.parts)


async def labelled(world: World) -> None:
    """Let the label platform send something."""
    await sent(world, VERSION, chunk("nobody,payroll,FACT,2025-01-01,"))


BROUGHT = {
    "calendar_day": new_year,
    "programme_notice": told_less,
    "choice": chosen,
    "consent": withdrawn,
    "entitlement_change": fallen,
    "whitelist_member": on_a_list,
    "provider_word": paused,
    "label_feed_chunk": labelled,
}


async def brought(world: World, table: str) -> None:
    """Let the bank bring what lies in a table, where no life leaves any."""
    if table in BROUGHT:
        await BROUGHT[table](world)
    if table in {"baseline", "member_baseline"}:
        wanted_ = Wanted(name="b", programme="wealth", month=Month(2025, 6), by="anna-li")
        await world.members(2)
        await world.month(world.name(1), "2025-06", 520_000_00)
        world.clock.now = max(world.clock.now, datetime(2025, 7, 2, tzinfo=UTC))
        await freeze(world.database, world.parts, wanted_, slices=[(0, 1023)])
    if table == "account_holder":
        await hold(world, f"J,{world.name(1)},PRIMARY,2020-01-01,")
    if table.startswith(("currency", "rate")):
        await world.apply(converting())
        await rates(world, "USD,2025-06-30,7,1,0")
        await balances(world, f"{world.name(1)},2025-06-30,DEPOSIT,USD,1.00,,0")
    if table.startswith("feed_"):
        await fed(world)
        key = FeedKey("core", date(2025, 6, 30), 0)
        assert [] == await send(world, key, [(world.name(1), 520_000_00)])
    if table.startswith(("proposal", "member_block")):
        await unblocked(world, await agreed(world, block(await world.member())))
        assert 1 == await Worker(world.database, world.parts, {}).lift_blocks()
    if table.startswith("feed_fill"):
        world.clock.now = max(world.clock.now, FILLABLE)
        await filled(world, wanted(29, "ZERO"))


@pytest.mark.parametrize("table", [name for name in APPEND_ONLY if name not in OF_ARCHIVES])
async def test_what_is_written_is_never_changed_or_removed(world: World, table: str) -> None:
    """UPDATE, DELETE and TRUNCATE are refused even to the owner, on partitions too (I9)."""
    await lived_in(world)
    await log.checkpointed(world)
    assert 1 == await seal.export(world.database, nowhere, world.parts)
    # A node stands for 256 leaves, an outcome for a long list: these are made by hand.
    await change(
        world,
        "INSERT INTO tree_node VALUES (8, 0, sha256(''))",
        "INSERT INTO job_outcome SELECT bucket, job_id, 0, 0, ARRAY[1], ARRAY[job_id], "
        "ARRAY[false] FROM job",
    )
    await brought(world, table)
    column = next(iter(metadata.tables[table].columns)).name
    before = await world.rows(f"SELECT count(*) FROM {table}")
    partitions = await world.rows(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
        "WHERE inhparent = $1::text::regclass",
        table,
    )
    assert (table in {"batch", "posting", "asset", "feed_line"}, True) == (
        bool(partitions),
        before[0][0] > 0,
    )
    of_july = [row.name for row in partitions if row.name[-7:] in {"2025_06", "2025_07"}]
    assert ["23001"] * 3 == [
        await refused(world, f"UPDATE {table} SET {column} = {column}"),
        await refused(world, f"DELETE FROM {table}"),
        await refused(world, f"TRUNCATE {table} CASCADE"),
    ]
    for name in of_july:
        assert "23001" == await refused(world, f"TRUNCATE {name} CASCADE")
        of_it = f"SELECT EXISTS (SELECT FROM {table} WHERE tableoid = '{name}'::regclass)"
        if (await world.rows(of_it))[0][0]:
            assert "23001" == await refused(world, f"DELETE FROM {name}")
            assert "23001" == await refused(world, f"UPDATE {name} SET bucket = bucket")
    assert before == await world.rows(f"SELECT count(*) FROM {table}")
