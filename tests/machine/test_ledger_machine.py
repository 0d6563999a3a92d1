"""A random life of the ledger on PostgreSQL, compared with a model after each step."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from benefits.actions.claim import ClaimUnits
from benefits.actions.deliver import Work
from benefits.actions.grant import RewardMember
from benefits.actions.keyed import Accepted
from benefits.domain.corrections import Fault, Kind, Why
from benefits.domain.events import EVENTS, REASONS
from benefits.domain.orders import NotFound, NotSent, Operation, Outcome, Unknown
from benefits.domain.values import end_of, local_date, time_ordered_id
from benefits.store import feed
from tests import builders
from tests.actions import desk, life
from tests.builders import NOON, World, reference_programme
from tests.conftest import database
from tests.machine.answers import ANSWERED, REFUSED, TOLD
from tests.machine.books import broken
from tests.machine.holdings import LOCAL, Claim
from tests.machine.model import Model
from tests.machine.programme import TERMS, UNDECIDED, small_programme

EXAMPLES = int(os.environ.get("BENEFITS_MACHINE_EXAMPLES", "0"))  # as many new lives
STEPS = int(os.environ.get("BENEFITS_MACHINE_STEPS", "50"))
GRACE = timedelta(seconds=600)
BENEFITS = st.sampled_from(sorted(TERMS))
QUANTITIES = st.sampled_from([1, 1, 1, 2, 3])
Result = TypeVar("Result")


class Counted:
    """Ids that are the same in every run, so that a failing life can be lived again."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, at: datetime, bucket: int) -> UUID:
        """Return the next id."""
        self.n += 1
        chance = hashlib.blake2b(str(self.n).encode(), digest_size=8).digest()
        return time_ordered_id(at, chance, bucket)


