"""What people propose and what others decide: two tables a kind, with the same statements.

`store/proposals.py`, `store/fills.py` and `store/corrections.py` say which tables, and what they
have besides.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from benefits.domain.values import EPOCH, bucket_of
from benefits.store.db import Connection, rows, run

# Who approves reads what is there and changes it: one after the other of a kind.
SERIAL = "SELECT pg_advisory_xact_lock(hashtext($1))"
_PROPOSED = ("body", "effect", "digest", "note", "proposed_by", "proposed_at", "expires_at")
_DECIDED = ("verdict", "decided_by", "decided_at", "note")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal and what became of it; `verdict` is None until somebody decided."""

    proposal_id: UUID
    body: dict[str, Any]
    effect: dict[str, Any]
    digest: str
    note: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    verdict: str | None
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str | None

    def state(self, now: datetime) -> str:
        """Say where it stands: what was decided, else whether there is still time to."""
        return self.verdict or ("EXPIRED" if self.expires_at <= now else "PROPOSED")


Kept = TypeVar("Kept", bound=Seen)


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as made; `own` are the kind's own columns, `body` and `effect` are JSON."""

    proposal_id: UUID
    own: tuple[object, ...]
    body: str
    effect: str
    digest: str
    note: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided about a proposal, and what an approved one became."""

    proposal_id: UUID
    verdict: str
    decided_by: str
    decided_at: datetime
    note: str
    became: object = None


class Sort(msgspec.Struct, frozen=True):
    """Which proposals are listed: in a state at an instant, of a kind; None is any."""

    now: datetime
    state: str | None = None
    kind: str | None = None


class Book(NamedTuple, Generic[Kept]):
    """How the proposals of a kind are kept and read; with a bucket those of members."""

    seen: type[Kept]
    has_bucket: bool
    insert: str
    reject: str
    approve: str
    one: str
    listed: str
    brief: str


def book(
    seen: type[Kept],
    names: tuple[str, str, str],
    own: Sequence[str],
    *,
    of_members: bool = False,
    brief: str = "p.body",
) -> Book[Kept]:
    """Write the statements of a kind: its table, its id, and the column of what it became.

    `own` are columns of its table that others have not, the values of `New.own`. Where a list is
    only looked at, `brief` stands for its bodies.
    """
    table, id_, became = names
    bucket = ["bucket"] * of_members
    columns = [
        f"p.{id_} AS proposal_id",
        *(f"p.{name}" for name in (*own, *_PROPOSED)),
        *("d.verdict", "d.decided_by", "d.decided_at", "d.note AS decision_note", f"d.{became}"),
    ]
    decided = [*bucket, id_, *_DECIDED]
    read = f"""
SELECT {", ".join(columns)} FROM {table} AS p
LEFT JOIN {table}_decision AS d
  ON d.{id_} = p.{id_}{" AND d.bucket = p.bucket" * of_members}"""
    # The index of instants and ids; without a kind or a state all of them.
    listed = f"""{read}
WHERE (p.proposed_at, p.{id_}) > ($1::timestamptz, $2::uuid)
  {"AND p.bucket BETWEEN 0 AND 1023" * of_members}
  AND ($3::text IS NULL OR {"p.kind" if "kind" in own else "p.body ->> 'kind'"} = $3)
  AND ($4::text IS NULL OR $4 = coalesce(
      d.verdict, CASE WHEN p.expires_at <= $5::timestamptz THEN 'EXPIRED' ELSE 'PROPOSED' END))
ORDER BY p.proposed_at, p.{id_} LIMIT $6
"""
    return Book(
        seen,
        of_members,
        insert=_insert(table, [*bucket, id_, *own, *_PROPOSED]),
        reject=_insert(f"{table}_decision", decided),
        approve=_insert(f"{table}_decision", [*decided, became]),
        # Primary keys.
        one=f"{read}\nWHERE p.{id_} = $1{' AND p.bucket = $2' * of_members}",
        listed=listed,
        brief=listed.replace(" p.body,", f" {brief} AS body,", 1),
    )


def _insert(table: str, columns: Sequence[str]) -> str:
    values = ", ".join(f"${number}" for number, _ in enumerate(columns, 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"


Mark = tuple[datetime, UUID]
BEGINNING: Mark = (EPOCH, UUID(int=0))


async def serial(conn: Connection, what: str) -> None:
    """Let those who propose and decide something come one at a time."""
    await run(conn, SERIAL, what)


async def put(conn: Connection, kept: Book[Kept], new: New) -> None:
    """Keep a proposal."""
    id_, own, *rest = msgspec.structs.astuple(new)
    await run(conn, kept.insert, *_bucket(kept, id_), id_, *own, *rest)


async def decide(conn: Connection, kept: Book[Kept], verdict: Verdict) -> None:
    """Keep a decision; there is one for each proposal, by primary key."""
    bucket = _bucket(kept, verdict.proposal_id)
    *said, became = msgspec.structs.astuple(verdict)
    if became is None:
        await run(conn, kept.reject, *bucket, *said)
    else:
        await run(conn, kept.approve, *bucket, *said, became)


async def one(conn: Connection, kept: Book[Kept], proposal_id: UUID) -> Kept | None:
    """Return a proposal."""
    found = await rows(conn, kept.one, proposal_id, *_bucket(kept, proposal_id))
    return kept.seen(**found[0]._asdict()) if found else None


async def listed(
    conn: Connection, kept: Book[Kept], after: Mark | None, sort: Sort, *, limit: int
) -> Sequence[Kept]:
    """Return proposals in the order they were made."""
    return await _listed(conn, kept, kept.listed, after=after, sort=sort, limit=limit)


async def briefly(
    conn: Connection, kept: Book[Kept], after: Mark | None, sort: Sort, *, limit: int
) -> Sequence[Kept]:
    """Return proposals as `listed` does, without the files in them."""
    return await _listed(conn, kept, kept.brief, after=after, sort=sort, limit=limit)


async def _listed(
    conn: Connection,
    kept: Book[Kept],
    statement: str,
    *,
    after: Mark | None,
    sort: Sort,
    limit: int,
) -> Sequence[Kept]:
    start = after or BEGINNING
    found = await rows(conn, statement, *start, sort.kind, sort.state, sort.now, limit)
    return [kept.seen(**row._asdict()) for row in found]


def _bucket(kept: Book[Kept], proposal_id: UUID) -> list[int]:
    return [bucket_of(proposal_id)] if kept.has_bucket else []
