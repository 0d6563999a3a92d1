"""Claim units for members as they come, where their line is `AUTO` (P-2).

A lot is noted with the grant, in its transaction, and is tried in one of its own: the claims of
its pieces and what becomes of the note are written together, so that a stop in between claims
nothing twice. Each piece is a claim like any other, under a key made of the lot, and of units of
that lot alone: there are never more claims than units came.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.keyed import Accepted, Decided
from benefits.actions.parts import Parts
from benefits.domain import auto_claims as rules
from benefits.domain.benefit import Benefit
from benefits.domain.catalogue import Catalogue
from benefits.domain.ledger import Lot
from benefits.domain.packages import Claiming, Line
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.store import auto_claims, members
from benefits.store import ledger as books
from benefits.store.auto_claims import Moved, Pending
from benefits.store.db import Busy, Connection
from benefits.store.ledger import Journal

CALLER = "system:auto-claim"
PIECES = 20  # of a lot at a time; the rest at once after them


class _Wish(msgspec.Struct, frozen=True):
    """A lot whose units can be claimed: what of, and so many pieces of it now."""

    pending: Pending
    programme: Programme
    benefit: Benefit
    lot: Lot
    pieces: int
    left: int

    def commands(self) -> list[ClaimUnits]:
        """Return a claim of each piece."""
        key = f"{self.pending.lot_id.hex}:{self.pending.tries}:{self.left}"
        return [
            ClaimUnits(
                caller=CALLER,
                key=f"{key}:{nth}",
                member_id=self.pending.member_id,
                benefit=self.benefit.code,
                lot_id=self.pending.lot_id,
            )
            for nth in range(self.pieces)
        ]


async def claim_granted(
    conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> int:
    """Claim the units of lots that are due, the longest waiting first; return how many lots.

    Members whom somebody else holds are left to the next time.
    """
    found = await auto_claims.due(conn, buckets, parts.clock(), limit)
    if not found:
        return 0
    locked = await members.lock(conn, {id_ for id_, _ in found}, wait=False)
    now = parts.clock()
    lots = [lot_id for id_, lot_id in found if id_ in locked]
    pending = await auto_claims.still(conn, lots, now)
    merged = {id_ for id_, one in locked.items() if one.merged_into is not None}
    known = {lot.lot_id: lot for _, lot in await books.lots_by_id(conn, lots)}
    catalogue = await parts.catalogue.current(conn)
    wishes = [
        wish
        for one in pending
        if one.member_id not in merged  # their units are another's, who may claim them
        and (wish := _wish(catalogue, one, known[one.lot_id], now)) is not None
    ]
    commands = [wish.commands() for wish in wishes]
    outcomes = iter(
        await claim(conn, [each for some in commands for each in some], parts, wait=False)
    )
    decided = {
        wish.pending.lot_id: (wish, [next(outcomes) for _ in some])
        for wish, some in zip(wishes, commands, strict=True)
    }
    moved, refused = list[Moved](), list[tuple[_Wish, str, int]]()
    for one in pending:
        if one.lot_id not in decided:
            moved.append(_over(one))
            continue
        wish, said = decided[one.lot_id]
        codes = [code for each in said if (code := _refusal(each))]
        moved.append(_moved(wish, codes, now))
        if codes and not one.is_told:
            refused.append((wish, codes[0], len(codes) + wish.left))
    await auto_claims.move(conn, moved)
    await _tell(conn, parts, refused)
    return len(pending)


def _wish(catalogue: Catalogue, one: Pending, lot: Lot, now: datetime) -> _Wish | None:
    """Return what is to be claimed of a lot; None where its line is not AUTO, or it is empty."""
    programme = catalogue.programmes[one.programme]
    line = next((each for each in programme.line if each.code == one.line), None)
    if line is None or line.claim is not Claiming.AUTO:
        return None
    benefit = _benefit(programme, line, lot)
    if benefit is None:
        return None
    pieces = lot.available(now) // programme.piece(benefit)
    if not pieces:
        return None
    some = min(pieces, PIECES)
    return _Wish(one, programme, benefit, lot, some, pieces - some)


def _benefit(programme: Programme, line: Line, lot: Lot) -> Benefit | None:
    """Return what the units of a lot are of, whatever its line brings today."""
    brought = programme.benefits[line.benefit]
    if brought.unit == lot.unit:
        return brought
    own = (one for one in programme.benefit if not one.draws)  # whose units these are (C-2)
    return next((one for one in own if one.unit == lot.unit), None)


def _refusal(said: Decided | Refusal) -> str:
    """Return the code of what refused a claim; nothing of one that was accepted."""
    assert not isinstance(said, Busy), "its member is held"
    return "" if isinstance(said, Accepted) else said.code


def _over(one: Pending) -> Moved:
    return _tried(one, None)


def _moved(wish: _Wish, codes: Sequence[str], now: datetime) -> Moved:
    """Return when a lot is tried next: at once for more of it, later where it was refused."""
    one = wish.pending
    if not codes:
        return _tried(one, now if wish.left else None)
    again = rules.again_at(codes[0], one.refusals, now, wish.programme.tz)
    ends = wish.lot.expires_at
    if again is not None and ends is not None and again >= ends:
        again = None
    return _tried(one, again, refused=True)


def _tried(one: Pending, next_at: datetime | None, *, refused: bool = False) -> Moved:
    return Moved(
        lot_id=one.lot_id,
        next_at=next_at,
        tries=one.tries + 1,
        refusals=one.refusals + refused,
        is_told=one.is_told or refused,
    )


async def _tell(conn: Connection, parts: Parts, refused: Sequence[tuple[_Wish, str, int]]) -> None:
    """Tell of lots whose units were not claimed, once each."""
    if not refused:
        return
    ids = {wish.pending.member_id for wish, _, _ in refused}
    journal = Journal(await members.lock(conn, ids, wait=True), parts.clock(), parts.new_id)
    for wish, code, quantity in refused:
        journal.event(
            wish.pending.member_id,
            "claim.refused",
            subject_id=wish.pending.lot_id,
            data={
                "benefit": wish.benefit.code,
                "quantity": quantity,
                "programme": wish.programme.code,
                "line": wish.pending.line,
                "refusal": code,
            },
        )
    await journal.write(conn)
