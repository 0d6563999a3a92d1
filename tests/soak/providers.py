"""The providers of a soak as one process: every dialect, each order with a fault of its own.

    python -m tests.soak.providers FOLDER URL BEHAVIOUR PORT...

Their books lie in the folder and survive it; callbacks go to the URL.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.line import serve
from benefits.sandbox.server import SandboxSettings, make_app
from benefits.sandbox.wechat import WechatSandboxSettings
from benefits.sandbox.wechat_keys import make_or_read
from tests.sandbox import stage
from tests.simulation.ways import WAYS


def desks(folder: Path, url: str, behaviour: Behaviour, ports: Sequence[int]) -> list[Any]:
    """Return what serves the ways, in their order."""
    made = list[Any]()
    busy_s = 0.0 if behaviour is Behaviour.GOOD else 5.0  # how long a number is turned away
    for way, port in zip(WAYS, ports, strict=True):
        common: dict[str, Any] = {
            "port": port,
            "behaviour": behaviour,
            "database": str(folder / way.code),
            "callback_url": f"{url}/callbacks/{way.code}",
            "slow_s": 1.0,
            "hang_s": 4.0,
            "drip_s": 0.2,
            "late_s": 10.0,
        }
        if way.is_wechat:
            keys = make_or_read(folder / f"{way.code}.keys", way.code, way.holds)
            coupons = WechatSandboxSettings(keys=keys, retry_s=2.0, busy_s=busy_s, **common)
            made.append(way.sandbox(coupons).application())
        else:
            secrets, retry_s = (stage.SECRET,), (1.0, 2.0, 5.0)
            made.append(make_app(SandboxSettings(secrets=secrets, retry_s=retry_s, **common)))
    return made


async def main(folder: Path, url: str, behaviour: Behaviour, ports: list[int]) -> None:
    """Serve all of them until killed."""
    each = zip(desks(folder, url, behaviour, ports), ports, strict=True)
    await asyncio.gather(*(serve(desk, "127.0.0.1", port) for desk, port in each))


if __name__ == "__main__":
    place, callbacks, temper, *numbers = sys.argv[1:]
    asyncio.run(main(Path(place), callbacks, Behaviour(temper), [int(n) for n in numbers]))
