"""Consents and populations as an operator types them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.builders import PROGRAMME
from tests.conftest import database
from tests.shell import Shell

CUSTOMERS = """customer,opened_on,born_on,staff,person
A,2020-01-01,1960-01-01,no,310101196001010011
B,2020-01-01,1960-01-01,yes,310101196001010022
C,2020-01-01,,no,
D,2020-01-01,1960-02-30,no,
"""
CONSENTS = """customer,purpose,provider,said_on,given
A,phone,sandbox,2025-06-01,yes
A,letters,sandbox,2025-06-01,yes
Z,phone,sandbox,2025-06-01,yes
B,phone,sandbox,2025-06-01,perhaps
"""
SILVER = "eligible = { all = [ { age = { at_least = 60 } }, { staff = false } ] }\n"
CONSENT = '[[consent]]\ncode = "phone"\ntext = { zh = "号码。", en = "My number." }\n'
ASKED = PROGRAMME.replace(
    'sku = "video-month"\n',
    'sku = "video-month"\nconsent = "phone"\neligible = { channel = { is = "WEB" } }\n',
)

COFFEE = """
[[provider]]
code = "coffee"
name = { zh = "咖啡", en = "Coffee" }
dialect = "code_pool"

[[benefit]]
code = "COFFEE"
name = { zh = "咖啡券", en = "Coffee voucher" }
kind = "CODE_STOCK"
provider = "coffee"
sku = "LATTE"
cost = "20.00"
consumed = "ISSUE"
budget = "lounge"
"""


@pytest.fixture
async def shell(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for an installation with a programme and three customers."""
    async with database(cluster_dsn, migrated) as dsn:
        made = Shell(dsn, tmp_path)
        assert 0 == made.run("programme", "apply", made.file("p.toml", ASKED + CONSENT))[0]
        status, said = made.run("import", "members", made.file("m.csv", CUSTOMERS))
        assert (2, True) == (status, "line 5: born_on: '1960-02-30' is not a date" in said)
        yield made


def test_a_rule_is_tried_on_everybody(shell: Shell) -> None:
    """A rule in a file, or a benefit's own: counted, or each member by id."""
    silver = shell.file("silver.toml", SILVER)
    status, said = shell.run("population", silver)
    assert (0, True) == (status, said.startswith("1 members on "))
    status, said = shell.run("population", silver, "--members")
    assert (0, 36) == (status, len(said.strip()))
    for more, expected in (((), "0 members"), (("--channel", "WEB"), "3 members")):
        status, said = shell.run("population", "--benefit", "VIDEO", *more)
        assert (0, True) == (status, said.startswith(expected))


def test_a_rule_that_cannot_be_is_named(shell: Shell) -> None:
    """By its path, with what was meant; a file and a benefit are not both asked for."""
    for text, expected in (
        ("eligible = { agee = { at_least = 60 } }", "did you mean 'age'?"),
        ('eligible = { tier = { is = "GLOD" } }', "did you mean 'GOLD'?"),
        ('eligible = { label = { is = "MODEL:x" } }', "eligible.label: a MODEL label may rank"),
        ("eligible = " + "{ not = " * 3000, "rule_invalid"),
        ('programme = "w"\neligible = { staff = true }', "unknown_programme"),
    ):
        status, said = shell.run("population", shell.file("r.toml", text))
        assert (1, True) == (status, expected in said)
    status, said = shell.run("population", "--benefit", "YACHT")
    assert (1, True) == (status, "unknown_benefit" in said)
    assert 2 == shell.run("population")[0]
    assert 2 == shell.run("population", shell.file("s.toml", SILVER), "--benefit", "VIDEO")[0]


def test_consents_are_imported_once_and_bad_lines_named(shell: Shell) -> None:
    """A dry run writes nothing and says the same; the file again changes nothing."""
    words = ("import", "consents", shell.file("c.csv", CONSENTS))
    for more, done in (
        (("--dry-run",), "1 new or changed, 0 known already"),
        ((), "1 new or changed, 0 known already"),
        ((), "0 new or changed, 1 known already"),
    ):
        status, said = shell.run(*words, *more)
        assert (2, True) == (status, f"4 lines: {done}, 3 refused." in said)
        assert "line 3: purpose: no benefit asks for it for this provider" in said
        assert "line 4: customer: not a member" in said
        assert "line 5: given: 'perhaps' is neither yes nor no" in said


def test_a_whitelist_is_imported_as_a_whole(shell: Shell) -> None:
    """A dry run writes nothing; the file again changes nothing; a bad name is refused."""
    file = shell.file("founders.csv", "customer\nA\n\n,\nnobody\n")
    words = ("import", "whitelist", "founders", file, "--from", "2025-07-01")
    for more, done in (
        (("--dry-run",), "1 new or changed, 0 known already"),
        ((), "1 new or changed, 0 known already"),
        ((), "0 new or changed, 1 known already"),
    ):
        status, said = shell.run(*words, *more)
        assert (2, True) == (status, f"3 lines: {done}, 2 refused." in said)
        assert "line 5: customer: not a member" in said
    assert 2 == shell.run("import", "whitelist", "a b", file)[0]
    status, said = shell.run(*words[:4], "--from", "2025-06-01")
    assert (1, True) == (status, "whitelist_invalid" in said)


def test_codes_are_imported_and_counted(shell: Shell) -> None:
    """A dry run writes nothing; the file again changes nothing; no message shows a code."""
    assert 0 == shell.run("programme", "apply", shell.file("p2.toml", ASKED + CONSENT + COFFEE))[0]
    file = shell.file("march.csv", "code,pin\nPLANTED-1,7\nPLANTED-2,\nPLANTED-1,8\n,PLANTED\n")
    words = ("import", "codes", "coffee", "LATTE", file, "--cost", "12.50")
    for more, done in (
        (("--dry-run",), "2 new or changed, 1 known already"),
        ((), "2 new or changed, 1 known already"),
        ((), "0 new or changed, 3 known already"),
    ):
        status, said = shell.run(*words, *more)
        assert (2, True) == (status, f"4 lines: {done}, 1 refused." in said)
        assert "PLANTED" not in said
    status, said = shell.run("codes", "coffee")
    assert (0, True) == (status, "LATTE,march,1250,," in said)
    assert ",2,2,0,0,0," in said
    status, said = shell.run("codes", "sandbox")
    assert (1, True) == (status, "unknown_stock" in said)
    for wrong in (("--cost", "much"), ("--batch", "a b")):
        assert 2 == shell.run(*words, *wrong)[0]
    for strange in (("import", "codes", "sandbox", "LATTE"), ("import", "codes", "coffee", "TEA")):
        status, said = shell.run(*strange, file)
        assert (1, True) == (status, "file_unreadable" in said)
