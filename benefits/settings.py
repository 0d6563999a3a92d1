"""The settings: what the environment says, and the keys that a data folder keeps.

Every `BENEFITS_X` may be given as `BENEFITS_X_FILE`, a path whose content is the value; an empty
one is one not given. A refusal names the variable and never repeats a secret; no repr here shows
one. The files of the keys hold the very words of the variables, so that
`BENEFITS_MEMBER_KEY_FILE=<data folder>/keys/member_key` works.
"""

import base64
import contextlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from benefits.domain.checkpoints import PublicKey, parse_key
from benefits.domain.rates import Quota
from benefits.domain.refusal import Refusal
from benefits.domain.tokens import ALGORITHMS, Issuer
from benefits.domain.values import OnFinding
from benefits.providers import secrets as provider_keys
from benefits.providers.secrets import ProviderSecrets
from benefits.web.rates import Quotas

_KEY_BYTES = 32
_ALIAS = re.compile("[a-z0-9-]{1,20}")
_LEEWAY_MAX_S = 300
_LOGINS = ("migrator", "runtime", "auditor", "reader")
_LEAST = 16  # characters of a role's password, which a program makes and no person types
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how a provider secret begins, after Standard Webhooks


class SettingRefused(Refusal):
    """A setting is missing or wrong."""

    code: ClassVar[str] = "setting_refused"
    words: ClassVar[str] = "a setting is missing or wrong"


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """What must stay secret: the key of the member ids, the keys that seal, providers' secrets.

    The first of `secret_keys` seals, all of them open. `provider_secrets` go by provider code.
    `seal_key` signs checkpoints, where they are signed.
    """

    member_key: bytes
    secret_keys: tuple[bytes, ...]
    provider_secrets: Mapping[str, ProviderSecrets]
    seal_key: bytes | None = None

    def __repr__(self) -> str:
        """Show nothing."""
        return "Keys(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show nothing to rich either."""
        return []


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to know; `load` reads it from the environment."""

    database_url: str
    keys: Keys
    host: str = "127.0.0.1"
    port: int = 8080
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    pool_size: int = 8
    drain_s: int = 0
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    otlp_endpoint: str = ""
    trace_ratio: float = 1.0
    issuers: tuple[Issuer, ...] = ()
    quotas: Quotas = Quotas()
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    checkpoints: str = ""
    seal_public_keys: tuple[PublicKey, ...] = ()
    on_finding: OnFinding = "read_only"

    def __repr__(self) -> str:
        """Show what is not secret."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Settings({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show what is not secret; the URLs of database and collector may hold a password."""
        secret = {"database_url", "keys", "otlp_endpoint", "checkpoints"}
        names = (name for name in self.__struct_fields__ if name not in secret)
        return [(name, getattr(self, name)) for name in names]


def load(
    environ: Mapping[str, str], *, database_url: str | None = None, keys: Keys | None = None
) -> Settings:
    """Read the settings; `database_url` and `keys` are taken instead of the environment's."""
    return Settings(
        database_url=read_database_url(environ) if database_url is None else database_url,
        keys=_keys(environ) if keys is None else keys,
        host=_value(environ, "BENEFITS_HOST") or "127.0.0.1",
        port=_number(environ, "BENEFITS_PORT", 8080, range(65536)),
        allowed_networks=_networks(environ, "BENEFITS_ALLOWED_NETWORKS"),
        pool_size=_number(environ, "BENEFITS_POOL_SIZE", 8, range(2, 1001)),
        drain_s=_number(environ, "BENEFITS_DRAIN_S", 0, range(3601)),
        metrics_host=_value(environ, "BENEFITS_METRICS_HOST") or "127.0.0.1",
        metrics_port=_number(environ, "BENEFITS_METRICS_PORT", 0, range(65536)),
        otlp_endpoint=_http_url(environ, "BENEFITS_OTLP_ENDPOINT"),
        trace_ratio=_ratio(environ, "BENEFITS_TRACE_RATIO"),
        issuers=_issuers(environ, "BENEFITS_ISSUERS"),
        quotas=Quotas(
            caller=_quota(environ, "BENEFITS_RATE_CALLER", Quotas().caller),
            member=_quota(environ, "BENEFITS_RATE_MEMBER", Quotas().member),
            failed=_quota(environ, "BENEFITS_RATE_FAILED", Quotas().failed),
        ),
        proxies=_networks(environ, "BENEFITS_PROXIES"),
        checkpoints=_checkpoints(environ, "BENEFITS_CHECKPOINTS"),
        seal_public_keys=_public_keys(environ, "BENEFITS_SEAL_PUBLIC_KEYS"),
        on_finding=_on_finding(environ, "BENEFITS_ON_FINDING"),
    )


