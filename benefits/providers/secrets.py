"""What only we and a provider know, as the settings hold it: of another form in each dialect."""

import msgspec

from benefits.domain.signature import parse_secret
from benefits.providers.wechat_pay import (
    BusifavorSecrets,
    Credentials,
    ProductCouponSecrets,
    WechatSecrets,
)

ProviderSecrets = tuple[str, ...] | BusifavorSecrets | ProductCouponSecrets


def decode(text: str) -> dict[str, ProviderSecrets]:
    """Read secrets by provider code; ValueError names what is wrong and shows no secret."""
    try:
        found = msgspec.json.decode(text, type=dict[str, ProviderSecrets])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f'must be like {{"code": ["whsec_..."]}}: {_shown(error)}') from None
    for code, secrets in found.items():
        if not code or not secrets:
            raise ValueError("has a provider without a code, or without a secret")
        if isinstance(secrets, WechatSecrets):
            try:
                Credentials(secrets)
            except ValueError as error:
                raise ValueError(f"is wrong for {code}: {error}") from None
        elif not all(map(_is_webhook_secret, secrets)):
            raise ValueError(
                f"is wrong: a secret of {code} is not whsec_ and 24 to 64 bytes in base64"
            )
    return found


def _shown(error: Exception) -> str:
    """Return what an error says, but of what was written nothing."""
    words = str(error)
    if words.startswith(("Object contains unknown field", "Invalid value", "Object missing req")):
        return "an object has a field too many, or is of no known dialect"
    return words


def _is_webhook_secret(word: str) -> bool:
    """Tell whether a word is a secret as Standard Webhooks writes it."""
    try:
        parse_secret(word)
    except ValueError:
        return False
    return True
