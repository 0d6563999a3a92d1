"""Currencies of ISO 4217 and how many decimals each one's minor unit has (C-1).

A programme's own currency has the decimals that its document says.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from benefits.domain.spelling import suggestion

_LARGEST_EXPONENT = 18
_TWO = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
CDF CHF CNH CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ
GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA
MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR
RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD
TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW
"""
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"

DIGITS = {
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_NONE.split(), 0),
    **dict.fromkeys(_THREE.split(), 3),
}


def minor_of(amount: Decimal, digits: int) -> int:
    """Return `amount` in minor units; ValueError when it is none, not exact or too large."""
    if not amount.is_finite():
        msg = f"{amount} is no amount"
        raise ValueError(msg)
    if amount.adjusted() > _LARGEST_EXPONENT:
        msg = f"{amount} is too large"
        raise ValueError(msg)
    scaled = amount.scaleb(digits)
    # Decimals round to 28 digits as they are scaled: what comes back must be what was given.
    if scaled != scaled.to_integral_value() or scaled.scaleb(-digits) != amount:
        msg = f"{amount} has more than {digits} decimals"
        raise ValueError(msg)
    return int(scaled)


def currency_problems(own: str, others: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the currencies that a programme converts, by path."""
    for index, code in enumerate(others):
        path = f"currencies[{index}]"
        if code == own:
            yield f"{path}: {code} is the programme's own currency; name the others"
        elif code not in DIGITS:
            yield f"{path}: {code!r} is no currency of ISO 4217{suggestion(code, DIGITS)}"
        elif code in others[:index]:
            yield f"{path}: {code!r} stands twice"
