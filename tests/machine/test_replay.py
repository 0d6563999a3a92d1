"""Concurrent clients on PostgreSQL, then their committed log lived again by the model."""

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from benefits.actions import deliver, edges, expire, receive
from benefits.actions.claim import claim
from benefits.actions.deliver import Attempt, Work
from benefits.actions.grant import reward
from benefits.actions.parts import Parts
from benefits.domain.orders import (
    Done,
    NotFound,
    Notice,
    NotSent,
    Outcome,
    Pending,
    Reason,
    Rejected,
    Revoked,
    Unknown,
    Used,
)
from benefits.store.db import Connection
from benefits.store.group import Group
from tests.actions import life
from tests.builders import NOON, World
from tests.machine.books import broken
from tests.machine.model import Model
from tests.machine.programme import TERMS, UNDECIDED, small_programme
from tests.machine.replay import Replay
from tests.machine.witness import Step, Witness, answers

SEEDS = range(int(os.environ.get("BENEFITS_REPLAY_SEEDS", "1")))
CLIENTS = int(os.environ.get("BENEFITS_REPLAY_CLIENTS", "16"))
STEPS = int(os.environ.get("BENEFITS_REPLAY_STEPS", "20"))
MEMBERS = 4
GRACE = timedelta(seconds=600)
STRANGER = UUID(int=7)
TOLD: list[Outcome] = [
    *(Done(at=NOON, reference="R", code="C"), Used(at=NOON), Pending(), Revoked(NOON)),
    *(Rejected(Reason.LIMIT, "limit"), Rejected(Reason.LIMIT, "limit")),
]
ANSWERED = [*TOLD, NotSent("no route"), Unknown("timeout"), NotFound()]
EVENTS = """
SELECT e.xmin::text::bigint AS xid, e.type, e.subject_id, e.data FROM outbox AS e
WHERE e.type IN ('entitlement.expired', 'order.expired')
"""


