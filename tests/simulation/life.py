"""A life of orders: steps that somebody chose, then quiet, and what must hold then.

A step is a word and two numbers that say of which claim, message, worker or fate; and the
statement at which whoever takes the step is killed, if it is.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from benefits.actions.agree import Decide, Propose
from benefits.actions.cancel import CancelClaim, cancel
from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.enact import Proposals
from benefits.actions.keyed import Accepted
from benefits.actions.redeem import redeem
from benefits.actions.retry_order import RetryOrder, retry
from benefits.domain.proposals import OrderWanted, Wanted
from benefits.domain.refusal import Refusal
from benefits.sandbox.behaviour import CONTRARY, Behaviour
from benefits.store import agreements, proposals
from benefits.store.db import Connection
from benefits.worker import Worker
from tests.actions.life import fresh, gift, give, wish
from tests.actions.test_redeem import undo, use
from tests.simulation import ways
from tests.simulation.kill import Cut
from tests.simulation.scene import HALVES, Scene
from tests.simulation.wire import Fate

UNITS = 4
FATES = [Fate.GOOD] * 5 + [Fate.VERY_LATE] * 3 + [fate for fate in Fate if fate is not Fate.GOOD]
TIMES = (1, 4, 10, 30, 60, 120, 300, 600, 1800, 7200)
LEFT = {"issued", "partly_issued", "partly_redeemed"}
DESK: tuple[tuple[set[str], str, dict[str, int]], ...] = (
    (LEFT, "use", {}),
    (LEFT, "use", {"pieces": 1}),
    ({"partly_issued", "partly_aside", "partly_redeemed"}, "complete", {}),
    (LEFT, "expire", {}),
)
UNSETTLED = """
SELECT 1 FROM claim WHERE state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN')
UNION ALL SELECT 1 FROM inbox WHERE processed_at IS NULL
UNION ALL SELECT 1 FROM provider_request AS r JOIN claim AS c USING (bucket, claim_id)
WHERE r.next_at IS NOT NULL
  AND (r.operation <> 'ISSUE' OR c.state NOT IN ('ISSUED', 'CONFIRMED', 'PARTLY_REDEEMED'))
"""
NEXT = """
SELECT min(at) AS at FROM (
    SELECT next_at AS at FROM provider_request UNION ALL
    SELECT next_at FROM inbox WHERE processed_at IS NULL UNION ALL
    SELECT paused_until FROM provider_circuit) AS t
