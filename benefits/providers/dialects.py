"""Which dialect a provider is spoken to in: the one that its entry in a programme names."""

import structlog

from benefits.domain.programme import Dialect as Spoken
from benefits.domain.programme import Provider
from benefits.domain.signature import parse_secret
from benefits.providers.http import Dialect
from benefits.providers.open import OpenDialect
from benefits.providers.secrets import ProviderSecrets
from benefits.providers.wechat_busifavor import WechatBusifavorDialect
from benefits.providers.wechat_coupons import CouponCodes, CouponDialect
from benefits.providers.wechat_pay import BusifavorSecrets, Credentials, ProductCouponSecrets
from benefits.providers.wechat_product_coupon import WechatProductCouponDialect

log = structlog.get_logger()


def dialect_of(config: Provider, secrets: ProviderSecrets, codes: CouponCodes) -> Dialect:
    """Return how to speak to a provider; KeyError when its secrets are of another dialect."""
    match config.dialect, secrets:
        case Spoken.OPEN, tuple():
            keys = [parse_secret(secret) for secret in secrets]
            return OpenDialect(base_url=config.url, secrets=keys)
        case Spoken.WECHAT_BUSIFAVOR, BusifavorSecrets():
            speaks: type[CouponDialect] = WechatBusifavorDialect
        case Spoken.WECHAT_PRODUCT_COUPON, ProductCouponSecrets():
            speaks = WechatProductCouponDialect
        case _:
            log.error("provider.secrets_of_another_dialect", provider=config.code)
            raise KeyError(config.code)
    assert config.wechat is not None, "a programme is not in force without"
    return speaks(
        base_url=config.url,
        merchant=config.wechat,
        credentials=Credentials(secrets),
        codes=codes,
    )
