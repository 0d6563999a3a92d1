"""An operator lets an order be asked about, or sent, at once: its request is due now (V-3).

What is done then is decided as always: nothing that may have arrived is sent again. Of one that
came in part the rest is asked for, through the schedule once more (V-5).
"""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from benefits.actions.keyed import Accepted, Decided, once
from benefits.actions.parts import Parts
from benefits.domain.orders import OPEN, Capabilities, OrderState, can_query, patience
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.store import members, open_orders, unheard
from benefits.store.db import Connection
from benefits.store.open_orders import OrderSeen
from benefits.store.requests import RequestKey

OPERATION = "retry_order"


class UnknownOrder(Refusal):
    """No order has this number."""

    code = "unknown_order"
    words = "No order has this number."


class OrderInFlight(Refusal):
    """The provider is being called about the order."""

    code = "order_in_flight"
    words = "The provider is being called about this order."


class OrderEnded(Refusal):
    """The order is decided: there is nothing to try again."""

    code = "order_ended"
    words = "This order is decided; there is nothing to try again."


class ProviderWaits(Refusal):
    """The provider asked not to be called about the order yet, and nobody said to do it anyway."""

    code = "provider_waits"
    words = "The provider asked not to be called about this order yet."


class RetryOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A person's wish that an order be tried now; `anyway` where the provider asked to wait.

    With `whole` it is asked about from the beginning of its provider's schedule, to the end.
    """

    caller: str
    request_id: UUID
    anyway: bool = False
    whole: bool = False

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        said = [*([True] if self.anyway else []), *(["whole"] if self.whole else [])]
        return body_hash([self.request_id.hex, *said])


async def retry_keyed(
    conn: Connection, command: RetryOrder, key: str, parts: Parts
) -> Decided | Refusal:
    """Try an order under a key, once (what `retry` refuses, C-9)."""
    await _lock(conn, command)

    async def work() -> Accepted | Refusal:
        try:
            await retry(conn, command, parts)
        except (UnknownOrder, OrderInFlight, OrderEnded, ProviderWaits) as refusal:
            return refusal
        return Accepted({"number": command.request_id.hex})

    request_key = RequestKey.placed(command.caller, OPERATION, key)
    return await once(conn, request_key, command.body, parts, work=work)


async def retry(conn: Connection, command: RetryOrder, parts: Parts) -> None:
    """Let the request of an order that is open, or came in part, be due now.

    UnknownOrder, OrderInFlight, OrderEnded, ProviderWaits.
    """
    await _lock(conn, command)
    seen = await open_orders.one(conn, command.request_id)
    if seen is None:
        raise UnknownOrder
    now = parts.clock()
    able = (await parts.catalogue.current(conn)).capabilities.get(seen.provider)
    rest_until = None if able is None else _rest_until(seen, able, now)
    if OrderState(seen.state) not in OPEN and rest_until is None:
        raise OrderEnded
    if seen.leased_until is not None and seen.leased_until > now:
        raise OrderInFlight
    if seen.not_before is not None and seen.not_before > now and not command.anyway:
        until = seen.not_before.astimezone(UTC).isoformat()
        raise ProviderWaits(
            f"{ProviderWaits.words} It may be called from {until} on, or `anyway`."
        )
    whole = command.whole or rest_until is not None
    await open_orders.due_now(conn, command.request_id, now, whole=whole)
    if rest_until is not None:
        await unheard.await_rest(conn, seen.claim_id, rest_until)


def _rest_until(seen: OrderSeen, able: Capabilities, now: datetime) -> datetime | None:
    """Return until when the rest of an order is asked for that came in part; None: it is not."""
    lacks = seen.lacks and can_query(able, seen.provider_reference)
    return now + patience(able) if lacks else None


async def _lock(conn: Connection, command: RetryOrder) -> None:
    seen = await open_orders.one(conn, command.request_id)
    if seen is not None:
        await members.lock(conn, [seen.member_id], wait=True)


def read_number(text: str) -> UUID:
    """Return the id that an order's number is (UnknownOrder)."""
    try:
        request_id = UUID(hex=text)
    except ValueError:
        raise UnknownOrder from None
    if request_id.hex != text:
        raise UnknownOrder
    return request_id