def read_database_url(environ: Mapping[str, str]) -> str:
    """Read BENEFITS_DATABASE_URL alone: all that a migration needs."""
    return _url(environ, "BENEFITS_DATABASE_URL")


def read_admin_url(environ: Mapping[str, str]) -> str:
    """Read BENEFITS_ADMIN_URL: as whom the database's roles are made."""
    return _url(environ, "BENEFITS_ADMIN_URL")


def read_role_passwords(environ: Mapping[str, str]) -> dict[str, str]:
    """Read BENEFITS_ROLE_PASSWORDS: `{"runtime": "...", ...}`, those there are."""
    name = "BENEFITS_ROLE_PASSWORDS"
    try:
        found = msgspec.json.decode(_value(environ, name) or "{}", type=dict[str, str])
    except msgspec.DecodeError:
        raise SettingRefused(f'{name} must be like {{"runtime": "..."}}') from None
    for role, password in found.items():
        if role not in _LOGINS:
            raise SettingRefused(f"{name} names a role that is none of: {', '.join(_LOGINS)}")
        if not (password.isascii() and password.isprintable() and len(password) >= _LEAST):
            raise SettingRefused(
                f"{name}: the password of {role} has not {_LEAST} or more printable characters "
                "of ASCII"
            )
    return found


def _url(environ: Mapping[str, str], name: str) -> str:
    """Read the URL of a database."""
    value = _required(environ, name)
    if not value.startswith("postgresql://"):
        raise SettingRefused(f"{name} must begin with postgresql://")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise SettingRefused(f"{name} is not a URL, or its port is not a number") from None
    if len(parts.path) < 2:
        raise SettingRefused(f"{name} names no database: postgresql://user@host/database")
    return value


def override(given: Settings, *, host: str | None, port: int | None) -> Settings:
    """Return the settings with what a command's options say instead."""
    return msgspec.structs.replace(given, host=host or given.host, port=port or given.port)


def read_private(path: Path) -> str:
    """Read a file that nobody else may read (SettingRefused)."""
    try:
        if path.stat().st_mode & 0o077:
            raise SettingRefused(f"{path} can be read by others: chmod 600 {path}")
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingRefused(f"{path} cannot be read: {type(error).__name__}") from None


def read_member_key(environ: Mapping[str, str]) -> bytes:
    """Read BENEFITS_MEMBER_KEY alone: what a migration stamps a new database with."""
    name = "BENEFITS_MEMBER_KEY"
    return _key(name, _required(environ, name))


def read_provider_secrets(environ: Mapping[str, str]) -> dict[str, ProviderSecrets]:
    """Read BENEFITS_PROVIDER_SECRETS alone: all that a sandbox shares with the service."""
    return _provider_secrets(environ, "BENEFITS_PROVIDER_SECRETS")


