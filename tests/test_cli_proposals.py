"""Two people at the machine: what one proposes by a command, another reads and decides."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.actions.test_answer_order import manual
from tests.actions.test_dating import OTHER
from tests.actions.test_expire import dsn_of
from tests.builders import PROGRAMME, World
from tests.conftest import database
from tests.shell import Shell

MORE = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 3, DIAMOND = 6")
ANNA, BEN = ("--by", "anna-li"), ("--by", "ben-wu")
NOTE = ("--note", "As agreed.")


@pytest.fixture
async def shell(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for a database that is stamped `test`, with a programme and a member."""
    async with database(cluster_dsn, migrated) as dsn:
        made = Shell(dsn, tmp_path)
        made.run("programme", "apply", made.file("wealth.toml", PROGRAMME))
        made.run("import", "members", made.file("m.csv", "customer,opened_on\nA,2020-01-01\n"))
        yield made


def proposed(shell: Shell, *words: str) -> tuple[str, str, str]:
    """Propose what must be taken; return its id, its hash and all that was said."""
    status, said = shell.run(*words, *NOTE, *ANNA)
    assert 0 == status, said
    id_, hash_ = re.findall(r"^([0-9a-f-]{36}) PROPOSED|^hash (\w+)$", said, re.MULTILINE)
    return id_[0], hash_[1], said


def test_a_version_is_proposed_read_and_approved(shell: Shell) -> None:
    """X-2: nothing holds before another has said so; both stand in the list of versions."""
    after = shell.file("after.toml", MORE)
    assert 2 == shell.run("programme", "apply", after, "--propose", *ANNA)[0]
    dry = ("programme", "apply", after, "--propose", *NOTE, *ANNA, "--dry-run")
    assert (0, True) == (shell.run(*dry)[0], "nothing was written" in shell.run(*dry)[1])
    assert (0, "") == shell.run("proposal", "list")
    id_, hash_, said = proposed(shell, "programme", "apply", after, "--propose")
    assert "replaces version 1\nline.lounge.quota.PLATINUM: 2 -> 3\n" in said
    assert "line lounge, tier PLATINUM: 2 -> 3 for 0 members; at worst 0 -> 0 minor" in said
    status, listed = shell.run("proposal", "list")
    assert (0, True) == (status, listed.startswith(f"{id_} PROPOSED: PROGRAMME wealth; by "))
    assert shell.run("proposal", "show", id_)[1] in said
    approve = ("proposal", "approve", id_, "--hash", hash_)
    assert 1 == shell.run(*approve, *ANNA)[0]
    status, said = shell.run(*approve, *BEN)
    assert (0, True) == (status, "It is version 2 of wealth.\n" in said)
    _, versions = shell.run("programme", "versions", "wealth")
    first, second = versions.splitlines()
    assert first.startswith("2 IN_FORCE: from 20")
    assert first.endswith("approved by system:proposal:ben-wu")
    assert (True, True) == (second.startswith("1 SUPERSEDED"), second.endswith("by a command"))
    assert 1 == shell.run("programme", "versions", "none")[0]
    unknown = ("proposal", "show", "01a2046f-5e02-7ae9-8c62-6ed8c8e82000")
    assert (1, True) == (shell.run(*unknown)[0], shell.run(*unknown)[1].startswith("unknown_prop"))


def test_a_first_version_is_read_whole(shell: Shell) -> None:
    """X-2: there is nothing that it could be compared with, so all of it is shown."""
    other = shell.file("other.toml", OTHER)
    _, _, said = proposed(shell, "programme", "apply", other, "--propose")
    whole = "".join(f"  {line}\n" for line in OTHER.splitlines())
    assert f"is the first\n{whole}line visits, tier PLATINUM: 0 -> 2 for 0 members" in said