WHERE at > $1
"""
USABLE = """
SELECT claim_id FROM claim WHERE state IN ('ISSUED', 'CONFIRMED') AND benefit = ANY ($1::text[])
ORDER BY claimed_at, claim_id
"""
BOOKED = """
SELECT claim_id FROM claim WHERE booked_for IS NOT NULL ORDER BY claimed_at DESC, claim_id
"""
MANUAL = """
SELECT r.request_id, c.benefit, c.quantity FROM claim AS c
JOIN provider_request AS r USING (bucket, claim_id)
WHERE c.state = 'MANUAL' AND r.operation = 'ISSUE' ORDER BY r.request_id
"""
DONE = """
SELECT claim_id, request_id FROM provider_request WHERE operation = 'REDEEM' AND verdict = 'done'
ORDER BY created_at DESC, request_id
"""


def _at_desk(way: ways.Way, told: str) -> str:
    """Return how an order stands for people at the desk: what is set aside is not there yet."""
    aside = {"issued": "aside", "partly_issued": "partly_aside", "confirmed": "issued"}
    return aside.get(told, told) if way.two_phase else told


class Step(NamedTuple):
    """A step: what is done, of which, how, and where it is cut."""

    word: str
    which: int
    how: int
    cut: Cut | None


Word = Callable[[Connection], Awaitable[Any]]  # what somebody says, under a key of their own

# How often each is done, of so many steps; the simplest life, which comes first, does nothing.
_OFTEN = {
    "hold": 1,
    "claim": 7,
    "again": 2,
    "call": 10,
    "work": 5,
    "arrive": 6,
    "callback": 5,
    "inbox": 4,
    "forward": 6,
    "at_the_desk": 5,
    "redeem": 6,
    "undo": 4,
    "give_up": 4,
    "silence": 1,
    "answer": 2,
    "sweep": 1,
    "retry": 1,
    "kill": 1,
}
CUTS = st.builds(Cut, st.integers(1, 30), st.booleans())
STEPS = st.builds(
    Step,
    st.sampled_from([word for word, often in _OFTEN.items() for _ in range(often)]),
    st.integers(0, 7),
    st.integers(0, len(FATES) * 4 - 1),
    st.one_of(st.none(), st.none(), st.none(), CUTS),
)


class Life:
    """What the members, the bank's people, the provider and chance do to one installation."""

    def __init__(self, scene: Scene) -> None:
        """Begin with nothing asked for."""
        self.scene, self.world = scene, scene.world
        self.ways = [one.way for one in scene.theirs.values()]
        self.members: list[UUID] = []
        self.wishes: list[ClaimUnits] = []  # that were not acknowledged
        self.words: list[Word] = []
        self.accepted: list[UUID] = []
        self._holder: UUID | None = None

    async def begin(self) -> None:
        """Enrol two members, who have some units each."""
        self.members = await self.world.members(2)
        for way in self.ways:
            more = {"quantity": UNITS, "valid_days": 150}
            await give(self.world, *(gift(m, way.code, **more) for m in self.members))

    async def take(self, steps: Sequence[Step]) -> None:
        """Take steps one after the other."""
        for step in steps:
            await getattr(self, f"_{step.word}")(step)

    async def _claim(self, step: Step) -> None:
        member = self.members[step.which % len(self.members)]
        way = self.ways[step.which // 2 % len(self.ways)]
        more: dict[str, Any] = {
            "recipient": ways.recipient(way, step.how % 20),
            "quantity": 1 + step.how % 3 if way.many else 1,
            "booked_for": way.time(self.world.clock(), step.how),
        }
        self.wishes.append(wish(member, way.code, **more))
        await self._ask(self.wishes[-1], step.cut)

    async def _again(self, step: Step) -> None:
        """Send again, under its key, what was not acknowledged."""
        if self.wishes:
            await self._ask(self.wishes[step.which % len(self.wishes)], step.cut)
        elif self.words:
            await self._say(self.words[step.which % len(self.words)], step.cut)

    async def _ask(self, asked: ClaimUnits, cut: Cut | None) -> None:
        async def work(conn: Connection) -> Any:
            return await claim(conn, [asked], self.world.parts, wait=True)

        outcomes = await self.scene.transact(work, cut)
        if outcomes is not None:
            self.wishes.remove(asked)
            self.accepted += [UUID(o.ids["claim_id"]) for o in outcomes if isinstance(o, Accepted)]

    async def _say(self, word: Word, cut: Cut | None) -> Any:
        """Let somebody say something, until it is heard; return what they heard."""
        if word not in self.words:
            self.words.append(word)
        heard = await self.scene.transact(word, cut)
        if heard is not None:
            self.words.remove(word)
        return heard

    async def _redeem(self, step: Step) -> None:
        found = await self._one(USABLE, step, [way.code for way in self.ways if way.by_us])
        if found is not None:
            said = use(found.claim_id, payment="4200000000123456789123456789")
            await self._say(
                lambda conn: redeem(conn, [said], self.world.parts, wait=True), step.cut
            )

    async def _undo(self, step: Step) -> None:
        found = await self._one(DONE, step)
        if found is not None:
            said = undo(found.claim_id, str(found.request_id))
            await self._say(
                lambda conn: redeem(conn, [said], self.world.parts, wait=True), step.cut
            )

    async def _give_up(self, step: Step) -> None:
        """Let a member give a booking up: in time, late, or when it is refused."""
        found = await self._one(BOOKED, step)
        if found is not None:
            said = CancelClaim(caller="mobile", key=fresh("c"), claim_id=found.claim_id)
            await self._say(
                lambda conn: cancel(conn, [said], self.world.parts, wait=True), step.cut
            )

    async def _silence(self, step: Step) -> None:
        """Let nothing be heard from anybody until nobody is asked any more."""
        for pause_s in (*ways.SCHEDULE_S, ways.SCHEDULE_S[-1]):
            await self._work(step._replace(cut=None))
            for message in [*self.scene.wire.flying]:
                await self.scene.arrive(message, Fate.LOST)
            await self._work(step._replace(cut=None))
            await self.scene.forward(pause_s)

    async def _answer(self, step: Step) -> None:
        """Let two people say how an order ended of which its provider tells them."""
        found = await self.world.rows(MANUAL)
        if found:
            await self.answer(found[step.which % len(found)], step.cut)

    async def answer(self, order: Any, cut: Cut | None = None) -> None:
        """Let two people say of an order that is MANUAL what stands in its provider's book.

        Nothing is said of what is still under way there, or on its way to it.
        """
        number = order.request_id.hex
        wanted = self._seen(order.benefit, number)
        if wanted is None:
            return
        parts = self.world.parts
        asks = Propose[Wanted](caller="maker", key=fresh("p"), wanted=wanted, note="As they said.")
        proposed = await self._say(lambda conn: Proposals(conn, parts).propose(asks), None)
        if not isinstance(proposed, Accepted):
            return
        id_ = UUID(proposed.ids["proposal_id"])
        kept = await self.world.database.transact(
            lambda conn: agreements.one(conn, proposals.BOOK, id_)
        )
        assert kept is not None
        says = Decide(caller="checker", key=fresh("d"), proposal_id=id_, digest=kept.digest)
        await self._say(lambda conn: Proposals(conn, parts).decide(says), cut)

    def _seen(self, code: str, number: str) -> OrderWanted | None:
        """Return what a provider's people see of an order; None if not all of it is over."""
        theirs = self.scene.theirs[code]
        if any(message.number == number for message in self.scene.wire.flying):
            return None
        order, used = theirs.book.find(number), 0
        told = "nothing" if order is None else order.status(self.world.clock().timestamp())
        if told in {"pending", "partly_issued", "expired", "revoked"}:
            return None
        is_aside = told == "issued" and theirs.way.two_phase
        if order is not None and told in {"redeemed", "partly_redeemed"}:
            if order.delivered < order.quantity:
                return None  # a part they settle
            used = order.used_part or order.quantity
        delivered = not is_aside and told not in {"nothing", "rejected"}
        said = "Their mail of this day."
        return OrderWanted(number=number, delivered=delivered, evidence=said, used=used)

    async def _one(self, sql: str, step: Step, *values: object) -> Any:
        found = await self.world.rows(sql, *values)
        return found[step.which % len(found)] if found else None

    async def _work(self, step: Step) -> None:
        async with self.scene.held(self._taken()):
            await self.scene.work(step.which % 2, Worker.deliver, step.cut)

    async def _call(self, step: Step) -> None:
        """Let a worker call, one thing become of all that it asks, and let it record that."""
        fate, first = FATES[step.how % len(FATES)], step.which < 4
        await self._work(step._replace(cut=step.cut if first else None))
        for message in [*self.scene.wire.flying]:
            if not message.heard.done():
                await self.scene.arrive(message, fate)
        await self._work(step._replace(cut=None if first else step.cut))

    async def _inbox(self, step: Step) -> None:
        half = HALVES[step.how % 2]

        async def page(worker: Worker) -> int:
            return await worker._work_off_page(half)

        async with self.scene.held(self._taken()):
            await self.scene.work(step.which % 2, page, step.cut)

    async def _sweep(self, step: Step) -> None:
        await self.scene.sweep(step.which % 2, step.cut)

    async def _hold(self, step: Step) -> None:
        """Let somebody hold a member while the next step of a worker is taken."""
        self._holder = self.members[step.which % len(self.members)]

    def _taken(self) -> UUID | None:
        member, self._holder = self._holder, None
        return member

    async def _kill(self, step: Step) -> None:
        await self.scene.kill(step.which % 2)

    async def _forward(self, step: Step) -> None:
        await self.scene.forward(TIMES[step.how % len(TIMES)])

    async def _arrive(self, step: Step) -> None:
        flying = self.scene.wire.flying
        if flying:
            fate = FATES[step.how % len(FATES)]
            await self.scene.arrive(flying[step.which % len(flying)], fate)

    async def _callback(self, step: Step) -> None:
        """Let a callback come, or its provider give it up where we ask about uses ourselves."""
        due = self.scene.owed()
        if not due:
            return
        theirs, owed = due[step.which % len(due)]
        must = theirs.way.must_call or owed.number in self.scene.very_late
        # The last of them tells the truth; and of a rest nobody asks for ever.
        must = must or theirs.treats(owed.number) in CONTRARY | {Behaviour.DELIVERS_PARTLY}
        if step.how % 8 == 7 and not must:
            theirs.book.given_up(owed)
        else:
            await self.scene.call_back(theirs, owed, cut=step.cut, is_heard=step.how % 8 != 6)

    async def _at_the_desk(self, step: Step) -> None:
        """Let the provider's people do something: use what can be used, complete it, end it."""
        wanted, deed, more = DESK[step.how % len(DESK)]
        now = self.world.clock().timestamp()
        found = [
            (theirs, order.number)
            for theirs in self.scene.theirs.values()
            if theirs.way.has_desk
            for order in theirs.book.page(200, None)[0]
            if _at_desk(theirs.way, order.status(now)) in wanted
        ]
        if found:
            theirs, number = found[step.which % len(found)]
            body = msgspec.json.encode({"number": number, **more})
            await theirs.ask("POST", f"/desk/{deed}", {}, body)

    async def _retry(self, step: Step) -> None:
        found = await self._one(
            "SELECT request_id FROM provider_request WHERE operation = 'ISSUE'", step
        )
        if found is not None:
            await self.retry(found.request_id, step.cut)

    async def retry(self, request_id: UUID, cut: Cut | None = None) -> None:
        """Let an order be tried at once, as an operator does."""

        async def work(conn: Connection) -> None:
            await retry(conn, RetryOrder(caller="op", request_id=request_id), self.world.parts)

        try:
            await self.scene.transact(work, cut)
        except Refusal:
            return

    async def settle(self) -> None:
        """Let nothing go wrong any more, until nothing is under way."""
        for _ in range(300):
            await self._round()
            if not self._owed() and not await self.world.rows(UNSETTLED):
                return
            await self._pass()
        raise AssertionError("it does not come to rest")

    def _owed(self) -> bool:
        return any(one.book.next_due() is not None for one in self.scene.theirs.values())

    async def _round(self) -> None:
        """Do all that can be done now."""
        scene = self.scene
        await self._arrive_all()
        for wish_ in [*self.wishes]:
            await self._ask(wish_, None)
        for word in [*self.words]:
            await self._say(word, None)
        for theirs, owed in scene.owed():
            await scene.call_back(theirs, owed)
        done = 1
        while done:
            done = sum([await scene.work(w, Worker.deliver) for w in (0, 1)])
            await self._arrive_all()
            done += await scene.work(0, Worker.work_off)
        await scene.sweep(0, None)

    async def _arrive_all(self) -> None:
        """Let all that is on its way arrive, but for what comes after the grace."""
        for message in [*self.scene.wire.flying]:
            if not message.is_very_late:
                await self.scene.arrive(message, Fate.GOOD)

    async def _pass(self) -> None:
        """Go on to when something is due next."""
        now = self.world.clock()
        ((at,),) = await self.world.rows(NEXT, now)
        next_s = [(at - now).total_seconds()] if at else []
        due = [one.book.next_due() for one in self.scene.theirs.values()]
        next_s += [one - now.timestamp() for one in due if one is not None]
        await self.scene.forward(max(min(next_s, default=60.0), 1.0))

    async def end(self) -> None:
        """Come to rest; look once more at what is watched; let people retry what is left.

        What arrives after the grace arrives when its order was believed refused.
        """
        await self.settle()
        for message in [*self.scene.wire.flying]:
            await self.scene.arrive(message, Fate.GOOD)
        await self.settle()
        for _ in range(2):
            await self.scene.forward(2 * ways.SCHEDULE_S[-1])
            await self.settle()
        await self.hold_cases()
        for _ in range(3):  # what arrives only now meets its provider's fault only now
            await self.scene.forward(ways.GRACE_S)
            for place, order in enumerate(await self.world.rows(MANUAL)):
                if place % 2:
                    await self.answer(order)
                else:
                    await self.retry(order.request_id)
            await self.settle()

    async def hold_cases(self) -> None:
        """Hold that of each order that is left to a person an open case tells."""
        found = await self.world.rows(
            "SELECT state FROM claim AS c WHERE state = 'MANUAL' AND NOT EXISTS (SELECT FROM "
            "case_file AS f WHERE f.claim_id = c.claim_id AND f.closed_at IS NULL)"
        )
        assert [] == found
