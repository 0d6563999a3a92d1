"""Operators pause a provider, or one SKU of it, and let it go again; who said so stays (V-3)."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions.keyed import Accepted, Decided, once
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Catalogue
from benefits.domain.circuits import Circuit
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import YEARS
from benefits.store import circuits
from benefits.store.circuits import Word
from benefits.store.db import Connection
from benefits.store.requests import RequestKey

OPERATION = "provider_word"
TICK = timedelta(milliseconds=1)  # which ids tell apart


class UnknownProvider(Refusal):
    """No programme in force has this provider, or none of its benefits this SKU."""

    code = "unknown_provider"
    words = "No programme in force has this provider, or this SKU of it."


class PauseInvalid(Refusal):
    """A pause, or its end, has a reason; a pause ends after it begins."""

    code = "pause_invalid"
    words = "A pause and its end have a reason, and a pause ends later than now."


class SayWord(msgspec.Struct, frozen=True, kw_only=True):
    """Pause or resume a provider; an empty `sku` is all of it, without `until` it has no end."""

    caller: str
    provider: str
    pauses: bool
    reason: str
    sku: str = ""
    until: datetime | None = None

    @property
    def body(self) -> bytes:
        """The hash of what is said."""
        until = None if self.until is None else self.until.timestamp()
        return body_hash([self.provider, self.sku, self.pauses, self.reason, until])


async def say_keyed(
    conn: Connection, command: SayWord, key: str, parts: Parts
) -> Decided | Refusal:
    """Say a word under a key, once (UnknownProvider, PauseInvalid, C-9)."""
    await circuits.serial(conn)

    async def work() -> Accepted | Refusal:
        try:
            return Accepted({"word_id": str(await say(conn, command, parts))})
        except (UnknownProvider, PauseInvalid) as refusal:
            return refusal

    request_key = RequestKey.placed(command.caller, OPERATION, key)
    return await once(conn, request_key, command.body, parts, work=work)


async def say(conn: Connection, command: SayWord, parts: Parts) -> UUID:
    """Say a word (UnknownProvider, PauseInvalid). To resume closes the breakers it speaks of."""
    await circuits.serial(conn)
    now = parts.clock()
    check_known(await parts.catalogue.current(conn), command.provider, command.sku)
    for word in (await circuits.words(conn)).values():
        now = max(now, word.said_at + TICK)  # the last word holds, also of two at once
    until = command.until
    if not command.reason.strip() or (until and (until.year not in YEARS or until <= now)):
        raise PauseInvalid
    word_id = parts.new_id(now, 0)
    word = Word(
        provider=command.provider,
        sku=command.sku,
        verb="PAUSE" if command.pauses else "RESUME",
        until=command.until,
        reason=command.reason,
        actor=command.caller,
        said_at=now,
    )
    await circuits.say(conn, word_id, word)
    if not command.pauses:
        found = await circuits.open_ones(conn)
        ours = sorted(
            pair for pair in found if pair[0] == command.provider and command.sku in {"", pair[1]}
        )
        locked = await circuits.lock(conn, ours) if ours else {}
        await circuits.put(conn, dict.fromkeys(locked, Circuit()))
    return word_id


def check_known(catalogue: Catalogue, provider: str, sku: str) -> None:
    """Refuse a provider, or a SKU of it, that no programme in force has (UnknownProvider)."""
    known = any(provider in one.providers for one in catalogue.programmes.values())
    offers = (benefit for _, benefit in catalogue.offers.values())
    sold = {benefit.sku for benefit in offers if benefit.provider == provider}
    if not known or (sku and sku not in sold):
        raise UnknownProvider
