"""`benefits certify` as a provider's developer types it."""

import asyncio
import json
import re
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from benefits.certify.checks import CHECKS
from benefits.cli import commands
from benefits.domain.benefit import Benefit
from benefits.domain.programme import Dialect, Provider
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.server import SandboxSettings, run
from tests.builders import PROGRAMME
from tests.sandbox.stage import SECRET
from tests.service import free_port
from tests.shell import ROOT

KNOWN = {"BENEFITS_PROVIDER_SECRETS": json.dumps({"sandbox": [SECRET]})}
NONE = "capabilities.callbacks='NONE'"


def typed(*words: str, **environ: str) -> Result:
    """Type the command."""
    return CliRunner().invoke(
        commands, ["certify", *words], env={"COLUMNS": "200", **KNOWN, **environ}
    )


class Running:
    """A sandbox in a thread of its own, as another machine would run it."""

    def __init__(self) -> None:
        """Start it, and wait until it answers."""
        self.inbox = f"127.0.0.1:{free_port()}"
        self.base = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        settings = SandboxSettings(
            secrets=(SECRET,),
            callback_url=f"http://{self.inbox}/here",
            port=free_port(),
            behaviour=Behaviour.CALLS_BACK_TWICE,
            callback_after_s=0.02,
        )
        self._task = self._loop.create_task(run(settings, ready=self._is_ready))
        with pytest.raises(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def _is_ready(self, base: str) -> None:
        self.base = base
        self._ready.set()

    def stop(self) -> None:
        """End it."""
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    """Give a running sandbox."""
    running = Running()
    yield running
    running.stop()


QUICK = ("--every", "0.05", "--quiet", "0.1", "--within", "20")


def test_a_provider_is_certified(sandbox: Running, tmp_path: Path) -> None:
    """The table says what was seen, the report all of it; no secret and no code is shown."""
    file = tmp_path / "report.json"
    chosen = ("issue", "refused_recipient", "confirm", "redeem", "callback", "too_many")
    done = typed(
        *("--dialect", "open", "--url", f"{sandbox.base}/", "--json", str(file), *QUICK),
        *("--listen", sandbox.inbox, "--callback-url", "https://bank.example/here"),
        *("--set", "capabilities.redeem_by='US'", "--refused-recipient", "phone=0000"),
        *("--payment", "4200000000"),
        *(word for name in chosen for word in ("--check", name)),
    )
    assert (0, True) == (done.exit_code, "6 checks: 4 passed, 0 failed, 2 skipped." in done.output)
    assert "Callbacks are expected at https://bank.example/here." in done.output
    report = json.loads(file.read_bytes())
    assert (1, "open", "sandbox", f"{sandbox.base}/", True) == (
        *(report["version"], report["dialect"], report["provider"]),
        *(report["url"], report["passed"]),
    )
    assert list(chosen) == [one["check"] for one in report["findings"]]
    assert "US" == report["capabilities"]["redeem_by"]
    (order,) = report["findings"][0]["orders"]
    assert 32 == len(order)
    for text in (done.output, file.read_text()):
        assert SECRET not in text
        assert "13800001234" not in text
        assert re.search(r"\b[0-9]{12}\b", text) is None


def test_who_is_nobody_is_asked_nothing(sandbox: Running) -> None:
    """A SKU that needs no recipient; nobody who is refused, and nobody who uses it."""
    done = typed(
        *("--dialect", "open", "--url", sandbox.base, "--set", NONE, *QUICK),
        *("--recipient", "-", "--other-recipient", "-"),
        *("--refused-recipient", "-", "--using-recipient", "-"),
        *("--check", "other_content", "--check", "refused_recipient", "--check", "used_there"),
    )
    assert (0, True) == (done.exit_code, "1 passed, 0 failed, 2 skipped." in done.output)
    assert "nobody is refused (--refused-recipient)" in done.output


def test_what_fails_is_told_with_its_promise(sandbox: Running, tmp_path: Path) -> None:
    """The status is 1, and the developer is told which orders to look for."""
    programme = PROGRAMME.replace('url = "', f'url = "{sandbox.base}/other" # ')
    (tmp_path / "p.toml").write_text(programme)
    done = typed(
        *("--programme", str(tmp_path / "p.toml"), "--provider", "sandbox", "--set", NONE),
        *("--check", "unknown_number", *QUICK),
    )
    assert 1 == done.exit_code
    assert "FAIL     unknown_number" in done.output
    assert "promised: Asked about a number that was never sent" in done.output
    assert "1 checks: 0 passed, 1 failed, 0 skipped." in done.output


WRONG: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    ((), {}, "give --dialect and --url, or --programme"),
    (("--dialect", "open"), {}, "--url must be like https://"),
    (("--dialect", "open", "--url", "http://[x"), {}, "--url must be like https://"),
    (("--dialect", "open", "--url", "http://x"), {}, "it calls back: give --listen"),
    (("--dialect", "open", "--url", "http://x", "--listen", "8080"), {}, "write it like 127."),
    (("--dialect", "open", "--set", "x"), {}, "--set: "),
    (("--dialect", "open", "--set", "capabilities.revoke='no'"), {}, "$.capabilities.revoke"),
    (
        ("--dialect", "open", "--url", "http://x", "--provider", "y"),
        {},
        "holds no secrets",
    ),
    (
        ("--dialect", "open", "--url", "http://x", "--set", NONE, "--recipient", "phone"),
        {},
        "write it like phone=",
    ),
    (("--dialect", "wechat_busifavor", "--url", "http://x"), {}, "needs mchid and appid"),
    (
        (
            *("--dialect", "wechat_product_coupon", "--url", "http://x"),
            *("--set", "wechat={mchid='1900000001', appid='wx1'}"),
        ),
        {},
        "sandbox.wechat.brand_id: product coupons are of a brand",
    ),
    ((), {"BENEFITS_PROVIDER_SECRETS": "x"}, "setting_refused: BENEFITS_PROVIDER_SECRETS"),
    (
        (
            *("--dialect", "wechat_busifavor", "--url", "http://x"),
            *("--set", "wechat={mchid='1900000001', appid='wx1'}"),
        ),
        {},
        "holds secrets of another dialect for 'sandbox'",
    ),
    (
        ("--dialect", "open", "--url", "http://127.0.0.1:1", "--set", NONE),
        {},
        "http://127.0.0.1:1: nothing can be sent there: ",
    ),
    (
        ("--dialect", "open", "--url", "http://x"),
        {"BENEFITS_PROVIDER_SECRETS": "{}"},
        "give --provider",
    ),
]


