"""Lists of rewards: single, group and list are one rule; any stop is gone on from."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from benefits.actions import run_jobs
from benefits.actions.grant import reward
from benefits.actions.run_jobs import (
    TRIES,
    UnknownJob,
    begin,
    begin_file,
    look,
    place_of,
    run_job,
    run_part,
)
from benefits.domain.assets import FileUnreadable
from benefits.domain.jobs import PART_LINES, Ending, Format
from benefits.domain.requests import KeyConflict
from benefits.store import jobs
from benefits.store.db import Connection, rows
from benefits.store.jobs import Job, RowEnding
from tests.actions.life import change, decide, gift, give, said, wish
from tests.builders import World
from tests.roles import server


def rows_of(*rows: dict[str, Any]) -> bytes:
    """Write rows as NDJSON."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def row(member: UUID, **more: Any) -> dict[str, Any]:
    """Return a row for a member."""
    return {"member_id": member, "benefit": "VIDEO", "business_key": "spring", **more}


async def started(
    world: World, text: bytes, key: str = "k", format_: Format = Format.NDJSON
) -> Job:
    """Begin a job."""

    async def work(conn: Connection) -> tuple[Job, bool]:
        file = io.BytesIO(text)
        digest = run_jobs.digest_of(file, format_)
        place = place_of("crm", key)
        return await begin(conn, place, world.parts, digest=digest, file=file, format_=format_)

    return (await world.database.transact(work))[0]


async def stepped(world: World, job: Job) -> int:
    """Decide one part."""

    async def work(conn: Connection) -> int:
        return await run_part(conn, world.parts, job.job_id)

    return await world.database.transact(work)


async def ended(world: World, job: Job) -> Job:
    """Decide what can be decided now, and return how the job stands."""
    while await stepped(world, job):
        pass
    return await look(world.database, job.job_id)


async def endings(world: World, job: Job, ending: Ending | None = None) -> list[RowEnding]:
    """Return what became of rows."""
    async with world.database.transaction() as conn:
        return await jobs.endings(conn, job.job_id, ending, after=jobs.BEGINNING, limit=10_000)


def figures(job: Job) -> tuple[int, int, int, int]:
    """Return lines, granted, known, refused."""
    return job.lines, job.granted, job.known, job.refused


BOOKS = {
    "lot": """SELECT member_id, unit, programme, line, period, cause, priority, granted, remaining,
                     held, expired, redeemed, swept, expires_at FROM lot""",
    "wallet": "SELECT member_id, unit, available, held, owed FROM wallet",
    "batch": """SELECT b.member_id, b.kind, b.actor, b.cause_id, b.booked_month, p.line, p.debit,
                       p.credit, p.unit, p.amount, p.party, p.lot_id IS NULL
                FROM batch AS b JOIN posting AS p USING (bucket, batch_id)""",
    "outbox": "SELECT member_id, seq, type, data::text FROM outbox",
    "grant": """SELECT member_id, programme, line, period, cause, quota, quantity
                FROM entitlement_grant""",
    "member": "SELECT member_id, event_seq FROM member",
}


async def books(conn: Connection) -> dict[str, list[str]]:
    """Return the books apart from ids and instants."""
    return {
        name: sorted(str(tuple(one)) for one in await rows(conn, sql))
        for name, sql in BOOKS.items()
    }


async def test_single_group_and_list_give_the_same_books(world: World) -> None:
    """I14: the same rewards on their own, together and as a list differ in ids and instants."""
    members = await world.members(6)
    closed = "UPDATE member SET closed_on = '2025-01-31' WHERE member_id = $1 RETURNING member_id"
    await world.rows(closed, members[1])
    wanted = [
        *(row(one) for one in members),
        *(row(one, benefit="LOUNGE", business_key="b") for one in members),
        row(members[2]),
        row(members[3], business_key="c", quantity=100),
        row(members[3], business_key="d", quantity=101),
        row(members[4], benefit="NONE"),
        row(members[4], business_key="f", valid_days=0),
        row(members[5], business_key="g", valid_days=3660),
        row(UUID(int=7)),
    ]
    commands = [
        gift(one["member_id"], **{k: v for k, v in one.items() if k != "member_id"})
        for one in wanted
    ]
    found, told = list[dict[str, list[str]]](), list[list[str]]()
    for way in ("single", "group"):
        async with world.database.rehearsal().transaction() as conn:  # undone at its end
            groups = [[one] for one in commands] if way == "single" else [commands]
            outcomes = [
                outcome
                for group in groups
                for outcome in await reward(conn, group, world.parts, wait=True)
            ]
            told.append([said(outcome) for outcome in outcomes])
            found.append(await books(conn))
    assert (found[0], told[0]) == (found[1], told[1])
    job = await started(world, rows_of(*wanted))
    assert (len(wanted), 12, 1, 6) == figures(await ended(world, job))
    assert told[0] == [one.code or "ok" for one in await endings(world, job)]
    async with world.database.transaction() as conn:
        assert found[0] == await books(conn)
    assert [] == await world.findings()