def test_a_long_file_is_proposed_and_read_by_all(shell: Shell) -> None:
    """A bank's file may have a million characters; what is longer is not even proposed."""
    long = MORE + "# 一\n" * 100_000
    after = shell.file("long.toml", long)
    id_, hash_, _ = proposed(shell, "programme", "apply", after, "--propose")
    assert 0 == shell.run("proposal", "show", id_)[0]
    assert 0 == shell.run("proposal", "approve", id_, "--hash", hash_, *BEN)[0]
    longer = shell.file("longer.toml", MORE + "# 一\n" * 250_000)
    status, said = shell.run("programme", "apply", longer, "--propose", *NOTE, *ANNA)
    assert (2, True) == (status, "document" in said)
    assert (0, "") == shell.run("proposal", "list")


def test_an_exported_version_is_in_force_already(shell: Shell) -> None:
    """The file says what the stored version says, word by word; older ones are there too."""
    _, text = shell.run("programme", "export", "wealth")
    exported = shell.file("exported.toml", text)
    assert (0, "Version 1 of wealth was in force already.\n") == shell.run(
        "programme", "apply", exported
    )
    shell.run("programme", "apply", shell.file("after.toml", MORE))
    status, newer = shell.run("programme", "export", "wealth")
    assert (0, True) == (status, newer != text)
    assert (0, text) == shell.run("programme", "export", "wealth", "--version", "1")
    status, said = shell.run("programme", "export", "wealth", "--version", "9")
    assert (1, True) == (status, said.startswith("unknown_version: "))


def test_a_block_an_end_and_an_approval_are_proposed_by_command(shell: Shell) -> None:
    """E-6, X-1: each with its own words, and wrong ones are told."""
    block = (
        "proposal",
        "block",
        "A",
        "ALL",
        "--why",
        "LEGAL_FREEZE",
        "--from",
        "2099-01-01T00:00Z",
    )
    id_, hash_, said = proposed(shell, *block)
    assert ": ALL  from 2099-01-01 00:00:00+00:00 to its end\n" in said
    assert 0 == shell.run("proposal", "approve", id_, "--hash", hash_, *BEN)[0]
    _, hash_, said = proposed(shell, "proposal", "unblock", id_)
    assert "frees " in said
    opinion = ("--citation", "Opinion 12.", "--text", shell.file("o.txt", "Small ones."))
    other, _, said = proposed(shell, "proposal", "allow", "wealth", "REFERRAL", "CASH", *opinion)
    assert "CASH for REFERRAL: Opinion 12.\nSmall ones.\n" in said
    status, said = shell.run("proposal", "reject", other, *NOTE, *ANNA)
    assert (0, True) == (status, f"{other} WITHDRAWN" in said)
    assert 3 == len(shell.run("proposal", "list", "--all")[1].splitlines())
    for wrong in (
        ("proposal", "block", "A", "ALL", "--why", "FRAUD", "--to", "tomorrow"),
        ("proposal", "block", "A", "ALL", "--why", "FRAUD", "--to", "2099-01-01T00:00"),
        ("proposal", "allow", "", "REFERRAL", "CASH", *opinion),
    ):
        assert 2 == shell.run(*wrong, *NOTE, *ANNA)[0]
    status, said = shell.run("proposal", "unblock", id_, *NOTE, "--by", "Anna Li")
    assert (1, True) == (status, said.startswith("name_invalid: "))


async def test_the_end_of_an_order_is_told_in_words(world: World, tmp_path: Path) -> None:
    """V-3: what is said of it, and what becomes of its units and of what they reserved."""
    _, number = await manual(world, "LOUNGE", 2)
    shell = Shell(dsn_of(world), tmp_path)
    order = ("proposal", "order", number, "DELIVERED", "--evidence", "Mail.", *NOTE, *ANNA)
    dry = ("--reference", "T-1", "--used", "1", "--dry-run")
    status, said = await asyncio.to_thread(shell.run, *order, *dry)
    assert (0, True) == (status, "delivered as T-1, 1 used as of the approval: Mail." in said)
    assert "2 LOUNGE -> PARTLY_REDEEMED" in " ".join(said.split())
    assert "its units stay as they are, and 7,600 minor units for them" in said


