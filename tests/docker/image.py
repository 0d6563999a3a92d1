"""The Dockerfile's steps, run without an engine: what it builds, and the process it starts."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
ACCOUNT = 10001  # the image's USER
# Every mounted file system becomes read-only, in a mount namespace of its own. What the kernel
# keeps in memory about itself and its devices stays as it is in a container, too.
READ_ONLY = """
set -e
cut -d ' ' -f 5 /proc/self/mountinfo | sort -u | while read -r place; do
    case "$place" in /proc|/proc/*|/sys|/sys/*|/dev|/dev/pts|/dev/mqueue) continue ;; esac
    mount -o remount,bind,ro "$place" || [ "$place" != / ]
done
exec "$@"
"""


class Step(NamedTuple):
    """One instruction: its word and the rest."""

    word: str
    rest: str


def stages(text: str) -> list[list[Step]]:
    """Return the instructions of each stage."""
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n", " ", plain).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append(Step(word, " ".join(rest.split()) if word != "HEALTHCHECK" else rest))
    return found


def build_stage() -> list[Step]:
    """Return the steps that build."""
    return stages(DOCKERFILE.read_text())[0]


def final_stage() -> list[Step]:
    """Return the steps that make the image."""
    return stages(DOCKERFILE.read_text())[-1]


def values(steps: list[Step], word: str) -> list[str]:
    """Return what follows a word, each time it stands."""
    return [step.rest for step in steps if step.word == word]


def environment(steps: list[Step]) -> dict[str, str]:
    """Return the variables that a stage sets."""
    return dict(
        pair.split("=", 1)
        for line in values(steps, "ENV")
        for pair in re.findall(r"\w+=\S+", line)
    )


def health_check() -> list[str]:
    """Return the command that asks whether a container is well."""
    (check,) = values(final_stage(), "HEALTHCHECK")
    return [str(word) for word in json.loads(check.partition("CMD ")[2])]


def find_uv() -> str | None:
    """Return the path of uv: named by the run that started the tests, beside Python, or found."""
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    return os.environ.get("UV") or beside or shutil.which("uv")


class Image:
    """What the Dockerfile makes, in a folder: the build's folder and the installed environment."""

    def __init__(self, folder: Path, python: str) -> None:
        """Use an empty folder, and a Python that the image's account can run."""
        self.build = folder / "build"
        self.installed = folder / "benefits"
        self.python = python
        self.build.mkdir()

    @property
    def command(self) -> str:
        """The image's entry point."""
        return str(self.installed / "bin" / "benefits")

    def make(self, uv: str) -> Iterator[str]:
        """Take every step of the build stage; yield each command that was run."""
        stage = build_stage()
        for step in stage:
            if step.word == "COPY":
                *sources, target = step.rest.split()
                for source in sources:
                    self._copy(ROOT / source, self.build / target)
            elif step.word == "RUN" and "pip install" in step.rest.partition("uv")[0]:
                continue  # brings uv, which is here
            elif step.word == "RUN":
                self._run(step.rest, uv, environment(stage))
                yield step.rest

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)

    def _run(self, command: str, uv: str, environ: dict[str, str]) -> None:
        """Run a step with uv at hand, from what was fetched before if that is enough."""
        more = {
            name: value.replace("/opt/benefits", str(self.installed))
            for name, value in environ.items()
        }
        given = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "UV_PROJECT"}}
        # Bytecode for everything takes a while and changes nothing that is tested.
        given |= more | {"UV_PYTHON": self.python, "UV_COMPILE_BYTECODE": "0"}
        given["PATH"] = f"{Path(uv).parent}:{given['PATH']}"
        words = ["sh", "-c", command.replace("/opt/benefits", str(self.installed))]
        for offline in ({"UV_OFFLINE": "1"}, {}):
            done = subprocess.run(
                words,
                cwd=self.build,
                env={**given, **offline},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                return
        raise AssertionError(f"{command}: {done.stderr}")


def usable_python() -> str | None:
    """Return a Python that another account than ours can run; ours, if we are not root."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    if os.geteuid():
        return str(base)
    for python in (str(base), "/usr/local/bin/python3", "/usr/bin/python3"):
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        try:
            done = subprocess.run(
                [python, "-c", check], user=ACCOUNT, group=ACCOUNT, cwd="/", check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


def confined() -> list[str]:
    """Return the words before a command that run it as the image's account, all read-only."""
    if os.geteuid():
        return []
    account = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"]
    account += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", READ_ONLY, "sh", *account]
