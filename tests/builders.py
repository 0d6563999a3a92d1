"""What tests build worlds from: a still clock, ids, a programme, members, an installation."""

import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from benefits.actions.apply_programme import apply_programme
from benefits.actions.evaluate import Evaluated, evaluate
from benefits.actions.parts import Parts
from benefits.actions.record_assets import ready_assets, record_assets
from benefits.actions.record_members import record_members
from benefits.actions.verify import verify
from benefits.domain.assets import AssetLine
from benefits.domain.members import MemberLine
from benefits.domain.metrics import Reading
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.values import Clock, Month, bucket_of, member_id, time_ordered_id
from benefits.store.assets import ChunkResult
from benefits.store.catalogue import Cache
from benefits.store.db import Database, connect, rows
from benefits.store.envelope import Envelope
from benefits.store.verify import Finding
from tests import roles

MEMBER_KEY = bytes(range(32))
PROGRAMME = (Path(__file__).parent / "programme.toml").read_text()
NOON = datetime(2025, 7, 2, 4, 0, tzinfo=UTC)


class FrozenClock:
    """A clock that moves only when told to."""

    def __init__(self, now: datetime = NOON) -> None:
        """Stand still at `now`."""
        self.now = now

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def forward(self, **how_far: float) -> None:
        """Move on by a timedelta's words: `forward(seconds=15)`."""
        self.now += timedelta(**how_far)


def new_id(at: datetime, bucket: int) -> UUID:
    """Return a random id as the service makes them."""
    return time_ordered_id(at, os.urandom(8), bucket)


def reference_programme() -> Programme:
    """Return the programme the tests use."""
    return read(PROGRAMME)


def thresholds(programme: Programme) -> tuple[int, ...]:
    """Return the lower bound of each rank in minor units."""
    return tuple(rung[0].bounds[0].minor for rung in programme.ladder.rungs)


def qualified_rank(programme: Programme, sum_minor: int, days: int) -> int:
    """Return the highest rank that a sum over all of some days reaches."""
    reading = Reading(
        month=Month(2025, 1), sum_minor=sum_minor, known_days=days, days=days, divisor=days
    )
    return programme.ladder.judge([reading] * len(programme.ladder.metrics), frozenset()).qualified


class World:
    """An installation with the reference programme, as the actions see it."""

    def __init__(
        self, database: Database, *, envelope: Envelope | None = None, clock: Clock | None = None
    ) -> None:
        """Work on a migrated database, with a clock that stands still unless one is given."""
        self.database = database
        self.clock = FrozenClock()
        self.parts = Parts(
            clock=clock or self.clock,
            new_id=new_id,
            envelope=envelope or Envelope([os.urandom(32)]),
            catalogue=Cache(clock or self.clock),
            member_key=MEMBER_KEY,
        )
        self._numbers = itertools.count(1)

    async def apply(
        self,
        programme: Programme | None = None,
        *,
        tiers_from: Month | None = None,
        effective_from: datetime | None = None,
        needs_notice: bool = False,
    ) -> None:
        """Put a programme into force; members need not be told unless that is asked for."""
        async with self.database.transaction() as conn:
            await apply_programme(
                conn,
                programme or reference_programme(),
                self.parts,
                tiers_from=tiers_from,
                effective_from=effective_from,
                needs_notice=needs_notice,
            )

    async def member(self, opened_on: date = date(2020, 1, 1), **more: Any) -> UUID:
        """Enrol a new member and return the id."""
        return (await self.members(1, opened_on, **more))[0]

    async def members(
        self, count: int, opened_on: date = date(2020, 1, 1), **more: Any
    ) -> list[UUID]:
        """Enrol new members and return their ids."""
        names = [f"T{next(self._numbers):06d}" for _ in range(count)]
        async with self.database.transaction() as conn:
            await record_members(
                conn,
                list(enumerate((MemberLine(name, opened_on, **more) for name in names), 2)),
                self.parts,
                member_key=MEMBER_KEY,
            )
        return [member_id(name, MEMBER_KEY) for name in names]

    def name(self, number: int) -> str:
        """Return the customer reference of the `number`-th member."""
        return f"T{number:06d}"

    async def assets(self, lines: Sequence[AssetLine]) -> ChunkResult:
        """Record day-end balances."""
        async with self.database.transaction() as conn:
            made = ready_assets(list(enumerate(lines, 2)), MEMBER_KEY)
            return await record_assets(conn, made, self.parts)

    async def month(self, customer: str, month: str, daily_minor: int) -> None:
        """Record the same balance on every day of a month."""
        first = Month.parse(month)
        days = [first.start + timedelta(days=n) for n in range(first.days)]
        await self.assets(
            [AssetLine(customer, day, "DEPOSIT", "CNY", daily_minor) for day in days]
        )

    async def evaluate(self, month: str, member: UUID) -> Evaluated:
        """Evaluate the bucket of a member for a month."""
        bucket = bucket_of(member)
        return await evaluate(
            self.database, self.parts, "wealth", Month.parse(month), buckets=(bucket, bucket)
        )

    async def findings(self) -> list[Finding]:
        """Verify the books."""
        return [f async for f in verify(self.database, self.parts) if isinstance(f, Finding)]

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement in a transaction of its own; what changes rows, as an administrator."""
        if sql.lstrip().startswith("SELECT"):
            async with self.database.transaction() as conn:
                return list(await rows(conn, sql, *values))
        async with roles.administrator(self.database) as conn:
            return list(await rows(conn, sql, *values))


@asynccontextmanager
async def world(dsn: str) -> AsyncIterator[World]:
    """Open a migrated database as a world with the reference programme in force."""
    async with opened(dsn) as made:
        await made.apply()
        yield made


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[World]:
    """Open a database as a world with the programmes it has."""
    database = connect(dsn, pool_size=8)
    try:
        yield World(database)
    finally:
        await database.close()
