"""The command that proves, against a provider's endpoint, that it keeps its contract."""

import asyncio
import os
import secrets
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import msgspec
import rich_click as click

from benefits import VERSION, settings
from benefits.certify.bench import Bench, Setup, Ways
from benefits.certify.checks import CHECKS, Check, certify
from benefits.certify.kinds import KINDS, Trial
from benefits.certify.report import Finding, Report, Verdict, passed, shown_url
from benefits.cli.console import console
from benefits.cli.files import DOCUMENT, whole
from benefits.domain.orders import Callbacks
from benefits.domain.programme import Provider
from benefits.domain.programme_file import read
from benefits.domain.refusal import Refusal
from benefits.domain.wechat_problems import provider_problems
from benefits.process import bind
from benefits.providers.client import LOOPBACK, Client
from benefits.providers.dialects import dialect_of
from benefits.providers.secrets import ProviderSecrets
from benefits.providers.wechat_coupons import CouponCodes

NAMES = [check.name for check in CHECKS]
NOBODY = "-"
SECONDS = click.FloatRange(0.01, 86_400)

CERTIFY_HELP = """\
Prove by named checks that a provider keeps its contract, against its own endpoint.

Orders are made for test recipients, some forty of them, and several are used and taken back:
let the endpoint be that of a test system. Secrets are read as the service reads them, from
BENEFITS_PROVIDER_SECRETS or the file that BENEFITS_PROVIDER_SECRETS_FILE names; private networks
from BENEFITS_ALLOWED_NETWORKS. The status is 0 when every check held that was not skipped, 1 when
one did not or all were skipped, 2 when nothing could be certified.

Example: `benefits certify --dialect open --url http://127.0.0.1:8090 --listen 127.0.0.1:8080`

With `--programme FILE --provider CODE` the provider is certified as a programme has it. Each
`--set` is a line of its table there: `--set capabilities.two_phase=true`.

\b
Checks:
"""


def _listed() -> str:
    return "\n".join(f"{check.name:18} {check.promise}" for check in CHECKS)


@click.command("certify", help=CERTIFY_HELP + _listed())
@click.option("--dialect", type=click.Choice([kind.value for kind in KINDS]), default=None)
@click.option("--url", default=None, help="Where the provider is.")
@click.option("--programme", type=DOCUMENT, help="A programme that has it.")
@click.option("--provider", default=None, help="Its code, there and among the secrets.")
@click.option("--set", "lines", multiple=True, metavar="LINE", help="A line of its table.")
@click.option("--listen", default=None, metavar="HOST:PORT", help="Where to take callbacks.")
@click.option("--callback-url", default=None, help="Where the provider sends them.")
@click.option("--sku", default=None, help="What is ordered.")
@click.option("--recipient", multiple=True, metavar="FIELD=TEXT", help="For whom.")
@click.option("--other-recipient", multiple=True, metavar="FIELD=TEXT", help="For whom as well.")
@click.option("--refused-recipient", multiple=True, metavar="FIELD=TEXT", help="Whom it refuses.")
@click.option("--using-recipient", multiple=True, metavar="FIELD=TEXT", help="Who uses it there.")
@click.option(
    "--partly-using-recipient", multiple=True, metavar="FIELD=TEXT", help="Who uses a part of it."
)
@click.option("--payment", default=None, help="At which payment it is used.")
@click.option(
    "--check", "only", multiple=True, type=click.Choice(NAMES), metavar="NAME", help="Only this."
)
@click.option(
    "--within",
    "within_s",
    default=120.0,
    type=SECONDS,
    show_default=True,
    help="Seconds that a decision or a callback may take.",
)
@click.option(
    "--every",
    "poll_s",
    default=1.0,
    type=SECONDS,
    show_default=True,
    help="Seconds between questions.",
)
@click.option(
    "--quiet",
    "quiet_s",
    default=5.0,
    type=SECONDS,
    show_default=True,
    help="Seconds without a callback that was acknowledged.",
)
@click.option("--json", "file", type=click.File("wb"), help="Where to write the report.")
def certify_(only: tuple[str, ...], file: BinaryIO | None, **options: Any) -> None:
    """Certify a provider (its help is CERTIFY_HELP and the list of checks)."""
    checks = [check for check in CHECKS if not only or check.name in only]
    try:
        known = settings.read_provider_secrets(os.environ)
        wanted = _wanted(_config(options, known), options, known)
        report = asyncio.run(_certified(wanted, checks))
    except Refusal as refusal:
        raise click.UsageError(f"{refusal.code}: {refusal.detail}") from None
    if file is not None:
        file.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    sys.exit(0 if report.passed else 1)


class Wanted(NamedTuple):
    """Whom to certify, with which secrets, and where to listen for callbacks."""

    setup: Setup
    secrets: ProviderSecrets
    listen: tuple[str, int] | None
    callback_url: str


