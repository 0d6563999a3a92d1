"""The settings come from an environment; what is wrong is named, what is secret not shown."""

import base64
import io
import json
import os
import stat
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rich.console
import rich.pretty
from structlog.testing import capture_logs

from benefits.domain.checkpoints import PublicKey
from benefits.domain.programme import Dialect, Provider
from benefits.domain.rates import Quota
from benefits.providers.dialects import dialect_of
from benefits.providers.secrets import ProviderSecrets
from benefits.providers.wechat_pay import Credentials, ProductCouponSecrets
from benefits.settings import (
    Keys,
    SettingRefused,
    Settings,
    load,
    make_or_read_keys,
    read_database_url,
)
from benefits.web.rates import Quotas
from tests import wechat

KEY = bytes(range(32))
OTHER = bytes(range(100, 132))
WEBHOOK = "whsec_" + base64.b64encode(KEY).decode()
PASSWORD = "hunter2"
GIVEN = {
    "BENEFITS_DATABASE_URL": f"postgresql://app:{PASSWORD}@db.example:5432/benefits",
    "BENEFITS_MEMBER_KEY": base64.b64encode(KEY).decode(),
    "BENEFITS_SECRET_KEYS": base64.urlsafe_b64encode(OTHER).decode(),
}
REQUIRED = sorted(GIVEN)
BANK = {
    "issuer": "https://login.bank.example",
    "alias": "login",
    "audience": "benefits",
    "algorithms": ["ES256"],
    "jwks_url": "https://login.bank.example/jwks.json",
}


def given(**changed: str) -> dict[str, str]:
    """Return an environment that is whole, with changes."""
    return GIVEN | {f"BENEFITS_{name}": value for name, value in changed.items()}


def wechat_settings(**other: Any) -> str:
    """Return the secrets of a merchant of WeChat Pay, with changes."""
    known = msgspec.to_builtins(wechat.secrets())
    return json.dumps({"wx": {**known, **other}})


def refused(environ: dict[str, str]) -> str:
    """Return the words with which an environment is refused."""
    with pytest.raises(SettingRefused) as caught:
        load(environ)
    assert caught.value.code == "setting_refused"
    return caught.value.detail


def test_a_whole_environment_is_read() -> None:
    """Every variable goes to its field."""
    settings = load(
        given(
            HOST="0.0.0.0",
            PORT="80",
            ALLOWED_NETWORKS="10.1.0.0/16, fd00::/8",
            POOL_SIZE="20",
            PROVIDER_SECRETS=json.dumps({"sandbox": [WEBHOOK]}),
        )
    )
    keys = Keys(member_key=KEY, secret_keys=(OTHER,), provider_secrets={"sandbox": (WEBHOOK,)})
    assert settings == Settings(
        database_url=GIVEN["BENEFITS_DATABASE_URL"],
        keys=keys,
        host="0.0.0.0",
        port=80,
        allowed_networks=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
        pool_size=20,
    )


def test_what_is_not_given_has_a_safe_default() -> None:
    """Only this machine may connect, and providers live in no private network."""
    settings = load(GIVEN)
    assert (settings.host, settings.port, settings.pool_size) == ("127.0.0.1", 8080, 8)
    assert settings.allowed_networks == ()
    assert settings.keys.provider_secrets == {}


def test_an_empty_variable_is_one_not_given() -> None:
    """`BENEFITS_PORT=` in a compose file means the default."""
    assert load(given(PORT="", HOST="", ALLOWED_NETWORKS="", PROVIDER_SECRETS="")) == load(GIVEN)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_variable_is_named(name: str) -> None:
    """What must be given has no default."""
    environ = {other: value for other, value in GIVEN.items() if other != name}
    assert refused(environ) == f"{name} is not set, and {name}_FILE neither"


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_variable_may_come_from_a_file(name: str, end: str, tmp_path: Path) -> None:
    """`BENEFITS_X_FILE` is a path; the line's end is no part of the value."""
    path = tmp_path / "value"
    path.write_bytes((GIVEN[name] + end).encode())
    environ = {other: value for other, value in GIVEN.items() if other != name}
    assert load({**environ, f"{name}_FILE": str(path)}) == load(GIVEN)


