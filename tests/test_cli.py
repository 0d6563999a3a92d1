"""The commands as an operator types them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rich_click as click
from click.testing import CliRunner

from benefits import demo, process
from benefits.cli import COMMANDS, Late, commands
from benefits.domain.programme_file import read
from benefits.domain.tokens import DEMO_ISSUER, TokenInvalid
from benefits.sandbox import wechat
from benefits.sandbox.behaviour import EXPLAINED
from benefits.settings import SettingRefused
from benefits.store.db import connect
from benefits.store.migrate import Installation, check, ensure_partitions, sql
from tests.builders import MEMBER_KEY, NOON, PROGRAMME
from tests.conftest import database
from tests.rows import everything
from tests.shell import ROOT, Shell

Commands = list[tuple[str, click.Command]]


def every(group: Any, name: str = "benefits") -> Commands:
    """Return every command that does something, by the words one types."""
    found = Commands()
    for listed in group.commands.values():
        sub = group.load(listed.name) if isinstance(group, Late) else listed
        words = f"{name} {sub.name}"
        found += every(sub, words) if hasattr(sub, "commands") else [(words, sub)]
    return found


def logged(said: str) -> list[dict[str, Any]]:
    """Return the lines of the log among what a command said."""
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def test_a_month_is_closed_and_reported(test_shell: Shell) -> None:
    """An empty month closes once; reports are CSV with their header; a wrong time is refused."""
    assert 0 == test_shell.run("programme", "apply", test_shell.file("p.toml", PROGRAMME))[0]
    for said, by in (
        ("2025-06 is closed: 0 totals.", "anna"),
        ("UTC by system:close-month:anna: 0 totals.", "bob"),
    ):
        status, text = test_shell.run("close-month", "2025-06", "--by", by)
        assert (0, True) == (status, said in text)
    status, text = test_shell.run("close-month", "2025-06", "--by", "Anna Li")
    assert (1, True) == (status, "name_invalid: " in text)
    assert 2 == test_shell.run("close-month", "2025-06")[0]
    status, text = test_shell.run("close-month", "2025-08", "--by", "anna")
    assert (1, True) == (status, "month_out_of_order: Close 2025-07 first." in text)
    assert 2 == test_shell.run("close-month", "June", "--by", "anna")[0]
    for kind in ("totals", "liability", "vintages", "costs"):
        when = ("--month", "2025-06") if kind == "costs" else ("--as-of", "2025-06-30")
        status, text = test_shell.run("report", kind, *when)
        assert (0, True) == (status, text.startswith(("key,", "benefit,", "cost_centre,")))
    status, text = test_shell.run("report", "totals", "--as-of", "June")
    assert (1, True) == (status, "time_invalid: " in text)
    assert 2 == test_shell.run("report", "vintages", "--expected-use", "7")[0]


def test_a_calendar_is_imported_and_missed(test_shell: Shell) -> None:
    """M-6: one is told what is not there; a bad line is named, the same file changes nothing."""
    point = '[policy]\nmetric = "POINT_IN_TIME"\ncalendar = "china"\n\n[[tier]]'
    text = test_shell.file("p.toml", PROGRAMME.replace("[[tier]]", point, 1))
    status, said = test_shell.run("programme", "apply", text)
    assert (0, True) == (status, "There is no calendar 'china'" in said)
    status, said = test_shell.run("evaluate", "--period", "2025-06", "--dry-run")
    assert (0, True) == (status, "knows no business day of 2025-06" in said)
    days = test_shell.file("2025.csv", "date,kind\n2025-01-01,HOLIDAY\n2025-01-26,WORKDY\n")
    words = ("import", "calendar", days, "--name", "china")
    for done in ("1 new or changed, 0 known already", "0 new or changed, 1 known already"):
        status, said = test_shell.run(*words)
        assert (2, True) == (status, f"2 lines: {done}, 1 refused." in said)
        assert "line 3: kind: 'WORKDY' is not HOLIDAY or WORKDAY; did you mean" in said
    status, said = test_shell.run("evaluate", "--period", "2025-06")
    assert (0, False) == (status, "knows no business day" in said)
    assert 2 == test_shell.run(*words[:-1], "China")[0]


def test_periods_are_started_by_command(test_shell: Shell) -> None:
    """P-3: rehearsed first, then for all members; again it grants nothing."""
    lines = PROGRAMME.replace('period = "MONTH"', 'period = "MONTH"\nstart = "PERIOD"', 1)
    text = lines.replace("quota = { GOLD = 1", "quota = { BASE = 1, GOLD = 1", 1)
    assert 0 == test_shell.run("programme", "apply", test_shell.file("p.toml", text))[0]
    members = test_shell.file("m.csv", "customer,opened_on\nC1,2024-01-31\nC2,2024-01-31\n")
    assert 0 == test_shell.run("import", "members", members)[0]
    for words, grants in ((("--dry-run",), 2), ((), 2), ((), 0)):
        status, said = test_shell.run("start-period", *words)
        assert (0, True) == (status, f": {grants} grants to 2 members." in said)
    status, said = test_shell.run("start-period", "--programme", "other")
    assert (1, True) == (status, "unknown_programme: " in said)


@pytest.fixture
async def test_shell(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for a database that is stamped `test`."""
    async with database(cluster_dsn, migrated) as dsn:
        yield Shell(dsn, tmp_path)


