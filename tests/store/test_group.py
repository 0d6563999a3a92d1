"""What the group promises to those who wait in it, on an action that notes what it saw."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from structlog.testing import capture_logs

from benefits.domain.refusal import Refusal
from benefits.store import group as groups
from benefits.store.db import Busy, Connection, Unavailable, connect, rows, run
from benefits.store.group import Failed, Group, Overloaded
from tests.actions.life import change
from tests.builders import World

ASSIGNED = "SELECT pg_current_xact_id() AS id"  # each statement by itself has its own


class No(Refusal):
    """What a command named `no` hears."""

    code = "no"
    words = "No."


class Note(msgspec.Struct, frozen=True):
    """A command that is written down under its name; some names do something else."""

    name: str
    sender: str = "caller"


class Recorder:
    """An action: it notes every group it was given, and breaks where a name says so."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.broken = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(
        self, conn: Connection, commands: Sequence[Note], *, wait: bool
    ) -> list[str | Refusal]:
        """Write names down, all in the group's transaction."""
        self.groups.append([command.name for command in commands])
        await self.gate.wait()
        outcomes = list[str | Refusal]()
        for command in commands:
            match command.name.partition(":"):
                case "no", _, _:
                    outcomes.append(No())
                    continue
                case "busy", _, _ if not wait:
                    outcomes.append(Busy())
                    continue
                case "fall", _, _:
                    raise RuntimeError(command.name)
                case "state", _, state if self.broken:
                    self.broken -= 1
                    await run(conn, f"DO $$ BEGIN RAISE 'x' USING ERRCODE = '{state}'; END $$")
                case "lose", _, _:
                    return []
                case _:
                    pass
            await run(conn, "INSERT INTO note VALUES ($1)", command.name)
            outcomes.append(command.name)
        return outcomes


@asynccontextmanager
async def running(world: World, action: Recorder) -> AsyncIterator[Group[Note, str]]:
    """Run a group over a table of its own."""
    await change(world, "CREATE TABLE note (name text)", "GRANT ALL ON note TO PUBLIC")
    group = Group[Note, str](world.database, action, "note")
    group.start()
    try:
        yield group
    finally:
        action.gate.set()
        await group.close()


async def all_of(group: Group[Note, str], *names: str) -> list[object]:
    """Submit names at once; return what each of them hears."""
    return list(
        await asyncio.gather(*(group.submit(Note(n)) for n in names), return_exceptions=True)
    )


async def noted(world: World) -> list[str]:
    """Return what was committed."""
    return [row.name for row in await world.rows("SELECT name FROM note ORDER BY name")]


async def test_commands_that_wait_together_are_decided_together(world: World) -> None:
    """Whatever queued while a group was under way is the next group, in order, at most 256."""
    action = Recorder()
    async with running(world, action) as group:
        action.gate.clear()
        first = asyncio.create_task(group.submit(Note("first")))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(group.submit(Note(f"{n:03}"))) for n in range(300)]
        await asyncio.sleep(0)
        action.gate.set()
        await asyncio.gather(first, *rest)
    assert [1, groups.GROUP_MAX, 300 - groups.GROUP_MAX] == [len(g) for g in action.groups]
    assert sorted(f"{n:03}" for n in range(300)) == action.groups[1] + action.groups[2]


async def test_a_refusal_fails_no_neighbour(world: World) -> None:
    """Each caller hears about their own command only."""
    action = Recorder()
    async with running(world, action) as group:
        a, no, b = await all_of(group, "a", "no", "b")
    assert ("a", "b", No) == (a, b, type(no))
    assert (["a", "b"], [["a", "no", "b"]]) == (await noted(world), action.groups)


async def test_a_caller_who_never_returns_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's name is kept longer than it matters."""
    monkeypatch.setattr(groups, "ALONE_FOR_S", 0.0)
    async with running(world, Recorder()) as group:
        for sender in "abc":
            with pytest.raises(Failed), capture_logs():
                await group.submit(Note("fall", sender))
        assert {"c"} == group._alone.keys()


@pytest.mark.parametrize("culprit", ["fall", "lose", "state:22012"])
async def test_an_unexpected_error_fails_the_culprit_alone(world: World, culprit: str) -> None:
    """The group is halved until the culprit stands alone; the others succeed, once each."""
    action = Recorder()
    action.broken = 100
    async with running(world, action) as group:
        with capture_logs() as logs:
            heard = await all_of(group, *"abc", culprit, *"defg")
    failed = heard.pop(3)
    assert isinstance(failed, Failed)
    assert [*"abcdefg"] == heard
    assert [*"abcdefg"] == await noted(world)
    assert [("group.failed", failed.incident)] == [
        (e["event"], e["incident"]) for e in logs if e["log_level"] == "error"
    ]