def test_a_variable_and_its_file_together_are_refused(tmp_path: Path) -> None:
    """Which of the two is meant is not guessed."""
    assert "give one" in refused(given(MEMBER_KEY_FILE=str(tmp_path / "key")))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The refusal names the variable, the path and the reason."""
    path = tmp_path / "missing"
    assert refused(given(HOST_FILE=str(path))) == (
        f"BENEFITS_HOST_FILE: {path} cannot be read: No such file or directory"
    )
    path.write_bytes(b"\xff")
    assert "is not text" in refused(given(HOST_FILE=str(path)))


@pytest.mark.parametrize(
    "written",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode().rstrip("="),
    ],
)
def test_a_key_may_be_hex_or_base64(written: str) -> None:
    """All four ways of writing give the same bytes."""
    assert load(given(MEMBER_KEY=written)).keys.member_key == KEY


def test_secret_keys_keep_their_order() -> None:
    """The first seals, so the order is part of the setting; commas and spaces part them."""
    first, second, third = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in range(3))
    keys = load(given(SECRET_KEYS=f"{first},{second}  {third}\n")).keys
    assert keys.secret_keys == (b"\0" * 32, b"\1" * 32, b"\2" * 32)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DATABASE_URL", f"postgres://app:{PASSWORD}@db/x", "must begin with postgresql://"),
        ("DATABASE_URL", f"postgresql+asyncpg://app:{PASSWORD}@db/x", "must begin with"),
        ("DATABASE_URL", f"postgresql://app:{PASSWORD}@db:port/x", "its port is not a number"),
        ("DATABASE_URL", f"postgresql://app:{PASSWORD}@db", "names no database"),
        ("MEMBER_KEY", PASSWORD, "BENEFITS_MEMBER_KEY holds a key"),
        ("MEMBER_KEY", f"{PASSWORD}!", "neither base64 nor hex"),
        ("MEMBER_KEY", f"{PASSWORD}é", "neither base64 nor hex"),
        ("MEMBER_KEY", "z" * 64, "neither base64 nor hex"),
        ("MEMBER_KEY", base64.b64encode(KEY[:31]).decode(), "of 31 bytes"),
        ("SECRET_KEYS", f"{KEY.hex()} {PASSWORD}", "BENEFITS_SECRET_KEYS holds a key"),
        ("OTLP_ENDPOINT", f"grpc://{PASSWORD}@collector", "must begin with http:// or https://"),
        ("TRACE_RATIO", "1.5", "BENEFITS_TRACE_RATIO must be a number from 0 to 1"),
        ("TRACE_RATIO", "nan", "BENEFITS_TRACE_RATIO must be a number from 0 to 1"),
        ("DRAIN_S", "3601", "BENEFITS_DRAIN_S must be from 0 to 3600"),
        ("METRICS_PORT", "tcp://10.0.0.1:9100", "BENEFITS_METRICS_PORT must be from 0 to 65535"),
        ("SECRET_KEYS", " , ", "holds no key"),
        ("PROVIDER_SECRETS", PASSWORD, "malformed"),
        ("PROVIDER_SECRETS", f'{{"a": "{PASSWORD}"}}', "Expected `object | array`"),
        ("PROVIDER_SECRETS", f'{{"a": {{"{PASSWORD}": 1}}}}', "of no known dialect"),
        ("PROVIDER_SECRETS", f'{{"a": {{"dialect": "{PASSWORD}"}}}}', "of no known dialect"),
        ("PROVIDER_SECRETS", wechat_settings(PASSWORD=PASSWORD), "a field too many"),
        ("PROVIDER_SECRETS", wechat_settings(merchant_key=PASSWORD), "for wx: merchant_key is"),
        ("PROVIDER_SECRETS", wechat_settings(apiv3_keys=[PASSWORD]), "for wx: apiv3_keys must"),
        ("PROVIDER_SECRETS", f'{{"a": ["{PASSWORD}"]}}', "a secret of a is not whsec_"),
        ("PROVIDER_SECRETS", f'{{"a": ["whsec_{PASSWORD}"]}}', "24 to 64 bytes"),
        ("PROVIDER_SECRETS", f'{{"a": ["whsec_{PASSWORD}!"]}}', "24 to 64 bytes"),
        ("PROVIDER_SECRETS", '{"a": []}', "without a secret"),
        ("PORT", "http", "must be from 0 to 65535"),
        ("PORT", "65536", "must be from 0 to 65535"),
        ("PORT", "-1", "must be from 0 to 65535"),
        ("PORT", "٨٠", "must be from 0 to 65535"),
        ("PORT", "tcp://10.0.0.1:8080", "enableServiceLinks"),
        ("POOL_SIZE", "1", "must be from 2"),
        ("ALLOWED_NETWORKS", "10.0.0.1/8", "has host bits set"),
        ("ALLOWED_NETWORKS", "localhost", "write networks like"),
        ("PROXIES", "balancer", "write networks like"),
        ("ISSUERS", PASSWORD, "is not a list of issuers"),
        ("ISSUERS", '[{"issuer": "x"}]', "required field"),
        ("RATE_MEMBER", "fast", "must be like 120/60"),
        ("RATE_MEMBER", "10", "must be like 120/60"),
        ("RATE_CALLER", "0/1", "must be like 120/60"),
        ("RATE_FAILED", "1/-1", "must be like 120/60"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(name: str, value: str, words: str) -> None:
    """The refusal names the variable and what is wrong; the secret stays one."""
    told = refused(given(**{name: value}))
    assert f"BENEFITS_{name}" in told
    assert words in told
    assert PASSWORD not in told


def test_secrets_have_the_form_of_their_dialect() -> None:
    """Beside words there are the keys of a merchant of WeChat Pay, which no repr shows."""
    keys = load(given(PROVIDER_SECRETS=wechat_settings())).keys
    assert {"wx": wechat.secrets()} == keys.provider_secrets
    shown = f"{keys.provider_secrets!r} {Credentials(wechat.secrets())!r}"
    assert "BEGIN" not in shown
    assert wechat.APIV3_KEY not in shown


@pytest.mark.parametrize(
    ("dialect", "fit", "unfit"),
    [
        (Dialect.OPEN, (WEBHOOK,), wechat.secrets()),
        (Dialect.WECHAT_BUSIFAVOR, wechat.secrets(), (WEBHOOK,)),
        (
            Dialect.WECHAT_PRODUCT_COUPON,
            wechat.secrets(ProductCouponSecrets),
            wechat.secrets(),
        ),
    ],
)
def test_a_provider_is_spoken_to_with_secrets_of_its_dialect(
    dialect: Dialect, fit: ProviderSecrets, unfit: ProviderSecrets
) -> None:
    """Where programme and settings do not agree nothing is sent; the log names the provider."""
    provider = Provider(
        code="wx", name={}, dialect=dialect, url=wechat.BASE, wechat=wechat.MERCHANT
    )
    assert hasattr(dialect_of(provider, fit, wechat.CODES), "receive")
    with capture_logs() as lines, pytest.raises(KeyError, match="wx"):
        dialect_of(provider, unfit, wechat.CODES)
    (line,) = lines
    assert ("provider.secrets_of_another_dialect", "wx") == (line["event"], line["provider"])


def test_a_refusal_drags_no_secret_along() -> None:
    """A traceback shows no chained error with the value in it."""
    with pytest.raises(SettingRefused) as caught:
        load(given(MEMBER_KEY=f"{PASSWORD}!"))
    assert caught.value.__suppress_context__


def test_what_is_passed_goes_before_the_environment() -> None:
    """`benefits up` brings its own database and keys, whatever the environment names."""
    keys = Keys(member_key=OTHER, secret_keys=(KEY,), provider_secrets={})
    settings = load(GIVEN, database_url="postgresql:///own", keys=keys)
    assert (settings.database_url, settings.keys) == ("postgresql:///own", keys)
    assert load({}, database_url="postgresql:///own", keys=keys) == settings


def test_the_database_url_can_be_read_alone() -> None:
    """A migration needs no keys."""
    environ = {"BENEFITS_DATABASE_URL": "postgresql://postgres@/x?host=/run/pg&port=5432"}
    assert read_database_url(environ) == environ["BENEFITS_DATABASE_URL"]


def test_no_repr_shows_a_secret() -> None:
    """Neither repr, str nor rich gives a key away."""
    settings = load(given(PROVIDER_SECRETS=json.dumps({"sandbox": [WEBHOOK]})))
    console = rich.console.Console(file=io.StringIO(), width=200)
    console.print(rich.pretty.Pretty(settings), rich.pretty.Pretty(settings.keys))
    assert isinstance(console.file, io.StringIO)
    shown = f"{settings} {settings!r} {settings.keys!r} {[settings]} {console.file.getvalue()}"
    for secret in (PASSWORD, WEBHOOK, repr(KEY)[2:20], repr(OTHER)[2:20]):
        assert secret not in shown
    assert "port=8080" in shown


def test_keys_are_made_once_and_read_again(tmp_path: Path) -> None:
    """The second time the same keys come back; two folders have different ones."""
    keys = make_or_read_keys(tmp_path / "one" / "data")
    assert make_or_read_keys(tmp_path / "one" / "data") == keys
    other = make_or_read_keys(tmp_path / "two")
    assert all(getattr(keys, name) != getattr(other, name) for name in keys.__struct_fields__)
    assert len({keys.member_key, *keys.secret_keys}) == 2
    assert [len(keys.member_key), len(keys.secret_keys[0])] == [32, 32]
    assert list(keys.provider_secrets) == ["sandbox"]


def test_key_files_are_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    """The folder is 0700, each file 0600, whatever the umask."""
    before = os.umask(0)
    try:
        make_or_read_keys(tmp_path)
    finally:
        os.umask(before)
    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    names = ("member_key", "secret_keys", "provider_secrets", "seal_key")
    assert modes == dict.fromkeys(names, 0o600)


def test_key_files_serve_as_settings(tmp_path: Path) -> None:
    """The files are what the `_FILE` variables take, for a service beside the data folder."""
    keys = make_or_read_keys(tmp_path)
    files = (tmp_path / "keys").iterdir()
    environ = {f"BENEFITS_{path.name.upper()}_FILE": str(path) for path in files}
    assert load({**environ, "BENEFITS_DATABASE_URL": "postgresql:///x"}).keys == keys


def test_a_key_that_exists_is_never_replaced(tmp_path: Path) -> None:
    """What is missing is made, what is there stays."""
    keys = make_or_read_keys(tmp_path)
    (tmp_path / "keys" / "secret_keys").unlink()
    again = make_or_read_keys(tmp_path)
    assert again.member_key == keys.member_key
    assert again.secret_keys != keys.secret_keys


def test_a_key_file_open_to_others_is_refused(tmp_path: Path) -> None:
    """The refusal says which file, and the cure."""
    make_or_read_keys(tmp_path)
    path = tmp_path / "keys" / "member_key"
    path.chmod(0o644)
    with pytest.raises(SettingRefused, match=f"chmod 600 {path}"):
        make_or_read_keys(tmp_path)


def test_a_spoilt_key_file_is_refused(tmp_path: Path) -> None:
    """A truncated key is not quietly replaced: ids hang on it."""
    make_or_read_keys(tmp_path)
    path = tmp_path / "keys" / "member_key"
    path.write_text("AAAA\n")
    with pytest.raises(SettingRefused, match="BENEFITS_MEMBER_KEY holds a key of 3 bytes"):
        make_or_read_keys(tmp_path)


def test_settings_are_values() -> None:
    """Nobody changes them on the way."""
    settings = load(GIVEN)
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc]  # it must fail


def test_issuers_rates_and_proxies_are_read() -> None:
    """An issuer's times have defaults; a rate is requests in seconds, or off."""
    settings = load(
        given(
            ISSUERS=json.dumps([BANK]),
            RATE_CALLER="off",
            RATE_MEMBER="10/5",
            PROXIES="10.0.0.0/8",
        )
    )
    (issuer,) = settings.issuers
    assert ("login", 30, 300) == (issuer.alias, issuer.leeway_s, issuer.max_age_s)
    assert Quotas(caller=None, member=Quota(10, 5)) == settings.quotas
    assert (ip_network("10.0.0.0/8"),) == settings.proxies
    assert ((), Quotas(), ()) == (
        load(GIVEN).issuers,
        load(GIVEN).quotas,
        load(GIVEN).proxies,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"algorithms": []}, "no secret is shared"),
        ({"algorithms": ["none"]}, "no secret is shared"),
        ({"algorithms": ["ES256", "HS256"]}, "no secret is shared"),
        ({"algorithms": ["ES256K"]}, "no secret is shared"),
        ({"audience": ""}, "must not be empty"),
        ({"alias": "system"}, "not system"),
        ({"alias": "Login:1"}, "alias must be"),
        ({"jwks_url": ""}, "give either"),
        ({"jwks_file": "jwks"}, "give either"),
        ({"jwks_url": "http://login.bank.example/jwks.json"}, "must be https://"),
        ({"jwks_url": "http://127.0.0.1.bank.example/"}, "must be https://"),
        ({"jwks_url": "file:///jwks"}, "must be https://"),
        ({"jwks_url": "https://user:word@login.bank.example/"}, "must be https://"),
        ({"jwks_url": "https://[::1"}, "must be https://"),
        ({"refetch_s": 0}, "1 second or more"),
        ({"leeway_s": 3600}, "leeway_s from 0 to 300"),
        ({"secret": "x"}, "unknown field"),
    ],
)
def test_an_issuer_that_cannot_be_trusted_is_refused(
    change: dict[str, object], words: str
) -> None:
    """Shared secrets, keys over a plain line, names of the service's own: all at the start."""
    assert words in refused(given(ISSUERS=json.dumps([BANK | change])))


