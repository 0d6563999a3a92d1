"""Who bears it in the end: losses that providers take back, charges that come to their end (L-9).

What was delivered without entitlement was booked as the bank's loss, a make-good at the provider's
fault is claimed from it in `suspense`. Two people book what came of it.

    delivered without entitlement   issued, provider.payable -> loss      recover: back again
    charged for a make-good         suspense -> provider.payable
      the provider has settled it   loss -> suspense                      clear, PROVIDER
      it refuses, and is owed       provider.payable -> suspense          clear, OURS
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from benefits.domain import ledger
from benefits.domain.corrections import CorrectionExceeds, Effect, Fault, Line, undone
from benefits.domain.ledger import Account, Cost, Posting


def loss_left(lines: Iterable[Line]) -> int:
    """Return how many units of a batch were delivered without entitlement and not recovered."""
    return sum(one.left for one in lines if _moves(one.posting, Account.ISSUED, Account.LOSS))


def recover(batch_id: UUID, lines: Sequence[Line], quantity: int) -> Effect:
    """Let units be no loss of the bank's any more, with their share of the money (G-CB-4)."""
    units = [one for one in lines if _moves(one.posting, Account.ISSUED, Account.LOSS)]
    money = [one for one in lines if _moves(one.posting, Account.PAYABLE, Account.LOSS)]
    whole, before = sum(one.posting.amount for one in units), sum(one.reversed for one in units)
    if quantity > whole - before:
        raise CorrectionExceeds
    postings = ledger.take_up(units[0].posting.unit, quantity)
    for one in money:
        was = one.posting
        share = was.amount * (before + quantity) // whole - one.reversed
        postings += ledger.recover(Cost(was.unit, "", was.party, share))
    return Effect(
        postings=tuple(postings),
        reverses=batch_id,
        undone=tuple(undone(lines, postings)),
        earlier=before,
    )


class Charged(msgspec.Struct, frozen=True):
    """What make-goods of a claim cost a provider, and how much of that is cleared already."""

    unit: str
    provider: str
    minor: int
    cleared: int


def charged(postings: Iterable[Posting]) -> Charged | None:
    """Return what the approved corrections of a claim charged; None where nothing was."""
    found = [one for one in postings if Account.SUSPENSE in (one.debit, one.credit)]
    if not found:
        return None
    minor = sum(one.amount for one in found if one.debit is Account.SUSPENSE)
    cleared = sum(one.amount for one in found if one.credit is Account.SUSPENSE)
    return Charged(found[0].unit, found[0].party, minor, cleared)


def clear(charge: Charged | None, minor: int, fault: Fault) -> Effect:
    """End a charge: the provider has settled it, or it is the bank's to bear after all (L-9)."""
    if charge is None or minor > charge.minor - charge.cleared:
        raise CorrectionExceeds
    cost = Cost(charge.unit, "", charge.provider, minor)
    match fault:
        case Fault.PROVIDER:
            postings = ledger.collect(cost)
        case Fault.OURS:
            postings = ledger.uncharge(cost)
    return Effect(postings=tuple(postings), earlier=charge.cleared)


def _moves(posting: Posting, debit: Account, credit: Account) -> bool:
    return (posting.debit, posting.credit) == (debit, credit)
