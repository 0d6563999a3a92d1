"""Label feeds: what meets its manifest counts as a label file does, the rest nowhere."""

import asyncio
import itertools
import random
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from benefits.actions import seal_labels
from benefits.actions.import_files import KINDS, import_file
from benefits.actions.seal_labels import take_next
from benefits.domain.feeds import (
    ChunkConflict,
    FeedClosed,
    FeedState,
    FeedUnknown,
    ManifestConflict,
)
from benefits.domain.label_feeds import LabelFeedKey
from benefits.domain.labels import TOLD
from benefits.store.db import Connection, rows
from benefits.worker import Worker
from tests.actions.labelling import (
    HEADER,
    VERSION,
    carried,
    chunk,
    filled,
    put,
    said,
    sealed,
    sent,
)
from tests.actions.life import change
from tests.actions.listing import send as send_list
from tests.builders import FrozenClock, World

PAYROLL = ("payroll", "FACT", date(2025, 1, 1), None, "2025-06")
SILVER = ("silver", "RULE", date(2025, 1, 1), date(2025, 7, 1), "2025-06")


class _Ticking(FrozenClock):
    """A clock that never tells the same instant twice."""

    def __call__(self) -> Any:
        """Tell the time, a little later each time."""
        self.forward(microseconds=1)
        return self.now


async def two(world: World) -> tuple[bytes, bytes]:
    """Enrol two members; return a chunk about each."""
    await world.members(2)
    first = chunk(f"{world.name(1)},payroll,FACT,2025-01-01,")
    return first, chunk(f"{world.name(2)},silver,RULE,2025-01-01,2025-07-01")


async def cases(world: World) -> list[str]:
    """Return what is told of feeds that were refused."""
    found = await world.rows("SELECT detail FROM case_file WHERE kind = 'feed_refused'")
    return [row.detail for row in found]


async def parts_left(world: World) -> int:
    """Return how many chunks' lines lie waiting."""
    ((count,),) = await world.rows("SELECT count(*) FROM label_feed_part")
    return int(count)


async def test_labels_count_when_their_manifest_matches(world: World) -> None:
    """S-1: with layer, dates and the version they came by; again it is as it stands."""
    chunks = await two(world)
    await filled(world, VERSION, chunks)
    assert set() == await carried(world)
    for _ in "ab":
        feed = await sealed(world, VERSION, said(chunks))
        assert (FeedState.SEALED, 2, 0, 0) == (
            feed.state,
            feed.kept,
            feed.unchanged,
            feed.left_out,
        )
    assert {PAYROLL, SILVER} == await carried(world)
    assert 0 == await parts_left(world)
    again = await sent(world, LabelFeedKey("2025-07"), *chunks)
    assert (0, 2) == (again.kept, again.unchanged)
    assert {PAYROLL, SILVER} == await carried(world)
    with pytest.raises(ManifestConflict):
        await sealed(world, VERSION, said(chunks, rows=3))
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("line", "rows", "reason"),
    [
        ("{},payroll,FACTS,2025-01-01,", 2, "layer: … is none of FACT, RULE, MODEL"),
        ("{},payroll,LIST,2025-01-01,", 2, "layer: … is none of FACT, RULE, MODEL"),
        ("{},payroll,FACT,2025-02-30,", 2, "valid_from:"),
        ("{},payroll,FACT,2025-01-01,2025-01-01", 2, "valid_to: must lie after valid_from"),
        ("{},,FACT,2025-01-01,", 2, "label: must have 1 to 64 characters"),
        ("{},payroll,FACT", 2, "the line has another number of columns"),
        ("{},payroll,FACT,2025-01-01,", 3, "rows: the manifest says 3, received 2"),
    ],
)
async def test_a_label_feed_that_is_not_as_said_is_refused_whole(
    world: World, line: str, rows: int, reason: str
) -> None:
    """A bad line, or one too few: nothing of it counts, and a case says why."""
    first, _ = await two(world)
    chunks = [first, chunk(line.format(world.name(2)))]
    await filled(world, VERSION, chunks)
    for _ in "ab":
        feed = await sealed(world, VERSION, said(chunks, rows))
        assert FeedState.REFUSED is feed.state
        assert any(reason in one for one in feed.reasons), feed.reasons
    (told,) = await cases(world)
    assert told.startswith("labels 2025-06 revision 0: ")
    assert (set(), 0) == (await carried(world), await parts_left(world))
    with pytest.raises(FeedClosed):
        await put(world, VERSION, 3, first)
    assert not await Worker(world.database, world.parts, {}).take_labels()
    good = await sent(world, LabelFeedKey("2025-06", 1), first)
    assert (FeedState.SEALED, {PAYROLL}) == (good.state, await carried(world))


