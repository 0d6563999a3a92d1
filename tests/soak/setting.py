"""The installation of a soak: a programme of every way, members with units, callers with keys."""

import io
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from benefits.actions.import_codes import Sent, import_codes
from benefits.actions.keys import make_key
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.house import real_clock
from benefits.sandbox.wechat_keys import make_or_read
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import ensure_partitions
from tests.actions.life import gift, give, said
from tests.builders import MEMBER_KEY, World
from tests.sandbox import stage
from tests.sandbox.bank import HEAD
from tests.simulation import ways
from tests.simulation.ways import WAYS, Patience
from tests.soak.load import COFFEE

MEMBERS = 40
UNITS = 100
PATIENCE = Patience(deadline=2, grace=30, schedule=(1, 1, 2, 2, 4, 8, 15, 15, 15, 15))
_COFFEE = f"""
[[provider]]
code = "{COFFEE}"
name = {{ zh = "咖啡", en = "Coffee" }}
dialect = "code_pool"

[[benefit]]
code = "{COFFEE}"
name = {{ zh = "咖啡", en = "Coffee" }}
kind = "CODE_STOCK"
provider = "{COFFEE}"
sku = "LATTE"
cost = "1.00"
consumed = "ISSUE"
budget = "faults"
"""


class Setting(NamedTuple):
    """What was set up: how to see it, who may call, and what processes are told."""

    world: World
    members: list[UUID]
    keys: dict[str, str]
    environ: dict[str, str]


def programme(urls: Mapping[str, str]) -> Programme:
    """Return the programme of a soak, whose providers are at URLs by code."""
    return read(HEAD + "".join(ways.text(way, urls[way.code], PATIENCE) for way in WAYS) + _COFFEE)


async def made(dsn: str, books: Path, urls: Mapping[str, str]) -> Setting:
    """Set up a migrated database for providers at URLs, whose books lie in a folder."""
    secret_key = os.urandom(32)
    world = World(connect(dsn, pool_size=4), envelope=Envelope([secret_key]), clock=real_clock)
    await ensure_partitions(world.database, real_clock())
    await world.apply(programme(urls))
    members = await world.members(MEMBERS)
    for benefit in (*(way.code for way in WAYS), COFFEE):
        gifts = [gift(one, benefit, quantity=UNITS, valid_days=300) for one in members]
        assert {"ok"} == {said(one) for one in await give(world, *gifts)}
    codes = "\n".join(["code", *(f"C{n:06d}" for n in range(MEMBERS * UNITS))])
    stock = Sent(
        provider=COFFEE, sku="LATTE", batch="B1", cost=Decimal("1.00"), cost_centre="soak"
    )
    await import_codes(
        world.database, world.parts, stock, io.StringIO(codes), progress=lambda _: None
    )
    async with world.database.transaction() as conn:
        keys = {
            scope: await make_key(conn, f"soak-{scope}", [scope], world.parts)
            for scope in ("mobile", "crm", "operator")
        }
    return Setting(world, members, keys, _environ(dsn, secret_key, _secrets(books)))


def _secrets(books: Path) -> dict[str, Any]:
    """Return what we share with the providers; keys are made where there are none."""
    return {
        way.code: msgspec.to_builtins(
            make_or_read(books / f"{way.code}.keys", way.code, way.holds).merchant
        )
        if way.is_wechat
        else [stage.SECRET]
        for way in WAYS
    }


def _environ(dsn: str, secret_key: bytes, secrets: dict[str, Any]) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if "BENEFITS_" not in name}
    return {
        **mine,
        "BENEFITS_DATABASE_URL": dsn,
        "BENEFITS_MEMBER_KEY": MEMBER_KEY.hex(),
        "BENEFITS_SECRET_KEYS": secret_key.hex(),
        "BENEFITS_PROVIDER_SECRETS": json.dumps(secrets),
        "BENEFITS_RATE_FAILED": "off",  # forged callbacks come from where the true ones do
        "BENEFITS_RATE_CALLER": "off",
        "BENEFITS_RATE_MEMBER": "off",
    }