@pytest.mark.parametrize(("words", "environ", "said"), WRONG)
def test_what_cannot_be_certified_is_told_in_words(
    words: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    """Nothing is sent, and nobody reads a traceback."""
    done = typed(*words, **environ)
    assert 2 == done.exit_code, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_wrong_secret_is_told_before_anything_is_ordered(sandbox: Running) -> None:
    """By the provider's refusal; the secret is not shown."""
    other = SECRET.replace("AAEC", "BBEC")
    secrets = {"BENEFITS_PROVIDER_SECRETS": json.dumps({"sandbox": [other]})}
    done = typed("--dialect", "open", "--url", sandbox.base, "--set", NONE, **secrets)
    assert 2 == done.exit_code
    assert "it does not take our signature for ours: HTTP 401" in done.output
    assert other not in done.output


def test_a_port_that_is_taken_is_told(sandbox: Running) -> None:
    """Nothing is certified without callbacks that could arrive."""
    taken = sandbox.base.removeprefix("http://")
    done = typed("--dialect", "open", "--url", sandbox.base, "--listen", taken)
    assert (2, True) == (done.exit_code, "port_in_use: Cannot listen on" in done.output)


def test_the_guide_tells_of_each_check() -> None:
    """And of no other."""
    guide = (ROOT / "docs" / "providers" / "adding.md").read_text()
    table = guide.split("| check | what it proves |")[1].split("\n\n")[0]
    first = "".join(row.split("|")[1] for row in table.splitlines()[2:])
    assert {check.name for check in CHECKS} == set(re.findall(r"`(\w+)`", first))


def test_the_guide_shows_an_entry_that_holds() -> None:
    """A bank may copy it; the entry is of the dialect that the guide begins with."""
    guide = (ROOT / "docs" / "providers" / "adding.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    shown = tomllib.loads(text)
    provider = msgspec.convert(shown["provider"][0], Provider)
    benefit = msgspec.convert(shown["benefit"][0], Benefit)
    assert (Dialect.OPEN, provider.code) == (provider.dialect, benefit.provider)


def test_the_help_lists_the_checks() -> None:
    """Each with what it promises."""
    shown = " ".join(typed("--help").output.split())
    for check in CHECKS:
        assert check.name in shown
        assert check.promise in shown, check.name
