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
import secrets
import tempfile
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from benefits.domain.refusal import Refusal
from benefits.domain.signature import parse_secret

_KEY_BYTES = 32
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
    """

    member_key: bytes
    secret_keys: tuple[bytes, ...]
    provider_secrets: dict[str, tuple[str, ...]]

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

    def __repr__(self) -> str:
        """Show what is not secret."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Settings({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show what is not secret; the database's URL may hold a password."""
        shown = ("host", "port", "allowed_networks", "pool_size")
        return [(name, getattr(self, name)) for name in shown]


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
        pool_size=_number(environ, "BENEFITS_POOL_SIZE", 8, range(1, 1001)),
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


def read_member_key(environ: Mapping[str, str]) -> bytes:
    """Read BENEFITS_MEMBER_KEY alone: what a migration stamps a new database with."""
    name = "BENEFITS_MEMBER_KEY"
    return _key(name, _required(environ, name))


def read_provider_secrets(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Read BENEFITS_PROVIDER_SECRETS alone: all that a sandbox shares with the service."""
    return _provider_secrets(environ, "BENEFITS_PROVIDER_SECRETS")


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
    }
    environ = {}
    for name, value in fresh.items():
        path = folder / name
        _keep_first(path, value)
        if path.stat().st_mode & 0o077:
            raise SettingRefused(f"{path} can be read by others: chmod 600 {path}")
        environ[f"BENEFITS_{name.upper()}_FILE"] = str(path)
    return _keys(environ)


def _keys(environ: Mapping[str, str]) -> Keys:
    """Read the keys."""
    name = "BENEFITS_SECRET_KEYS"
    words = _required(environ, name).replace(",", " ").split()
    if not words:
        raise SettingRefused(f"{name} holds no key")
    return Keys(
        member_key=_key("BENEFITS_MEMBER_KEY", _required(environ, "BENEFITS_MEMBER_KEY")),
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


def _provider_secrets(environ: Mapping[str, str], name: str) -> dict[str, tuple[str, ...]]:
    """Read `{"provider code": ["whsec_...", ...], ...}`."""
    value = _value(environ, name) or "{}"
    try:
        found = msgspec.json.decode(value, type=dict[str, tuple[str, ...]])
    except msgspec.DecodeError as error:
        raise SettingRefused(f'{name} must be like {{"code": ["whsec_..."]}}: {error}') from None
    for code, words in found.items():
        if not code or not words:
            raise SettingRefused(f"{name} has a provider without a code, or without a secret")
        if not all(map(_is_webhook_secret, words)):
            raise SettingRefused(
                f"{name}: a secret of {code} is not whsec_ and 24 to 64 bytes in base64"
            )
    return found


def _is_webhook_secret(word: str) -> bool:
    """Tell whether a word is a secret as Standard Webhooks writes it."""
    try:
        parse_secret(word)
    except ValueError:
        return False
    return True


def _base64(word: str) -> bytes:
    """Decode base64 of either alphabet, padded or not; ValueError when it is none."""
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _keep_first(path: Path, value: str) -> None:
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
