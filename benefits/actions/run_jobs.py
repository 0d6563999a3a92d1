"""Lists of rewards: begin a job for one, and decide it part by part (N-2, C-9, I14).

A job and all its lines are stored before the first is decided, so that any process may go on with
it: the command or request that brought it, or the worker. A part's effect, the count of its rows
and its going are one transaction; killed at any point, a job stands at a whole part. Rows are
decided by the rule of single rewards, and their business keys make each one idempotent for ever.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import IO
from uuid import UUID, uuid4

import msgspec
import structlog

from benefits.actions.grant import RewardMember, reward_listed
from benefits.actions.keyed import Accepted
from benefits.actions.parts import Parts
from benefits.domain import units, values
from benefits.domain.assets import LineInvalid
from benefits.domain.jobs import (
    PART_LINES,
    VALID_DAYS,
    Ending,
    Format,
    GrantLine,
    Part,
    read_line,
    read_parts,
)
from benefits.domain.refusal import Refusal
from benefits.domain.requests import KeyConflict
from benefits.store import jobs
from benefits.store.db import Busy, Connection, Database, is_busy, is_transient, run
from benefits.store.jobs import BEGINNING, Job, JobKey, RowEnding, Taken

OPERATION = "grants"
WAIT = "SET LOCAL lock_timeout = '2s'"
TRIES = 10  # for a member whom somebody else holds
PAUSE = timedelta(seconds=1)
AGAIN_S = 0.2
LANES = 2  # parts at a time: one is decided while the database writes the other
_BLOCK = 2**20

log = structlog.get_logger()


class UnknownJob(Refusal):
    """No such job."""

    code = "unknown_job"
    words = "No job has this id."


class RowFailed(Refusal):
    """A row met a fault of ours; its story is in the log."""

    code = "row_failed"
    words = "The row could not be decided."


class ListTooLong(Refusal):
    """A list is too long to be rehearsed: its parts would have to know each other."""

    code = "list_too_long"
    words = f"A dry run takes lists of up to {PART_LINES} lines."


def digest_of(file: IO[bytes], format_: Format) -> bytes:
    """Return the hash of a list from its beginning, and go back there."""
    digest = hashlib.blake2b(format_.value.encode() + b"\x00", digest_size=16)
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.digest()


def place_of(caller: str, key: str) -> JobKey:
    """Return where a caller's job lies."""
    return JobKey(values.placed_bucket(caller, OPERATION, key), caller, key)


async def begin(
    conn: Connection,
    place: JobKey,
    parts: Parts,
    *,
    digest: bytes,
    file: IO[bytes],
    format_: Format,
    is_dry: bool = False,
) -> tuple[Job, bool]:
    """Store a list as a job and say that it is new, or find it (KeyConflict, FileUnreadable).

    In a dry run a list of several parts is ListTooLong.
    """
    known = await jobs.by_key(conn, place)
    if known is not None:
        if known.digest != digest:
            raise KeyConflict
        return known, False
    file.seek(0)
    now = parts.clock()
    job_id = parts.new_id(now, place.bucket)
    lines = 0
    for number, part in enumerate(read_parts(file, format_)):
        if is_dry and number:
            raise ListTooLong
        sealed = _sealed(part, parts)
        await jobs.put_part(conn, job_id, number, lines_sealed=sealed, now=now)
        lines += len(part.lines)
    await jobs.put(conn, place, job_id, digest=digest, lines=lines, now=now)
    made = await jobs.by_key(conn, place)
    assert made is not None
    return made, True


async def begin_file(
    conn: Connection,
    caller: str,
    parts: Parts,
    *,
    file: IO[bytes],
    format_: Format,
    is_dry: bool = False,
) -> tuple[Job, bool]:
    """Store a file as a job and say that it is new, or go on with one of it that has not ended."""
    digest = digest_of(file, format_)
    place = place_of(caller, digest.hex())
    known = await jobs.unended(conn, place.bucket, caller, digest)
    if known is not None:
        return known, False
    place = JobKey(place.bucket, caller, uuid4().hex)  # a file may come again another day
    return await begin(
        conn, place, parts, digest=digest, file=file, format_=format_, is_dry=is_dry
    )


def _sealed(part: Part, parts: Parts) -> bytes:
    return parts.envelope.seal(msgspec.msgpack.encode(part))


async def run_part(conn: Connection, parts: Parts, which: UUID | tuple[int, int]) -> int:
    """Decide the next part of a job, or of any in a range of buckets; return how many lines.

    Lines whose member is busy wait for the end of their job; they count as seen, too.
    """
    taken = await jobs.take(conn, which, parts.clock())
    if taken is None:
        return 0
    part = msgspec.msgpack.decode(parts.envelope.open(taken.lines_sealed), type=Part)
    endings = await _decide(conn, taken, part, parts)
    now = parts.clock()
    waiting = [line for line in part.lines if line[0] not in endings]
    if waiting:
        left = Part(waiting, part.header, part.tries + 1)
        sealed = _sealed(left, parts)
        await jobs.defer(conn, taken, lines_sealed=sealed, not_before=now + PAUSE)
    else:
        await jobs.drop_part(conn, taken)
    await _put(conn, taken, part.tries, [one for _, one in sorted(endings.items())])
    kinds = [one.ending for one in endings.values()]
    granted, known, refused = (kinds.count(kind) for kind in Ending)
    if kinds:
        await jobs.count(conn, taken.job_id, (granted, known, refused), now)
    return len(part.lines)


