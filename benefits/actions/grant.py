"""Grant entitlements: a reward the CRM triggers, and the units a tier brings (N-2, P-3, P-4)."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Self
from uuid import UUID

import msgspec

from benefits.actions.claim import QUANTITY_MAX, QuantityInvalid, UnknownBenefit, UnknownMember
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.new_lots import GrantFor, add_lot
from benefits.actions.parts import Parts
from benefits.domain import entitlement, guard, units
from benefits.domain.benefit import Benefit
from benefits.domain.blocks import Block, Blocked, stop_reward
from benefits.domain.catalogue import Plan
from benefits.domain.compliance import Trigger
from benefits.domain.programme import Item, Programme
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.units import Quantity, QuantityTooFine, UnitsDrawn
from benefits.domain.values import end_of, local_date
from benefits.store import blocks, members, merged, tiers
from benefits.store import ledger as books
from benefits.store.db import Busy, Connection
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.requests import RequestKey
from benefits.store.tiers import GrantRow, RewardKey

OPERATION = "reward"
VALID_DAYS_MAX = 3660
AT_ONCE = 200  # rows of a list decided before others have their turn


class ValidDaysInvalid(Refusal):
    """The life of a reward is not between 1 and 3660 days."""

    code = "valid_days_invalid"
    words = "valid_days must be between 1 and 3660."


class ExpiresOnInvalid(Refusal):
    """The last day of a reward is over, or more than 3660 days away."""

    code = "expires_on_invalid"
    words = "expires_on must be today or a day at most 3660 days away."


class RewardMember(msgspec.Struct, frozen=True, kw_only=True):
    """A reward for one member; two systems with one `business_key` reward only once (N-2).

    The `benefit` may be a choice: the member chooses for its units as for those of a line (P-8).
    `quantity` is in whole units, in its plain form; it is exact, and may be a part of one (C-2).
    It lasts `valid_days` days after today, or through `expires_on` where a list names a day. It is
    for the `trigger` that is named, or for any that the benefit declares (X-1).
    """

    caller: str
    key: str
    member_id: UUID
    benefit: str
    quantity: Quantity
    business_key: str
    valid_days: int
    expires_on: date | None = None
    trigger: Trigger | None = None

    @property
    def sender(self) -> str:
        """Who stands alone when a command fails."""
        return self.caller

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: by the key alone, so that another member's is found."""
        return RequestKey.placed(self.caller, OPERATION, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        return body_hash(
            [
                self.member_id.hex,
                self.benefit,
                self.quantity,
                self.business_key,
                self.valid_days,
                *([self.trigger] if self.trigger else []),
            ]
        )


class _Group:
    """Rewards of one transaction while they are decided, by request, in a group or by file."""

    def __init__(
        self, parts: Parts, plan: Plan, locked: dict[UUID, Member], busy: set[UUID]
    ) -> None:
        self.locked = locked
        self.busy = busy
        self.now = parts.clock()
        self.items = plan.at(self.now).items
        self.journal = Journal(locked, self.now, parts.new_id)
        self.rewarded: dict[RewardKey, UUID] = {}
        self.blocks: dict[UUID, list[Block]] = {}
        self.grants: list[GrantRow] = []

    @classmethod
    async def begin(
        cls, conn: Connection, commands: Sequence[RewardMember], parts: Parts, *, wait: bool
    ) -> Self:
        """Lock the members, then read which of the rewards were given before."""
        held = await members.hold(conn, (c.member_id for c in commands), wait=wait)
        plan = await parts.catalogue.plan(conn)  # as it is once the members are held
        locked = held.locked | {id_: held.locked[other] for id_, other in held.moved.items()}
        group = cls(parts, plan, locked, held.busy)
        keys = [
            group._reward_key(locked[c.member_id].member_id, c)
            for c in commands
            if c.benefit in group.items and c.member_id in locked
        ]
        if keys:
            group.blocks = await blocks.of(conn, locked.values())
            taken = [one.member_id for one in locked.values() if one.has_merged]
            into = await merged.along(conn, taken)
            group.rewarded = await tiers.rewarded(conn, keys, into=into)
            pairs = [(member_id, group.items[code][1].unit) for member_id, _, code, _ in keys]
            group.journal.load_owed(await books.owed(conn, pairs))
        return group

    def _reward_key(self, member_id: UUID, command: RewardMember) -> RewardKey:
        programme, item = self.items[command.benefit]
        return (member_id, programme.code, item.code, command.business_key)

    def decide(self, command: RewardMember) -> Accepted | Refusal:
        """Grant one reward, or name the lot that the same business key made before."""
        if command.member_id not in self.locked:
            return Busy() if command.member_id in self.busy else UnknownMember()
        if not 0 < command.quantity <= QUANTITY_MAX:
            return QuantityInvalid()
        if command.expires_on is None and not 1 <= command.valid_days <= VALID_DAYS_MAX:
            return ValidDaysInvalid()
        if command.benefit not in self.items:
            return UnknownBenefit()
        programme, item = self.items[command.benefit]
        if isinstance(item, Benefit) and item.draws:
            return UnitsDrawn(f"Reward units of {item.draws}: {item.code} draws.")
        against = guard.check_reward(programme, item, command.trigger, command.quantity)
        if against is not None:
            return against
        try:
            steps = units.steps(command.quantity, item.scale)
        except QuantityTooFine as refusal:
            return refusal
        return self._grant(command, programme, item, steps)

    def _grant(
        self, command: RewardMember, programme: Programme, item: Item, steps: int
    ) -> Accepted | Refusal:
        member = self.locked[command.member_id]
        today = local_date(self.now, programme.tz)
        if member.closed_on is not None and member.closed_on < today:
            return entitlement.MemberClosed()
        key = self._reward_key(member.member_id, command)
        if key in self.rewarded:
            none = str(units.whole(0, item.scale))
            return Accepted({"lot_id": str(self.rewarded[key]), "granted": none})
        if stop_reward(self.blocks.get(member.member_id, ()), self.now):
            return Blocked()
        last_day = command.expires_on or today + timedelta(days=command.valid_days)
        if not 0 <= (last_day - today).days <= VALID_DAYS_MAX:
            return ExpiresOnInvalid()
        contract_end = programme.contract_end(item)
        if contract_end is not None and contract_end < today:
            return entitlement.ContractEnded()
        expires_at = end_of(last_day, programme.tz)
        grant = add_lot(
            self.journal,
            member.member_id,
            item,
            GrantFor(programme.code, item.code, command.business_key, "REWARD", 0),
            quantity=steps,
            expires_at=entitlement.last_use(expires_at, contract_end, programme.tz),
            actor=command.caller,
        )
        self.grants.append(grant)
        self.rewarded[key] = grant.lot_id
        given = str(units.whole(steps, item.scale))
        return Accepted({"lot_id": str(grant.lot_id), "granted": given})

    async def write(self, conn: Connection) -> None:
        """Write what was granted."""
        await self.journal.write(conn)
        if self.grants:
            await tiers.put_grants(conn, self.grants)


async def reward(
    conn: Connection, commands: Sequence[RewardMember], parts: Parts, *, wait: bool
) -> list[Decided | Refusal]:
    """Grant rewards in order, in this transaction; one outcome each (N-2, C-9)."""
    group = await _Group.begin(conn, commands, parts, wait=wait)
    keyed, asked = Keyed(), [(c, c.request_key, c.body) for c in commands]
    await keyed.begin(conn, asked)
    outcomes = keyed.decide_each(asked, group.decide)
    await group.write(conn)
    await keyed.write(conn, group.now)
    return outcomes


async def reward_listed(
    conn: Connection, commands: Sequence[RewardMember], parts: Parts, *, wait: bool
) -> list[Accepted | Refusal]:
    """Grant the rewards of a list in order, in this transaction; one outcome each (N-2, I14).

    Their business keys alone make them once. Without `wait`, members whom somebody else
    holds are Busy.
    """
    group = await _Group.begin(conn, commands, parts, wait=wait)
    outcomes = list[Accepted | Refusal]()
    for command in commands:
        outcomes.append(group.decide(command))
        if len(outcomes) % AT_ONCE == 0:
            await asyncio.sleep(0)
    await group.write(conn)
    return outcomes
