"""Tokens of a real issuer: rotation without a restart, outages, and everything a forger tries."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benefits.domain.tokens import Issuer, TokenInvalid
from benefits.web.jwks import IssuerUnavailable
from benefits.web.tokens import Tokens
from tests.builders import MEMBER_KEY, NOON, FrozenClock
from tests.conftest import database
from tests.web.issuer import NAME, Served, Signer, issuer
from tests.web.site import site
from tests.web.test_mobile import call

SCOPE: dict[str, Any] = {"scope": "operator"}


class Stand:
    """An issuer's process, the service's view of it, and a clock they are judged by."""

    def __init__(self, served: Served, signer: Signer) -> None:
        self.served = served
        self.signer = signer
        self.clock = FrozenClock()

    def tokens(self, **more: Any) -> Tokens:
        """Return a fresh view of the issuer."""
        return self.view(self.served.known_as(**more))

    def view(self, known_as: Issuer) -> Tokens:
        """Return a view of an issuer."""
        return Tokens([known_as], member_key=MEMBER_KEY, clock=self.clock)

    def sign(self, signer: Signer | None = None, **claims: Any) -> str:
        """Return a token that is good for an hour from now."""
        ends = self.clock().timestamp() + 3600
        return (signer or self.signer).token(**{**SCOPE, "exp": ends, **claims})


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    """Give an issuer that lists one key."""
    signer = Signer("k1")
    async with issuer(signer) as served:
        yield Stand(served, signer)


async def refused(tokens: Tokens, token: str) -> str:
    """Return the words with which a token is refused."""
    with pytest.raises(TokenInvalid) as caught:
        await tokens.verify(token)
    return caught.value.detail


async def test_keys_rotate_without_a_restart(stand: Stand) -> None:
    """A new key counts at once, the old one while it is listed, a removed one no longer."""
    second = Signer("k2", "RS256")
    async with stand.tokens() as tokens:
        await tokens.verify(stand.sign())
        stand.clock.forward(seconds=20)
        await stand.served.tell(stand.signer, second)
        await tokens.verify(stand.sign(second))
        await tokens.verify(stand.sign())
        await stand.served.tell(second)
        stand.clock.forward(seconds=100)
        await tokens.verify(stand.sign())  # within the age of what was fetched
        stand.clock.forward(seconds=201)
        assert "lists no such key" in await refused(tokens, stand.sign())
        await tokens.verify(stand.sign(second))
    assert 3 == await stand.served.asked()


async def test_an_issuer_that_is_away_costs_nobody_a_known_key(stand: Stand) -> None:
    """Known keys hold for `keep_s`; a key nobody knows is neither taken nor refused."""
    async with stand.tokens(keep_s=1000) as tokens:
        await tokens.verify(stand.sign())
        await stand.served.stop()
        stand.clock.forward(seconds=301)
        await tokens.verify(stand.sign())
        stand.clock.forward(seconds=600)
        await tokens.verify(stand.sign())
        with pytest.raises(IssuerUnavailable):
            await tokens.verify(stand.sign(Signer("k2")))
        stand.clock.forward(seconds=100)
        with pytest.raises(IssuerUnavailable):
            await tokens.verify(stand.sign())


async def test_an_issuer_that_was_away_is_asked_again(stand: Stand) -> None:
    """After `refetch_s` the next token makes us ask, and then it counts."""
    await stand.served.tell(status=500)
    async with stand.tokens() as tokens:
        for _ in range(3):
            with pytest.raises(IssuerUnavailable):
                await tokens.verify(stand.sign())
        assert 1 == await stand.served.asked()
        await stand.served.tell(stand.signer)
        stand.clock.forward(seconds=10)
        await tokens.verify(stand.sign())
    assert 2 == await stand.served.asked()


async def test_a_storm_of_unknown_keys_is_one_question_each_ten_seconds(stand: Stand) -> None:
    """However many ids somebody invents, the issuer hardly notices."""
    async with stand.tokens() as tokens:
        await tokens.verify(stand.sign())
        stand.clock.forward(seconds=10)
        forged = [stand.signer.token(headers={"kid": f"f{n}"}, **SCOPE) for n in range(200)]
        answers = await asyncio.gather(
            *(tokens.verify(token) for token in forged), return_exceptions=True
        )
        assert {TokenInvalid} == {type(answer) for answer in answers}
        await tokens.verify(stand.sign())
    assert 2 == await stand.served.asked()


async def test_many_first_tokens_are_one_question(stand: Stand) -> None:
    """Whoever comes while the keys are fetched waits for that fetch."""
    await stand.served.tell(stand.signer, slow_s=0.2)
    async with stand.tokens() as tokens:
        await asyncio.gather(*(tokens.verify(stand.sign(jti=str(n))) for n in range(50)))
    assert 1 == await stand.served.asked()


async def test_a_caller_who_goes_away_does_not_take_the_fetch_along(stand: Stand) -> None:
    """One request cancelled while keys are fetched leaves the others their answer."""
    await stand.served.tell(stand.signer, slow_s=0.3)
    async with stand.tokens() as tokens:
        first, second = (asyncio.create_task(tokens.verify(stand.sign())) for _ in range(2))
        while await stand.served.asked() == 0:
            await asyncio.sleep(0.01)
        first.cancel()
        assert "operator" in (await second)[0].scopes
    assert 1 == await stand.served.asked()


async def test_keys_are_renewed_beside_the_requests(stand: Stand) -> None:
    """From half their age on they are fetched anew, and nobody waits for a slow issuer."""
    async with stand.tokens() as tokens:
        await tokens.verify(stand.sign())
        second = Signer("k2")
        await stand.served.tell(stand.signer, second)
        stand.clock.forward(seconds=160)
        await tokens.verify(stand.sign())
        while await stand.served.asked() < 2:
            await asyncio.sleep(0.01)
        await tokens.verify(stand.sign(second))


@pytest.mark.parametrize(
    "how",
    [
        {"body": "<html>maintenance</html>"},
        {"body": "[]"},
        {"body": '{"keys": {"kid": "k1"}}'},
        {"body": "[" * 100_000},
        {"body": '{"keys": [' + "1," * 70_000 + "1]}"},
        {"status": 302},
        {"status": 404},
        {"slow_s": 20},
    ],
    ids=["html", "list", "object", "deep", "oversize", "redirect", "missing", "slow"],
)
async def test_an_answer_that_is_no_set_of_keys_changes_nothing(
    stand: Stand, how: dict[str, Any]
) -> None:
    """What was known stays known, and nothing else is: no redirect is followed."""
    other = Signer("k2")
    async with stand.tokens() as tokens:
        await tokens.verify(stand.sign())
        stand.clock.forward(seconds=301)
        elsewhere = json.dumps({"keys": [other.jwk]})
        await stand.served.tell(other, elsewhere=elsewhere, **how)
        await tokens.verify(stand.sign())
        with pytest.raises(IssuerUnavailable):
            await tokens.verify(stand.sign(other))
    assert 2 == await stand.served.asked()


async def test_entries_that_are_no_key_are_passed_over(stand: Stand) -> None:
    """A key for another use, a weak one, a private or a broken one helps nobody."""
    weak = Signer("weak", "RS256", bits=1024)
    good = Signer("good", "EdDSA")
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"}
    private = {**Signer("private").jwk, "d": "AQ"}
    encrypting = Signer("enc")
    broken = [None, 7, "key", {}, {"kid": "k"}, {"kid": 1, "kty": "EC"}, {"kid": "e", "kty": "EC"}]
    listed = [*broken, secret, private, {**encrypting.jwk, "use": "enc"}, weak.jwk, good.jwk]
    await stand.served.tell(body=json.dumps({"keys": listed}))
    async with stand.tokens() as tokens:
        await tokens.verify(stand.sign(good))
        with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
            short = stand.sign(weak)
        for token in (short, stand.sign(encrypting), stand.sign(Signer("private"))):
            assert "lists no such key" in await refused(tokens, token)


def signed_with_secret(signer: Signer, secret: bytes) -> str:
    """Return a token whose signature is an HMAC: what a careless verifier takes for a key's."""
    text = signer.token(**SCOPE).split(".")
    header = {"alg": "HS256", "typ": "JWT", "kid": signer.kid}
    text[0] = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    mac = hmac.digest(secret, f"{text[0]}.{text[1]}".encode(), hashlib.sha256)
    return ".".join([*text[:2], base64.urlsafe_b64encode(mac).rstrip(b"=").decode()])


