"""What must hold once all is quiet: the provider's book and the ledger say the same."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from benefits.sandbox.book import Book, Order, instant
from tests.simulation.life import UNITS, Life
from tests.simulation.ways import Way

CLAIMS = """
SELECT c.claim_id, c.member_id, c.quantity, c.ordered, c.state, r.request_id, coalesce(
    (SELECT array_agg(f.kind) FROM case_file AS f
     WHERE f.claim_id = c.claim_id AND f.closed_at IS NULL), '{}') AS cases,
    c.booked_for, c.cancelled_at < c.cancel_until AS in_time,
    coalesce(h.captured, 0) > 0 AS spent, h.captured = 0 AS is_back
FROM claim AS c JOIN provider_request AS r USING (bucket, claim_id)
LEFT JOIN hold_end AS h ON h.bucket = c.bucket AND h.hold_id = c.hold_id
WHERE r.operation = 'ISSUE' AND c.benefit = $1
"""
WALLETS = "SELECT member_id, available, held FROM wallet WHERE unit = $1"
# Where an order may stand by what stands in the provider's book.
STANDS = {
    "nothing": {"COMPENSATED", "EXPIRED"},
    "rejected": {"COMPENSATED"},
    "issued": {"ISSUED"},
    "partly_issued": {"ISSUED"},
    "confirmed": {"CONFIRMED"},
    "redeemed": {"REDEEMED"},
    "partly_redeemed": {"PARTLY_REDEEMED", "REDEEMED"},  # of a part all of it
    "expired": {"EXPIRED", "COMPENSATED"},  # refused, and what ended unused after that
    "revoked": {"REVOKED"},
}
UNANSWERED = {"redeem_unanswered", "reverse_unanswered", "revoke_unanswered"}
HELD = {"ISSUED", "CONFIRMED", "PARTLY_REDEEMED", "MANUAL"}
DELIVERED = {"ISSUED", "CONFIRMED", "PARTLY_REDEEMED", "REDEEMED"}
LOSS = "delivered_without_entitlement"
UNCOUNTED = {LOSS, "rest_unanswered", "used_after_expired"}


def stands(way: Way, told: str, one: Any) -> set[str]:
    """Return where an order may stand of which the provider's book tells so."""
    if told == "issued" and way.two_phase:
        return {"COMPENSATED"}  # it was set aside and not confirmed: nothing was delivered
    if told == "partly_issued" and way.two_phase:
        return {"MANUAL", "COMPENSATED"}  # a part is set aside, and is not confirmed, or refused
    if told in {"issued", "partly_issued"} and way.code == "used":
        return {"REDEEMED"}
    if told in {"nothing", "expired"} and one.in_time is not None:
        return STANDS[told] | {"REVOKED"}  # it was given up before it was sent, or ended
    if told == "issued" and one.in_time is not None and "failed_after_success" in one.cases:
        return {"ISSUED", "EXPIRED", "REVOKED"}  # given up, and refused although it stands
    if told in {"issued", "partly_issued", "partly_redeemed"} and way.booked:
        return STANDS[told] | {"EXPIRED"}  # its time is over, by our clock
    return STANDS[told]


def is_miscounted(one: Any, order: Order | None) -> bool:
    """Say whether a claim is of other pieces than its provider delivered, and nobody is told."""
    if order is None or one.state not in DELIVERED or UNCOUNTED & {*one.cases}:
        return False
    return int(one.quantity) != order.delivered


def differences(
    way: Way, book: Book, claims: Sequence[Any], now: float
) -> tuple[list[str], Counter[str]]:
    """Return where a provider's book and the ledger differ, and how orders ended.

    Of what a provider never answered, a person is told; there the two may differ.
    """
    wrong, ends = list[str](), Counter[str]()
    for one in claims:
        order = book.find(one.request_id.hex)
        told = "nothing" if order is None else order.status(now)
        ends[f"{told}: {one.state}"] += 1
        if not UNANSWERED & {*one.cases} and one.state not in stands(way, told, one):
            wrong.append(f"{way.code} {one.request_id.hex}: {told}, here {one.state} {one.cases}")
        if is_miscounted(one, order):
            wrong.append(f"{way.code} {one.request_id.hex}: {told}, here of {one.quantity}")
    ours = {one.request_id.hex for one in claims}
    wrong += [f"{way.code} {n}: unknown here" for n in sorted(numbers(book) - ours)]
    return wrong, ends


def numbers(book: Book) -> set[str]:
    """Return the numbers of all orders in a book."""
    found, before = set[str](), None
    while True:
        page, before = book.page(200, before)
        found |= {order.number for order in page}
        if before is None:
            return found


def wallets(
    way: Way, book: Book, claims: Sequence[Any], given: Mapping[UUID, int]
) -> dict[UUID, list[int]]:
    """Return what members must have of what they were given, by claims: available, held."""
    left = {member: [units, 0] for member, units in given.items()}
    for one in claims:
        is_part = one.ordered is not None and one.quantity < one.ordered
        if LOSS in one.cases and (one.is_back or not is_part):
            continue
        left[one.member_id][0] -= one.quantity - returned(way, one, book.find(one.request_id.hex))
        held = one.state == "MANUAL" or (one.state in HELD and not way.spends_at_issue)
        left[one.member_id][1] += one.quantity if held else 0
    return left


def returned(way: Way, one: Any, order: Order | None) -> int:
    """Return how many units of a claim are its member's again, as it stands (V-5, V-10)."""
    late = one.in_time is False and one.spent  # what was given up late is, once it was delivered
    if one.state == "COMPENSATED" or (one.state == "REVOKED" and not late):
        return int(one.quantity)
    if one.state != "EXPIRED":
        return 0
    if order is None:
        return int(one.quantity)  # it was never sent
    ended = one.booked_for and (order.expired_at is None or instant(order.expired_at))
    missed = ended is True or (ended and ended >= one.booked_for)
    if missed or way.spends_at_issue or one.in_time is False:
        return 0
    return int(one.quantity) - order.used_part


async def agree(life: Life) -> Counter[str]:
    """Hold that nothing was lost and nothing given twice; return how orders ended."""
    now, ends, asked = life.world.clock().timestamp(), Counter[str](), list[UUID]()
    for way in life.ways:
        claims = await life.world.rows(CLAIMS, way.code)
        asked += [one.claim_id for one in claims]
        wrong, ended = differences(way, life.scene.theirs[way.code].book, claims, now)
        assert [] == wrong
        found = await life.world.rows(WALLETS, f"BENEFIT:{way.code}")
        book = life.scene.theirs[way.code].book
        expected = wallets(way, book, claims, dict.fromkeys(life.members, UNITS))
        assert expected == {w.member_id: [w.available, w.held] for w in found}
        ends += ended
    assert sorted(life.accepted) == sorted(asked)
    assert [] == await life.world.findings()
    return ends
