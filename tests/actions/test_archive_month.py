"""Months leave for files and come back; the books fold, and whatever is changed shows."""

import asyncio
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import msgspec
import pytest

from benefits.actions import archive_month as archiving
from benefits.actions import seal, verify
from benefits.actions.archive_month import (
    BatchesUnsealed,
    Done,
    HoldsOpen,
    LedgerBusy,
    MonthAbsent,
    MonthNotClosed,
    archive_month,
    restore_month,
)
from benefits.actions.close_month import close_month
from benefits.actions.prove import prove_batch
from benefits.domain.archive import ArchiveUnfit, MonthArchived
from benefits.domain.corrections import Kind
from benefits.domain.orders import Done as Delivered
from benefits.domain.orders import Reason, Rejected, Used
from benefits.domain.past import Bounds
from benefits.domain.values import Month
from benefits.store import archive as store
from benefits.store import past, recent, roles, totals
from benefits.store.past import Stretch
from tests import builders
from tests.actions.desk import correct
from tests.actions.life import (
    call_back,
    change,
    claimed,
    expire_lots,
    gift,
    give,
    holder,
    number_of,
    tell,
    wish,
    work_off,
)
from tests.actions.log import KEY, audit, checkpointed
from tests.builders import World
from tests.conftest import database
from tests.roles import NAMES, as_role, opened

JUNE, JULY, AUGUST = Month(2025, 6), Month(2025, 7), Month(2025, 8)
AS_SUPERUSER = "SET LOCAL session_replication_role = replica"
SCRIPT = Path(__file__).parents[2] / "docs" / "check_proof.py"
FILE = "ledger-2025-06.ndjson.gz"


async def spent(world: World, member: UUID, benefit: str = "VIDEO", **more: Any) -> UUID:
    """Claim, and let the provider deliver; return the claim."""
    (claim_id,) = await claimed(world, wish(member, benefit, **more))
    done = Delivered(at=world.clock())
    await call_back(world, await number_of(world, claim_id), done, Used(at=world.clock()))
    return claim_id


async def exported(world: World) -> None:
    """Seal, sign and take outside whatever there is."""
    await checkpointed(world)

    async def send(_: str) -> None:
        """Take it."""

    await seal.export(world.database, send, world.parts)


async def lived_in(world: World) -> dict[str, UUID]:
    """Live through June and July, close both; return who and what is asked about later."""
    world.clock.now = datetime(2025, 6, 10, 4, tzinfo=UTC)
    member = await holder(world, "LOUNGE", quantity=5, valid_days=45)
    other = await holder(world, "VIDEO", quantity=3, valid_days=60)
    ended = await holder(world, "LOUNGE", quantity=2, valid_days=5)
    june = await spent(world, member, "LOUNGE")
    plain = await spent(world, other)
    refused, _ = await claimed(world, wish(member, "LOUNGE"), wish(other))
    await call_back(world, await number_of(world, refused), Rejected(Reason.LIMIT, "limit"))
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=june)
    world.clock.now = datetime(2025, 7, 1, 4, tzinfo=UTC)
    await expire_lots(world)
    (waiting,) = await world.rows("SELECT claim_id FROM claim WHERE state = 'HELD'")
    number = await number_of(world, waiting.claim_id)
    await call_back(world, number, Delivered(at=world.clock()))
    world.clock.now = datetime(2025, 7, 10, 4, tzinfo=UTC)
    july = await spent(world, member, "LOUNGE")
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    await expire_lots(world)
    for month in (JUNE, JULY):
        await close_month(world.database, world.parts, month, actor="test")
    await exported(world)
    await give(world, gift(member, "LOUNGE"))
    return {"member": member, "other": other, "june": june, "july": july, "plain": plain,
            "ended": ended}  # fmt: skip


@pytest.fixture(scope="module")
async def lived(cluster_dsn: str, migrated: str) -> AsyncIterator[tuple[str, dict[str, UUID]]]:
    """Give the name of a database with two closed months, and who lives there."""
    async with database(cluster_dsn, migrated) as dsn:
        async with builders.world(dsn) as made:
            who = await lived_in(made)
        yield urlsplit(dsn).path.removeprefix("/"), who