@pytest.mark.parametrize("line", ["p,a,{},2025-01-01,", "p,a,FACT,{},", "p,a,FACT,2025-01-01,{}"])
async def test_reasons_repeat_nothing_of_a_line(world: World, line: str) -> None:
    """They stay, unsealed, and columns that were shifted hold whom a line is about (X-4)."""
    text = chunk(line.format("A123"), line.format("B" * 9000))
    feed = await sent(world, VERSION, text)
    told = await world.rows("SELECT told::text FROM label_feed_chunk")
    said_of_it = " ".join([*feed.reasons, *(row.told for row in told), *await cases(world)])
    assert "chunk 1, line 2: " in said_of_it
    assert "A123" not in said_of_it
    assert "BBBB" not in said_of_it


async def test_a_chunk_that_is_missing_or_another_is_told(world: World) -> None:
    """Chunks are numbered from 1 on, and their digests stand in the manifest's."""
    chunks = await two(world)
    await filled(world, VERSION, chunks)
    await put(world, VERSION, 4, chunks[0])
    feed = await sealed(world, VERSION, said(chunks))
    assert "chunks: 3 is missing, and 1 in all" == feed.reasons[0]
    assert feed.reasons[2].startswith("sha256: the manifest says")


async def test_a_chunk_of_labels_counts_once_and_never_changes(world: World) -> None:
    """C-9: the same bytes again change nothing, others are refused; two at once are one."""
    first, second = await two(world)
    with pytest.raises(FeedUnknown):
        await put(world, VERSION, 1, first)
    with pytest.raises(FeedUnknown):
        await sealed(world, VERSION, said([first]))
    await filled(world, VERSION, [first])
    assert not await put(world, VERSION, 1, first)
    with pytest.raises(ChunkConflict):
        await put(world, VERSION, 1, second)
    new = await asyncio.gather(*(put(world, VERSION, 2, second) for _ in range(3)))
    assert 1 == sum(new)
    feed = await sealed(world, VERSION, said([first, second]))
    assert (FeedState.SEALED, 2) == (feed.state, feed.kept)
    assert not await put(world, VERSION, 1, first)


async def test_lines_nobody_can_carry_are_left_out_and_told(world: World) -> None:
    """Whoever is not enrolled, and a whitelist's name; the rest counts."""
    first, _ = await two(world)
    await send_list(world, world.name(1))
    other = chunk("nobody,payroll,FACT,2025-01-01,", f"{world.name(2)},founders,FACT,2025-01-01,")
    feed = await sent(world, VERSION, first, other)
    assert (FeedState.SEALED, 1, 2) == (feed.state, feed.kept, feed.left_out)
    assert [
        "chunk 2, line 2: customer: not a member",
        "chunk 2, line 3: label: 'founders' is a whitelist's name",
    ] == feed.told


async def test_a_version_said_on_a_line_is_the_feeds(world: World) -> None:
    """The platform's files may name it on every line."""
    await two(world)
    header, line = b"customer,label,layer,valid_from,version\n", b"{},payroll,FACT,2025-01-01,{}\n"
    text = header + line.replace(b"{}", world.name(1).encode(), 1).replace(b"{}", b"2025-06")
    feed = await sent(world, VERSION, text)
    assert (FeedState.SEALED, {PAYROLL}) == (feed.state, await carried(world))
    feed = await sent(world, LabelFeedKey("2025-07"), text)
    assert [
        "lines: 1 are not valid",
        "chunk 1, line 2: version: … is not the feed's",
    ] == feed.reasons


