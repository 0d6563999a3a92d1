"""What processes that live long share: a port that is theirs, being told to stop, and memory."""

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable

from benefits.domain.refusal import Refusal

COLLECT_EVERY = 50_000  # more than a full group has alive at once


class PortInUse(Refusal):
    """Another process listens where we are to listen."""

    code = "port_in_use"
    words = "The port is in use."


def bind(host: str, port: int) -> socket.socket:
    """Take a port, or say clearly that it is taken (PortInUse)."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen()  # or two could take it: bound, an address is not yet in use
    except OSError as error:
        taken.close()
        raise PortInUse(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    return taken


async def until_stopped(
    main: Callable[[asyncio.Event], Awaitable[None]], *, on_told: Callable[[], None] | None = None
) -> None:
    """Run until SIGINT or SIGTERM sets the event `main` is given; call `on_told` once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        if on_told is not None and not stop.is_set():
            on_told()
        stop.set()

    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, told)
    await main(stop)


def keep_what_stays() -> None:
    """Let garbage collection pass over what was made so far, and run seldom.

    All code and every route are alive until the end. Looking through them again and again took a
    third of the time of a service under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