async def test_a_list_pays_debts_first(world: World) -> None:
    """L-8: what is owed of a unit is taken from the new lot, as by a single reward."""
    member = await world.member()
    await give(world, gift(member, quantity=1))
    await change(world, "UPDATE wallet SET owed = 2")
    await ended(world, await started(world, rows_of(row(member, quantity=5))))
    assert [(1 + 3, 0)] == [
        tuple(one) for one in await world.rows("SELECT available, owed FROM wallet")
    ]


async def test_the_same_list_again_changes_nothing(world: World) -> None:
    """N-2: under another key every row is known; under the same key it is the same job."""
    members = await world.members(3)
    text = rows_of(*(row(one) for one in members), row(members[0]))
    first = await ended(world, await started(world, text))
    assert (4, 3, 1, 0) == figures(first)
    again = await ended(world, await started(world, text, "other"))
    assert (4, 0, 4, 0) == figures(again)
    lots = {one.line: one.lot_id for one in await endings(world, first)}
    assert lots == {one.line: one.lot_id for one in await endings(world, again)}
    assert first == await started(world, text)
    with pytest.raises(KeyConflict):
        await started(world, text + b"{}\n")
    assert [(3,)] == [tuple(one) for one in await world.rows("SELECT count(*) FROM lot")]


async def test_bad_rows_are_named_and_the_rest_goes_on(world: World) -> None:
    """CSV and NDJSON: each refused row with its line, code and words, and nothing it said."""
    member = await world.member()
    good = row(member)
    text = b"\n".join(
        (
            msgspec.json.encode(good),
            b"",
            b"\xff\xfe",
            b"[]",
            msgspec.json.encode({**good, "colour": "red"}),
            msgspec.json.encode({**good, "customer": world.name(1)}),
            msgspec.json.encode({**good, "business_key": "x" * 9000}),
            msgspec.json.encode({**good, "business_key": "last", "expires_on": "2025-07-01"}),
            msgspec.json.encode({**good, "business_key": "last", "expires_on": "2025-07-02"}),
        )
    )
    job = await ended(world, await started(world, text))
    assert (8, 2, 0, 6) == figures(job)
    told = [(one.line, one.code, one.detail) for one in await endings(world, job, Ending.REFUSED)]
    assert [
        (3, "line_invalid", "the line is not JSON in UTF-8"),
        (4, "line_invalid", "Expected `object`, got `array`"),
        (5, "line_invalid", "Object contains unknown field `colour`"),
        (6, "line_invalid", "one of member_id and customer is needed"),
        (7, "line_invalid", "the line is longer than 8192 bytes"),
        (8, "expires_on_invalid", "expires_on must be today or a day at most 3660 days away."),
    ] == told
    text = (
        f"\ufeffcustomer,benefit,business_key,quantity\r\n{world.name(1)},VIDEO,csv,\r\n"
        f'{world.name(1)},VIDEO,"two, quoted",2\r\n{world.name(1)},VIDEO,csv\r\n'
        f"stranger,VIDEO,csv,1\r\n{world.name(1)},VIDEO,q,many\r\n"
    ).encode()
    job = await ended(world, await started(world, text, "csv", Format.CSV))
    assert (5, 2, 0, 3) == figures(job)
    assert [
        (4, "the line has another number of columns than the header"),
        (5, "No member has this id."),
        (6, "quantity: expected a quantity like `1` or `0.5`"),
    ] == [(one.line, one.detail) for one in await endings(world, job, Ending.REFUSED)]


@pytest.mark.parametrize(
    "header", [b"", b"benefit\n", b"benefit,business_key\n", b"\xff\n", b"benefit,colour\n"]
)
async def test_a_csv_without_its_header_is_refused_whole(world: World, header: bytes) -> None:
    """And no job is begun."""
    with pytest.raises(FileUnreadable):
        await started(world, header, format_=Format.CSV)
    assert [] == await world.rows("SELECT job_id FROM job")


