"""What processes that listen and wait share: a port that is theirs, and being told to stop."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable

from benefits.domain.refusal import Refusal


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