@pytest.fixture
async def world(
    cluster_dsn: str, lived: tuple[str, dict[str, UUID]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Give a copy of it, verified in one slice."""
    monkeypatch.setattr(verify, "SLICES", 1)
    async with database(cluster_dsn, lived[0]) as dsn, builders.world(dsn) as made:
        made.clock.now = datetime(2025, 8, 3, tzinfo=UTC)
        yield made


def nothing(_: int, __: int) -> None:
    """Hear how far it is."""


async def archive(world: World, folder: Path, month: Month = JUNE) -> Done:
    """Archive a month as the migrator."""
    async with opened(as_role(_plain(world), NAMES.migrator)) as mine:
        return await archive_month(mine, world.parts, month, folder, key=KEY, say=nothing)


async def restore(world: World, file: Path, month: Month = JUNE) -> None:
    """Restore a month as the migrator."""
    async with opened(as_role(_plain(world), NAMES.migrator)) as mine:
        await restore_month(mine, world.parts, month, file, say=nothing)


async def told(world: World, who: dict[str, UUID]) -> list[Any]:
    """Return what is asked about now and about the end of July: all that folds the ledger."""
    found = list[Any]()
    now = world.clock()
    for bounds in (Bounds(None, None, now), Bounds(datetime(2025, 8, 1, tzinfo=UTC), None, now)):
        async with world.database.transaction() as conn:
            found.append(await totals.totals(conn, bounds))
            found.append(
                await totals.vintages(
                    conn, bounds, (await world.parts.catalogue.current(conn)).zone
                )
            )
            for member in who.values():
                found.append(
                    sorted(
                        (str(key), amount)
                        for key, amount in (await past.sums(conn, member, bounds)).items()
                        if amount
                    )
                )
    return found


async def test_an_archived_month_leaves_and_comes_back(
    world: World, lived: tuple[str, dict[str, UUID]], tmp_path: Path
) -> None:
    """Verify and every sum say the same before, without its batches, and after it came back."""
    _, who = lived
    before, rights = await told(world, who), await differing(world)
    rows = await world.rows("SELECT b.* FROM batch AS b ORDER BY b.batch_id")
    lines = await world.rows("SELECT p.* FROM posting AS p ORDER BY p.batch_id, p.line")
    assert [] == await audit(world)
    done = await archive(world, tmp_path)
    assert (True, 2) == (done.is_new, done.kept)
    left = await world.rows("SELECT batch_id FROM batch WHERE recorded_at < '2025-07-01'")
    assert (2, len(rows)) == (
        len(left),
        done.archive.batches - 2 + len(await world.rows("SELECT batch_id FROM batch")),
    )
    assert [] == await audit(world)
    assert [] == await audit(world, archives=(tmp_path / FILE,))
    assert [] == [one async for one in recent.findings(world.database)]
    assert before == await told(world, who)
    assert not (await archive(world, tmp_path)).is_new
    await restore(world, tmp_path / FILE)
    assert rows == await world.rows("SELECT b.* FROM batch AS b ORDER BY b.batch_id")
    assert lines == await world.rows("SELECT p.* FROM posting AS p ORDER BY p.batch_id, p.line")
    assert [] == await audit(world, archives=(tmp_path / FILE,))
    assert before == await told(world, who)
    world.clock.forward(seconds=1)
    again = await archive(world, tmp_path)
    assert (True, done.archive.file_digest) == (again.is_new, again.archive.file_digest)
    assert [] == await audit(world, archives=(tmp_path / FILE,))
    assert rights == await differing(world)


async def differing(world: World) -> list[str]:
    """Return what roles and their rights differ in; a copy of a database has lost its own."""
    async with opened(as_role(_plain(world), NAMES.migrator)) as mine, mine.transaction() as conn:
        return await roles.differences(conn, NAMES)


def _plain(world: World) -> str:
    return world.database.engine.url.render_as_string(hide_password=False).replace("+asyncpg", "")


async def test_all_closed_months_can_leave(
    world: World, lived: tuple[str, dict[str, UUID]], tmp_path: Path
) -> None:
    """Also the later one first; what a hold of one month ended in another is not lost."""
    before = await told(world, lived[1])
    for month in (JULY, JUNE):
        await archive(world, tmp_path, month)
        assert [] == await audit(world)
    assert before == await told(world, lived[1])
    await restore(world, tmp_path / "ledger-2025-07.ndjson.gz", JULY)
    assert [] == await audit(world)


async def test_life_goes_on_without_the_month(
    world: World, lived: tuple[str, dict[str, UUID]], tmp_path: Path
) -> None:
    """Old orders are told about again, units of old lots are spent, what was given back stays."""
    _, who = lived
    await archive(world, tmp_path)
    world.clock.forward(minutes=1)
    for claim in ("june", "plain"):
        await tell(world, await number_of(world, who[claim]), Rejected(Reason.LIMIT, "late"))
    assert 2 == await work_off(world)
    await spent(world, who["other"])
    assert "correction_exceeds" == await correct(
        world, Kind.REVERSE, who["member"], 1, claim_id=who["june"]
    )
    assert "ok" == await correct(world, Kind.REVERSE, who["member"], 1, claim_id=who["july"])
    away = await correct(world, Kind.REVERSE, who["other"], 1, claim_id=who["plain"])
    assert "month_archived" == away
    await expire_lots(world)
    assert [] == await world.findings()
    await exported(world)
    await restore(world, tmp_path / FILE)
    assert "ok" == await correct(world, Kind.REVERSE, who["other"], 1, claim_id=who["plain"])
    assert [] == await world.findings()


async def test_a_question_within_an_archived_month_is_refused(
    world: World, lived: tuple[str, dict[str, UUID]], tmp_path: Path
) -> None:
    """Never a wrong figure: before and behind the month it is answered, between it is not."""
    _, who = lived
    await archive(world, tmp_path)
    now = world.clock()
    middle = datetime(2025, 6, 10, 4, 0, 1, 500_000, tzinfo=UTC)
    async with world.database.transaction() as conn:
        for bounds in (Bounds(middle, None, now), Bounds(None, middle, now)):
            with pytest.raises(MonthArchived):
                await totals.totals(conn, bounds)
            with pytest.raises(MonthArchived):
                await past.sums(conn, who["member"], bounds)
        early = Bounds(datetime(2025, 6, 1, tzinfo=UTC), None, now)
        assert [] == await totals.totals(conn, early)
        assert {} == await past.sums(conn, who["member"], early)
        stretch = Stretch(None, None, None)
        assert ["2025-06"] == await past.not_shown(conn, who["other"], stretch)
        later = Stretch(datetime(2025, 7, 5, tzinfo=UTC), None, None)
        assert [] == await past.not_shown(conn, who["other"], later)


async def test_what_must_not_leave_stays(world: World, tmp_path: Path) -> None:
    """Nothing there, not closed, a hold open, not under an exported checkpoint, changed."""
    with pytest.raises(MonthAbsent):
        await archive(world, tmp_path, Month(2025, 5))
    with pytest.raises(MonthNotClosed, match="Close 2025-08 first"):
        await archive(world, tmp_path, AUGUST)
    world.clock.now = datetime(2025, 9, 2, tzinfo=UTC)
    await close_month(world.database, world.parts, AUGUST, actor="test")
    with pytest.raises(BatchesUnsealed):
        await archive(world, tmp_path, AUGUST)
    await exported(world)
    await change(world, AS_SUPERUSER, "DELETE FROM hold_end WHERE captured > 0")
    with pytest.raises(HoldsOpen):
        await archive(world, tmp_path)
    with pytest.raises(MonthAbsent, match="is not archived"):
        await restore(world, tmp_path)
    await change(
        world,
        AS_SUPERUSER,
        "UPDATE posting SET amount = 7 WHERE debit = 'issued'",
        "DELETE FROM hold AS h WHERE NOT EXISTS "
        "(SELECT FROM hold_end AS e WHERE e.hold_id = h.hold_id)",
    )
    with pytest.raises(ArchiveUnfit, match="is not what was sealed"):
        await archive(world, tmp_path)
    assert [] == list(tmp_path.glob("*.gz"))


async def test_whoever_uses_the_ledger_is_not_disturbed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long read keeps the month where it is; once it has ended, the month leaves."""
    monkeypatch.setattr(archiving, "LOCK_TRIES", 1)
    async with world.database.transaction() as conn:
        await past.is_provisional(conn, Bounds(None, None, world.clock()))
        await totals.totals(conn, Bounds(None, None, world.clock()))
        with pytest.raises(LedgerBusy):
            await archive(world, tmp_path)
    monkeypatch.setattr(archiving, "LOCK_TRIES", 30)
    others = await world.members(3)
    done, _ = await asyncio.gather(
        archive(world, tmp_path), asyncio.gather(*(give(world, gift(one)) for one in others))
    )
    assert done.is_new
    assert [] == await world.findings()


TAMPERING = {
    "a carried sum": ("carried_differs", "UPDATE posting_carried SET amount = amount + 1"),
    "another account": ("carried_differs", "UPDATE posting_carried SET credit = 'loss'"),
    "a carried row goes": ("carried_differs", "DELETE FROM posting_carried WHERE line = 1"),
    "a carried row comes": ("carried_differs", """INSERT INTO posting_carried
        SELECT bucket, member_id, month, line + 90, booked_month, unit, NULL, 'x', 'y', '', 1
        FROM posting_carried"""),
    "a hold with its end": ("hold_differs", """UPDATE hold SET claim_id = gen_random_uuid()
        WHERE batch_id < '0197c000-0000-0000-0000-000000000000'"""),
    "an end of a hold": ("hold_differs", """UPDATE hold_end SET ended_at = 'infinity'
        WHERE batch_id < '0197c000-0000-0000-0000-000000000000'"""),
    "the digest": ("archive_differs", "UPDATE month_archive SET carried_digest = sha256('x')"),
    "the bounds": ("archive_differs", "UPDATE month_archive SET recorded_to = recorded_from"),
    "the note": ("signature_invalid", """UPDATE month_archive
        SET note = replace(note, 'batches 1', 'batches 2')"""),
    "the archive is forgotten": ("leaf_without_batch", "DELETE FROM month_archive"),
    "as if it were back": ("leaf_without_batch", """INSERT INTO month_restore
        SELECT month, archived_at, now() FROM month_archive"""),
    "a kept batch": ("seal_differs", """UPDATE batch SET actor = 'x'
        WHERE booked_month = '2025-06-01'"""),
    "a batch comes": ("batch_unsealed", """INSERT INTO batch_2025_06
        SELECT bucket, (left(batch_id::text, 14) || '7ace-8ace-abcdefabc'
               || right(batch_id::text, 3))::uuid, member_id, kind, cause_id, reverses, actor,
               effective_at, recorded_at, booked_month, xid FROM batch_2025_06"""),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_with_what_is_left_is_named(
    world: World, tmp_path: Path, what: str
) -> None:
    """I9: by the database alone, past triggers, with nothing but the public key."""
    kind, statement = TAMPERING[what]
    await archive(world, tmp_path)
    await change(world, AS_SUPERUSER, statement)
    assert kind in {one.kind for one in await audit(world)}


async def test_even_with_the_key_the_file_tells(world: World, tmp_path: Path) -> None:
    """Sums written anew with a digest and a note that fit are not those of the file."""
    done = await archive(world, tmp_path)
    await change(
        world,
        AS_SUPERUSER,
        "UPDATE posting_carried SET party = 'other' WHERE party = 'sandbox'",
    )
    async with world.database.transaction() as conn:
        digest = (await store.carried_digests(conn, JUNE, JULY))[JUNE]
    forged = msgspec.structs.replace(done.archive, carried_digest=digest, note="")
    note = KEY.sign_text(forged.text(KEY.public.name))
    await change(
        world,
        AS_SUPERUSER,
        f"UPDATE month_archive SET carried_digest = '\\x{digest.hex()}', note = '{note}'",
    )
    found = {one.kind for one in await audit(world)}
    assert set() == found & {"carried_differs", "archive_differs", "signature_invalid"}
    assert "carried_differs" in {
        one.kind for one in await audit(world, archives=(tmp_path / FILE,))
    }


def rewrite(file: Path, old: str, new: str) -> None:
    """Change a file of an archived month."""
    text = gzip.decompress(file.read_bytes()).decode()
    assert old in text
    file.write_bytes(gzip.compress(text.replace(old, new, 1).encode()))


FORGERIES = {
    "an amount": ('"amount":1', '"amount":9'),
    "an actor": ('"actor":"', '"actor":"x'),
    "a number": ('"leaf_index":3,', '"leaf_index":4,'),
    "the month": ('"month":"2025-06"', '"month":"2025-07"'),
    "a line too many": ('{"leaf_index":1,', '{"leaf_index":0,"leaf":"00"}\n{"leaf_index":1,'),
    "the checkpoint": ('"checkpoint":"benefits/', '"checkpoint":"others/'),
    "the way": ('"beside":["', '"beside":["00'),
    "no JSON": ('{"leaf_index":2,', "{leaf_index"),
    "no header": ('"benefits.archive/1"', '"benefits.archive/2"'),
}


def script(file: Path) -> tuple[int, str]:
    """Run the auditors' script on a file."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", str(SCRIPT), str(file), str(KEY.public)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    return done.returncode, done.stdout


async def test_a_changed_file_is_named(world: World, tmp_path: Path) -> None:
    """Whatever is changed in it; by verify and by the script, and it is not taken back."""
    await archive(world, tmp_path)
    file = tmp_path / FILE
    good = file.read_bytes()
    status, said = script(file)
    assert (0, True) == (status, "of 2025-06" in said), said
    for old, new in FORGERIES.values():
        file.write_bytes(good)
        rewrite(file, old, new)
        found = {one.kind for one in await audit(world, archives=(file,))}
        assert set() != found <= {"archive_differs", "signature_invalid"}, old
        assert 0 != script(file)[0], old
        if "signature_invalid" not in found:
            with pytest.raises(ArchiveUnfit):
                await restore(world, file)
    file.write_bytes(good[:-40])
    assert ["archive_differs"] == [one.kind for one in await audit(world, archives=(file,))]
    file.write_bytes(gzip.compress(b"\n".join(gzip.decompress(good).splitlines()[:-1]) + b"\n"))
    assert ["archive_differs"] == [one.kind for one in await audit(world, archives=(file,))]
    assert 0 != script(file)[0]
    file.write_bytes(gzip.decompress(good))
    assert [] == await audit(world, archives=(file,))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE posting_carried SET amount = 1 WHERE bucket >= 0",
        "DELETE FROM posting_carried WHERE bucket >= 0",
        "TRUNCATE posting_carried",
        "TRUNCATE posting_carried_2025_06",
        "TRUNCATE batch_2025_06",
        "DELETE FROM batch_2025_06",
        "UPDATE posting_2025_06 SET amount = 9",
        "DELETE FROM month_archive",
        "UPDATE month_archive SET batches = 0",
        "TRUNCATE month_archive, month_restore",
        "INSERT INTO batch SELECT * FROM batch WHERE booked_month = '2025-06-01'",
        "INSERT INTO posting SELECT p.* FROM posting AS p JOIN batch_2025_06 USING (batch_id)",
    ],
)
async def test_what_is_left_is_never_changed(world: World, tmp_path: Path, statement: str) -> None:
    """I9: by nobody whom triggers bind, and by the service because it may not."""
    await archive(world, tmp_path)
    with pytest.raises(Exception, match=r"never changed or removed|is archived"):
        await change(world, statement)
    raw = await asyncpg.connect(_plain(world))
    with pytest.raises(asyncpg.PostgresError):
        await raw.execute(statement)
    await raw.close()


async def test_totals_from_a_closed_month_are_those_of_all_postings(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every instant of the ledger, known then or now, swept or not."""
    found = await world.rows("SELECT recorded_at, effective_at FROM batch ORDER BY 1")
    instants = {at + timedelta(seconds=s) for row in found for at in row for s in (0, 1)}
    instants |= {datetime(2025, 7, 1, tzinfo=UTC), datetime(2025, 6, 30, 16, tzinfo=UTC)}
    now, used = world.clock(), set[Month | None]()
    for known in (None, now, *sorted(instants)[::7]):
        for at in (None, *sorted(instants)):
            bounds = Bounds(at, known, now)
            async with world.database.transaction() as conn:
                used.add(await totals.closed_below(conn, bounds))
                short = await totals.totals(conn, bounds)
                with monkeypatch.context() as patched:
                    patched.setattr(totals, "CLOSED", f"{totals.CLOSED} LIMIT 0")
                    assert short == await totals.totals(conn, bounds), bounds
    assert {None, JUNE, JULY} == used


async def test_a_batch_of_an_archived_month_is_not_proven_from_here(
    world: World, tmp_path: Path
) -> None:
    """Its file proves it; what is kept is proven as before."""
    batches = [row.batch_id for row in await world.rows("SELECT batch_id FROM batch ORDER BY 1")]
    await archive(world, tmp_path)
    async with world.database.transaction() as conn:
        with pytest.raises(MonthArchived):
            await prove_batch(conn, batches[0])