async def test_an_empty_list_has_ended_at_once(world: World) -> None:
    """There is nothing to wait for."""
    job = await started(world, b"\n\n")
    assert (0, 0, 0, 0) == figures(job)
    assert job.begun_at == job.ended_at


async def test_a_long_list_is_committed_part_by_part(world: World) -> None:
    """Whatever stops it, whole parts are done; what became of each row is read afterwards."""
    members = await world.members(3)
    lines = [row(members[n % 3], business_key=f"k{n}") for n in range(PART_LINES + 2)]
    lines[1] = row(UUID(int=1))
    job = await started(world, rows_of(*lines))
    assert PART_LINES == await stepped(world, job)
    so_far = await look(world.database, job.job_id)
    assert (PART_LINES + 2, PART_LINES - 1, 0, 1) == figures(so_far)
    assert so_far.ended_at is None
    assert so_far == await started(world, rows_of(*lines))
    done = await ended(world, job)
    assert (PART_LINES + 2, PART_LINES + 1, 0, 1) == figures(done)
    refused = await endings(world, job, Ending.REFUSED)
    assert [(2, "unknown_member")] == [(o.line, o.code) for o in refused]
    lots = dict(await world.rows("SELECT period, lot_id FROM lot"))
    assert [(n + 1, lots.get(f"k{n}")) for n in range(PART_LINES + 2)] == [
        (one.line, one.lot_id) for one in await endings(world, job)
    ]
    assert [] == await world.rows("SELECT part FROM job_part")
    assert [] == await world.findings()


async def test_a_busy_member_is_tried_again_and_at_last_named(world: World) -> None:
    """Others are granted at once; who is free again in time is granted too."""
    members = await world.members(3)
    job = await started(world, rows_of(*(row(one) for one in members)))
    async with held(world, members[:2]) as admin:
        await ended(world, job)
        assert (3, 1, 0, 0) == figures(await look(world.database, job.job_id))
        world.clock.forward(seconds=1)
        await admin.execute("ROLLBACK; BEGIN")
        await admin.execute("SELECT FROM member WHERE member_id = $1 FOR UPDATE", members[0])
        for _ in range(TRIES):
            assert await stepped(world, job)
            world.clock.forward(seconds=1)
        done = await look(world.database, job.job_id)
    assert (3, 2, 0, 1) == figures(done)
    assert done.ended_at is not None
    assert [(1, "busy")] == [(o.line, o.code) for o in await endings(world, job, Ending.REFUSED)]


async def test_the_last_try_waits_for_who_holds_a_member(world: World) -> None:
    """Earlier ones pass over who is busy; this one is granted when the other's write ends."""
    members = await world.members(2)
    job = await started(world, rows_of(*(row(one) for one in members)))
    async with held(world, members[:1]) as admin:
        for _ in range(TRIES):
            async with asyncio.timeout(1.5):
                assert await stepped(world, job)
            world.clock.forward(seconds=1)
        assert (2, 1, 0, 0) == figures(await look(world.database, job.job_id))
        last = asyncio.create_task(stepped(world, job))
        done, _ = await asyncio.wait({last}, timeout=0.3)
        assert set() == done
        await admin.execute("ROLLBACK")
        assert 1 == await last
    assert (2, 2, 0, 0) == figures(await look(world.database, job.job_id))
    assert [] == await world.findings()


async def test_rows_of_a_long_list_come_in_order_at_any_length_of_page(world: World) -> None:
    """Granted, known, refused, and those that waited for their member: each once, by line."""
    members = await world.members(4)
    lines = [row(members[n % 4], business_key=f"k{n // 8}") for n in range(2 * PART_LINES + 2)]
    lines[7] = lines[-1] = row(UUID(int=1))
    job = await started(world, rows_of(*lines))
    async with held(world, members[:1]):
        await ended(world, job)
    world.clock.forward(seconds=1)
    done = await ended(world, job)
    expected = ["granted" if n % 8 < 4 else "known" for n in range(len(lines))]
    expected[7] = expected[-1] = "refused"
    assert [expected.count(e.value) for e in Ending] == [done.granted, done.known, done.refused]
    for wanted, limit in ((None, 7), (None, 1000), (Ending.GRANTED, 333), (Ending.KNOWN, 1001)):
        found, after = list[RowEnding](), jobs.BEGINNING
        while True:
            async with world.database.transaction() as conn:
                page = await jobs.endings(conn, job.job_id, wanted, after=after, limit=limit)
            found += page
            if len(page) < limit:
                break
            after = after.behind(page)
        assert [
            (n, what) for n, what in enumerate(expected, 1) if wanted in {None, Ending(what)}
        ] == [(one.line, one.ending.value) for one in found]
    assert [] == await world.findings()


