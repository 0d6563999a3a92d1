"""Whatever a provider does wrong, our books end like the provider's: no unit lost, none twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from benefits.sandbox.behaviour import PENDING_FIRST, SINGLE, Behaviour
from tests.conftest import database
from tests.sandbox.bank import PARTS, RETRY_AFTER_S, Bank, running

UNSETTLED = "SELECT 1 FROM claim WHERE state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN')"
STATE = "SELECT state FROM claim WHERE claim_id = $1"
HELD = """
SELECT c.state, c.ordered, c.quantity = h.quantity AND e.hold_id IS NULL AS held,
       c.missing = w.available AND c.quantity = w.held AS back
FROM claim AS c
JOIN wallet AS w ON w.bucket = c.bucket AND w.member_id = c.member_id
JOIN hold AS h ON h.bucket = c.bucket AND h.hold_id = c.hold_id
LEFT JOIN hold_end AS e ON e.bucket = h.bucket AND e.hold_id = h.hold_id
WHERE c.benefit = $1 AND c.missing > 0
"""
ORDERS = """
SELECT r.request_id, c.state, coalesce(c.ordered, c.quantity) AS quantity FROM claim AS c
JOIN provider_request AS r ON r.bucket = c.bucket AND r.claim_id = c.claim_id
WHERE c.benefit = $1
"""
MISSING = "SELECT missing FROM claim WHERE claim_id = $1"
UNITS = """
SELECT w.available, w.held, (
    SELECT coalesce(sum(CASE WHEN p.credit = 'redeemed' THEN p.amount ELSE -p.amount END), 0)::int
    FROM posting AS p JOIN batch AS b ON b.bucket = p.bucket AND b.batch_id = p.batch_id
    WHERE b.member_id = w.member_id AND 'redeemed' IN (p.debit, p.credit)) AS used
FROM wallet AS w WHERE w.member_id = $1
"""
ATTEMPTS = """
SELECT a.request_id, a.operation, a.outcome, a.evidence, a.started_at FROM provider_attempt AS a
JOIN provider_request AS r ON r.bucket = a.bucket AND r.request_id = a.request_id
WHERE r.provider = $1 ORDER BY a.request_id, a.attempt
"""
CASES = """
SELECT f.kind, f.detail FROM case_file AS f JOIN claim AS c USING (claim_id) WHERE c.benefit = $1
"""
TOLD = """
SELECT c.state, array_agg(o.type ORDER BY o.seq) AS types FROM outbox AS o
JOIN claim AS c ON c.claim_id = o.subject_id
WHERE c.benefit = $1 AND o.type IN ('order.compensated', 'order.issued', 'order.redeemed')
GROUP BY c.claim_id, c.state
"""
# What stands in the provider's book, told by its columns alone.
PROVIDERS_ORDERS = """
SELECT number, quantity, CASE
    WHEN reason <> '' THEN 'rejected'
    WHEN used_at IS NOT NULL THEN 'redeemed'
    WHEN behaviour = 'delivers_partly' AND quantity > 1 AND completed_at IS NULL THEN 'in part'
    ELSE 'issued' END
