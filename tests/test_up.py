"""`benefits up` as a newcomer meets it, and the README's walk through it as written."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from benefits import demo, settings
from tests.conftest import roomy_folder
from tests.service import free_port

ROOT = Path(__file__).parents[1]


# As a script's `&` starts a program: without Ctrl-C.
IN_THE_BACKGROUND = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")


class Up:
    """A running `benefits up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Choose ports; `start` runs it."""
        self.folder = folder
        self.data = folder / "demo-data"
        self.port, self.sandbox_port = free_port(), free_port()
        self.metrics_port = free_port()
        self.process: subprocess.Popen[str] | None = None
        self.said = ""
        self.first_said = ""

    def start(self, until: str = "Ctrl-C", *, within: tuple[str, ...] = ()) -> None:
        """Start, and wait until it says that Ctrl-C stops everything, or something else."""
        self.said = ""
        command = [*within, sys.executable, "-m", "benefits", "up", "--data", str(self.data)]
        command += ["--port", str(self.port), "--sandbox-port", str(self.sandbox_port)]
        command += ["--metrics-port", str(self.metrics_port)]
        log = self.folder / "up.log"
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, text=True, env=plain_environment()
            )
        late = time.monotonic() + 150
        while until not in self.said:
            self.said = log.read_text()
            assert self.process.poll() is None, self.said
            assert time.monotonic() < late, self.said
            time.sleep(0.2)
        self.first_said = self.first_said or self.said

    def processes(self) -> set[int]:
        """Return the processes of this demo that run: itself, its parts, its database."""
        marks = (str(self.data).encode(), f"\0{self.port}\0".encode())
        found = set[int]()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                told = (folder / "cmdline").read_bytes()
                told += (folder / "environ").read_bytes() if b"benefits" in told else b""
                if any(mark in told for mark in marks):
                    found.add(int(folder.name))
        return found

    def stop(self, how: signal.Signals = signal.SIGINT) -> str:
        """Press Ctrl-C, or what else stops it; return the last words, after it has ended well."""
        assert self.process is not None
        self.process.send_signal(how)
        assert 0 == self.process.wait(60)
        self.process = None
        return (self.folder / "up.log").read_text().splitlines()[-1]


def plain_environment() -> dict[str, str]:
    """Return this environment without settings of the service."""
    return {name: value for name, value in os.environ.items() if "BENEFITS_" not in name}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder to its end."""
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """Give a demo that runs in a folder its database's account can enter; end it."""
    folder = Path(tempfile.mkdtemp(prefix="benefits-up-", dir=roomy_folder()))
    folder.chmod(0o711)
    made = Up(folder)
    try:
        made.start()
        yield made
    finally:
        if made.process is not None:
            made.stop()
        shutil.rmtree(folder)


def test_the_main_job_is_done_once_before_ones_eyes(up: Up) -> None:
    """Tiers are shown, a claim travels to the provider and back, and the books balance."""
    for expected in ("of wealth evaluated: BASE", "is ISSUED", "is REDEEMED", "books balance"):
        assert expected in up.first_said
    assert re.search(rf"http://127.0.0.1:{up.port}/page/enter\?code=", up.first_said)
    assert "of private_bank evaluated: GUEST" in up.first_said


def test_a_private_client_has_benefits_to_choose_a_list_and_guests(up: Up) -> None:
    """P-8, S-1, V-10: another customer than the one whom the walk follows."""
    key = (up.data / "keys" / "api_key_mobile").read_text()
    base = f"http://127.0.0.1:{up.port}"

    def ask(path: str, body: dict[str, Any] | None, **headers: str) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(base + path, sent, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    crm = (up.data / "keys" / "api_key_crm").read_text()
    wanted = {"references": [demo.CLIENT]}
    found = ask("/v1/members:lookup", wanted, Authorization=f"Bearer {crm}")
    member = found["members"][demo.CLIENT]
    seen = ask(f"/v1/members/{member}/benefits", None, Authorization=f"Bearer {key}")
    tiers = {one["code"]: one["tier"]["code"] for one in seen["programmes"]}
    assert {"wealth": "DIAMOND", "private_bank": "CLIENT"} == tiers
    there = {one["code"]: one for one in seen["benefits"]}
    assert (12, 2) == (there["VIP_HALL"]["available"], there["SALON"]["available"])
    choices = ask(f"/v1/members/{member}/choices", None, Authorization=f"Bearer {key}")
    assert [("LEISURE", 2)] == [(one["code"], one["available"]) for one in choices["choices"]]
    assert {"CLIENT": 1, "FAMILY": 3} == there["VIP_HALL"]["companions"]


def test_the_readmes_walk_works_as_written(up: Up) -> None:
    """Every shell block of the README runs in order against the running demo."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    blocks = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    script = "set -euo pipefail\n" + "\n".join(blocks)
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{up.port}")
    script = script.replace("127.0.0.1:8090", f"127.0.0.1:{up.sandbox_port}")
    (up.folder / ".venv").symlink_to(sys.prefix)  # a reader's commands lie there too
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=up.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert '"PLATINUM"' in done.stdout
    assert '"ISSUED"' in (up.folder / "demo-data" / "claim.json").read_text()
    assert '"REDEEMED"' in done.stdout
    assert ["1", "0"] == re.findall(r'"granted":([0-9])', done.stdout)
    assert f"http://127.0.0.1:{up.port}/page/enter?code=" in done.stdout
    assert '"recipient_incomplete"' in done.stdout
    assert '"unknown_member"' in done.stdout
    assert re.search(r'"code":"BF[0-9]{14}"', done.stdout)
    assert re.search(
        r"^breakfast-set,demo,900,,[^,]+,2000,[0-9]+,[0-9]+,1,0,$", done.stdout, re.MULTILINE
    )
    assert "Needs an age of at least 60 years (from 20 May 2048 on)." in done.stdout
    assert "gets 1 LOUNGE" in done.stderr
    assert "claim of VIDEO: consent_required" in done.stderr


def test_the_demos_issuer_is_its_own(up: Up) -> None:
    """Its key can be read by nobody else; a token of another folder's issuer opens nothing."""
    keys = up.data / "keys"
    assert 0o600 == stat.S_IMODE((keys / "issuer_key").stat().st_mode)
    other = up.folder / "other"
    (other / "keys").mkdir(parents=True)
    settings.keep_first(other / "keys" / "issuer_key", demo.new_issuer_key())
    for data, expected in ((up.data, 200), (other, 401)):
        command = ["token", "--data", str(data), "--scope", "crm", "--minutes", "5"]
        token = run([sys.executable, "-m", "benefits", *command], ROOT).stdout.strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{up.port}/v1/members:lookup",
            json.dumps({"references": ["C0001"]}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                got = answer.status
        except urllib.error.HTTPError as refused:
            with refused:
                got = refused.code
        assert expected == got


def test_a_port_in_use_is_told_before_anything_is_done(tmp_path: Path) -> None:
    """The message names the port, and no data folder is made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "benefits", "up", "--data", str(tmp_path / "demo")]
        done = subprocess.run(
            [*command, "--port", str(port)], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert 1 == done.returncode
    assert f"port_in_use: Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_an_interrupted_start_is_made_good_by_the_next() -> None:
    """Stopped while balances come in, the next start brings the rest and decides every month."""
    folder = Path(tempfile.mkdtemp(prefix="benefits-up-", dir=roomy_folder()))
    folder.chmod(0o711)
    halted = Up(folder)
    try:
        halted.start(until="20,000 balances", within=IN_THE_BACKGROUND)
        halted.stop()
        halted.start()
        assert "C0001 is PLATINUM" in halted.said
        assert "is REDEEMED" in halted.said
        halted.stop(signal.SIGHUP)
    finally:
        if halted.process is not None:
            halted.process.kill()
        shutil.rmtree(folder)


def test_a_data_folder_that_is_none_is_explained(tmp_path: Path) -> None:
    """A file where the folder should be ends in a sentence."""
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "benefits", "up", "--data", str(tmp_path / "file")]
    ports = ["--port", str(free_port()), "--sandbox-port", str(free_port())]
    done = run([*command, *ports], ROOT)
    assert (1, True) == (done.returncode, "data_folder_broken: " in done.stderr)
    assert "Traceback" not in done.stderr


def test_only_this_machine_can_reach_it(up: Up) -> None:
    """Service and sandbox listen on the loopback address alone."""

    async def addresses() -> set[str]:
        found = set[str]()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if int(port, 16) in {up.port, up.sandbox_port} and line.split()[3] == "0A":
                found.add(socket.inet_ntoa(bytes.fromhex(address)[::-1]))
        return found

    assert {"127.0.0.1"} == asyncio.run(addresses())


def get(port: int, path: str) -> str:
    """Read a page of this machine."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        text: str = answer.read().decode()
    return text


def post(up: Up, path: str, caller: str, body: Mapping[str, object]) -> dict[str, Any]:
    """Send JSON to the demo as one of its callers, under a fresh key."""
    headers = {
        "Authorization": f"Bearer {(up.data / 'keys' / f'api_key_{caller}').read_text()}",
        "Content-Type": "application/json",
        "Idempotency-Key": uuid4().hex,
    }
    url = f"http://127.0.0.1:{up.port}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def claim_of_another(up: Up) -> None:
    """Reward a customer whom nothing else here is about, and claim the unit."""
    found = post(up, "/v1/members:lookup", "crm", {"references": ["C0003"]})
    member = found["members"]["C0003"]
    gift = {"member_id": member, "benefit": "HEALTH", "business_key": uuid4().hex}
    post(up, "/v1/rewards", "crm", gift)
    wish = {"benefit": "HEALTH", "recipient": {"phone": "13800000003"}}
    post(up, f"/v1/members/{member}/claims", "mobile", wish)


def test_the_figures_of_service_and_worker_can_be_read(up: Up) -> None:
    """With --metrics-port both are watched, each at a port of its own."""
    served = get(up.metrics_port, "/metrics")
    assert 'benefits_build_info{command="serve"' in served
    assert re.search(r'http_requests_total\{.*"/v1/members/\{member_id\}/claims".* 1.0', served)
    assert "benefits_database_up 1.0" in served
    assert 'benefits_stock_left_units{benefit="' in served
    # The story is told once; after a restart this worker has called nobody yet.
    claim_of_another(up)
    worked, late = "", time.monotonic() + 60
    while 'benefits_provider_calls_total{operation="issue",outcome=' not in worked:
        assert time.monotonic() < late, worked
        time.sleep(0.2)
        worked = get(up.metrics_port + 1, "/metrics")
    assert "ok" == json.loads(get(up.metrics_port + 1, "/health"))["status"]


def test_logs_are_for_their_owner_alone(up: Up) -> None:
    """Whatever a part may say, others on the machine cannot read it."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in up.data.glob("*.log")}
    assert dict.fromkeys(("service.log", "worker.log", "sandbox.log"), 0o600) == modes


def test_nothing_outlives_a_killed_demo() -> None:
    """After kill -9 service, worker, sandbox and database end by themselves."""
    folder = Path(tempfile.mkdtemp(prefix="benefits-up-", dir=roomy_folder()))
    folder.chmod(0o711)
    killed = Up(folder)
    try:
        killed.start()
        assert killed.process is not None
        assert len(killed.processes()) >= 5
        killed.process.kill()
        killed.process.wait()
        late = time.monotonic() + 60
        while left := killed.processes():
            assert time.monotonic() < late, left
            time.sleep(0.2)
    finally:
        shutil.rmtree(folder)


def test_a_demo_whose_database_dies_ends_and_says_so() -> None:
    """It does not go on as if nothing had happened, and leaves nothing running."""
    folder = Path(tempfile.mkdtemp(prefix="benefits-up-", dir=roomy_folder()))
    folder.chmod(0o711)
    bereft = Up(folder)
    try:
        bereft.start()
        assert bereft.process is not None
        pid = (bereft.data / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        assert 1 == bereft.process.wait(60)
        said = (folder / "up.log").read_text()
        assert "database_ended: PostgreSQL ended by itself (signal 9)." in said
        assert "Traceback" not in said
    finally:
        shutil.rmtree(folder)


TEA = """
[[benefit]]
code = "TEA"
name = { zh = "茶", en = "Tea" }
kind = "WALLET_COUPON"
provider = "sandbox"
sku = "tea-20"
cost = "20.00"
consumed = "USE"
budget = "daily"
nature = "DISCOUNT"
"""


def test_ctrl_c_stops_everything_and_the_data_stays(up: Up) -> None:
    """After a stop nothing runs; the next start finds what was there, changed as it may be."""

    def benefits(words: str) -> str:
        command = f". {up.data}/environment && {sys.executable} -m benefits {words}"
        done = run(["sh", "-c", command], ROOT)
        assert 0 == done.returncode, done.stderr
        return done.stdout + done.stderr

    wealth = up.folder / "wealth.toml"
    wealth.write_text(benefits("programme export wealth") + TEA)
    benefits(f"programme apply {wealth}")
    assert "Stopped. The data stays for the next time." == up.stop()
    for port in (up.port, up.sandbox_port):
        with socket.socket() as free:
            assert 0 != free.connect_ex(("127.0.0.1", port))
    up.sandbox_port = free_port()
    up.start()
    assert "TEA" in benefits("programme export wealth")
    assert "are enrolled" not in up.said
    assert "is REDEEMED" in up.said
    assert "books balance" in up.said