async def _put(conn: Connection, taken: Taken, tries: int, endings: Sequence[RowEnding]) -> None:
    """Record every row: refused ones and short lists by row, the rest by part."""
    alone = [e for e in endings if e.ending is Ending.REFUSED or _is_short(taken)]
    if alone:
        await jobs.put_rows(conn, taken.job_id, alone)
    if len(alone) < len(endings):
        rest = [e for e in endings if e.ending is not Ending.REFUSED]
        await jobs.put_outcome(conn, taken, tries, rest)


async def at_once(conn: Connection, parts: Parts, job: Job) -> tuple[Job, list[RowEnding]]:
    """Decide a short job in this transaction; return how a job stands, a short one with rows."""
    if job.lines > PART_LINES:
        return job, []
    if job.ended_at is None:
        await run_part(conn, parts, job.job_id)
        found = await jobs.by_id(conn, job.job_id)
        assert found is not None, "a job stays"
        job = found
    if job.ended_at is None:
        return job, []
    return job, await jobs.endings(conn, job.job_id, None, after=BEGINNING, limit=PART_LINES)


async def run_job(
    database: Database, parts: Parts, job_id: UUID, *, progress: Callable[[Job], None]
) -> Job:
    """Decide a job to its end, beside whoever else does, and tell how far it is."""

    async def part(conn: Connection) -> int:
        return await run_part(conn, parts, job_id)

    async def lane() -> None:
        while not (job := await look(database, job_id)).ended_at:
            progress(job)
            if not await _once(database, part):
                await asyncio.sleep(AGAIN_S)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(LANES):
            lanes.create_task(lane())
    return await look(database, job_id)


async def _once(database: Database, part: Callable[[Connection], Awaitable[int]]) -> int:
    """Decide a part; none where somebody else holds what it needs for too long."""
    try:
        return await database.transact(part)
    except Exception as error:
        if not is_busy(error):
            raise
        return 0


async def look(database: Database, job_id: UUID) -> Job:
    """Return how a job stands (UnknownJob)."""
    async with database.transaction() as conn:
        job = await jobs.by_id(conn, job_id)
    if job is None:
        raise UnknownJob
    return job


async def rows_of(
    database: Database, job_id: UUID, ending: Ending | None = None
) -> AsyncIterator[RowEnding]:
    """Yield the rows of a job that have ended, in order: all, or those that ended in one way."""
    after = BEGINNING
    while True:
        async with database.transaction() as conn:
            page = await jobs.endings(conn, job_id, ending, after=after, limit=PART_LINES)
        for row in page:
            yield row
        if len(page) < PART_LINES:
            return
        after = after.behind(page)


async def _decide(
    conn: Connection, taken: Taken, part: Part, parts: Parts
) -> dict[int, RowEnding]:
    """Return what becomes of the lines of a part; those that are to wait are left out."""
    endings = dict[int, RowEnding]()
    commands = dict[int, RewardMember]()
    for number, line in part.lines:
        try:
            commands[number] = _command(read_line(line, part.header), taken.caller, parts)
        except LineInvalid as refusal:
            endings[number] = _refused(number, refusal)
    # The last time it waits for whoever holds a member, so that no row is lost to its own list.
    last = part.tries >= TRIES
    if last:
        await run(conn, WAIT)
    decided = await _reward(conn, list(commands.values()), parts, wait=last)
    for number, outcome in zip(commands, decided, strict=True):
        match outcome:
            case Busy() if not last:
                continue
            case Refusal():
                endings[number] = _refused(number, outcome)
            case Accepted():
                is_new = units.told(outcome.ids["granted"]) != 0
                kind = Ending.GRANTED if is_new else Ending.KNOWN
                lot_id = UUID(outcome.ids["lot_id"])
                endings[number] = RowEnding(number, kind, lot_id=lot_id)
    return endings


def _is_short(taken: Taken) -> bool:
    """Say whether every row of a job is kept by itself."""
    return taken.lines <= PART_LINES


def _command(line: GrantLine, caller: str, parts: Parts) -> RewardMember:
    if line.member_id is not None:
        member_id = line.member_id
    else:
        assert line.customer is not None
        member_id = values.member_id(line.customer, parts.member_key)
    return RewardMember(
        caller=caller,
        key="",
        member_id=member_id,
        benefit=line.benefit,
        quantity=units.plain(line.quantity),
        business_key=line.business_key,
        valid_days=VALID_DAYS if line.valid_days is None else line.valid_days,
        expires_on=line.expires_on,
    )


def _refused(number: int, refusal: Refusal) -> RowEnding:
    return RowEnding(number, Ending.REFUSED, refusal.code, refusal.detail)


async def _reward(
    conn: Connection, commands: list[RewardMember], parts: Parts, *, wait: bool
) -> list[Accepted | Refusal]:
    """Reward together; what fails beyond foreseeing is halved until the culprit stands alone."""
    if not commands:
        return []
    try:
        async with conn.begin_nested():
            return await reward_listed(conn, commands, parts, wait=wait)
    except Exception as error:
        if is_transient(error):
            raise
        if len(commands) == 1 and is_busy(error):
            return [Busy()]
        if len(commands) == 1:
            incident = uuid4().hex
            log.exception("job.row_failed", incident=incident)
            return [RowFailed(f"Tell us the incident: {incident}.")]
    half = len(commands) // 2
    first = await _reward(conn, commands[:half], parts, wait=wait)
    return first + await _reward(conn, commands[half:], parts, wait=wait)