class Ledger(RuleBasedStateMachine):
    """Members who are given units, claim them, and hear from a provider whatever it pleases."""

    dsn = ""
    template = ""
    wishes = Bundle("wishes")
    gifts = Bundle("gifts")
    works = Bundle("works")
    told = Bundle("told")

    def __init__(self) -> None:
        """Begin with a database of its own."""
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.stack = AsyncExitStack()
        self.model = Model(TERMS)
        self.keys = 0
        self.inbox: list[tuple[UUID, Outcome]] = []

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run to the end."""
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        """Put the programme into force and enrol three members."""

        async def begin() -> World:
            dsn = await self.stack.enter_async_context(database(self.dsn, self.template))
            world = await self.stack.enter_async_context(builders.world(dsn))
            world.parts = msgspec.structs.replace(world.parts, new_id=Counted())
            await world.apply(small_programme())
            return world

        self.world = self.run(begin())
        self.members = self.run(self.world.members(3))

    def teardown(self) -> None:
        """Verify the books, then drop the database."""
        try:
            if hasattr(self, "members"):
                assert [] == self.run(self.world.findings())
                assert [] == self.run(broken(self.world))
                self.run(self.compare_events())
        finally:
            self.run(self.stack.aclose())
            self.runner.close()

    @property
    def now(self) -> datetime:
        """Tell the time."""
        return self.world.clock.now

    def key(self) -> str:
        """Return a fresh key."""
        self.keys += 1
        return f"key{self.keys}"

    @rule(
        target=gifts,
        who=st.integers(0, 2),
        benefit=BENEFITS,
        quantity=QUANTITIES,
        days=st.sampled_from([1, 3, 40]),
    )
    def grant(self, who: int, benefit: str, quantity: int, days: int) -> RewardMember:
        """Grant units: they make a lot through the last day."""
        member, key = self.members[who], self.key()
        more = {"quantity": quantity, "valid_days": days, "key": key, "business_key": key}
        command = life.gift(member, benefit, **more)
        (outcome,) = self.run(life.give(self.world, command))
        assert isinstance(outcome, Accepted)
        zone = reference_programme().tz
        last = local_date(self.now, zone) + timedelta(days=days)
        lot_id = UUID(outcome.ids["lot_id"])
        self.model.grant(lot_id, member, benefit, quantity=quantity, end=end_of(last, zone))
        return command

    @rule(command=gifts)
    def grant_again(self, command: RewardMember) -> None:
        """Grant under the same key, and under the same business key: nothing more is given."""
        other = msgspec.structs.replace(command, key=self.key())
        same, second = self.run(life.give(self.world, command, other))
        assert isinstance(same, Accepted)
        assert isinstance(second, Accepted)
        assert (True, same.ids["lot_id"], "0") == (
            same.replayed,
            second.ids["lot_id"],
            second.ids["granted"],
        )

    @rule(
        target=wishes,
        wanted=st.lists(
            st.tuples(st.integers(0, 2), BENEFITS, QUANTITIES), min_size=1, max_size=4
        ),
    )
    def claim(self, wanted: list[tuple[int, str, int]]) -> Any:
        """Claim in one group what the model decides one after the other."""
        commands = [
            life.wish(self.members[who], benefit, quantity=quantity, key=self.key())
            for who, benefit, quantity in wanted
        ]
        outcomes = self.run(life.decide(self.world, *commands))
        for command, outcome in zip(commands, outcomes, strict=True):
            asked = (command.member_id, command.benefit, command.quantity, self.now)
            refusals = self.model.answer(*asked)
            assert life.said(outcome) in (refusals or {"ok"})
            if isinstance(outcome, Accepted):
                self.model.claim(
                    UUID(outcome.ids["claim_id"]), *asked[:2], quantity=asked[2], now=asked[3]
                )
        return multiple(*zip(commands, outcomes, strict=True))

    @rule(one=wishes)
    def claim_again(self, one: tuple[ClaimUnits, Any]) -> None:
        """Claim again: the same key has the same outcome once; another body conflicts."""
        command, before = one
        other = msgspec.structs.replace(command, quantity=command.quantity + 1)
        again, conflict = self.run(life.decide(self.world, command, other))
        assert msgspec.structs.replace(before, replayed=True) == again
        assert "idempotency_key_conflict" == life.said(conflict)

    @rule(target=works, limit=st.sampled_from([1, 2, 50]))
    def lease(self, limit: int) -> Any:
        """Take requests for an attempt each, at most one a lane."""
        works = self.run(life.lease(self.world, limit))
        lanes = [(work.request.member_id, work.request.sku) for work in works]
        assert len(set(lanes)) == len(lanes)
        for work in works:
            self.model.leased(work.request.claim_id)
        return multiple(*works)

    @rule(work=works, outcome=st.sampled_from(ANSWERED))
    def record(self, work: Work, outcome: Outcome) -> None:
        """End an attempt, in time or late, perhaps twice."""
        claim_id, sent_by = work.request.claim_id, work.request.sent_by
        query = work.call.operation is Operation.QUERY
        newest = self.run(self.is_newest(work))
        self.run(life.record(self.world, work, outcome))
        if isinstance(outcome, NotSent) and newest and not query:
            self.model.not_sent(claim_id)
        elif isinstance(outcome, NotFound) and sent_by and self.now - sent_by >= GRACE:
            self.model.rejected(claim_id, self.now)
        elif isinstance(outcome, NotSent | NotFound | Unknown):
            self.model.undecided(claim_id)
        else:
            self.model.learn(claim_id, outcome, self.now)

    async def is_newest(self, work: Work) -> bool:
        """Say whether no later attempt was made."""
        found = await self.world.rows(
            "SELECT attempt FROM provider_request WHERE request_id = $1", work.request.request_id
        )
        return bool(found[0].attempt == work.request.attempt)

    @precondition(lambda self: self.model.claims)
    @rule(target=told, nth=st.integers(0, 3), outcome=st.sampled_from(TOLD))
    def call_back(self, nth: int, outcome: Outcome) -> tuple[str, str, Outcome]:
        """Receive a callback, about any order, saying anything."""
        claim_id, _ = self.nth_claim(nth)
        number = self.run(life.number_of(self.world, claim_id))
        event = self.key()
        self.world.clock.forward(seconds=1)
        assert 1 == self.run(life.tell(self.world, number, outcome, event))
        self.inbox.append((claim_id, outcome))
        return event, number, outcome

    @rule(
        who=st.integers(0, 2),
        benefit=BENEFITS,
        quantity=QUANTITIES,
        told=st.lists(st.sampled_from(TOLD), max_size=4),
    )
    def be_served(self, who: int, benefit: str, quantity: int, told: list[Outcome]) -> None:
        """Be given units, claim them, and hear of them; or nothing, for a month."""
        self.grant(who, benefit, quantity, 40)
        before = len(self.model.claims)
        self.claim([(who, benefit, quantity)])
        if len(self.model.claims) == before:
            return
        if told:
            for outcome in told:
                self.call_back(before, outcome)
            self.work_off()
            return
        works = self.run(life.lease(self.world))
        for work in works:
            self.model.leased(work.request.claim_id)
        self.wait(3_000_000)
        for work in works:
            self.record(work, Unknown("timeout"))

    @rule(who=st.integers(0, 2), benefit=BENEFITS, quantity=QUANTITIES, told=st.sampled_from(TOLD))
    def be_served_late(self, who: int, benefit: str, quantity: int, told: Outcome) -> None:
        """Claim again what a refusal gave back, then hear of the order that was refused."""
        before = len(self.model.claims)
        self.be_served(who, benefit, quantity, [REFUSED])
        if len(self.model.claims) > before:
            self.claim([(who, benefit, quantity)])
            self.call_back(before, told)
            self.work_off()

    @rule(one=told)
    def call_back_again(self, one: tuple[str, str, Outcome]) -> None:
        """Receive a callback that is known: it is not kept again."""
        event, number, outcome = one
        assert 0 == self.run(life.tell(self.world, number, outcome, event))

    @precondition(lambda self: self.inbox)
    @rule()
    def work_off(self) -> None:
        """Apply callbacks in the order in which they came."""
        assert len(self.inbox) == self.run(life.work_off(self.world))
        for claim_id, outcome in self.inbox:
            self.model.learn(claim_id, outcome, self.now)
        self.inbox = []

    @rule()
    def expire_lots(self) -> None:
        """Sweep up what has ended."""
        self.run(life.expire_lots(self.world))
        self.model.expire(self.now)

    @rule()
    def lapse_holds(self) -> None:
        """Sweep up what was never sent."""
        self.run(life.lapse_holds(self.world))
        self.model.lapse(self.now)

    def nth_claim(
        self, nth: int, fits: Callable[[Claim], bool] = lambda _: True
    ) -> tuple[UUID, UUID]:
        """Return a claim, mostly one that fits if there is one, and whose it is."""
        every = list(self.model.claims)
        fitting = [id_ for id_, claim in self.model.claims.items() if fits(claim)]
        among = fitting if fitting and nth % 4 else every
        claim_id = among[nth % len(among)]
        return claim_id, self.model.claims[claim_id].member

    def by_two(self, kind: Kind, member: UUID, quantity: int, expected: str, **more: Any) -> bool:
        """Let two people correct; they hear what the model says. Say whether it was done."""
        assert expected == self.run(desk.correct(self.world, kind, member, quantity, **more))
        return expected == "ok"

    @precondition(lambda self: self.model.claims)
    @rule(
        nth=st.integers(0, 5),
        quantity=st.sampled_from([1, 1, 2]),
        why=st.sampled_from([Why.NOT_DELIVERED, Why.GOODWILL]),
    )
    def reverse(self, nth: int, quantity: int, why: Why) -> None:
        """Two people give spent units back."""
        claim_id, member = self.nth_claim(nth, lambda claim: any(claim.captured.values()))
        expected = self.model.may_reverse(claim_id, quantity)
        more = {"claim_id": claim_id, "why": why}
        if self.by_two(Kind.REVERSE, member, quantity, expected, **more):
            came = why is not Why.NOT_DELIVERED
            self.model.reverse(claim_id, quantity, self.now, came=came)

    @precondition(lambda self: self.model.claims)
    @rule(nth=st.integers(0, 5), quantity=st.sampled_from([1, 1, 2]), fault=st.sampled_from(Fault))
    def make_good(self, nth: int, quantity: int, fault: Fault) -> None:
        """Two people replace what an order took and did not bring."""
        claim_id, member = self.nth_claim(nth, lambda claim: claim.state != "OPEN")
        expected = self.model.may_make_good(claim_id, quantity)
        more = {"claim_id": claim_id, "fault": fault, "valid_days": 7}
        if self.by_two(Kind.MAKE_GOOD, member, quantity, expected, **more):
            zone = reference_programme().tz
            end = end_of(local_date(self.now, zone) + timedelta(days=7), zone)
            found = self.run(self.world.rows("SELECT lot_id FROM lot"))
            (lot_id,) = {row[0] for row in found} - self.model.lots.keys()
            new = (lot_id, end)
            self.model.make_good(claim_id, new, quantity, fault=fault, now=self.now)

    @precondition(lambda self: self.model.claims)
    @rule(nth=st.integers(0, 5), quantity=st.sampled_from([1, 1, 2]))
    def recover(self, nth: int, quantity: int) -> None:
        """Two people let what was delivered without entitlement be no loss any more."""
        claim_id, member = self.nth_claim(nth, lambda claim: bool(claim.losses))
        expected = self.model.may_recover(claim_id, quantity)
        if self.by_two(Kind.RECOVER, member, quantity, expected, claim_id=claim_id):
            self.model.recover(claim_id, quantity)

    @precondition(lambda self: self.model.claims)
    @rule(
        nth=st.integers(0, 5), minor=st.sampled_from([1, 1000, 1234]), fault=st.sampled_from(Fault)
    )
    def clear(self, nth: int, minor: int, fault: Fault) -> None:
        """Two people end a charge for a make-good, or some of it."""
        claim_id, member = self.nth_claim(nth, lambda claim: claim.charged > 0)
        expected = self.model.may_clear(claim_id, minor)
        more = {"claim_id": claim_id, "fault": fault}
        if self.by_two(Kind.CLEAR, member, minor, expected, **more):
            self.model.clear(claim_id, minor, fault)

    @precondition(lambda self: self.model.claims)
    @rule(nth=st.integers(0, 5), delivered=st.sampled_from([0, 1, 2]))
    def settle(self, nth: int, delivered: int) -> None:
        """Two people end an order that was left to them, or try to end any other."""
        found = self.run(self.world.rows("SELECT claim_id FROM claim WHERE state = 'MANUAL'"))
        manual = [self.model.claims[row[0]] for row in found]
        claim_id, member = self.nth_claim(nth, lambda claim: claim in manual)
        claim = self.model.claims[claim_id]
        expected = "ok" if delivered <= claim.quantity else "correction_exceeds"
        if claim not in manual:
            expected = "order_unfit"
        if self.by_two(Kind.SETTLE, member, delivered, expected, claim_id=claim_id):
            self.model.settle(claim_id, delivered, self.now)

    @precondition(lambda self: self.model.lots)
    @rule(nth=st.integers(0, 5), quantity=QUANTITIES)
    def revoke(self, nth: int, quantity: int) -> None:
        """Two people take back what of a lot was not used."""
        lot_id = list(self.model.lots)[nth % len(self.model.lots)]
        expected = self.model.may_revoke(lot_id, quantity, self.now)
        member = self.model.lots[lot_id].member
        if self.by_two(Kind.REVOKE, member, quantity, expected, lot_id=lot_id):
            self.model.revoke(lot_id, quantity)

    @rule(who=st.integers(0, 2), benefit=BENEFITS, quantity=QUANTITIES)
    def claw_back(self, who: int, benefit: str, quantity: int) -> None:
        """Two people take units back, used ones too."""
        member = self.members[who]
        expected = self.model.may_claw_back(member, benefit, quantity, self.now)
        if self.by_two(Kind.CLAW_BACK, member, quantity, expected, benefit=benefit):
            self.model.claw_back(member, benefit, quantity, self.now)

    @precondition(lambda self: any(self.model.owed.values()))
    @rule(nth=st.integers(0, 2), quantity=QUANTITIES)
    def forgive(self, nth: int, quantity: int) -> None:
        """Two people write off what a member owes."""
        owing = [one for one, units in self.model.owed.items() if units]
        member, benefit = owing[nth % len(owing)]
        expected = self.model.may_forgive(member, benefit, quantity)
        if self.by_two(Kind.FORGIVE, member, quantity, expected, benefit=benefit):
            self.model.forgive(member, benefit, quantity)

    @rule(seconds=st.sampled_from([1, 60, 660, 7200, 80_000, 300_000, 3_000_000]))
    def wait(self, seconds: int) -> None:
        """Let time go by, while the database has months for it."""
        if self.now < NOON + timedelta(days=120):
            self.world.clock.forward(seconds=seconds)

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        """Hold lots, wallets, claims, caps, stock and budgets against the model."""
        if hasattr(self, "members"):
            self.run(self.compare())

    async def compare(self) -> None:
        """Compare every table with the model."""
        world, model = self.world, self.model
        lots = await world.rows(
            "SELECT lot_id, granted, remaining, held, expired, redeemed FROM lot"
        )
        assert {
            id_: (lot.granted, lot.available + lot.held, lot.held, lot.expired, lot.redeemed)
            for id_, lot in model.lots.items()
        } == {row[0]: tuple(row[1:]) for row in lots}
        for lot in model.lots.values():
            parts = (lot.available, lot.held, lot.redeemed, lot.expired, lot.revoked)
            assert (lot.granted, True) == (sum(parts), min(parts) >= 0)
        claims = await world.rows("SELECT claim_id, state FROM claim")
        assert {id_: claim.state for id_, claim in model.claims.items()} == {
            row[0]: "OPEN" if row[1] in UNDECIDED else row[1] for row in claims
        }
        await self.compare_wallets()
        await self.compare_counters()

    async def compare_wallets(self) -> None:
        """Compare wallets with the sums of the model's lots."""
        sums = dict[tuple[UUID, str], list[int]]()
        for lot in self.model.lots.values():
            wallet = sums.setdefault((lot.member, f"BENEFIT:{lot.benefit}"), [0, 0])
            wallet[0] += lot.available
            wallet[1] += lot.held
        kept = await self.world.rows("SELECT member_id, unit, available, held, owed FROM wallet")
        assert sums == {(row[0], row[1]): [row[2], row[3]] for row in kept}
        owed = {(row[0], row[1].partition(":")[2]): row[4] for row in kept if row[4]}
        assert {one: units for one, units in self.model.owed.items() if units} == owed

    async def compare_events(self) -> None:
        """Hold every event against the catalogue: its type, its data, its place in the feed."""
        async with self.world.database.transaction() as conn:
            page = await feed.page(conn, None, limit=10_000)
        assert not page.more
        count = await self.world.rows("SELECT count(*) FROM outbox")
        assert [(len(page.events),)] == [tuple(row) for row in count]
        last = dict[UUID, int]()
        for event in page.events:
            assert last.get(event.member_id, 0) + 1 == event.seq
            last[event.member_id] = event.seq
            data: Any = msgspec.convert(event.data, EVENTS[event.type].data)
            assert getattr(data, "reason", "") in REASONS

    async def compare_counters(self) -> None:
        """Compare caps, stock and budgets with the model's claims; none may be exceeded."""
        used = await self.world.rows('SELECT member_id, "window", used FROM member_counter')
        for member, window, units in used:
            assert units == self.model.used(member, "VIDEO", window) <= (TERMS["VIDEO"].cap or 0)
        kept = {
            row[0]: (row[1], row[2])
            for row in await self.world.rows("SELECT counter, reserved, spent FROM counter")
        }
        expected = {"stock:VIDEO": self.model.in_stock("VIDEO")}
        for benefit, terms in TERMS.items():
            reserved, spent = self.model.taken(benefit)
            expected[f"budget:{benefit.lower()}"] = (reserved, spent)
            assert reserved + spent <= terms.budget
        assert expected == kept
        assert sum(kept["stock:VIDEO"]) <= (TERMS["VIDEO"].stock or 0)
        borne = [await desk.money(self.world, account) for account in ("loss", "suspense")]
        assert self.model.money() == tuple(borne)


def test_a_random_life_leaves_the_books_as_the_rules_say(migrated: str, cluster_dsn: str) -> None:
    """Whatever happens in whatever order, the ledger and a model agree (I1 to I8, I12)."""
    assert timedelta(hours=8) == LOCAL
    machine = type("Life", (Ledger,), {"dsn": cluster_dsn, "template": migrated})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES or 10,
            derandomize=not EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
