"""The keys of WeChat's sandbox: made once in a folder, for both sides.

`provider_secrets` is what the service reads by BENEFITS_PROVIDER_SECRETS_FILE; `platform.pem`
signs for WeChat and stays here.
"""

import json
import os
import secrets
import string
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from benefits.providers.secrets import decode
from benefits.providers.wechat_pay import WechatSecrets

_LETTERS = string.ascii_letters + string.digits


class WechatKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What WeChat knows: its own key and that key's id, and the merchant's secrets it shares."""

    platform: RSAPrivateKey
    platform_id: str
    merchant: WechatSecrets

    def __repr__(self) -> str:
        """Show nothing."""
        return "WechatKeys(...)"


def make_or_read(folder: Path, code: str, kind: type[WechatSecrets]) -> WechatKeys:
    """Read the keys of a kind in a folder, made if there are none, for the provider `code`.

    LookupError when they are another's, ValueError when they are none.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signing, shared = folder / "platform.pem", folder / "provider_secrets"
    if not shared.exists():
        platform, merchant = _key(), _key()
        _write(signing, _pem(platform))
        _write(shared, _secrets(code, platform, merchant, kind))
    match decode(shared.read_text(encoding="ascii")).get(code):
        case WechatSecrets() as known if isinstance(known, kind):
            pass
        case _:
            raise LookupError(f"holds no secrets of {kind.__struct_config__.tag} for {code}")
    platform_key = serialization.load_pem_private_key(signing.read_bytes(), password=None)
    assert isinstance(platform_key, RSAPrivateKey), signing
    return WechatKeys(
        platform=platform_key, platform_id=next(iter(known.platform_keys)), merchant=known
    )


def _key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def _pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _secrets(
    code: str, platform: RSAPrivateKey, merchant: RSAPrivateKey, kind: type[WechatSecrets]
) -> str:
    public = platform.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    made = kind(
        merchant_serial=secrets.token_hex(20).upper(),
        merchant_key=_pem(merchant),
        apiv3_keys=("".join(secrets.choice(_LETTERS) for _ in range(32)),),
        platform_keys={f"PUB_KEY_ID_{secrets.token_hex(16).upper()}": public.decode()},
    )
    return json.dumps({code: msgspec.to_builtins(made)})


def _write(path: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