def test_two_issuers_are_two() -> None:
    """Neither their names nor their aliases are the same; plain http only on this machine."""
    here = BANK | {"issuer": "here", "alias": "here", "jwks_url": "http://localhost:9/jwks"}
    assert 2 == len(load(given(ISSUERS=json.dumps([BANK, here]))).issuers)
    for same in ("issuer", "alias"):
        twice = json.dumps([BANK, here | {same: BANK[same]}])
        assert f"two have the same {same}" in refused(given(ISSUERS=twice))


def test_the_log_has_a_key_a_place_and_public_keys() -> None:
    """A seed of 32 bytes; a file or an address; words of `benefits seal-key`, commas between."""
    settings = load(GIVEN)
    assert (None, "", ()) == (
        settings.keys.seal_key,
        settings.checkpoints,
        settings.seal_public_keys,
    )
    key = PublicKey("benefits/0011223344556677", bytes(32))
    settings = load(
        given(
            SEAL_KEY=base64.b64encode(KEY).decode(),
            CHECKPOINTS="https://user-less.example/checkpoints",
            SEAL_PUBLIC_KEYS=f"{key},{key}",
        )
    )
    assert (KEY, (key, key)) == (settings.keys.seal_key, settings.seal_public_keys)
    assert "https://user-less.example/checkpoints" == settings.checkpoints
    assert "/var/checkpoints" == load(given(CHECKPOINTS="/var/checkpoints")).checkpoints
    assert "user-less" not in repr(settings)
    for place in ("checkpoints", "http://example.com/", "ftp://example.com/", "https://a@b/"):
        assert "BENEFITS_CHECKPOINTS must be an absolute path" in refused(given(CHECKPOINTS=place))
    for word in ("x", str(key)[:-4] + "AAB=", str(key).replace("+", "-")):
        assert "BENEFITS_SEAL_PUBLIC_KEYS holds" in refused(given(SEAL_PUBLIC_KEYS=word))
    assert "BENEFITS_SEAL_KEY holds a key of 4 bytes" in refused(given(SEAL_KEY="AAAAAA=="))
