"""A request that is cut off: its bytes are written, all or some, and nobody waits for the answer.

The one thing that is not done by the way out of the product, which never does it on purpose.
"""

import asyncio
from urllib.parse import urlsplit

from benefits.providers.http import Outgoing


async def cut(outgoing: Outgoing, *, left_out: int = 0) -> None:
    """Write a request but for its last bytes, then drop the connection; OSError without one."""
    parts = urlsplit(outgoing.url)
    is_tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "host": parts.netloc.rpartition("@")[2],
        "content-length": str(len(outgoing.body)),
        **outgoing.headers,
    }
    lines = [f"{outgoing.method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    content = "\r\n".join((*lines, "", "")).encode() + outgoing.body
    _, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if is_tls else 80), ssl=is_tls or None
    )
    try:
        writer.write(content[: len(content) - left_out])
        await writer.drain()
    finally:
        writer.close()
