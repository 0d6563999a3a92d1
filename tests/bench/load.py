"""A load generator that costs little: connections that each send one request after the other."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What a round of load came to; latencies in milliseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


async def spread(
    ports: Sequence[int],
    make: Callable[[], bytes],
    *,
    connections: int,
    seconds: float,
    status: int = 201,
) -> Load:
    """Send requests over connections to several ports; of latencies the longest counts."""
    shares = [len(range(n, connections, len(ports))) for n in range(len(ports))]
    made = await asyncio.gather(
        *(
            run(port, make, connections=share, seconds=seconds, status=status)
            for port, share in zip(ports, shares, strict=True)
            if share
        )
    )
    return Load(
        sum(one.per_s for one in made),
        max(one.p50_ms for one in made),
        max(one.p99_ms for one in made),
        sum(one.failed for one in made),
    )


async def run(
    port: int, make: Callable[[], bytes], *, connections: int, seconds: float, status: int = 201
) -> Load:
    """Send requests made by `make` to a port of this machine for some seconds.

    An empty request says that there is none left.
    """
    good = str(status).encode()
    latencies = list[float]()
    failed = 0
    end = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            request = make()
            if not request:
                break
            begin = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - begin)
            failed += head[9:12] != good
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    took = time.perf_counter() - begin
    cuts = statistics.quantiles(latencies, n=100)
    return Load(len(latencies) / took, cuts[49] * 1000, cuts[98] * 1000, failed)