@dataclass
class Bank:
    """The clients of one installation, and what they share: members, keys, orders."""

    world: World
    members: Sequence[UUID]
    witness: Witness
    chance: random.Random
    claims: list[Group[Any, Any]] = field(default_factory=list)
    rewards: list[Group[Any, Any]] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    told: list[tuple[Any, Any]] = field(default_factory=list)

    async def client(self) -> None:
        """Do one thing after the other, whatever comes to mind."""
        deeds = {
            self.claim: 8,
            self.reward: 4,
            self.lease: 3,
            self.answer: 3,
            self.call_back: 3,
            self.expire: 1,
            self.lapse: 1,
            self.wait: 1,
        }
        for _ in range(STEPS):
            (deed,) = self.chance.choices(list(deeds), list(deeds.values()))
            await deed()

    def somebody(self) -> UUID:
        """Return a member, or now and then nobody."""
        return self.chance.choice([*self.members, *self.members, *self.members, STRANGER])

    async def claim(self) -> None:
        """Claim, often under a key that was used before."""
        quantity = self.chance.choice([1, 1, 1, 1, 2, 3, 0])
        benefit = self.chance.choice(["VIDEO", "LOUNGE"] * 8 + ["NOTHING"])
        recipient = self.chance.choice([life.PHONE] * 12 + [{}])
        more = {"quantity": quantity, "recipient": recipient, "key": self.key()}
        command = self.again("claim") or life.wish(self.somebody(), benefit, **more)
        self.told.append((command, await self.chance.choice(self.claims).submit(command)))

    async def reward(self) -> None:
        """Reward; two systems may mean the same reward."""
        quantity, days = self.chance.choice([1, 2, 3]), self.chance.choice([1, 3, 40])
        business = f"b{self.chance.randrange(200)}"
        more = {"quantity": quantity, "valid_days": days, "business_key": business}
        benefit = self.chance.choice(["VIDEO", "LOUNGE"])
        fresh = life.gift(self.somebody(), benefit, key=self.key(), **more)
        command = self.again("reward") or fresh
        self.told.append((command, await self.chance.choice(self.rewards).submit(command)))

    def again(self, operation: str) -> Any:
        """Return a command that somebody sent before, now and then."""
        sent = [command for command, _ in self.told if command.request_key.operation == operation]
        return self.chance.choice(sent) if sent and self.chance.random() < 0.2 else None

    def key(self) -> str:
        """Return a key of a few hundred, so that some come twice, with the same body or not."""
        return f"k{self.chance.randrange(CLIENTS * STEPS)}"

    async def alone(self, kind: str, asked: Any, work: Any) -> Any:
        """Run a transaction as the worker does: again when a race is lost."""

        async def seen(conn: Connection) -> Any:
            async def bound(parts: Parts) -> Any:
                return await work(conn, parts)

            return await self.witness.see(conn, kind, asked, bound)

        return await self.world.database.transact(seen)

    async def lease(self) -> None:
        """Take a few requests for an attempt each."""
        limit = self.chance.choice([1, 3])

        async def work(conn: Connection, parts: Parts) -> Any:
            return await deliver.lease(conn, parts, buckets=life.EVERYWHERE, limit=limit)

        self.works += await self.alone("lease", None, work)

    async def answer(self) -> None:
        """Record what came of an attempt, in time or late, perhaps twice."""
        if not self.works:
            return
        asked = (self.chance.choice(self.works[-8:]), self.chance.choice(ANSWERED))

        async def work(conn: Connection, parts: Parts) -> Any:
            await deliver.record(conn, [Attempt(*asked)], parts)

        await self.alone("record", asked, work)

    async def call_back(self) -> None:
        """Receive a callback about any order, or one that came before; work it off twice."""
        if self.notices and self.chance.random() < 0.2:
            notice = self.chance.choice(self.notices)
        elif self.works:
            number = self.chance.choice(self.works).call.number
            outcome = self.chance.choice(TOLD)
            notice = Notice(event_id=life.fresh("e"), number=number, outcome=outcome)
            self.notices.append(notice)
        else:
            return
        await life.tell(self.world, notice.number, notice.outcome, notice.event_id)

        async def work(conn: Connection, parts: Parts) -> Any:
            await receive.work_off_one(conn, parts, "sandbox", notice.event_id)

        await asyncio.gather(*(self.alone("callback", notice.event_id, work) for _ in "12"))
        waits = "SELECT FROM inbox WHERE event_id = $1 AND processed_at IS NULL"
        while await self.world.rows(waits, notice.event_id):  # somebody held the member
            await self.alone("callback", notice.event_id, work)

    async def expire(self) -> None:
        """Sweep up what has ended."""

        async def work(conn: Connection, parts: Parts) -> Any:
            return await expire.expire_lots(conn, parts, buckets=life.EVERYWHERE, limit=3)

        await self.alone("expire", None, work)

    async def lapse(self) -> None:
        """Sweep up what was never sent."""

        async def work(conn: Connection, parts: Parts) -> Any:
            return await expire.lapse_holds(conn, parts, buckets=life.EVERYWHERE, limit=3)

        await self.alone("lapse", None, work)

    async def wait(self) -> None:
        """Let time go by for everybody."""
        self.world.clock.forward(seconds=self.chance.choice([1, 60, 700, 7200, 80_000, 200_000]))


async def live(world: World, seed: int) -> tuple[Bank, Replay]:
    """Let clients live at once on a few members; return them and a replay that knows nothing."""
    await world.apply(small_programme())
    members = await world.members(MEMBERS)
    bank = Bank(world, members, Witness(world), random.Random(seed))
    await bank.witness.install()
    for groups, action in ((bank.claims, claim), (bank.rewards, reward)):
        kind = "claim" if action is claim else "reward"
        for _ in "12":
            groups.append(Group(world.database, answers(bank.witness, kind, action), kind))
    for group in (*bank.claims, *bank.rewards):
        group.start()
    await asyncio.gather(*(bank.client() for _ in range(CLIENTS)))
    for group in (*bank.claims, *bank.rewards):
        await group.close()
    replay = Replay(Model(TERMS), members, GRACE)
    by_number = {work.call.number: work.request.claim_id for work in bank.works}
    replay.callbacks = {n.event_id: (by_number[n.number], n.outcome) for n in bank.notices}
    return bank, replay