def test_fraud_is_told_in_words(shell: Shell) -> None:
    """A-7: by which months, from which tier to which; with the approval it holds."""
    head = "customer,as_of,asset_class,currency,balance,account,source,revision\n"
    for revision, balance in enumerate(("520000.00", "60000.00")):
        days = [f"A,2025-06-{n:02},DEPOSIT,CNY,{balance},,,{revision}\n" for n in range(1, 31)]
        name = shell.file(f"a{revision}.csv", head + "".join(days))
        assert 0 == shell.run("import", "assets", name)[0]
        if not revision:
            assert 0 == shell.run("evaluate", "--period", "2025-06")[0]
    fraud = ("proposal", "fraud", "A", "wealth", "--since")
    status, said = shell.run(*fraud, "2025-07", *NOTE, *ANNA)
    assert (1, True) == (status, said.startswith("proposal_invalid: "))
    assert 2 == shell.run(*fraud, "July", *NOTE, *ANNA)[0]
    assert "nothing was written" in shell.run(*fraud, "2025-06", *NOTE, *ANNA, "--dry-run")[1]
    id_, hash_, said = proposed(shell, *fraud, "2025-06")
    assert " in wealth: false from 2025-06 on\ntier by 2025-06: PLATINUM -> GOLD\n" in said
    status, said = shell.run("proposal", "approve", id_, "--hash", hash_, *BEN)
    assert (0, True) == (status, "The tier is GOLD.\n" in said)


def test_a_version_is_put_down_for_a_day_to_come(shell: Shell) -> None:
    """U-1: it is pending until then, told in the programme's zone, and withdrawn by another."""
    after, first = shell.file("after.toml", MORE), shell.file("wealth.toml", PROGRAMME)
    apply, begins = ("programme", "apply"), ("--from", "2099-07-01")
    status, said = shell.run(*apply, after, *begins)
    expected = "Version 2 of wealth is to hold from 2099-07-01 00:00:00+08:00 on.\n"
    assert (0, expected) == (status, said)
    again = shell.run(*apply, after, "--from", "2099-06-30T16:00:00+00:00")[1]
    assert again.startswith("Version 2 of wealth was to hold already")
    _, versions = shell.run("programme", "versions", "wealth")
    second, one = versions.splitlines()
    told = "2 PENDING: from 2099-07-01 00:00:00+08:00, tiers from 2099-07; by a command"
    assert (told, True) == (second, " to 2099-07-01 00:00:00+08:00, tiers" in one)
    assert "2 -> 3" in shell.run("programme", "diff", after)[1]
    assert (0, "0 changes, 0 of them worse for members.\n") == shell.run(
        "programme", "diff", after, "--from", "2099-07-02"
    )
    assert PROGRAMME != shell.run("programme", "export", "wealth", "--version", "2")[1]
    tried = shell.run("programme", "try", after, "--customer", "A", "--at", "2099-07-02")
    assert (0, True) == (tried[0], tried[1].startswith("tier by 2099-06: BASE -> BASE\n"))
    past = ("programme", "try", after, "--customer", "A", "--at", "2001-07-02")
    assert 2 == shell.run(*past)[0]
    assert 2 == shell.run(*apply, after, "--from", "soon")[0]
    _, _, said = proposed(shell, *apply, first, "--propose")
    assert "withdraws version 2\n" in said
    assert "Version 2, which was to begin, is withdrawn.\n" in shell.run(*apply, first)[1]
    assert "2 WITHDRAWN: from 2099" in shell.run("programme", "versions", "wealth")[1]


def test_a_file_is_tried_on_a_customer(shell: Shell) -> None:
    """U-5: the tier, what it brings and what is refused; nothing is in force afterwards."""
    after = shell.file("after.toml", MORE)
    status, said = shell.run("programme", "try", after, "--customer", "A")
    assert (0, True) == (status, ": BASE -> BASE\n" in said)
    no = "insufficient_units (There are not enough units left.)"
    assert said.endswith(f"claim of LOUNGE: {no}\nclaim of VIDEO: {no}\n")
    assert 1 == len(shell.run("programme", "versions", "wealth")[1].splitlines())
    assert 1 == shell.run("programme", "try", after, "--customer", "nobody")[0]