def raw_token(signer: Signer, header: str, claims: str) -> str:
    """Sign a header and claims as they are written."""
    head, body = (base64.urlsafe_b64encode(t.encode()).rstrip(b"=") for t in (header, claims))
    algorithm = jwt.get_algorithm_by_name(signer.algorithm)
    mac = algorithm.sign(head + b"." + body, signer.key)
    return b".".join([head, body, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


async def test_forged_tokens_are_refused(stand: Stand) -> None:
    """No algorithm, a secret that is public, another issuer's key, another's audience, …."""
    signer, sign = stand.signer, stand.signer.token
    public = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    whole = sign(**SCOPE)
    unsigned = jwt.encode({"iss": NAME}, "", "none")
    tampered = whole.split(".")
    tampered[1] = sign(scope="auditor").split(".")[1]
    liar = Signer("k1")
    async with stand.tokens() as tokens:
        await tokens.verify(whole)
        for token, words in (
            (unsigned, "algorithm"),
            (signed_with_secret(signer, public), "algorithm"),
            (signed_with_secret(signer, json.dumps(signer.jwk).encode()), "algorithm"),
            (".".join(tampered), "signature"),
            (liar.token(**SCOPE), "signature"),
            (whole[:-4], "signature"),
            (Signer("k1", "EdDSA").token(**SCOPE), "lists no such key"),
            (sign(iss="https://other.example", **SCOPE), "issuer is not known"),
            (sign(iss=None, **SCOPE), "issuer is not known"),
            (sign(aud="another", **SCOPE), "another audience"),
            (sign(aud=["a", "b"], **SCOPE), "another audience"),
            (sign(aud=None, **SCOPE), "no `aud`"),
            (sign(exp=None, **SCOPE), "no `exp`"),
            (sign(exp=NOON.timestamp() - 31, **SCOPE), "has expired"),
            (sign(nbf=NOON.timestamp() + 31, **SCOPE), "not valid yet"),
            (sign(headers={"kid": ""}, **SCOPE), "does not name its key"),
            (sign(headers={"crit": ["exp"]}, **SCOPE), "asks for more"),
            (sign(headers={"typ": "logout+jwt"}, **SCOPE), "another type"),
            (sign(filler="x" * 9000, **SCOPE), "longer than"),
            (sign(scope="relationship_manager", branch="B\x001"), "characters that are none"),
            (sign(scope="relationship_manager", manager="M\ud800"), "characters that are none"),
            ("..", "malformed"),
            ("a.b.c", "malformed"),
            (f"W10.{whole.split('.')[1]}.x", "malformed"),
        ):
            assert words in await refused(tokens, token), token


async def test_a_name_that_stands_twice_is_refused(stand: Stand) -> None:
    """Two readers of such a token could see two different ones; numbers beyond JSON likewise."""
    header = '{"alg":"ES256","kid":"k1"}'
    name = f'"iss":"{NAME}"'
    ends = f'"aud":"benefits","sub":"s","exp":{NOON.timestamp() + 60}'
    async with stand.tokens() as tokens:
        await tokens.verify(raw_token(stand.signer, header, f'{{{name},{ends},"scope":"crm"}}'))
        for head, claims in (
            (header, f'{{{name},{ends},"scope":"crm","scope":"operator"}}'),
            (header, f'{{{name},{ends},"scope":"crm","nbf":NaN}}'),
            (header, f'{{{name},{ends},"scope":{"[" * 3000}}}'),
            ('{"alg":"none","alg":"ES256","kid":"k1"}', f'{{{name},{ends},"scope":"crm"}}'),
        ):
            assert "malformed" in await refused(tokens, raw_token(stand.signer, head, claims))


async def test_keys_may_lie_in_a_file(stand: Stand, tmp_path: Any) -> None:
    """A file is read like an address, and read again when its time has come."""
    path = tmp_path / "jwks"
    known = stand.served.known_as(jwks_url="", jwks_file=str(path))
    async with stand.view(known) as tokens:
        with pytest.raises(IssuerUnavailable):
            await tokens.verify(stand.sign())
        path.write_text(json.dumps({"keys": [stand.signer.jwk]}))
        stand.clock.forward(seconds=10)
        await tokens.verify(stand.sign())
    assert 0 == await stand.served.asked()


async def test_the_service_takes_tokens_while_the_issuer_rotates(
    migrated: str, cluster_dsn: str, stand: Stand
) -> None:
    """Over HTTP: a member's token works, the next key too, a forger hears 401 and what to do."""
    second = Signer("k2")
    issuers = (stand.served.known_as(),)
    async with (
        database(cluster_dsn, migrated) as dsn,
        site(dsn, issuers=issuers) as running,
    ):
        member = await running.world.member()
        claims: dict[str, Any] = {"scope": "member", "customer": running.world.name(1)}

        async def ask(token: str) -> tuple[int, Any, Any]:
            headers = {"Authorization": f"Bearer {token}"}
            return await call(running, "GET", f"/v1/members/{member}/benefits", headers=headers)

        first = stand.sign(**claims)
        assert 200 == (await ask(first))[0]
        running.world.clock.forward(seconds=10)
        await stand.served.tell(stand.signer, second)
        assert [200, 200] == [(await ask(stand.sign(second, **claims)))[0], (await ask(first))[0]]
        status, headers, problem = await ask(stand.sign(Signer("k2"), **claims))
        assert (401, "token_invalid") == (status, problem["code"])
        assert 'Bearer realm="benefits", error="invalid_token"' == headers["WWW-Authenticate"]
        await stand.served.stop()
        assert 200 == (await ask(first))[0]
        running.world.clock.forward(seconds=10)
        status, headers, problem = await ask(stand.sign(Signer("k3"), **claims))
        assert (503, "issuer_unavailable") == (status, problem["code"])
        assert "5" == headers["Retry-After"]