@pytest.mark.parametrize("groups", [edges.GROUPS, 1])
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_committed_log_of_concurrent_clients_is_what_the_model_says(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int, groups: int
) -> None:
    """In the order of commits each outcome, refusals too, is the rules' own (I2 to I8, I14).

    So it is where claims keep far from the edges of what they share, and where as near as can be.
    """
    monkeypatch.setattr(edges, "GROUPS", groups)
    bank, replay = await live(world, seed)
    happened = dict[int, list[Any]]()
    for event in await world.rows(EVENTS):
        happened.setdefault(event.xid, []).append(event)
    applied = set[str]()
    for xid, step in await bank.witness.committed():
        if step.kind == "callback":
            assert step.asked not in applied
            applied.add(step.asked)
        replay.live(step, happened.get(xid, []))
    assert applied == {notice.event_id for notice in bank.notices}
    _compare_answers(replay, bank)
    _compare_unseen(await bank.witness.unseen())
    await _compare_books(world, replay)
    assert [] == await world.findings()
    assert [] == await broken(world)
    assert {"ok", "replayed"} < replay.codes
    assert len(replay.codes) > 4  # some refusals, too


def _compare_answers(replay: Replay, bank: Bank) -> None:
    """Whatever a client heard is what its key keeps: one outcome, whoever asked how often."""
    for command, outcome in bank.told:
        key = (command.request_key.caller, command.request_key.operation, command.key)
        if life.said(outcome) == "idempotency_key_conflict":
            assert replay.known[key][0] != command.body
        elif key in replay.known and replay.known[key][0] == command.body:
            before = replay.known[key][1]
            ids = getattr(outcome, "ids", None)
            assert before == (life.said(outcome) if ids is None else ids)
        else:
            assert "unknown_member" == life.said(outcome)


def _compare_unseen(steps: Sequence[Step]) -> None:
    """A transaction that wrote nothing answered nothing that is kept."""
    for step in steps:
        if step.kind in {"claim", "reward"}:
            codes = {life.said(outcome) for outcome in step.answered}
            assert codes <= {"busy", "unknown_member", "idempotency_key_conflict"}


async def _compare_books(world: World, replay: Replay) -> None:
    """Lots, wallets, claims, counters and keys are those of the model."""
    model = replay.model
    lots = await world.rows("SELECT lot_id, granted, remaining, held, expired, redeemed FROM lot")
    assert {
        id_: (x.granted, x.available + x.held, x.held, x.expired, x.redeemed)
        for id_, x in model.lots.items()
    } == {row[0]: tuple(row[1:]) for row in lots}
    claims = await world.rows("SELECT claim_id, state FROM claim")
    assert {id_: one.state for id_, one in model.claims.items()} == {
        row[0]: "OPEN" if row[1] in UNDECIDED else row[1] for row in claims
    }
    shared = await world.rows("SELECT counter, reserved, spent FROM counter ORDER BY 1")
    assert _shared(model) == [tuple(row) for row in shared]
    for member, window, used in await world.rows(
        'SELECT member_id, "window", used FROM member_counter'
    ):
        assert model.used(member, "VIDEO", window) == used <= (TERMS["VIDEO"].cap or 0)
    keys = await world.rows("SELECT caller, operation, key, refusal, ids FROM request")
    assert {key: outcome for key, (_, outcome) in replay.known.items()} == {
        (row.caller, row.operation, row.key): row.refusal or row.ids for row in keys
    }


def _shared(model: Model) -> list[tuple[str, int, int]]:
    found = [("stock:VIDEO", *model.in_stock("VIDEO"))]
    for benefit, terms in TERMS.items():
        reserved, spent = model.taken(benefit)
        assert reserved + spent <= terms.budget
        found.append((f"budget:{benefit.lower()}", reserved, spent))
    return sorted(found)