def read_allowed_networks(environ: Mapping[str, str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read BENEFITS_ALLOWED_NETWORKS alone: where a provider may live that is certified."""
    return _networks(environ, "BENEFITS_ALLOWED_NETWORKS")


def make_or_read_keys(data_folder: Path) -> Keys:
    """Read the keys of a data folder, after making those it has not: random, in files of 0600.

    Losing `keys/member_key` loses the way from customers to their ids: it belongs in the backup.
    """
    folder = data_folder / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    webhook = _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    fresh = {
        "member_key": base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode(),
        "secret_keys": base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode(),
        "provider_secrets": json.dumps({"sandbox": [webhook]}),
        "seal_key": base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode(),
    }
    environ = {}
    for name, value in fresh.items():
        path = folder / name
        keep_first(path, value)
        if path.stat().st_mode & 0o077:
            raise SettingRefused(f"{path} can be read by others: chmod 600 {path}")
        environ[f"BENEFITS_{name.upper()}_FILE"] = str(path)
    return _keys(environ)


def read_books_keys(environ: Mapping[str, str]) -> Keys:
    """Read the keys of who only reads the books: nothing sealed can be opened with them."""
    seal = _value(environ, "BENEFITS_SEAL_KEY")
    return Keys(
        member_key=read_member_key(environ),
        secret_keys=(),
        provider_secrets={},
        seal_key=_key("BENEFITS_SEAL_KEY", seal) if seal else None,
    )


def _keys(environ: Mapping[str, str]) -> Keys:
    """Read the keys."""
    name = "BENEFITS_SECRET_KEYS"
    words = _required(environ, name).replace(",", " ").split()
    if not words:
        raise SettingRefused(f"{name} holds no key")
    return msgspec.structs.replace(
        read_books_keys(environ),
        secret_keys=tuple(_key(name, word) for word in words),
        provider_secrets=_provider_secrets(environ, "BENEFITS_PROVIDER_SECRETS"),
    )


def _value(environ: Mapping[str, str], name: str) -> str:
    """Read a variable, or the file that its `_FILE` names; empty when there is neither."""
    value, path = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if not path:
        return value
    if value:
        raise SettingRefused(f"both {name} and {name}_FILE are given: give one")
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingRefused(f"{name}_FILE: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingRefused(f"{name}_FILE: {path} is not text in UTF-8") from None


def _required(environ: Mapping[str, str], name: str) -> str:
    """Read a variable that must be given."""
    if value := _value(environ, name):
        return value
    raise SettingRefused(f"{name} is not set, and {name}_FILE neither")


def _number(environ: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    """Read a whole number."""
    value = _value(environ, name)
    if not value:
        return default
    if value.isascii() and value.isdecimal() and int(value) in allowed:
        return int(value)
    hint = ""
    if value.startswith("tcp://"):
        hint = " (Kubernetes set it for a service of this name: enableServiceLinks: false)"
    raise SettingRefused(f"{name} must be from {allowed[0]} to {allowed[-1]}{hint}")


def _http_url(environ: Mapping[str, str], name: str) -> str:
    """Read the address of an HTTP server; empty when there is none."""
    value = _value(environ, name)
    if value and not value.startswith(("http://", "https://")):
        raise SettingRefused(f"{name} must begin with http:// or https://")
    return value


def _ratio(environ: Mapping[str, str], name: str) -> float:
    """Read a share of everything, like 0.1; all of it when it is not given."""
    value = _value(environ, name) or "1"
    try:
        ratio = float(value)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise SettingRefused(f"{name} must be a number from 0 to 1")
    return ratio


def _on_finding(environ: Mapping[str, str], name: str) -> OnFinding:
    """Read what is done when the books are wrong at the start."""
    try:
        found: OnFinding = msgspec.convert(_value(environ, name) or "read_only", OnFinding)
    except msgspec.ValidationError:
        raise SettingRefused(f"{name} must be read_only or refuse") from None
    return found


def _networks(environ: Mapping[str, str], name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read networks like `10.1.0.0/16, fd00::/8`."""
    try:
        return tuple(ip_network(word) for word in _value(environ, name).replace(",", " ").split())
    except ValueError as error:
        raise SettingRefused(f"{name}: {error}; write networks like 10.1.0.0/16") from None


def _key(name: str, value: str) -> bytes:
    """Read a key of 32 bytes: in hex (64 characters), or base64 in either alphabet."""
    try:
        key = bytes.fromhex(value) if len(value) == 64 else _base64(value)
    except ValueError:
        raise SettingRefused(f"{name} holds a key that is neither base64 nor hex") from None
    if len(key) != _KEY_BYTES:
        raise SettingRefused(f"{name} holds a key of {len(key)} bytes; a key has {_KEY_BYTES}")
    return key


def _checkpoints(environ: Mapping[str, str], name: str) -> str:
    """Read where checkpoints go: an absolute path, or an address; empty when nowhere."""
    value = _value(environ, name)
    if not value or Path(value).is_absolute() or _is_safe(value):
        return value
    raise SettingRefused(
        f"{name} must be an absolute path or https:// (or http:// on this machine, for a demo)"
    )


def _public_keys(environ: Mapping[str, str], name: str) -> tuple[PublicKey, ...]:
    """Read public keys, as `benefits seal-key` prints them."""
    try:
        return tuple(map(parse_key, _value(environ, name).replace(",", " ").split()))
    except ValueError:
        raise SettingRefused(f"{name} holds what is no word of `benefits seal-key`") from None


def _provider_secrets(environ: Mapping[str, str], name: str) -> dict[str, ProviderSecrets]:
    """Read `{"provider code": ["whsec_...", ...], ...}`, or what another dialect needs."""
    try:
        return provider_keys.decode(_value(environ, name) or "{}")
    except ValueError as error:
        raise SettingRefused(f"{name} {error}") from None


def _quota(environ: Mapping[str, str], name: str, default: Quota | None) -> Quota | None:
    """Read `<requests>/<seconds>`, or `off`."""
    value = _value(environ, name).strip()
    if not value:
        return default
    if value == "off":
        return None
    requests, slash, window = value.partition("/")
    figures = [part for part in (requests, window) if part.isascii() and part.isdecimal()]
    if slash and len(figures) == 2 and all(0 < int(part) < 10**9 for part in figures):
        return Quota(int(requests), int(window))
    raise SettingRefused(f"{name} must be like 120/60 (requests/seconds), or off")


def _issuers(environ: Mapping[str, str], name: str) -> tuple[Issuer, ...]:
    """Read `[{"issuer": …, "alias": …, "audience": …, "algorithms": […], "jwks_url": …}, …]`."""
    value = _value(environ, name) or "[]"
    try:
        found = msgspec.json.decode(value, type=tuple[Issuer, ...])
    except msgspec.DecodeError as error:
        raise SettingRefused(f"{name} is not a list of issuers: {error}") from None
    for place, issuer in enumerate(found):
        if wrong := _wrong(issuer):
            raise SettingRefused(f"{name}[{place}]: {wrong}")
    for what in ("issuer", "alias"):
        if len({getattr(issuer, what) for issuer in found}) < len(found):
            raise SettingRefused(f"{name}: two have the same {what}")
    return found


def _wrong(issuer: Issuer) -> str:
    """Return what is wrong with an issuer's configuration, if anything is."""
    times = (issuer.max_age_s, issuer.refetch_s, issuer.keep_s)
    if not (issuer.issuer and issuer.audience):
        return "issuer and audience must not be empty"
    if not _ALIAS.fullmatch(issuer.alias) or issuer.alias == "system":
        return "alias must be 1 to 20 of a-z, 0-9 and hyphens, and not system"
    if not issuer.algorithms or not set(issuer.algorithms) <= ALGORITHMS.keys():
        return f"algorithms must be of {', '.join(sorted(ALGORITHMS))}: no secret is shared"
    if bool(issuer.jwks_url) == bool(issuer.jwks_file):
        return "give either jwks_url or jwks_file"
    if issuer.jwks_url and not _is_safe(issuer.jwks_url):
        return "jwks_url must be https:// (or http:// on this machine, for a demo)"
    if min(times) < 1 or not 0 <= issuer.leeway_s <= _LEEWAY_MAX_S:
        return f"times are 1 second or more, leeway_s from 0 to {_LEEWAY_MAX_S}"
    return ""


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
        if parts.scheme == "http":
            return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
    return parts.scheme == "https" and bool(host) and parts.username is None


def _base64(word: str) -> bytes:
    """Decode base64 of either alphabet, padded or not; ValueError when it is none."""
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def keep_first(path: Path, value: str) -> None:
    """Write a file of mode 0600 whole or not at all, unless there is one."""
    if path.exists():
        return
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent)  # O_EXCL, 0600
    try:
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(f"{value}\n")
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)  # unlike a rename, it never replaces a key
    finally:
        Path(unfinished).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
