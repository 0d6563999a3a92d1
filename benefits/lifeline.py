"""Nothing that `benefits up` starts outlives it, not even when it is killed.

A lifeline is a pipe whose other end only the parent holds: however the parent ends, the system
closes it, and whoever reads it notices.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_S = 30.0
# A process of its own, for a program that cannot watch: a word means all is well, an end without
# one that we are gone. A number that meanwhile belongs to nobody is no matter.
_WATCH = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
if not sys.stdin.buffer.read():
    try:
        os.kill(int(sys.argv[1]), signal.SIGINT)
    except ProcessLookupError:
        pass
"""


def end_with_stdin() -> None:
    """Stop this process, as SIGTERM does, when its standard input ends; by force if it stays."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


class Tied:
    """Sends a process SIGINT when we end without having let go of it; a context manager."""

    def __init__(self, pid: int) -> None:
        """Name the process."""
        self._pid = pid

    def __enter__(self) -> None:
        """Tie it to us."""
        self._watch = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-c", _WATCH, str(self._pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us
        )

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self._watch.communicate(b"done")