@pytest.fixture
async def new_shell(cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for an empty database."""
    async with database(cluster_dsn) as dsn:
        yield Shell(dsn, tmp_path)


@pytest.mark.parametrize(("words", "command"), every(commands))
def test_every_command_helps_with_an_example(words: str, command: click.Command) -> None:
    """`--help` says what the command does and shows it."""
    done = CliRunner().invoke(commands, [*words.split()[1:], "--help"])
    assert 0 == done.exit_code
    assert "Example:" in done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    """The list is made without loading them, and is true all the same."""
    assert isinstance(commands, Late)
    known = commands.load(name)
    assert name == known.name
    assert COMMANDS[name][1] == (known.help or "").partition("\n")[0]


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (("--help",), {"asyncio", "sqlalchemy", "litestar", "aiohttp"}),
        (("verify", "--help"), {"litestar", "uvicorn", "jinja2", "babel", "aiohttp"}),
        (("key", "list", "--help"), {"litestar", "uvicorn", "jinja2", "babel", "aiohttp"}),
        (("sandbox", "--help"), {"litestar", "uvicorn", "sqlalchemy"}),
    ],
)
def test_a_command_loads_what_it_needs_alone(words: tuple[str, ...], unneeded: set[str]) -> None:
    """Whoever asks for help or lists keys does not wait for the web framework."""
    program = (
        "import sys; from click.testing import CliRunner; from benefits.cli import commands\n"
        f"assert 0 == CliRunner().invoke(commands, {list(words)!r}).exit_code\n"
        f"print(sorted({unneeded!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "[]\n" == done.stdout


def test_the_sandbox_lists_its_behaviours() -> None:
    """Each with a line that says what it does, whole on a terminal of 80 columns."""
    done = CliRunner().invoke(commands, ["sandbox", "--help"], env={"COLUMNS": "80"})
    shown = [line.strip() for line in done.output.splitlines()]
    for behaviour, words in [*EXPLAINED.items(), *wechat.EXPLAINED.items()]:
        assert f"{behaviour.value:22} {words}" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs --keys"),
        (["--keys", "keys", "--behaviour", "delivers_partly"], "this behaviour is none"),
        (["--keys", "keys"], "holds no secrets of wechat_busifavor for wx"),
        (
            ["--keys", "keys", "--dialect", "wechat_product_coupon"],
            "holds no secrets of wechat_product_coupon for wx",
        ),
    ],
)
def test_the_sandbox_of_wechat_says_what_it_lacks(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys, a behaviour that it has, and keys of the provider that it calls back as."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "provider_secrets").write_text("{}")
    asked = ["sandbox", "--dialect", "wechat_busifavor", "--callback-url", "http://x/wx", *words]
    done = CliRunner().invoke(commands, asked, env={"COLUMNS": "200"})
    assert (2, True) == (done.exit_code, said in done.output)


def test_the_sql_of_the_schema_can_be_read_beforehand(tmp_path: Path) -> None:
    """All of it, or what comes after a revision; no database is asked."""
    shell = Shell("postgresql://nobody@127.0.0.1:1/none", tmp_path)
    assert (0, sql()) == shell.run("migrate", "--sql")
    assert (0, sql("0003")) == shell.run("migrate", "--sql", "--from", "0003")
    assert "-- Running upgrade 0003 -> 0004" in sql("0003")
    assert "upgrade 0002 -> 0003" not in sql("0003")
    for words in (("--sql", "--from", "9999"), ("--from", "0003")):
        status, said = shell.run("migrate", *words)
        assert (2, True) == (status, "--from" in said)


def test_rates_change_what_was_decided_by_command(test_shell: Shell) -> None:
    """A-7: the command names the months that were decided by other rates, until they are anew."""
    shell = test_shell
    text = PROGRAMME.replace('currency = "CNY"', 'currency = "CNY"\ncurrencies = ["USD"]')
    assert 0 == shell.run("programme", "apply", shell.file("wealth.toml", text))[0]
    shell.run("import", "members", shell.file("members.csv", "customer,opened_on\nA,2020-01-01\n"))
    days = "".join(f"A,2025-06-{day:02d},DEPOSIT,USD,10000.00\n" for day in range(1, 31))
    assets = shell.file("june.csv", f"customer,as_of,asset_class,currency,balance\n{days}")
    head, evaluate = "currency,date,rate,per,revision\n", ("evaluate", "--period", "2025-06")
    said = "".join(f"USD,2025-06-{day:02d},7.00,1,0\n" for day in range(1, 31))
    status, words = shell.run("import", "rates", shell.file("rates.csv", head + said))
    assert (0, True) == (status, "30 lines: 30 new or changed" in words)
    assert 0 == shell.run("import", "assets", assets)[0]
    assert "GOLD 1" in shell.run(*evaluate)[1]
    raised = shell.file("raised.csv", f"{head}USD,2025-06-30,1500,1,1\n")
    assert "decides anew" not in shell.run("import", "rates", raised, "--dry-run")[1]
    again = "wealth: 2025-06 had been decided before; `benefits evaluate --period 2025-06`"
    assert again in shell.run("import", "rates", raised)[1].replace("\n", " ")
    assert "decides anew" not in shell.run("import", "rates", raised)[1]
    assert "PLATINUM 1" in shell.run(*evaluate)[1]


def test_a_month_goes_through_the_commands(test_shell: Shell) -> None:
    """Programme, members, balances, evaluation, verification: each says what it did."""
    shell = test_shell
    wealth = shell.file("wealth.toml", PROGRAMME)
    assert (0, "Version 1 of wealth is now in force.\n") == shell.run("programme", "apply", wealth)
    assert (0, "Version 1 of wealth was in force already.\n") == shell.run(
        "programme", "apply", wealth
    )
    members = shell.file("members.csv", "customer,opened_on\nA,2020-01-01\nB,soon\n")
    status, said = shell.run("import", "members", members)
    assert 2 == status
    assert "line 3: opened_on: 'soon' is not a date like 2025-06-30" in said
    days = "".join(f"A,2025-06-{day:02d},DEPOSIT,CNY,600000.00\n" for day in range(1, 31))
    assets = shell.file("june.csv", f"customer,as_of,asset_class,currency,balance\n{days}")
    status, said = shell.run("import", "assets", assets)
    assert (0, True) == (status, "30 lines: 30 new or changed, 0 known already" in said)
    (line,) = logged(said)
    assert ("import.done", "assets", 30, 0) == (
        *(line["event"], line["what"]),
        *(line["kept"], line["refused"]),
    )
    status, said = shell.run("import", "assets", assets)
    assert (0, True) == (status, "0 new or changed, 30 known already" in said)
    evaluate = ("evaluate", "--period", "2025-06", "--now", "2025-07-02T03:10:00Z")
    status, said = shell.run(*evaluate)
    assert (0, True) == (status, "1 decisions, 2 grants; BASE 0, GOLD 0, PLATINUM 1" in said)
    (line,) = logged(said)
    assert ("evaluate.done", 1, 2) == (line["event"], line["decisions"], line["grants"])
    status, said = shell.run(*evaluate)
    assert (0, True) == (status, "0 decisions, 0 grants; BASE 0, GOLD 0, PLATINUM 1" in said)
    assert (0, "0 findings.\n") == shell.run("verify")


async def test_customers_are_merged_by_file(test_shell: Shell) -> None:
    """Each line by itself, in their order; again nothing is new."""
    shell = test_shell
    shell.run("programme", "apply", shell.file("wealth.toml", PROGRAMME))
    rows = "".join(f"{name},2020-01-01\n" for name in "ABC")
    shell.run("import", "members", shell.file("members.csv", f"customer,opened_on\n{rows}"))
    lines = "customer,into\nB,A\nA,C\nC,A\nA,A\nX,A\n,A\n"
    merges = shell.file("merges.csv", lines)
    status, said = shell.run("import", "merges", merges)
    assert (2, True) == (status, "6 lines: 2 new or changed, 0 known already, 4 refused" in said)
    for reason in (
        "line 4: merged_away: Who is to take over was merged into another customer",
        "line 5: merged_into_itself: ",
        "line 6: unknown_member: ",
        "line 7: customer: must have 1 to 64 characters",
    ):
        assert reason in said
    status, said = shell.run("import", "merges", merges)
    assert "6 lines: 0 new or changed, 2 known already, 4 refused" in said
    assert (0, "0 findings.\n") == shell.run("verify")


async def test_commands_can_be_rehearsed(test_shell: Shell) -> None:
    """Each says what it says for real, and that nothing was written; nothing was, nor logged."""
    shell = test_shell
    pool = connect(shell.environ["BENEFITS_DATABASE_URL"])
    for at in (NOON, datetime.now(UTC)):  # months are made in a rehearsal too
        await ensure_partitions(pool, at)
    wealth = shell.file("wealth.toml", PROGRAMME)
    members = shell.file("members.csv", "customer,opened_on\nA,2020-01-01\nB,soon\nC,2020-01-01\n")
    days = "".join(f"A,2025-06-{day:02d},DEPOSIT,CNY,600000.00\n" for day in range(1, 31))
    assets = shell.file("june.csv", f"customer,as_of,asset_class,currency,balance\n{days}")
    rows = "VIDEO,b,A\nVIDEO,b,A\nVIDEO,b,nobody\n"
    grants = shell.file("grants.csv", f"benefit,business_key,customer\n{rows}")
    merges = shell.file("merges.csv", "customer,into\nC,A\nA,C\nnobody,A\nC,A\n,A\nA,A\n")
    told = shell.file("told.csv", "")
    for words in (
        ("programme", "apply", wealth),
        ("import", "members", members),
        ("import", "assets", assets),
        ("evaluate", "--period", "2025-06", "--now", "2025-07-02T03:10:00Z"),
        ("import", "grants", grants, "--outcomes", told),
        ("import", "merges", merges),
        ("expire",),
        ("close-month", "2025-06", "--by", "finance"),
    ):
        before = await everything(pool)
        status, dry = shell.run(*words, "--dry-run")
        assert before == await everything(pool)
        assert [] == logged(dry)
        real_status, said = shell.run(*words)
        assert before != await everything(pool)
        real = [line for line in said.splitlines() if not line.startswith(("{", "Began job"))]
        assert (real_status, [*real, "Dry run: nothing was written."]) == (
            status,
            dry.splitlines(),
        )
    outcomes = [line.split(",") for line in Path(told).read_text().splitlines()]
    assert [["line", "outcome"], ["2", "granted"], ["3", "known"], ["4", "refused"]] == [
        line[:2] for line in outcomes
    ]
    assert (outcomes[1][2], "unknown_member") == (outcomes[2][2], outcomes[3][3])
    await pool.close()


async def test_keys_can_be_rehearsed_and_no_key_is_shown(test_shell: Shell) -> None:
    """A key that opens nothing is not printed; refusals are the same."""
    shell = test_shell
    pool = connect(shell.environ["BENEFITS_DATABASE_URL"])
    _, key = shell.run("key", "create", "crm", "--scope", "crm")
    id_ = key.split("_")[1]
    before = await everything(pool)
    dry = "Dry run: nothing was written.\n"
    for words, expected in (
        (("create", "app", "--scope", "mobile"), (0, dry)),
        (("create", "A", "--scope", "mobile"), (1, "name_invalid: ")),
        (("rotate", id_), (0, f"The old key ends in 24h.\n{dry}")),
        (
            ("revoke", id_),
            (0, "The key is revoked; running services forget it within a minute.\n"),
        ),
        (("revoke", str(UUID(int=7))), (1, "key_not_valid: ")),
    ):
        status, said = shell.run("key", *words, "--dry-run")
        assert (expected[0], True) == (status, said.startswith(expected[1])), said
        assert (status == 0) == said.endswith(dry)
    assert before == await everything(pool)
    await pool.close()


def test_mistakes_are_told_in_words(test_shell: Shell) -> None:
    """Wrong files, months and settings end with a sentence, not with a story."""
    shell = test_shell
    wrong = shell.file("wrong.toml", PROGRAMME.replace('budget = "video"', 'budget = "vidoe"'))
    status, said = shell.run("programme", "apply", wrong)
    assert 1 == status
    assert "benefit[1].budget: 'vidoe' is not defined; did you mean 'video'?" in said
    shell.run("programme", "apply", shell.file("wealth.toml", PROGRAMME))
    for words, status, part in (
        (("evaluate", "--period", "June"), 2, "is not a month; write it like 2025-06"),
        (("evaluate", "--period", "2125-06"), 1, "month_not_over"),
        (("evaluate", "--period", "2025-06", "--programme", "x"), 1, "unknown_programme"),
        (("import", "assets", shell.file("no.csv", "a,b\n")), 1, "file_unreadable"),
        (("work", "--buckets", "7"), 2, "write it like 0-1023"),
    ):
        got, said = shell.run(*words)
        assert (status, True) == (got, part in said), said
    got, said = shell.run("verify", BENEFITS_MEMBER_KEY=os.urandom(32).hex())
    assert (1, True) == (got, "BENEFITS_MEMBER_KEY is not the key" in said)
    got, said = shell.run("verify", BENEFITS_DATABASE_URL="")
    assert (1, True) == (got, "setting_refused: BENEFITS_DATABASE_URL" in said)


async def test_migrate_makes_a_production_database_that_refuses_demo_things(
    new_shell: Shell,
) -> None:
    """No time by hand, no provider on this machine, no loopback network."""
    shell = new_shell
    status, said = shell.run("verify")
    assert (1, True) == (status, "Run `benefits migrate`" in said)
    assert (0, "The database is ready and stamped production.\n") == shell.run("migrate")
    pool = connect(shell.environ["BENEFITS_DATABASE_URL"])
    assert Installation("production") == await check(pool, MEMBER_KEY)
    await pool.close()
    wealth = shell.file("wealth.toml", PROGRAMME)
    assert 2 == shell.run("programme", "apply", wealth)[0]
    who = ("--note", "The first one.", "--by", "anna-li")
    status, said = shell.run("programme", "apply", wealth, *who)
    assert (1, True) == (status, "no provider is this machine" in said)
    real = PROGRAMME.replace("http://127.0.0.1:9", "https://provider.example")
    status, said = shell.run("programme", "apply", shell.file("real.toml", real), *who)
    assert (0, True) == (status, "PROPOSED: PROGRAMME wealth" in said)
    id_, hash_ = re.findall(r"([0-9a-f-]{36}) PROPOSED|^hash (\w+)$", said, re.MULTILINE)
    approve = ("proposal", "approve", id_[0], "--hash", hash_[1], "--by")
    status, said = shell.run(*approve, "anna-li")
    assert (1, True) == (status, said.startswith("same_person: "))
    assert 0 == shell.run(*approve, "ben-wu")[0]
    status, said = shell.run("evaluate", "--period", "2025-06", "--now", "2025-07-02")
    assert (1, True) == (status, "--now is not for a production database" in said)
    for now in ("9999-12-31T23:59:59-08:00", "soon"):
        assert 2 == shell.run("evaluate", "--period", "2025-06", "--now", now)[0]
    for far in (("close-month", "9999-12", "--by", "a"), ("evaluate", "--period", "9999-12")):
        status, said = shell.run(*far)
        assert (2, True) == (status, "'9999-12' is not a month" in said)
    status, said = shell.run("serve", BENEFITS_ALLOWED_NETWORKS="127.0.0.0/8", BENEFITS_PORT="0")
    assert (1, True) == (status, "must not hold this machine" in said)
    for networks in ("0.0.0.0/0", "10.0.0.0/8, ::/0", "0.0.0.0/1 128.0.0.0/1"):
        status, said = shell.run("serve", BENEFITS_PROXIES=networks, BENEFITS_PORT="0")
        assert (1, True) == (status, "must not hold every address" in said)
    status, said = shell.run("key", "create", "mobile-bank", "--scope", "mobile")
    assert (0, True) == (status, said.startswith("bk_"))
    for change, words in (
        ({"issuer": DEMO_ISSUER, "jwks_file": "jwks"}, "must not hold urn:benefits:demo"),
        ({"jwks_url": "http://127.0.0.1:9/jwks"}, "must come by https://"),
    ):
        listed = {"issuer": "x", "alias": "x", "audience": "x", "algorithms": ["EdDSA"], **change}
        given = {"BENEFITS_ISSUERS": json.dumps([listed]), "BENEFITS_PORT": "0"}
        status, said = shell.run("serve", **given)
        assert (1, True) == (status, words in said), said


def test_a_key_is_rotated_and_revoked_by_command(test_shell: Shell) -> None:
    """The list tells which are valid, which end when, and never a secret."""
    shell = test_shell
    shell.run("programme", "apply", shell.file("wealth.toml", PROGRAMME))
    _, first = shell.run("key", "create", "crm", "--scope", "crm", "--scope", "auditor")
    key_id = str(UUID(hex=first.split("_")[1]))
    status, said = shell.run("key", "rotate", key_id, "--keep", "36h")
    assert (0, True, True) == (status, said.startswith("bk_"), "ends in 36h" in said)
    assert 2 == shell.run("key", "rotate", key_id, "--keep", "soon")[0]
    provider = ("--scope", "provider", "--provider", "sandbox")
    assert 0 == shell.run("key", "create", "sandbox", *provider)[0]
    status, listed = shell.run("key", "list")
    rows = [line.split("  ") for line in listed.splitlines()]
    assert [("crm", "crm,auditor"), ("crm", "crm,auditor"), ("sandbox", "provider:sandbox")] == [
        (row[1], row[2]) for row in rows
    ]
    assert {True} == {secret.split("_")[2].strip() not in listed for secret in (first, said)}
    assert [True, False] == [row[4].startswith("ends ") for row in rows[:2]]
    assert 0 == shell.run("key", "revoke", key_id)[0]
    assert " ended " in shell.run("key", "list")[1]
    status, said = shell.run("key", "rotate", key_id)
    assert (1, True) == (status, "key_not_valid" in said)
    status, said = shell.run("key", "create", "x", "--scope", "mobile", "--provider", "sandbox")
    assert (1, True) == (status, "provider_unknown" in said)


def test_a_token_needs_a_data_folder(tmp_path: Path) -> None:
    """Without the key that `up` makes, or with one that others can read, there is none.

    Nor is there one for a member or a manager without saying whose it is.
    """
    command = ["token", "--data", str(tmp_path), "--scope", "operator"]
    with pytest.raises(SettingRefused):
        CliRunner().invoke(commands, command, catch_exceptions=False)
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys" / "issuer_key"
    key.touch(0o644)
    with pytest.raises(SettingRefused) as caught:
        CliRunner().invoke(commands, command, catch_exceptions=False)
    assert "can be read by others" in caught.value.detail
    key.chmod(0o600)
    key.write_text(demo.new_issuer_key())
    assert 2 == CliRunner().invoke(commands, command).output.count(".")
    for scope in ("member", "relationship_manager", "provider"):
        with pytest.raises(TokenInvalid):
            CliRunner().invoke(commands, [*command[:3], "--scope", scope], catch_exceptions=False)


def test_two_listeners_never_share_a_port() -> None:
    """Bound is not yet taken; the second one is told at once."""
    with process.bind("127.0.0.1", 0) as taken, pytest.raises(process.PortInUse):
        process.bind("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("how", [["-O"], ["-OO"]])
def test_nothing_runs_without_assertions(how: list[str]) -> None:
    """The ledger's last stops are assertions, which these options take away."""
    command = [sys.executable, *how, "-m", "benefits", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert "PYTHONOPTIMIZE" in done.stderr


def test_presets_are_listed_and_printed_as_files_to_begin_with(test_shell: Shell) -> None:
    """What is printed can be applied as it is."""
    status, said = test_shell.run("programme", "presets")
    assert (0, 9) == (status, len(said.splitlines()))
    assert said.startswith("bank_of_america: Bank of America:")
    status, text = test_shell.run("programme", "presets", "bohai")
    assert (0, "bohai") == (status, read(text).code)


def test_examples_are_listed_and_printed_as_files_to_begin_with(test_shell: Shell) -> None:
    """Each says in its first line what it is."""
    status, said = test_shell.run("programme", "examples")
    assert 0 == status
    assert ["private_bank: A private bank's", "rural_wealth: A rural bank's"] == [
        line.partition(" benefits")[0].partition(" wealth")[0] for line in said.splitlines()
    ]
    status, text = test_shell.run("programme", "examples", "rural_wealth")
    assert (0, "wealth") == (status, read(text).code)