async def test_after_a_failure_the_culprits_caller_runs_alone_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who broke a group does not share one again before the time is over."""
    action = Recorder()
    async with running(world, action) as group:
        monkeypatch.setattr(groups, "ALONE_FOR_S", 0.3)
        with capture_logs():
            await all_of(group, "fall")
        action.groups.clear()
        notes = [Note("a", "other"), Note("b"), Note("c"), Note("d", "other"), Note("e", "other")]
        await asyncio.gather(*(group.submit(note) for note in notes))
        assert [["a"], ["b"], ["c"], ["d", "e"]] == action.groups
        await asyncio.sleep(0.35)
        action.groups.clear()
        await all_of(group, "f", "g")
        assert [["f", "g"]] == action.groups


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_group_that_lost_a_race_is_decided_again(world: World, state: str) -> None:
    """Serialization failures and deadlocks are nobody's fault: the whole group goes again."""
    action = Recorder()
    action.broken = 4
    async with running(world, action) as group:
        assert ["a", f"state:{state}", "b"] == await all_of(group, "a", f"state:{state}", "b")
    assert [["a", f"state:{state}", "b"]] * 5 == action.groups
    assert ["a", "b", f"state:{state}"] == await noted(world)


async def test_a_database_that_keeps_failing_is_not_held_against_the_caller(world: World) -> None:
    """After five tries the command fails, but its caller goes on sharing groups."""
    action = Recorder()
    action.broken = 5
    async with running(world, action) as group:
        with capture_logs():
            (heard,) = await all_of(group, "state:40001")
        assert isinstance(heard, Failed)
        assert [["state:40001"]] * 5 == action.groups
        action.groups.clear()
        await all_of(group, "a", "b")
    assert [["a", "b"]] == action.groups


async def test_a_lock_that_is_not_to_be_had_is_answered_busy(world: World) -> None:
    """The lock timeout of a command that stands alone is a refusal, not an incident."""
    action = Recorder()
    action.broken = 3
    async with running(world, action) as group:
        (heard,) = await all_of(group, "state:55P03")
    assert isinstance(heard, Busy)


async def test_a_group_that_waits_for_a_lock_is_put_back_whole(world: World) -> None:
    """It is not halved, which would wait again for each half: its commands go on as busy ones."""
    action = Recorder()
    action.broken = 100
    async with running(world, action) as group:
        a, busy, b = await all_of(group, "a", "state:55P03", "b")
    assert ("a", "b", Busy) == (a, b, type(busy))
    whole = ["a", "state:55P03", "b"]
    assert [whole, whole, ["a"], ["state:55P03"], ["b"]] == [
        *action.groups[:2],
        *sorted(action.groups[2:], key=lambda group: whole.index(group[0])),
    ]


async def test_a_busy_command_goes_twice_more_and_then_alone(world: World) -> None:
    """Its neighbours are done at the first try; the third time it stands alone and may wait."""
    action = Recorder()
    async with running(world, action) as group:
        assert ["a", "busy", "b"] == await all_of(group, "a", "busy", "b")
    assert [["a", "busy", "b"], ["busy"], ["busy"]] == action.groups


async def test_who_has_waited_long_is_not_tried_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller has gone by then, and others wait behind it."""
    monkeypatch.setattr(groups, "PATIENCE_S", 0.0)
    action = Recorder()
    async with running(world, action) as group:
        (heard,) = await all_of(group, "busy")
    assert (Busy, [["busy"], ["busy"]]) == (type(heard), action.groups)


async def test_a_command_that_waits_for_a_lock_keeps_no_group_up(world: World) -> None:
    """While a busy member's command waits, others are decided."""
    action = Recorder()
    async with running(world, action) as group, world.database.transaction() as holder:
        await run(holder, "SELECT pg_advisory_xact_lock(7)")

        class Waits(Recorder):
            async def __call__(
                self, conn: Connection, commands: Sequence[Note], *, wait: bool
            ) -> list[str | Refusal]:
                if wait:
                    await run(conn, "SELECT pg_advisory_xact_lock(7)")
                return await super().__call__(conn, commands, wait=wait)

        group._action = Waits()
        slow = asyncio.create_task(group.submit(Note("busy")))
        await asyncio.sleep(0.2)
        async with asyncio.timeout(1):
            assert ["a", "b"] == await all_of(group, "a", "b")
        assert not slow.done()
        await run(holder, "ROLLBACK")
        assert "busy" == await slow


async def test_a_full_queue_refuses_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done for a command the queue has no room for."""
    monkeypatch.setattr(groups, "QUEUE_MAX", 3)
    action = Recorder()
    async with running(world, action) as group:
        action.gate.clear()
        first = asyncio.create_task(group.submit(Note("first")))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(group.submit(Note(name))) for name in "abcd"]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await group.submit(Note("e"))
        action.gate.set()
        heard = await asyncio.gather(first, *rest, return_exceptions=True)
    assert (["first", "a", "b", "c"], Overloaded) == (heard[:4], type(heard[4]))
    assert ["a", "b", "c", "first"] == await noted(world)


async def test_a_caller_that_leaves_cancels_nothing(world: World) -> None:
    """Neither their own command nor a neighbour's, before and while it is decided."""
    action = Recorder()
    async with running(world, action) as group:
        action.gate.clear()
        first = asyncio.create_task(group.submit(Note("first")))
        await asyncio.sleep(0.05)
        second, third = (asyncio.create_task(group.submit(Note(name))) for name in "ab")
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        action.gate.set()
        assert "b" == await third
    assert (True, True) == (first.cancelled(), second.cancelled())
    assert ["a", "b", "first"] == await noted(world)