def _wanted(
    config: Provider, options: Mapping[str, Any], known: Mapping[str, ProviderSecrets]
) -> Wanted:
    held = known.get(config.code)
    if held is None or not isinstance(held, KINDS[config.dialect].holds):
        what = "no secrets" if held is None else "secrets of another dialect"
        raise click.UsageError(f"BENEFITS_PROVIDER_SECRETS holds {what} for {config.code!r}")
    listen = None if options["listen"] is None else _address(options["listen"])
    if listen is None and config.capabilities.callbacks is not Callbacks.NONE:
        raise click.UsageError(
            "it calls back: give --listen, or say --set 'capabilities.callbacks=\"NONE\"'"
        )
    trial = _trial(KINDS[config.dialect].trial, options)
    waits = {name: options[name] for name in ("within_s", "poll_s", "quiet_s")}
    url = options["callback_url"] or f"http://{options['listen']}/callbacks/{config.code}"
    return Wanted(Setup(config=config, trial=trial, **waits), held, listen, url)


def _config(options: Mapping[str, Any], known: Mapping[str, ProviderSecrets]) -> Provider:
    """Return the provider's entry: of a programme, or made of options."""
    code = options["provider"] or (next(iter(known)) if len(known) == 1 else None)
    if code is None:
        raise click.UsageError("give --provider: BENEFITS_PROVIDER_SECRETS has none, or several")
    entry: dict[str, Any] = {"code": code, "name": {}}
    if options["programme"] is not None:
        found = read(whole(options["programme"])).providers.get(code)
        if found is None:
            raise click.UsageError(f"the programme has no provider {code!r}: give --provider")
        entry = msgspec.to_builtins(found)
    entry |= {name: options[name] for name in ("dialect", "url") if options[name] is not None}
    if "dialect" not in entry:
        raise click.UsageError("give --dialect and --url, or --programme")
    try:
        _merge(entry, tomllib.loads("\n".join(options["lines"])))
        config = msgspec.convert(entry, Provider)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise click.UsageError(f"--set: {error}") from None
    _check(config)
    return config


def _check(config: Provider) -> None:
    """Refuse an entry that nobody can be called by."""
    if config.dialect not in KINDS:
        raise click.UsageError(f"of the dialect {config.dialect.value} nobody is called")
    try:
        parts = urlsplit(config.url)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise click.UsageError("--url must be like https://provider.example/api")
    for problem in provider_problems(config.code, config):
        raise click.UsageError(f"{problem} (--programme, or --set)")


def _merge(entry: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(entry.get(name), dict):
            _merge(entry[name], value)
        else:
            entry[name] = value


def _trial(trial: Trial, options: Mapping[str, Any]) -> Trial:
    given: dict[str, Any] = {
        name: options[name] for name in ("sku", "payment") if options[name] is not None
    }
    for name in (one for one in Trial.__struct_fields__ if one.endswith("recipient")):
        pairs = [text.partition("=") for text in options[name] if text != NOBODY]
        if not all(field and sign for field, sign, _ in pairs):
            option = f"--{name.replace('_', '-')}"
            raise click.BadParameter("write it like phone=13800001234", param_hint=option)
        if options[name]:
            given[name] = {field: text for field, _, text in pairs}
    return msgspec.structs.replace(trial, **given)


def _address(text: str) -> tuple[str, int]:
    host, sign, port = text.rpartition(":")
    if not (sign and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise click.BadParameter("write it like 127.0.0.1:8080", param_hint="--listen")
    return host.strip("[]"), int(port)


async def _certified(wanted: Wanted, checks: Sequence[Check]) -> Report:
    config = wanted.setup.config
    networks = (*settings.read_allowed_networks(os.environ), *LOOPBACK)
    began_at = datetime.now(UTC)
    async with Client(networks) as client:
        ways = Ways(client, lambda: datetime.now(UTC), lambda: secrets.token_hex(16))
        # Codes that we name are of this run: no number that is shown tells one.
        speak = partial(dialect_of, config, codes=CouponCodes(secrets.token_bytes(32)))
        on = Bench(wanted.setup, speak, wanted.secrets, ways)
        if why := await on.unreachable():
            raise click.UsageError(f"{shown_url(config)}: {why}")
        findings = await _listening(on, wanted, checks)
    console.print(_sum(findings))
    return Report(
        product=VERSION,
        dialect=config.dialect.value,
        provider=config.code,
        url=shown_url(config),
        capabilities=msgspec.to_builtins(config.capabilities),
        began_at=began_at,
        ended_at=datetime.now(UTC),
        passed=passed(findings),
        findings=findings,
    )


async def _listening(on: Bench, wanted: Wanted, checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Run the checks, and listen meanwhile where callbacks are declared."""
    console.print(f"Certifying {wanted.setup.config.code} at {shown_url(wanted.setup.config)}.")
    if wanted.listen is None:
        return await certify(on, checks, _say)
    console.print(f"Callbacks are expected at {wanted.callback_url}.")
    async with on.inbox.serve(bind(*wanted.listen), wanted.callback_url):
        return await certify(on, checks, _say)


def _say(finding: Finding) -> None:
    line = f"{finding.verdict.value:8} {finding.check:18} {finding.seconds:6.1f} s  {finding.seen}"
    console.print(line)
    if finding.verdict is Verdict.FAIL:
        console.print(f"{'':9}promised: {finding.promise}")
        if finding.orders:
            console.print(f"{'':9}orders: {', '.join(finding.orders)}")


def _sum(findings: Sequence[Finding]) -> str:
    counts = [sum(one.verdict is verdict for one in findings) for verdict in Verdict]
    return "{} checks: {} passed, {} failed, {} skipped.".format(len(findings), *counts)
