"""What the checks work with: the provider as production speaks to it, and orders made for them.

Every call goes through `HttpProvider`, the dialect and `Client`, and what an answer leaves open is
asked about as the service does: a number is never given up for another, a question comes before a
second send (V-3).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import msgspec

from benefits.certify.inbox import Inbox
from benefits.certify.kinds import KINDS, Kind, Trial
from benefits.certify.report import told
from benefits.domain.orders import (
    Call,
    Capabilities,
    Confirmed,
    Done,
    IssueRequest,
    NotFound,
    Notice,
    NotSent,
    Operation,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    Redemption,
    Rejected,
    Unknown,
    Used,
    can_query,
    redacted,
)
from benefits.domain.programme import Provider
from benefits.providers.client import Client, Response
from benefits.providers.http import Dialect, HttpProvider, Moment, Outgoing
from benefits.providers.secrets import ProviderSecrets

Use = TypeVar("Use", Used, PartlyUsed)
TRIES = 8  # orders, until one is not decided at once
_TURNED_AWAY = "HTTP 429"
_NOT_OURS = ("HTTP 401", "HTTP 403")


class Broken(Exception):  # noqa: N818 - what was seen, not whose error it is
    """What was seen is not what is promised."""


class Skipped(Exception):  # noqa: N818 - a verdict
    """A check does not concern this provider, and why."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to certify and how patiently; seconds where a name ends in `_s`.

    A decision or a callback may take `within_s`; we ask every `poll_s`, and look on for `quiet_s`
    after what should have ended.
    """

    config: Provider
    trial: Trial
    within_s: float = 120.0
    poll_s: float = 1.0
    quiet_s: float = 5.0


class Order(NamedTuple):
    """An order of ours: its number, and what is ordered."""

    number: str
    request: IssueRequest


class Given(NamedTuple):
    """An order that was delivered, and what the provider said of that."""

    order: Order
    done: Done


class TurnedAway(NamedTuple):
    """A send that was answered 429, and what a question right after it was answered."""

    order: Order
    outcome: NotSent | Unknown
    asked: Outcome


class Ways(NamedTuple):
    """Out to the provider, and what is not the provider's: the time, and new numbers."""

    client: Client
    clock: Callable[[], datetime]
    number: Callable[[], str]