async def test_the_worker_ends_what_was_interrupted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk by chunk, by whoever goes on, feed by feed; a step undone is done again."""
    monkeypatch.setattr(seal_labels, "CHUNK", 0)
    chunks = await two(world)
    later = LabelFeedKey("2025-07")
    assert FeedState.WAITING is (await sent(world, VERSION, *chunks)).state
    world.clock.forward(seconds=1)
    assert (
        FeedState.WAITING is (await sent(world, later, chunk("nobody,a,FACT,2025-01-01,"))).state
    )
    one, other = (Worker(world.database, world.parts, {}) for _ in range(2))
    assert await one.take_labels()
    feed = await sealed(world, VERSION, said(chunks))
    assert (FeedState.APPLYING, 0.5, {PAYROLL}) == (feed.state, feed.applied, await carried(world))
    await world.database.rehearsal().transact(lambda conn: take_next(conn, world.parts))
    assert (0.5, 2) == (
        (await sealed(world, VERSION, said(chunks))).applied,
        await parts_left(world),
    )
    world.clock.forward(seconds=1)
    steps = await asyncio.gather(other.take_labels(), one.take_labels())
    assert sum(steps) in {1, 2}
    while await other.take_labels():
        pass
    assert {PAYROLL, SILVER} == await carried(world)
    states = await world.rows("SELECT version, state, left_out FROM label_feed ORDER BY version")
    assert [("2025-06", "SEALED", 0), ("2025-07", "SEALED", 1)] == [tuple(row) for row in states]
    assert 0 == await parts_left(world)


async def test_of_many_short_chunks_a_request_takes_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait while labels are recorded; the worker goes on."""
    monkeypatch.setattr(seal_labels, "STEPS_AT_ONCE", 2)
    await world.members(1)
    chunks = [chunk(f"{world.name(1)},{name},FACT,2025-01-01,") for name in "abc"]
    feed = await sent(world, VERSION, *chunks)
    assert (FeedState.APPLYING, 2, 1) == (feed.state, feed.kept, await parts_left(world))
    worker = Worker(world.database, world.parts, {})
    while await worker.take_labels():
        pass
    assert {"a", "b", "c"} == {one[0] for one in await carried(world)}


async def test_labels_are_looked_up_by_key_however_few_there_were(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is kept, and none knows how many a chunk brings: to read all for each is too slow."""
    await world.members(1)
    lines = [f"{world.name(1)},l{nth},FACT,2025-01-01," for nth in range(200)]
    read = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'member_label'"

    async def take(conn: Connection) -> int:
        await take_next(conn, world.parts)
        ((scans,),) = await rows(conn, read)
        return int(scans)

    await sent(world, LabelFeedKey("2025-05"), chunk(lines[0]))
    await change(world, "ANALYZE member_label")
    monkeypatch.setattr(seal_labels, "CHUNK", 0)
    await sent(world, VERSION, chunk(*lines), chunk(*lines))
    assert [0, 0] == [await world.database.transact(take) for _ in "ab"]


async def test_an_earlier_revision_that_comes_late_changes_nothing(world: World) -> None:
    """Of a version the highest revision counts, whatever meets its manifest first."""
    first, second = await two(world)
    await filled(world, VERSION, [first])
    await sent(world, LabelFeedKey("2025-06", 1), second)
    assert 0 == await parts_left(world)
    feed = await sealed(world, VERSION, said([first]))
    assert (FeedState.SEALED, 0, {SILVER}) == (feed.state, feed.kept, await carried(world))
    assert 0 == await parts_left(world)


@pytest.mark.parametrize("seed", range(3))
async def test_a_feed_says_what_the_same_lines_say_as_a_file(world: World, seed: int) -> None:
    """However it is cut, and in whatever order its chunks come: the last word of each counts."""
    chance = random.Random(seed)
    world.parts = msgspec.structs.replace(world.parts, clock=_Ticking())
    await world.members(8)

    def line(of: int) -> str:
        first = date(2025, 1, 1) + timedelta(days=chance.randrange(3))
        end = first + timedelta(days=chance.randrange(1, 3)) if chance.random() < 0.5 else ""
        return f"{{{of}}},{chance.choice('abc')},{chance.choice(TOLD)},{first},{end}"

    lines = [line(chance.randrange(4)) for _ in range(40)]
    files, feeds = (
        [one.format(*(world.name(nth + first) for nth in range(1, 5))) for one in lines]
        for first in (0, 4)
    )
    text = [HEADER, *(f"{one}\n" for one in files)]
    await import_file(world.database, world.parts, KINDS["labels"], text, progress=lambda _: None)
    ends = [0, *sorted(chance.sample(range(1, 40), 4)), 40]
    chunks = [chunk(*feeds[a:b]) for a, b in itertools.pairwise(ends)]
    assert FeedState.SEALED is (await sent(world, VERSION, *chunks)).state
    latest = """
        SELECT array_agg((label, layer, valid_from, valid_to)::text ORDER BY label, valid_from)
        FROM (SELECT DISTINCT ON (member_id, label, valid_from) * FROM member_label
              ORDER BY member_id, label, valid_from, recorded_at DESC) AS l
        WHERE source_version IS {} NULL GROUP BY member_id
    """
    from_file, from_feed = [
        sorted(row[0] for row in await world.rows(f"SELECT * FROM ({latest.format(word)}) AS t"))
        for word in ("", "NOT")
    ]
    assert from_file == from_feed
