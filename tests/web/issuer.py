"""An issuer of tokens: what a test signs with, and the process that serves the keys."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from benefits.domain.tokens import Issuer
from tests.builders import NOON

NAME = "https://login.bank.example"
PATH = "/jwks.json"


class Signer:
    """A key pair of an issuer."""

    def __init__(self, kid: str, algorithm: str = "ES256", *, bits: int = 2048) -> None:
        """Make a key that fits the algorithm."""
        self.kid, self.algorithm = kid, algorithm
        self.key: Any
        match algorithm[:2]:
            case "ES":
                self.key = ec.generate_private_key(ec.SECP256R1())
            case "Ed":
                self.key = ed25519.Ed25519PrivateKey.generate()
            case _:
                self.key = rsa.generate_private_key(65537, bits)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half as an issuer lists it."""
        made = jwt.get_algorithm_by_name(self.algorithm).to_jwk(
            self.key.public_key(), as_dict=True
        )
        return {**made, "kid": self.kid, "use": "sig"}

    def token(self, *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign claims that are good for a minute at the tests' noon; None leaves one out."""
        given = {
            "iss": NAME,
            "aud": "benefits",
            "sub": "somebody",
            "iat": NOON.timestamp(),
            "exp": NOON.timestamp() + 60,
            **claims,
        }
        whole = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(
            whole, self.key, self.algorithm, headers={"kid": self.kid, **(headers or {})}
        )


class Served:
    """A running issuer: what it answers, and how often it was asked."""

    def __init__(self, process: Process, port: int) -> None:
        """Wrap a process that listens on a port."""
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    async def tell(self, *signers: Signer, **how: Any) -> None:
        """List the keys of signers, or answer in another way."""
        body = {"body": json.dumps({"keys": [one.jwk for one in signers]}), **how}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.url}/tell", json=body) as answer,
        ):
            assert 200 == answer.status

    async def asked(self) -> int:
        """Return how often the keys were asked for."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/asked") as answer:
            return int(await answer.text())

    async def stop(self) -> None:
        """End the process, as an outage would."""
        self.process.kill()
        await self.process.wait()

    def known_as(self, **more: Any) -> Issuer:
        """Return how the service is told of it."""
        settings: dict[str, Any] = {
            "issuer": NAME,
            "alias": "bank",
            "audience": "benefits",
            "algorithms": ("ES256", "RS256", "EdDSA"),
            "jwks_url": self.url + PATH,
        }
        return Issuer(**{**settings, **more})


@asynccontextmanager
async def issuer(*signers: Signer) -> AsyncIterator[Served]:
    """Run an issuer that lists the keys of signers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__).with_name("issuer_process.py"), stdout=PIPE
    )
    assert process.stdout is not None
    made = Served(process, int(await process.stdout.readline()))
    try:
        await made.tell(*signers)
        yield made
    finally:
        if process.returncode is None:
            await made.stop()