class Bench:
    """One provider under certification."""

    def __init__(
        self,
        setup: Setup,
        speak: Callable[[ProviderSecrets], Dialect],
        secrets: ProviderSecrets,
        ways: Ways,
    ) -> None:
        """Speak to the provider with `secrets`; `speak` makes its dialect with these or others."""
        self.setup = setup
        self.dialect = speak(secrets)
        self.provider = HttpProvider(self.dialect, ways.client, ways.clock, self.capabilities)
        self.inbox = Inbox(self.provider, ways.clock)
        self.turned_away: list[TurnedAway] = []
        self._speak = speak
        self._secrets = secrets
        self._ways = ways
        self._numbers: list[str] = []
        self._references = dict[str, str]()
        self._codes = dict[str, str]()
        self._next_at = 0.0
        self._tries = TRIES

    @property
    def capabilities(self) -> Capabilities:
        """What the provider says that it can do."""
        return self.setup.config.capabilities

    @property
    def kind(self) -> Kind:
        """What is particular to the provider's dialect."""
        return KINDS[self.setup.config.dialect]

    @property
    def pause_s(self) -> float:
        """How long to wait between questions about an order."""
        return max(self.setup.poll_s, self.capabilities.query_min_interval_s)

    def number(self) -> str:
        """Return a number that was never used."""
        return self._ways.number()

    def used_numbers(self) -> tuple[str, ...]:
        """Return the numbers of orders since this was last asked."""
        numbers, self._numbers = tuple(self._numbers), []
        return numbers

    def order(self, *, quantity: int = 1, recipient: dict[str, str] | None = None) -> Order:
        """Return a new order, of one piece for the usual recipient unless said otherwise."""
        trial = self.setup.trial
        to = trial.recipient if recipient is None else recipient
        number = self.number()
        self._numbers.append(number)
        return Order(number, IssueRequest(sku=trial.sku, quantity=quantity, recipient=to))

    def other(self, order: Order) -> Order:
        """Return what is not the same order under the same number."""
        if recipient := self.setup.trial.other_recipient:
            changed = msgspec.structs.replace(order.request, recipient=recipient)
        else:
            changed = msgspec.structs.replace(order.request, quantity=order.request.quantity + 1)
        return order._replace(request=changed)

    def about(self, order: Order, operation: Operation = Operation.ISSUE, **more: Any) -> Call:
        """Return a call about an order, with what the provider said of it so far."""
        number = order.number
        call = {
            "number": number,
            "request": order.request,
            "own": number,
            "reference": self._references.get(number, ""),
            "code": self._codes.get(number, ""),
            **more,
        }
        return Call(operation=operation, **call)

    def use(self) -> Redemption:
        """Return a use of now."""
        return Redemption(at=self._ways.clock(), payment=self.setup.trial.payment)

    def outgoing(
        self, call: Call, *, ago_s: float = 0, dialect: Dialect | None = None
    ) -> Outgoing:
        """Write a call as it would leave now, or would have left; Skipped if it cannot be made."""
        at = self._ways.clock() - timedelta(seconds=ago_s)
        written = (dialect or self.dialect).request(call, Moment(at, self.number()))
        if not isinstance(written, Outgoing):
            raise Skipped(f"the dialect does not ask for it: {told(written)}")
        return written

    async def unreachable(self) -> str:
        """Ask the provider something harmless; return why nothing can be certified, if so."""
        known = dict.fromkeys(("reference", "code"), "certify")  # so that nothing is sent for it
        outcome = await self.attempt(self.order(), Operation.QUERY, **known)
        self._numbers.clear()  # nothing was ordered
        match outcome:
            case NotSent(evidence) if not is_turned_away(outcome):
                return f"nothing can be sent there: {evidence}"
            case Unknown(evidence) if evidence.startswith(_NOT_OURS):
                return f"it does not take our signature for ours: {redacted(evidence)}"
            case _:
                return ""

    def stranger(self) -> Dialect:
        """Return the provider's dialect, spoken by somebody whose key it does not know."""
        return self._speak(self.kind.foreign(self._secrets))

    async def send(self, outgoing: Outgoing) -> Response:
        """Send what is written, and return the whole answer; Broken without one."""
        ends_at = self._now() + self.setup.within_s
        while True:
            await self._pace()
            answer = await self._ways.client.send(
                outgoing.url,
                method=outgoing.method,
                headers=outgoing.headers,
                body=outgoing.body,
                deadline_s=self.capabilities.deadline_s,
            )
            if not isinstance(answer, Response):
                raise Broken(told(answer))
            if answer.status != 429 or self._now() + self.setup.poll_s > ends_at:
                return answer
            await asyncio.sleep(self.setup.poll_s)

    def read(self, call: Call, answer: Response) -> Outcome:
        """Read an answer as production does."""
        return self._kept(call, self.dialect.read(call, answer, Moment(self._ways.clock())))

    async def attempt(
        self, order: Order, operation: Operation = Operation.ISSUE, **more: Any
    ) -> Outcome:
        """Make one attempt, as production does."""
        await self._pace()
        call = self.about(order, operation, **more)
        return self._kept(call, await self.provider.call(call))

    async def call(
        self, order: Order, operation: Operation = Operation.ISSUE, **more: Any
    ) -> Outcome:
        """Make a call, again under its number as long as the provider turns it away."""
        ends_at = self._now() + self.setup.within_s
        while True:
            outcome = await self.attempt(order, operation, **more)
            if not isinstance(outcome, NotSent | Unknown) or not is_turned_away(outcome):
                return outcome
            if operation is Operation.ISSUE and not self.resends():
                asked = await self.attempt(order, Operation.QUERY)
                self.turned_away.append(TurnedAway(order, outcome, asked))
            wait_s = max(outcome.wait_s, self.setup.poll_s)
            if self._now() + wait_s > ends_at:
                return outcome
            await asyncio.sleep(wait_s)

    async def issue(self, order: Order) -> Outcome:
        """Send an order, as often as it is turned away."""
        return await self.call(order)

    async def do(self, order: Order, operation: Operation, **more: Any) -> Outcome:
        """Do something to an order that stands, by a request with a number of its own.

        What is taken without a word of what became of it is asked about.
        """
        ends_at, about = self._now() + self.setup.within_s, {"own": self.number(), **more}
        outcome = await self.call(order, operation, **about)
        while isinstance(outcome, Pending) and self._now() + self.pause_s <= ends_at:
            await asyncio.sleep(self.pause_s)
            outcome = await self.call(order, self._question(order, operation), **about)
        return outcome

    def resends(self) -> bool:
        """Say whether a question about an order that is not known is the same send again."""
        config = self.setup.config
        return not can_query(config.capabilities, "") or config.sends_again(
            self.setup.trial.sku, ""
        )

    async def ask(self, order: Order, **more: Any) -> Outcome:
        """Ask about an order, by what the provider can be asked."""
        return await self.call(order, self._question(order, Operation.ISSUE), **more)

    async def settled(self, order: Order) -> Outcome:
        """Ask until an order is decided; what is not there is sent again. Broken if it lasts."""
        ends_at = self._now() + self.setup.within_s
        while True:
            outcome = await self.ask(order)
            if isinstance(outcome, NotFound):
                await asyncio.sleep(self.pause_s)
                outcome = await self.issue(order)
            open_ = isinstance(outcome, Pending | Unknown | NotSent | NotFound)
            if not (open_ or self.is_false_limit(outcome)):
                return outcome
            if self._now() + self.pause_s > ends_at:
                raise Broken(f"after {self.setup.within_s:g} s still {told(outcome)}")
            await asyncio.sleep(self.pause_s)

    async def delivered(self) -> Given:
        """Order one piece and see it delivered; Broken when it is not."""
        order = self.order()
        outcome = await self.issue(order)
        if not isinstance(outcome, Done):
            outcome = await self.settled(order)
        return Given(order, self.done(outcome))

    def done(self, outcome: Outcome) -> Done:
        """Return a delivery; Broken when it is none."""
        if not isinstance(outcome, Done):
            raise Broken(f"it was not delivered: {told(outcome)}")
        return outcome

    async def usable(self) -> Given:
        """Return an order that can be used: delivered, and confirmed where that is asked for."""
        given = await self.delivered()
        if self.capabilities.two_phase:
            outcome = await self.do(given.order, Operation.CONFIRM)
            if not isinstance(outcome, Confirmed):
                raise Broken(f"asked to confirm: {told(outcome)}")
        return given

    async def used(self, order: Order, how: type[Use], option: str) -> Use:
        """Ask until an order is used, or a part of it; Broken if that takes too long."""
        ends_at = self._now() + self.setup.within_s
        while not isinstance(outcome := await self.settled(order), how):
            if self._now() > ends_at:
                words = f"after {self.setup.within_s:g} s still {told(outcome)}"
                raise Broken(f"{words} ({option})")
            await asyncio.sleep(self.pause_s)
        return outcome

    async def pending(self) -> Order | None:
        """Return an order that was answered "pending"; None if each was decided at once.

        Who was found to decide all at once is not tried again.
        """
        for _ in range(self._tries):
            order = self.order()
            if isinstance(await self.issue(order), Pending):
                return order
        self._tries = 0
        return None

    def names(self, notice: Notice, order: Order) -> bool:
        """Say whether a callback is about an order, by our number or by its reference."""
        if notice.number:
            return notice.number == order.number
        return notice.reference == self._references.get(order.number)

    def is_false_limit(self, outcome: Outcome) -> bool:
        """Say whether a refusal may be of a limit that is not reached, as of sends at once."""
        is_limit = isinstance(outcome, Rejected) and outcome.reason is Reason.LIMIT
        return self.kind.limits_at_once and is_limit

    def _question(self, order: Order, asked: Operation) -> Operation:
        """Return what tells what became of a request: the same again where none can be asked."""
        reference = self._references.get(order.number, "")
        return Operation.QUERY if can_query(self.capabilities, reference) else asked

    def _kept(self, call: Call, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Done | Pending) and outcome.reference:
            self._references[call.number] = outcome.reference
        if isinstance(outcome, Done) and outcome.code:
            self._codes[call.number] = outcome.code
        return outcome

    async def _pace(self) -> None:
        """Keep to the rate that the provider asks for."""
        rate = self.capabilities.rate
        if rate is not None:
            wait_s = self._next_at - self._now()
            self._next_at = max(self._next_at, self._now()) + 1 / rate.per_second
            await asyncio.sleep(max(wait_s, 0))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def is_turned_away(outcome: Outcome) -> bool:
    """Say whether a send was answered 429."""
    match outcome:
        case NotSent(evidence) | Unknown(evidence):
            return evidence.startswith(_TURNED_AWAY)
        case _:
            return False
