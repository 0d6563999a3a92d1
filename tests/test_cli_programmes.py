"""The commands for programmes, and what is told of them before they hold, as one types them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders import PROGRAMME
from tests.conftest import database
from tests.shell import Shell


@pytest.fixture
async def test_shell(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for a database that is stamped `test`."""
    async with database(cluster_dsn, migrated) as dsn:
        yield Shell(dsn, tmp_path)


def test_a_worse_programme_is_told_before_it_holds(test_shell: Shell) -> None:
    """U-2: what it changes is listed, it is refused, recorded as told, and then holds."""
    shell = test_shell
    before = shell.file("before.toml", PROGRAMME)
    fewer = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 6")
    after = shell.file("after.toml", fewer)
    status, said = shell.run("programme", "diff", after)
    assert (1, True) == (status, said.startswith("unknown_programme: "))
    assert 0 == shell.run("programme", "apply", before)[0]
    status, said = shell.run("programme", "diff", before)
    assert (0, "0 changes, 0 of them worse for members.\n") == (status, said)
    lost = "line.lounge.quota.PLATINUM: 2 -> 1"
    status, said = shell.run("programme", "diff", after)
    end = "1 changes, 1 of them worse for members.\n"
    assert (0, f"{lost} (worse; not told)\n{end}") == (status, said)
    status, said = shell.run("programme", "apply", after)
    assert (1, True, True) == (
        status,
        said.startswith("notice_missing: "),
        f"{lost} (not told)" in said,
    )
    day = datetime.now(UTC).date() - timedelta(days=40)
    words = shell.file("sms.txt", "From August one visit a quarter.")
    notice = ("programme", "notice", after, "--channel", "SMS", "--text", words, "--by", "anna-li")
    told = f"{lost}\nMembers were told on {day} of 1 changes that are worse for them.\n"
    status, said = shell.run(*notice, "--given-on", str(day), "--dry-run")
    assert (0, f"{told}Dry run: nothing was written.\n") == (status, said)
    assert 1 == shell.run("programme", "apply", after)[0]
    assert (0, told) == shell.run(*notice, "--given-on", str(day))
    assert 2 == shell.run(*notice, "--given-on", "soon")[0]
    assert (0, f"{lost} (worse; told on {day})\n{end}") == shell.run("programme", "diff", after)
    assert (0, "Version 2 of wealth is now in force.\n") == shell.run("programme", "apply", after)


def test_a_file_in_another_encoding_is_told_as_such(test_shell: Shell) -> None:
    """Saved as GBK by an office's editor: nothing of it is read, and no story is told."""
    shell = test_shell
    for name, text in (("gbk.toml", PROGRAMME), ("rule.toml", 'eligible.city.is = "上海"')):
        (shell.folder / name).write_bytes(text.encode("gbk"))
    gbk, rule = (str(shell.folder / name) for name in ("gbk.toml", "rule.toml"))
    for words in (("programme", "diff", gbk), ("programme", "apply", gbk), ("population", rule)):
        status, said = shell.run(*words)
        assert (2, True, False) == (
            status,
            "is not in UTF-8 from byte " in said,
            "Traceback" in said,
        )


def test_an_instant_lies_in_years_that_there_are(test_shell: Shell) -> None:
    """C-4: no end of all days, in whichever zone."""
    shell = test_shell
    wealth = shell.file("wealth.toml", PROGRAMME)
    for at in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00+14:00", "2999-12-31"):
        for words in (
            ("programme", "apply", wealth, "--from", at),
            ("programme", "diff", wealth, "--from", at),
            ("programme", "try", wealth, "--customer", "A", "--at", at),
        ):
            status, said = shell.run(*words)
            assert (2, True) == (status, "must lie in the years 1901 to 2998" in said), said


def test_growth_is_measured_over_a_frozen_baseline(test_shell: Shell) -> None:
    """M-12: frozen once, by whom and when is listed; growth is CSV, mistakes are told in words."""
    shell = test_shell
    shell.run("programme", "apply", shell.file("wealth.toml", PROGRAMME))
    lines = "customer,opened_on\nA,2020-01-01\nB,2020-01-01\n"
    shell.run("import", "members", shell.file("members.csv", lines))
    balances = {"2025-05": {"A": 300_000, "B": 300_000}, "2025-07": {"A": 560_000, "B": 350_000}}
    rows = "".join(
        f"{customer},{month}-{day:02d},DEPOSIT,CNY,{amount}.00\n"
        for month, of in balances.items()
        for customer, amount in of.items()
        for day in range(1, 32)
    )
    head = "customer,as_of,asset_class,currency,balance\n"
    shell.run("import", "assets", shell.file("days.csv", head + rows))
    assert (0, "There is no baseline.\n") == shell.run("baseline", "list")
    freeze = ("baseline", "freeze", "summer", "--programme", "wealth", "--month", "2025-05")
    status, said = shell.run(*freeze, "--by", "anna-li", "--dry-run")
    told = "summer: 2 members frozen now, 0 before; 0 have days missing.\n"
    assert (0, f"1 of 1: 2 members\n{told}Dry run: nothing was written.\n") == (status, said)
    growth = ("growth", "summer", "--month", "2025-07")
    assert (1, "unknown_baseline: No baseline has this name.\n") == shell.run(*growth)
    status, said = shell.run(*freeze, "--by", "anna-li")
    assert (0, True) == (status, told in said)
    assert "summer: wealth 2025-05, frozen 20" in shell.run("baseline", "list")[1]
    status, said = shell.run(*growth, "--steps", "100000,200000")
    (columns, only) = (line.split(",") for line in said.splitlines())
    told_of = dict(zip(columns, only, strict=True))
    assert ("30000000", "56000000") == (told_of["base_minor"], told_of["average_minor"])
    assert ("26000000", "2", "2") == tuple(
        told_of[name] for name in ("growth_minor", "reached", "possible")
    )
    assert 3 == len(shell.run(*growth, "--steps", "100000,200000", "--all")[1].splitlines())
    for steps in ("200000,100000", "much", "0.001", "Infinity", "sNaN"):
        status, said = shell.run(*growth, "--steps", steps)
        assert (1, True) == (status, said.startswith("steps_invalid: "))