@asynccontextmanager
async def held(world: World, members: list[UUID]) -> AsyncIterator[asyncpg.Connection]:
    """Hold members as somebody else's write does."""
    admin = await asyncpg.connect(server(world.database))
    try:
        await admin.execute("BEGIN")
        await admin.fetch(
            "SELECT FROM member WHERE member_id = ANY ($1::uuid[]) FOR UPDATE", members
        )
        yield admin
    finally:
        await admin.close()


async def test_two_who_decide_one_job_share_its_parts(world: World) -> None:
    """Nothing is granted twice and every line is counted once, beside claims of the members."""
    members = await world.members(200)
    await give(world, *(gift(one, quantity=2) for one in members))
    lines = [row(members[n % 200], business_key=f"k{n // 200}") for n in range(3 * PART_LINES)]
    job = await started(world, rows_of(*lines))

    async def claims() -> int:
        outcomes = [await decide(world, wish(one)) for one in members[:40]]
        return [said(outcome) for (outcome,) in outcomes].count("ok")

    async def run() -> Job:
        return await run_job(world.database, world.parts, job.job_id, progress=lambda _: None)

    clock = asyncio.create_task(ticking(world))
    done, _, claimed = await asyncio.gather(run(), run(), claims())
    clock.cancel()
    assert (3000, 3000, 0, 0) == figures(done)
    assert 40 == claimed
    assert [] == await world.findings()


async def test_a_list_waits_on_for_what_others_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long a wait ends a part's transaction, and not the list."""
    run_part = run_jobs.run_part

    async def hurried(conn: Connection, *args: Any) -> int:
        await rows(conn, "SELECT set_config('lock_timeout', '20ms', true)")
        return await run_part(conn, *args)

    monkeypatch.setattr(run_jobs, "run_part", hurried)
    (member,) = await world.members(1)
    job = await started(world, rows_of(row(member)))
    async with world.database.transaction() as other:
        await rows(other, "SELECT job_id FROM job FOR UPDATE")
        running = asyncio.create_task(
            run_job(world.database, world.parts, job.job_id, progress=lambda _: None)
        )
        await asyncio.sleep(0.2)
        assert not running.done()
    assert (1, 1, 0, 0) == figures(await running)


async def ticking(world: World) -> None:
    """Let time pass for what waits a second."""
    while True:
        await asyncio.sleep(0.01)
        world.clock.forward(seconds=1)


async def test_a_row_that_fails_unforeseen_stands_alone(
    world: World,
) -> None:
    """The others of its part are granted; the row is named with an incident."""
    members = await world.members(5)
    await change(
        world, f"UPDATE member SET recorded_at = 'infinity' WHERE member_id = '{members[3]}'"
    )
    job = await ended(world, await started(world, rows_of(*(row(one) for one in members))))
    assert (5, 4, 0, 1) == figures(job)
    (refused,) = await endings(world, job, Ending.REFUSED)
    assert (4, "row_failed") == (refused.line, refused.code)
    assert refused.detail.startswith("Tell us the incident: ")


async def test_a_file_goes_on_while_its_job_has_not_ended(world: World) -> None:
    """The same file is the same job until that has ended; then it is looked at anew."""
    member = await world.member()
    text = rows_of(row(member), row(UUID(int=1)))

    async def begun() -> tuple[Job, bool]:
        async with world.database.transaction() as conn:
            file = io.BytesIO(text)
            return await begin_file(
                conn, "system:import", world.parts, file=file, format_=Format.NDJSON
            )

    first, is_new = await begun()
    assert is_new
    assert (first, False) == await begun()
    assert (2, 1, 0, 1) == figures(await ended(world, first))
    second, is_new = await begun()
    assert is_new
    assert first.job_id != second.job_id
    assert (2, 0, 1, 1) == figures(await ended(world, second))


async def test_nobody_has_a_job_of_a_strange_id(world: World) -> None:
    """It is refused, not made up."""
    with pytest.raises(UnknownJob):
        await look(world.database, UUID(int=5))
