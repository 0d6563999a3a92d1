"""The demo's bank: its programmes, customers and day-end balances, made by rule, not by chance.

The same days give the same balances on every machine; each start adds the days up to yesterday.
The bank also issues tokens, with a key of its own in each data folder.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec.structs import replace

from benefits.actions.import_codes import Sent
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.tokens import DEMO_ISSUER, Issuer, caller_of
from benefits.domain.values import Month

CUSTOMERS = 300
MONTHS_BACK = 4
CODES = 2_000
# The customer the demo follows: gold until two months ago, platinum since; paid through the bank,
# with a car, but far from where it is washed, and too young for what begins with 60.
FEATURED, FEATURED_IN = "C0001", "wealth"
# Another: a founding client of the private bank, who has two of four to choose and brings a guest.
CLIENT = "C0002"
FOUNDERS = "founders"
_LEVELS = (
    *(3_000, 20_000, 48_000, 80_000, 300_000, 480_000),
    *(700_000, 2_000_000, 6_000_000, 9_900_000, 15_000_000),
)
_CITIES = ("杭州", "绍兴", "嘉兴", "湖州")
# Breakfasts that the bank bought in advance, each for 9 yuan.
BOUGHT = Sent(provider="breakfast", sku="breakfast-set", batch="demo", cost=Decimal("9.00"))
PROVIDER = "sandbox"  # who answers for whom, in the programmes
_EXAMPLES = Path(__file__).parent / "examples"
PROGRAMME_FILES = (_EXAMPLES / "rural_wealth.toml", _EXAMPLES / "private_bank.toml")


def programmes(provider_url: str) -> list[Programme]:
    """Return the demo's programmes, the featured one first, with their provider at an address."""
    return [at(read(path.read_text(encoding="utf-8")), provider_url) for path in PROGRAMME_FILES]


def at(programme: Programme, provider_url: str) -> Programme:
    """Return a programme with the demo's provider at an address."""
    moved = (
        replace(one, url=provider_url) if one.code == PROVIDER else one
        for one in programme.provider
    )
    return replace(programme, provider=tuple(moved))


def customers() -> Iterator[str]:
    """Yield customer references."""
    return (f"C{number:04d}" for number in range(1, CUSTOMERS + 1))


def member_lines() -> Iterator[str]:
    """Yield the customer file, line by line."""
    yield "customer,opened_on,branch,manager,labels,born_on,city,staff,person\n"
    for customer in customers():
        chance = _chance(customer)
        opened = date(2015 + chance % 9, 1 + chance // 7 % 12, 1 + chance // 97 % 28)
        labels = ";".join(label for label, is_carried in _labels(customer) if is_carried)
        where = f"B{chance % 12:02d},M{chance % 40:03d}"
        yield f"{customer},{opened},{where},{labels},{_person(customer)}\n"


def _labels(customer: str) -> tuple[tuple[str, bool], ...]:
    """Return the labels there are, and whether a customer carries them."""
    chance, is_featured = _chance(customer), customer == FEATURED
    return (
        ("payroll:FACT:2024-01-01", is_featured or chance % 3 == 0),
        ("car_owner:RULE:2024-01-01", is_featured or chance // 3 % 4 == 0),
    )


def _person(customer: str) -> str:
    """Return when a customer was born and lives where, if it is staff, and a made-up document."""
    if customer == FEATURED:
        return f"1988-05-20,嘉兴,no,DEMO-{customer}"
    chance = _chance(customer)
    born_on = date(1945 + chance // 13 % 60, 1 + chance // 17 % 12, 1 + chance // 19 % 28)
    staff = "no" if chance % 50 else "yes"
    return f"{born_on},{_CITIES[chance % len(_CITIES)]},{staff},DEMO-{customer}"


def founders_file() -> bytes:
    """Return the file of the private bank's founding clients."""
    return f"customer\n{CLIENT}\n".encode()


def asset_lines(first: date, last: date) -> Iterator[str]:
    """Yield the day-end balances of the days from `first` through `last`, line by line."""
    yield "customer,as_of,asset_class,currency,balance\n"
    day = first
    while day <= last:
        for customer in customers():
            deposit, wealth = _balances(customer, day, last)
            yield f"{customer},{day},DEPOSIT,CNY,{deposit}.00\n"
            if wealth:
                yield f"{customer},{day},WEALTH,CNY,{wealth}.00\n"
        day += timedelta(days=1)


def code_lines() -> Iterator[str]:
    """Yield the file of codes that were bought, line by line."""
    yield "code\n"
    for number in range(1, CODES + 1):
        yield f"BF{_chance(f'code {number}'):010d}{number:04d}\n"


def first_day(yesterday: date) -> date:
    """Return the first day of the demo: the start of a month, some months back."""
    return Month.of(yesterday).plus(-MONTHS_BACK).start


def _balances(customer: str, day: date, last: date) -> tuple[int, int]:
    """Return deposit and wealth of a day; the level of a customer drifts with the months."""
    chance = _chance(customer)
    if customer == FEATURED:
        risen = Month.of(day) >= Month.of(last).plus(-1)
        return (120_000, 450_000) if risen else (90_000, 30_000)
    if customer == CLIENT:
        return 2_000_000, 7_000_000
    level = _LEVELS[chance % len(_LEVELS)]
    drift = (chance // 11 % 7 - 3) * ((day.year * 12 + day.month) % 5)
    wobble = (day.toordinal() * 37 + chance) % 2_000
    total = max(0, level + level * drift // 25 + wobble)
    wealth = total * (chance // 5 % 4) // 5
    return total - wealth, wealth


def _chance(customer: str) -> int:
    return int.from_bytes(hashlib.sha256(customer.encode()).digest()[:4], "big")


def new_issuer_key() -> str:
    """Return a new private key for the bank's issuer."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().strip()


def issuer(jwks_file: Path) -> Issuer:
    """Return how a service is told of the bank's issuer, whose public keys lie in a file."""
    return Issuer(
        issuer=DEMO_ISSUER,
        alias="demo",
        audience="benefits",
        algorithms=("EdDSA",),
        jwks_file=str(jwks_file),
    )


def public_keys(private_key: str) -> str:
    """Return the issuer's set of public keys (JWKS)."""
    return json.dumps({"keys": [_public(private_key)]})


def signed_token(
    private_key: str, scope: str, *, now: datetime, minutes: int, bound: dict[str, str]
) -> str:
    """Return a token of the bank's issuer; `bound` are the claims that say whose it is.

    One that no service would take is not made (TokenInvalid).
    """
    claims = {
        "iss": DEMO_ISSUER,
        "aud": "benefits",
        "sub": f"demo-{scope}",
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(minutes=minutes)).timestamp()),
        "scope": scope,
        **{name: value for name, value in bound.items() if value},
    }
    caller_of(claims, issuer(Path()), member_key=bytes(32), now=now)
    headers = {"kid": _public(private_key)["kid"]}
    key = load_pem_private_key(private_key.encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey), "the demo's key is one of ours"
    return jwt.encode(claims, key, "EdDSA", headers=headers)


def _public(private_key: str) -> dict[str, str]:
    """Return the public half as a JWK, named by its own thumbprint (RFC 7638)."""
    key = load_pem_private_key(private_key.encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey), "the demo's key is one of ours"
    whole = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    told = {name: whole[name] for name in ("crv", "kty", "x")}
    thumb = hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()
    return {**told, "alg": "EdDSA", "use": "sig", "kid": thumb[:16]}
