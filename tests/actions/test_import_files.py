"""Files of the bank: whatever a line holds, the others are taken."""

import itertools
from collections.abc import Iterable
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from benefits.actions import import_files
from benefits.actions.import_files import KINDS, Imported, assets_of, import_file
from benefits.domain.assets import FileUnreadable
from tests.builders import NOON, World, reference_programme
from tests.rows import everything

HEADER = "customer,as_of,asset_class,currency,balance,account\n"


async def take(world: World, lines: Iterable[str]) -> Imported:
    """Import day-end balances."""
    return await import_file(
        world.database,
        world.parts,
        assets_of(reference_programme()),
        lines,
        progress=lambda _: None,
    )


def day(number: int, account: str = "") -> str:
    """Return a good line of the first member."""
    return f"T000001,2025-06-{number:02d},DEPOSIT,CNY,1.00,{account}\n"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('"T000001,2025-06-09,DEPOSIT,CNY,1.00,\n', "the line is not CSV"),
        (day(9, "a\x00b"), "control characters"),
        (day(9, "a\udcffb"), "not UTF-8"),
        ("T000001,2025-06-09\n", "another number of columns"),
        ("T000001,2025-07-09,DEPOSIT,CNY,1.00,\n", "lies in the future"),
        ("T000001,1907-06-09,DEPOSIT,CNY,1.00,\n", "lies too far back"),
        ("T000001,2025-06-09,DEPOSIT,CNY,1_0.00,\n", "is not a decimal number"),
    ],
)
async def test_a_bad_line_does_not_stop_the_rest(world: World, bad: str, reason: str) -> None:
    """The line is told with its number; those before and after it are kept."""
    await world.member()
    done = await take(world, [HEADER, day(1), bad, "\n", day(2)])
    assert (3, 2, 1) == (done.lines, done.kept, done.refused)
    ((number, said),) = done.shown
    assert (3, True) == (number, reason in said)


async def test_quoted_values_and_a_byte_order_mark_are_read(world: World) -> None:
    """CSV as spreadsheets write it."""
    await world.member()
    line = '"T000001","2025-06-01","DEPOSIT","CNY","1.00","a ""b"", c"\r\n'
    done = await take(world, ["\ufeff" + HEADER, line])
    assert (1, 1, 0) == (done.lines, done.kept, done.refused)
    assert [('a "b", c',)] == await world.rows("SELECT account FROM asset")


@pytest.mark.parametrize("header", ["", "\n", '"customer\n', "customer,balance\n", "\x00\n"])
async def test_a_file_without_a_header_is_refused_whole(world: World, header: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(FileUnreadable):
        await take(world, [header, day(1)])


async def test_members_files_are_taken_line_by_line_too(world: World) -> None:
    """A re-run changes nothing, and locks nobody."""
    lines = ["customer,opened_on,labels\n", "A,2020-01-01,payroll:FACT:2024-01-01\n", "B,soon,\n"]

    async def run() -> Imported:
        return await import_file(
            world.database,
            world.parts,
            KINDS["members"],
            lines,
            progress=lambda _: None,
        )

    first, again = await run(), await run()
    assert (1, 1) == (first.kept, first.refused)
    assert (0, 1) == (again.kept, again.refused)


def balances(chance: Random, day: int) -> list[str]:
    """Return a file in which lines repeat, correct and contradict each other, some strangers'."""
    return [HEADER.replace("account\n", "account,revision\n")] + [
        f"{chance.choice(['T000001', 'T000002', 'nobody'])},2025-06-{day:02d},"
        f"DEPOSIT,CNY,{chance.randint(-1, 2)}.00,{chance.choice('ab')},{chance.randint(0, 2)}\n"
        for _ in range(30)
    ]


def customers(chance: Random) -> list[str]:
    """Return a file in which customers come again, moved, relabelled or as they were."""
    return ["customer,opened_on,branch,labels\n"] + [
        f"{chance.choice('ABCDEF')},2020-01-0{chance.randint(0, 2)},{chance.choice('xy')},"
        f"{chance.choice(['', 'payroll:FACT:2024-01-01', 'payroll:FACT:2024-01-01:2024-06-01'])}\n"
        for _ in range(30)
    ]


@pytest.mark.parametrize("what", ["assets", "members"])
async def test_a_dry_run_of_a_file_foretells_the_import(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Whatever lines say of each other within chunks and across them; and nothing is written."""
    await world.members(2)
    seconds = itertools.count()
    parts = msgspec.structs.replace(
        world.parts, clock=lambda: NOON + timedelta(seconds=next(seconds))
    )
    told: dict[str, Any] = {"progress": lambda _: None}

    async def run(lines: list[str], *, dry_run: bool) -> Imported:
        kind = KINDS["members"] if what == "members" else assets_of(reference_programme())
        return await import_file(world.database, parts, kind, lines, dry_run=dry_run, **told)

    for seed in range(8):
        chance = Random(seed)
        lines = balances(chance, seed + 1) if what == "assets" else customers(chance)
        monkeypatch.setattr(import_files, "CHUNK", chance.randint(1, 9))
        before = await everything(world.database)
        foretold = await run(lines, dry_run=True)
        assert before == await everything(world.database)
        assert foretold == await run(lines, dry_run=False)
        assert foretold.kept