@pytest.mark.parametrize("name", ["fall", "busy", "state:55P03"])
async def test_a_caller_that_left_before_a_failure_harms_nobody(world: World, name: str) -> None:
    """The flusher outlives an answer that nobody waits for."""
    action = Recorder()
    action.broken = 1
    async with running(world, action) as group:
        action.gate.clear()
        gone = asyncio.create_task(group.submit(Note(name)))
        await asyncio.sleep(0.05)
        gone.cancel()
        action.gate.set()
        with capture_logs():
            assert ["a"] == await all_of(group, "a")


async def test_closing_decides_what_waits_and_takes_nothing_new(world: World) -> None:
    """Also a command that stands alone is decided before the group is closed."""
    action = Recorder()
    async with running(world, action) as group:
        action.gate.clear()
        names = [f"n{n}" for n in range(5)] + ["busy"]
        waiting = [asyncio.create_task(group.submit(Note(name))) for name in names]
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(group.close())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await group.submit(Note("late"))
        action.gate.set()
        await closing
        assert names == [task.result() for task in waiting]
    assert sorted(names) == await noted(world)


async def test_a_database_that_is_away_is_nobodys_fault() -> None:
    """Callers hear that the service is unavailable, and nobody runs alone for it."""
    nowhere = connect("postgresql://postgres@/nothing?host=/tmp/nowhere&port=5432")
    recorder = Recorder()
    group = Group[Note, str](nowhere, recorder, "away")
    group.start()
    wishes = (group.submit(Note(str(n))) for n in range(8))
    with capture_logs() as said:
        told = await asyncio.gather(*wishes, return_exceptions=True)
    assert 8 * [Unavailable] == [type(answer) for answer in told]
    ours = [line["event"] for line in said if line["event"].startswith("group.")]
    assert ["group.database_away"] == ours
    assert [] == recorder.groups
    await group.close()
    await nowhere.close()


async def test_a_rehearsed_command_hears_what_it_would_and_leaves_nothing(world: World) -> None:
    """The outcome, a refusal, busy, an incident; it stands alone and repeats after a race."""
    action = Recorder()
    action.broken = 2
    async with running(world, action) as group:
        with capture_logs() as logs:
            heard = [
                await asyncio.gather(group.rehearse(Note(name)), return_exceptions=True)
                for name in ("a", "state:40001", "no", "state:55P03", "busy", "fall")
            ]
        (a,), (again,), (no,), (busy,), (waits,), (fall,) = heard
        assert ("a", "state:40001", "state:55P03", "busy") == (a, again, busy, waits)
        assert (No, Failed) == (type(no), type(fall))
        action.broken = 1
        with pytest.raises(Busy):
            await group.rehearse(Note("state:55P03"))
        assert [] == await noted(world)
        assert ["a"] == await all_of(group, "a")
    assert ["a"] == await noted(world)
    assert ["group.failed"] == [e["event"] for e in logs if e["log_level"] == "error"]
    assert {1} == {len(one) for one in action.groups}
    with pytest.raises(Overloaded):
        await group.rehearse(Note("a"))


async def test_a_failed_rehearsal_leaves_its_callers_commands_where_they_are(
    world: World,
) -> None:
    """Nothing was done, so nobody stands alone for it."""
    action = Recorder()
    async with running(world, action) as group:
        with capture_logs(), pytest.raises(Failed):
            await group.rehearse(Note("fall"))
        action.groups.clear()
        assert [*"abc"] == await all_of(group, *"abc")
    assert [[*"abc"]] == action.groups


async def test_only_some_rehearsals_run_at_once(world: World) -> None:
    """Dry runs never take the connections that real commands need."""
    action = Recorder()
    async with running(world, action) as group:
        action.gate.clear()
        tasks = [asyncio.create_task(group.rehearse(Note(f"{n}"))) for n in range(9)]
        async with asyncio.timeout(30):
            while len(action.groups) < groups.PATIENTS:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert groups.PATIENTS == len(action.groups)
        action.gate.set()
        assert [f"{n}" for n in range(9)] == list(await asyncio.gather(*tasks))
    assert [] == await noted(world)


@pytest.mark.parametrize("reads", [True, False])
async def test_who_only_reads_begins_no_transaction(world: World, *, reads: bool) -> None:
    """Two ways to the server less; a reading action's statements stand by themselves."""
    begun = list[bool]()

    async def look(conn: Connection, commands: Sequence[Note], *, wait: bool) -> list[str]:
        assert not wait
        first, second = [(await rows(conn, ASSIGNED))[0].id for _ in range(2)]
        begun.append(first == second)
        return [command.name for command in commands]

    group = Group[Note, str](world.database, look, "note", reads=reads)
    group.start()
    assert ["one"] == await all_of(group, "one")
    await group.close()
    assert [not reads] == begun