FROM provider_order
"""
STATES = {
    "rejected": "COMPENSATED",
    "redeemed": "REDEEMED",
    "in part": "ISSUED",
    "issued": "ISSUED",
}
# What our first attempt makes of the fault.
FIRST = {
    Behaviour.TIMES_OUT: ("unknown", "no complete answer within 4 s"),
    Behaviour.DRIPS: ("unknown", "no complete answer within 4 s"),
    Behaviour.TOO_BUSY: ("not_sent", "HTTP 429, not processed"),
    Behaviour.ANSWERS_FORGED: ("unknown", "HTTP 200, no signature matches"),
    Behaviour.ANSWERS_UNLISTED: ("unknown", "rejected for 'risk_control'"),
}
# How many callbacks are kept: of four decisions, two uses, and of whatever else is told.
KEPT = {
    Behaviour.CALLS_BACK_TWICE: 4 + 2,
    Behaviour.CALLS_BACK_LATE: 4 + 2,
    Behaviour.CALLS_BACK_DISORDERLY: 4 + 4 + 2,
    Behaviour.CALLS_BACK_FORGED: 0,
    Behaviour.LOSES_CALLBACKS: 0,
    Behaviour.DELIVERS_PARTLY: 1 + 2,
    Behaviour.REJECTS_THEN_DELIVERS: 4 + 3 + 2,
    Behaviour.DELIVERS_THEN_REJECTS: 4 + 3 + 2,
}


@pytest.fixture(scope="module")
async def bank(
    cluster_dsn: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bank]:
    """Let every provider do its worst with the same claims, until all is told."""
    async with database(cluster_dsn, migrated) as dsn:
        made = Bank(dsn, tmp_path_factory.mktemp("books"))
        try:
            async with running(made):
                await play(made)
            yield made
        finally:
            await made.world.database.close()


async def play(bank: Bank) -> None:
    """Wait until the orders are settled, use some, and wait until all that is told is known."""
    await bank.until(UNSETTLED)
    await complete_in_part(bank)
    used = [one for one in bank.claims if PARTS[one.part].used]
    await bank.at_the_desk("use", used)
    for one in used:
        await bank.until(f"{STATE} AND state <> 'REDEEMED'", one.claim)
    for each in SINGLE:
        while bank.book(each, "SELECT 1 FROM callback WHERE left > 0"):
            await asyncio.sleep(0.1)
    await bank.until("SELECT 1 FROM inbox WHERE processed_at IS NULL")


async def complete_in_part(bank: Bank) -> None:
    """Note how orders stand that were delivered in part, and have one completed."""
    benefit = Behaviour.DELIVERS_PARTLY.name
    bank.in_part = await bank.world.rows(HELD, benefit)
    (one,) = (c for c in bank.claims if (c.behaviour.name, c.part) == (benefit, "several, used"))
    await bank.at_the_desk("complete", [one])
    await bank.until(f"{STATE} AND missing > 0", one.claim)


@pytest.mark.parametrize("behaviour", SINGLE)
async def test_the_providers_book_is_our_ledger(bank: Bank, behaviour: Behaviour) -> None:
    """The same orders, each for as many units, and where each stands."""
    book = {
        number: (quantity, STATES[status])
        for number, quantity, status in bank.book(behaviour, PROVIDERS_ORDERS)
    }
    ours = {
        row.request_id.hex: (row.quantity, row.state)
        for row in await bank.world.rows(ORDERS, behaviour.name)
    }
    assert ours == book
    assert len(PARTS) == len(book)


@pytest.mark.parametrize("behaviour", SINGLE)
async def test_no_unit_is_lost_and_none_is_taken_twice(bank: Bank, behaviour: Behaviour) -> None:
    """Used units are gone, refused ones are back, those of a standing order are held."""
    for one in bank.claims:
        if one.behaviour is behaviour:
            part = PARTS[one.part]
            free = part.quantity if part.refused else 0
            gone = part.quantity if part.used else 0
            (missing,) = await bank.world.rows(MISSING, one.claim)
            free += missing.missing
            expected = [(free, part.quantity - free - gone, gone)]
            assert expected == await bank.world.rows(UNITS, one.member), one


@pytest.mark.parametrize("behaviour", SINGLE)
async def test_each_fault_is_met_as_it_should_be(bank: Bank, behaviour: Behaviour) -> None:
    """A number is issued once, unless it was provably not taken; after that it is queried."""
    orders: dict[str, list[tuple[str, str, str]]] = {}
    for row in await bank.world.rows(ATTEMPTS, behaviour.value):
        told = (row.operation, row.outcome, row.evidence)
        orders.setdefault(row.request_id.hex, []).append(told)
    assert len(PARTS) == len(orders)
    for first, *rest in orders.values():
        if behaviour in FIRST:
            assert ("ISSUE", *FIRST[behaviour]) == first
        elif behaviour in PENDING_FIRST:
            assert ("ISSUE", "pending") == first[:2]
        issues_again = [told for told in rest if told[0] == "ISSUE"]
        assert len(issues_again) == (1 if behaviour is Behaviour.TOO_BUSY else 0)


@pytest.mark.parametrize(("behaviour", "kept"), KEPT.items())
async def test_callbacks_are_kept_once_and_only_true_ones(
    bank: Bank, behaviour: Behaviour, kept: int
) -> None:
    """However often, late or in whatever order they come; forged ones are not taken."""
    assert [(kept,)] == await bank.world.rows(
        "SELECT count(*) FROM inbox WHERE provider = $1", behaviour.value
    )


async def test_who_is_too_busy_is_left_in_peace_so_long(bank: Bank) -> None:
    """What Retry-After asks for goes before our own pauses."""
    at: dict[str, list[datetime]] = {}
    for row in await bank.world.rows(ATTEMPTS, Behaviour.TOO_BUSY.value):
        if row.operation == "ISSUE":
            at.setdefault(row.request_id.hex, []).append(row.started_at)
    for first, second in at.values():
        assert second - first >= timedelta(seconds=RETRY_AFTER_S)


async def test_a_part_of_an_order_is_the_members_and_the_rest_is_back(bank: Bank) -> None:
    """Its pieces are held until they are used; no person has to look at it."""
    assert [("ISSUED", 3, True, True)] * 2 == bank.in_part
    assert [] == await bank.world.rows(CASES, Behaviour.DELIVERS_PARTLY.name)


async def test_g_cb_3_a_delivery_that_is_called_back_as_refused_stands(bank: Bank) -> None:
    """G-CB-3: a person is told, unless the refusal came first after all, being sent so soon."""
    cases = await bank.world.rows(CASES, Behaviour.DELIVERS_THEN_REJECTS.name)
    assert {"failed_after_success"} == {case.kind for case in cases}
    told = await bank.world.rows(TOLD, Behaviour.DELIVERS_THEN_REJECTS.name)
    overtaken = [row.types[:2] for row in told].count(["order.compensated", "order.issued"])
    assert 3 == len(cases) + overtaken


async def test_g_cb_4_what_is_delivered_after_a_refusal_takes_units_again(bank: Bank) -> None:
    """G-CB-4: they had come back; or it was known to be delivered, and a person is told."""
    cases = await bank.world.rows(CASES, Behaviour.REJECTS_THEN_DELIVERS.name)
    told = await bank.world.rows(TOLD, Behaviour.REJECTS_THEN_DELIVERS.name)
    again = [row.types[:2] for row in told].count(["order.compensated", "order.issued"])
    assert (True, 3) == (again > 0, again + len(cases))


async def test_the_books_are_right(bank: Bank) -> None:
    """Nothing is to be found, and the budget has room again for what was refused."""
    assert [] == await bank.world.findings()
    (missing,) = await bank.world.rows("SELECT sum(missing)::int AS pieces FROM claim")
    held = len(SINGLE) * PARTS["several, kept"].quantity - missing.pieces
    used = len(SINGLE) * sum(part.quantity for part in PARTS.values() if part.used)
    counters = await bank.world.rows("SELECT counter, reserved, spent FROM counter")
    assert [("budget:faults", held * 100, used * 100)] == counters
