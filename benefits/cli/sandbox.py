"""The command that runs a provider which misbehaves."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from benefits import logs, process, settings
from benefits.domain.programme import Dialect
from benefits.providers.wechat_pay import BusifavorSecrets, ProductCouponSecrets
from benefits.sandbox import server, wechat
from benefits.sandbox.behaviour import EXPLAINED, Behaviour
from benefits.sandbox.line import serve
from benefits.sandbox.server import SandboxSettings
from benefits.sandbox.wechat import WechatSandboxSettings
from benefits.sandbox.wechat_busifavor import BusifavorSandbox
from benefits.sandbox.wechat_keys import make_or_read
from benefits.sandbox.wechat_product_coupon import ProductCouponSandbox

PORT = click.IntRange(1, 65535)
_WECHAT = {
    Dialect.WECHAT_BUSIFAVOR.value: (BusifavorSandbox, BusifavorSecrets),
    Dialect.WECHAT_PRODUCT_COUPON.value: (ProductCouponSandbox, ProductCouponSecrets),
}


def _listed(explained: Mapping[Behaviour, str]) -> str:
    return "\n".join(f"{one.value:22} {words}" for one, words in explained.items())


SANDBOX_HELP = f"""\
Run a provider that has the faults of real ones, by default one of the contract `open`.

Example: `benefits sandbox --callback-url http://127.0.0.1:8080/callbacks/sandbox`

With `--dialect wechat_busifavor` it is WeChat Pay with its merchant coupons, and with
`--dialect wechat_product_coupon` with product coupons, of the brand 120344. Its keys lie in
`--keys`, made when there are none: `provider_secrets` there is what the service reads by
BENEFITS_PROVIDER_SECRETS_FILE, for the provider that the callback URL ends in.

\b
Behaviours of `open`:
{_listed(EXPLAINED)}

\b
Behaviours of WeChat:
{_listed(wechat.EXPLAINED)}
"""


@click.command(help=SANDBOX_HELP)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, type=PORT, show_default=True)
@click.option("--callback-url", required=True, help="Where the service takes callbacks.")
@click.option("--database", default=":memory:", show_default=True, help="SQLite file of its book.")
@click.option(
    "--behaviour",
    type=click.Choice([b.value for b in Behaviour]),
    default=Behaviour.MIXED.value,
    show_default=True,
    metavar="NAME",
    help="How it treats orders; see above.",
)
@click.option(
    "--dialect",
    type=click.Choice([Dialect.OPEN.value, *_WECHAT]),
    default=Dialect.OPEN.value,
    show_default=True,
    help="What it speaks.",
)
@click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the keys of WeChat.",
)
def sandbox(**options: Any) -> None:
    """Run a provider (its help is SANDBOX_HELP, made from the tables of behaviours)."""
    logs.configure()
    dialect, keys = options.pop("dialect"), options.pop("keys")
    options["behaviour"] = Behaviour(options["behaviour"])
    is_open = dialect == Dialect.OPEN.value
    run = _open(options) if is_open else _wechat(dialect, options, keys)

    async def until_stopped(stop: asyncio.Event) -> None:
        served = asyncio.create_task(run())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({served, stopped}, return_when=asyncio.FIRST_COMPLETED)
        served.cancel()
        stopped.cancel()
        await asyncio.gather(served, stopped, return_exceptions=True)

    process.bind(options["host"], options["port"]).close()
    asyncio.run(process.until_stopped(until_stopped))


Run = Callable[[], Coroutine[Any, Any, None]]


def _open(options: Mapping[str, Any]) -> Run:
    known = settings.read_provider_secrets(os.environ).get("sandbox", ())
    made = SandboxSettings(secrets=known if isinstance(known, tuple) else (), **options)
    return lambda: server.run(made)


def _wechat(dialect: str, options: Mapping[str, Any], keys: Path | None) -> Run:
    if keys is None:
        raise click.UsageError(f"--dialect {dialect} needs --keys, the folder of its keys")
    if options["behaviour"] not in wechat.EXPLAINED:
        raise click.UsageError(f"this behaviour is none of {dialect}: see --help")
    code = options["callback_url"].rstrip("/").rpartition("/")[2]
    sandbox, secrets = _WECHAT[dialect]
    try:
        made = WechatSandboxSettings(keys=make_or_read(keys, code, secrets), **options)
    except (LookupError, ValueError) as error:
        raise click.UsageError(f"--keys {keys}: {error}") from None
    return lambda: serve(sandbox(made).application(), made.host, made.port)
